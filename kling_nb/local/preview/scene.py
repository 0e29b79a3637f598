"""Text to video: sky, disc, land, weather, title and small print, frame after frame."""

from __future__ import annotations

import numpy as np

from kling_nb.local.preview.canvas import Canvas
from kling_nb.local.preview.clip import FPS, Clip
from kling_nb.local.preview.disc import Disc, place_disc
from kling_nb.local.preview.field import Field
from kling_nb.local.preview.ground import Ground, unit_of
from kling_nb.local.preview.land import raise_land
from kling_nb.local.preview.lettering import Box, Title
from kling_nb.local.preview.marks import Marks
from kling_nb.local.preview.mood import read_mood, seed_of
from kling_nb.local.preview.sky import Sky
from kling_nb.local.preview.weather import make_weather

_LOOP = 0.6
"""Seconds at the end in which the clip dissolves into its first frame, so that it loops."""


class Scene:
    """A title sequence for a prompt.

    Attributes:
        mood: What was read from the prompt.
        seed: Where all shapes come from.
    """

    def __init__(self, clip: Clip) -> None:
        self.mood = read_mood(clip.prompt)
        self.seed = seed_of(clip.prompt + "\0" + clip.salt)
        self._clip, self._canvas, self._first = clip, Canvas(*clip.size), Canvas(*clip.size)
        random = np.random.default_rng(self.seed)
        width, height = clip.size
        unit, horizon = unit_of(clip.size), height * (0.70 if height <= width else 0.72)
        spot = place_disc(self.mood, clip.size, horizon, random)
        self._sky = Sky(self.mood, clip.size, horizon / height, random, spot.halo if spot else ())
        self._disc = Disc(self.mood, spot) if spot else None
        light = spot.x if spot else width * 0.75
        travel = (8 + 5 * clip.seconds**0.8) * unit
        self._land = raise_land(
            Ground(width, height, horizon, travel, unit, self.mood, random, sun=light / width)
        )
        field = Field(width, height, unit, random, light, horizon)
        self._weather = make_weather(self.mood.weather, field, self.mood.accent)
        self._title = Title(clip.prompt, title_box(clip.size, horizon), clip.seconds)
        self._marks = Marks(clip, self.mood.accent)

    def frame(self, number: int) -> Canvas:
        """Frame `number`, from 0; frames must be asked for in order. The canvas is used again."""
        seconds, canvas = number / FPS, self._canvas
        progress = seconds / self._clip.seconds
        self._sky.paint(canvas, seconds)
        if self._disc:
            self._disc.draw(canvas, progress)
        bottoms = [*(layer.plate.solid_from for layer in self._land[1:]), canvas.height]
        for layer, bottom in zip(self._land, bottoms, strict=False):
            layer.plate.over(canvas, layer.travel * progress, bottom)
        for particles in self._weather:
            particles.draw(canvas, seconds)
        self._title.draw(canvas, seconds)
        self._dissolve(canvas, seconds)
        self._marks.draw(canvas, seconds)
        return canvas

    def _dissolve(self, canvas: Canvas, seconds: float) -> None:
        if seconds == 0:
            self._first.packed[:] = canvas.packed
        left = self._clip.seconds - seconds
        if left < _LOOP:
            canvas.dissolve(self._first, 1 - left / _LOOP)


def title_box(size: tuple[int, int], horizon: float) -> Box:
    """Where the title stands: in the upper left, over the sky."""
    width, height = size
    if width > height * 1.2:
        left, top, share, lines = 0.060, 0.165, 0.62, 3
    elif width * 1.2 < height:
        left, top, share, lines = 0.085, 0.115, 0.83, 5
    else:
        left, top, share, lines = 0.075, 0.145, 0.80, 4
    room = int(horizon * 0.90 - height * top)
    return Box(int(width * left), int(height * top), int(width * share), room, 58, 26, lines)
