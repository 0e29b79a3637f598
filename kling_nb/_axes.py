"""The axes of a sweep: which arguments of a call hold several values, and all ways to choose among them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kling_nb.catalog import Endpoint
from kling_nb.errors import UsageError

LARGEST = 500
"""Cells of one sweep: more is a slip of the keyboard, and an expensive one."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One argument with several values.

    Attributes:
        name: Of the argument, or a heading of the user's.
        values: In the order in which they were given.
        labels: A few words for each of the values.
        argument: Whether the name is an argument of the call; else the prompt is made of its values.
    """

    name: str
    values: tuple[Any, ...]
    labels: tuple[str, ...]
    argument: bool = True

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> Axis:
        """The axis of these values.

        Raises:
            UsageError: There are none.
        """
        if not values:
            raise UsageError(f"{name} is an empty list.", remedy="Give at least one value.", parameter=name)
        return cls(name, tuple(values), _told_apart([label(value) for value in values]))


def _told_apart(labels: Sequence[str]) -> tuple[str, ...]:
    """The same, numbered where one stands for several values, as pictures in memory have no names."""
    if len(set(labels)) == len(labels):
        return tuple(labels)
    return tuple(
        f"{one} {labels[: at + 1].count(one)}" if labels.count(one) > 1 else one
        for at, one in enumerate(labels)
    )


def split(
    arguments: Mapping[str, Any], lists: Collection[str] = ()
) -> tuple[tuple[Axis, ...], dict[str, Any]]:
    """Axes among the arguments, in their order, and the rest.

    A list or tuple is an axis. A parameter that takes a list itself (one of `lists`) is one where it
    is a tuple, or a list of lists.

    Raises:
        UsageError: An empty list.
    """
    axes = []
    rest = {}
    for name, value in arguments.items():
        if _several(value, name in lists):
            axes.append(Axis.of(name, value))
        else:
            rest[name] = value
    return tuple(axes), rest


def taking_lists(endpoint: Endpoint) -> set[str]:
    """Parameters of an endpoint that take a list themselves."""
    return {control.name for control in endpoint.parameters if control.kind == "json" or control.many}


def _several(value: Any, takes_list: bool) -> bool:
    if isinstance(value, tuple):
        return True
    if not isinstance(value, list):
        return False
    return not takes_list or (bool(value) and all(isinstance(one, list) for one in value))


def combinations(axes: Sequence[Axis]) -> Iterator[tuple[int, ...]]:
    """Every choice as one index an axis; the last axis changes fastest.

    Raises:
        UsageError: There are more than `LARGEST`.
    """
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > LARGEST:
        raise UsageError(
            f"This sweep has {count:,} cells; at most {LARGEST} are made at once. Nothing was sent.",
            remedy="Give fewer values, or make it in parts.",
        )
    return itertools.product(*(range(len(axis.values)) for axis in axes))


def label(value: Any) -> str:
    """A few words for a value."""
    if isinstance(value, str):
        return value or "(empty)"
    if isinstance(value, Path):
        return value.name
    path = getattr(value, "path", None)
    if isinstance(path, Path):
        return path.name
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return type(value).__name__
