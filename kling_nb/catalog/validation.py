"""Whether an input is what its endpoint asks for, and in which words it is not.

`problems` is strict: it takes JSON as it would be sent. The gentle part, which turns 5
into "5", comes before it and belongs to the sender.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from kling_nb.catalog import rules
from kling_nb.catalog.entry import Endpoint
from kling_nb.catalog.problem import Path, Problem, dotted, unknown_parameter
from kling_nb.catalog.refusal import refusal

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

_MOST = 100  # problems looked at; more help nobody
_DEPTH = 50  # of nested lists and objects; the deepest known schema has 4


def problems(endpoint: Endpoint, values: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Everything that is wrong with `values` as an input of `endpoint`; empty when it is valid.

    Names that do not exist come first, as the likeliest cause of the rest; then parameters
    in the schema's order, one problem for each place.
    """
    schema = endpoint.input_schema
    broken = tuple(_unsendable(values))
    if broken:  # the validator would stop at them
        return broken
    found = [
        *_unknown(schema, values, (), endpoint.short_name),
        *_blank(schema, values, (), rules.alternatives(schema)),
        *_by_schema(endpoint, values),
        *rules.problems(endpoint, values),
    ]
    return tuple(sorted(_one_each(found), key=lambda problem: _rank(schema, problem)))


def _by_schema(endpoint: Endpoint, values: Mapping[str, Any]) -> Iterator[Problem]:
    worded = rules.worded(endpoint.input_schema)
    for error in islice(endpoint.validator.iter_errors(dict(values)), _MOST):
        if error.instance_path or error.schema_path[-1] not in worded:
            yield _problem(endpoint, error)


def _problem(endpoint: Endpoint, error: ValidationError) -> Problem:
    path: Path = tuple(error.instance_path)
    keyword = str(error.schema_path[-1])
    if keyword == "required":
        path = (*path, getattr(error.kind, "property", ""))
    part = _at(endpoint.input_schema, error.schema_path[:-1])
    return refusal(path, keyword, part, error.instance, fallback=error.message)


def _at(schema: Mapping[str, Any], path: Sequence[str | int]) -> Mapping[str, Any]:
    """The subschema at a path; empty where the path goes through a reference."""
    part: Any = schema
    for step in path:
        try:
            part = part[step]
        except (KeyError, IndexError, TypeError):
            return {}
    return part if isinstance(part, Mapping) else {}


def _unknown(schema: Mapping[str, Any], values: Any, path: Path, owner: str) -> Iterator[Problem]:
    """Names that the schema does not have, at any depth, unless it says that others are welcome."""
    if isinstance(values, list):
        for index, item in enumerate(values):
            yield from _unknown(schema.get("items", {}), item, (*path, index), dotted((*path, index)))
    known = schema.get("properties", {})
    if not isinstance(values, Mapping) or not known:
        return
    for name, value in values.items():
        if name in known:
            yield from _unknown(known[name], value, (*path, name), dotted((*path, name)))
        elif not schema.get("additionalProperties", False):
            yield unknown_parameter(owner, (*path, name), list(known))


def _blank(
    schema: Mapping[str, Any], values: Any, path: Path, also: frozenset[str] = frozenset()
) -> Iterator[Problem]:
    """Texts that must be there and say nothing."""
    if isinstance(values, list):
        for index, item in enumerate(values):
            yield from _blank(schema.get("items", {}), item, (*path, index))
    if not isinstance(values, Mapping):
        return
    needed = also | set(schema.get("required", ()))
    for name, part in schema.get("properties", {}).items():
        value = values.get(name)
        yield from _blank(part, value, (*path, name))
        if name in needed and isinstance(value, str) and not _says_something(value) and "enum" not in part:
            what = "has nothing but white space in it" if value else "is empty"
            remedy = part.get("description") or "Give a text."
            yield Problem(
                (*path, name), "blank", f"{dotted((*path, name))} {what}.", f"It takes a text: {remedy}"
            )


def _says_something(text: str) -> bool:
    return any(char.isprintable() and not char.isspace() for char in text)


def _unsendable(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Texts that UTF-8 cannot carry (half a surrogate pair), and nesting that nobody meant."""
    left: list[tuple[Path, Any]] = [((str(name),), part) for name, part in values.items()]
    left += [((str(name),), name) for name in values]
    while left:
        path, value = left.pop()
        if len(path) > _DEPTH:
            yield Problem(
                path[:1], "json", f"{dotted(path[:1])} is nested too deeply.", "Give a flatter value."
            )
            return
        if isinstance(value, str) and (at := _broken_at(value)) is not None:
            text = f"{dotted(path)} has a broken character at position {at} and cannot be sent."
            yield Problem(path, "text", text, "Type or paste that character again.")
        elif isinstance(value, Mapping):
            left += [((*path, str(name)), part) for name, part in value.items()]
            left += [((*path, str(name)), name) for name in value]
        elif isinstance(value, list):
            left += [((*path, index), part) for index, part in enumerate(value)]


def _broken_at(text: str) -> int | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def _one_each(found: Sequence[Problem]) -> list[Problem]:
    """The first problem of each place; what follows from it is not worth a line."""
    by_path: dict[Path, Problem] = {}
    for problem in found:
        by_path.setdefault(problem.path, problem)
    return list(by_path.values())


def _rank(schema: Mapping[str, Any], problem: Problem) -> int:
    names = list(schema.get("properties", {}))
    if problem.kind == "unknown":
        return -1
    return names.index(str(problem.path[0])) if problem.path and problem.path[0] in names else len(names)
