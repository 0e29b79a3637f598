"""A poster: one small JPEG that says what the clip is about."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from kling_nb.errors import MediaError
from kling_nb.video.container import opened
from kling_nb.video.frames import RGB, array_at, shown_from

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

WIDTH = 480
LARGEST = 16_000
"""Bytes. As base64 in a saved notebook's card this is 21 kB."""

_SEARCHED = 3.0
_LATEST = 60.0
"""Seconds. A middle that is later than this may be a whole film of decoding away."""

_MOST_FRAMES = 600
_FADE = 0.5
_QUALITIES = (84, 76, 68, 60, 52, 44, 36, 28)


def poster(path: Path, duration: float) -> bytes:
    """JPEG of the first frame that shows something, else of the middle one.

    Where the clip opens on black, that is half a second after the black ends. At most
    480 pixels wide and 16,000 bytes.

    Raises:
        MediaError: The file does not decode.
    """
    from PIL import Image  # noqa: PLC0415 - heavy

    return small_jpeg(Image.fromarray(_representative(path, duration)))


def small_jpeg(image: Image, width: int = WIDTH, largest: int = LARGEST) -> bytes:
    """`image` no wider than `width`, in the best quality that fits `largest` bytes."""
    while True:
        fitted = _narrowed(image, width)
        for quality in _QUALITIES:
            buffer = BytesIO()
            fitted.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
            if buffer.tell() <= largest:
                return buffer.getvalue()
        if fitted.width <= 16:
            raise MediaError(f"No poster of {largest} bytes can be made of this picture.")
        width = fitted.width * 3 // 4


def _narrowed(image: Image, width: int) -> Image:
    # A tall picture is held to the same area, so that portrait posters are no larger in bytes.
    from PIL.Image import Resampling  # noqa: PLC0415 - heavy

    scale = min(1.0, width / image.width, 1.4 * width / image.height)
    if scale == 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Resampling.LANCZOS, reducing_gap=3)


def _representative(path: Path, duration: float) -> NDArray[np.uint8]:
    to_rgb = RGB()
    with opened(path) as (container, stream):
        for number, (time, frame) in enumerate(shown_from(container, stream, 0)):
            if time > _SEARCHED or number > _MOST_FRAMES:
                break
            picture = to_rgb(frame)
            if not _plain(picture):
                # A clip that opens on black mostly fades in, and half a second later can be seen.
                return picture if time == 0 else array_at(path, min(time + _FADE, duration))
    return array_at(path, min(duration / 2, _LATEST))


def _plain(picture: NDArray[np.uint8]) -> bool:
    """Whether nothing can be made out: almost black, almost white, or one flat colour."""
    sample = picture[:: max(1, picture.shape[0] // 90), :: max(1, picture.shape[1] // 160)]
    light = sample.mean(axis=2)
    return bool(light.std() < 6 or light.mean() < 12 or light.mean() > 248)
