"""`open_image` decodes an input image, and `CameraMove` makes a video of it by a slow camera move."""

from __future__ import annotations

import io
import re
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from PIL import Image, ImageOps, UnidentifiedImageError

from kling_nb.local.order import InputFile, decode_error
from kling_nb.local.preview.scenery import seed_of

_LARGEST = 64_000_000  # Maximum pixels of an input image.
_BACKGROUND = (18, 20, 26, 255)  # Colour behind transparent images.
_MARGIN = 1.24  # The image is scaled to this multiple of the frame, so that the camera has room to move.

View = tuple[float, float, float]
"""Centre as shares of width and height, and zoom. At a zoom of 1.0 the whole image is visible."""

# Pillow and PyAV raise these for bytes that are no image or video.
_BROKEN = (FFmpegError, OSError, StopIteration, SyntaxError, ValueError, Image.DecompressionBombError)
_QUIET: tuple[tuple[View, View], ...] = (
    ((0.5, 0.5, 1.0), (0.5, 0.46, 1.2)), ((0.46, 0.51, 1.05), (0.54, 0.47, 1.2)),
    ((0.54, 0.51, 1.05), (0.46, 0.47, 1.2)),
)  # fmt: skip
_MOVES: tuple[tuple[str, tuple[View, View]], ...] = (
    (r"\b(zoom|pull|dolly)(s|ing)? (out|back|away)\b|\breveal", ((0.5, 0.46, 1.22), (0.5, 0.5, 1.0))),
    (r"\bpan(s|ning)? (to the )?left\b", ((0.58, 0.5, 1.17), (0.42, 0.5, 1.17))),
    (r"\bpan(s|ning)?\b|\btrack(s|ing)?\b|\bturn", ((0.42, 0.5, 1.17), (0.58, 0.5, 1.17))),
    (r"\btilt(s|ing)? down\b", ((0.5, 0.42, 1.17), (0.5, 0.58, 1.17))),
    (r"\btilt|\bris(e|es|ing)\b|\bsoar|\bfl(y|ies|ying)\b", ((0.5, 0.58, 1.17), (0.5, 0.42, 1.17))),
    (r"\b(zoom|push|dolly|closer|close-up)", _QUIET[0]),
)


def open_image(file: InputFile) -> Image.Image:
    """Return the image of a file, or the first frame of its video, upright and in RGB.

    Raises:
        InvalidInput: It cannot be decoded, or is too large.
    """
    why = f"more than {_LARGEST // 1_000_000} million pixels"
    try:
        if file.kind == "video":
            with av.open(io.BytesIO(file.data), "r") as container:
                first = next(container.decode(video=0))
                return first.to_image()  # type: ignore[no-untyped-call, no-any-return]  # PyAV leaves it untyped
        with Image.open(io.BytesIO(file.data)) as image:
            if image.width * image.height <= _LARGEST:
                upright = ImageOps.exif_transpose(image).convert("RGBA")
                solid = Image.new("RGBA", upright.size, _BACKGROUND)
                solid.alpha_composite(upright)
                return solid.convert("RGB")
    except UnidentifiedImageError:
        why = "it is no image of a known kind"
    except _BROKEN as fault:
        why = (str(fault) or type(fault).__name__)[:200]
    raise decode_error(file.path, file.kind, why)


def choose_move(prompt: str) -> tuple[View, View]:
    """Return the first and the last view of the camera move in the prompt, by default of a slow zoom."""
    named = (move for pattern, move in _MOVES if re.search(pattern, prompt.lower()))
    return next(named, _QUIET[seed_of(prompt) % len(_QUIET)])


class CameraMove:
    """Draws the frames of a camera move over an image, which may dissolve into a second one."""

    def __init__(
        self, prompt: str, size: tuple[int, int], image: Image.Image, ending: Image.Image | None
    ) -> None:
        self._size, self._move = size, choose_move(prompt)
        self._first, self._last = _planes(image, size), _planes(ending, size) if ending else None

    def frame(self, progress: float) -> npt.NDArray[np.uint8]:
        """Return the frame at `progress` (0 to 1) in planar YUV 4:2:0, shape (height * 3 / 2, width)."""
        share, blend = 0.35 * progress + 0.65 * _ease(progress), _ease((progress - 0.45) / 0.45)
        view = [a + (b - a) * share for a, b in zip(*self._move, strict=True)]
        frame = self._cut(self._first, *view)
        if self._last and blend > 0:
            step = self._cut(self._last, *view).astype(np.float32) - frame
            frame = (frame + step * blend + 0.5).astype(np.uint8)
        return frame

    def _cut(self, planes: list[Image.Image], x: float, y: float, zoom: float) -> npt.NDArray[Any]:
        (width, height), (wide, high) = self._size, (side / zoom for side in planes[0].size)
        left = min(max(x * planes[0].width - wide / 2, 0), planes[0].width - wide)
        top = min(max(y * planes[0].height - high / 2, 0), planes[0].height - high)
        box, half = (left, top, left + wide, top + high), (width // 2, height // 2)
        sizes = zip(planes, (self._size, half, half), strict=True)
        parts = [plane.resize(size, Image.Resampling.BILINEAR, box) for plane, size in sizes]
        return np.concatenate([np.asarray(part).reshape(-1) for part in parts]).reshape(-1, width)


def _planes(image: Image.Image, size: tuple[int, int]) -> list[Image.Image]:
    """Return Y, Cb and Cr of an image that is larger than the frame by `_MARGIN`."""
    fitted = ImageOps.fit(image, (round(size[0] * _MARGIN), round(size[1] * _MARGIN)))
    frame = VideoFrame.from_image(fitted)  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
    planes = frame.reformat(format="yuv444p", dst_colorspace=Colorspace.ITU709).to_ndarray()
    return [Image.fromarray(plane) for plane in planes]


def _ease(progress: float) -> float:
    """Return the smootherstep of any number, from 0 to 1. Its slope is 0 at both ends."""
    p = min(max(progress, 0.0), 1.0)
    return p * p * p * (p * (p * 6 - 15) + 10)
