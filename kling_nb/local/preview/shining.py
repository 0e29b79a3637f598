"""What shines: stars, fireflies, lights out of focus, glints on water."""

from __future__ import annotations

import numpy as np

from kling_nb.local.preview.field import Field, Made, Maker, around
from kling_nb.local.preview.particles import Spots


def _stars(field: Field) -> Made:
    n, unit = field.count(230), field.unit
    bright = field.draw(0, 1, n) ** 3
    x = field.draw(0, field.width, n)
    y = field.draw(0, 1, n) ** 1.25 * np.float32(field.height * 0.8)
    phase, rate = field.draw(0, 6.28, n), field.draw(0.8, 3.2, n)
    fade = np.clip(1.1 - y / np.float32(field.height * 0.72), 0, 1)
    ones = np.ones(n, np.float32)

    def motion(t: float) -> Spots:
        twinkle = 0.72 + 0.28 * np.sin(t * rate + phase)
        drift = x - np.float32(0.35 * unit * t)
        size = (0.15 + 0.2 * bright) * unit
        return Spots(
            around(drift, field.width, 8), y, size, (0.42 + 0.58 * bright) * twinkle * fade, ones, phase
        )

    return Made(motion, (0.9 * unit, 0.9 * unit), "#f4f6ff")


def _fireflies(field: Field) -> Made:
    n, unit = field.count(46), field.unit
    x = field.draw(0, field.width, n)
    y = field.draw(0.5, 0.98, n) * np.float32(field.height)
    phase, turn = field.draw(0, 6.28, n), field.draw(0.5, 1.4, n)
    size = field.draw(0.28, 0.75, n) * unit
    ones = np.ones(n, np.float32)

    def motion(t: float) -> Spots:
        glow = np.clip(np.sin(t * turn * 1.6 + phase), 0, 1) ** 1.5 * 0.95
        return Spots(
            x + np.sin(t * turn + phase) * 5 * unit, y + np.cos(t * turn * 0.8 + phase) * 3 * unit,
            size, glow, ones, phase,
        )  # fmt: skip

    return Made(motion, (2.1 * unit, 2.1 * unit), "#fdf6a6")


def _bokeh(field: Field) -> Made:
    n, unit = field.count(26), field.unit
    x = field.draw(0, field.width, n)
    y = field.draw(0.55, 1.02, n) * np.float32(field.height)
    phase, turn = field.draw(0, 6.28, n), field.draw(0.3, 0.9, n)
    size = field.draw(0.7, 2.6, n) * unit
    ones = np.ones(n, np.float32)

    def motion(t: float) -> Spots:
        glow = 0.1 + 0.2 * np.clip(np.sin(t * turn * 1.7 + phase), 0, 1)
        drift = x - size * np.float32(t * 0.9)
        return Spots(
            around(drift, field.width, 24), y + np.sin(t * turn + phase) * unit, size, glow, ones, phase
        )

    return Made(motion, (4.2 * unit, 4.2 * unit))


def _glints(field: Field) -> Made:
    n, unit = field.count(210), field.unit
    light, horizon = field.light, field.horizon
    down = field.draw(0, 1, n) ** 1.5
    y = np.float32(horizon + 1.2 * unit) + down * np.float32(field.height - horizon)
    spread = (3 + 34 * down) * unit
    x = np.float32(light) + field.random.normal(0, 0.55, n).astype(np.float32) * spread
    phase, rate = field.draw(0, 6.28, n), field.draw(1.6, 5.0, n)
    flat = np.zeros(n, np.float32)

    def motion(t: float) -> Spots:
        glow = np.clip(np.sin(t * rate + phase), 0, 1) * (0.95 - 0.45 * down)
        slide = x + np.sin(t * 0.7 + phase) * unit * (0.4 + down)
        return Spots(slide, y, (0.13 + 0.2 * down) * unit, glow, 5 + 7 * down, flat)

    return Made(motion, (4.4 * unit, 0.5 * unit), "#fff6dc")


SHINING: dict[str, Maker] = {
    "stars": _stars,
    "fireflies": _fireflies,
    "bokeh": _bokeh,
    "glints": _glints,
}
