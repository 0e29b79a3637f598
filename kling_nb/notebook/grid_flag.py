"""`--grid NAME=VALUE,VALUE`: the axes of a sweep as words of a line."""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kling_nb._arguments import with_picture
from kling_nb._axes import Axis
from kling_nb.catalog import Endpoint
from kling_nb.errors import UsageError
from kling_nb.notebook.flags import CellCall

OWN = ("endpoint", "image", "end_image", "take")
"""What varies although it is no parameter of the endpoint."""


def grid_axes(
    words: Sequence[str], chosen: Endpoint, flags: Mapping[str, Any], picture: Callable[[str], Any]
) -> tuple[Axis, ...]:
    """The axes that `--grid` names.

    Args:
        words: What followed each `--grid`; an empty one names no axis.
        chosen: Whose parameters they are.
        flags: Values given by other flags.
        picture: Gives the picture that a word stands for.

    Raises:
        UsageError: A name that does not exist or is given twice, or no values.
    """
    axes: dict[str, Axis] = {}
    for word in filter(None, words):
        name, equals, text = word.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        values = values_of(text)
        if not equals or not values:
            raise UsageError(
                f"--grid {word[:80]!r} lacks a name or its values.",
                remedy="Write --grid duration=5,10. Nothing was sent.",
            )
        if name == "prompt":
            raise UsageError(
                "--grid prompt: the prompt is the text of the cell.",
                remedy=f"Write {{{'|'.join(map(str, values))[:80]}}} there. Nothing was sent.",
            )
        if name not in OWN:
            chosen.parameter(name)
        if name in axes or flags.get(name) is not None:
            raise UsageError(f"{name} is given twice.", remedy="Give it once. Nothing was sent.")
        axes[name] = _axis(name, values, picture)
    return tuple(axes.values())


def endpoint_of(call: CellCall, find: Callable[[str | None], Endpoint]) -> Endpoint:
    """Whose parameters may vary: the endpoint itself, or where a picture is given its sister.

    Args:
        call: The line.
        find: Gives the endpoint of a name, or with None the one that is set.
    """
    named = find(call.endpoint)
    words = [word.partition("=")[0].strip().replace("-", "_") for word in call.grid or ()]
    pictured = call.image or call.end_image or {"image", "end_image"} & set(words)
    return with_picture(named, find) if pictured else named


def _axis(name: str, values: Sequence[Any], picture: Callable[[str], Any]) -> Axis:
    if name in {"image", "end_image"}:
        named = [str(value) for value in values]
        return Axis(name, tuple(picture(one) for one in named), tuple(named))
    if name == "take":
        return Axis.of(name, [int(value) if str(value).isdigit() else value for value in values])
    return Axis.of(name, values)


def values_of(text: str) -> list[Any]:
    """`5,10`, with quotes around a value that has a comma, or a JSON or Python list."""
    text = text.strip()
    if text.startswith(("[", "(")):
        for read in (json.loads, ast.literal_eval):
            try:
                return list(read(text))
            except (ValueError, SyntaxError, TypeError):
                continue
    rows = list(csv.reader([text], skipinitialspace=True))
    return [value.strip() for value in rows[0] if value.strip()] if rows else []
