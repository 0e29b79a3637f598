"""What a front end draws for each parameter of an endpoint.

All decisions are made here, from the JSON Schema, so that a panel, a flag parser and
a help text only walk a plain list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

ControlKind = Literal["stepped", "slider", "choice", "switch", "text", "line", "media", "json"]
MediaKind = Literal["image", "video", "audio"]

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_LONG_TEXTS = frozenset({"prompt", "negative_prompt", "text"})
_LONG_TEXT_LENGTH = 200
_ABBREVIATIONS = {"asmr": "ASMR", "cfg": "CFG", "fps": "FPS", "id": "ID", "ids": "IDs", "url": "URL"}


@dataclass(frozen=True)
class Control:
    """One parameter, as a front end shows it.

    Attributes:
        name: The schema's name, which is the key in the input.
        kind: `stepped` (one of a few numbers), `slider` (a number between bounds), `choice` (one
            of some words), `switch`, `text` (long), `line` (short, or a number without bounds),
            `media` (a picture, video or sound: URL, file or bytes), `json` (lists and objects).
        label: The name in words, such as "Aspect ratio".
        description: What it does, from the schema.
        required: Whether the schema asks for it by itself. Alternatives ("prompt or
            multi_prompt") are rules between parameters and are checked on building a request.
        default: The schema's default, or None.
        options: Allowed values as they are sent ("5" stays a text), for `stepped` and `choice`.
        minimum: Smallest number, for `slider`.
        maximum: Largest number, for `slider`.
        step: Distance between two positions, for `slider`.
        max_length: Most characters, for `text` and `line`.
        media: What kind of file, for `media`.
        many: Whether a list of them is taken, for `media`.
        max_items: Most items of a list, where the schema says.
    """

    name: str
    kind: ControlKind
    label: str
    description: str = ""
    required: bool = False
    default: Any = None
    options: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    max_length: int | None = None
    media: MediaKind | None = None
    many: bool = False
    max_items: int | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain object with every attribute, as JavaScript reads it."""
        return {**asdict(self), "options": None if self.options is None else list(self.options)}


def controls(schema: Mapping[str, Any]) -> tuple[Control, ...]:
    """The controls of an input schema, in its order."""
    required = schema.get("required", ())
    return tuple(
        _control(name, part, required=name in required) for name, part in schema.get("properties", {}).items()
    )


def media_of(schema: Mapping[str, Any]) -> Any:
    """The `x-fal-media` word of a property, or of the items of a list of files; None for others."""
    items = schema.get("items")
    return schema.get("x-fal-media") or (items.get("x-fal-media") if isinstance(items, Mapping) else None)


def _control(name: str, schema: Mapping[str, Any], *, required: bool) -> Control:
    kind = _kind(name, schema)
    media = media_of(schema) if kind == "media" else None
    slider = kind == "slider"
    return Control(
        name=name,
        kind=kind,
        label=_label(name, schema, is_media=kind == "media"),
        description=schema.get("description", ""),
        required=required,
        default=schema.get("default"),
        options=tuple(schema["enum"]) if kind in ("stepped", "choice") else None,
        minimum=schema["minimum"] if slider else None,
        maximum=schema["maximum"] if slider else None,
        step=_step(schema) if slider else None,
        max_length=schema.get("maxLength") if kind in ("text", "line") else None,
        media=media,
        many=kind == "media" and schema.get("type") == "array",
        max_items=schema.get("maxItems"),
    )


def _kind(name: str, schema: Mapping[str, Any]) -> ControlKind:
    if media_of(schema):
        return "media"
    if "enum" in schema:
        return "stepped" if all(_is_number(option) for option in schema["enum"]) else "choice"
    match schema.get("type"):
        case "boolean":
            return "switch"
        case "integer" | "number":
            return "slider" if "minimum" in schema and "maximum" in schema else "line"
        case "string":
            long = name in _LONG_TEXTS or schema.get("maxLength", 0) > _LONG_TEXT_LENGTH
            return "text" if long else "line"
        case _:
            return "json"


def _is_number(option: Any) -> bool:
    """Whether it is a number, or one written as text: Kling's durations are "5" and "10"."""
    if isinstance(option, str):
        return _NUMBER.fullmatch(option) is not None
    return isinstance(option, (int, float)) and not isinstance(option, bool)


def _step(schema: Mapping[str, Any]) -> float:
    """A step that a hand can hit: 1 for whole numbers, else 20 to 100 positions for usual ranges."""
    if "multipleOf" in schema:
        return float(schema["multipleOf"])
    if schema["type"] == "integer":
        return 1
    span = schema["maximum"] - schema["minimum"]
    return 0.01 if span <= 1 else 0.05 if span <= 5 else 0.1


def _label(name: str, schema: Mapping[str, Any], *, is_media: bool) -> str:
    if schema.get("title"):
        return str(schema["title"])
    words = name.split("_")
    if is_media and len(words) > 1 and words[-1] in ("url", "urls"):
        # "Image" takes a file as well as a URL; a list says so in the plural.
        words = [*words[:-2], words[-2] + ("s" if words[-1] == "urls" else "")]
    words = [_ABBREVIATIONS.get(word, word) for word in words]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])
