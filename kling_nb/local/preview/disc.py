"""Sun or moon: the one bright shape of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kling_nb.local.preview.canvas import Bytes, Canvas
from kling_nb.local.preview.colour import Floats, rgb, yuv
from kling_nb.local.preview.mood import Mood
from kling_nb.local.preview.motion import ease
from kling_nb.local.preview.sky import Glow, halo


@dataclass(frozen=True, slots=True)
class Spot:
    """Where the disc stands, in pixels, how far it climbs during the clip, and its light."""

    x: float
    y: float
    radius: float
    climb: float
    halo: tuple[Glow, ...]


def place_disc(mood: Mood, size: tuple[int, int], horizon: float, random: np.random.Generator) -> Spot | None:
    """A place for the mood's disc away from the title; None where the mood has none."""
    if not mood.disc:
        return None
    width, height = size
    short = min(width, height)
    tall = height > width
    across = random.uniform(0.56, 0.8) if tall else random.uniform(0.7, 0.82)
    radius, y = {
        "sun": (0.135 * short, horizon - short * random.uniform(0.03, 0.13)),
        "moon": (0.085 * short, horizon - short * random.uniform(0.26, 0.36)),
    }[mood.disc]
    glow = halo(rgb(mood.disc_colours[1]), (across, y / height), radius / height)
    return Spot(width * across, y, radius, short * 0.05, glow)


class Disc:
    """Draws a round body with an anti-aliased edge at sub-pixel places."""

    def __init__(self, mood: Mood, spot: Spot) -> None:
        self._spot = spot
        self._kind = mood.disc
        self._core, self._rim = (yuv(rgb(colour)) for colour in mood.disc_colours)

    def draw(self, canvas: Canvas, progress: float) -> None:
        """Blend the body into `canvas`; it climbs as `progress` goes from 0 to 1."""
        y = self._spot.y + self._spot.climb * (0.5 - ease(progress))
        for plane, part, scale in ((canvas.y, 0, 1.0), (canvas.u, 1, 0.5), (canvas.v, 2, 0.5)):
            self._fill(plane, part, self._spot.x * scale, y * scale, self._spot.radius * scale)

    def _fill(self, plane: Bytes, part: int, x: float, y: float, radius: float) -> None:
        rows, columns = plane.shape
        top, bottom = max(int(y - radius) - 1, 0), min(int(y + radius) + 2, rows)
        left, right = max(int(x - radius) - 1, 0), min(int(x + radius) + 2, columns)
        if top >= bottom or left >= right:
            return
        down = ((np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - y)) / np.float32(radius))[
            :, None
        ]
        across = ((np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x)) / np.float32(radius))[
            None, :
        ]
        square = down**2 + across**2
        cover = np.clip((1 - square) * np.float32(radius / 2) + np.float32(0.5), 0, 1)
        shade = self._shade(down, across, square)
        value = self._core[part] + (self._rim[part] - self._core[part]) * shade
        area = plane[top:bottom, left:right]
        np.copyto(area, area + (value - area) * cover, casting="unsafe")

    def _shade(self, down: Floats, across: Floats, square: Floats) -> Floats:
        """Where the body shows its core colour (0) and where its rim (1)."""
        if self._kind == "sun":
            lower: Floats = np.clip(down * np.float32(0.55) + np.float32(0.42), 0, 1)
            return lower
        mare = np.sin(across * 5.1 + 1) * np.sin(down * 4.3 + across * 2) * np.float32(0.09)
        outer: Floats = np.clip(np.float32(0.1) + np.float32(0.32) * square + mare, 0, 1)
        return outer
