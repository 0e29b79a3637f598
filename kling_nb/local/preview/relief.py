"""Plates cut along a height line: mountains, dunes, hills, woods, waves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kling_nb.local.preview.colour import Floats, yuv
from kling_nb.local.preview.plate import PHASES, Drawing, Plate

_STEPS = 8
"""Steps a pixel in which the distance to the edge is counted."""
_EDGE = 5
"""Depth in pixels by which the distance across the edge has turned into the distance down."""
_SIDES = 16
"""Shades between a slope turned to the light and one turned away."""


@dataclass(frozen=True, slots=True)
class Relief:
    """A height line and how it is coloured below.

    Attributes:
        line: Row of the edge for each quarter pixel, in canvas rows.
        light: How far the slope is turned to the light, 0…1, for each quarter pixel.
        edge: Colour right below the edge, turned away from the light (RGB).
        lit: The same, turned to the light.
        body: Colour further below.
        foot: What it fades into at the bottom.
        skin: Depth in pixels over which `edge` and `lit` give way to `body`.
        depth: Depth in pixels at which `foot` is reached.
        slant: Columns that a facet leans to the side for each row of depth.
    """

    line: Floats
    light: Floats
    edge: Floats
    lit: Floats
    body: Floats
    foot: Floats
    skin: float
    depth: float
    slant: float = 0.0


def cut(relief: Relief, height: int) -> Plate:
    """The plate of a relief on a canvas `height` rows high, down to the bottom."""
    top = max(int(relief.line.min()) - 2, 0) // 2 * 2
    tables = _tables(relief)
    slope = np.gradient(relief.line, 1 / PHASES)
    narrow = 1 / np.sqrt(1 + np.clip(slope, -6, 6) ** 2)
    rows = np.arange(top, height, dtype=np.float32) + np.float32(0.5)
    return Plate([_draw(relief, narrow, tables, rows, phase) for phase in range(PHASES)], top)


def _draw(relief: Relief, narrow: Floats, tables: _Tables, rows: Floats, phase: int) -> Drawing:
    line = relief.line[phase::PHASES].astype(np.float32)
    columns = len(line) // 2 * 2
    line, scale = line[:columns], (narrow[phase::PHASES][:columns] * _STEPS).astype(np.float32)
    below = rows[:, None] - line[None, :]
    distance = below * scale[None, :]
    # Further down the plain depth counts, else a steep edge would leave streaks in the shading.
    below -= _EDGE
    below *= _STEPS
    np.maximum(distance, below, out=distance)
    distance += _STEPS // 2
    np.clip(distance, 0, tables.through.shape[1] - 1, out=distance)
    index = distance.astype(np.intp)
    index += _sides(relief, phase, columns, len(rows)) * tables.through.shape[1]
    return Drawing(
        tables.y.ravel()[index],
        tables.through.ravel()[index],
        (_chroma(tables, index), _chroma(tables, index[:, 1:-1])),
    )


def _sides(relief: Relief, phase: int, columns: int, rows: int) -> npt.NDArray[np.intp]:
    shades = np.round(relief.light[phase::PHASES][:columns] * (_SIDES - 1)).astype(np.intp)
    if relief.slant == 0:
        return shades[None, :]
    lean = (np.arange(rows) * relief.slant).astype(np.intp)
    leaning: npt.NDArray[np.intp] = shades[(np.arange(columns)[None, :] + lean[:, None]) % columns]
    return leaning


def _chroma(
    tables: _Tables, index: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    small = index[1::2, 1::2]
    return tables.u.ravel()[small], tables.v.ravel()[small], tables.through.ravel()[small]


@dataclass(frozen=True, slots=True)
class _Tables:
    """Premultiplied colour and cover by [side, distance from the edge]."""

    y: npt.NDArray[np.uint8]
    u: npt.NDArray[np.uint8]
    v: npt.NDArray[np.uint8]
    through: npt.NDArray[np.uint16]


def _tables(relief: Relief) -> _Tables:
    depth = (np.arange(int(relief.depth * _STEPS) + _STEPS * 2, dtype=np.float32) / _STEPS) - 0.5
    cover = np.clip(depth + 0.5, 0, 1)
    side = np.linspace(0, 1, _SIDES, dtype=np.float32)[:, None, None]
    top = relief.edge + (relief.lit - relief.edge) * side
    skin = np.exp(-((np.clip(depth, 0, None) / relief.skin) ** 1.5))[None, :, None]
    foot = np.clip(depth / relief.depth, 0, 1)[None, :, None] ** 1.4
    colour = relief.body + (top - relief.body) * skin
    colour = colour + (relief.foot - colour) * foot
    weighted = yuv(np.clip(colour, 0, 1).astype(np.float32)) * cover[None, :, None]
    planes = weighted.astype(np.uint8)
    through = np.broadcast_to(np.round((1 - cover) * 256).astype(np.uint16), planes.shape[:2]).copy()
    return _Tables(planes[..., 0].copy(), planes[..., 1].copy(), planes[..., 2].copy(), through)
