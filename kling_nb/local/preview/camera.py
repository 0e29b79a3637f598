"""Image to video: a slow camera move over the given picture."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from kling_nb.local.preview.canvas import Bytes, Canvas
from kling_nb.local.preview.clip import FPS, Clip
from kling_nb.local.preview.field import Field
from kling_nb.local.preview.ground import unit_of
from kling_nb.local.preview.lettering import Box, Title
from kling_nb.local.preview.marks import Marks
from kling_nb.local.preview.mood import read_mood, seed_of, spoken_weather
from kling_nb.local.preview.motion import ease
from kling_nb.local.preview.picture import cover, planes
from kling_nb.local.preview.weather import make_weather

_MARGIN = 1.24
"""The picture is kept this much larger than the frame: the room that the camera moves in."""


@dataclass(frozen=True, slots=True)
class Move:
    """From one view to another.

    A view is (x, y, zoom): its centre as shares of the picture, and how much larger than
    life it is; 1.0 shows all of the picture.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]

    def at(self, progress: float) -> tuple[float, float, float]:
        """The view after a share of the clip: mostly even, soft at both ends."""
        share = 0.35 * progress + 0.65 * ease(progress)
        x, y, zoom = (a + (b - a) * share for a, b in zip(self.start, self.end, strict=True))
        return x, y, zoom


_PUSH = Move((0.5, 0.5, 1.0), (0.5, 0.46, 1.2))
_MOVES = (
    (r"\b(zoom|pull|dolly)(s|ing)? (out|back|away)\b|\breveal", Move((0.5, 0.46, 1.22), (0.5, 0.5, 1.0))),
    (r"\bpan(s|ning)? (to the )?left\b", Move((0.58, 0.5, 1.17), (0.42, 0.5, 1.17))),
    (r"\bpan(s|ning)?\b|\btrack(s|ing)?\b|\bturn", Move((0.42, 0.5, 1.17), (0.58, 0.5, 1.17))),
    (r"\btilt(s|ing)? down\b", Move((0.5, 0.42, 1.17), (0.5, 0.58, 1.17))),
    (r"\btilt|\bris(e|es|ing)\b|\bsoar|\bfl(y|ies|ying)\b", Move((0.5, 0.58, 1.17), (0.5, 0.42, 1.17))),
    (r"\b(zoom|push|dolly|closer|close-up)", _PUSH),
)
_UNSPOKEN = (
    _PUSH,
    Move((0.46, 0.51, 1.05), (0.54, 0.47, 1.2)),
    Move((0.54, 0.51, 1.05), (0.46, 0.47, 1.2)),
)


def choose_move(prompt: str) -> Move:
    """The move that the prompt names, else a quiet one that follows from its text."""
    text = prompt.lower()
    named = (move for pattern, move in _MOVES if re.search(pattern, text))
    return next(named, _UNSPOKEN[seed_of(prompt) % len(_UNSPOKEN)])


class Shot:
    """A picture under a moving camera, with the prompt as a caption.

    Args:
        clip: What and how long.
        picture: First frame.
        ending: Picture of the last frame, or None.
    """

    def __init__(self, clip: Clip, picture: Image.Image, ending: Image.Image | None) -> None:
        mood = read_mood(clip.prompt)
        self._clip, self._canvas, self._other = clip, Canvas(*clip.size), Canvas(*clip.size)
        self._move = choose_move(clip.prompt)
        self._planes = _negative(picture, clip.size)
        self._ending = _negative(ending, clip.size) if ending else None
        self._shade = _shade(*clip.size)
        width, height = clip.size
        random = np.random.default_rng(seed_of(clip.prompt))
        field = Field(width, height, unit_of(clip.size), random, width * 0.7, height * 0.7)
        self._weather = make_weather(spoken_weather(clip.prompt), field, mood.accent)
        self._title = Title(clip.prompt, caption_box(clip.size), clip.seconds)
        self._marks = Marks(clip, mood.accent)

    def frame(self, number: int) -> Canvas:
        """Frame `number`, from 0; frames must be asked for in order. The canvas is used again."""
        seconds, canvas = number / FPS, self._canvas
        progress = seconds / self._clip.seconds
        view = self._move.at(progress)
        _expose(self._planes, view, canvas)
        share = ease((progress - 0.45) / 0.45)
        if self._ending and share > 0:
            _expose(self._ending, view, self._other)
            canvas.dissolve(self._other, share)
        canvas.y[:] = canvas.y * self._shade >> 8
        for particles in self._weather:
            particles.draw(canvas, seconds)
        self._title.draw(canvas, seconds)
        self._marks.draw(canvas, seconds)
        return canvas


def caption_box(size: tuple[int, int]) -> Box:
    """Where the caption stands: lower left, above the small print."""
    width, height = size
    short = min(size)
    return Box(
        left=int(short * 0.052),
        top=height - int(short * 0.125),
        width=int(width * (0.62 if width > height else 0.86)),
        height=int(height * 0.26),
        largest=34,
        smallest=20,
        lines=2,
        upwards=True,
    )


def _negative(picture: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, Image.Image, Image.Image]:
    return planes(cover(picture, (round(size[0] * _MARGIN / 4) * 4, round(size[1] * _MARGIN / 4) * 4)))


def _expose(
    negative: tuple[Image.Image, Image.Image, Image.Image], view: tuple[float, float, float], canvas: Canvas
) -> None:
    x, y, zoom = view
    for plane, image in zip((canvas.y, canvas.u, canvas.v), negative, strict=True):
        plane[:] = _crop(image, x, y, zoom, plane.shape)


def _crop(image: Image.Image, x: float, y: float, zoom: float, shape: tuple[int, ...]) -> Bytes:
    wide, high = image.width / zoom, image.height / zoom
    left = min(max(x * image.width - wide / 2, 0), image.width - wide)
    top = min(max(y * image.height - high / 2, 0), image.height - high)
    box = (left, top, left + wide, top + high)
    cut: Bytes = np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box=box))
    return cut


def _shade(width: int, height: int) -> npt.NDArray[np.uint16]:
    """Vignette, darker at the head and under the caption, as 256 times what stays of the light."""
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    corner = 1 - 0.1 * (x[None, :] ** 2 + y[:, None] ** 2)
    foot = 1 - 0.55 * np.clip((y[:, None] - 0.1) / 0.9, 0, 1) ** 1.2
    head = 1 - 0.4 * np.clip((-0.72 - y[:, None]) / 0.28, 0, 1)
    shade: npt.NDArray[np.uint16] = np.round(corner * foot * head * 256).astype(np.uint16)
    return shade
