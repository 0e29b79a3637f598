"""Convert the values of users and front ends to the types of a schema, as `VideoRequest.build` promises.

`validation` checks the result.
"""

from __future__ import annotations

import json
import math
import numbers
import re
from collections.abc import Iterator, KeysView, Mapping, ValuesView
from decimal import Decimal
from itertools import islice
from typing import Any

from kling_nb.catalog.problem import InvalidValue, Problem, ValuePath, dotted_path, quote
from kling_nb.errors import UsageError
from kling_nb.request.limits import Place, changes_in_words, conform, item_schema, with_conditions
from kling_nb.request.local_file import LocalFile, MediaSlot
from kling_nb.request.media_input import media_text, read_media

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
    if not isinstance(value, str):
        return [value]
    if value.lstrip().startswith("["):  # It may also be the name of a file.
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return [value]
    return [value]


def _parse_json(text: str, path: ValuePath, noun: str, example: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidValue(
            Problem(
                path,
                "json",
                f"{dotted_path(path)} is not JSON: {quote(text)}{where}.",
                f"Give a Python {'list' if noun == 'list' else 'dict'}, or JSON such as {example}.",
            )
        ) from None


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
        raise InvalidValue(
            Problem(
                path,
                "type",
                f"{dotted_path(path)} is {value}, which JSON does not support.",
                "Give a finite number.",
            )
        )
    return number


def _json_value(value: Any, path: ValuePath) -> Any:
    """Return a copy of a value that no schema describes, in the types of JSON."""
    value = _plain(as_list(value))
    if len(path) > _DEPTH:
        raise InvalidValue(
            Problem(path[:1], "json", f"{path[0]} is nested too deeply.", "Give a flatter value.")
        )
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
    raise InvalidValue(
        Problem(path, "type", text, "Give a text, a number, true or false, a list or an object.")
    )
