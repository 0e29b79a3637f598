"""What the land of a scene is drawn on: the frame's measures, and how a silhouette is coloured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kling_nb.local.preview.colour import Floats, mix, rgb
from kling_nb.local.preview.mood import Mood
from kling_nb.local.preview.plate import PHASES, Plate
from kling_nb.local.preview.relief import Relief, cut

UNIT = 5.4
"""Pixels of one unit on a 960 × 540 frame. Everything is measured in units, so that it keeps its
proportions on frames of other shapes and sizes."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a recipe of land is given.

    Attributes:
        width: Of the frame, pixels.
        height: Of the frame, pixels.
        horizon: Row of the horizon.
        travel: Pixels that the nearest plate slides during the clip.
        unit: Pixels of one unit.
        mood: Colours.
        random: Source of all shapes.
        sun: Share of the width where the light stands.
    """

    width: int
    height: int
    horizon: float
    travel: float
    unit: float
    mood: Mood
    random: np.random.Generator
    sun: float

    def columns(self, near: float) -> Floats:
        """Positions in quarter pixels of a strip that slides `travel` times `near`."""
        length = self.width + int(self.travel * near) + 8
        return np.arange(length // 2 * 2 * PHASES, dtype=np.float32) / np.float32(PHASES)

    def tint(self, near: float) -> Floats:
        """Colour of a silhouette at a distance, 0 far to 1 near."""
        return mix(rgb(self.mood.ridges[0]), rgb(self.mood.ridges[1]), near)

    def base(self, near: float, lift: float = 0.0) -> float:
        """Mean row of a silhouette, from the horizon (far) to the lower edge (near); `lift` in units."""
        below = self.height - self.horizon
        return self.horizon + below * (0.04 + 0.72 * float(near**1.3)) - lift * self.unit


@dataclass(frozen=True, slots=True)
class Layer:
    """A plate and how far it slides during the clip, in pixels."""

    plate: Plate
    travel: float


def unit_of(size: tuple[int, int]) -> float:
    """Pixels of one unit on a frame of that width and height."""
    return float((size[0] * size[1] / 518_400) ** 0.5 * UNIT)


def stack(ground: Ground, nears: tuple[float, ...], shape: Callable[[Ground, float], Relief]) -> list[Layer]:
    """One layer for each distance, far to near."""
    return [Layer(cut(shape(ground, near), ground.height), ground.travel * near) for near in nears]


def coat(
    ground: Ground,
    line: Floats,
    light: Floats,
    near: float,
    *,
    skin: float = 5.0,
    depth: float = 30.0,
    glow: float = 0.34,
    slant: float = 0.0,
) -> Relief:
    """A relief in the mood's colours.

    Args:
        ground: Where it stands.
        line: Row of its edge for each quarter pixel.
        light: How far each place is turned to the light, 0…1.
        near: Its distance, 0 far to 1 near.
        skin: Units of depth that the light reaches.
        depth: Units of depth at which it has faded into mist.
        glow: How much of the light's colour the lit side takes.
        slant: Lean of its facets, see `Relief`.
    """
    body, mist = ground.tint(near), rgb(ground.mood.mist)
    return Relief(
        line=line,
        light=light,
        edge=mix(body, mist, 0.10 * (1 - near)),
        lit=mix(body, rgb(ground.mood.disc_colours[1]), glow * (1 - 0.55 * near)),
        body=body,
        foot=mix(mist, body, 0.25 + 0.6 * near),
        skin=skin * ground.unit,
        depth=depth * ground.unit,
        slant=slant,
    )


def facing(ground: Ground, line: Floats, strength: float, broad: float = 1.0) -> Floats:
    """How far each place of a height line is turned to the light, 0…1; facets are `broad` units wide."""
    slope = np.gradient(_smooth(line, int(broad * ground.unit * PHASES)), 1 / PHASES)
    across = np.linspace(0, 1, len(line), dtype=np.float32)
    towards = np.clip((across - np.float32(ground.sun)) * 6, -1, 1)
    turned: Floats = np.clip(0.5 - slope * towards * strength, 0, 1).astype(np.float32)
    return turned


def _smooth(line: Floats, width: int) -> Floats:
    """Running mean over `width` values, the ends held."""
    half = max(width // 2, 1)
    padded = np.concatenate([np.full(half, line[0]), line, np.full(half + 1, line[-1])]).cumsum(
        dtype=np.float64
    )
    mean: Floats = ((padded[2 * half :] - padded[: -2 * half]) / (2 * half)).astype(np.float32)
    return mean[: len(line)]
