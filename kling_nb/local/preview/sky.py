"""The soft ground of a scene: gradient, drifting light and vignette, drawn small and enlarged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from kling_nb.local.preview.canvas import Bytes, Canvas
from kling_nb.local.preview.colour import Floats, rgb, yuv
from kling_nb.local.preview.mood import Mood
from kling_nb.local.preview.motion import sway

Wide = npt.NDArray[np.uint16]
"""Values in 256ths, so that enlarging and noise have room between two levels."""

_HALF: Wide = np.full((1, 1), 128, np.uint16)

SHRINK = 8
"""The sky is computed this many times smaller than the frame: it holds nothing sharp."""


@dataclass(frozen=True, slots=True)
class Glow:
    """One drifting light. Places and sizes are shares of the frame; periods are seconds."""

    colour: Floats
    x: float
    y: float
    radius: float
    strength: float
    reach: float
    period: float
    phase: float


class Sky:
    """Paints every pixel of a canvas, so it comes first.

    Args:
        mood: Whose gradient and glows.
        size: Width and height of the canvas in pixels.
        horizon: Where the gradient ends, as a share of the height.
        random: Source of the glows' places.
        glows: Fixed lights besides the drifting ones, e.g. the halo of the disc.
    """

    def __init__(
        self,
        mood: Mood,
        size: tuple[int, int],
        horizon: float,
        random: np.random.Generator,
        glows: tuple[Glow, ...] = (),
    ) -> None:
        width, height = size
        self._shape = (max(height // SHRINK, 8), max(width // SHRINK, 8))
        self._aspect = width / height
        rows, columns = self._shape
        self._x = (np.arange(columns, dtype=np.float32) + 0.5) / columns
        self._y = (np.arange(rows, dtype=np.float32) + 0.5) / rows
        # Light has its colours first, (3, rows, columns): an inner loop of three would be slow.
        self._ground = _gradient(mood, self._y, horizon).T[:, :, None] * np.ones((1, 1, columns), np.float32)
        self._glows = (*(_drifting(random, rgb(colour)) for colour in mood.glows), *glows)
        self._vignette = _vignette(self._x, self._y)
        self._curtain = "curtain" in mood.weather
        self._rays = "rays" in mood.weather
        self._mood = mood
        # One pixel of noise hides the steps that 8 bits leave in a slow gradient.
        self._dither = random.integers(0, 420, (height + 64, width + 64)).astype(np.uint16)
        # One a plane: a reformatter that changes sizes builds its tables anew each time.
        self._enlarge = {name: VideoReformatter() for name in "yuv"}

    def paint(self, canvas: Canvas, seconds: float) -> None:
        """Fill `canvas` with the sky of that moment."""
        light = self._ground
        for glow in self._glows:
            light = _screen(light, self._lit(glow, seconds))
        if self._curtain:
            light = _screen(light, self._aurora(seconds))
        if self._rays:
            light = _screen(light, self._beams(seconds))
        small = yuv(np.ascontiguousarray(np.moveaxis(light * self._vignette, 0, -1)))
        wide = (np.clip(small, 0, 254) * 256).astype(np.uint16)
        grain = int(seconds * 24)
        noise = self._dither[grain * 37 % 64 :, grain * 29 % 64 :][: canvas.height, : canvas.width]
        self._spread("y", canvas.y, wide[..., 0], noise)
        self._spread("u", canvas.u, wide[..., 1], _HALF)
        self._spread("v", canvas.v, wide[..., 2], _HALF)

    def _lit(self, glow: Glow, seconds: float) -> Floats:
        x = glow.x + glow.reach * sway(seconds, glow.period, glow.phase)
        y = glow.y + glow.reach * 0.6 * sway(seconds, glow.period * 1.37, glow.phase + 0.3)
        across = np.exp(-(((self._x - x) * self._aspect / glow.radius) ** 2))
        down = np.exp(-(((self._y - y) / glow.radius) ** 2))
        strength = glow.strength * (1 + 0.12 * sway(seconds, glow.period * 0.71, glow.phase))
        return _coloured(down[:, None] * across[None, :] * np.float32(strength), glow.colour)

    def _aurora(self, seconds: float) -> Floats:
        """Hanging curtains of light, folded by three sines that never meet twice."""
        total = np.zeros((3, *self._shape), np.float32)
        for layer, name in enumerate(self._mood.glows):
            turn = seconds * (0.35 + 0.1 * layer)
            fold = (
                0.34
                + 0.08 * layer
                + 0.07 * np.sin(self._x * (7 + 2 * layer) + turn)
                + 0.035 * np.sin(self._x * (17 + 5 * layer) - 1.7 * turn)
            )
            strands = 0.62 + 0.38 * np.sin(self._x * (43 + 13 * layer) + 2.3 * turn) * np.sin(
                self._x * 19 - turn
            )
            below = self._y[:, None] - fold[None, :]
            fall = np.where(below > 0, np.exp(-((below / 0.05) ** 2)), np.exp(below / 0.16))
            total += _coloured(fall * strands[None, :] * np.float32(0.62 - 0.14 * layer), rgb(name))
        return total

    def _beams(self, seconds: float) -> Floats:
        """Shafts of light from a surface above the frame."""
        slant = (self._x[None, :] - 0.42) * self._aspect / (self._y[:, None] + 0.55)
        shafts = 0.5 + 0.5 * np.sin(slant * 17 + 0.5 * seconds) * np.sin(slant * 7.3 - 0.32 * seconds + 1)
        fade = np.exp(-((self._y[:, None] / 0.62) ** 2)) * np.exp(-((slant / 0.9) ** 2))
        return _coloured((shafts**2) * fade * np.float32(0.55), rgb(self._mood.glows[0]))

    def _spread(self, name: str, plane: Bytes, small: Wide, add: Wide) -> None:
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(small), format="gray16le")
        rows, columns = plane.shape
        large = self._enlarge[name].reformat(frame, columns, rows, "gray16le", interpolation="BICUBIC")
        values = cast("Wide", large.to_ndarray())
        values += add
        values >>= 8
        np.copyto(plane, values, casting="unsafe")


def _gradient(mood: Mood, rows: Floats, horizon: float) -> Floats:
    stops = np.stack([rgb(colour) for colour in mood.sky])
    places = np.linspace(0, 1, len(stops)) ** 0.86 * horizon
    return np.stack([np.interp(rows, places, stops[:, k]) for k in range(3)], axis=-1).astype(np.float32)


def _drifting(random: np.random.Generator, colour: Floats) -> Glow:
    return Glow(
        colour,
        x=random.uniform(0.1, 0.95),
        y=random.uniform(0.15, 0.75),
        radius=random.uniform(0.28, 0.5),
        strength=random.uniform(0.16, 0.3),
        reach=random.uniform(0.06, 0.14),
        period=random.uniform(5, 9),
        phase=random.uniform(0, 1),
    )


def _vignette(x: Floats, y: Floats) -> Floats:
    far = ((x - 0.5) ** 2)[None, :] + ((y - 0.5) ** 2)[:, None]
    return (1 - 0.62 * far**1.15).astype(np.float32)


def _coloured(light: Floats, colour: Floats) -> Floats:
    """Light of one colour: (rows, columns) as (3, rows, columns)."""
    return light[None] * colour[:, None, None]


def _screen(under: Floats, light: Floats) -> Floats:
    """Add light as a second projector would: it brightens and never clips."""
    return under + light * (1 - under)


def halo(colour: Floats, place: tuple[float, float], radius: float) -> tuple[Glow, Glow]:
    """The light around a disc: a wide one and a close one."""
    x, y = place
    wide = Glow(colour, x, y, radius * 4.2, 0.34, 0.0, 7.0, 0.0)
    close = Glow(colour, x, y, radius * 1.9, 0.42, 0.0, math.pi, 0.25)
    return wide, close
