"""`Order`: what the local preview server draws for a request.

`check_input` checks the input and `InvalidInput` is the model's 422. The schema marks the files of the input,
and they are fetched from this machine only. `Pace` slows an order down, and stops it.
"""

from __future__ import annotations

import asyncio
import io
import ipaddress
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient

from kling_nb._lazy import jsonschema_rs
from kling_nb.catalog import Endpoint
from kling_nb.catalog.endpoint import number_of
from kling_nb.catalog.problem import ValuePath, clip
from kling_nb.local.files import FileStore
from kling_nb.local.job import Answer
from kling_nb.request.limits import Breach, Measures, Place, breaches, measure
from kling_nb.request.media_input import DataUriError, is_data_uri, parse_data_uri
from kling_nb.request.validation import rule_problems, subschema

Path = Sequence[str | int]
"""Names and indexes from the input's top to a value."""

LONGEST = 60.0
"""Maximum length of a preview in seconds."""

_SHAPING = ("start_image_url", "image_url", "human_image_url", "video_url")
"""First frames. They decide the shape of the video instead of `aspect_ratio`, as for Kling."""

_MAIN = (*_SHAPING, "image_urls", "input_image_urls", "elements")


@dataclass(frozen=True, slots=True)
class Order:
    """What to render for one request.

    Attributes:
        name: The endpoint in words, for the small print.
        prompt: The text of the title.
        salt: Everything else in the input that should change the preview.
        seconds: Length; None if a file or the text decides it.
        ratio: Width divided by height; None if an image decides it.
        main: The image or video to start from.
        ending: The image to end on.
        inset: A second image.
        audio: Speech that gives the video its length.
        outputs: Names of the result's properties that are files, or lists of files.
        count: Number of files in a list.
        pace: Speed of speech.
        heard: True if the video is to have audio.
    """

    name: str
    prompt: str
    salt: str
    seconds: float | None
    ratio: float | None
    main: InputFile | None
    ending: InputFile | None
    inset: InputFile | None
    audio: InputFile | None
    outputs: tuple[str, ...]
    count: int
    pace: float
    heard: bool


_COUNTS = {"series": "series_amount"}
"""The parameter with the number of images, by `result_type`."""


def make_order(endpoint: Endpoint, values: Mapping[str, Any], files: Sequence[InputFile]) -> Order:
    """Return the order for a checked input with its defaults and files."""
    main = _first(files, _MAIN)
    properties = endpoint.output_schema.get("properties", {})
    plain = {
        name: value
        for name, value in values.items()
        if "url" not in name and name not in {"prompt", "duration"}
    }
    return Order(
        name=endpoint.title,
        prompt=_prompt(endpoint, values),
        salt=json.dumps([endpoint.id, plain], sort_keys=True, default=str),
        seconds=_seconds(values),
        ratio=None if main and main.parameter in _SHAPING else _ratio(values.get("aspect_ratio")),
        main=main,
        ending=_first(files, ("tail_image_url", "end_image_url")),
        inset=_first(files, ("garment_image_url",)),
        audio=_first(files, ("audio_url", "voice_url")),
        outputs=tuple(
            name
            for name, part in properties.items()
            if "url" in part.get("items", part).get("properties", {})
        ),
        count=max(
            1, int(number_of(values.get(_COUNTS.get(str(values.get("result_type")), "num_images"))) or 0)
        ),
        pace=float(values.get("voice_speed") or 1.0),
        heard=values.get("generate_audio") is True,
    )


def _prompt(endpoint: Endpoint, values: Mapping[str, Any]) -> str:
    shots = [
        str(shot.get("prompt") or "")
        for shot in values.get("multi_prompt") or ()
        if isinstance(shot, Mapping)
    ]
    effect = str(values.get("effect_scene") or "").replace("_", " ").capitalize()
    texts = (values.get("prompt"), "\n".join(shots), values.get("text"), effect)
    return next((str(text).strip() for text in texts if text and str(text).strip(" .\n")), endpoint.title)


def _seconds(values: Mapping[str, Any]) -> float | None:
    shots = values.get("multi_prompt") or ()
    total = sum(number_of(shot.get("duration")) or 0.0 for shot in shots if isinstance(shot, Mapping))
    seconds = total or number_of(values.get("duration")) or 0.0
    return min(seconds, LONGEST) if seconds > 0 else None


def _ratio(value: Any) -> float | None:
    width, height = (number_of(side) or 0.0 for side in str(value or "").partition(":")[::2])
    return width / height if width > 0 and height > 0 else None


def _first(files: Sequence[InputFile], names: Sequence[str]) -> InputFile | None:
    return next((file for name in names for file in files if file.parameter == name), None)


# -- files of an input ----------------------------------------------------------------

LARGEST = 200 << 20
"""Maximum bytes of one input file."""

_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of an input with its bytes, and its place in the input."""

    place: Place
    data: bytes

    @property
    def path(self) -> ValuePath:
        """Path in the input."""
        return self.place.path

    @property
    def kind(self) -> str:
        """Kind of the parameter: `image`, `video` or `audio`."""
        return str(self.place.schema["x-fal-media"])

    @property
    def parameter(self) -> str:
        """Name of the top-level parameter that the file belongs to."""
        return str(self.path[0])


async def fetch(place: Place, store: FileStore, base: str) -> InputFile:
    """Read one file: a data URI, an upload of this server, or any URL on loopback.

    Raises:
        InvalidInput: The file cannot be read. The entry has fal's type `file_download_error`.
    """
    url = place.value
    if is_data_uri(url):
        try:
            data = parse_data_uri(url).data
        except DataUriError as fault:
            raise _download_error(place, f"it is a data URI {fault}") from fault
        if not data:
            raise _download_error(place, "the data URI is empty")
        return InputFile(place, data)
    own = store.find_url(url, base)
    if own is not None:
        return InputFile(place, await asyncio.to_thread(own.path.read_bytes))
    if not is_loopback(url):
        raise _download_error(
            place, "the local preview server fetches only files of this machine; upload the file instead"
        )
    client = AsyncHTTPClient(force_instance=True, max_body_size=LARGEST)
    try:
        reply = await client.fetch(url, follow_redirects=False, request_timeout=_SECONDS)
    except Exception as fault:
        raise _download_error(place, str(fault)[:200]) from fault
    finally:
        client.close()
    return InputFile(place, reply.body)


def is_loopback(url: str) -> bool:
    """Return True for an http(s) URL of this machine, by its text alone, without a name look-up."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme in {"http", "https"} and (
            host == "localhost" or ipaddress.ip_address(host).is_loopback
        )
    except ValueError:
        return False


def _download_error(place: Place, why: str) -> InvalidInput:
    message = f"Failed to download the file: {why}"
    return InvalidInput([detail(place.path, message, "file_download_error", place.value)])


def check_limits(file: InputFile) -> None:
    """Check a file against what its endpoint states.

    Raises:
        InvalidInput: It breaks a limit.
    """
    if not file.place.limits and not file.place.formats:
        return
    found = measure(io.BytesIO(file.data), len(file.data))
    broken = breaches(file.place, found, rehearsal=True)
    if broken:
        raise InvalidInput([_limit_detail(file, found, breach) for breach in broken])


def _limit_detail(file: InputFile, found: Measures, breach: Breach) -> Detail:
    """Return the entry for a limit, in fal's types where it has one (FAL-PROTOCOL §11.1)."""
    side, _, what = breach.name.partition("_")
    message = f"The {found.kind or file.kind} {breach.text}"
    limits = file.place.limits
    if breach.name == "formats":
        kind, context = f"unsupported_{found.kind}_format", {"supported_formats": breach.limit}
    elif what == "file_size":
        kind, context = "file_too_large", {"max_size": breach.limit}
    elif what == "duration":
        kind = f"{found.kind}_duration_too_{'long' if side == 'max' else 'short'}"
        context = {breach.name: breach.limit, "provided_duration": round(breach.value, 3)}
    elif what in {"width", "height"} and found.kind == "image":
        kind = "image_too_large" if side == "max" else "image_too_small"
        context = {f"{side}_{one}": limits.get(f"{side}_{one}") for one in ("height", "width")}
    else:
        kind, context = "value_error", {}
    return detail(file.path, message, kind, file.place.value, **context)


def decode_error(path: Path, kind: str, why: str) -> InvalidInput:
    """Return the error for a file that was read but cannot be decoded."""
    if kind == "image":
        return InvalidInput([detail(path, f"Failed to load the image: {why}", "image_load_error", None)])
    formats = {"video": ["mp4", "mov", "webm"], "audio": ["mp3", "wav", "m4a", "ogg"]}[kind]
    message = f"Unsupported {kind} format: {why}"
    return InvalidInput(
        [detail(path, message, f"unsupported_{kind}_format", None, supported_formats=formats)]
    )


# -- check of an input ----------------------------------------------------------------

Detail = dict[str, Any]

_LONGEST_TEXT = 400


class InvalidInput(Exception):
    """The model refuses the input. `details` are the entries of the 422 (FAL-PROTOCOL §6.2, §11.1)."""

    def __init__(self, details: list[Detail]) -> None:
        self.details = details
        super().__init__("; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in details))

    def answer(self) -> Answer:
        """Return the reply of the result URL. Nothing is billed, and a retry does not help."""
        return Answer(422, {"detail": self.details}, units="0", headers={"X-Fal-Retryable": "false"})


def detail(path: Path, message: str, kind: str, given: Any, **context: Any) -> Detail:
    """Return one entry of a `detail` list, of fal's error type `kind`, with the limits in `ctx`.

    Long texts of the wrong value, `given`, are cut.
    """
    entry: Detail = {
        "loc": ["body", *path],
        "msg": message,
        "type": kind,
        "url": f"https://docs.fal.ai/errors/#{kind}",
        "input": _short(given),
    }
    return entry | {"ctx": context} if context else entry


def check_input(endpoint: Endpoint, values: Any) -> dict[str, Any]:
    """Return the input with its defaults and without nulls.

    Raises:
        InvalidInput: The schema does not allow it, or what fal states in words.
    """
    if not isinstance(values, dict):
        raise InvalidInput([detail((), "Input should be a valid dictionary", "dict_type", values)])
    given = {name: value for name, value in values.items() if value is not None}
    found: dict[ValuePath, Detail] = {}
    for error in endpoint.validator.iter_errors(given):
        entry = _entry(endpoint.input_schema, error)
        place = tuple(entry["loc"])
        if place not in found or error.schema_path[-1] == "enum":  # An enum error lists the choices.
            found[place] = entry
    if found:
        raise InvalidInput(list(found.values()))
    rules = [
        detail(rule.path, f"Value error, {rule.text}", "value_error", None)
        for rule in rule_problems(endpoint, given)
    ]
    if rules:
        raise InvalidInput(rules)
    defaults = {
        name: part["default"]
        for name, part in endpoint.input_schema.get("properties", {}).items()
        if "default" in part
    }
    return defaults | given


def _entry(schema: Mapping[str, Any], error: jsonschema_rs.ValidationError) -> Detail:
    path, keyword, given = list(error.instance_path), str(error.schema_path[-1]), error.instance
    part = subschema(schema, error.schema_path[:-1])
    limit: Any = part.get(keyword)
    if keyword in _LIMITS:
        words, kind, name = _LIMITS[keyword]
        return detail(path, f"{words} {limit}", kind, given, **{name: limit})
    match keyword:
        case "required":
            missing = str(getattr(error.kind, "property", ""))
            return detail([*path, missing], "Field required", "missing", given)
        case "enum":
            return detail(path, f"Input should be {_either(limit)}", "one_of", given, expected=list(limit))
        case "type":
            kind = limit if isinstance(limit, str) else "value"
            return detail(path, f"Input should be a valid {kind}", _TYPES.get(kind, "value_error"), given)
        case "oneOf" | "anyOf":
            return detail(path, _alternatives(limit), "value_error", given)
        case "not":
            together = " and ".join(limit.get("required", ["these"]))
            return detail(path, f"Value error, {together} exclude each other", "value_error", given)
    return detail(path, error.message[:_LONGEST_TEXT], "value_error", given)


_LIMITS = {
    "minimum": ("Input should be greater than or equal to", "greater_than_equal", "ge"),
    "maximum": ("Input should be less than or equal to", "less_than_equal", "le"),
    "exclusiveMinimum": ("Input should be greater than", "greater_than", "gt"),
    "exclusiveMaximum": ("Input should be less than", "less_than", "lt"),
    "multipleOf": ("Input should be a multiple of", "multiple_of", "multiple_of"),
    "minItems": ("Number of items should be at least", "sequence_too_short", "min_length"),
    "maxItems": ("Number of items should be at most", "sequence_too_long", "max_length"),
    "minLength": ("Number of characters should be at least", "string_too_short", "min_length"),
    "maxLength": ("Number of characters should be at most", "string_too_long", "max_length"),
}
"""Keyword: message, fal's type, name of the limit in `ctx`."""

_TYPES = {
    "string": "string_type",
    "integer": "int_type",
    "number": "float_type",
    "boolean": "bool_type",
    "array": "list_type",
    "object": "dict_type",
}


def _either(values: Sequence[Any]) -> str:
    *most, last = [repr(value) for value in values]
    return f"{', '.join(most)} or {last}" if most else last


def _alternatives(parts: Sequence[Mapping[str, Any]]) -> str:
    names = [" and ".join(part.get("required", [])) for part in parts]
    return f"Value error, give exactly one of: {', '.join(filter(None, names))}"


def _short(value: Any) -> Any:
    """Return `value` with its long texts cut, because the reply need not repeat a data URI."""
    if isinstance(value, str):
        return clip(value, _LONGEST_TEXT)
    if isinstance(value, Mapping):
        return {name: _short(part) for name, part in value.items()}
    return [_short(part) for part in value] if isinstance(value, list) else value


# -- pace ---------------------------------------------------------------------------


class OrderCancelled(Exception):
    """The order was cancelled while it was rendered."""


@dataclass(slots=True)
class Pace:
    """Slows the rendering of an order down, and stops it.

    The server's loop sets `stop`, the thread that renders calls `wait`.

    Attributes:
        seconds: Minimum time for five seconds of video; 0 for no waiting.
        stop: Set it to cancel the order.
    """

    seconds: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> None:
        """Sleep, and raise `OrderCancelled` if the order is cancelled before or meanwhile."""
        if self.stop.wait(seconds) if seconds > 0 else self.stop.is_set():
            raise OrderCancelled
