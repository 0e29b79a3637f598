"""Cut-outs that slide over each other, as in a paper theatre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kling_nb.local.preview.canvas import Bytes, Canvas

PHASES = 4
"""Positions between two pixels for which a plate is drawn: a slow slide then has no steps."""

Through = npt.NDArray[np.uint16]
"""256 times the share of what lies behind that stays visible."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A strip at one position between two pixels, its colours already weighted by their cover.

    Attributes:
        y: Luma, shape (rows, columns), both even.
        through: What shines through, same shape.
        chroma: For an even and for an odd first column: blue difference, red difference and
            what shines through, each of shape (rows / 2, columns / 2 or one less).
    """

    y: Bytes
    through: Through
    chroma: tuple[tuple[Bytes, Bytes, Through], tuple[Bytes, Bytes, Through]]


class Plate:
    """A strip wider than the frame, ready to be laid over a canvas at any sub-pixel offset.

    Args:
        drawings: The strip at offsets 0, 1/4, 2/4 and 3/4 pixel, all of one shape.
        top: Even row of the canvas where it starts.
    """

    def __init__(self, drawings: list[Drawing], top: int) -> None:
        self.top = top
        self._drawings = drawings
        open_rows = np.max([drawing.through.max(axis=1) for drawing in drawings], axis=0) > 0
        self.solid_from = top + int(len(open_rows) - np.argmax(open_rows[::-1])) if open_rows.any() else top
        self.reach = drawings[0].y.shape[1]

    def over(self, canvas: Canvas, offset: float, bottom: int | None = None) -> None:
        """Lay the strip over `canvas`, its column `offset` at the left edge.

        Args:
            canvas: Changed in place.
            offset: Pixels, from 0 to two less than the strip has more than the canvas.
            bottom: Rows from here on are hidden by a nearer plate and left out.
        """
        column, phase = divmod(round(offset * PHASES), PHASES)
        drawing = self._drawings[phase]
        top = self.top
        last = canvas.height if bottom is None else bottom + bottom % 2
        rows = min(last, canvas.height, top + drawing.y.shape[0]) - top
        if rows <= 0:
            return
        window = slice(column, column + canvas.width)
        _blend(canvas.y[top : top + rows], drawing.y[:rows, window], drawing.through[:rows, window])
        u, v, through = drawing.chroma[column % 2]
        half = slice(column // 2, column // 2 + canvas.width // 2)
        top, rows = top // 2, rows // 2
        _blend(canvas.u[top : top + rows], u[:rows, half], through[:rows, half])
        _blend(canvas.v[top : top + rows], v[:rows, half], through[:rows, half])


def _blend(under: Bytes, over: Bytes, through: Through) -> None:
    seen = np.multiply(under, through, dtype=np.uint16)
    seen >>= 8
    np.add(over, seen, out=under, casting="unsafe")
