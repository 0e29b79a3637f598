"""A plate of buildings with lit windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from kling_nb.local.preview.colour import mix, rgb, yuv
from kling_nb.local.preview.ground import Ground
from kling_nb.local.preview.plate import PHASES, Drawing, Plate

_LAMPS = ("#ffd9a0", "#ffc36b")


@dataclass(frozen=True, slots=True)
class _House:
    """Left edge, width and height in pixels."""

    x: float
    wide: float
    tall: float


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What is drawn on: Y, Cb, Cr and cover, four times as wide as the strip.

    Outside the walls all four are 0, so that narrowing them also weights the colours by the cover.
    """

    planes: tuple[Image.Image, Image.Image, Image.Image]
    cover: Image.Image
    street: float


def skyline_plate(ground: Ground, near: float, row: float) -> Plate:
    """Buildings whose street is at `row` of the frame, from 0 (far, hazy) to 1 (near, dark)."""
    at = ground.columns(near)
    houses = _houses(ground, float(at[-1]), near)
    top = max(int(row - max(house.tall for house in houses)) - 2, 0) // 2 * 2
    sheet = _walls(ground, houses, (len(at), ground.height - top), row - top, near)
    for house in houses:
        _light(ground, sheet, house, near)
    return Plate([_drawing(sheet, phase) for phase in range(PHASES)], top)


def _houses(ground: Ground, length: float, near: float) -> list[_House]:
    draw, unit = ground.random.uniform, ground.unit
    houses, x = [], -draw(0, 8) * unit
    while x < length:
        wide = draw(4.5, 10) * unit * (0.55 + 0.75 * near)
        tower = draw() < 0.28
        tall = (draw(4, 12) + (draw(5, 12) if tower else 0)) * unit
        houses.append(_House(x, wide * (0.72 if tower else 1.0), tall))
        if tower and draw() < 0.7:  # a mast, or an upper storey set back
            houses.append(_House(x + wide * 0.26, wide * 0.2, tall + draw(2, 5) * unit))
        x += wide * draw(0.78, 1.12)
    return houses


def _walls(ground: Ground, houses: list[_House], size: tuple[int, int], street: float, near: float) -> _Sheet:
    cover = Image.new("L", size, 0)
    pen = ImageDraw.Draw(cover)
    for house in houses:
        left, right = house.x * PHASES, (house.x + house.wide) * PHASES
        pen.rectangle((left, street - house.tall, right, size[1]), fill=255)
    pen.rectangle((0, street - min(house.tall for house in houses) * 0.8, *size), fill=255)
    wall = ground.tint(near**0.7)
    foot = mix(rgb(ground.mood.mist), wall, 0.35 + 0.6 * near)
    share = np.linspace(0, 1, size[1], dtype=np.float32)[:, None] ** 1.5
    ramp = yuv(wall + (foot - wall) * share).astype(np.uint8)
    black = Image.new("L", size, 0)
    y, u, v = (
        Image.composite(Image.fromarray(ramp[:, k : k + 1].copy()).resize(size), black, cover)
        for k in range(3)
    )
    return _Sheet((y, u, v), cover, street)


def _light(ground: Ground, sheet: _Sheet, house: _House, near: float) -> None:
    """Light some windows of a house, most of them in one colour."""
    across, down = (0.95 + 0.5 * near) * ground.unit, (1.2 + 0.65 * near) * ground.unit
    columns, rows = int((house.wide - across * 0.6) / across), int((house.tall - down) / down)
    if house.wide < across * 2.5 or rows < 1:
        return
    random, shades = ground.random, _shades(ground, near)
    taste, busy = int(random.integers(0, len(shades))), random.uniform(0.1, 0.5)
    pens = [ImageDraw.Draw(plane) for plane in sheet.planes]
    for column, row in np.argwhere(random.uniform(size=(columns, rows)) < busy):
        left = house.x + across * (0.55 + column)
        high = sheet.street - house.tall + down * (0.7 + row)
        box = (left * PHASES, high, (left + across * 0.45) * PHASES, high + down * 0.42)
        shade = shades[taste if random.uniform() < 0.6 else int(random.integers(0, len(shades)))]
        for pen, value in zip(pens, shade, strict=True):
            pen.rectangle(box, fill=value)


def _shades(ground: Ground, near: float) -> list[list[int]]:
    """Y, Cb, Cr of the windows at a distance."""
    dark = ground.tint(near)
    colours = [rgb(colour) for colour in (*_LAMPS, *ground.mood.glows)]
    return [[int(value) for value in yuv(mix(dark, colour, 0.35 + 0.5 * near))] for colour in colours]


def _drawing(sheet: _Sheet, phase: int) -> Drawing:
    columns = (sheet.cover.width - PHASES) // (PHASES * 2) * 2
    box = (phase, 0, phase + columns * PHASES, sheet.cover.height // 2 * 2)
    y, u, v, cover = (
        np.asarray(plane.crop(box).reduce((PHASES, 1))) for plane in (*sheet.planes, sheet.cover)
    )
    through = 256 - (cover.astype(np.uint16) + (cover >> 7))
    even = (u[::2, ::2], v[::2, ::2], through[::2, ::2])
    odd = (u[::2, 1:-1:2], v[::2, 1:-1:2], through[::2, 1:-1:2])
    return Drawing(y, through, (even, odd))
