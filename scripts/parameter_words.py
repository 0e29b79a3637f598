"""Describe the parameters of an endpoint for the tables of `docs/magic.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kling_nb.catalog import Control, Endpoint
from kling_nb.notebook.flags import flag_of
from kling_nb.request.request import PROMPTS

FEW = 12
"""The most words in the table of an endpoint. A longer list is printed once, above all tables."""

_PLURAL = {"image": "images", "video": "videos", "audio": "audio files"}


def flag(control: Control) -> str:
    """Return the flag of a parameter."""
    if control.name in PROMPTS:
        return f"the cell's text (`{control.name}`)"
    name = flag_of(control.name)
    return f"`{name}`, `--no-{name[2:]}`" if control.kind == "switch" else f"`{name}`"


def default(control: Control) -> str:
    """Return the default, or that the parameter is required."""
    if control.required:
        return "**required**"
    if control.default is None or control.default == "":
        return ""
    words = {True: "on", False: "off"}
    return words[control.default] if isinstance(control.default, bool) else f"`{text(str(control.default))}`"


def values(control: Control) -> str:
    """Return the allowed values."""
    match control.kind:
        case "stepped" | "choice":
            return options(control)
        case "slider":
            return f"{control.minimum:g} to {control.maximum:g}"
        case "switch":
            return "on or off"
        case "media":
            return media(control.media, many=control.many, most=control.max_items)
        case "json":
            return f"{items(control.max_items)}, see [nested parameters](#nested-parameters)"
        case _:
            return f"text, at most {control.max_length:,} characters" if control.max_length else "text"


def options(control: Control) -> str:
    """Return the options of a parameter."""
    given = [str(option) for option in control.options or ()]
    if control.kind == "stepped" and len(given) > FEW // 2 and given == whole(given[0], given[-1]):
        return f"{given[0]} to {given[-1]}, whole numbers"
    if len(given) > FEW:
        return f"one of {len(given)} words, see [long lists](#long-lists)"
    return ", ".join(f"`{text(option)}`" for option in given)


def whole(first: str, last: str) -> list[str]:
    """Return the whole numbers of a range as texts."""
    return [str(number) for number in range(int(first), int(last) + 1)] if first.isdigit() else []


def media(kind: str | None, *, many: bool, most: int | None) -> str:
    """Return the words for one file or a list of files."""
    if many:
        return f"{_PLURAL[kind or 'image']}" + (f", at most {most}" if most else "")
    return kind or "image"


def items(most: int | None) -> str:
    """Return the words for a JSON value."""
    return f"JSON, at most {most} {'entry' if most == 1 else 'entries'}" if most else "JSON"


def rule(one: Endpoint) -> str:
    """Return a sentence about parameters that require or exclude each other."""
    schema = one.input_schema
    if "oneOf" in schema:
        return f"Exactly one of {either(schema['oneOf'])}."
    if "anyOf" in schema:
        return f"At least one of {either(schema['anyOf'])}."
    if "not" in schema:
        return f"Not {' and '.join(f'`{name}`' for name in schema['not']['required'])} together."
    return ""


def either(branches: Sequence[Mapping[str, Any]]) -> str:
    """Return the names of alternatives."""
    return " and ".join(f"`{name}`" for part in branches for name in part["required"])


def shape(schema: Mapping[str, Any]) -> str:
    """Return a schema in one line."""
    match schema.get("type"):
        case "array":
            least, most = schema.get("minItems"), schema.get("maxItems")
            span = f"{least or 0} to {most}" if most else "any number"
            return f"a list ({span}) of {shape(schema['items'])}"
        case "object":
            must = schema.get("required", ())
            parts = [
                f"{f'**`{name}`**' if name in must else f'`{name}`'} {shape(part)}"
                for name, part in schema["properties"].items()
            ]
            return f"{{{'; '.join(parts)}}}"
    return plain(schema)


def plain(schema: Mapping[str, Any]) -> str:
    """Return a schema of a single value in a few words."""
    if "x-fal-media" in schema:
        return str(schema["x-fal-media"])
    given = [str(option) for option in schema.get("enum", ())]
    if given:
        return f"{given[0]} to {given[-1]}" if given == whole(given[0], given[-1]) else "|".join(given)
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return {"string": "text", "integer": "whole number"}.get(str(schema.get("type")), str(schema.get("type")))


def text(words: str) -> str:
    """Escape text for a cell of a table."""
    return words.replace("|", "\\|").replace("<", "\\<")
