"""The measures of one clip."""

from __future__ import annotations

from dataclasses import dataclass

FPS = 24
"""Frames per second of every preview."""


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip shows, and its measures.

    Attributes:
        prompt: What the video should show.
        name: The endpoint, for the small print.
        size: Width and height in pixels, both even.
        seconds: Length.
        salt: Anything else in the input that should give another picture.
    """

    prompt: str
    name: str
    size: tuple[int, int]
    seconds: float
    salt: str = ""

    @property
    def frames(self) -> int:
        """Number of frames, at least one."""
        return max(round(self.seconds * FPS), 1)
