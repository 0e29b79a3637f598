"""Join clips: copy their packets if the clips agree, else encode all frames again.

Packets are copied if codec, size, time base and parameter sets, and those of the audio, are the same in all
clips. That is so for shots of one endpoint in one shape. Else all frames are encoded in the size and rate of
the first clip, with bars if a shape differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb._lazy import av, np, pillow
from kling_nb.errors import MediaError
from kling_nb.video.frames import open_video, sample
from kling_nb.video.video import Video

if TYPE_CHECKING:
    from numpy.typing import NDArray


SAMPLE_RATE = 48_000
_QUALITY = "18"
"""x264's constant rate factor. It looks like the source."""


def join_clips(shots: Sequence[Video], target: Path) -> bool:
    """Write the clips one after the other into one MP4.

    Args:
        shots: One or more clips.
        target: The new file, which is overwritten.

    Returns:
        True if the frames had to be encoded again.

    Raises:
        MediaError: A clip is gone or does not decode.
        OSError: The file cannot be written.
    """
    paths = [shot.path for shot in shots]
    try:
        if can_copy(paths):
            _remux(paths, target)
            return False
        _encode(shots, target)
    except av.FFmpegError as error:
        raise MediaError(f"The shots could not be joined: {error}") from error
    return True


def can_copy(paths: Sequence[Path]) -> bool:
    """Return True if the packets of all clips can be copied into one file."""
    with ExitStack() as stack:
        parameters = [_parameters(*stack.enter_context(open_video(path))) for path in paths]
        same = all(one == parameters[0] for one in parameters)
        return same and parameters[0][0] in {"h264", "hevc", "av1"}


def _parameters(container: Any, stream: Any) -> tuple[Any, ...]:
    """Return what has to be the same in two clips."""
    video = stream.codec_context
    audio: tuple[Any, ...] = ()
    if container.streams.audio:
        track = container.streams.audio[0]
        codec = track.codec_context
        audio = (codec.name, track.rate, track.layout.name, track.time_base, bytes(codec.extradata or b""))
    return (
        video.name,
        video.width,
        video.height,
        video.pix_fmt,
        stream.time_base,
        stream.average_rate,
        bytes(video.extradata or b""),
        audio,
    )


def _remux(paths: Sequence[Path], target: Path) -> None:
    with (
        av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as out,
        ExitStack() as stack,
    ):
        streams: dict[str, Any] = {}
        start = Fraction(0)  # seconds at which the clip starts
        last_audio = -(10**9)  # time of the last audio packet, in its time base
        for path in paths:
            container, video = stack.enter_context(open_video(path))
            sources = {"video": video} | (
                {"audio": container.streams.audio[0]} if container.streams.audio else {}
            )
            for kind, source in sources.items():
                if kind not in streams:
                    streams[kind] = out.add_stream_from_template(source)
            length = _length(video)
            for packet in container.demux(*sources.values()):
                if packet.dts is None or packet.pts is None:
                    continue  # FFmpeg sends such a packet to flush.
                base: Any = packet.stream.time_base
                shift = round(start / base)
                if packet.stream is not video:
                    # Audio before or after the frames of its clip would overlap that of another clip.
                    if packet.pts * base >= length or packet.dts + shift <= last_audio:
                        continue
                    last_audio = packet.dts + shift
                packet.pts += shift
                packet.dts += shift
                packet.stream = streams["video" if packet.stream is video else "audio"]
                out.mux(packet)
            start += length


def _length(stream: Any) -> Fraction:
    """Return the exact seconds of a video stream."""
    if stream.duration:
        return Fraction(stream.duration * stream.time_base)
    return Fraction(int(stream.frames)) / Fraction(stream.average_rate)


def _encode(shots: Sequence[Video], target: Path) -> None:
    first = shots[0]
    rate = Fraction(first.fps).limit_denominator(1001)
    size = first.width - first.width % 2, first.height - first.height % 2
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as out:
        video: Any = out.add_stream("libx264", rate=rate, options={"crf": _QUALITY, "preset": "medium"})
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        tracks = [_samples(shot) for shot in shots]
        has_audio = any(track is not None for track in tracks)
        audio: Any = out.add_stream("aac", rate=SAMPLE_RATE, layout="stereo") if has_audio else None
        count = 0
        for shot, track in zip(shots, tracks, strict=True):
            for array in _frames(shot, rate, size):
                frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                frame.pts, frame.time_base = count, 1 / rate
                count += 1
                out.mux(video.encode(frame))
            if audio is not None:
                _encode_audio(out, audio, _fit(track, shot.duration), Fraction(count) / rate)
        out.mux(video.encode(None))
        if audio is not None:
            out.mux(audio.encode(None))


def _frames(shot: Video, rate: Fraction, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames at 0, 1/rate, 2/rate …, on a canvas of `size`."""
    times = (float(index / rate) for index in range(round(shot.duration * rate)))
    for array in sample(shot.path, times):
        yield _on_canvas(array, size)


def _on_canvas(array: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if array.shape[:2] == (size[1], size[0]):
        return np.ascontiguousarray(array)
    canvas = pillow.new("RGB", size)
    image = pillow.fromarray(array)
    scale = min(size[0] / image.width, size[1] / image.height)
    fitted = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    canvas.paste(fitted, ((size[0] - fitted.width) // 2, (size[1] - fitted.height) // 2))
    return np.asarray(canvas)


def _samples(shot: Video) -> NDArray[np.float32] | None:
    """Return the audio as (2, samples) at `SAMPLE_RATE`, or None if there is none."""
    with open_video(shot.path) as (container, _):
        if not container.streams.audio:
            return None
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE)
        pieces = [
            piece.to_ndarray() for frame in container.decode(audio=0) for piece in resampler.resample(frame)
        ]
        pieces += [piece.to_ndarray() for piece in resampler.resample(None)]
        return np.concatenate(pieces, axis=1) if pieces else None


def _fit(samples: NDArray[np.float32] | None, seconds: float) -> NDArray[np.float32]:
    """Return audio of this length: the samples, cut or followed by silence."""
    fitted = np.zeros((2, round(seconds * SAMPLE_RATE)), np.float32)
    if samples is not None:
        length = min(fitted.shape[1], samples.shape[1])
        fitted[:, :length] = samples[:, :length]
    return fitted


def _encode_audio(out: Any, stream: Any, samples: NDArray[np.float32], end: Fraction) -> None:
    """Encode the audio of a shot, so that it ends at `end` seconds."""
    start = round(end * SAMPLE_RATE) - samples.shape[1]
    size = 1024
    for at in range(0, samples.shape[1], size):
        piece = np.ascontiguousarray(samples[:, at : at + size])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start + at, Fraction(1, SAMPLE_RATE)
        out.mux(stream.encode(frame))
