"""Rules between parameters: `oneOf`, `anyOf` and `not` at the root of a schema, in words.

Kling's schemas use them for one thing: a prompt for the whole video, or a list of shots
(`multi_prompt`). Each branch is `{"required": [names]}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kling_nb.catalog.entry import Endpoint
from kling_nb.catalog.problem import Problem
from kling_nb.catalog.wording import listing

Schema = Mapping[str, Any]


def worded(schema: Schema) -> frozenset[str]:
    """The keywords at the root whose every branch is of that form, so that `problems` tells of them."""
    branches = {
        "oneOf": schema.get("oneOf", ()),
        "anyOf": schema.get("anyOf", ()),
        "not": [schema["not"]] if "not" in schema else (),
    }
    return frozenset(word for word, parts in branches.items() if parts and all(map(_is_group, parts)))


def alternatives(schema: Schema) -> frozenset[str]:
    """Names of the parameters that rules are about."""
    groups = [*_groups(schema, "oneOf"), *_groups(schema, "anyOf"), *_excluded(schema)]
    return frozenset(name for group in groups for name in group)


def problems(endpoint: Endpoint, values: Mapping[str, Any]) -> Iterator[Problem]:
    """The rules that `values` break, each put on the first parameter that it is about."""
    schema = endpoint.input_schema
    one, some = _groups(schema, "oneOf"), _groups(schema, "anyOf")
    if one and (count := _satisfied(one, values)) != 1:
        yield _too_many("oneOf", one) if count else _none_of("oneOf", one)
    if some and not _satisfied(some, values):
        yield _none_of("anyOf", some)
    for excluded in _excluded(schema):
        if _satisfied([excluded], values):
            yield _too_many("not", [(name,) for name in excluded])
        elif not schema.get("required") and not any(name in values for name in excluded):
            # The schema would let an input of nothing pass, and the money would be spent on nothing.
            yield _none_of("not", [(name,) for name in excluded])


def _groups(schema: Schema, keyword: str) -> list[tuple[str, ...]]:
    """The names of each branch; a keyword with branches of another form is left to the validator."""
    return [tuple(part["required"]) for part in schema[keyword]] if keyword in worded(schema) else []


def _excluded(schema: Schema) -> list[tuple[str, ...]]:
    return [tuple(schema["not"]["required"])] if "not" in worded(schema) else []


def _is_group(branch: Any) -> bool:
    return isinstance(branch, Mapping) and set(branch) == {"required"}


def _satisfied(groups: list[tuple[str, ...]], values: Mapping[str, Any]) -> int:
    return sum(all(name in values for name in group) for group in groups)


def _too_many(keyword: str, groups: list[tuple[str, ...]]) -> Problem:
    names = _names(groups, "and")
    text = f"{names} exclude each other, and more than one of them is given."
    return Problem((groups[0][0],), keyword, text, f"Give either {_names(groups, 'or')}.")


def _none_of(keyword: str, groups: list[tuple[str, ...]]) -> Problem:
    exactly = "one" if keyword == "anyOf" else "exactly one"
    text = f"{_names(groups, 'or')} is missing; {exactly} of them is needed."
    return Problem((groups[0][0],), keyword, text, f"Give {_names(groups, 'or')}.")


def _names(groups: list[tuple[str, ...]], last: str) -> str:
    return listing([" with ".join(group) for group in groups], last)
