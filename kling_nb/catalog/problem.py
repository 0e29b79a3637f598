"""`Problem`: one thing that is wrong with an input, in words.

`input_error` makes one error of all problems of a request, before anything is sent. `quote`, `listing`,
`choices` and `nearest` put values and choices into a message: on one line, clipped, without invisible
characters.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from kling_nb.errors import InputError, MediaInputError

ValuePath = tuple[str | int, ...]

_LINES = 3  # of problems; the fourth line of an error is the remedy
_WIDTH = 240


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes:
        path: Its place: names and indices from the root of the input. A broken rule between
            parameters has the path of the first of them.
        kind: The JSON Schema keyword that is broken (`enum`, `required`, `maxLength`, …), or
            `unknown`, `blank`, `text` (not UTF-8), `json` (not valid JSON), `media`.
        text: What is wrong, in a sentence that names the parameter.
        remedy: What to do, in a sentence; may be empty.
    """

    path: ValuePath
    kind: str
    text: str
    remedy: str = ""

    @property
    def parameter(self) -> str:
        """The path as one word, as in fal's own error details: `elements.0.frontal_image_url`."""
        return dotted_path(self.path)


class InvalidValue(Exception):
    """Carries a problem out of a nested value. It is always caught, and the user sees an `InputError`."""

    def __init__(self, path: ValuePath, kind: str, text: str, remedy: str) -> None:
        self.problem = Problem(path, kind, text, remedy)
        super().__init__(text)


def dotted_path(path: ValuePath) -> str:
    """Return `("elements", 0, "voice_id")` as `elements.0.voice_id`."""
    return visible(".".join(str(part) for part in path))


def unknown_parameter(owner: str, path: ValuePath, names: Sequence[str]) -> Problem:
    """Return the problem of a name that `owner` (an endpoint or a parameter) does not have."""
    close = nearest(path[-1], names)
    hint = f"Did you mean {listing(close, 'or')}? " if close else ""
    if path[-1] == "aspect_ratio" and {"image_url", "start_image_url"} & {*names}:
        hint = "The video has the shape of the image. "
    takes = f"It takes {listing(names)}." if names else "It takes none."
    return Problem(path, "unknown", f"{owner} has no parameter {quote(path[-1])}.", hint + takes)


def input_error(problems: Sequence[Problem]) -> InputError:
    """Return one error for all problems: at most three lines with problems and one with the remedy."""
    first = problems[0]
    kind = MediaInputError if first.kind == "media" else InputError
    if len(problems) == 1:
        text, remedy = clip(first.text.strip(), _WIDTH), clip(first.remedy.strip(), _WIDTH)
        return kind(text, remedy=remedy, parameter=first.parameter)
    lines = [clip(f"{problem.text} {problem.remedy}".strip(), _WIDTH) for problem in problems]
    if len(lines) > _LINES:
        rest = [problem.parameter for problem in problems[_LINES - 1 :]]
        lines = [*lines[: _LINES - 1], clip(f"{len(rest)} more: {listing(rest)}.", _WIDTH)]
    remedy = f"Correct these {len(problems)} and run it again. Nothing was sent."
    return kind("\n".join(lines), remedy=remedy, parameter=first.parameter)


# -- values and choices in words --------------------------------------------------

_CLOSE = 0.55  # the least likeness; "16x9" and "16:9" have 0.75, "aspect" and "aspect_ratio" 0.67
_MANY = 15
_RATIO = re.compile(r"\s*(\d{1,5}(?:\.\d{1,5})?)\s*[:/x×]\s*(\d{1,5}(?:\.\d{1,5})?)\s*")


def visible(text: str) -> str:
    """Return `text` with its invisible characters escaped: line ends, controls, broken characters."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def clip(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quote(value: Any, limit: int = 60) -> str:
    """Return a value as text that the user recognises, of about `limit` characters at most."""
    if isinstance(value, str):
        return f'"{visible(value[:limit])}"' if len(value) <= limit else f'"{visible(value[:limit])}…"'
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value):,} bytes"
    return clip(visible(reprlib.repr(value)), limit)


def listing(options: Iterable[Any], last: str = "") -> str:
    """Return choices separated by commas, without quotes. `last` ("or", "and") goes before the last one."""
    words = [option if isinstance(option, str) else quote(option) for option in options]
    if last and len(words) > 1:
        return f"{', '.join(words[:-1])} {last} {words[-1]}"
    return ", ".join(words)


def counted(number: int, noun: str) -> str:
    """Return a number of things in words: "1 take", "1,200 takes"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def choices(options: Sequence[Any], given: Any) -> str:
    """Return all choices as text or, of a long list, the ones most like `given`."""
    if len(options) <= _MANY:
        return listing(options, "or")
    close = nearest(given, options, count=5)
    shown = [*close, *(option for option in options if option not in close)][:5]
    return f"one of {listing(shown)} … ({len(options)} in all)"


def nearest(given: Any, options: Iterable[Any], count: int = 3) -> list[Any]:
    """Return the options most like `given`, best first; an empty list if none is similar.

    Numbers (also as texts) are compared as numbers, ratios (16:10) by their shape, everything else as words.
    """
    options = list(options)
    wanted = _number(given)
    numbers = [(number, option) for option in options if (number := _number(option)) is not None]
    if wanted is not None and len(numbers) == len(options):
        return [option for _, option in sorted(numbers, key=lambda pair: abs(pair[0] - wanted))[:count]]
    shape = _shape(given)
    shapes = [(found, option) for option in options if (found := _shape(option)) is not None]
    if shape is not None and shapes:
        return [
            option for _, option in sorted(shapes, key=lambda pair: _shape_distance(pair[0], shape))[:count]
        ]
    word = _comparable(given)
    scored = [(_likeness(word, _comparable(option)), option) for option in options]
    scored = sorted((pair for pair in scored if pair[0] >= _CLOSE), key=lambda pair: -pair[0])
    return [option for _, option in scored[:count]]


def _likeness(word: str, other: str) -> float:
    ratio = SequenceMatcher(None, word, other, autojunk=False).ratio()
    inside = len(word) >= 3 and (word in other or (len(other) >= 3 and other in word))
    return max(ratio, 0.7) if inside else ratio


def _comparable(value: Any) -> str:
    return str(value)[:100].casefold().replace("-", "_")


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _shape(value: Any) -> float | None:
    """Return the logarithm of a ratio of width to height: 0 for a square, positive for landscape."""
    found = _RATIO.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    width, height = float(found[1]), float(found[2])
    return math.log(width / height) if width and height else None


def _shape_distance(shape: float, wanted: float) -> tuple[float, bool]:
    """Return how far two shapes are apart, and True if their orientations differ.

    The second part decides between shapes at the same distance: 4:3 is midway between 1:1 and 16:9.
    """
    return round(abs(shape - wanted), 9), (shape > 0, shape < 0) != (wanted > 0, wanted < 0)
