"""The silhouettes of a scene, far to near: one recipe a kind of land."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kling_nb.local.preview.colour import Floats, mix, rgb
from kling_nb.local.preview.ground import Ground, Layer, coat, facing, stack
from kling_nb.local.preview.motion import fractal_noise, smooth_noise
from kling_nb.local.preview.planet import planet_plate
from kling_nb.local.preview.relief import Relief
from kling_nb.local.preview.skyline import skyline_plate
from kling_nb.local.preview.water import reef, sea


def raise_land(ground: Ground) -> list[Layer]:
    """The layers of the mood's land, far to near; empty where it has none."""
    recipe = _RECIPES.get(ground.mood.land)
    return recipe(ground) if recipe else []


def _mountains(ground: Ground) -> list[Layer]:
    return stack(ground, (0.0, 0.25, 0.55, 1.0), _mountain)


def _mountain(ground: Ground, near: float) -> Relief:
    at = ground.columns(near)
    long = ground.unit * (46 - 14 * near)
    ridged = 1 - np.abs(fractal_noise(ground.random, at, long, 5, 0.42)) * 2.4
    swell = smooth_noise(ground.random, at, long * 2.3)
    line = ground.base(near, 1) - (ridged * (13 - 6 * near) + swell * 4) * ground.unit
    light = facing(ground, line, 1.3, 4.5)
    return coat(ground, line, light, near, slant=0.45, skin=13, depth=34, glow=0.4)


def _peaks(ground: Ground) -> list[Layer]:
    return [*stack(ground, (0.0, 0.3, 0.62), _peak), *_woods(ground, (1.0,))]


def _peak(ground: Ground, near: float) -> Relief:
    """A mountain with snow on it, whole by day and faint by night."""
    at = ground.columns(near)
    ridged = 1 - np.abs(fractal_noise(ground.random, at, ground.unit * (40 - 10 * near), 6, 0.5)) * 2.2
    line = ground.base(near, 4) - ridged * (17 - 9 * near) * ground.unit
    relief = coat(ground, line, facing(ground, line, 1.4, 1.6), near, slant=0.7, skin=7, depth=40)
    snow = mix(rgb("#f4f8fc"), relief.body, 0.12 + 0.3 * near)
    shaded = mix(snow, rgb(ground.mood.sky[1]), 0.45)
    white = 1.0 if ground.mood.name == "snow" else 0.55
    return replace(relief, edge=mix(relief.body, shaded, white), lit=mix(relief.body, snow, white))


def _hills(ground: Ground) -> list[Layer]:
    return stack(ground, (0.0, 0.22, 0.5, 0.78, 1.0), _hill)


def _hill(ground: Ground, near: float) -> Relief:
    at = ground.columns(near)
    rise = fractal_noise(ground.random, at, ground.unit * (62 - 10 * near), 3, 0.32)
    line = ground.base(near, 1) - rise * (9 - 2 * near) * ground.unit
    return coat(ground, line, facing(ground, line, 1.6), near, skin=7, depth=34, glow=0.5)


def _dunes(ground: Ground) -> list[Layer]:
    return stack(ground, (0.0, 0.25, 0.55, 1.0), _dune)


def _dune(ground: Ground, near: float) -> Relief:
    """Long slope before the wind, steep slope behind it; the crest parts light and shade."""
    at = ground.columns(near)
    long = ground.unit * (70 - 6 * near)
    bend = fractal_noise(ground.random, at, long * 1.2, 2) * long * 0.35
    turn = (at + bend) / long + ground.random.uniform(0, 1)
    saw = turn - np.floor(turn)
    crest = np.where(saw < 0.68, (saw / 0.68) ** 1.7, ((1 - saw) / 0.32) ** 1.15)
    line = ground.base(near, 1) - crest * (10 - 1.5 * near) * ground.unit
    light = np.where((saw > 0.68) == (ground.sun > 0.5), 1.0, 0.0)
    return coat(ground, line, light, near, skin=15, depth=30, glow=0.75, slant=0.9)


def _woods(ground: Ground, nears: tuple[float, ...] = (0.0, 0.2, 0.45, 0.72, 1.0)) -> list[Layer]:
    return stack(ground, nears, _wood)


def _wood(ground: Ground, near: float) -> Relief:
    at = ground.columns(near)
    rise = fractal_noise(ground.random, at, ground.unit * 60, 2)
    line = ground.base(near, 1) - rise * 5 * ground.unit - _firs(ground, at, near)
    return coat(ground, line, np.full_like(at, 0.45), near, skin=4, depth=30, glow=0.3)


def _firs(ground: Ground, at: Floats, near: float) -> Floats:
    """Height that a row of firs adds to a line: cones with notched sides."""
    tall, apart = (6 + 12 * near) * ground.unit, (1.6 + 3.4 * near) * ground.unit
    count = int(at[-1] / apart) + 2
    places = (np.arange(count) + ground.random.uniform(-0.45, 0.45, count)) * apart
    heights = tall * ground.random.uniform(0.45, 1.0, count) ** 1.2
    total = np.zeros_like(at)
    for place, top in zip(places, heights, strict=True):
        half = top * 0.27
        low, high = np.searchsorted(at, [place - half, place + half])
        out = np.abs(at[low:high] - place) / half
        notch = 0.075 * (out * 5 % 1.0) * (out > 0.08)
        np.maximum(total[low:high], top * (1 - out - notch), out=total[low:high])
    return total


def _city(ground: Ground) -> list[Layer]:
    span = ground.height * 0.99 - ground.horizon
    return [
        Layer(skyline_plate(ground, near, ground.horizon + span * down), ground.travel * near)
        for near, down in ((0.12, 0.2), (0.35, 0.36), (0.65, 0.62), (1.0, 1.0))
    ]


def _orbit(ground: Ground) -> list[Layer]:
    tall = ground.height > ground.width
    centre = (ground.width * (0.66 if tall else 0.79), ground.height * (0.7 if tall else 0.69))
    radius = min(ground.width, ground.height) * (0.34 if tall else 0.31)
    slide = 2.4 * ground.unit
    size = ((ground.width + int(slide) + 8) // 2 * 2, ground.height)
    return [Layer(planet_plate(ground.mood, size, centre, radius), slide)]


_RECIPES: dict[str, Callable[[Ground], list[Layer]]] = {
    "mountains": _mountains,
    "peaks": _peaks,
    "hills": _hills,
    "dunes": _dunes,
    "forest": _woods,
    "sea": sea,
    "reef": reef,
    "skyline": _city,
    "orbit": _orbit,
}
