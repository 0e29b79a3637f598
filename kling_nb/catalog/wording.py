"""How values and choices are put into a message: on one line, clipped, nothing invisible."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any

_CLOSE = 0.55  # of 1; "16x9" and "16:9" have 0.75, "aspect" and "aspect_ratio" 0.67
_MANY = 15
_RATIO = re.compile(r"\s*(\d{1,5}(?:\.\d{1,5})?)\s*[:/x×]\s*(\d{1,5}(?:\.\d{1,5})?)\s*")


def visible(text: str) -> str:
    """`text` with everything that cannot be seen escaped: line ends, controls, broken characters."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def quote(value: Any, limit: int = 60) -> str:
    """A value as its giver would recognise it, at most about `limit` characters long."""
    if isinstance(value, str):
        return f'"{visible(value[:limit])}"' if len(value) <= limit else f'"{visible(value[:limit])}…"'
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value):,} bytes"
    text = visible(reprlib.repr(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def listing(options: Iterable[Any], last: str = "") -> str:
    """Choices in a row, without quotes; `last` ("or", "and") goes before the last one."""
    words = [option if isinstance(option, str) else quote(option) for option in options]
    if last and len(words) > 1:
        return f"{', '.join(words[:-1])} {last} {words[-1]}"
    return ", ".join(words)


def choices(options: Sequence[Any], given: Any) -> str:
    """All choices, or, of a long list, the ones most like what was given."""
    if len(options) <= _MANY:
        return listing(options)
    close = nearest(given, options, count=5)
    shown = [*close, *(option for option in options if option not in close)][:5]
    return f"{listing(shown)} … ({len(options)} in all)"


def nearest(given: Any, options: Iterable[Any], count: int = 3) -> list[Any]:
    """The options most like what was given, best first; none where nothing is alike.

    Numbers, also as texts, are compared as numbers, and ratios (16:10) by their shape; everything else
    as words.
    """
    options = list(options)
    wanted = _number(given)
    numbers = [(number, option) for option in options if (number := _number(option)) is not None]
    if wanted is not None and len(numbers) == len(options):
        return [option for _, option in sorted(numbers, key=lambda pair: abs(pair[0] - wanted))[:count]]
    shape = _shape(given)
    shapes = [(found, option) for option in options if (found := _shape(option)) is not None]
    if shape is not None and shapes:
        return [option for _, option in sorted(shapes, key=lambda pair: _apart(pair[0], shape))[:count]]
    word = _plain(given)
    scored = [(_likeness(word, _plain(option)), option) for option in options]
    scored = sorted((pair for pair in scored if pair[0] >= _CLOSE), key=lambda pair: -pair[0])
    return [option for _, option in scored[:count]]


def _likeness(word: str, other: str) -> float:
    ratio = SequenceMatcher(None, word, other, autojunk=False).ratio()
    inside = len(word) >= 3 and (word in other or (len(other) >= 3 and other in word))
    return max(ratio, 0.7) if inside else ratio


def _plain(value: Any) -> str:
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
    """The logarithm of a ratio of width to height: 0 for a square, positive for landscape."""
    found = _RATIO.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    width, height = float(found[1]), float(found[2])
    return math.log(width / height) if width and height else None


def _apart(shape: float, wanted: float) -> tuple[float, bool]:
    """How far two shapes are apart. 4:3 lies midway between 1:1 and 16:9; there landscape stays landscape."""
    return round(abs(shape - wanted), 9), (shape > 0, shape < 0) != (wanted > 0, wanted < 0)
