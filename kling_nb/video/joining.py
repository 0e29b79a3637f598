"""Several clips as one: their packets as they are where the clips agree, else drawn anew.

Packets are taken over where codec, picture, time base and parameter sets (and those of the sound) are
the same in all clips, which is so for shots of one endpoint in one shape. Else every picture is encoded
once more, in the size and rate of the first clip, with bars where a shape differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb.errors import MediaError
from kling_nb.video.container import opened
from kling_nb.video.frames import RGB, shown_from

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kling_nb.video._video import Video

SAMPLE_RATE = 48_000
_QUALITY = "18"  # x264's constant rate factor: looks like the source


def join_clips(shots: Sequence[Video], target: Path) -> bool:
    """Write the clips one after the other into one MP4.

    Args:
        shots: At least one.
        target: The new file, which is overwritten.

    Returns:
        Whether the pictures had to be encoded anew.

    Raises:
        MediaError: A clip is gone or does not decode.
        OSError: The file cannot be written.
    """
    import av  # noqa: PLC0415 -- heavy

    paths = [shot.path for shot in shots]
    try:
        if agree(paths):
            _remux(paths, target)
            return False
        _encode(shots, target)
    except av.FFmpegError as error:
        raise MediaError(f"The shots could not be joined: {error}") from error
    return True


def agree(paths: Sequence[Path]) -> bool:
    """Whether all clips can go into one file as they are."""
    with ExitStack() as stack:
        marks = [_marks(*stack.enter_context(opened(path))) for path in paths]
        return all(mark == marks[0] for mark in marks) and marks[0][0] in {"h264", "hevc", "av1"}


def _marks(container: Any, stream: Any) -> tuple[Any, ...]:
    """What has to be the same in two clips."""
    picture = stream.codec_context
    turned = bytes(picture.extradata or b"")
    sound = container.streams.audio[0] if container.streams.audio else None
    heard = (
        (
            sound.codec_context.name,
            sound.rate,
            sound.layout.name,
            sound.time_base,
            bytes(sound.codec_context.extradata or b""),
        )
        if sound
        else None
    )
    return (
        picture.name,
        picture.width,
        picture.height,
        picture.pix_fmt,
        stream.time_base,
        stream.average_rate,
        turned,
        heard,
    )


# -- as they are -----------------------------------------------------------------------


def _remux(paths: Sequence[Path], target: Path) -> None:
    import av  # noqa: PLC0415 -- heavy

    with (
        av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as out,
        ExitStack() as stack,
    ):
        streams: dict[str, Any] = {}
        start = Fraction(0)  # seconds at which the clip begins
        heard = -(10**9)  # time of the last packet of sound, in its time base
        for path in paths:
            container, picture = stack.enter_context(opened(path))
            sources = {"video": picture} | (
                {"audio": container.streams.audio[0]} if container.streams.audio else {}
            )
            for kind, source in sources.items():
                if kind not in streams:
                    streams[kind] = out.add_stream_from_template(source)
            length = _length(picture)
            for packet in container.demux(*sources.values()):
                if packet.dts is None or packet.pts is None:
                    continue  # what FFmpeg sends to flush
                base: Any = packet.stream.time_base
                shift = round(start / base)
                if packet.stream is not picture:
                    # Sound that outlasts its picture, or comes before it, would lie over another shot.
                    if packet.pts * base >= length or packet.dts + shift <= heard:
                        continue
                    heard = packet.dts + shift
                packet.pts += shift
                packet.dts += shift
                packet.stream = streams["video" if packet.stream is picture else "audio"]
                out.mux(packet)
            start += length


def _length(picture: Any) -> Fraction:
    """Seconds of a picture stream, exactly."""
    if picture.duration:
        return Fraction(picture.duration * picture.time_base)
    return Fraction(int(picture.frames)) / Fraction(picture.average_rate)


# -- drawn anew --------------------------------------------------------------------------


def _encode(shots: Sequence[Video], target: Path) -> None:
    import av  # noqa: PLC0415 -- heavy

    first = shots[0]
    rate = Fraction(first.fps).limit_denominator(1001)
    size = first.width - first.width % 2, first.height - first.height % 2
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as out:
        picture: Any = out.add_stream("libx264", rate=rate, options={"crf": _QUALITY, "preset": "medium"})
        picture.width, picture.height = size
        picture.pix_fmt = "yuv420p"
        sounds = [_sound(shot) for shot in shots]
        audio: Any = (
            out.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
            if any(s is not None for s in sounds)
            else None
        )
        count = 0
        for shot, sound in zip(shots, sounds, strict=True):
            for array in _drawn(shot, rate, size):
                frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                frame.pts, frame.time_base = count, 1 / rate
                count += 1
                out.mux(picture.encode(frame))
            if audio is not None:
                _say(out, audio, _as_long(sound, shot.duration), Fraction(count) / rate)
        out.mux(picture.encode(None))
        if audio is not None:
            out.mux(audio.encode(None))


def _drawn(shot: Video, rate: Fraction, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """The pictures shown at 0, 1/rate, 2/rate …, on a canvas of `size`."""
    to_rgb = RGB()
    index, shown = 0, None
    frames = round(shot.duration * rate)
    with opened(shot.path) as (container, stream):
        for time, frame in shown_from(container, stream, 0):
            while (
                shown is not None
                and index < frames
                and Fraction(index) / rate < Fraction(time) - Fraction(1, 10_000)
            ):
                yield _on_canvas(to_rgb(shown), size)
                index += 1
            shown = frame
        while shown is not None and index < frames:
            yield _on_canvas(to_rgb(shown), size)
            index += 1


def _on_canvas(array: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    import numpy as np  # noqa: PLC0415 -- heavy
    from PIL import Image  # noqa: PLC0415 -- as above

    if array.shape[:2] == (size[1], size[0]):
        return np.ascontiguousarray(array)
    canvas = Image.new("RGB", size)
    whole = Image.fromarray(array)
    scale = min(size[0] / whole.width, size[1] / whole.height)
    fitted = whole.resize((max(1, round(whole.width * scale)), max(1, round(whole.height * scale))))
    canvas.paste(fitted, ((size[0] - fitted.width) // 2, (size[1] - fitted.height) // 2))
    return np.asarray(canvas)


def _sound(shot: Video) -> NDArray[np.float32] | None:
    """The sound as (2, samples) at `SAMPLE_RATE`; None where there is none."""
    import av  # noqa: PLC0415 -- heavy
    import numpy as np  # noqa: PLC0415 -- as above

    with opened(shot.path) as (container, _):
        if not container.streams.audio:
            return None
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE)
        pieces = [
            piece.to_ndarray() for frame in container.decode(audio=0) for piece in resampler.resample(frame)
        ]
        pieces += [piece.to_ndarray() for piece in resampler.resample(None)]
        return np.concatenate(pieces, axis=1) if pieces else None


def _as_long(sound: NDArray[np.float32] | None, seconds: float) -> NDArray[np.float32]:
    """The sound cut or filled with silence to a length."""
    import numpy as np  # noqa: PLC0415 -- heavy

    whole = np.zeros((2, round(seconds * SAMPLE_RATE)), np.float32)
    if sound is not None:
        length = min(whole.shape[1], sound.shape[1])
        whole[:, :length] = sound[:, :length]
    return whole


def _say(out: Any, stream: Any, sound: NDArray[np.float32], end: Fraction) -> None:
    """Encode a shot's sound so that it ends at `end` seconds."""
    import av  # noqa: PLC0415 -- heavy
    import numpy as np  # noqa: PLC0415 -- as above

    begin = round(end * SAMPLE_RATE) - sound.shape[1]
    size = 1024
    for at in range(0, sound.shape[1], size):
        piece = np.ascontiguousarray(sound[:, at : at + size])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, begin + at, Fraction(1, SAMPLE_RATE)
        out.mux(stream.encode(frame))
