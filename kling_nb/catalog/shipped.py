"""The endpoints that come with the package, and how they are looked up.

`endpoints.json` holds them newest first. Adding one means adding its entry there: title,
category, generation, tier, price, input schema, and the name of one of the `outputs`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kling_nb.catalog.entry import Endpoint, Price
from kling_nb.catalog.short_name import short_name
from kling_nb.catalog.wording import listing, nearest, quote
from kling_nb.errors import UnknownEndpoint

DEFAULT_ENDPOINT = "fal-ai/kling-video/v1/pro/text-to-video"

_DATA = Path(__file__).with_name("endpoints.json")


def endpoints(word: str | None = None) -> tuple[Endpoint, ...]:
    """The known endpoints, newest generation first.

    Args:
        word: Only those which have every one of these words (any case, separated by spaces)
            in their id, short name, title or category.
    """
    return tuple(entry for entry in _by_id().values() if has_words(entry, word))


def has_words(entry: Endpoint, word: str | None) -> bool:
    """Whether `entry` has every one of these words, as `endpoints` looks for them."""
    haystack = f"{entry.id} {entry.short_name} {entry.title} {entry.category}".casefold()
    return all(part in haystack for part in (word or "").casefold().split())


def endpoint(name: str) -> Endpoint:
    """The endpoint of an id or a short name.

    Raises:
        UnknownEndpoint: There is none of that name; the message names the nearest.
    """
    found = known(name)
    if found is None:
        raise unknown(name)
    return found


def known(name: str) -> Endpoint | None:
    """The endpoint of an id or a short name, or None."""
    key = str(name).strip().strip("/").casefold()
    return _by_id().get(key) or _by_short_name().get(key)


@cache
def _by_id() -> Mapping[str, Endpoint]:
    data = json.loads(_DATA.read_bytes())
    return MappingProxyType(
        {key: _parse(key, entry, data["outputs"]) for key, entry in data["endpoints"].items()}
    )


@cache
def _by_short_name() -> Mapping[str, Endpoint]:
    return MappingProxyType({entry.short_name: entry for entry in _by_id().values()})


def _parse(endpoint_id: str, entry: Mapping[str, Any], outputs: Mapping[str, Any]) -> Endpoint:
    return Endpoint(
        id=endpoint_id,
        short_name=short_name(endpoint_id),
        title=entry["title"],
        category=entry["category"],
        generation=entry["generation"],
        tier=entry["tier"],
        input_schema=entry["input"],
        output_schema=outputs[entry["output"]],
        price=Price(**entry["price"]) if entry["price"] else None,
    )


def unknown(name: Any) -> UnknownEndpoint:
    """The error for a name that is none; it looks for the nearest ones, which takes milliseconds."""
    word = str(name).strip()
    close = nearest(word, _by_id() if "/" in word else _by_short_name())
    if word and not close:  # "kling 3" is no name, but says what is meant
        close = [entry.short_name for entry in endpoints(word)]
    hint = f"Nearest: {listing(close[:3])}. " if close else ""
    return UnknownEndpoint(
        f"No endpoint is called {quote(name)}.",
        remedy=f"{hint}%kling endpoints lists all {len(_by_id())}.",
        parameter="endpoint",
    )
