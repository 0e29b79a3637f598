"""Opening a video file, with every fault of it as a `MediaError`.

A downloaded file is text from outside too. FFmpeg would follow playlists and
protocols named in it, so only containers that hold their own data are let in, only
from the local disk, and absurd sizes are refused before a picture is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kling_nb.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

LARGEST_SIDE = 8192
"""Pixels. Kling's largest pictures are 4K; H.264 itself ends near this."""

LARGEST_AREA = 8192 * 4320
"""Pixels: 8K. One picture of it has 106 MB as RGB."""

_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif",
    "max_pixels": str(LARGEST_AREA),
}


@contextmanager
def opened(path: Path, *, threads: bool = True) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its picture stream, closed afterwards.

    FFmpeg's faults inside the block become a `MediaError` too, so decoding loops need
    no handling of their own.

    Args:
        path: The file.
        threads: Decode with all cores. To start them costs more than one picture.

    Raises:
        MediaError: The file is missing, no video, damaged, or larger than `LARGEST_SIDE`.
    """
    import av  # noqa: PLC0415 - heavy, see the package docstring

    try:
        # An absolute path, because FFmpeg reads "concat:a" and the like as a protocol.
        with av.open(str(path.absolute()), mode="r", options=_OPTIONS) as container:
            stream = _picture_stream(container, path)
            if threads:
                stream.thread_type = "AUTO"
            else:
                stream.codec_context.thread_count = 1
            yield container, stream
    except av.FFmpegError as error:
        raise _fault(path, error) from error


def _picture_stream(container: InputContainer, path: Path) -> VideoStream:
    if not container.streams.video:
        raise MediaError(f"{path.name} has no picture in it.")
    stream = container.streams.video[0]
    width, height = stream.codec_context.width, stream.codec_context.height
    if not 0 < width <= LARGEST_SIDE or not 0 < height <= LARGEST_SIDE:
        raise MediaError(
            f"{path.name} claims a picture of {width}×{height}; up to {LARGEST_SIDE} a side is read."
        )
    if width * height > LARGEST_AREA:
        raise MediaError(
            f"{path.name} claims a picture of {width}×{height}; up to {LARGEST_AREA:,} pixels are read."
        )
    return stream


def _fault(path: Path, error: Exception) -> MediaError:
    if isinstance(error, FileNotFoundError):
        return MediaError(
            f"{path.name} is no longer in {path.parent}.", remedy="Run its cell again to get it back."
        )
    if isinstance(error, OSError):
        return MediaError(f"{path.name} cannot be read: {error.strerror}.")
    return MediaError(f"{path.name} does not decode as a video.")
