"""Curves of motion, and the smooth noise that land and light are made of."""

from __future__ import annotations

import math

import numpy as np

from kling_nb.local.preview.colour import Floats


def ease(progress: float) -> float:
    """Smootherstep: starts and ends at rest. Takes any number, gives 0…1."""
    p = min(max(progress, 0.0), 1.0)
    return p * p * p * (p * (p * 6 - 15) + 10)


def settle(progress: float) -> float:
    """Quick start, soft landing (cubic ease out)."""
    p = min(max(progress, 0.0), 1.0)
    return 1 - (1 - p) ** 3


def sway(seconds: float, period: float, phase: float = 0.0) -> float:
    """A sine of the given period in seconds, -1…1; `phase` in turns."""
    return math.sin(2 * math.pi * (seconds / period + phase))


def smooth_noise(random: np.random.Generator, at: Floats, wavelength: float) -> Floats:
    """Value noise in -1…1 along a line, with bumps about `wavelength` wide.

    Args:
        random: Where the values come from; one draw for each bump.
        at: Positions, ascending from 0 or above.
        wavelength: Distance between two values, in the unit of `at`.
    """
    cells = at / np.float32(wavelength)
    values = random.uniform(-1, 1, int(cells.max()) + 3).astype(np.float32)
    index = cells.astype(np.intp)
    share = cells - index
    share = share * share * (3 - 2 * share)
    noise: Floats = values[index] * (1 - share) + values[index + 1] * share
    return noise


def fractal_noise(
    random: np.random.Generator, at: Floats, wavelength: float, octaves: int, gain: float = 0.5
) -> Floats:
    """Sum of `octaves` of `smooth_noise`, each half as wide and `gain` times as high; about -1…1."""
    total = np.zeros_like(at)
    height, reach = 1.0, 0.0
    for _ in range(octaves):
        total += smooth_noise(random, at, max(wavelength, 1.0)) * np.float32(height)
        reach += height
        wavelength, height = wavelength / 2, height * gain
    return total / np.float32(reach)
