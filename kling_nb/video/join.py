"""Join clips to an MP4: copy their packets if the clips agree, else encode them again.

Video and audio are decided apart. Packets of the video are copied if everything agrees that matters to a
player: codec, parameter sets, size, pixels, rotation, colours, time base and rate, and if no edit list hides
frames. Else all frames pass libavfilter and are encoded in the size and rate of the first clip, as HD colours
with tags. The clock of a clip starts at its first frame: audio before it is left out, and audio that starts
later is preceded by silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from heapq import merge
from itertools import accumulate, pairwise
from numbers import Real
from operator import itemgetter
from pathlib import Path
from typing import Any

from kling_nb._lazy import av, np
from kling_nb.errors import InputError, MediaError
from kling_nb.front_end import OnProgress
from kling_nb.video.frames import (
    HDR,
    LARGEST_SIDE,
    WIDE,
    Look,
    Probe,
    Step,
    Track,
    open_video,
    probe,
    sample,
    shown,
)

SAMPLE_RATE = 48_000
_QUALITY = "18"
"""x264's constant rate factor. It looks like the source."""

_LOOKAHEAD = "10"
"""Frames. x264's 40 need 190 MB more at 1080p, for files that were no smaller in our measurements."""

_PART = 0.9
"""How much of the largest file is for the video."""

_MOST_BITS = 1e9
"""Bits per second. FFmpeg cannot count more than twice as many."""

_INDEX_HEAD, _INDEX_ENTRY = 16_384, 48
"""Bytes of an MP4's index at most, and of a packet in it: size, offset, chunk, duration, delay, key frame."""

FITS = ("letterbox", "crop", "scale")
AUDIO = ("keep", "mute")
_FASTEST = 240
_NOTICED = 0.1
"""Seconds of lost audio that are reported. A packet has 0.02."""

_MOST_HOURS = 6
"""A damaged header may claim years."""


TRANSITIONS = ("cut", "fade", "dissolve")
_FADE_SECONDS = 0.5

Trim = tuple[float, float | None] | None
"""In and out point of a shot in seconds (None: its end); None for the whole shot."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants a film to be.

    Attributes:
        fit: For a shot of another shape: "letterbox" adds bars, "crop" cuts edges, "scale" stretches.
        size: Width and height in pixels. None is that of the first shot.
        fps: Frames per second. None is that of the first shot.
        audio: "keep", or "mute" for a film without audio.
        transition: "cut"; "fade": each shot but the last fades to black, and each but the first from it; or
            "dissolve": each shot begins over the end of the one before, in image and audio.
    """

    fit: str = "letterbox"
    size: tuple[int, int] | None = None
    fps: float | None = None
    audio: str = "keep"
    transition: str = "cut"

    def check(self) -> None:
        """Raise an `InputError` for a value that is not allowed."""
        if self.fit not in FITS:
            raise InputError(f"fit must be {' or '.join(FITS)}, not {self.fit!r}.", parameter="fit")
        if self.audio not in AUDIO:
            raise InputError(f'audio must be "keep" or "mute", not {self.audio!r}.', parameter="audio")
        if self.transition not in TRANSITIONS:
            text = f'transition must be "cut", "fade" or "dissolve", not {self.transition!r}.'
            raise InputError(text, parameter="transition")
        if self.fps is not None and not (_is_number(self.fps) and 1 <= self.fps <= _FASTEST):
            raise InputError(f"fps must be from 1 to {_FASTEST}, not {self.fps!r}.", parameter="fps")
        if self.size is not None and not _is_size(self.size):
            allowed = f"two even numbers from 16 to {LARGEST_SIDE}, as (1280, 720)"
            raise InputError(f"size must be {allowed}, not {self.size!r}.", parameter="size")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_size(size: Any) -> bool:
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        return False
    return all(isinstance(side, int) and 16 <= side <= LARGEST_SIDE and side % 2 == 0 for side in size)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a film must keep.

    Attributes:
        seconds: It ends after so many, or None.
        size: Bytes of its file, or None.
    """

    seconds: float | None = None
    size: float | None = None


@dataclass(frozen=True, slots=True)
class Film:
    """What a film is made of, and how.

    Attributes:
        paths: The files of the shots.
        shots: Their facts.
        tracks: The audio track of each that is used, or None.
        why: Why the video is encoded, or an empty text if it is copied.
        audio: "copied", "encoded" or "none".
        size: Width and height.
        rate: Frames per second.
        edges: Seconds at which each shot starts, and at which the last one ends.
        fit: See `Wish`.
        bounds: What it must keep.
        starts: Seconds of each shot at which it begins in the film.
        fade: Seconds of a fade to or from black; 0 without.
        overlap: Seconds in which a shot and the one before are mixed; 0 without.
    """

    paths: tuple[Path, ...]
    shots: tuple[Probe, ...]
    tracks: tuple[Track | None, ...]
    why: str
    audio: str
    size: tuple[int, int]
    rate: Fraction
    edges: tuple[Fraction, ...]
    fit: str
    bounds: Bounds
    starts: tuple[Fraction, ...]
    fade: float = 0.0
    overlap: Fraction = Fraction(0)

    def end(self, number: int) -> Fraction:
        """Return the seconds of a shot at which it ends in the film, its part of a mix included."""
        mixed = self.overlap if number < len(self.shots) - 1 else 0
        return self.starts[number] + self.edges[number + 1] - self.edges[number] + mixed

    def gain(self, number: int, times: Any) -> Any:
        """Return how bright and loud a shot is, from 0 to 1, at an array of seconds since its start."""
        length = float(self.edges[number + 1] - self.edges[number])
        fade = min(self.fade, length / 2)
        rise = times / fade if fade and number > 0 else np.ones_like(times)
        fall = (length - times) / fade if fade and number < len(self.shots) - 1 else np.ones_like(times)
        return np.clip(np.minimum(rise, fall), 0.0, 1.0)

    @property
    def encoded(self) -> bool:
        """True if the frames are encoded again."""
        return bool(self.why)

    def changes(self, number: int) -> list[str]:
        """Return what a shot lost and what was changed, in words."""
        facts, track, look = self.shots[number], self.tracks[number], self.shots[number].look
        whole = facts.announced or facts.duration
        found = [(facts.announced is not None, f"truncated after {facts.duration:.1f} s of {whole:.1f} s")]
        found += [(True, f"{other} left out") for other in facts.others]
        start, end = self.starts[number], self.end(number)
        cut = end < facts.length - 1 / self.rate
        found += [(bool(start), f"the first {float(start):.4g} s left out")]
        found += [(cut, f"cut after {float(end):.4g} s")]
        if self.audio == "none":
            found += [(bool(facts.tracks), "audio left out")]
        else:
            found += [(other is not track, f"{_track_name(other)} left out") for other in facts.tracks]
        if track is not None:
            after = track.end - facts.duration
            found += [
                (track.start < -_NOTICED, f"{-track.start:.1f} s of audio before the first frame left out"),
                (after > _NOTICED, f"{after:.1f} s of audio after the last frame left out"),
                (self.audio == "encoded" and track.channels > 2, f"{track.layout} audio became stereo"),
            ]
        if self.encoded:
            inner = _inner(look.shown, self.size, self.fit)
            words = " cropped" if inner > self.size else " with bars" if inner < self.size else ""
            words = " stretched" if self.fit == "scale" else words
            (width, height), rate = look.shown, f"{float(self.rate):.4g}"
            found += [
                (look.shown != self.size, f"{width}×{height} became {self.size[0]}×{self.size[1]}{words}"),
                (facts.steady and facts.rate != self.rate, f"{facts.fps:.4g} fps became {rate}"),
                (not facts.steady, f"a variable frame rate became {rate} fps"),
                (look.interlaced, "deinterlaced"),
                (look.pixel != 1, "pixels became square"),
                (bool(look.turn), "turned upright"),
                (look.transfer in HDR, f"HDR ({HDR.get(look.transfer)}) became SDR"),
                (look.primaries in WIDE, f"{WIDE.get(look.primaries)} colours became those of HD"),
                (look.bits > 8, f"{look.bits} bits became 8"),
                (look.alpha, "transparent parts became black"),
            ]
        return [words for is_so, words in found if is_so]


def _track_name(track: Track) -> str:
    return f"audio track {track.index}" + (f" ({track.language})" if track.language else "")


def join_clips(
    paths: Sequence[Path],
    target: Path,
    wish: Wish | None = None,
    on_progress: OnProgress | None = None,
    *,
    bounds: Bounds | None = None,
    trims: Sequence[Trim] = (),
) -> Film:
    """Write the clips one after the other into one MP4 at `target`, which is overwritten.

    An exception that `on_progress` raises ends the work.

    Raises:
        MediaError: A clip is gone or does not decode, or the film would be longer than 6 hours.
        OSError: The file cannot be written.
    """
    film = plan_film(paths, wish or Wish(), bounds or Bounds(), trims)
    try:
        try:
            _write(film, target, on_progress)
            if not film.encoded:
                _check_copy(film, target)
        except (av.FFmpegError, ValueError, _CopyFailed) as error:
            if isinstance(error, OSError) or (film.encoded and film.audio != "copied"):
                raise  # A full disk would be full the second time, too.
            film = _encode_all(film, f"the packets could not be copied ({error})")
            _write(film, target, on_progress)
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise MediaError(f"The film could not be written: {error}.") from error
    return film


class _CopyFailed(Exception):
    """A film of copied packets is not what it should be."""


def plan_film(
    paths: Sequence[Path], wish: Wish, bounds: Bounds = Bounds(), trims: Sequence[Trim] = ()
) -> Film:
    """Decide how the film is made."""
    shots = tuple(probe(path) for path in paths)
    hours = sum(shot.duration for shot in shots) / 3600
    if hours > _MOST_HOURS:
        raise MediaError(f"The film would be {hours:,.1f} hours long. The limit is {_MOST_HOURS}.")
    first = shots[0]
    width, height = first.look.shown
    size = tuple(wish.size) if wish.size else (max(2, width - width % 2), max(2, height - height % 2))
    rate = min(Fraction(wish.fps).limit_denominator(1001) if wish.fps else first.rate, Fraction(_FASTEST))
    tracks = tuple(None if wish.audio == "mute" or not shot.tracks else shot.tracks[0] for shot in shots)
    points = [_points(shot, trim) for shot, trim in zip(shots, trims or [None] * len(shots), strict=True)]
    lengths = [end - start for start, end in points]
    why, audio = _why_encoded(shots, size, wish), _audio(shots, tracks)
    fades = wish.transition == "fade" and len(shots) > 1
    overlap = Fraction(0)
    if wish.transition == "dissolve" and len(shots) > 1:
        overlap = Fraction(int(min(Fraction(_FADE_SECONDS), min(lengths) / 2) * rate)) / rate
    edges = [Fraction(0), *accumulate([*(one - overlap for one in lengths[:-1]), lengths[-1]])]
    if fades or overlap:
        why = why or ("shots fade" if fades else "shots are mixed")
        audio = audio if audio == "none" else "encoded"
    if any(trims):
        why, audio = why or "shots are trimmed", audio if audio == "none" else "encoded"
    if bounds.seconds is not None and edges[-1] > bounds.seconds:
        last = Fraction(int(bounds.seconds * rate)) / rate
        edges, why = [min(edge, last) for edge in edges], why or "it was cut"
        audio = audio if audio == "none" else "encoded"
    if bounds.size is not None and sum(path.stat().st_size for path in paths) > bounds.size:
        why = why or "its file was too large"
    film = Film(
        paths=tuple(paths),
        shots=shots,
        tracks=tracks,
        why=why,
        audio=audio,
        size=(size[0], size[1]),
        rate=rate,
        edges=tuple(edges),
        fit=wish.fit,
        bounds=bounds,
        starts=tuple(start for start, _ in points),
        fade=_FADE_SECONDS if fades else 0.0,
        overlap=overlap,
    )
    return _encode_all(film, film.why, audio=film.audio) if film.encoded else film


def _points(shot: Probe, trim: Trim) -> tuple[Fraction, Fraction]:
    """Return the in and out point of a shot."""
    if trim is None:
        return Fraction(0), shot.length
    start = Fraction(trim[0]).limit_denominator(100_000)
    end = shot.length if trim[1] is None else Fraction(trim[1]).limit_denominator(100_000)
    return start, min(end, shot.length)


def _encode_all(film: Film, why: str, audio: str = "encoded") -> Film:
    """Return the film with all frames encoded. Each shot starts at the nearest frame of the film."""
    frames = [0]
    for end in film.edges[1:]:
        frames.append(max(frames[-1] + 1, round(end * film.rate)))
    audio = "none" if film.audio == "none" else audio
    return replace(film, why=why, audio=audio, edges=tuple(count / film.rate for count in frames))


def _why_encoded(shots: Sequence[Probe], size: tuple[int, ...], wish: Wish) -> str:
    """Return why the video must be encoded again, or an empty text."""
    first = shots[0]
    if wish.size and size != first.look.shown:
        return "another size was asked for"
    if wish.fps and not (first.steady and abs(wish.fps / first.rate - 1) < 1e-4):
        return "another frame rate was asked for"
    for number, shot in enumerate(shots, 1):
        if shot.refusal:
            return f"shot {number}: {shot.refusal}"
        for what, one, other in (
            ("codec", shot.packets[0], first.packets[0]),
            ("size", shot.look.shown, first.look.shown),
            ("rotation", shot.look.turn, first.look.turn),
            ("pixel shape", shot.look.pixel, first.look.pixel),
            ("colours", shot.look.colours, first.look.colours),
            ("pixel format", shot.look, first.look),
            ("time base", shot.packets[1], first.packets[1]),
            ("frame rate", shot.steady and shot.rate, first.steady and first.rate),
            ("encoder settings", shot.packets, first.packets),
        ):
            if one != other:
                return f"shot {number} differs from the first in its {what}"
    return ""


def _audio(shots: Sequence[Probe], tracks: Sequence[Track | None]) -> str:
    """Return what happens to the audio: "copied", "encoded" or "none"."""
    if not any(tracks):
        return "none"
    for shot, track in zip(shots, tracks, strict=True):
        if track is None or track.codec != "aac" or not track.whole:
            return "encoded"
        if tracks[0] is None or track.parameters != tracks[0].parameters:
            return "encoded"
        if track.parameters[3] != Fraction(1, track.rate):
            return "encoded"  # Matroska rounds times to milliseconds.
        packet = 1.5 * 1024 / track.rate
        if abs(track.start) > packet or track.end < shot.duration - packet:
            return "encoded"
    return "copied"


def _check_copy(film: Film, target: Path) -> None:
    """Raise unless the film has every frame, looks like its shots, and is as long."""
    try:
        found = probe(target)
    except MediaError as error:
        raise _CopyFailed(error.message) from error
    count = sum(shot.frame_count for shot in film.shots)
    if found.frame_count != count:
        raise _CopyFailed(f"{found.frame_count} of {count} frames")
    if found.look != film.shots[0].look:
        raise _CopyFailed("other colours, pixels or rotation")
    if abs(found.length - film.edges[-1]) > 1 / film.rate:
        raise _CopyFailed(f"{found.duration:.2f} s instead of {float(film.edges[-1]):.2f} s")


# -- Write.


Row = Iterator[tuple[float, Any]]
"""Seconds and packets. Its first item only tells that its streams are open."""


def _write(film: Film, target: Path, on_progress: OnProgress | None) -> None:
    copied = [
        kind for kind, is_so in (("video", not film.encoded), ("audio", film.audio == "copied")) if is_so
    ]
    with av.open(str(target), "w", format="mp4", options=_index_first(film)) as out:
        rows = [_copy_packets(film, out, copied)] if copied else []
        rows += [_encode_video(film, out)] if film.encoded else []
        rows += [_encode_audio(film, out)] if film.audio == "encoded" else []
        for row in rows:
            next(row)  # An MP4 needs all streams before any packet.
        total, reported = float(film.edges[-1]), -1
        for done, packet in merge(*rows, key=itemgetter(0)):
            out.mux(packet)
            if on_progress is not None and int(100 * done / total) > reported:
                reported = int(100 * done / total)
                on_progress(max(0.0, min(done, total)), total)
    if on_progress is not None:
        on_progress(total, total)


def _index_first(film: Film) -> dict[str, str]:
    """Return the options for an MP4 that a browser can play before it has all of it.

    FFmpeg rewrites the whole file for that, unless room for the index was kept. The number of copied packets
    is known.
    """
    if film.encoded or film.audio == "encoded":
        return {"movflags": "+faststart"}
    packets = sum(shot.frame_count + sum(track.packets for track in shot.tracks) for shot in film.shots)
    return {"moov_size": str(_INDEX_HEAD + _INDEX_ENTRY * packets)}


def _copy_packets(film: Film, out: Any, kinds: Sequence[str]) -> Row:
    """Yield the packets of all shots, of the video, the audio or both."""
    targets: dict[str, Any] = {}
    last = -(2**62)
    for number, path in enumerate(film.paths):
        shot, track = film.shots[number], film.tracks[number]
        with open_video(path, quick=number > 0) as (container, video):
            sources: dict[str, Any] = {
                kind: video if kind == "video" else container.streams[track.index if track else 0]
                for kind in kinds
            }
            if not targets:
                targets = {
                    # FFmpeg's decoder of AV1 cannot encode, so no encoder is to be opened.
                    kind: out.add_stream_from_template(source, opaque=True)
                    for kind, source in sources.items()
                }
                if "video" in targets and video.codec_context.codec_tag == "hvc1":
                    targets["video"].codec_context.codec_tag = "hvc1"  # Else Apple's players refuse it.
                yield 0.0, None
            # In the time base of each stream: how far its packets move, and where the shot starts and ends.
            marks = (film.edges[number] - shot.start, film.edges[number], film.edges[number + 1])
            ticks = {
                source.index: [round(mark / source.time_base) for mark in marks]
                for source in sources.values()
            }
            bases = {source.index: float(source.time_base) for source in sources.values()}
            for packet in container.demux(list(sources.values())):
                if packet.dts is None or packet.pts is None:
                    continue  # FFmpeg sends such a packet to flush.
                shift, start, end = ticks[packet.stream_index]
                packet.pts += shift
                packet.dts += shift
                kind = "video" if packet.stream_index == video.index else "audio"
                seconds = packet.dts * bases[packet.stream_index]
                if kind == "audio":
                    # A packet whose middle is before or after its shot would overlap the audio of another.
                    # Before the first shot, one packet prepares the decoder.
                    length = packet.duration or 0
                    middle = packet.pts + length / 2
                    first = start if number else start - length
                    if not first <= middle < end or packet.dts <= last:
                        continue
                    last = packet.dts
                    packet.duration = min(length, end - packet.pts)
                packet.stream = targets[kind]
                yield seconds, packet


def _encode_video(film: Film, out: Any) -> Row:
    """Yield the packets of all frames."""
    options = {"crf": _QUALITY, "preset": "medium", "rc-lookahead": _LOOKAHEAD}
    if film.bounds.size is not None:
        bits = str(int(min(8 * _PART * film.bounds.size / film.edges[-1], _MOST_BITS)))
        options |= {"maxrate": bits, "bufsize": bits}
    stream = out.add_stream("libx264", rate=film.rate, options=options)
    stream.width, stream.height = film.size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    # H.273: the range of TV, and BT.709 for the rest. Primaries of SD stay if all shots share them.
    primaries = {shot.look.primaries for shot in film.shots}
    context.color_range = context.colorspace = context.color_trc = 1
    context.color_primaries = primaries.pop() if primaries in ({5}, {6}) else 1
    yield 0.0, None
    count = 0
    rows = zip(film.paths, film.starts, pairwise(film.edges), strict=True)
    for number, (path, first, (start, end)) in enumerate(rows):
        steps = partial(_steps, size=film.size, fit=film.fit)
        gains = iter(film.gain(number, np.arange(round((end - start) * film.rate)) / float(film.rate)))
        times = (float(first + index / film.rate) for index in range(round((end - start) * film.rate)))
        tail = _tail(film, number - 1, steps) if number and film.overlap else iter(())
        for repeats, frame in sample(path, times, steps):
            frame.pict_type = 0  # Else x264 would repeat the decoder's choice of key frames.
            for _ in range(repeats):
                share, before = next(tail, (1.0, frame))
                image = _mix(before, frame, share) if share < 1 else _dim(frame, next(gains))
                image.pts, image.time_base = count, 1 / film.rate
                count += 1
                yield from _time_packets(stream.encode(image))
    yield from _time_packets(stream.encode(None))


def _tail(film: Film, number: int, steps: Any) -> Iterator[tuple[float, Any]]:
    """Yield the last frames of a shot, which are mixed with the next one, each with the share of the next."""
    count = round(film.overlap * film.rate)
    start = film.end(number) - film.overlap
    times = (float(start + index / film.rate) for index in range(count))
    shares = iter((np.arange(count) + 1) / (count + 1))
    for repeats, frame in sample(film.paths[number], times, steps):
        for _ in range(repeats):
            yield float(next(shares)), frame


def _mix(one: Any, other: Any, share: float) -> Any:
    """Return a frame of both, with this share of the other."""
    planes = [frame.to_ndarray(format="yuv420p").astype(np.float32) for frame in (one, other)]
    mixed = np.round(planes[0] + (planes[1] - planes[0]) * share).astype(np.uint8)
    return av.VideoFrame.from_ndarray(mixed, format="yuv420p")


def _dim(frame: Any, gain: float) -> Any:
    """Return a frame nearer to black. H.273: black is 16 and no colour 128, in the range of TV."""
    if gain >= 1:
        return frame
    planes = frame.to_ndarray(format="yuv420p").astype(np.float32)
    black = np.full((len(planes), 1), 128.0, np.float32)
    black[: frame.height] = 16.0
    dark = np.round(black + (planes - black) * gain).astype(np.uint8)
    return av.VideoFrame.from_ndarray(dark, format="yuv420p")


def _steps(look: Look, *, size: tuple[int, int], fit: str) -> list[Step]:
    """Return the filters that fit a frame into the film."""
    inner = _inner(look.shown, size, fit)
    steps = shown(look, size=inner, film=True)
    if inner[0] > size[0] or inner[1] > size[1]:
        steps += [("crop", f"{size[0]}:{size[1]}")]
    elif inner != size:
        steps += [("pad", f"{size[0]}:{size[1]}:-1:-1")]
    return [*steps, ("setsar", "1")]


def _inner(own: tuple[int, int], size: tuple[int, int], fit: str) -> tuple[int, int]:
    """Return the size that a shot has before bars are added or edges are cut."""
    if fit == "scale" or own == size:
        return size
    if all(0 <= mine - side <= 1 for mine, side in zip(own, size, strict=True)):
        return own  # An odd size loses a line or a column, and no sharpness.
    sides = [side / mine for mine, side in zip(own, size, strict=True)]
    ratio = min(sides) if fit == "letterbox" else max(sides)
    inner = [2 * round(mine * ratio / 2) for mine in own]
    # A difference of two pixels comes from rounding, and would be a thin dark line.
    return tuple(side if abs(one - side) <= 2 else max(2, one) for one, side in zip(inner, size, strict=True))  # type: ignore[return-value]


def _encode_audio(film: Film, out: Any) -> Row:
    """Yield the packets of the audio of all shots."""
    stream = out.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
    yield 0.0, None
    done = 0
    for number, end in enumerate(film.edges[1:]):
        needed = round(end * SAMPLE_RATE) - done
        start, first = film.shots[number].start + film.starts[number], done
        tail = _audio_tail(film, number - 1) if number and film.overlap else None
        for samples in _samples(film.paths[number], start, film.tracks[number], needed):
            times = np.arange(done - first, done - first + samples.samples) / SAMPLE_RATE
            frame = _audio_frame(samples.to_ndarray() * film.gain(number, times)) if film.fade else samples
            if tail is not None and done - first < tail.shape[1]:
                frame = _audio_frame(_mix_audio(tail, frame.to_ndarray(), done - first))
            frame.pts, frame.time_base = done, Fraction(1, SAMPLE_RATE)
            done += frame.samples
            yield from _time_packets(stream.encode(frame))
    yield from _time_packets(stream.encode(None))


def _audio_frame(samples: Any) -> Any:
    """Return a frame of an array of shape (2, samples)."""
    made = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout="stereo")
    made.sample_rate = SAMPLE_RATE
    return made


def _audio_tail(film: Film, number: int) -> Any:
    """Return the audio of a shot that is mixed with the next one, as an array of shape (2, samples)."""
    start = film.shots[number].start + film.end(number) - film.overlap
    count = round(film.overlap * SAMPLE_RATE)
    pieces = _samples(film.paths[number], start, film.tracks[number], count)
    return np.concatenate([piece.to_ndarray() for piece in pieces], axis=1)


def _mix_audio(tail: Any, samples: Any, done: int) -> Any:
    """Return samples of a shot, of which `done` came before, mixed with the tail of the shot before."""
    length = tail.shape[1]
    share = np.minimum((done + np.arange(samples.shape[1])) / length, 1.0)
    before = np.zeros_like(samples)
    part = tail[:, done : done + samples.shape[1]]
    before[:, : part.shape[1]] = part
    return before * (1 - share) + samples * share


def _time_packets(packets: Sequence[Any]) -> Row:
    for packet in packets:
        yield float(packet.dts * packet.time_base), packet


def _samples(path: Path, start: Fraction, track: Track | None, count: int) -> Iterator[Any]:
    """Yield exactly `count` samples of audio from a time on, with silence where there is none."""
    graph: Any = None
    with open_video(path) as (container, _):
        if track is not None:
            for frame in _decoded_audio(path, container, track):
                if graph is None:
                    graph = _audio_graph(frame, count)
                # The time of the first sample counts; FFmpeg's filters fill gaps and cut what is too early.
                frame.pts = round((frame.pts * frame.time_base - start) * frame.sample_rate)
                frame.time_base = Fraction(1, frame.sample_rate)
                graph[0].push(frame)
                yield from _pull(graph[1])
    if graph is not None:
        graph[0].push(None)
        yield from _pull(graph[1])
    else:
        for done in range(0, count, SAMPLE_RATE):
            yield _audio_frame(np.zeros((2, min(SAMPLE_RATE, count - done))))


def _decoded_audio(path: Path, container: Any, track: Track) -> Iterator[Any]:
    try:
        yield from container.decode(container.streams[track.index])
    except av.FFmpegError as error:
        raise MediaError(f"The audio of {path.name} does not decode: {error.strerror}.") from error


def _audio_graph(frame: Any, count: int) -> tuple[Any, Any, Any]:
    """Return the source and the sink of filters for frames like this one, and their graph."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=Fraction(1, frame.sample_rate),
    )
    row = [
        graph.add("atrim", "start=0"),
        graph.add("aresample", f"{SAMPLE_RATE}:async=1:min_hard_comp=0.005:first_pts=0"),
        graph.add("aformat", "sample_fmts=fltp:channel_layouts=stereo"),
        graph.add("apad", f"whole_len={count}"),
        graph.add("atrim", f"end_sample={count}"),
    ]
    sink = graph.add("abuffersink")
    graph.link_nodes(source, *row, sink).configure()
    return source, sink, graph


def _pull(sink: Any) -> Iterator[Any]:
    try:
        while True:
            yield sink.pull()
    except (av.error.BlockingIOError, av.error.EOFError):
        return
