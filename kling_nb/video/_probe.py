"""What a video file is, found by decoding its first frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kling_nb.errors import MediaError
from kling_nb.video.container import opened
from kling_nb.video.frames import quarter_turns

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True)
class Probe:
    """A video file's measures.

    Attributes:
        width: Pixels, as shown: a turned picture counts as it stands.
        height: Pixels, as shown.
        fps: Frames a second, on average.
        duration: Seconds, more than 0.
        frame_count: Frames, counted by the container or reckoned from rate and duration.
        codec: FFmpeg's name of the codec, e.g. `h264`.
    """

    width: int
    height: int
    fps: float
    duration: float
    frame_count: int
    codec: str


def probe(path: Path) -> Probe:
    """Measure the file at `path`, and see that its first frame decodes.

    Raises:
        MediaError: It is missing, is no video, is damaged, has no duration, or its
            picture is larger than 8192 a side.
    """
    with opened(path, threads=False) as (container, stream):
        frame = next(iter(container.decode(stream)), None)
        if frame is None:
            raise MediaError(f"{path.name} holds no picture that decodes.")
        duration = _duration(container, stream)
        if duration <= 0:
            raise MediaError(f"{path.name} has no duration.")
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        count = stream.frames or max(1, round(duration * rate))
        turned = quarter_turns(frame) % 2
        return Probe(
            width=frame.height if turned else frame.width,
            height=frame.width if turned else frame.height,
            fps=rate or count / duration,
            duration=duration,
            frame_count=count,
            codec=stream.codec_context.name,
        )


def _duration(container: InputContainer, stream: VideoStream) -> float:
    """Seconds of the picture stream; WebM and Matroska only say the container's."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000
