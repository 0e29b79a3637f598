"""The axes of a sweep: the arguments with several values, and all combinations of the values."""

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
"""Most cells of one sweep. More is most likely a typing error, and an expensive one."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One argument with several values.

    Attributes:
        name: Name of the argument, or a heading chosen by the user.
        values: The values in the given order.
        labels: A short text for each value.
        argument: True if `name` is an argument of the call. False if the values are parts of the prompt.
    """

    name: str
    values: tuple[Any, ...]
    labels: tuple[str, ...]
    argument: bool = True

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> Axis:
        """Return the axis of these values.

        Raises:
            UsageError: There are no values.
        """
        if not values:
            raise UsageError(f"{name} is an empty list.", remedy="Give at least one value.", parameter=name)
        return cls(name, tuple(values), _number_duplicates([label(value) for value in values]))


def _number_duplicates(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels with a number after each duplicate. Images in memory all have the same label."""
    if len(set(labels)) == len(labels):
        return tuple(labels)
    return tuple(
        f"{one} {labels[: at + 1].count(one)}" if labels.count(one) > 1 else one
        for at, one in enumerate(labels)
    )


def split(
    arguments: Mapping[str, Any], lists: Collection[str] = ()
) -> tuple[tuple[Axis, ...], dict[str, Any]]:
    """Return the axes among the arguments, in their order, and the other arguments.

    A list or tuple is an axis; `as_list` makes lists of other values. A parameter whose value is itself a
    list (one of `lists`) is an axis if it is a tuple or a list of lists.

    Raises:
        UsageError: A list is empty.
    """
    axes = []
    rest = {}
    for name, value in arguments.items():
        if _is_axis(value, name in lists):
            axes.append(Axis.of(name, value))
        else:
            rest[name] = value
    return tuple(axes), rest


def list_parameters(endpoint: Endpoint) -> set[str]:
    """Return the parameters of an endpoint whose value is a list."""
    return {control.name for control in endpoint.parameters if control.kind == "json" or control.many}


def _is_axis(value: Any, is_list_parameter: bool) -> bool:
    if isinstance(value, tuple):
        return True
    if not isinstance(value, list):
        return False
    return not is_list_parameter or (bool(value) and all(isinstance(one, list) for one in value))


def combinations(axes: Sequence[Axis]) -> Iterator[tuple[int, ...]]:
    """Return every combination as one index per axis. The last axis changes fastest.

    Raises:
        UsageError: There are more than `LARGEST` combinations.
    """
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > LARGEST:
        raise UsageError(
            f"This sweep has {count:,} cells; at most {LARGEST} are allowed. Nothing was sent.",
            remedy="Give fewer values, or split it into several sweeps.",
        )
    return itertools.product(*(range(len(axis.values)) for axis in axes))


def label(value: Any) -> str:
    """Return a short text for a value."""
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
