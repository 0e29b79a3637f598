"""`VideoRequest`: an input that an endpoint's schema accepts, with its fingerprint.

`build_request` makes one from the arguments of a call and chooses the parameters for the prompt and the
images. `image_endpoint` chooses the endpoint for a call with an image. `Coercion` converts the values that
users and front ends give to the types of the schema.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import numbers
import re
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from itertools import islice
from types import MappingProxyType
from typing import Any

from kling_nb.catalog import Endpoint
from kling_nb.catalog.endpoint import units_text
from kling_nb.catalog.problem import (
    InvalidValue,
    Problem,
    ValuePath,
    dotted_path,
    input_error,
    listing,
    quote,
)
from kling_nb.catalog.shipped import endpoint, endpoints
from kling_nb.errors import InputError, KlingError, UnknownEndpoint, UsageError
from kling_nb.request.limits import (
    FITS,
    Place,
    changes_in_words,
    conform,
    item_schema,
    limit_problems,
    measure_file,
    places,
    with_conditions,
)
from kling_nb.request.local_file import LocalFile, MediaSlot
from kling_nb.request.media_input import media_text, read_media
from kling_nb.request.validation import problems, rule_problems, warnings

_END = frozenset({"tail", "end", "last", "final"})
"""Words in the name of a parameter for the last image of a video: `tail_image_url`, `end_image_url`."""

_NOT_START = _END | {"mask"}
_SHOWN = 6  # number of endpoints that an error names


@dataclass(frozen=True, repr=False)
class VideoRequest:
    """A checked request that can be sent. Make one with `build`.

    Attributes:
        endpoint: The endpoint that it goes to.
        input: The given values, checked and in the schema's order, without defaults, as plain JSON values.
            A local file is its path as given, bytes are `sha256:…`.
        files: The local files by parameter path, such as `image_url`, `image_urls.0` or
            `elements.0.frontal_image_url`. They must be uploaded before the request is sent.
        earlier: Fingerprints that earlier versions gave the same call. What was paid for under one of them is
            shown instead of a new submission; see `Planner`.
        recorded: The fingerprint in the ledger or sidecar from which the request was read, or None. Such a
            request is never sent again.
        notes: What `fit` changed, one line for each file.
    """

    endpoint: Endpoint
    input: Mapping[str, Any]
    files: Mapping[str, LocalFile]
    earlier: tuple[str, ...] = field(default=(), compare=False)
    recorded: str | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def build(cls, endpoint: Endpoint, values: Mapping[str, Any], *, fit: str | None = None) -> VideoRequest:
        """Check `values` against the endpoint's schema.

        Values are converted if nothing must be guessed: 5 to "5" if the schema lists "5", "0.5" to 0.5, 5.0
        to 5, "true" to True, a JSON text to a list or object. None means not given. A prompt becomes a
        `plain_text`. A file may be a URL, a data URI, a path, bytes, a PIL image, a NumPy array, an open
        file, an earlier `Video`, or a `LocalFile`. Local files are read once, for their type and hash.

        `check` has the rules that decide only about a new submission.

        Args:
            endpoint: The endpoint.
            values: The input.
            fit: One of `FITS`, to make images and clips conform to the endpoint's limits.

        Raises:
            InputError: The input is wrong. The message has all problems; `parameter` names the first.
            MediaInputError: The first problem is about a file.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"The input is {quote(values)}, not parameters by name.", remedy="Give a dict.")
        given = {str(name): value for name, value in values.items() if value is not None}
        known = endpoint.input_schema.get("properties", {})
        ordered = [name for name in known if name in given] + [name for name in given if name not in known]
        coercion = Coercion(fit)
        data = {
            name: coercion.convert(with_conditions(known.get(name, {}), given), given[name], (name,))
            for name in ordered
        }
        plain: dict[str, Any] = _with_plain_texts(data)
        found = _merge(coercion.problems, problems(endpoint, plain))
        if found:
            raise input_error(found)
        files = MappingProxyType(coercion.files)
        request = cls(endpoint, MappingProxyType(plain), files, notes=tuple(coercion.notes))
        if plain == data and not any(file.earlier for file in files.values()):
            return request
        # Version 0.1.0 up to commit 21fcdc9 sent line ends and byte order marks as they were, and other bytes
        # of some images.
        before = {path: replace(file, sha256=file.earlier or file.sha256) for path, file in files.items()}
        return replace(request, earlier=(cls(endpoint, data, before).fingerprint,))

    def check(self, *, rehearsal: bool = False) -> None:
        """Check what fal would refuse, as far as it states it: limits of files, and rules between parameters.

        Call it before a new submission only. A take or a job that exists shows that fal accepted the request.

        Args:
            rehearsal: True for the local preview server (see `limits.breaches`).

        Raises:
            InputError: The message has all problems.
        """
        found = [
            *rule_problems(self.endpoint, self.input),
            *limit_problems(self.endpoint.input_schema, self.input, self.files, rehearsal=rehearsal),
        ]
        if found:
            raise input_error(found)

    @cached_property
    def input_seconds(self) -> float | None:
        """The length of the videos in the input, else of its audio; None if there are none or one is unknown.

        Files by URL have no known length.
        """
        for kind in ("video", "audio"):
            files = [
                self.files.get(dotted_path(place.path))
                for place in places(self.endpoint.input_schema, self.input)
                if place.schema["x-fal-media"] == kind
            ]
            lengths = [measure_file(file).values.get("duration") if file else None for file in files]
            if lengths:
                return None if None in lengths else sum(length for length in lengths if length)
        return None

    def units_text(self, units: str) -> str:
        """Return billed units (`x-fal-billable-units`) as text, with price and total if they are known."""
        return units_text(self.endpoint, self.resolved, units, self.input_seconds)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What fal accepts, and the user should know; also what `fit` changed."""
        return (*self.notes, *warnings(self.endpoint, self.input))

    @cached_property
    def resolved(self) -> Mapping[str, Any]:
        """The input with the schema's defaults, also inside of lists and objects. Do not change it."""
        resolved: dict[str, Any] = _with_defaults(self.endpoint.input_schema, dict(self.input))
        return resolved

    @cached_property
    def fingerprint(self) -> str:
        """64 hex digits that are equal for two requests of the same thing.

        Sidecars and ledgers store the fingerprint, so the recipe must not change:

        1. Take `resolved`: the input as converted by `build`, with every default of the schema that was
           left out, and without nulls.
        2. Replace each local file by `{"sha256": "<hex digest of its bytes>"}`, so that its name and place
           do not count. For an image from memory the digest is that of its mode, size and pixels (see
           `media_input`). URLs stay texts, and so do data URIs of up to 32,768 characters; a longer one is
           a local file.
        3. Write `{"endpoint": "<full id>", "input": <result>}` as `canonical_json`.
        4. Take the SHA-256 of its UTF-8 bytes, in hex.
        """
        if self.recorded is not None:
            return self.recorded
        data = copy.deepcopy(self.resolved) if self.files else self.resolved
        for path, file in self.files.items():
            _put(data, path, {"sha256": file.sha256})
        text = canonical_json({"endpoint": self.endpoint.id, "input": data})
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def prompt(self) -> str:
        """The request in words: the prompt or text, the prompts of its shots, or the endpoint's title."""
        shots = [shot["prompt"] for shot in self.input.get("multi_prompt", ())]
        return prompt_of(self.input, " · ".join(shots) or self.endpoint.title)

    def to_json(self) -> dict[str, Any]:
        """Return endpoint and input as plain JSON. Local files are path texts."""
        return {"endpoint": self.endpoint.id, "input": copy.deepcopy(dict(self.input))}

    def body(self, uploaded: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body that is sent: the input, with a URL in the place of each local file.

        Args:
            uploaded: URLs by parameter path, one for each of `files`. A further one replaces a data URI.

        Raises:
            KeyError: A file has no URL.
        """
        data = copy.deepcopy(dict(self.input))
        for path in {**self.files, **uploaded}:
            _put(data, path, uploaded[path])
        return data

    def __repr__(self) -> str:
        return f"VideoRequest({self.endpoint.short_name!r}, {quote(canonical_json(self.input), 200)[1:-1]})"


PROMPTS = frozenset({"prompt", "text"})
"""The names that the parameter for a prompt has: of speech it is `text`."""


def is_recorded_file(value: Any) -> bool:
    """Return True for a file in the input of a ledger row or a sidecar, which have its hash and name only."""
    return isinstance(value, Mapping) and set(value) == {"sha256", "name"}


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value.

    Keys are sorted by code point, there are no spaces, and no characters are escaped without need. A whole
    number has no fraction (1.0 becomes 1), because JSON makes no difference and languages disagree. Other
    numbers have Python's shortest exact form.

    Raises:
        ValueError: A number is infinite or not a number.
        TypeError: A value or a key has a type that JSON does not have.
    """
    return json.dumps(
        _canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("The keys of a JSON object must be texts.")
        return {name: _canonical(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(part) for part in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value


def plain_text(text: str) -> str:
    r"""Return a prompt with `\n` as its only line end, without final line ends and byte order mark."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def _with_plain_texts(value: Any, name: str = "") -> Any:
    """Return JSON whose prompts, at any depth, are plain texts."""
    if isinstance(value, dict):
        return {key: _with_plain_texts(part, key) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_plain_texts(part, name) for part in value]
    return plain_text(value) if isinstance(value, str) and name in {*PROMPTS, "negative_prompt"} else value


def _merge(first: list[Problem], then: tuple[Problem, ...]) -> list[Problem]:
    """Return all problems, without those that follow from a value that could not be converted."""
    places = [problem.path for problem in first]
    rest = [problem for problem in then if not any(problem.path[: len(place)] == place for place in places)]
    unknown = [problem for problem in rest if problem.kind == "unknown"]
    return [*unknown, *first, *(problem for problem in rest if problem not in unknown)]


def _with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        filled = {name: _with_defaults(parts.get(name, {}), part) for name, part in value.items()}
        missing = {
            name: copy.deepcopy(part["default"])
            for name, part in parts.items()
            if name not in filled and part.get("default") is not None
        }
        return {**filled, **missing}
    if isinstance(value, list):
        return [_with_defaults(schema.get("items", {}), item) for item in value]
    return value


def _put(data: Any, path: str, value: Any) -> None:
    """Replace the value at a parameter path such as `elements.0.frontal_image_url`."""
    *steps, last = path.split(".")
    place: Any = data
    for step in steps:
        place = place[int(step) if isinstance(place, list) else step]
    place[int(last) if isinstance(place, list) else last] = value


def _at(data: Any, path: str) -> Any:
    """Return the value at a parameter path, or None."""
    for step in path.split("."):
        try:
            data = data[int(step) if isinstance(data, list) else step]
        except (LookupError, TypeError, ValueError):
            return None
    return data


def build_request(
    chosen: Endpoint,
    *,
    prompt: str | None,
    image: Any,
    end_image: Any,
    parameters: Mapping[str, Any],
    fit: str | None = None,
) -> VideoRequest:
    """Make a request from the arguments of a call, or raise `InputError`."""
    if fit is not None and not (isinstance(fit, str) and fit in FITS):
        raise InputError(
            f"fit is {quote(fit)}.", remedy=f"It must be {listing(FITS, 'or')}.", parameter="fit"
        )
    values = dict(parameters)
    if image is not None:
        _put_image(values, chosen, "image", start_parameter(chosen), image)
    if end_image is not None:
        _put_image(values, chosen, "end_image", _end_parameter(chosen), end_image)
    if prompt is not None and not isinstance(prompt, str):
        raise InputError(
            f"prompt must be a text, not {quote(prompt)}.",
            remedy="Give a str, or several in a sweep.",
            parameter="prompt",
        )
    # The empty prompt of an empty cell is left out for endpoints without a required prompt, for example
    # because they take `multi_prompt` instead. For all others the schema reports it.
    required = chosen.input_schema.get("required", ())
    if prompt is not None and (prompt.strip() or PROMPTS & {*required}):
        values[_prompt_parameter(chosen)] = prompt
    return VideoRequest.build(chosen, values, fit=fit)


def prompt_of(given: Mapping[str, Any], default: str = "") -> str:
    """Return the prompt or the text of an input, or `default` if it has neither."""
    return str(given.get("prompt") or given.get("text") or default)


def as_recorded(request: VideoRequest, fingerprint: str, stored: Mapping[str, Any]) -> VideoRequest:
    """Return the request that an earlier version made of the same call, under its own fingerprint.

    `stored` is the input in the ledger or sidecar, in which files are marks.
    """
    data = copy.deepcopy(dict(stored))
    files = {path: file for path, file in request.files.items() if _at(data, path) == _mark(file)}
    for path in files:
        _put(data, path, _at(request.input, path))
    return replace(request, input=MappingProxyType(data), files=files, earlier=(), recorded=fingerprint)


def stored_input(request: VideoRequest) -> Mapping[str, Any]:
    """Return the input for ledger and sidecar, with the hash and name of each local file."""
    return request.body({path: _mark(file) for path, file in request.files.items()})


def _mark(file: LocalFile) -> dict[str, str]:
    return {"sha256": file.sha256, "name": file.name}


def image_endpoint(named: Endpoint, find: Callable[[str], Endpoint]) -> Endpoint:
    """Return the endpoint for a call with an image: `named`, or its image-to-video counterpart.

    `named` is returned if it takes an image or has no counterpart. `find` finds an endpoint that does not
    come with the package.
    """
    counterpart = named.id.replace("text-to-video", "image-to-video")
    if counterpart == named.id or _image_parameters(named):
        return named
    try:  # The counterpart of an endpoint of the package is in the package, too.
        return find(counterpart) if named.fetched_at else endpoint(counterpart)
    except UnknownEndpoint:
        return named


def image_argument(parameter: str) -> str:
    """Return the argument of `submit` that stands for an image parameter: `image` or `end_image`."""
    return "end_image" if _END & set(parameter.split("_")) else "image"


def notices(named: Endpoint, chosen: Endpoint) -> tuple[str, ...]:
    """Return notices for the user: the schema is old, or another endpoint is used than the named one."""
    found = [chosen.notice] if chosen.notice else []
    if chosen.id != named.id:
        found.append(f"{named.short_name} takes no image; {chosen.short_name} is used instead.")
    return tuple(found)


def _put_image(values: dict[str, Any], chosen: Endpoint, word: str, name: str, value: Any) -> None:
    if values.get(name) is not None:
        raise InputError(
            f"{word} and {name} are the same image of {chosen.short_name}.",
            parameter=name,
            remedy="Give only one of them. Nothing was sent.",
        )
    values[name] = value


def _prompt_parameter(chosen: Endpoint) -> str:
    """Return the name of the parameter for a prompt: `prompt`, or `text` for speech."""
    names = [control.name for control in chosen.parameters]
    if found := sorted(PROMPTS.intersection(names)):  # of both, `prompt`
        return found[0]
    raise InputError(
        f"{chosen.short_name} takes no prompt.",
        parameter="prompt",
        remedy=f"Its parameters: {', '.join(names)}. Nothing was sent.",
    )


def start_parameter(chosen: Endpoint) -> str:
    """Return the name of the schema's first image parameter that is neither an end image nor a mask."""
    for name in _image_parameters(chosen):
        if not _NOT_START & set(name.split("_")):
            return name
    raise InputError(
        f"{chosen.short_name} takes no image. Nothing was sent.",
        parameter="image",
        remedy="Choose an image-to-video endpoint: %kling endpoints image",
    )


def _end_parameter(chosen: Endpoint) -> str:
    found = _find_end_parameter(chosen)
    if found is not None:
        return found
    others = [one for one in endpoints() if _find_end_parameter(one)]
    # The sort is stable, so the endpoints of the same generation come first, and each part is newest first.
    others.sort(key=lambda one: one.generation != chosen.generation)
    names = [one.short_name for one in others]
    raise InputError(
        f"{chosen.short_name} takes no end image. Nothing was sent.",
        parameter="end_image",
        remedy=f"These do: {listing(names[:_SHOWN])} and {len(names) - _SHOWN} more.",
    )


def _find_end_parameter(chosen: Endpoint) -> str | None:
    return next((name for name in _image_parameters(chosen) if _END & set(name.split("_"))), None)


def _image_parameters(chosen: Endpoint) -> list[str]:
    return [
        control.name for control in chosen.parameters if control.kind == "media" and control.media == "image"
    ]


_RATIO = re.compile(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)")


def shape_of(request: VideoRequest) -> float:
    """Return width by height of the video that a request asks for, or 0.0 if it does not say.

    An image in the input decides. Without one, it is a parameter whose value is a ratio, such as "16:9".
    """
    for path, file in request.files.items():
        if not file.content_type.startswith("image/") or "[" in path or "." in path:
            continue
        with suppress(KlingError, OSError):
            size = measure_file(file).values
            return round(size["width"] / size["height"], 4) if size.get("height") else 0.0
    return ratio_in(request.resolved.values())


def ratio_in(values: Iterable[Any]) -> float:
    """Return width by height that values of parameters name, such as "16:9", or 0.0."""
    for value in values:
        found = _RATIO.fullmatch(value) if isinstance(value, str) else None
        if found and float(found[2]):
            return round(float(found[1]) / float(found[2]), 4)
    return 0.0


# -- conversion of values. `validation` checks the result.

_NUMERAL = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
_LONGEST = 1_000  # values of a generator, which may be endless
_DEPTH = 60  # limits the recursion; `validation` has a lower limit for what is sent


def as_list(value: Any) -> Any:
    """Return the list of a range, a generator, a pandas Series or Index, or an array with one axis.

    Any other value is returned as it is: a text, an image, an open file, an object.
    """
    if isinstance(value, (range, KeysView, ValuesView)):
        return list(value)
    if isinstance(value, Iterator) and not hasattr(value, "read"):  # An open file is an iterator, too.
        values = list(islice(value, _LONGEST + 1))
        if len(values) > _LONGEST:
            raise UsageError(f"A generator gave more than {_LONGEST:,} values.", remedy="Give a list.")
        return values
    if getattr(value, "ndim", None) == 1 and callable(getattr(value, "tolist", None)):
        return value.tolist()
    return value


class Coercion:
    """The conversion of the values of one request.

    Args:
        fit: How a file is made to conform to the limits of its place (see `limits.conform`), or None.

    Attributes:
        problems: The values that could not be converted.
        files: The local files in the values, by parameter path (`elements.0.frontal_image_url`).
        notes: What was changed, one line each.
    """

    def __init__(self, fit: str | None = None) -> None:
        self._fit = fit
        self.problems: list[Problem] = []
        self.files: dict[str, LocalFile] = {}
        self.notes: list[str] = []

    def convert(self, schema: Mapping[str, Any], value: Any, path: ValuePath) -> Any:
        """Return a copy of `value` in the types of `schema`, unchanged where they cannot be reached."""
        try:
            if "x-fal-media" in schema:
                return self._media(schema, value, path)
            match schema.get("type"):
                case "array":
                    return self._list(schema, value, path)
                case "object":
                    return self._object(schema, value, path)
                case _:
                    return _scalar(schema, value, path)
        except InvalidValue as error:
            self.problems.append(error.problem)
            return None

    def _media(self, schema: Mapping[str, Any], value: Any, path: ValuePath) -> str:
        slot = MediaSlot.of(schema, path)
        media = read_media(slot, value)
        if self._fit:
            given, media = media, conform(Place(path, schema, ""), slot, media, self._fit)
            if media is not given and isinstance(media, LocalFile):
                self.notes.append(f"{slot.name} was changed by fit={self._fit}: {changes_in_words(media)}.")
        if isinstance(media, LocalFile):
            self.files[dotted_path(path)] = media
        return media_text(media, value)

    def _list(self, schema: Mapping[str, Any], given: Any, path: ValuePath) -> Any:
        value = as_list(given)
        items = item_schema(schema)
        if "x-fal-media" in items:
            value = _file_list(value)
        elif isinstance(value, str):
            value = _parse_json(
                value, path, "list", '["…"]' if items.get("type") == "string" else '[{"…": …}]'
            )
        if not isinstance(value, (list, tuple)):
            return _json_value(value, path)
        return [self.convert(items, item, (*path, index)) for index, item in enumerate(value)]

    def _object(self, schema: Mapping[str, Any], value: Any, path: ValuePath) -> Any:
        if isinstance(value, str):
            value = _parse_json(value, path, "object", '{"…": …}')
        if not isinstance(value, Mapping):
            return _json_value(value, path)
        known = schema.get("properties", {})
        return {
            str(name): self.convert(with_conditions(known.get(name, {}), value), part, (*path, str(name)))
            for name, part in value.items()
            if part is not None
        }


def _file_list(value: Any) -> Any:
    """Return a list of files: also for a single file, and for the JSON text of a list."""
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, str) and value.lstrip().startswith("["):  # It may also be the name of a file.
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return [value]


def _parse_json(text: str, path: ValuePath, noun: str, example: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        remedy = f"Give a Python {'list' if noun == 'list' else 'dict'}, or JSON such as {example}."
        why = f"{dotted_path(path)} is not JSON: {quote(text)}{where}."
        raise InvalidValue(path, "json", why, remedy) from None


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not valid in JSON")


def _scalar(schema: Mapping[str, Any], value: Any, path: ValuePath) -> Any:
    kind = schema.get("type")
    value = _plain(value)
    if isinstance(value, str):
        return _from_text(kind, schema.get("enum", ()), str.__str__(value), path)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return _json_value(value, path)
    number = _finite_number(value, path)
    if kind == "string":
        word = str(int(number)) if number == int(number) else repr(number)
        return word if word in schema.get("enum", ()) else number
    return int(number) if kind == "integer" and number == int(number) else number


def _plain(value: Any) -> Any:
    """Return the Python value of a NumPy scalar or of a finite `Decimal`."""
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == int(value) else float(value)
    is_scalar = getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None))
    return value.item() if is_scalar else value


def _from_text(kind: Any, enum: Any, text: str, path: ValuePath) -> Any:
    word = text.strip()
    if kind == "string":
        return word if word in enum else text
    if kind == "boolean" and word.casefold() in ("true", "false"):
        return word.casefold() == "true"
    if kind in ("integer", "number") and _NUMERAL.fullmatch(word):
        number = int(word) if word.lstrip("+-").isdigit() else _finite_number(float(word), path)
        return int(number) if kind == "integer" and number == int(number) else number
    return text


def _finite_number(value: Any, path: ValuePath) -> int | float:
    """Return a Python number for a number of any type, such as numpy's."""
    number = int(value) if isinstance(value, numbers.Integral) else float(value)
    if isinstance(number, float) and not math.isfinite(number):
        text = f"{dotted_path(path)} is {value}, which JSON does not support."
        raise InvalidValue(path, "type", text, "Give a finite number.")
    return number


def _json_value(value: Any, path: ValuePath) -> Any:
    """Return a copy of a value that no schema describes, in the types of JSON."""
    value = _plain(as_list(value))
    if len(path) > _DEPTH:
        raise InvalidValue(path[:1], "json", f"{path[0]} is nested too deeply.", "Give a flatter value.")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, numbers.Real):
        return _finite_number(value, path)
    if isinstance(value, Mapping):
        return {str(name): _json_value(part, (*path, str(name))) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(part, (*path, index)) for index, part in enumerate(value)]
    text = f"{dotted_path(path)} is {quote(value)}, which JSON does not support."
    raise InvalidValue(path, "type", text, "Give a text, a number, true or false, a list or an object.")
