"""Variables and alternatives in the text of a cell.

`{name}` and `$name` are filled in, as elsewhere in IPython; `escape_fields` is the inverse. Braces with a `|`
that is not in inner braces hold alternatives, `a {red|blue} fox`: `%%kling --grid` makes axes of them.
Variables are filled in within each alternative and around them. `{{` and `}}` stand for single braces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from string import Formatter
from typing import Any

from IPython.utils.text import FullEvalFormatter

from kling_nb.sweeps.axes import Axis, label

FILLED_IN = frozenset("{}$")
"""The characters with which a variable can begin in a text."""

_NAME = re.compile(r"\$(\$?[\w.]+)(?=(?:[^']*'[^']*')*[^']*$)")
"""`$name`, or `$$name`, which stands for the text `$name`; not between single quotes."""


class _Filling(FullEvalFormatter):
    """A formatter like IPython's `DollarFormatter`, which would drop the lines before a `$name`."""

    def parse(self, format_string: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
        for literal, field, spec, conversion in super().parse(format_string):
            at, text = 0, ""
            for name in _NAME.finditer(literal):
                text += literal[at : name.start()]
                at = name.end()
                if name[1].startswith("$"):
                    text += name[1]
                else:
                    yield text, name[1], "", None
                    text = ""
            yield text + literal[at:], field, spec, conversion


def fill_in(text: str, variables: Mapping[str, Any]) -> str:
    """Fill in the variables of a text. Return the text unchanged if one does not exist or fails."""
    try:
        return str(_Filling().vformat(text, args=[], kwargs=dict(variables)))
    except Exception:  # noqa: BLE001 -- a field is an expression, which may raise anything
        return text


def fields_of(text: str) -> list[tuple[str, str]]:
    """Return the expressions that `fill_in` would evaluate in `text`, each with its format.

    Raises:
        ValueError: The braces do not match. `fill_in` returns such a text as it is.
    """
    fields = _Filling().parse(text)
    return [(field, f"{form or ''}{spec or ''}") for _, field, spec, form in fields if field is not None]


def escape_fields(text: str) -> str:
    """Return the text that `fill_in` turns into `text` with any variables."""
    if not FILLED_IN & set(text):
        return text
    doubled = text.replace("{", "{{").replace("}", "}}")
    pieces = (literal for literal, *_ in Formatter().parse(doubled))  # quotes count within a piece
    return "".join(_NAME.sub(r"$\g<0>", piece) for piece in pieces).replace("{", "{{").replace("}", "}}")


Part = str | tuple[str, ...]


def parts_of(text: str) -> list[Part]:
    """Split a text into plain texts and tuples of alternatives."""
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
    """Return the axes in a prompt, and a function that gives the prompt for a choice among them.

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
    """Return the position of the brace that closes the one at `opening`, or None."""
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    return None


def _choices(inner: str) -> tuple[str, ...]:
    """Return the texts between the bars that are not in inner braces."""
    choices, depth, start = [], 0, 0
    for at, letter in enumerate(inner):
        depth += (letter == "{") - (letter == "}")
        if letter == "|" and depth == 0:
            choices.append(inner[start:at])
            start = at + 1
    return (*choices, inner[start:])
