"""The small print of a frame: LOCAL PREVIEW, the endpoint, the time code, the progress line."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from kling_nb.local.preview.canvas import Bytes, Canvas
from kling_nb.local.preview.clip import FPS, Clip
from kling_nb.local.preview.colour import rgb, yuv
from kling_nb.local.preview.typeface import own_font

LABEL = "LOCAL PREVIEW"


class Marks:
    """Draws the small print of a clip; the dot and the progress line take the accent's colour."""

    def __init__(self, clip: Clip, accent: str) -> None:
        self._seconds = clip.seconds
        self._colour = [int(value) for value in yuv(rgb(accent))]
        short = min(clip.size)
        self._margin = round(short * 0.052) // 2 * 2
        size = max(round(short * 0.022), 11)
        self._label = spaced(LABEL, size, 0.16)
        self._name = spaced(clip.name, round(size * 1.02), 0.04)
        self._digits = {sign: spaced(sign, round(size * 1.02), 0) for sign in "0123456789:"}
        self._cell = max(mask.shape[1] for mask in self._digits.values()) - 3
        self._foot = _fall(clip.size[1], self._margin * 2 + self._name.shape[0] * 2, 0.75)

    def draw(self, canvas: Canvas, seconds: float) -> None:
        """Blend the small print of that moment into `canvas`."""
        margin, row = self._margin, canvas.height - self._margin - self._name.shape[0]
        foot = canvas.y[-len(self._foot) :]
        foot[:] = foot * self._foot >> 8
        self._dot(canvas, seconds)
        put(canvas, self._label, margin + 16, margin, 0.86)
        put(canvas, self._name, margin, row, 0.8)
        self._code(canvas, timecode(seconds), row)
        self._line(canvas, seconds)

    def _code(self, canvas: Canvas, code: str, row: int) -> None:
        steps = [self._cell if sign.isdigit() else self._cell // 2 for sign in code]
        x = canvas.width - self._margin - sum(steps)
        for sign, step in zip(code, steps, strict=True):
            mask = self._digits[sign]
            put(canvas, mask, x + (step - mask.shape[1]) // 2, row, 0.8)
            x += step

    def _dot(self, canvas: Canvas, seconds: float) -> None:
        radius = 4
        side = np.arange(-radius, radius, dtype=np.float32) + 0.5
        far = np.sqrt(side[:, None] ** 2 + side[None, :] ** 2)
        pulse = 0.75 + 0.25 * np.cos(seconds * 4)
        mask = (np.clip(radius - far, 0, 1) * 255 * pulse).astype(np.uint8)
        top = (self._margin + self._label.shape[0] // 2 - radius) // 2 * 2
        put(canvas, mask, self._margin, top, 1.0, colour=self._colour)

    def _line(self, canvas: Canvas, seconds: float) -> None:
        end = round(canvas.width * min(seconds / self._seconds, 1)) // 2 * 2
        canvas.y[-2:, :end] = self._colour[0]
        canvas.u[-1:, : end // 2] = self._colour[1]
        canvas.v[-1:, : end // 2] = self._colour[2]


def timecode(seconds: float) -> str:
    """`00:03:12`: minutes, seconds, frames."""
    frames = round(seconds * FPS)
    return f"{frames // FPS // 60:02}:{frames // FPS % 60:02}:{frames % FPS:02}"


def spaced(text: str, size: int, tracking: float) -> Bytes:
    """Text in one line as a cover mask, with `tracking` times its size between letters."""
    face = own_font(size)
    ascent, descent = face.getmetrics()
    text = "".join(letter if letter.isascii() else " " for letter in text)
    steps = [face.getlength(letter) + tracking * size for letter in text]
    image = Image.new("L", (int(sum(steps)) + 4, ascent + descent + 2), 0)
    pen, x = ImageDraw.Draw(image), 1.0
    for letter, step in zip(text, steps, strict=True):
        pen.text((x, 1), letter, fill=255, font=face)
        x += step
    mask: Bytes = np.asarray(image)
    return mask


def put(
    canvas: Canvas, mask: Bytes, x: int, y: int, strength: float, *, colour: list[int] | None = None
) -> None:
    """Blend a mask in one colour (white when None) into a canvas; what lies outside is cut off."""
    x, y = x // 2 * 2, y // 2 * 2
    share = mask.astype(np.float32) * np.float32(strength / 255)
    values = colour or [236, 128, 128]
    for plane, value, step in ((canvas.y, values[0], 1), (canvas.u, values[1], 2), (canvas.v, values[2], 2)):
        area = plane[y // step :, x // step :][: -(-mask.shape[0] // step), : -(-mask.shape[1] // step)]
        part = share[::step, ::step][: area.shape[0], : area.shape[1]]
        under = area.astype(np.float32)
        np.copyto(area, under + (value - under) * part + np.float32(0.5), casting="unsafe")


def _fall(height: int, rows: int, strength: float) -> npt.NDArray[np.uint16]:
    """A darker foot of an even number of rows, as 256 times what stays of the light."""
    rows = height - (height - rows) // 2 * 2
    fall = 1 - strength * np.linspace(0, 1, rows, dtype=np.float32) ** 1.6
    return np.round(fall * 256).astype(np.uint16)[:, None]
