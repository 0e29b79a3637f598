"""Alternatives in a prompt, `a {red|blue} fox`: what `%%kling --grid` makes axes of.

They stand beside IPython's `{name}` and `$name`, which are filled in within each alternative and
around them. What is between braces is alternatives where it holds a `|` that is not in inner braces;
`{{` and `}}` are braces themselves, as everywhere in IPython.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kling_nb._axes import Axis, label

Part = str | tuple[str, ...]


def parts_of(text: str) -> list[Part]:
    """The text in pieces: plain ones, and tuples of alternatives."""
    parts: list[Part] = []
    at = start = 0
    while at < len(text):
        if text[at : at + 2] in {"{{", "}}"}:
            at += 2
        elif text[at] == "{" and (end := _closing(text, at)) is not None:
            choices = _choices(text[at + 1 : end])
            if len(choices) > 1:
                parts += [text[start:at], choices]
                start = end + 1
            at = end + 1
        else:
            at += 1
    return [part for part in (*parts, text[start:]) if part]


def axes_of(
    body: str, fill: Callable[[str], str]
) -> tuple[tuple[Axis, ...], Callable[[Mapping[str, Any]], str]]:
    """The axes in a prompt, and what gives the prompt for a choice among them.

    Args:
        body: The prompt as the user wrote it.
        fill: Fills variables into a text.
    """
    parts = parts_of(body)
    several = sum(isinstance(part, tuple) for part in parts) > 1
    axes: list[Axis] = []
    pieces: list[str | Axis] = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
            continue
        name = f"choice {len(axes) + 1}" if several else "choice"
        axes.append(Axis(name, part, tuple(label(fill(one).strip()) for one in part), argument=False))
        pieces.append(axes[-1])

    def prompt(values: Mapping[str, Any]) -> str:
        return fill(
            "".join(piece if isinstance(piece, str) else values[piece.name] for piece in pieces)
        ).strip()

    return tuple(axes), prompt


def _closing(text: str, opening: int) -> int | None:
    """Where the brace at `opening` closes, or None."""
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    return None


def _choices(inner: str) -> tuple[str, ...]:
    """What stands between the bars that are in no inner braces."""
    found, depth, start = [], 0, 0
    for at, letter in enumerate(inner):
        depth += (letter == "{") - (letter == "}")
        if letter == "|" and depth == 0:
            found.append(inner[start:at])
            start = at + 1
    return (*found, inner[start:])
