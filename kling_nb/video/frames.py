"""Frames of a file by the time they are shown, as a player shows them.

Times are seconds from the first frame. At time t the picture is the latest frame that
starts at or before t, so each t from 0 to the duration has exactly one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb.errors import MediaError
from kling_nb.video.container import opened

if TYPE_CHECKING:
    import numpy as np
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

NEARLY = 1e-6
"""Seconds. 0.3 as a float lies just below 3/10, and means the frame that starts there."""

_HD_LINES = 720


def arrays(path: Path, start: float, stop: float | None, step: int) -> Iterator[NDArray[np.uint8]]:
    """Every `step`-th frame from the one shown at `start` until before `stop`, as (H, W, 3) RGB."""
    to_rgb = RGB()
    with opened(path) as (container, stream):
        for index, (time, frame) in enumerate(shown_from(container, stream, start)):
            if stop is not None and index and time >= stop - NEARLY:
                return
            if index % step == 0:
                yield to_rgb(frame)


def array_at(path: Path, t: float) -> NDArray[np.uint8]:
    """The frame shown at `t`, as (H, W, 3) RGB."""
    with opened(path) as (container, stream):
        return _rgb(path, next(shown_from(container, stream, t), None))


def last_array(path: Path, duration: float) -> NDArray[np.uint8]:
    """The frame a player stops on."""
    with opened(path) as (container, stream):
        rest = deque(shown_from(container, stream, duration), maxlen=1)
        return _rgb(path, rest[0] if rest else None)


def _rgb(path: Path, shown: tuple[float, VideoFrame] | None) -> NDArray[np.uint8]:
    if shown is None:
        raise MediaError(f"{path.name} holds no picture that decodes.")
    return RGB()(shown[1])


class RGB:
    """Turns decoded frames upright and into RGB arrays of shape (height, width, 3).

    One converter for a whole clip: PyAV's `to_ndarray` makes a new one for each frame,
    which costs as much as decoding it.
    """

    def __init__(self) -> None:
        from av.video.reformatter import Colorspace, VideoReformatter  # noqa: PLC0415 - heavy

        self._reformatter = VideoReformatter()
        self._tagged = frozenset(int(space) for space in Colorspace)
        self._hd = Colorspace.ITU709

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The picture as a player shows it."""
        import numpy as np  # noqa: PLC0415 - heavy

        # Players take an untagged HD picture for BT.709; FFmpeg would take BT.601 and shift its reds.
        guessed = frame.colorspace not in self._tagged and frame.height >= _HD_LINES
        rgb = self._reformatter.reformat(frame, format="rgb24", src_colorspace=self._hd if guessed else None)
        array: NDArray[Any] = rgb.to_ndarray()
        turns = quarter_turns(frame)
        return np.ascontiguousarray(np.rot90(array, turns)) if turns else array


def quarter_turns(frame: VideoFrame) -> int:
    """How often the picture is to be turned left by 90° to stand upright (0 to 3)."""
    return round(frame.rotation / 90) % 4


def shown_from(
    container: InputContainer, stream: VideoStream, t: float
) -> Iterator[tuple[float, VideoFrame]]:
    """Frames with their times, the first being the one shown at `t`.

    Seeks to the key frame before `t`. Where a file's index sends it too far, it reads
    from the beginning instead.
    """
    frames = _timed(container, stream, seek=t)
    shown = next(frames, None)
    if t > 0 and (shown is None or shown[0] > t + NEARLY):
        frames = _timed(container, stream, seek=0)
        shown = next(frames, None)
    for following in frames:
        if shown and following[0] > t + NEARLY:
            yield shown
        shown = following
    if shown:
        yield shown


def _timed(
    container: InputContainer, stream: VideoStream, *, seek: float
) -> Iterator[tuple[float, VideoFrame]]:
    """Decoded frames with their time in seconds from the first frame of the file."""
    base = float(stream.time_base or 1)
    origin = (stream.start_time or 0) * base
    with suppress(OSError, ValueError):  # a container that cannot seek is read from where it is
        container.seek(int((seek + origin + NEARLY) / base), stream=stream)
    gap = 1 / float(stream.average_rate or 24)
    time = -gap
    for frame in container.decode(stream):
        # A frame without a time stamp follows the one before it at the file's rate.
        time = time + gap if frame.time is None else frame.time - origin
        yield time, frame
