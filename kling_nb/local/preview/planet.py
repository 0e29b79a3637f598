"""A plate with a ringed planet, lit from the upper left."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kling_nb.local.preview.canvas import Bytes
from kling_nb.local.preview.colour import Floats, rgb, yuv
from kling_nb.local.preview.mood import Mood
from kling_nb.local.preview.plate import PHASES, Drawing, Plate, Through

_LIGHT = np.array([-0.62, -0.58, 0.53], np.float32)
_TILT, _FLAT = -0.38, 0.26


def planet_plate(mood: Mood, size: tuple[int, int], centre: tuple[float, float], radius: float) -> Plate:
    """The planet on a transparent strip of `size` pixels (even numbers), ready to drift.

    Args:
        mood: Its disc colours give the day side and the atmosphere, the nearest ridge the night.
        size: Width and height in pixels.
        centre: Of the planet, in pixels.
        radius: Of the planet, in pixels.
    """
    return Plate([_draw(mood, size, centre, radius, phase / PHASES) for phase in range(PHASES)], 0)


def _draw(
    mood: Mood, size: tuple[int, int], centre: tuple[float, float], radius: float, shift: float
) -> Drawing:
    width, height = size
    left, top = (max(int(middle - 2.1 * radius), 0) // 2 * 2 for middle in centre)
    low = min(int(centre[1] + 1.3 * radius) // 2 * 2, height)
    x = ((np.arange(left, width, dtype=np.float32) + 0.5 + np.float32(shift) - centre[0]) / radius)[None, :]
    y = ((np.arange(top, low, dtype=np.float32) + 0.5 - centre[1]) / radius)[:, None]
    far = np.sqrt(x * x + y * y)
    ball = np.clip((1 - far) * radius + 0.5, 0, 1)
    ring, band, front = _ring(x, y)
    seen = ring * np.where(front, 1.0, 1 - ball).astype(np.float32)
    alpha = ball + seen * (1 - ball)
    weight = (seen / np.maximum(alpha, 1e-3))[..., None]
    tone = rgb(mood.disc_colours[0]) * (0.35 + 0.6 * band)[..., None]
    colour = _globe(mood, x, y, far)
    small = paint(alpha, np.clip(colour + (tone - colour) * weight, 0, 1))
    return _pad(small, (height, width), top, left)


def _globe(mood: Mood, x: Floats, y: Floats, far: Floats) -> Floats:
    day, air, night = rgb(mood.disc_colours[0]), rgb(mood.disc_colours[1]), rgb(mood.ridges[1])
    light = _lambert(x, y, far)
    colour = night + (day * _bands(x, y)[..., None] - night) * light[..., None]
    rim: Floats = colour + air * (np.clip(far, 0, 1) ** 9 * (0.15 + 0.55 * light))[..., None]
    return rim


def _pad(small: Drawing, shape: tuple[int, int], top: int, left: int) -> Drawing:
    """The drawing on a transparent strip of `shape`."""

    def laid(part: Bytes | Through, scale: int, empty: int) -> npt.NDArray[Any]:
        whole = np.full((shape[0] // scale, shape[1] // scale), empty, part.dtype)
        whole[top // scale : top // scale + part.shape[0], left // scale : left // scale + part.shape[1]] = (
            part
        )
        return whole

    even, odd = ((laid(u, 2, 0), laid(v, 2, 0), laid(through, 2, 256)) for u, v, through in small.chroma)
    return Drawing(laid(small.y, 1, 0), laid(small.through, 1, 256), (even, odd))


def _lambert(x: Floats, y: Floats, far: Floats) -> Floats:
    depth = np.sqrt(np.clip(1 - far * far, 0, 1))
    lit = x * _LIGHT[0] + y * _LIGHT[1] + depth * _LIGHT[2]
    light: Floats = np.clip(lit * 1.25 + 0.08, 0, 1) ** 0.85
    return light


def _bands(x: Floats, y: Floats) -> Floats:
    across = y * np.float32(np.cos(_TILT)) - x * np.float32(np.sin(_TILT))
    wave = np.sin(across * 19 + np.sin(across * 6.5) * 2) * 0.07 + np.sin(across * 47) * 0.03
    bands: Floats = (0.93 + wave).astype(np.float32)
    return bands


def _ring(x: Floats, y: Floats) -> tuple[Floats, Floats, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Cover and brightness of the ring, and where it passes in front."""
    along = x * np.float32(np.cos(_TILT)) + y * np.float32(np.sin(_TILT))
    out = (y * np.float32(np.cos(_TILT)) - x * np.float32(np.sin(_TILT))) / np.float32(_FLAT)
    far = np.sqrt(along * along + out * out)
    inside = np.clip((far - 1.32) * 40, 0, 1) * np.clip((2.02 - far) * 40, 0, 1)
    gap = 1 - 0.85 * np.clip(1 - np.abs(far - 1.74) * 36, 0, 1)
    band = 0.6 + 0.4 * np.sin(far * 31) * np.sin(far * 12.7)
    return (inside * gap * (0.25 + 0.5 * band)).astype(np.float32), band.astype(np.float32), out > 0


def paint(alpha: Floats, colour: Floats) -> Drawing:
    """A drawing from cover (rows, columns) and RGB (rows, columns, 3), both in 0…1."""
    planes = (yuv(colour) * alpha[..., None]).astype(np.uint8)
    through = np.round((1 - alpha) * 256).astype(np.uint16)
    even = (planes[::2, ::2, 1], planes[::2, ::2, 2], through[::2, ::2])
    odd = (planes[::2, 1:-1:2, 1], planes[::2, 1:-1:2, 2], through[::2, 1:-1:2])
    return Drawing(np.ascontiguousarray(planes[..., 0]), through, (even, odd))
