"""The 422 of a model: what is wrong with an input, entry by entry (FAL-PROTOCOL §6.2, §11.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kling_nb.catalog import Endpoint
from kling_nb.local.job import Answer

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

Detail = dict[str, Any]
Path = Sequence[str | int]

_LONGEST = 400


class Refused(Exception):
    """The model refuses an input; `details` say why."""

    def __init__(self, details: list[Detail]) -> None:
        self.details = details
        super().__init__("; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in details))

    def answer(self) -> Answer:
        """What the result URL gives: nothing is billed, and trying again does not help."""
        return Answer(422, {"detail": self.details}, units="0", headers={"X-Fal-Retryable": "false"})


def detail(path: Path, message: str, kind: str, given: Any, **context: Any) -> Detail:
    """One entry of a `detail` list.

    Args:
        path: Names and indexes from the input's top to the value at fault.
        message: What is wrong, in a sentence.
        kind: fal's error type.
        given: The value at fault; long texts in it are cut.
        **context: `ctx`: the limits.
    """
    entry: Detail = {
        "loc": ["body", *path],
        "msg": message,
        "type": kind,
        "url": f"https://docs.fal.ai/errors/#{kind}",
        "input": _short(given),
    }
    return entry | {"ctx": context} if context else entry


def check(endpoint: Endpoint, values: Any) -> dict[str, Any]:
    """The input without its nulls, defaults filled in.

    Raises:
        Refused: The schema does not allow it.
    """
    if not isinstance(values, dict):
        raise Refused([detail((), "Input should be a valid dictionary", "dict_type", values)])
    given = {name: value for name, value in values.items() if value is not None}
    found: dict[tuple[str | int, ...], Detail] = {}
    for error in endpoint.validator.iter_errors(given):
        entry = _entry(endpoint.input_schema, error)
        place = tuple(entry["loc"])
        if place not in found or error.schema_path[-1] == "enum":  # which says more than "not a string"
            found[place] = entry
    if found:
        raise Refused(list(found.values()))
    defaults = {
        name: part["default"]
        for name, part in endpoint.input_schema.get("properties", {}).items()
        if "default" in part
    }
    return defaults | given


def _entry(schema: Mapping[str, Any], error: ValidationError) -> Detail:
    path, keyword, given = list(error.instance_path), str(error.schema_path[-1]), error.instance
    part = _part(schema, error.schema_path[:-1])
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
    return detail(path, error.message[:_LONGEST], "value_error", given)


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


def _part(schema: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    part: Any = schema
    for step in path:
        part = part[step]
    return part if isinstance(part, Mapping) else {}


def _short(value: Any) -> Any:
    """`value` with its long texts cut: a data URI need not travel back."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
    if isinstance(value, Mapping):
        return {name: _short(part) for name, part in value.items()}
    return [_short(part) for part in value] if isinstance(value, list) else value
