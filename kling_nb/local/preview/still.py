"""A still picture: for endpoints whose result is an image."""

from __future__ import annotations

import io

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image, ImageDraw

from kling_nb.local.preview.canvas import Canvas
from kling_nb.local.preview.marks import LABEL, spaced
from kling_nb.local.preview.picture import cover, frame_size


def compose_still(base: Image.Image, inset: Image.Image | None, name: str) -> tuple[bytes, tuple[int, int]]:
    """A PNG of `base` with `inset` as a card in its corner and the small print; and its size."""
    size = frame_size(base.width / base.height)
    image = cover(base, size)
    short = min(size)
    if inset:
        side = round(short * 0.3)
        card = cover(inset, (side, side))
        rounded = Image.new("L", (side, side), 0)
        ImageDraw.Draw(rounded).rounded_rectangle((0, 0, side - 1, side - 1), side // 9, fill=255)
        margin = round(short * 0.052)
        image.paste(card, (size[0] - side - margin, size[1] - side - margin), rounded)
    _label(image, LABEL, round(short * 0.052), 0.16)
    _label(image, name, size[1] - round(short * 0.052) - round(short * 0.03), 0.04)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue(), size


def still_from(canvas: Canvas) -> Image.Image:
    """A canvas as an RGB image."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(canvas.packed), format="yuv420p")
    frame.colorspace = frame.color_range = 1  # BT.709, limited
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
    return image


def _label(image: Image.Image, text: str, top: int, tracking: float) -> None:
    short = min(image.size)
    mask = Image.fromarray(spaced(text, max(round(short * 0.022), 11), tracking))
    at = (round(short * 0.052), top)
    shadow = Image.new("RGB", mask.size, (0, 0, 0))
    image.paste(shadow, (at[0] + 1, at[1] + 1), mask)
    image.paste(Image.new("RGB", mask.size, (245, 245, 245)), at, mask)
