"""What a request will cost, as far as the catalogue knows. A rough guard, not a quote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kling_nb.catalog import Endpoint, Price


def estimate(endpoint: Endpoint, resolved: Mapping[str, Any]) -> float | None:
    """US dollars for one result, or None where price or length is not known.

    Args:
        endpoint: Where the request goes.
        resolved: The input with defaults, as `VideoRequest.resolved` gives it.
    """
    price = endpoint.price
    if price is None:
        return None
    if price.usd_per_video is not None:
        return price.usd_per_video
    seconds = _seconds(resolved)
    if price.usd_per_second is None or seconds is None:
        return None
    variant = {True: "audio_on", False: "audio_off"}.get(resolved.get("generate_audio", ""), "")
    return seconds * price.variants.get(variant, price.usd_per_second)


def with_price(endpoint: Endpoint, usd_per_second: float) -> Endpoint:
    """The same endpoint at the price a user said, in US dollars for a second of video."""
    price = Price(usd_per_second=usd_per_second, note="Set by you.")
    return replace(endpoint, price=price)


def _seconds(resolved: Mapping[str, Any]) -> float | None:
    shots = resolved.get("multi_prompt")
    if isinstance(shots, (list, tuple)) and shots:
        lengths = [_number(shot.get("duration")) for shot in shots if isinstance(shot, Mapping)]
        known = [length for length in lengths if length is not None]
        return sum(known) if len(known) == len(shots) else None
    return _number(resolved.get("duration"))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
