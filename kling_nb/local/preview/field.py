"""Where particles live: the frame they fill, and what each kind of them is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kling_nb.local.preview.colour import Floats
from kling_nb.local.preview.particles import Motion


@dataclass(frozen=True, slots=True)
class Field:
    """The frame that particles fill.

    Attributes:
        width: Of the frame, pixels.
        height: Of the frame, pixels.
        unit: Size of the frame, see `ground.Ground`.
        random: Source of places and speeds.
        light: Column in which the sun or moon stands.
        horizon: Row of the horizon.
    """

    width: int
    height: int
    unit: float
    random: np.random.Generator
    light: float
    horizon: float

    def draw(self, low: float, high: float, count: int) -> Floats:
        """So many random numbers between two."""
        return self.random.uniform(low, high, count).astype(np.float32)

    def count(self, number: float) -> int:
        """So many particles on 960 × 540 pixels, and as densely on other frames."""
        return max(int(number * self.width * self.height / 518_400), 4)


@dataclass(frozen=True, slots=True)
class Made:
    """One kind of particles.

    Attributes:
        motion: Where they are at a moment.
        reach: How far one reaches from its centre, across and down, in pixels.
        colour: `#rrggbb`; None for the accent of the mood.
    """

    motion: Motion
    reach: tuple[float, float]
    colour: str | None = None


Maker = Callable[[Field], Made]


def around(values: Floats, length: float, margin: float) -> Floats:
    """Places on a ring: what leaves at `length` comes back at 0, `margin` pixels outside the frame."""
    places: Floats = np.mod(values + np.float32(margin), np.float32(length + 2 * margin)) - np.float32(margin)
    return places
