"""Footage of known truth for tests, made in the run: what phones, old cameras, cutters and recorders write.

Each frame shows four patches of `COLOURS`, its number as eight black or white blocks, and a white bar at a
flash. Each flash has a beep at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import Any

import av
import numpy as np
from clips import need

COLOURS = ((200, 30, 30), (30, 180, 60), (40, 60, 200), (128, 128, 128))
SIZE = (192, 96)
RATE = 48_000
BEEP = 0.06
"""Seconds of a beep, and about that of a flash."""

KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def drawn(number: int, size: tuple[int, int], *, flash: bool = False) -> np.ndarray:
    """A frame as RGB: blocks of its number above, patches in the middle, the flash below."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    third = height // 3
    for bit in range(8):
        image[:third, bit * width // 8 : (bit + 1) * width // 8] = 255 * (number >> bit & 1)
    for patch, colour in enumerate(COLOURS):
        image[third : 2 * third, patch * width // 4 : (patch + 1) * width // 4] = colour
    image[2 * third :] = 255 * flash
    return image


def number_of(image: np.ndarray) -> int:
    """Return the number that a frame shows."""
    height, width = image.shape[:2]
    blocks = [image[height // 6, (2 * bit + 1) * width // 16].mean() > 128 for bit in range(8)]
    return sum(int(on) << bit for bit, on in enumerate(blocks))


def colours_of(image: np.ndarray) -> np.ndarray:
    """Return the mean colours of the middles of the four patches."""
    height, width = image.shape[:2]
    rows = slice(height // 2 - height // 24, height // 2 + height // 24)
    middles = [(2 * patch + 1) * width // 8 for patch in range(4)]
    return np.stack([image[rows, x - width // 24 : x + width // 24].mean((0, 1)) for x in middles])


def flashes(image: np.ndarray) -> bool:
    return bool(image[image.shape[0] * 5 // 6].mean() > 128)


def to_yuv(rgb: np.ndarray, matrix: int, *, full: bool, bits: int = 8) -> list[np.ndarray]:
    """Return planes of 4:2:0 by the equations of H.273. `rgb` is from 0 to 1."""
    red, green, blue = np.moveaxis(np.asarray(rgb, float), -1, 0)
    kr, kb = KR_KB[matrix]
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr))
    unit = 2 ** (bits - 8)
    scale = (255, 255, 0) if full else (219, 224, 16)
    luma = np.round((scale[0] * y + scale[2]) * unit)
    chroma = [np.round((scale[1] * part[::2, ::2] + 128) * unit) for part in (u, v)]
    kind = np.uint8 if bits == 8 else np.uint16
    return [np.clip(plane, 0, 2**bits - 1).astype(kind) for plane in (luma, *chroma)]


def yuv_frame(planes: Sequence[np.ndarray], pix_fmt: str) -> Any:
    """Return the planes as a frame."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for target, plane in zip(frame.planes, planes, strict=True):
        row = target.line_size // plane.itemsize
        padded = np.zeros((plane.shape[0], row), plane.dtype)
        padded[:, : plane.shape[1]] = plane
        target.update(padded.tobytes().ljust(target.buffer_size, b"\0"))
    return frame


@dataclass(frozen=True)
class Audio:
    """A track with a beep at each of the times (seconds from the first frame)."""

    start: float = 0.0
    seconds: float = 2.0
    layout: str = "stereo"
    codec: str = "aac"
    language: str = ""


@dataclass(frozen=True)
class Take:
    """What a file is made of. Times are in frames of `fps` unless `times` has seconds.

    Attributes:
        tags: Matrix, range (1 TV, 2 full), primaries, transfer, of H.273; 2 or 0 is no tag.
        matrix: The matrix that the frames really have.
        full: The range that they really have.
        encode: From RGB of 0 to 1 to the values in the file, for HDR.
        hidden: Frames before the first shown one, which an edit list hides.
        first: The number that the first shown frame has.
    """

    size: tuple[int, int] = SIZE
    fps: Fraction | int = 24
    frames: int = 48
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    container: str = "mp4"
    tags: tuple[int, int, int, int] = (6, 1, 6, 6)
    matrix: int = 6
    full: bool = False
    bits: int = 8
    encode: Callable[[np.ndarray], np.ndarray] | None = None
    rotation: int = 0
    flip: bool = False
    pixel: Fraction | None = None
    times: tuple[float, ...] = ()
    delay: float = 0.0
    hidden: int = 0
    first: int = 0
    gop: int = 12
    flashes: tuple[int, ...] = ()
    audio: tuple[Audio, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    muxing: tuple[tuple[str, str], ...] = ()
    quality: str = "8"

    def write(self, path: Path) -> Path:
        """Write the file."""
        with av.open(str(path), "w", format=self.container, options=dict(self.muxing)) as out:
            rows = [self._video(out), *(self._audio(out, audio) for audio in self.audio)]
            for row in rows:
                next(row)
            for packet in merge(*rows, key=lambda packet: packet.dts * packet.time_base):
                out.mux(packet)
        return path

    def _video(self, out: Any) -> Any:
        base = Fraction(1, 12_000) if self.times or self.delay else None
        options = {"crf": self.quality, "preset": "ultrafast", "bf": "2"} if self.codec == "libx264" else {}
        stream = out.add_stream(self.codec, rate=self.fps, options=options | dict(self.options))
        stream.width, stream.height, stream.pix_fmt = *self.size, self.pix_fmt
        context = stream.codec_context
        context.gop_size = self.gop
        if self.pixel:
            context.sample_aspect_ratio = self.pixel
        if base:
            context.time_base = base
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = self.tags
        if self.rotation or self.flip:
            need(stream, "set_display_rotation")
            stream.set_display_rotation(self.rotation, hflip=self.flip)
        yield None
        for index in range(-self.hidden, self.frames):
            number = index + self.first + self.hidden
            frame = self._frame(number, flash=index in self.flashes)
            if base:
                seconds = self.times[index] if self.times else index / Fraction(self.fps)
                frame.pts, frame.time_base = round((seconds + self.delay) / base), base
            else:
                frame.pts, frame.time_base = index + self.hidden, 1 / Fraction(self.fps)
            yield from map(self._shift, stream.encode(frame))
        yield from map(self._shift, stream.encode(None))

    def _shift(self, packet: Any) -> Any:
        if self.hidden:
            shift = round(self.hidden / Fraction(self.fps) / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        return packet

    def _frame(self, number: int, *, flash: bool) -> Any:
        rgb = drawn(number, self.size, flash=flash)
        if not self.pix_fmt.startswith("yuv4"):
            if self.pix_fmt == "rgba":
                alpha = np.full((*rgb.shape[:2], 1), 255, np.uint8)
                alpha[:, : self.size[0] // 4] = 0  # The first patch is transparent.
                return av.VideoFrame.from_ndarray(np.concatenate([rgb, alpha], 2), format="rgba")
            return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=self.pix_fmt)
        part = rgb / 255 if self.encode is None else self.encode(rgb / 255)
        return yuv_frame(to_yuv(part, self.matrix, full=self.full, bits=self.bits), self.pix_fmt)

    def _audio(self, out: Any, audio: Audio) -> Any:
        stream = out.add_stream(audio.codec, rate=RATE, layout=audio.layout)
        if audio.language:
            stream.metadata["language"] = audio.language
        channels = stream.layout.nb_channels
        yield None
        wave = np.zeros(round(audio.seconds * RATE), np.float32)
        for flash in self.flashes:
            start = round((flash / Fraction(self.fps) - Fraction(audio.start)) * RATE)
            length = round(BEEP * RATE)
            beep = np.sin(2 * np.pi * 1000 * np.arange(length) / RATE) / 2
            cut = max(0, -start)
            wave[start + cut : start + length] += beep[cut : max(cut, min(length, len(wave) - start))]
        offset = round((audio.start + self.delay) * RATE)
        for at in range(0, len(wave), 1024):
            piece = np.stack([wave[at : at + 1024]] * channels)
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=audio.layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, offset + at, Fraction(1, RATE)
            yield from stream.encode(frame)
        yield from stream.encode(None)


def audio_with_cover(path: Path) -> Path:
    """A song as players keep it: its cover is a video stream of one JPEG."""
    with av.open(str(path), "w", format="mp4") as out:
        tone = out.add_stream("aac", rate=RATE, layout="stereo")
        cover = out.add_stream("mjpeg", rate=1, width=64, height=64, pix_fmt="yuvj420p")
        cover.disposition = av.stream.Disposition.attached_pic.value
        for packet in (*cover.encode(av.VideoFrame(64, 64, "yuvj420p")), *cover.encode(None)):
            out.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, RATE), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = RATE
        for packet in (*tone.encode(frame), *tone.encode(None)):
            out.mux(packet)
    return path


def truncated(path: Path, part: float) -> Path:
    """Cut the end of a file off."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


def beeps(path: Path) -> list[float]:
    """Return the times at which the first audio track gets loud, in seconds of the container."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        loud: list[float] = []
        for frame in container.decode(audio=0):
            samples = (
                np.abs(frame.to_ndarray()).max(0) if frame.format.is_planar else np.abs(frame.to_ndarray())
            )
            loud += [frame.time + int(at) / rate for at in np.flatnonzero(samples.ravel() > 0.2)]
    return [at for before, at in zip([-1.0, *loud], loud, strict=False) if at - before > BEEP]
