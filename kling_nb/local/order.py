"""What the renderer is to make, read from an endpoint and its input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kling_nb.catalog import Endpoint
from kling_nb.local.input_media import InputFile

LONGEST = 60.0
"""Seconds of the longest preview."""

_MAIN = (
    "start_image_url",
    "image_url",
    "human_image_url",
    "video_url",
    "image_urls",
    "input_image_urls",
    "elements",
)
_SHAPING = frozenset({"start_image_url", "image_url", "human_image_url", "video_url"})
"""First frames: the video keeps their shape, whatever `aspect_ratio` says, as Kling's does."""

_ENDING = ("tail_image_url", "end_image_url")
_INSET = "garment_image_url"


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to render.

    Attributes:
        name: The endpoint in words, for the small print.
        pipeline: The endpoint as a word, for the log.
        prompt: The text of the picture.
        salt: Everything else in the input that should change it.
        seconds: Length, None where it follows from a file or the text.
        ratio: Width to height, None where it follows from a picture.
        main: The picture or video to start from.
        ending: The picture to end on.
        inset: A second picture.
        audio: Speech whose length the video takes.
        outputs: Names of the result's properties that are files.
        pace: Speed of speech.
    """

    name: str
    pipeline: str
    prompt: str
    salt: str
    seconds: float | None
    ratio: float | None
    main: InputFile | None
    ending: InputFile | None
    inset: InputFile | None
    audio: InputFile | None
    outputs: tuple[str, ...]
    pace: float


def take_order(endpoint: Endpoint, values: Mapping[str, Any], files: Sequence[InputFile]) -> Order:
    """The order for a checked input with its defaults, and the files that it names."""
    main = _first(files, _MAIN)
    properties = endpoint.output_schema.get("properties", {})
    plain = {
        name: value
        for name, value in values.items()
        if "url" not in name and name not in {"prompt", "duration"}
    }
    return Order(
        name=endpoint.title,
        pipeline=f"kling-{endpoint.short_name}",
        prompt=_prompt(endpoint, values),
        salt=json.dumps([endpoint.id, plain], sort_keys=True, default=str),
        seconds=_seconds(values),
        ratio=None if main and main.parameter in _SHAPING else _ratio(values.get("aspect_ratio")),
        main=main,
        ending=_first(files, _ENDING),
        inset=_first(files, (_INSET,)),
        audio=_first(files, ("audio_url", "voice_url")),
        outputs=tuple(name for name, part in properties.items() if "url" in part.get("properties", {})),
        pace=float(values.get("voice_speed") or 1.0),
    )


def _prompt(endpoint: Endpoint, values: Mapping[str, Any]) -> str:
    shots = [
        str(shot.get("prompt") or "")
        for shot in values.get("multi_prompt") or ()
        if isinstance(shot, Mapping)
    ]
    effect = str(values.get("effect_scene") or "").replace("_", " ").capitalize()
    said = (values.get("prompt"), "\n".join(shots), values.get("text"), effect)
    return next((str(text).strip() for text in said if text and str(text).strip(" .\n")), endpoint.title)


def _seconds(values: Mapping[str, Any]) -> float | None:
    shots = values.get("multi_prompt") or ()
    total = sum(_number(shot.get("duration")) for shot in shots if isinstance(shot, Mapping))
    seconds = total or _number(values.get("duration"))
    return min(seconds, LONGEST) if seconds > 0 else None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _ratio(value: Any) -> float | None:
    wide, colon, high = str(value or "").partition(":")
    return _number(wide) / _number(high) if colon and _number(wide) > 0 and _number(high) > 0 else None


def _first(files: Sequence[InputFile], names: Sequence[str]) -> InputFile | None:
    return next((file for name in names for file in files if file.parameter == name), None)
