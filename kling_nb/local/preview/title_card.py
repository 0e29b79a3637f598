"""`TitleCard` draws title, LOCAL PREVIEW mark, endpoint, time code and progress line over every frame.

Below it is the function that makes the title as large as possible.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter
from PIL.ImageFont import FreeTypeFont as Font

from kling_nb._typesetting import font, shorten, typeset, wrap
from kling_nb.local.preview.clip import FPS, Clip
from kling_nb.local.preview.scenery import Colour
from kling_nb.request.limits import PREVIEW

_FAINT = 215  # Opacity, of 255, of the small print.
_WHITE = (230.0, 128.0, 128.0)

Floats = npt.NDArray[np.floating[Any]]
Bytes = npt.NDArray[np.uint8]


class TitleCard:
    """Draws the title card over frames. `title_box` is left, top, right and bottom of the title in pixels.

    The parts that do not move are drawn once, as a factor and a summand for each value of a frame: a frame
    costs one multiplication and one addition. `over_image` leaves more of the user's image visible.
    """

    def __init__(self, clip: Clip, accent: Colour, dark: Colour, *, over_image: bool = False) -> None:
        self._clip, (width, height), short = clip, clip.size, min(clip.size)
        self._margin, self._small = margin, small = round(short * 0.055), max(round(short * 0.04), 7)
        self._foot = height - margin - small
        wide = width > height * 1.2
        largest, smallest = (0.1, 0.062) if over_image else (0.15 if wide else 0.125, 0.07)
        sizes = max(round(short * largest), 9), max(round(short * smallest), 8)
        room = round((width - 2 * margin) * (0.84 if wide else 1))
        most = 2 if over_image else 3 if wide else 7
        face, lines = set_title(clip.prompt, room, round(height * 0.48), sizes, most)
        top = self._foot - small - round(face.size * _LEADING * len(lines))
        self.title_box = (margin, top, margin + room, self._foot - small)

        letters = Image.new("L", clip.size, 0)
        pen = ImageDraw.Draw(letters)
        for number, line in enumerate(lines):
            # A thin stroke makes the regular weight look like a medium one at this size.
            at = (margin - face.size / 18, top + number * face.size * _LEADING)
            pen.text(at, line, fill=255, font=face, stroke_width=face.size / 80)
        radius, x, y = small * 0.3, *np.ogrid[:width, :height]
        letters.paste(_small_print(PREVIEW, small, 0.14), (margin + small * 6 // 5, margin))
        name = shorten([clip.name], 1, font(None, small), width - 2 * margin - 7 * small)[0]
        letters.paste(_small_print(name, small, 0.02), (margin, self._foot))
        far = np.hypot(x - margin - radius, y - margin - small * 0.66).T
        white = np.asarray(letters, np.float32) / 255
        shade = _shade(letters, top, 0.75 if over_image else 0.34)
        spot = np.clip(radius + 0.5 - far, 0, 1).astype(np.float32)
        under, self._accent = (1 - white) * (1 - spot), _yuv(accent)
        self._keep = _pack([under * (1 - shade)] * 3)
        colours = zip(_WHITE, self._accent, _yuv(dark), strict=True)
        self._add = _pack([w * white + a * spot * (1 - white) + d * under * shade for w, a, d in colours])

    def draw(self, packed: Bytes, number: int) -> Bytes:
        """Return frame `number`, in planar YUV 4:2:0, with the card over it."""
        laid = packed * self._keep
        laid += self._add
        frame: Bytes = np.right_shift(laid, 8, out=laid).astype(np.uint8)
        width, height = self._clip.size
        time = f"{number // FPS // 60:02}:{number // FPS % 60:02}:{number % FPS:02}"  # as 00:03:12
        code = np.hstack([np.asarray(_small_print(sign, self._small, 0, cell=0.48)) for sign in time]).astype(
            np.uint16
        )
        right, (rows, columns) = width - self._margin, code.shape
        area = frame[self._foot : self._foot + rows, right - columns : right]
        area[:] = (area * (255 - code) + code * 235) // 255
        end, rows = width * (number + 1) // self._clip.frames // 2 * 2, max(self._small // 5, 2) // 2 * 2
        half = frame[height:].reshape(2, height // 2, width // 2)
        for plane, value, step in zip((frame[:height], *half), self._accent, (1, 2, 2), strict=True):
            plane[-rows // step :, : end // step] = round(value)
        return frame


def clear_card(image: Image.Image) -> Image.Image:
    """Return a frame of a preview with its title card blurred away; any other image as it is."""
    (width, height), short = image.size, min(image.size)
    margin, small = round(short * 0.055), max(round(short * 0.04), 7)
    mark = np.asarray(_small_print(PREVIEW, small, 0.14), np.float32) / _FAINT
    left = margin + small * 6 // 5
    place = np.asarray(image.convert("L"), np.float32)[margin:, left:][: mark.shape[0], : mark.shape[1]]
    if place.shape != mark.shape:
        return image
    a, b = place - place.mean(), mark - mark.mean()
    if (a * b).sum() <= 0.7 * np.linalg.norm(a) * np.linalg.norm(b):  # Their correlation.
        return image
    soft = image.filter(ImageFilter.MedianFilter(7)).filter(ImageFilter.GaussianBlur(short / 12))
    x, y = np.linspace(0, 1, width), np.linspace(0, 1, height)[:, None]
    end = (left + mark.shape[1]) / width
    head = np.clip((0.2 - y) / 0.06, 0, 1) * np.clip((end + 0.1 - x) / 0.08, 0, 1)
    cover = np.maximum(np.clip((y - 0.28) / 0.14, 0, 1), head)
    return Image.composite(soft, image, Image.fromarray((cover * 255).astype(np.uint8)))


def _yuv(colour: Colour) -> list[float]:
    """Return Y, Cb and Cr of a colour (ITU-R BT.709, 8 bits, limited range)."""
    red, green, blue = (float(part) for part in colour)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return [16 + 219 * light, 128 + 224 * (blue - light) / 1.8556, 128 + 224 * (red - light) / 1.5748]


@cache
def _small_print(text: str, size: int, tracking: float, cell: float = 0) -> Image.Image:
    """Draw a line of small print as a mask, with spaced letters, or one digit in a cell of fixed width."""
    face, ascii_only = font(None, size), text.replace("…", "...").encode("ascii", "ignore").decode()
    steps = [face.getlength(sign) + tracking * size for sign in ascii_only]
    steps = [cell * size * (1 if text.isdigit() else 0.25)] if cell else steps
    image = Image.new("L", (round(sum(steps)) + 2, sum(face.getmetrics()) + 2), 0)
    pen, x = ImageDraw.Draw(image), 1.0
    for sign, step in zip(ascii_only, steps, strict=True):
        pen.text((x, 1), sign, fill=_FAINT, font=face)
        x += step
    return image


def _shade(letters: Image.Image, top: int, head: float) -> Floats:
    """Return how much darker each pixel is: around the title, at the top, and close to all letters."""
    x = np.linspace(0, 1, letters.width, dtype=np.float32)
    y = np.linspace(0, 1, letters.height, dtype=np.float32)[:, None]
    start = top / letters.height - 0.16
    foot = 0.7 * np.clip((y - start) / (1 - start), 0, 1) ** 0.8 * (1 - 0.25 * x)
    above = head * np.clip(1 - y / 0.2, 0, 1) * (1 - 0.6 * x)
    soft = letters.reduce(2).filter(ImageFilter.GaussianBlur(min(letters.size) / 36)).resize(letters.size)
    shade: Floats = 1 - (1 - foot) * (1 - above) * (1 - np.minimum(np.asarray(soft) / 230, 0.3))
    return shade


def _pack(planes: list[Any]) -> npt.NDArray[np.uint16]:
    """Return three planes as 256ths in the layout of YUV 4:2:0, the last two in half resolution."""
    rows, columns = planes[0].shape
    halves = [plane.reshape(rows // 2, 2, columns // 2, 2).mean((1, 3)) for plane in planes[1:]]
    flat = np.concatenate([plane.reshape(-1) for plane in (planes[0], *halves)])
    return np.round(flat * 256).astype(np.uint16).reshape(rows * 3 // 2, columns)


# -- letters and lines -----------------------------------------------------------------

_LEADING = 1.14  # Height of a line, as a multiple of the size of its letters.


def set_title(
    prompt: str, width: int, height: int, sizes: tuple[int, int], lines: int
) -> tuple[Font, list[str]]:
    """Return a font as large as possible for a prompt, and its lines of about equal length.

    `width` of a line, `height` of all lines, `sizes` of the letters and `lines` are limits, in pixels. A long
    prompt is shortened; there are no lines if its letters cannot be drawn.
    """
    text, face = typeset(prompt)
    for size in range(sizes[0], sizes[1] - 1, -1):
        letters = font(face, size)
        wrapped = wrap(text, letters, width)
        fits = all(letters.getlength(line) <= width for line in wrapped)
        if fits and len(wrapped) <= lines and len(wrapped) * _LEADING * size <= height:
            narrow = (wrap(text, letters, width * share / 100) for share in range(100, 40, -3))
            return letters, [even for even in narrow if len(even) == len(wrapped)][-1]
    return letters, shorten(wrapped, lines, letters, width)
