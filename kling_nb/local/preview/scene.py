"""`Scene` draws the frames for text to video: soft layers with circular motion, so that the clip loops.

The layers have no sharp edges, so they are drawn at a third of the frame's size and enlarged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter

from kling_nb.local.preview.scenery import Scenery

Floats = npt.NDArray[Any]

_SHRINK = 3
_TURN_SECONDS = 6.0  # Approximate period of all motion.


@dataclass(frozen=True, slots=True)
class Field:
    """The small frame on which layers are drawn. All lengths are shares of its shorter side.

    Attributes:
        x: Positions of the columns, shape (columns,).
        y: Positions of the rows, shape (rows, 1).
        size: Width and height.
        pixel: Side of one pixel.
        spot: Place of sun, moon or rings, in the upper right, where no title is.
        scenery: Scenery with the colours.
        random: Source of places, sizes and phases. It gives the same numbers for every frame.
    """

    x: Floats
    y: Floats
    size: tuple[float, float]
    pixel: float
    spot: tuple[float, float]
    scenery: Scenery
    random: np.random.Generator

    def draw(self, low: float, high: float) -> float:
        """Return a random number between two limits."""
        return float(self.random.uniform(low, high))


class Scene:
    """Draws the frames of a scenery. `size` is in pixels, both even."""

    def __init__(self, scenery: Scenery, size: tuple[int, int], seconds: float) -> None:
        columns, rows = (max(side // _SHRINK, 16) for side in size)
        pixel = 1 / min(columns, rows)
        x, y = ((np.arange(count, dtype=np.float32) + 0.5) * pixel for count in (columns, rows))
        wide, high, random = columns * pixel, rows * pixel, np.random.default_rng(scenery.seed)
        spot = wide * float(random.uniform(0.6, 0.82)), high * float(random.uniform(0.24, 0.36))
        self._field = Field(x, y[:, None], (wide, high), pixel, spot, scenery, random)
        self._background = _sky(self._field)
        self._turns = max(round(seconds / _TURN_SECONDS), 1)
        self._size, self._enlarge = size, VideoReformatter()

    def frame(self, progress: float) -> npt.NDArray[np.uint8]:
        """Return the frame at `progress` (0 to 1) in planar YUV 4:2:0, shape (height * 3 / 2, width)."""
        image, phase = self._background.copy(), 2 * math.pi * progress * self._turns
        scenery = self._field.scenery
        field = replace(self._field, random=np.random.default_rng(scenery.seed))
        for name in ("glow", *scenery.layers):
            LAYERS[name](field, image, phase)
        # swscale dithers 16-bit input, so that gradients show no bands.
        deep = np.empty((*image.shape[1:], 3), np.uint16)
        deep[...] = np.multiply(np.clip(image, 0, 1, out=image), 65535, out=image).transpose(1, 2, 0)
        small = VideoFrame.from_ndarray(deep, format="rgb48le")
        large = self._enlarge.reformat(
            small, *self._size, "yuv420p", dst_colorspace=Colorspace.ITU709, interpolation="BICUBIC"
        )
        return large.to_ndarray().astype(np.uint8, copy=False)


def _sky(field: Field) -> Floats:
    """Draw the sky as a gradient with a small tilt."""
    stops = np.stack(field.scenery.sky)
    at = field.y / field.size[1] + field.draw(-0.12, 0.12) * (field.x / field.size[0] - 0.5)
    places = np.linspace(0, 0.86, len(stops))
    return np.stack([np.interp(at, places, stops[:, k]) for k in range(3)]).astype(np.float32)


def _screen(image: Floats, light: Floats, colour: Floats) -> None:
    """Add light in the blend mode "screen", which never exceeds 1."""
    image += (1 - image) * (light * colour[:, None, None])


def _glow(field: Field, image: Floats, phase: float) -> None:
    """Draw wide lights that drift behind everything."""
    for colour in field.scenery.lights[1:]:
        start, radius = field.draw(0, 6.28), field.draw(0.3, 0.5)
        x = field.draw(0.1, 0.9) * field.size[0] + 0.16 * math.cos(phase + start)
        y = field.draw(0.1, 0.7) * field.size[1] + 0.1 * math.sin(phase + start)
        across, down = np.exp(-(((field.x - x) / radius) ** 2)), np.exp(-(((field.y - y) / radius) ** 2))
        _screen(image, down * (across * field.draw(0.1, 0.2)), colour)


def _mesh(field: Field, image: Floats, phase: float) -> None:
    """Draw a gradient mesh: colours that blend around six moving points."""
    scenery = field.scenery
    x = field.x + 0.12 * np.sin(field.y * field.draw(4, 8) + phase)
    x += 0.05 * np.sin(x * 9 + field.y * 4 - phase)
    total, colours = np.zeros_like(x), np.zeros_like(image)
    for colour in (*scenery.sky[:3], scenery.dark, *scenery.lights[:2]):
        start, reach = field.draw(0, 6.28), field.draw(0.1, 0.26)
        near = (x - field.draw(0, field.size[0]) - reach * math.cos(phase + start)) ** 2
        near += (field.y - field.draw(0, field.size[1]) - reach * math.sin(phase + start)) ** 2 + 0.02
        weight = 1 / (near * near)
        total += weight
        colours += weight * (0.92 * colour)[:, None, None]
    np.divide(colours, total, out=image)


def _sun(field: Field, image: Floats, phase: float, radius: float = 0.21, white: float = 0.3) -> None:
    """Draw a disc with a glow that moves up and down a little."""
    light, radius = field.scenery.lights[0], radius * field.draw(0.8, 1.2)
    x, y = field.spot[0] - 0.025 * math.cos(phase), field.spot[1] - 0.05 * math.sin(phase)
    far = np.sqrt((field.y - y) ** 2 + (field.x - x) ** 2)  # np.hypot takes five times as long.
    _screen(image, np.exp(-far / (radius * 1.9)) * 0.62, light)
    cover = np.clip((radius - far) / (1.6 * field.pixel), 0, 1)
    cover *= np.clip(1.02 - (field.y - y + radius) * (0.3 / radius), 0, 1)
    image += ((light + (1 - light) * white)[:, None, None] - image) * cover


def _stars(field: Field, image: Floats, phase: float) -> None:
    """Draw small round lights that twinkle."""
    random, near, count = field.random, np.arange(-1, 2), int(70 * math.prod(field.size))
    column = random.uniform(2, len(field.x) - 3, count)
    row = 2 + random.uniform(0, 1, count) ** 1.2 * (len(field.y) * 0.9 - 5)
    bright = 0.15 + 0.85 * random.uniform(0, 1, count) ** 4
    twinkle = np.sin(phase * random.integers(1, 4, count) + random.uniform(0, 6.28, count))
    x, y = column.astype(np.intp) + near[:, None, None], row.astype(np.intp) + near[:, None]
    shape = np.exp(-((x + 0.5 - column) ** 2 + (y + 0.5 - row) ** 2) / (0.35 + 0.3 * bright))
    image[:, y, x] += (1 - image[:, y, x]) * (shape * bright * (0.7 + 0.3 * twinkle))


def _hills(field: Field, image: Floats, phase: float, count: int = 5, *, travel: bool = False) -> None:
    """Draw bands with a bright edge, one behind the other: hills that sway, or waves that travel."""
    (far, near), slope, waves = field.scenery.land, field.draw(-0.1, 0.1), field.draw(0.8, 1.4)
    top, swing = field.draw(0.49, 0.59), field.draw(0.03, 0.05) if travel else field.draw(0.05, 0.085)
    lit = far + (1 - far) * field.scenery.sky[-1] * 0.5
    for number in range(count):
        depth, one, two = number / (count - 1), field.draw(0, 6.28), field.draw(0, 6.28)
        body = far + (near - far) * depth**0.6
        edge = (lit - body) * (0.62 - 0.4 * depth)
        x = field.x * (2 * math.pi * waves / field.size[0] * field.draw(0.75, 1.25) * (1.25 - 0.5 * depth))
        move = (1 if number % 2 else -1) * (phase if travel else 0.55 * math.sin(phase + one))
        crest = swing * (0.55 + 0.45 * depth) * (np.sin(x + one + move) + 0.4 * np.sin(x * 2.3 + two - move))
        crest += slope * (1 - depth) * (field.x / field.size[0] - 0.5)
        crest += (top + (0.98 - top) * depth**1.15) * field.size[1]
        first = max(int(float(crest.min()) / field.pixel) - 3, 0)
        down = np.maximum(field.y[first:] - crest, 0)
        shine = np.exp(down / -(0.1 + 0.16 * depth))
        cover = np.minimum(down / ((1.3 + 5 * (depth - 0.45) ** 2) * field.pixel), 1)
        image[:, first:] += (body[:, None, None] + edge[:, None, None] * shine - image[:, first:]) * cover


def _orbs(field: Field, image: Floats, phase: float) -> None:
    """Draw lights that are out of focus: drifting flat discs with a brighter rim."""
    for number in range(max(round(8 * math.prod(field.size)), 9)):
        start, reach = field.draw(0, 6.28), field.draw(0.03, 0.1)
        x = field.draw(0, field.size[0]) + reach * math.cos(phase + start)
        y = field.draw(0, field.size[1]) + reach * 0.7 * math.sin(phase + start)
        radius, strength = 0.045 + 0.14 * field.draw(0, 1) ** 2, field.draw(0.1, 0.34)
        left, top = (max(int((at - radius) / field.pixel) - 1, 0) for at in (x, y))
        right, bottom = (max(int((at + radius) / field.pixel) + 2, 0) for at in (x, y))
        off = np.sqrt((field.y[top:bottom] - y) ** 2 + (field.x[left:right] - x) ** 2) / radius
        strength *= 0.75 + 0.25 * math.sin(phase + 2 * start)
        light = np.clip((1 - off) * (radius / field.pixel / 2.2), 0, 1) * (0.6 + 0.4 * off**6)
        _screen(image[:, top:bottom, left:right], light * strength, field.scenery.lights[number % 3])


def _curtains(field: Field, image: Floats, phase: float) -> None:
    """Draw hanging curtains of light that fold slowly."""
    for number, colour in enumerate(field.scenery.lights):
        x, turn = field.x * (2.6 + number), (phase if number % 2 else -phase) + field.draw(0, 6.28)
        low = (field.draw(0.28, 0.4) + 0.08 * number) * field.size[1]
        rows = int((low + 0.3) / field.pixel)  # There is no light below these rows.
        below = field.y[:rows] - (low + 0.1 * np.sin(x + turn) + 0.035 * np.sin(x * 2.4 - turn))
        strands = 0.6 + 0.4 * np.sin(x * 6 + 2 * turn) * np.sin(x * 2.7 - turn)
        light = np.exp(np.where(below > 0, below * below * -280, below * 4.5))
        _screen(image[:, :rows], light * (strands * (0.66 - 0.13 * number)), colour)


def _beams(field: Field, image: Floats, phase: float) -> None:
    """Draw beams of light from above the frame."""
    slant = (field.x - field.draw(0.55, 0.85) * field.size[0]) / (field.y + 0.5)
    shafts = np.sin(slant * field.draw(11, 15) + phase) * np.sin(slant * field.draw(5, 7) - phase)
    fade = np.exp(-((field.y / (field.size[1] * 0.8)) ** 2) - (slant / 1.1) ** 2)
    _screen(image, (0.5 + 0.5 * shafts) ** 2 * fade * 0.6, field.scenery.lights[0])


def _rings(field: Field, image: Floats, phase: float) -> None:
    """Draw wide circles that spread from a point."""
    (x, y), density = field.spot, field.draw(4.5, 6.5)
    far = np.sqrt((field.y - y) ** 2 + (field.x - x) ** 2)
    place = far * density - phase / math.pi
    place -= np.floor(place)
    edge = np.minimum((1 - place) / (2 * field.pixel * density), 1) * place * place
    _screen(image, (0.25 + 0.75 * edge) * np.exp(-far / 0.7) * 0.62, field.scenery.lights[0])


LAYERS: dict[str, Callable[[Field, Floats, float], None]] = {
    "glow": _glow, "mesh": _mesh, "stars": _stars, "orbs": _orbs, "curtains": _curtains,
    "beams": _beams, "rings": _rings, "sun": _sun, "moon": partial(_sun, radius=0.12, white=0.65),
    "hills": _hills, "waves": partial(_hills, count=7, travel=True),
}  # fmt: skip
"""Layers by their names in `scenery.THEMES`. Each one draws over an image at a phase from 0 to 2π."""
