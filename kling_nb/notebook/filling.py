"""Variables in a cell's text: `{name}` and `$name`, as IPython fills them in elsewhere, and the way back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any

from IPython.utils.text import FullEvalFormatter

FILLED_IN = frozenset("{}$")
"""What stands for a variable begins with one of these."""

_NAME = re.compile(r"\$(\$?[\w.]+)(?=(?:[^']*'[^']*')*[^']*$)")
"""`$name`, or `$$name` which stands for `$name` itself; not between single quotes."""


class _Filling(FullEvalFormatter):
    """IPython's own `DollarFormatter` drops the lines before a `$name`, which nobody wants of a prompt."""

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
    """`text` with its variables filled in; as it is where one of them does not exist or does not fit."""
    try:
        return str(_Filling().vformat(text, args=[], kwargs=dict(variables)))
    except Exception:  # noqa: BLE001 -- a field is an expression, which may raise anything
        return text


def escaped(text: str) -> str:
    """What `fill_in` makes `text` of, whatever the variables are."""
    if not FILLED_IN & set(text):
        return text
    doubled = text.replace("{", "{{").replace("}", "}}")
    pieces = (literal for literal, *_ in Formatter().parse(doubled))  # quotes count within a piece
    return "".join(_NAME.sub(r"$\g<0>", piece) for piece in pieces).replace("{", "{{").replace("}", "}}")
