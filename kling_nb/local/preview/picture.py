"""Pictures given as input: decoded, upright, in the size and planes that the camera needs."""

from __future__ import annotations

import io
import os

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image, ImageOps, UnidentifiedImageError

from kling_nb.local.preview.colour import yuv

AREA = 518_400
"""Pixels of the largest preview, whatever its shape: 960 × 540."""

SCALE = "KLING_NB_LOCAL_SCALE"
"""Environment variable: 1 draws 960 × 540, 0.5 half of that, for notebooks whose media are to stay small."""

_USUAL = 0.6
"""576 × 324: drawing takes time by the pixel, and a preview of 5 s is to be there within a second."""

_SMALLEST = 0.2
_NARROWEST, _WIDEST = 0.42, 2.4
_LARGEST = 64_000_000
_BEHIND = (18, 20, 26, 255)
"""What shows through transparent pictures."""


class UnreadablePicture(ValueError):
    """The bytes are no picture (or video) that can be decoded."""


def open_picture(data: bytes, *, video: bool = False) -> Image.Image:
    """The picture in `data`, or the first frame of the video in it; upright, RGB.

    Raises:
        UnreadablePicture: There is none, or it is too large.
    """
    try:
        return _first_frame(data) if video else _still(data)
    except UnidentifiedImageError as fault:
        raise UnreadablePicture("it is no picture of a known kind") from fault
    except (FFmpegError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as fault:
        raise UnreadablePicture(str(fault) or type(fault).__name__) from fault


def _still(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > _LARGEST:
            raise UnreadablePicture(f"more than {_LARGEST // 1_000_000} million pixels")
        upright = ImageOps.exif_transpose(image)
        if upright.mode in {"RGBA", "LA", "P", "PA"}:
            solid = Image.new("RGBA", upright.size, _BEHIND)
            solid.alpha_composite(upright.convert("RGBA"))
            return solid.convert("RGB")
        return upright.convert("RGB")


def _first_frame(data: bytes) -> Image.Image:
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(video=0):
            image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV's
            return image
    raise UnreadablePicture("it holds no picture")


def frame_size(ratio: float) -> tuple[int, int]:
    """Width and height, multiples of 4, of a preview of that width to height ratio."""
    ratio = min(max(ratio, _NARROWEST), _WIDEST)
    width = (AREA * ratio) ** 0.5 * _scale()
    return max(round(width / 4) * 4, 4), max(round(width / ratio / 4) * 4, 4)


def _scale() -> float:
    """By what every side is multiplied; the usual where the environment says nothing that makes sense."""
    try:
        scale = float(os.environ.get(SCALE) or _USUAL)
    except ValueError:
        return _USUAL
    return scale if _SMALLEST <= scale <= 1 else _USUAL


def cover(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` scaled to fill `size`; what is over on two sides is cut off evenly."""
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def planes(image: Image.Image) -> tuple[Image.Image, Image.Image, Image.Image]:
    """Luma in full and the two chroma planes in half resolution, as 8 bit images."""
    pixels = np.asarray(image, dtype=np.float32) / 255
    values = np.clip(yuv(pixels), 0, 255)
    luma = Image.fromarray((values[..., 0] + 0.5).astype(np.uint8))
    blue, red = (Image.fromarray((values[..., k] + 0.5).astype(np.uint8)).reduce(2) for k in (1, 2))
    return luma, blue, red
