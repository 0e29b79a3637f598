"""The files of a preview: frames as an H.264 MP4 that plays while it loads, and a melody as a WAV.

`Clip` has the measures of a preview.
"""

from __future__ import annotations

import io
import os
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from kling_nb.local.preview.scenery import seed_of

FPS = 24
SCALE = "KLING_NB_LOCAL_SCALE"
"""Environment variable for the size, from 0.2 to 1: 1 draws 960 × 540, 0.5 half of that."""

_AREA = 518_400  # Pixels at a scale of 1, for every shape.
_SHORTEST = 500.0
_DEFAULT_SCALE = 0.6  # 576 × 324 pixels. More pixels take more time, and 5 s must be drawn in half a second.

# This is "ultrafast" with some cheap tools switched on again. At the same size it looks like "superfast" and
# needs 25 % less CPU. Dark gradients get more bits (aq-mode), so that they show no bands. Macroblock trees
# (mbtree) are off, because they gave different bytes in 4 of 120 runs; ipratio gives better first frames.
_X264 = """aq-mode=3:aq-strength=0.9:mbtree=0:ipratio=2.0:cabac=1:no-deblock=0:deblock=1,1:8x8dct=1:\
partitions=i8x8:bframes=3:b-adapt=0"""
_OPTIONS = {"preset": "ultrafast", "crf": "28", "g": "48", "x264-params": _X264}


@dataclass(frozen=True, slots=True)
class Clip:
    """The contents and measures of a video.

    Attributes:
        prompt: Text of the title.
        name: The endpoint in words.
        size: Width and height in pixels, both even.
        seconds: Length.
        salt: Anything else in the input that should change the frames.
    """

    prompt: str
    name: str
    size: tuple[int, int]
    seconds: float
    salt: str = ""

    @property
    def frames(self) -> int:
        """Number of frames, at least one."""
        return max(round(self.seconds * FPS), 1)


def frame_size(ratio: float) -> tuple[int, int]:
    """Return width and height in pixels, multiples of 4, for a ratio of width to height."""
    try:
        scale = float(os.environ.get(SCALE) or _DEFAULT_SCALE)
    except ValueError:
        scale = _DEFAULT_SCALE
    scale = scale if 0.2 <= scale <= 1 else _DEFAULT_SCALE
    ratio = min(max(ratio, 0.42), 2.4)
    # The shorter side has 300 pixels at the default scale, as endpoints demand of an image to start from.
    width = max((_AREA * ratio) ** 0.5, _SHORTEST * max(ratio, 1)) * scale
    return max(round(width / 4) * 4, 4), max(round(width / ratio / 4) * 4, 4)


def write_clip(
    path: Path,
    frames: Iterable[npt.NDArray[np.uint8]],
    size: tuple[int, int],
    comment: str,
    audio: bytes | None = None,
) -> None:
    """Encode frames in planar YUV 4:2:0, shape (height * 3 / 2, width), each before the next one is drawn.

    The same frames give the same bytes. `comment` goes into the file's metadata. `audio` is a WAV of
    `make_melody`, which becomes the audio of the clip.
    """
    with av.open(
        str(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}
    ) as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=FPS, options=_OPTIONS)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 2  # The bytes depend on it, and they must be equal on all machines.
        context.thread_type = "FRAME"  # With slices, no frame could be drawn while another one is encoded.
        context.color_range = 1
        context.colorspace = context.color_primaries = context.color_trc = 1
        if audio is not None:
            _add_audio(container, audio)
        for number, packed in enumerate(frames):
            frame = VideoFrame.from_ndarray(packed, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _add_audio(container: Any, audio: bytes) -> None:
    """Encode a WAV of `make_melody` as an audio stream. The container keeps the packets until their time."""
    stream = container.add_stream("aac", rate=_RATE, layout="mono", options={"b": "48k"})
    with wave.open(io.BytesIO(audio)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32_768
    for start in range(0, len(samples), _AUDIO_FRAME):
        frame = av.AudioFrame.from_ndarray(
            samples[None, start : start + _AUDIO_FRAME], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = _RATE, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


_AUDIO_FRAME = 1024
"""Samples in a frame of AAC."""
_RATE = 24_000
_SCALE = (0, 2, 4, 7, 9, 12, 14, 16)
_BASE = 261.63
_PARTIALS = ((1.0, 0.6, 3.2), (2.0, 0.22, 5.0), (3.01, 0.09, 8.0), (4.2, 0.04, 12.0))


def make_melody(text: str, seconds: float | None = None, pace: float = 1.0) -> tuple[bytes, float]:
    """Return a WAV file in place of speech, a bell for each word, and its length in seconds.

    The same text gives the same melody. `seconds` is its length, by default that of the text.
    """
    words = text.split() or ["hm"]
    beats = np.cumsum([0.0, *(0.16 + 0.035 * min(len(word), 9) for word in words)]) / max(pace, 0.1)
    length = seconds or float(beats[-1]) + 1.2
    beats = beats * min((length - 0.8) / max(beats[-1], 0.1), 1.0) if seconds else beats
    random, step = np.random.default_rng(seed_of(text)), 2
    total, t = np.zeros(int(length * _RATE)), np.arange(int(1.1 * _RATE)) / _RATE
    for number, beat in enumerate(beats):
        step = int(np.clip(step + random.integers(-2, 3), 0, len(_SCALE) - 1)) if number < len(words) else 0
        pitch, start = 2 * np.pi * _BASE * 2 ** (_SCALE[step] / 12), int(beat * _RATE)
        tone = sum(level * np.exp(-t * fall) * np.sin(pitch * part * t) for part, level, fall in _PARTIALS)
        bell = (0.3 * np.clip(t / 0.012, 0, 1) * tone)[: max(len(total) - start, 0)]
        total[start : start + len(bell)] += bell
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes((np.tanh(total) * 28_000).astype("<i2").tobytes())
    return out.getvalue(), length
