"""The weather of a scene: its particles, back to front."""

from __future__ import annotations

from kling_nb.local.preview.colour import rgb
from kling_nb.local.preview.drifting import DRIFTING
from kling_nb.local.preview.field import Field
from kling_nb.local.preview.particles import Particles
from kling_nb.local.preview.shining import SHINING

_KINDS = DRIFTING | SHINING


def make_weather(kinds: tuple[str, ...], field: Field, accent: str) -> list[Particles]:
    """The particles of each kind; kinds that the sky draws itself give none."""
    made = [_KINDS[kind](field) for kind in kinds if kind in _KINDS]
    return [Particles(one.motion, rgb(one.colour or accent), one.reach) for one in made]
