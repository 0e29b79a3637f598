"""The words for each way in which a value can break its schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kling_nb.catalog.problem import Path, Problem, dotted
from kling_nb.catalog.wording import choices, listing, nearest, quote

Schema = Mapping[str, Any]

_TYPES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object ({…})",
    "null": "nothing",
}


def refusal(path: Path, keyword: str, schema: Schema, value: Any, *, fallback: str) -> Problem:
    """Say why `value` was refused.

    Args:
        path: Place of the value; for `required`, of the missing one.
        keyword: The JSON Schema keyword that it breaks.
        schema: The schema that has the keyword; for `required`, the schema of the object.
        value: What was given there.
        fallback: The validator's own words, for keywords that have none here.
    """
    name = dotted(path) or "the input"
    if keyword == "type" and "enum" in schema:  # both are broken, and the choices help more
        keyword = "enum"
    words = _WORDS.get(keyword)
    if words is None or keyword not in schema:
        return Problem(path, keyword, f"{name}: {quote(fallback, 160)[1:-1]}.")
    text, remedy = words(name, schema, value)
    return Problem(path, keyword, text, remedy)


def _required(name: str, schema: Schema, value: Any) -> tuple[str, str]:
    part = schema.get("properties", {}).get(name.rpartition(".")[2], {})
    return f"{name} is missing.", f"It is required: {part.get('description', 'give a value.')}"


def _enum(name: str, schema: Schema, value: Any) -> tuple[str, str]:
    options = schema["enum"]
    close = nearest(value, options, 1)
    default = schema.get("default")
    if close:
        remedy = f"Nearest: {listing(close)}."
    else:
        remedy = f"Leave it out for {listing([default])}." if default is not None else "Give one of these."
    return f"{name} cannot be {quote(value)}; allowed: {choices(options, value)}.", remedy


def _type(name: str, schema: Schema, value: Any) -> tuple[str, str]:
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    wanted = listing([_TYPES.get(kind, kind) for kind in types if kind != "null"], "or")
    limits = f" {_range(schema)}" if "minimum" in schema or "maximum" in schema else ""
    return f"{name} takes {wanted}, not {quote(value)}.", f"Give {wanted}{limits}."


def _bounds(name: str, schema: Schema, value: Any) -> tuple[str, str]:
    bound = schema.get("minimum") if value < schema.get("minimum", value) else schema.get("maximum")
    remedy = f"Nearest: {bound}." if bound is not None else ""
    return f"{name} cannot be {quote(value)}; it goes {_range(schema)}.", remedy


def _range(schema: Schema) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None or high is None:
        return f"up to {high}" if low is None else f"from {low} up"
    return f"from {low} to {high}"


def _multiple(name: str, schema: Schema, value: Any) -> tuple[str, str]:
    step = schema["multipleOf"]
    return f"{name} cannot be {quote(value)}; it goes in steps of {step}.", f"Give a multiple of {step}."


def _max_length(name: str, schema: Schema, value: Any) -> tuple[str, str]:
    limit = schema["maxLength"]
    text = f"{name} has {len(value):,} characters; at most {limit:,} are allowed."
    return text, f"Shorten it by {len(value) - limit:,}."


def _min_length(name: str, schema: Schema, value: Any) -> tuple[str, str]:
    limit = schema["minLength"]
    return f"{name} has {len(value):,} characters; at least {limit:,} are needed.", "Make it longer."


def _max_items(name: str, schema: Schema, value: Any) -> tuple[str, str]:
    limit = schema["maxItems"]
    text = f"{name} has {len(value):,} {_entries(len(value))}; at most {limit:,} may be given."
    return text, f"Leave out {len(value) - limit:,}."


def _min_items(name: str, schema: Schema, value: Any) -> tuple[str, str]:
    limit = schema["minItems"]
    text = f"{name} has {len(value):,} {_entries(len(value))}; at least {limit:,} must be given."
    return text, f"Add {limit - len(value):,}, or leave {name} out if it is not needed."


def _entries(count: int) -> str:
    return "entry" if count == 1 else "entries"


def _pattern(name: str, schema: Schema, value: Any) -> tuple[str, str]:
    return f"{name} cannot be {quote(value)}.", f"It must match the pattern {quote(schema['pattern'])}."


_WORDS: Mapping[str, Callable[[str, Schema, Any], tuple[str, str]]] = {
    "required": _required,
    "enum": _enum,
    "type": _type,
    "minimum": _bounds,
    "maximum": _bounds,
    "exclusiveMinimum": _bounds,
    "exclusiveMaximum": _bounds,
    "multipleOf": _multiple,
    "maxLength": _max_length,
    "minLength": _min_length,
    "maxItems": _max_items,
    "minItems": _min_items,
    "pattern": _pattern,
}
