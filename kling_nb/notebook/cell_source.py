"""The text of a cell as IPython takes it: what is below `%%time`, and lines that are no Python."""

from __future__ import annotations

import ast
import re

_RUNS_WHAT_IS_BELOW = re.compile(r"%%(?:time|timeit|capture|prun|memit)\b")
_LEAVES_IT = re.compile(r"%%(?:writefile|file|html|HTML|markdown|latex|svg|SVG|js|javascript)\b")
_TIMED = re.compile(
    r"(\s*(?:[\w.,\s]+=(?!=)\s*)?)%(?:time|timeit|prun|memit)\b(?:\s+-\w+(?:\s+\d+)?)*[ \t]+(.+)"
)
_CHOICE = re.compile(r"(\s*)%kling\s+(local|fal|use)\b\s*(\S*)")
_CONFIG = re.compile(r"(\s*)%config\s+KlingMagics\.(\w+\s*=.+)")
_GIVEN = re.compile(r"(\s*[\w.,\s]+=(?!=)\s*)[%!].*")
_OTHER = re.compile(r"(\s*)(?:[%!?]|[\w.]+\?{1,2}\s*$).*")
_ASKS = re.compile(r"\bkling_nb\.\w+\(|\bkling-nb\s+generate\b")


def unwrapped(source: str) -> str:
    """A cell without empty lines at its head, and without magics that only run what is below them."""
    while True:
        source = re.sub(r"\A(?:[ \t]*\r?\n)+", "", source)
        head, _, body = source.partition("\n")
        if not _RUNS_WHAT_IS_BELOW.match(head):
            return source
        source = body


def is_text(source: str) -> bool:
    """Whether a cell magic of IPython keeps or shows what is below it."""
    return bool(_LEAVES_IT.match(source))


def asks(text: str) -> bool:
    """Whether a text that is not read any further looks as if it made a request."""
    return bool(_ASKS.search(text) or re.search(r"^\s*%%kling\b", text, re.MULTILINE))


def parsed(source: str) -> tuple[ast.Module, list[str]]:
    """A cell's Python, and the lines that are left out of it.

    `%time` leaves its statement; `%kling use`, `local` and `fal` become the `configure` that they are.

    Raises:
        SyntaxError: It is no Python.
        ValueError: Nor is this.
    """
    try:
        return ast.parse(source), []
    except SyntaxError:
        lines = source.splitlines()
    plain = [_plain(line) for line in lines]
    left_out = [line for line, one in zip(lines, plain, strict=True) if one.strip() in {"pass", "..."}]
    return ast.parse("\n".join(plain)), left_out


def _plain(line: str) -> str:
    """A line as Python."""
    if found := _TIMED.match(line):
        return found[1] + found[2]
    if found := _CHOICE.match(line):
        return found[1] + _chosen(found[2], found[3])
    if found := _CONFIG.match(line):
        return f"{found[1]}kling_nb.configure({found[2]})"
    if found := _GIVEN.match(line):
        return f"{found[1]}..."
    return f"{found[1]}pass" if (found := _OTHER.match(line)) else line


def _chosen(word: str, name: str) -> str:
    if word != "use":
        return f"kling_nb.configure(backend={word!r})"
    variable = name.strip("{}$")
    value = variable if variable != name and variable.isidentifier() else repr(name)
    return f"kling_nb.configure(endpoint={value})" if name else "pass"
