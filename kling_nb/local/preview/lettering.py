"""The prompt as a title: its opening set large, the rest below, word after word in the light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from kling_nb.local.preview.canvas import Bytes, Canvas
from kling_nb.local.preview.motion import ease, settle
from kling_nb.local.preview.typeface import Font, font, typeset
from kling_nb.local.preview.wrapping import clip, even_out, split_title, wrap

_GHOST = 0.44
"""Opacity of a word before it is lit: the first frame already shows the whole title."""
_LIT_IN = 0.55
"""Seconds that a word takes to light up."""
_RISE = 5
"""Pixels that it rises meanwhile."""
_PAD = 24
"""Room around the words for their shadow, in pixels."""
_LEADING = 1.13
_BODY_LEADING = 1.5


@dataclass(frozen=True, slots=True)
class Box:
    """Where the title may stand, in pixels, and how large it may be.

    With `upwards`, `top` is the lower edge and the lines grow from there.
    """

    left: int
    top: int
    width: int
    height: int
    largest: int
    smallest: int
    lines: int
    upwards: bool = False


@dataclass(frozen=True, slots=True)
class _Word:
    """A word's cover, its place in the box, when it lights up, and how bright it gets."""

    mask: Bytes
    x: int
    y: int
    start: float
    full: float


class Title:
    """Draws the prompt over a canvas.

    Args:
        prompt: Any text, also one of which no letter can be drawn.
        box: Place and sizes.
        seconds: Length of the clip.
    """

    def __init__(self, prompt: str, box: Box, seconds: float) -> None:
        text, face = typeset(prompt)
        self._words, height = _set(text, face, box, seconds)
        top = box.top - height if box.upwards else box.top
        self._left, self._top = max(box.left - _PAD, 0) // 2 * 2, max(top - _PAD, 0) // 2 * 2
        shape = ((height + 2 * _PAD) // 2 * 2, (box.width + 2 * _PAD) // 2 * 2)
        self._cover: Bytes = np.zeros(shape, np.uint8)
        for word in self._words:
            self._put(word, 0.0)
        self._shade = _shadow(self._words, shape)
        self._settled: set[int] = set()

    def draw(self, canvas: Canvas, seconds: float) -> None:
        """Blend the title of that moment into `canvas`. Moments must come in order."""
        for number, word in enumerate(self._words):
            progress = (seconds - word.start) / _LIT_IN
            if progress >= 0 and number not in self._settled:
                self._put(word, progress)
                if progress >= 1:
                    self._settled.add(number)
        top, left = self._top, self._left
        area = canvas.y[top : top + self._cover.shape[0], left : left + self._cover.shape[1]]
        cover = self._cover[: area.shape[0], : area.shape[1]]
        area[:] = area * self._shade[: area.shape[0], : area.shape[1]] >> 8
        _towards(area, cover, 236)
        for plane, neutral in ((canvas.u, 127), (canvas.v, 129)):
            rows, columns = area.shape[0] // 2, area.shape[1] // 2
            _towards(plane[top // 2 :, left // 2 :][:rows, :columns], cover[::2, ::2], neutral)

    def _put(self, word: _Word, progress: float) -> None:
        """Write one word into the cover, so far lit."""
        gain = _GHOST * word.full + (1 - _GHOST) * word.full * ease(progress)
        rise = round((1 - settle(progress)) * _RISE)
        rows, columns = word.mask.shape
        top, left = _PAD + word.y, _PAD + word.x
        area = self._cover[top : top + rows + _RISE, left : left + columns]
        area[:] = 0
        fit = area[rise : rise + rows]
        fit[:] = (word.mask.astype(np.uint16) * round(gain * 256) >> 8)[: fit.shape[0], : fit.shape[1]]


def _towards(plane: Bytes, cover: Bytes, value: int) -> None:
    share = cover.astype(np.uint16)
    mixed = plane * (255 - share)
    share *= value
    mixed += share
    mixed += 128
    mixed += (mixed >> 8) + 1  # from here on: divided by 255
    mixed >>= 8
    plane[:] = mixed


def _set(text: str, face: str | None, box: Box, seconds: float) -> tuple[list[_Word], int]:
    """Place every word; gives them and the height of the whole."""
    head, rest = split_title(text)
    if not head:
        return [], 2
    size, lines = _fit(head, face, box, more=bool(rest))
    placed = _place(lines, font(face, size), 0, round(size * _LEADING))
    height = round(len(lines) * size * _LEADING)
    if rest:
        small = font(face, max(round(size * 0.38), 18))
        room = max(int((box.height - height - small.size) / (small.size * _BODY_LEADING)), 1)
        below = clip(wrap(rest, small, box.width * 0.9), min(room, 5), small, box.width)
        placed += _place(below, small, height + round(small.size * 0.9), round(small.size * _BODY_LEADING))
        height += round(small.size * (0.9 + _BODY_LEADING * len(below)))
    spread = min(0.16, seconds * 0.5 / len(placed))
    words = []
    for number, (word, own, x, y) in enumerate(placed):
        display = own.size == size
        mask, ink = _ink(word, own, display)
        words.append(_Word(mask, x, y + ink, 0.1 + spread * number, 1.0 if display else 0.8))
    return words, height + _RISE


_Placed = tuple[str, Font, int, int]


def _place(lines: list[str], face: Font, y: int, leading: int) -> list[_Placed]:
    placed: list[_Placed] = []
    for number, line in enumerate(lines):
        words = line.split(" ")
        for k, word in enumerate(words):
            lead = " ".join(words[:k]) + (" " if k else "")
            placed.append((word, face, round(face.getlength(lead)), y + number * leading))
    return placed


def _fit(head: str, face: str | None, box: Box, *, more: bool) -> tuple[int, list[str]]:
    """The largest size at which the text fits, and its lines, evened out; `more` leaves room below."""
    for size in range(box.largest, box.smallest, -2):
        own = font(face, size)
        lines = wrap(head, own, box.width)
        tall = (len(lines) * _LEADING + (1.5 if more else 0)) * size
        narrow = all(own.getlength(line) <= box.width for line in lines)
        if len(lines) <= box.lines and tall <= box.height and narrow:
            return size, even_out(head, own, box.width, len(lines))
    small = font(face, box.smallest)
    return box.smallest, clip(wrap(head, small, box.width), box.lines, small, box.width)


def _ink(word: str, face: Font, display: bool) -> tuple[Bytes, int]:
    """The glyphs as cover, and the row below the line's top where they start.

    Cut to the ink, so that a word and the descenders above it never share a pixel.
    """
    # A hair of stroke gives the regular weight the body of a medium one at display sizes.
    stroke = face.size / 110 if display else 0
    ascent, descent = face.getmetrics()
    image = Image.new("L", (int(face.getlength(word)) + 6, ascent + descent + 2), 0)
    ImageDraw.Draw(image).text((1, 1), word, fill=255, font=face, stroke_width=stroke)
    _, top, _, bottom = image.getbbox() or (0, 0, 0, 1)
    return np.asarray(image)[top:bottom], top


def _shadow(words: list[_Word], shape: tuple[int, int]) -> npt.NDArray[np.uint16]:
    """A soft shadow behind the letters, as 256 times what stays of the light."""
    image = Image.new("L", (shape[1], shape[0]), 0)
    for word in words:
        image.paste(255, (_PAD + word.x, _PAD + word.y), Image.fromarray(word.mask))
    soft = image.reduce(4).filter(ImageFilter.GaussianBlur(3.2)).resize(image.size, Image.Resampling.BILINEAR)
    dark = np.minimum(np.asarray(soft, dtype=np.uint16), 120)
    return (256 - dark // 2).astype(np.uint16)
