"""`Endpoint`: one of fal's endpoints, with its parameters, its result and its price.

`Control` describes one parameter to a front end. All decisions about it are made here, from the JSON
Schema, so that the panel, the flag parser and the help text only read a plain list.

`estimate` makes the price estimate of a request.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from kling_nb._lazy import jsonschema_rs
from kling_nb.catalog.problem import input_error, unknown_parameter

OutputKind = Literal["video", "audio", "image", "data"]

_OUTPUT_KINDS: tuple[OutputKind, ...] = ("video", "audio", "image")
_NAMESPACES = ("workflows", "comfy")
APP_PATTERN = rf"(?:(?:{'|'.join(_NAMESPACES)})/)?[^/]+/[^/]+"
"""Regular expression for the app that `split_app` returns."""


@dataclass(frozen=True)
class Price:
    """The known price of an endpoint. It guards against surprises and is not a quote.

    Attributes:
        usd_per_second: US dollars for a second of video at the default settings.
        usd_per_video: US dollars for one result, for endpoints with a flat price.
        note: What the figure covers and where it comes from.
        as_of: Day on which it was read (ISO), None if the source has no date.
        variants: Other rates in the same unit, by setting: `audio_on`, `audio_off`, `voice_control`, or a
            `resolution` (`720p`). A name with `video_` in front applies if the input has a video: the seconds
            of input and output are billed then, at least twice those of the output.
        step: The seconds that are billed are a multiple of this, or None.
    """

    usd_per_second: float | None = None
    usd_per_video: float | None = None
    note: str = ""
    as_of: str | None = None
    variants: Mapping[str, float] = field(default_factory=dict, hash=False)
    step: float | None = None


@dataclass(frozen=True)
class Endpoint:
    """One endpoint. It is compared by its content and hashed by its id.

    Attributes:
        id: fal's id, such as `fal-ai/kling-video/v1/pro/text-to-video`.
        short_name: Name for people, such as `v1-pro`; equals the id for endpoints that are not Kling's.
        title: Name in words.
        category: fal's category, such as `text-to-video`.
        generation: Kling's version ("3.0", "O3"), or None.
        tier: `pro`, `standard`, `4k` and so on, or None.
        input_schema: JSON Schema (2020-12) of the input, with six extensions. `x-fal-media` marks a text
            that is the URL of an image, video or audio file, `x-media-also` lists further kinds that it
            accepts, `x-fal` has fal's limits of the file, `x-fal-when` those for a value of another
            parameter, and `x-media-formats` its formats.
            `x-max-together`, in the root, limits several lists together. Empty for an endpoint of the
            package whose schema is fetched at its first use.
        output_schema: JSON Schema of the result.
        price: Known price, or None.
        fetched_at: When fal sent the schema (ISO 8601), None if it comes with the package.
        notice: A warning about the schema for the user, such as its age; empty if there is none.
    """

    id: str
    short_name: str
    title: str
    category: str
    generation: str | None = field(default=None, hash=False)
    tier: str | None = field(default=None, hash=False)
    input_schema: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    output_schema: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    price: Price | None = field(default=None, repr=False, hash=False)
    fetched_at: str | None = field(default=None, repr=False, compare=False)
    notice: str = field(default="", repr=False, compare=False)

    @cached_property
    def parameters(self) -> tuple[Control, ...]:
        """The parameters, in the schema's order."""
        return controls(self.input_schema)

    def parameter(self, name: str) -> Control:
        """Return the parameter called `name`.

        Raises:
            InputError: There is none; the message names the closest ones.
        """
        for control in self.parameters:
            if control.name == name:
                return control
        raise input_error(
            [unknown_parameter(self.short_name, (name,), [control.name for control in self.parameters])]
        )

    @property
    def has_schema(self) -> bool:
        """False for an endpoint of the package whose schema is fetched at its first use."""
        return bool(self.input_schema)

    @property
    def media_parameters(self) -> tuple[str, ...]:
        """The names of the parameters that take a file or a list of files."""
        return tuple(control.name for control in self.parameters if control.kind == "media")

    @property
    def output_pointer(self) -> str:
        """The name of the result's property that is the file; empty if the result is data only."""
        return next(iter(self._files()), "")

    @property
    def output_kind(self) -> OutputKind:
        """The kind of the result's file; `data` if there is no file or its kind is unknown."""
        return next(iter(self._files().values()), "data")

    def _files(self) -> dict[str, OutputKind]:
        """Return the result's properties that are a file or a list of files, videos first."""
        files: dict[str, OutputKind] = {}
        for name, part in self.output_schema.get("properties", {}).items():
            file = part.get("items", part)
            if "url" in file.get("properties", {}):
                kind = file.get("x-fal-media", name)
                files[name] = next((known for known in _OUTPUT_KINDS if known == kind), "data")
        order = (*_OUTPUT_KINDS, "data")
        return dict(sorted(files.items(), key=lambda pair: order.index(pair[1])))

    @property
    def app_path(self) -> str:
        """The part of the id under which fal keeps requests: owner and alias (FAL-PROTOCOL §2)."""
        return split_app(self.id)[0]

    @cached_property
    def validator(self) -> jsonschema_rs.Draft202012Validator:
        """The compiled input schema. Any thread may use it."""
        return jsonschema_rs.Draft202012Validator(dict(self.input_schema))


def estimate(
    endpoint: Endpoint, resolved: Mapping[str, Any], input_seconds: float | None = None
) -> float | None:
    """Estimate the price of one result in US dollars. Return None if price or length is unknown.

    Args:
        endpoint: Where the request goes.
        resolved: The input with its defaults, as in `VideoRequest.resolved`.
        input_seconds: The length of the videos in the input, if it is known.
    """
    price = endpoint.price
    if price is None:
        return None
    if price.usd_per_video is not None:
        return price.usd_per_video
    seconds = _seconds(resolved)
    if seconds is None and endpoint.output_kind == "video":  # an edited video is as long as its input
        seconds = input_seconds
    if price.usd_per_second is None or seconds is None:
        return None
    seconds = math.ceil(seconds / price.step) * price.step if price.step else seconds
    if _bills_input(price, resolved):
        if input_seconds is None:
            return None
        seconds = max(seconds + input_seconds, 2 * seconds)
    return seconds * _rate(price, price.usd_per_second, resolved)


def _rate(price: Price, usual: float, resolved: Mapping[str, Any]) -> float:
    """Return the price of a second at the settings of a request, `usual` if they have none of their own."""
    resolution, variants = str(resolved.get("resolution", "")), price.variants
    if _bills_input(price, resolved):
        return variants.get(f"video_{resolution}", usual)
    return variants.get(resolution, variants.get(_audio_variant(price, resolved), usual))


def _bills_input(price: Price, resolved: Mapping[str, Any]) -> bool:
    """Return True if the seconds of a video in the input are billed too."""
    billed = any(name.startswith("video_") for name in price.variants)
    return billed and _has(resolved, lambda name: "video_url" in name)


def _audio_variant(price: Price, resolved: Mapping[str, Any]) -> str:
    """Return the name of the rate for the audio of a request: audio with voices of one's own costs more."""
    audio = resolved.get("generate_audio", "")
    sells_voices = "voice_control" in price.variants and audio is not False
    if sells_voices and _has(resolved, lambda name: name in {"voice_id", "voice_ids"}):
        return "voice_control"
    return {True: "audio_on", False: "audio_off"}.get(audio, "")


def _has(value: Any, is_wanted: Callable[[str], bool]) -> bool:
    """Return True if an input has a value for a parameter of a wanted name, at any depth."""
    if isinstance(value, Mapping):
        return any((is_wanted(name) and part) or _has(part, is_wanted) for name, part in value.items())
    return isinstance(value, (list, tuple)) and any(_has(part, is_wanted) for part in value)


def units_text(
    endpoint: Endpoint, resolved: Mapping[str, Any], units: str, input_seconds: float | None = None
) -> str:
    """Return billed units as text, with unit price and total where the unit price is that of these units.

    `units` are the `x-fal-billable-units`, a decimal. The other arguments are those of `estimate`.
    """
    count, price, text = number_of(units), endpoint.price, f"{units[:20]} billable units"
    if count is None or price is None:
        return text
    rate = price.usd_per_video
    if price.usd_per_second is not None:
        rate = _rate(price, price.usd_per_second, resolved)
    if rate is None:
        return text
    expected = estimate(endpoint, resolved, input_seconds)
    # fal may weigh units by their settings. Only the rate that it reports itself then fits them.
    if price.note == LIVE_PRICE or (expected is not None and abs(count * rate - expected) < 1e-6):
        return f"{text} × ${rate:g} = ${count * rate:.2f}"
    return text


LIVE_PRICE = "fal's price at the default settings."
_RESULT_UNITS = frozenset({"video", "generation", "request", "output"})


def price_of_unit(usd: float, unit: str, currency: str, kind: str, day: str) -> Price | None:
    """Return fal's price of a unit as a price of results, or None if it cannot be applied.

    `unit` is fal's word, such as "seconds", and `kind` the kind of the endpoint's result, such as "video".
    """
    word = unit.strip().casefold().removesuffix("s")
    if currency != "USD" or not 0 < usd < float("inf"):
        return None
    if word == "second":
        return Price(usd_per_second=usd, note=LIVE_PRICE, as_of=day)
    return Price(usd_per_video=usd, note=LIVE_PRICE, as_of=day) if word in {*_RESULT_UNITS, kind} else None


def with_price(endpoint: Endpoint, usd_per_second: float) -> Endpoint:
    """Return the endpoint with the user's own price, in US dollars for a second of video."""
    price = Price(usd_per_second=usd_per_second, note="Set by you.")
    return replace(endpoint, price=price)


def _seconds(resolved: Mapping[str, Any]) -> float | None:
    shots = resolved.get("multi_prompt")
    if isinstance(shots, (list, tuple)) and shots:
        lengths = [number_of(shot.get("duration")) for shot in shots if isinstance(shot, Mapping)]
        known = [length for length in lengths if length is not None]
        return sum(known) if len(known) == len(shots) else None
    return number_of(resolved.get("duration"))


def number_of(value: Any) -> float | None:
    """Return a value as a number, or None if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def split_app(endpoint_id: str) -> tuple[str, str]:
    """Split an id into its app, under which fal keeps requests, and the path within the app.

    The app is an optional namespace, the owner and the alias (FAL-PROTOCOL §2).
    """
    parts = endpoint_id.split("/")
    depth = 3 if parts[0] in _NAMESPACES else 2
    return "/".join(parts[:depth]), "/".join(parts[depth:])


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
            `media` (an image, video or audio file: URL, path or bytes), `json` (lists and objects).
        label: The name in words, such as "Aspect ratio".
        description: What it does, from the schema.
        required: True if the schema always requires it. Alternatives ("prompt or multi_prompt") are rules
            between parameters, and a request checks them when it is built.
        default: The schema's default, or None.
        options: Allowed values as they are sent ("5" stays a text), for `stepped` and `choice`.
        minimum: Smallest number, for `slider`.
        maximum: Largest number, for `slider`.
        step: Distance between two positions, for `slider`.
        max_length: Maximum number of characters, for `text` and `line`.
        media: Kind of the file, for `media`.
        many: True if it takes a list of files, for `media`.
        max_items: Maximum number of items of a list, if the schema has one.
        unit: Unit of the number, such as "s", if the schema's description names one.
        fields: Controls of one object, for a list of flat objects (`json`), such as the shots of a video.
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
    unit: str = ""
    fields: tuple[Control, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a plain object with every attribute, for JavaScript."""
        return {**asdict(self), "options": None if self.options is None else list(self.options)}


def controls(schema: Mapping[str, Any]) -> tuple[Control, ...]:
    """Return the controls of an input schema, in its order."""
    required = schema.get("required", ())
    return tuple(
        _control(name, part, required=name in required) for name, part in schema.get("properties", {}).items()
    )


def media_of(schema: Mapping[str, Any]) -> Any:
    """Return the `x-fal-media` value of a property or of its list items, or None."""
    items = schema.get("items")
    return schema.get("x-fal-media") or (items.get("x-fal-media") if isinstance(items, Mapping) else None)


def _control(name: str, schema: Mapping[str, Any], *, required: bool) -> Control:
    kind = _kind(name, schema)
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
        media=media_of(schema) if kind == "media" else None,
        many=kind == "media" and schema.get("type") == "array",
        max_items=schema.get("maxItems"),
        unit=_unit(name, schema) if kind in ("stepped", "slider") else "",
        fields=_fields(schema),
    )


def _fields(schema: Mapping[str, Any]) -> tuple[Control, ...]:
    """Return the controls of one item of a list of objects; none if an object holds lists or objects."""
    found = controls(schema["items"]) if isinstance(schema.get("items"), Mapping) else ()
    return () if any(control.kind == "json" for control in found) else found


_UNITS = {"seconds": "s", "second": "s", "milliseconds": "ms", "fps": "fps", "degrees": "°", "percent": "%"}


def _unit(name: str, schema: Mapping[str, Any]) -> str:
    """Return the unit that the schema names for a number, or an empty text."""
    words = re.findall(r"[a-z]+", f"{schema.get('description', '')} {name.replace('_', ' ')}".lower())
    return next((_UNITS[word] for word in words if word in _UNITS), "")


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
    """Return True for a number and for a number written as text: Kling's durations are "5" and "10"."""
    if isinstance(option, str):
        return _NUMBER.fullmatch(option) is not None
    return isinstance(option, (int, float)) and not isinstance(option, bool)


def _step(schema: Mapping[str, Any]) -> float:
    """Return a step that a user can select with a mouse: 1 for whole numbers, else 20 to 100 positions."""
    if "multipleOf" in schema:
        return float(schema["multipleOf"])
    if schema["type"] == "integer":
        return 1
    span = schema["maximum"] - schema["minimum"]
    return 0.01 if span <= 1 else 0.05 if span <= 5 else 0.1


def _label(name: str, schema: Mapping[str, Any], *, is_media: bool) -> str:
    if schema.get("title"):
        return str(schema["title"])
    if name == "multi_prompt":
        return "Shots"
    words = name.split("_")
    if is_media and len(words) > 1 and words[-1] in ("url", "urls"):
        # The parameter takes a file as well as a URL, so its label is "Image", or "Images" for a list.
        words = [*words[:-2], words[-2] + ("s" if words[-1] == "urls" else "")]
    words = [_ABBREVIATIONS.get(word, word) for word in words]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])
