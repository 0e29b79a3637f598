"""An endpoint's parameters in words, for the tables of `docs/magic.md`: read from its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kling_nb.catalog import Control, Endpoint
from kling_nb.notebook.flags import BODY_PARAMETERS, flag_of

FEW = 12
"""So many words stand in the table of an endpoint; a longer list stands once, above them all."""

_PLURAL = {"image": "pictures", "video": "videos", "audio": "sounds"}
_SINGULAR = {"image": "picture", "video": "video", "audio": "sound"}


def flag(control: Control) -> str:
    """How it is given."""
    if control.name in BODY_PARAMETERS:
        return f"the cell's text (`{control.name}`)"
    name = flag_of(control.name)
    return f"`{name}`, `--no-{name[2:]}`" if control.kind == "switch" else f"`{name}`"


def default(control: Control) -> str:
    """The default, or that there must be a value."""
    if control.required:
        return "**required**"
    if control.default is None or control.default == "":
        return ""
    words = {True: "on", False: "off"}
    return words[control.default] if isinstance(control.default, bool) else f"`{text(str(control.default))}`"


def values(control: Control) -> str:
    """What is allowed."""
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
    """One of some words or numbers."""
    given = [str(option) for option in control.options or ()]
    if control.kind == "stepped" and len(given) > FEW // 2 and given == whole(given[0], given[-1]):
        return f"{given[0]} to {given[-1]}, whole numbers"
    if len(given) > FEW:
        return f"one of {len(given)} words, see [long lists](#long-lists)"
    return ", ".join(f"`{text(option)}`" for option in given)


def whole(first: str, last: str) -> list[str]:
    """Whole numbers as texts."""
    return [str(number) for number in range(int(first), int(last) + 1)] if first.isdigit() else []


def media(kind: str | None, *, many: bool, most: int | None) -> str:
    """A file, or a list of them."""
    if many:
        return f"{_PLURAL[kind or 'image']}" + (f", at most {most}" if most else "")
    return _SINGULAR[kind or "image"]


def items(most: int | None) -> str:
    """How much JSON."""
    return f"JSON, at most {most} {'entry' if most == 1 else 'entries'}" if most else "JSON"


def rule(one: Endpoint) -> str:
    """What holds between parameters, in a sentence."""
    schema = one.input_schema
    if "oneOf" in schema:
        return f"Exactly one of {either(schema['oneOf'])}."
    if "anyOf" in schema:
        return f"At least one of {either(schema['anyOf'])}."
    if "not" in schema:
        return f"Not {' and '.join(f'`{name}`' for name in schema['not']['required'])} together."
    return ""


def either(branches: Sequence[Mapping[str, Any]]) -> str:
    """The names of alternatives."""
    return " and ".join(f"`{name}`" for part in branches for name in part["required"])


def shape(schema: Mapping[str, Any]) -> str:
    """A schema in a line."""
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
    """A single value in a few words."""
    if "x-fal-media" in schema:
        return _SINGULAR[schema["x-fal-media"]]
    given = [str(option) for option in schema.get("enum", ())]
    if given:
        return f"{given[0]} to {given[-1]}" if given == whole(given[0], given[-1]) else "|".join(given)
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return {"string": "text", "integer": "whole number"}.get(str(schema.get("type")), str(schema.get("type")))


def text(words: str) -> str:
    """Words for a cell of a table."""
    return words.replace("|", "\\|").replace("<", "\\<")
