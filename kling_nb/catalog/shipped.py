"""The endpoints that come with the package, and how to find them.

`endpoints.json` has them in order, newest first. To add an endpoint, add its entry there: title,
category, generation, tier, price, input schema, and the name of one of the `outputs`. The input schema is
null if it is not known completely; it is fetched at the first use then. `make catalogue` reads all schemas
again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kling_nb.catalog.endpoint import Endpoint, Price
from kling_nb.catalog.problem import listing, nearest, quote
from kling_nb.errors import UnknownEndpoint

DEFAULT_ENDPOINT = "fal-ai/kling-video/v1/pro/text-to-video"

_DATA = Path(__file__).with_name("endpoints.json")


def endpoints(word: str | None = None) -> tuple[Endpoint, ...]:
    """Return the endpoints of the package, newest generation first.

    Args:
        word: Return only endpoints that have each of these words (in any case, separated by spaces)
            in their id, short name, title or category.
    """
    return tuple(entry for entry in _by_id().values() if has_words(entry, word))


def has_words(entry: Endpoint, word: str | None) -> bool:
    """Return True if `entry` has each of the words, as in `endpoints`."""
    haystack = f"{entry.id} {entry.short_name} {entry.title} {entry.category}".casefold()
    return all(part in haystack for part in str(word or "").casefold().split())


def endpoint(name: str) -> Endpoint:
    """Return the endpoint with this id or short name.

    Raises:
        UnknownEndpoint: There is none; the message names the nearest ones.
    """
    found = find(name)
    if found is None:
        raise unknown_endpoint(name)
    return found


def find(name: str) -> Endpoint | None:
    """Return the endpoint with this id or short name, or None."""
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
        input_schema=entry["input"] or {},
        output_schema=outputs[entry["output"]],
        price=Price(**entry["price"]) if entry["price"] else None,
        notice=entry.get("notice", ""),
    )


def unknown_endpoint(name: Any) -> UnknownEndpoint:
    """Return the error for an unknown name, with the nearest names. Finding them takes milliseconds."""
    word = str(name).strip()
    close = nearest(word, _by_id() if "/" in word else _by_short_name())
    if word and not close:  # "kling 3" is no name, but its words lead to endpoints.
        close = [entry.short_name for entry in endpoints(word)]
    hint = f"Nearest: {listing(close[:3])}. " if close else ""
    return UnknownEndpoint(
        f"No endpoint is called {quote(name)}.",
        remedy=f"{hint}%kling endpoints lists all {len(_by_id())}.",
        parameter="endpoint",
    )


_FAMILIES = {"fal-ai/kling-video/": "", "kling/": "", "fal-ai/kling-image/": "image/"}
"""The start of an id, and what its short name has instead."""

_TASKS = {
    "text-to-video": "",
    "text-to-image": "text-to-image",
    "image-to-image": "image-to-image",
    "video-to-video": "video",
    "image-to-video": "image",
    "reference-to-video": "reference",
    "video-to-video/edit": "edit",
    "video-to-video/reference": "video-reference",
    "ai-avatar": "avatar",
}

# Ids that do not begin with a generation.
_IRREGULAR = {
    "fal-ai/kling-video/lipsync/audio-to-video": "lipsync-audio",
    "fal-ai/kling-video/lipsync/text-to-video": "lipsync-text",
    "fal-ai/kling-video/v1/tts": "tts",
    "fal-ai/kling/v1-5/kolors-virtual-try-on": "try-on",
}


def short_name(endpoint_id: str) -> str:
    """Return the short name of a Kling endpoint. The short name of any other endpoint is its id.

    `fal-ai/kling-video/{generation}/{tier}/{task}` becomes `{generation}-{tier}-{task}`. Text to video adds
    no task, and the other tasks lose their "to-video":

        fal-ai/kling-video/v1/pro/text-to-video           v1-pro
        fal-ai/kling-video/v3/turbo/pro/image-to-video    v3-turbo-pro-image
        fal-ai/kling-video/o1/video-to-video/reference    o1-video-reference
        kling/v4/image-to-video                           v4-image
        fal-ai/kling-image/o3/image-to-image              image-o3-image-to-image
    """
    if endpoint_id in _IRREGULAR:
        return _IRREGULAR[endpoint_id]
    family = next((start for start in _FAMILIES if endpoint_id.startswith(start)), None)
    if family is None:
        return endpoint_id
    rest = _FAMILIES[family] + endpoint_id.removeprefix(family)
    if rest.startswith("ai-avatar/"):  # The task comes first in these ids: ai-avatar/v2/pro.
        rest = rest.removeprefix("ai-avatar/") + "/ai-avatar"
    for task, word in _TASKS.items():
        if rest.endswith("/" + task):
            rest = f"{rest.removesuffix(task)}{word}".rstrip("/")
            break
    return rest.replace("/", "-")
