"""What falls, drifts and rises: snow, rain, petals, dust, embers, bubbles."""

from __future__ import annotations

import numpy as np

from kling_nb.local.preview.field import Field, Made, Maker, around
from kling_nb.local.preview.particles import Spots


def _snow(field: Field) -> Made:
    n, unit = field.count(190), field.unit
    near = field.draw(0, 1, n) ** 2.2
    x, y = field.draw(0, field.width, n), field.draw(0, field.height, n)
    phase, turn = field.draw(0, 6.28, n), field.draw(0.5, 1.3, n)
    ones = np.ones(n, np.float32)

    def motion(t: float) -> Spots:
        fall = y + (6 + 26 * near) * unit * np.float32(t)
        drift = x + (2 + 5 * near) * unit * np.float32(t) + np.sin(t * turn + phase) * (1 + 3 * near) * unit
        return Spots(
            around(drift, field.width, 12), around(fall, field.height, 12),
            (0.16 + 0.55 * near) * unit, 0.45 + 0.5 * near, ones, phase,
        )  # fmt: skip

    return Made(motion, (1.7 * unit, 1.7 * unit), "#ffffff")


def _rain(field: Field) -> Made:
    n, unit = field.count(150), field.unit
    near = field.draw(0, 1, n)
    x, y = field.draw(-40, field.width + 40, n), field.draw(0, field.height, n)
    angle = np.full(n, 1.73, np.float32)

    def motion(t: float) -> Spots:
        way = (110 + 90 * near) * unit * np.float32(t)
        return Spots(
            around(x - way * np.float32(0.16), field.width, 30), around(y + way, field.height, 30),
            (0.10 + 0.08 * near) * unit, 0.16 + 0.3 * near, 11 + 10 * near, angle,
        )  # fmt: skip

    return Made(motion, (0.9 * unit, 3.6 * unit), "#dfeefa")


def _petals(field: Field) -> Made:
    n, unit = field.count(64), field.unit
    near = field.draw(0, 1, n) ** 1.4
    x, y = field.draw(0, field.width, n), field.draw(0, field.height, n)
    phase, turn = field.draw(0, 6.28, n), field.draw(0.7, 1.8, n)

    def motion(t: float) -> Spots:
        fall = y + (4 + 11 * near) * unit * np.float32(t)
        drift = x + (5 + 12 * near) * unit * np.float32(t) + np.sin(t * turn + phase) * 3 * unit
        flip = 1.15 + 1.05 * np.abs(np.sin(t * turn * 1.3 + phase))
        return Spots(
            around(drift, field.width, 16), around(fall, field.height, 16), (0.3 + 0.55 * near) * unit,
            0.55 + 0.4 * near, flip.astype(np.float32), phase + np.float32(t) * turn,
        )  # fmt: skip

    return Made(motion, (2.6 * unit, 2.6 * unit), "#ffd9e6")


def _dust(field: Field) -> Made:
    n, unit = field.count(60), field.unit
    near = field.draw(0, 1, n) ** 1.8
    x, y = field.draw(0, field.width, n), field.draw(0, field.height, n)
    phase, turn = field.draw(0, 6.28, n), field.draw(0.4, 1.1, n)
    ones = np.ones(n, np.float32)

    def motion(t: float) -> Spots:
        drift = x + (1.5 + 5 * near) * unit * np.float32(t)
        lift = y - (0.8 + 2 * near) * unit * np.float32(t) + np.sin(t * turn + phase) * unit
        glow = (0.1 + 0.28 * near) * (0.65 + 0.35 * np.sin(t * turn * 2 + phase))
        return Spots(
            around(drift, field.width, 12),
            around(lift, field.height, 12),
            (0.2 + 0.5 * near) * unit,
            glow,
            ones,
            phase,
        )

    return Made(motion, (1.8 * unit, 1.8 * unit), "#fff3d9")


def _embers(field: Field) -> Made:
    n, unit = field.count(120), field.unit
    near = field.draw(0, 1, n) ** 1.6
    x, y = field.draw(0, field.width, n), field.draw(0, field.height, n)
    phase, turn = field.draw(0, 6.28, n), field.draw(0.8, 2.4, n)

    def motion(t: float) -> Spots:
        rise = around(y - (7 + 24 * near) * unit * np.float32(t), field.height, 12)
        drift = x + np.sin(t * turn + phase) * (1.5 + 4 * near) * unit + np.float32(3 * unit * t)
        glow = (0.55 + 0.45 * np.sin(t * turn * 3 + phase)) * np.clip(rise / field.height * 1.5, 0.12, 1)
        return Spots(
            around(drift, field.width, 12), rise, (0.16 + 0.36 * near) * unit, glow,
            1 + 1.4 * near, phase + np.float32(t),
        )  # fmt: skip

    return Made(motion, (1.9 * unit, 1.9 * unit), "#ffc46b")


def _bubbles(field: Field) -> Made:
    n, unit = field.count(54), field.unit
    near = field.draw(0, 1, n) ** 2
    x, y = field.draw(0, field.width, n), field.draw(0, field.height, n)
    phase, turn = field.draw(0, 6.28, n), field.draw(0.8, 1.9, n)
    ones = np.ones(n, np.float32)

    def motion(t: float) -> Spots:
        rise = y - (8 + 17 * near) * unit * np.float32(t)
        drift = x + np.sin(t * turn + phase) * (0.8 + 1.6 * near) * unit
        return Spots(
            around(drift, field.width, 12),
            around(rise, field.height, 12),
            (0.18 + 0.5 * near) * unit,
            0.25 + 0.35 * near,
            ones,
            phase,
        )

    return Made(motion, (1.8 * unit, 1.8 * unit), "#e9fffb")


DRIFTING: dict[str, Maker] = {
    "snow": _snow,
    "rain": _rain,
    "petals": _petals,
    "dust": _dust,
    "embers": _embers,
    "bubbles": _bubbles,
}
