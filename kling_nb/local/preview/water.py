"""Water: the open sea with its swell, and the ground below it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kling_nb.local.preview.colour import mix, rgb
from kling_nb.local.preview.ground import Ground, Layer, coat, facing, stack
from kling_nb.local.preview.motion import fractal_noise, smooth_noise
from kling_nb.local.preview.relief import Relief, cut


def sea(ground: Ground) -> list[Layer]:
    """Distant headlands, flat water, then swell that comes nearer."""
    return [_headland(ground), _surface(ground), *stack(ground, (0.32, 0.6, 0.85), _swell)]


def reef(ground: Ground) -> list[Layer]:
    """Banks of the sea floor."""
    return stack(ground, (0.1, 0.45, 0.9), _bank)


def _headland(ground: Ground) -> Layer:
    at = ground.columns(0.1)
    rise = fractal_noise(ground.random, at, ground.unit * 70, 4, 0.4)
    line = ground.horizon - np.clip(rise * 16 - 1.5, -0.1, None) * ground.unit * 0.7
    mist = rgb(ground.mood.mist)
    body = mix(mist, rgb(ground.mood.ridges[0]), 0.55)
    relief = Relief(line, np.full_like(at, 0.4), body, body, body, mist, skin=9, depth=60)
    return Layer(cut(relief, ground.height), ground.travel * 0.1)


def _surface(ground: Ground) -> Layer:
    """Flat water from the horizon down: it mirrors the sky's colour at its far edge."""
    at = ground.columns(0.0)
    line = np.full_like(at, ground.horizon)
    far = mix(rgb(ground.mood.mist), ground.tint(0), 0.35)
    foot = ground.tint(0.55)
    body = mix(far, foot, 0.4)
    relief = Relief(
        line, np.zeros_like(at), far, far, body, foot, skin=5 * ground.unit, depth=36 * ground.unit
    )
    return Layer(cut(relief, ground.height), 0.0)


def _swell(ground: Ground, near: float) -> Relief:
    at = ground.columns(near)
    long = ground.unit * (14 + 30 * near)
    turn = at / long + 0.6 * smooth_noise(ground.random, at, long * 2.2)
    calm = 0.55 + 0.45 * smooth_noise(ground.random, at, long * 3)
    crest = (1 - np.abs(np.sin(np.pi * turn)) ** 0.9) * calm
    line = ground.base(near, -3) - crest * (1.0 + 2.6 * near) * ground.unit
    relief = coat(ground, line, np.clip(crest * 0.9, 0, 1), near, skin=0.55, depth=26)
    mist = rgb(ground.mood.mist)
    return replace(relief, lit=mix(relief.body, mist, 0.75), edge=mix(relief.body, mist, 0.2))


def _bank(ground: Ground, near: float) -> Relief:
    at = ground.columns(near)
    rise = fractal_noise(ground.random, at, ground.unit * (42 - 12 * near), 5, 0.55)
    line = ground.base(near, -4) - rise * (8 + 2 * near) * ground.unit
    return coat(ground, line, facing(ground, line, 0.8, 3), near, skin=6, depth=34, glow=0.25)
