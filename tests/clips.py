"""Real clips for tests, made in memory by PyAV: small, and each frame known by its grey."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

Painter = Callable[[int, int, int], np.ndarray]


def numbered(index: int, width: int, height: int) -> np.ndarray:
    """A grey of `10 * index`, brighter on the left quarter, so that turned frames can be recognised."""
    picture = np.full((height, width, 3), min(10 * index, 200), np.uint8)
    picture[:, : width // 4] = 255
    return picture


def colourful(index: int, width: int, height: int) -> np.ndarray:
    """Drifting gradients: something to see for posters and GIFs."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(x + 4 * index) % 256, (y + index) % 256, (x + y) % 256], -1).astype(np.uint8)


def need(writer: Any, name: str) -> None:
    """Skip the test if this PyAV cannot write such footage, as in `make compat`. The pinned one can."""
    if not hasattr(writer, name):
        pytest.skip(f"PyAV {av.__version__} has no {name}: it cannot write this footage")


def clip_bytes(
    *,
    frames: int = 20,
    fps: int = 10,
    size: tuple[int, int] = (64, 48),
    paint: Painter = numbered,
    codec: str = "libx264",
    container: str = "mp4",
    rotation: int = 0,
    pix_fmt: str = "yuv420p",
    key_every: int = 8,
) -> bytes:
    """The bytes of a clip; `size` is width and height before rotation (degrees, to the left)."""
    buffer = BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.gop_size = key_every
        if rotation:
            need(stream, "set_display_rotation")
            stream.set_display_rotation(rotation)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(paint(index, *size), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def make_clip(path: Path, **options: Any) -> Path:
    path.write_bytes(clip_bytes(**options))
    return path


async def in_chunks(data: bytes, size: int = 4096) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
