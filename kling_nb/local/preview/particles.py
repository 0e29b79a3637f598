"""Weather: hundreds of small soft spots, drawn in one go."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kling_nb.local.preview.canvas import Bytes, Canvas
from kling_nb.local.preview.colour import Floats, yuv


@dataclass(frozen=True, slots=True)
class Spots:
    """Particles at one moment, all of a kind.

    Each is a Gaussian spot, stretched `long` times along its direction.

    Attributes:
        x: Columns.
        y: Rows.
        size: Radius in pixels, across.
        strength: Opacity at the centre, 0…1.
        long: Stretch along the direction.
        angle: Direction in radians, 0 to the right.
    """

    x: Floats
    y: Floats
    size: Floats
    strength: Floats
    long: Floats
    angle: Floats


Motion = Callable[[float], Spots]
"""Where the spots of one kind are at a moment, in seconds."""


class Particles:
    """One kind of weather over a canvas.

    Args:
        motion: Gives the spots of a moment.
        colour: RGB in 0…1.
        reach: How far a spot reaches from its centre, across and down, in pixels.
    """

    def __init__(self, motion: Motion, colour: Floats, reach: tuple[float, float]) -> None:
        self._motion = motion
        self._colour = yuv(colour)
        self._full = _cell(*reach)
        self._half = _cell(reach[0] / 2, reach[1] / 2)

    def draw(self, canvas: Canvas, seconds: float) -> None:
        """Blend the spots of that moment into `canvas`."""
        spots = self._motion(seconds)
        luma, blue, red = (np.float32(part) for part in self._colour)
        stamp = _stamp(canvas.y.shape, spots, self._full, 1.0)
        _press(stamp, canvas.y, luma)
        stamp = _stamp(canvas.u.shape, spots, self._half, 0.5)
        _press(stamp, canvas.u, blue)
        _press(stamp, canvas.v, red)


def _cell(across: float, down: float) -> tuple[Floats, Floats]:
    x, y = max(math.ceil(across), 1), max(math.ceil(down), 1)
    return np.arange(-x, x + 1, dtype=np.float32), np.arange(-y, y + 1, dtype=np.float32)


_Stamp = tuple[npt.NDArray[np.intp], Floats]
"""Which pixels of a plane the spots lie on, and how much of each they cover; shape (spots, rows, columns)."""


def _stamp(shape: tuple[int, ...], spots: Spots, cell: tuple[Floats, Floats], scale: float) -> _Stamp:
    rows, columns = shape
    wide, high = cell
    x, y = spots.x * scale, spots.y * scale
    left, top = np.floor(x), np.floor(y)
    seen = (left >= wide[0]) & (left < columns - wide[0]) & (top >= high[0]) & (top < rows - high[0])
    seen &= (left >= wide[-1]) & (left < columns - wide[-1]) & (top >= high[-1]) & (top < rows - high[-1])
    seen &= spots.strength > 0.01
    x, y, left, top = x[seen], y[seen], left[seen], top[seen]
    across = (wide[None, :] + np.float32(0.5) - (x - left)[:, None])[:, None, :]
    down = (high[None, :] + np.float32(0.5) - (y - top)[:, None])[:, :, None]
    cosine, sine = np.cos(spots.angle[seen])[:, None, None], np.sin(spots.angle[seen])[:, None, None]
    size = np.maximum(spots.size[seen] * np.float32(scale), np.float32(0.45))[:, None, None]
    along = (across * cosine + down * sine) / (size * spots.long[seen][:, None, None])
    beside = (down * cosine - across * sine) / size
    along *= along
    beside *= beside
    along += beside
    cover = np.exp(np.negative(along, out=along), out=along)
    cover *= spots.strength[seen][:, None, None]
    offsets = (high[:, None] * columns + wide[None, :]).astype(np.intp)
    return (top * columns + left).astype(np.intp)[:, None, None] + offsets[None], cover


def _press(stamp: _Stamp, plane: Bytes, value: np.float32) -> None:
    index, cover = stamp
    flat = plane.reshape(-1)
    under = flat.take(index).astype(np.float32)
    toward = value - under
    toward *= cover
    toward += under
    flat[index] = toward.astype(np.uint8)
