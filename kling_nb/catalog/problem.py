"""One thing that is wrong with an input, and how several of them become one error.

Both sides of the wire use it: a request refuses them before anything is sent, and the
embedded engine answers them as fal answers a refused input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kling_nb.catalog.wording import listing, nearest, quote, visible
from kling_nb.errors import InputError, MediaInputError

Path = tuple[str | int, ...]

_LINES = 3  # of problems; the fourth line of an error says what to do
_WIDTH = 240


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: Where it is: names and indices from the root of the input. A rule between
            parameters is put on the first of them.
        kind: The JSON Schema keyword that is broken (`enum`, `required`, `maxLength`, …), or
            `unknown`, `blank`, `text` (not UTF-8), `json` (cannot be read as JSON), `media`.
        text: What is wrong, a sentence that names the parameter.
        remedy: What to do, a sentence; may be empty.
    """

    path: Path
    kind: str
    text: str
    remedy: str = ""

    @property
    def parameter(self) -> str:
        """The path in one word, as fal's own details have it: `elements.0.frontal_image_url`."""
        return dotted(self.path)


class Unfit(Exception):
    """Carries a problem out of a nested value. It never reaches a user."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.text)


def dotted(path: Path) -> str:
    """`("elements", 0, "voice_id")` as `elements.0.voice_id`."""
    return visible(".".join(str(part) for part in path))


def unknown_parameter(owner: str, path: Path, names: Sequence[str]) -> Problem:
    """The problem of a name that `owner` (an endpoint or a parameter) does not have."""
    close = nearest(path[-1], names)
    hint = f"Did you mean {listing(close, 'or')}? " if close else ""
    takes = f"It takes {listing(names)}." if names else "It takes none."
    return Problem(path, "unknown", f"{owner} has no parameter {quote(path[-1])}.", hint + takes)


def report(problems: Sequence[Problem]) -> InputError:
    """One error for all problems: at most three lines of what is wrong and one of what to do."""
    first = problems[0]
    kind = MediaInputError if first.kind == "media" else InputError
    if len(problems) == 1:
        return kind(_clip(first.text), remedy=_clip(first.remedy), parameter=first.parameter)
    lines = [_clip(f"{problem.text} {problem.remedy}") for problem in problems]
    if len(lines) > _LINES:
        rest = [problem.parameter for problem in problems[_LINES - 1 :]]
        lines = [*lines[: _LINES - 1], _clip(f"{len(rest)} more: {listing(rest)}.")]
    remedy = f"Correct these {len(problems)} and run it again; nothing was submitted."
    return kind("\n".join(lines), remedy=remedy, parameter=first.parameter)


def _clip(line: str) -> str:
    line = line.strip()
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
