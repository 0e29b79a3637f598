"""Read a video file: its measures, its frames by time, its poster.

Times are seconds from the first frame. The frame at time t is the latest one that starts at or before t, as
in a player. So each t from 0 to the duration has exactly one frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb._lazy import av, np, pillow
from kling_nb.errors import MediaError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray
    from PIL.Image import Image


# -- Opening a file.
#
# A downloaded file cannot be trusted. FFmpeg would follow playlists and URLs in it. So only containers with
# their own data are allowed, only from the local disk. Large sizes are refused before a frame is allocated.


LARGEST_SIDE = 8192
"""Pixels. Kling's largest videos are 4K, and the limit of H.264 is near this."""

LARGEST_AREA = 8192 * 4320
"""Pixels: 8K. One frame has 106 MB as RGB."""

_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif",
    "max_pixels": str(LARGEST_AREA),
}


@contextmanager
def open_video(path: Path, *, threads: bool = True) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Give the container and its video stream. They are closed after the block.

    FFmpeg's errors inside the block become a `MediaError` too.

    Args:
        path: The file.
        threads: Decode with all cores. To start the threads costs more than to decode one frame.

    Raises:
        MediaError: The file is missing, damaged, larger than `LARGEST_SIDE`, or not a video.
    """
    try:
        # The path is absolute, because FFmpeg reads "concat:a" and the like as a protocol.
        with av.open(str(path.absolute()), mode="r", options=_OPTIONS) as container:
            stream = _video_stream(container, path)
            if threads:
                stream.thread_type = "AUTO"
            else:
                stream.codec_context.thread_count = 1
            yield container, stream
    except av.FFmpegError as error:
        raise _media_error(path, error) from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    if not container.streams.video:
        raise MediaError(f"{path.name} has no video stream.")
    stream = container.streams.video[0]
    width, height = stream.codec_context.width, stream.codec_context.height
    size = f"{path.name} has frames of {width}×{height} pixels."
    if not 0 < width <= LARGEST_SIDE or not 0 < height <= LARGEST_SIDE:
        raise MediaError(f"{size} The limit is {LARGEST_SIDE} on each side.")
    if width * height > LARGEST_AREA:
        raise MediaError(f"{size} The limit is {LARGEST_AREA:,} in all.")
    return stream


def _media_error(path: Path, error: Exception) -> MediaError:
    if isinstance(error, FileNotFoundError):
        return MediaError(
            f"{path.name} is no longer in {path.parent}.", remedy="Run its cell again to get it back."
        )
    if isinstance(error, OSError):
        return MediaError(f"{path.name} cannot be read: {error.strerror}.")
    return MediaError(f"{path.name} does not decode as a video.")


# -- Measures.


@dataclass(frozen=True, slots=True)
class Probe:
    """A video file's measures.

    Attributes:
        width: Pixels, as shown, so after a rotation.
        height: Pixels, as shown.
        fps: Frames per second, on average.
        duration: Seconds, more than 0.
        frame_count: Frames, by the container, or computed from rate and duration.
        codec: FFmpeg's name of the codec, such as `h264`.
    """

    width: int
    height: int
    fps: float
    duration: float
    frame_count: int
    codec: str


def probe(path: Path) -> Probe:
    """Measure the file at `path`, and check that its first frame decodes.

    Raises:
        MediaError: It is missing, damaged, without a duration, larger than `LARGEST_SIDE`, or not a video.
    """
    with open_video(path, threads=False) as (container, stream):
        frame = next(iter(container.decode(stream)), None)
        if frame is None:
            raise _no_frame(path)
        duration = _duration(container, stream)
        if duration <= 0:
            raise MediaError(f"{path.name} has no duration.")
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        count = stream.frames or max(1, round(duration * rate))
        swapped = quarter_turns(frame) % 2
        return Probe(
            width=frame.height if swapped else frame.width,
            height=frame.width if swapped else frame.height,
            fps=rate or count / duration,
            duration=duration,
            frame_count=count,
            codec=stream.codec_context.name,
        )


def _duration(container: InputContainer, stream: VideoStream) -> float:
    """Return the seconds of the video stream. WebM and Matroska have only those of the container."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000


def _no_frame(path: Path) -> MediaError:
    return MediaError(f"{path.name} has no frame that decodes.")


# -- Frames by time.


TOLERANCE = 1e-6
"""Seconds. 0.3 as a float is a little less than 3/10, but means the frame that starts there."""

_SAMPLE_TOLERANCE = 1e-4
"""Seconds. Times of frames are rounded to the time base of the file."""

_HD_LINES = 720


def read_frames(path: Path, start: float, stop: float | None, step: int) -> Iterator[NDArray[np.uint8]]:
    """Yield every `step`-th frame from the one at `start` until before `stop`, as (H, W, 3) RGB."""
    to_rgb = RGB()
    with open_video(path) as (container, stream):
        for index, (time, frame) in enumerate(frames_from(container, stream, start)):
            if stop is not None and index and time >= stop - TOLERANCE:
                return
            if index % step == 0:
                yield to_rgb(frame)


def frame_at(path: Path, t: float) -> NDArray[np.uint8]:
    """Return the frame at `t`, as (H, W, 3) RGB."""
    with open_video(path) as (container, stream):
        return _rgb(path, next(frames_from(container, stream, t), None))


def last_frame(path: Path, duration: float) -> NDArray[np.uint8]:
    """Return the last frame, as (H, W, 3) RGB."""
    with open_video(path) as (container, stream):
        rest = deque(frames_from(container, stream, duration), maxlen=1)
        return _rgb(path, rest[0] if rest else None)


def sample(path: Path, times: Iterable[float]) -> Iterator[NDArray[np.uint8]]:
    """Yield the frame at each of the rising `times`, as (H, W, 3) RGB. After the end it is the last one."""
    to_rgb = RGB()
    remaining = iter(times)
    t = next(remaining, None)
    shown: VideoFrame | None = None
    with open_video(path) as (container, stream):
        for time, frame in frames_from(container, stream, 0):
            while shown is not None and t is not None and t < time - _SAMPLE_TOLERANCE:
                yield to_rgb(shown)
                t = next(remaining, None)
            if t is None:
                return
            shown = frame
        while shown is not None and t is not None:
            yield to_rgb(shown)
            t = next(remaining, None)


def _rgb(path: Path, shown: tuple[float, VideoFrame] | None) -> NDArray[np.uint8]:
    if shown is None:
        raise _no_frame(path)
    return RGB()(shown[1])


class RGB:
    """Converts decoded frames to upright RGB arrays of shape (height, width, 3).

    Use one converter for a clip. PyAV's `to_ndarray` makes a new one for each frame, which costs as much as
    to decode it.
    """

    def __init__(self) -> None:
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._tagged = frozenset(int(space) for space in av.video.reformatter.Colorspace)
        self._hd = av.video.reformatter.Colorspace.ITU709

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return a frame as a player shows it."""
        # Without a tag, players read HD as BT.709. FFmpeg would read it as BT.601, with wrong reds.
        as_hd = frame.colorspace not in self._tagged and frame.height >= _HD_LINES
        rgb = self._reformatter.reformat(frame, format="rgb24", src_colorspace=self._hd if as_hd else None)
        array: NDArray[Any] = rgb.to_ndarray()
        turns = quarter_turns(frame)
        return np.ascontiguousarray(np.rot90(array, turns)) if turns else array


def quarter_turns(frame: VideoFrame) -> int:
    """Return how often a frame must be turned left by 90° to be upright (0 to 3)."""
    return round(frame.rotation / 90) % 4


def frames_from(
    container: InputContainer, stream: VideoStream, t: float
) -> Iterator[tuple[float, VideoFrame]]:
    """Yield frames with their times. The first one is the frame at `t`.

    It seeks to the key frame before `t`. If the file's index leads too far, it reads from the start.
    """
    frames = _timed_frames(container, stream, seek=t)
    shown = next(frames, None)
    if t > 0 and (shown is None or shown[0] > t + TOLERANCE):
        frames = _timed_frames(container, stream, seek=0)
        shown = next(frames, None)
    for following in frames:
        if shown and following[0] > t + TOLERANCE:
            yield shown
        shown = following
    if shown:
        yield shown


def _timed_frames(
    container: InputContainer, stream: VideoStream, *, seek: float
) -> Iterator[tuple[float, VideoFrame]]:
    """Yield decoded frames with their time in seconds from the first frame of the file."""
    base = float(stream.time_base or 1)
    origin = (stream.start_time or 0) * base
    with suppress(OSError, ValueError):  # A container that cannot seek is read from its present position.
        container.seek(int((seek + origin + TOLERANCE) / base), stream=stream)
    gap = 1 / float(stream.average_rate or 24)
    time = -gap
    for frame in container.decode(stream):
        # A frame without a time stamp follows the one before it at the file's rate.
        time = time + gap if frame.time is None else frame.time - origin
        yield time, frame


# -- The poster: one small JPEG that shows what the clip is about.


WIDTH = 480
LARGEST = 16_000
"""Bytes. As base64 in the card of a saved notebook this is 21 kB."""

_SEARCH_SECONDS = 3.0
_LATEST = 60.0
"""Seconds. To reach a later middle, a long film might have to be decoded."""

_MOST_FRAMES = 600
_FADE = 0.5
_QUALITIES = (84, 76, 68, 60, 52, 44, 36, 28)


def poster(path: Path, duration: float) -> bytes:
    """Return a JPEG of the first frame that shows something, else of the middle one.

    If the clip starts with black, it is the frame half a second after the black ends. The JPEG is at most 480
    pixels wide and 16,000 bytes long.

    Raises:
        MediaError: The file does not decode.
    """
    return small_jpeg(pillow.fromarray(_poster_frame(path, duration)))


def small_jpeg(image: Image, width: int = WIDTH, largest: int = LARGEST) -> bytes:
    """Return `image` as a JPEG, no wider than `width`, in the best quality that fits `largest` bytes."""
    while True:
        small = _shrink(image, width)
        for quality in _QUALITIES:
            buffer = BytesIO()
            small.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
            if buffer.tell() <= largest:
                return buffer.getvalue()
        if small.width <= 16:
            raise MediaError(f"No poster of {largest} bytes can be made of this image.")
        width = small.width * 3 // 4


def _shrink(image: Image, width: int) -> Image:
    # A tall image gets the same area as a wide one, so that its poster has no more bytes.
    scale = min(1.0, width / image.width, 1.4 * width / image.height)
    if scale == 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, pillow.Resampling.LANCZOS, reducing_gap=3)


def _poster_frame(path: Path, duration: float) -> NDArray[np.uint8]:
    to_rgb = RGB()
    with open_video(path) as (container, stream):
        for number, (time, frame) in enumerate(frames_from(container, stream, 0)):
            if time > _SEARCH_SECONDS or number > _MOST_FRAMES:
                break
            rgb = to_rgb(frame)
            if not _is_plain(rgb):
                # A clip that starts with black mostly fades in. Half a second later it can be seen.
                return rgb if time == 0 else frame_at(path, min(time + _FADE, duration))
    return frame_at(path, min(duration / 2, _LATEST))


def _is_plain(rgb: NDArray[np.uint8]) -> bool:
    """Return True if a frame is almost black, almost white, or of one colour."""
    small = rgb[:: max(1, rgb.shape[0] // 90), :: max(1, rgb.shape[1] // 160)]
    light = small.mean(axis=2)
    return bool(light.std() < 6 or light.mean() < 12 or light.mean() > 248)
