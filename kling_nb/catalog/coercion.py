"""Gentle conversion of what people and front ends give into what a schema asks for.

Nothing is guessed: 5 becomes "5" where the schema lists "5", "0.5" becomes 0.5 where it
asks for a number, 5.0 becomes 5, "true" becomes True, a JSON text becomes the list or
object it stands for, and None means not given. Whether the outcome is valid is decided
by the schema afterwards.
"""

from __future__ import annotations

import json
import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

from kling_nb.catalog import media_input
from kling_nb.catalog.local_file import LocalFile
from kling_nb.catalog.media_slot import MediaSlot
from kling_nb.catalog.problem import Path, Problem, Unfit, dotted
from kling_nb.catalog.wording import quote

_NUMERAL = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
_DEPTH = 60  # keeps this walk finite; what is sent may be a little flatter still


class Coercion:
    """One pass over the values of a request.

    Attributes:
        problems: What could not be converted.
        files: Local files that were met, by parameter path (`elements.0.frontal_image_url`).
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.files: dict[str, LocalFile] = {}

    def fit(self, schema: Mapping[str, Any], value: Any, path: Path) -> Any:
        """`value` as `schema` asks for it, or as it is where that cannot be; always a fresh copy."""
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
        except Unfit as unfit:
            self.problems.append(unfit.problem)
            return None

    def _media(self, schema: Mapping[str, Any], value: Any, path: Path) -> str:
        taken = media_input.take(MediaSlot.of(schema, path), value)
        if isinstance(taken, LocalFile):
            self.files[dotted(path)] = taken
        return media_input.written(taken, value)

    def _list(self, schema: Mapping[str, Any], value: Any, path: Path) -> Any:
        items = schema.get("items", {})
        if "x-fal-media" in items:
            value = _as_many(value)
        elif isinstance(value, str):
            value = _parsed(value, path, "list", '["…"]' if items.get("type") == "string" else '[{"…": …}]')
        if not isinstance(value, (list, tuple)):
            return _plain(value, path)
        return [self.fit(items, item, (*path, index)) for index, item in enumerate(value)]

    def _object(self, schema: Mapping[str, Any], value: Any, path: Path) -> Any:
        if isinstance(value, str):
            value = _parsed(value, path, "object", '{"…": …}')
        if not isinstance(value, Mapping):
            return _plain(value, path)
        known = schema.get("properties", {})
        return {
            str(name): self.fit(known.get(name, {}), part, (*path, str(name)))
            for name, part in value.items()
            if part is not None
        }


def _as_many(value: Any) -> Any:
    """A list of files: also one alone, or a JSON text of several."""
    if isinstance(value, (list, tuple)):
        return value
    if not isinstance(value, str):
        return [value]
    if value.lstrip().startswith("["):  # unless it is a file that is called so
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return [value]
    return [value]


def _parsed(text: str, path: Path, noun: str, example: str) -> Any:
    """What a JSON text says."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise Unfit(
            Problem(
                path,
                "json",
                f"{dotted(path)} is not JSON: {quote(text)}{where}.",
                f"Give a Python {'list' if noun == 'list' else 'dict'}, or JSON such as {example}.",
            )
        ) from None


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number of JSON")


def _scalar(schema: Mapping[str, Any], value: Any, path: Path) -> Any:
    kind = schema.get("type")
    if isinstance(value, str):
        return _from_text(kind, schema.get("enum", ()), str.__str__(value), path)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return _plain(value, path)
    number = _finite(value, path)
    if kind == "string":
        word = str(int(number)) if number == int(number) else repr(number)
        return word if word in schema.get("enum", ()) else number
    return int(number) if kind == "integer" and number == int(number) else number


def _from_text(kind: Any, enum: Any, text: str, path: Path) -> Any:
    word = text.strip()
    if kind == "string":
        return word if word in enum else text
    if kind == "boolean" and word.casefold() in ("true", "false"):
        return word.casefold() == "true"
    if kind in ("integer", "number") and _NUMERAL.fullmatch(word):
        number = int(word) if word.lstrip("+-").isdigit() else _finite(float(word), path)
        return int(number) if kind == "integer" and number == int(number) else number
    return text


def _finite(value: Any, path: Path) -> int | float:
    """A Python number for a number of any kind, such as numpy's."""
    number = int(value) if isinstance(value, numbers.Integral) else float(value)
    if isinstance(number, float) and not math.isfinite(number):
        raise Unfit(
            Problem(
                path, "type", f"{dotted(path)} is {value}, which JSON cannot hold.", "Give a finite number."
            )
        )
    return number


def _plain(value: Any, path: Path) -> Any:
    """A copy of a value that no schema describes, in the types of JSON."""
    if len(path) > _DEPTH:
        raise Unfit(Problem(path[:1], "json", f"{path[0]} is nested too deeply.", "Give a flatter value."))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, numbers.Real):
        return _finite(value, path)
    if isinstance(value, Mapping):
        return {str(name): _plain(part, (*path, str(name))) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, (*path, index)) for index, part in enumerate(value)]
    text = f"{dotted(path)} is {quote(value)}, which JSON cannot hold."
    raise Unfit(Problem(path, "type", text, "Give a text, a number, true or false, a list or an object."))
