"""Where each cell of a sweep stands: rows and columns, or one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kling_nb._axes import Axis
from kling_nb._sweep import Sweep, SweepCell

HEADING = 40
"""Characters up to which labels stand well over a column."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A sweep on paper.

    Attributes:
        rows: Heading of each row; empty where cells flow one after the other.
        columns: Heading of each column; likewise.
        row_axis: What the rows are.
        column_axis: What the columns are.
        places: Row and column of each cell, or None where they flow.
        captions: What to call each cell by itself.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_axis: str
    column_axis: str
    places: tuple[tuple[int, int], ...] | None
    captions: tuple[str, ...]


def layout_of(study: Sweep) -> Layout:
    """Two or more axes make a table: columns are the last one with short labels, rows all others."""
    varying = [at for at, axis in enumerate(study.axes) if len(axis.values) > 1]
    captions = tuple(_caption(study.axes, cell, varying) for cell in study)
    if len(varying) < 2:
        return Layout((), (), "", _names(study.axes, varying), None, captions)
    across = next((at for at in reversed(varying) if _short(study.axes[at])), varying[-1])
    down = [at for at in varying if at != across]
    rows: dict[tuple[int, ...], str] = {}
    for cell in study:
        key = tuple(cell.place[at] for at in down)
        rows.setdefault(key, " · ".join(study.axes[at].labels[cell.place[at]] for at in down))
    order = {key: number for number, key in enumerate(rows)}
    places = tuple((order[tuple(cell.place[at] for at in down)], cell.place[across]) for cell in study)
    return Layout(
        tuple(rows.values()),
        study.axes[across].labels,
        _names(study.axes, down),
        _names(study.axes, [across]),
        places,
        captions,
    )


def _short(axis: Axis) -> bool:
    return all(len(label) <= HEADING for label in axis.labels)


def _names(axes: Sequence[Axis], chosen: Sequence[int]) -> str:
    return " · ".join(words(axes[at].name) for at in chosen)


def _caption(axes: Sequence[Axis], cell: SweepCell, varying: Sequence[int]) -> str:
    said = [axes[at].labels[cell.place[at]] for at in varying]
    return " · ".join(said) or cell.request.prompt


def words(name: str) -> str:
    """`aspect_ratio` as a heading."""
    return name.replace("_", " ")


def sizes(study: Sweep) -> str:
    """How many of what: `2 prompts × 3 aspect ratios`."""
    return " × ".join(_counted(len(axis.values), words(axis.name)) for axis in study.axes) or "1 cell"


def _counted(count: int, name: str) -> str:
    if name[-1:].isdigit():
        return f"{count} of {name}"
    return f"{count} {name}" if count == 1 or name.endswith("s") else f"{count} {name}s"
