"""The rows of the result, and how they are written."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        figure: What it is.
        ours: `kling_nb`'s.
        others: The figures of the other clients, in words.
        ratio: What the goal is about, where that is a ratio.
        goal: In words.
        met: Whether it is met; None where there is no goal.
        why: The known cause, printed if the goal is missed.
    """

    figure: str
    ours: str
    others: str = ""
    ratio: str = ""
    goal: str = ""
    met: bool | None = None
    why: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        word = {True: "yes", False: "**no**", None: ""}[self.met]
        return self.figure, self.ours, self.others, self.ratio, self.goal, word


def markdown(rows: Sequence[Row]) -> str:
    """The table, and below it what is known of the goals that were missed."""
    lines = ["| figure | kling_nb | others | ratio | goal | met |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row.cells)} |" for row in rows]
    missed = [f"- {row.figure}: {row.why}" for row in rows if row.met is False and row.why]
    return "\n".join([*lines, *(["", "Missed this time:", "", *missed] if missed else [])])


@dataclass(frozen=True)
class Times:
    """Values of several runs; `scale` turns them into what `unit` says."""

    values: Sequence[float]
    unit: str = "s"
    scale: float = 1.0

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values) * self.scale, max(self.values) * self.scale
        middle = self.median * self.scale
        spread = f" ({number(low)} to {number(high)})" if len(self.values) > 1 else ""
        return f"{number(middle)} {self.unit}{spread}"


def number(value: float) -> str:
    """Three digits that count, no exponent."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def milliseconds(values: Sequence[float]) -> Times:
    return Times(values, "ms", 1000)


def megabytes(values: Sequence[float]) -> Times:
    return Times(values, "MB", 1e-6)


def interleaved(rounds: int, sides: dict[str, Callable[[], T]]) -> dict[str, list[T]]:
    """What each side gives in each round. No one is always first."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    names = list(sides)
    for turn in range(rounds):
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            found[name].append(sides[name]())
    return found
