"""Sound in place of a voice: one soft bell a word, in a scale that always agrees with itself."""

from __future__ import annotations

import io
import wave

import numpy as np

from kling_nb.local.preview.colour import Floats
from kling_nb.local.preview.mood import seed_of

RATE = 24_000
"""Samples per second; one channel of 16 bit."""

_SCALE = (0, 2, 4, 7, 9, 12, 14, 16)
_BASE = 261.63


def ring(text: str, seconds: float | None = None, pace: float = 1.0) -> tuple[bytes, float]:
    """A WAV file for a text, and its length in seconds.

    Args:
        text: Each word gives a note; the same text gives the same tune.
        seconds: Length; follows from the text when None.
        pace: Speed, 1 is plain.
    """
    words = text.split() or ["hm"]
    beats = np.cumsum([0.0, *(0.16 + 0.035 * min(len(word), 9) for word in words)]) / max(pace, 0.1)
    length = seconds or float(beats[-1]) + 1.2
    beats = beats * min((length - 0.8) / max(beats[-1], 0.1), 1.0) if seconds else beats
    random = np.random.default_rng(seed_of(text))
    total: Floats = np.zeros(int(length * RATE), np.float32)
    step = 2
    for start in beats[:-1]:
        step = int(np.clip(step + random.integers(-2, 3), 0, len(_SCALE) - 1))
        _add(total, int(start * RATE), _bell(_BASE * 2 ** (_SCALE[step] / 12)))
    _add(total, int(beats[-1] * RATE), _bell(_BASE) * 0.7)
    return _wav(_room(total)), length


def _bell(pitch: float) -> Floats:
    t = np.arange(int(1.1 * RATE), dtype=np.float32) / RATE
    attack = np.clip(t / 0.012, 0, 1)
    partials = ((1.0, 0.6, 3.2), (2.0, 0.22, 5.0), (3.01, 0.09, 8.0), (4.2, 0.04, 12.0))
    tone = sum(
        level * np.exp(-t * fall) * np.sin(2 * np.pi * pitch * ratio * t) for ratio, level, fall in partials
    )
    sound: Floats = (attack * tone * 0.3).astype(np.float32)
    return sound


def _room(dry: Floats) -> Floats:
    """Three faint echoes."""
    wet = dry.copy()
    for delay, level in ((0.071, 0.25), (0.113, 0.18), (0.197, 0.12)):
        shift = int(delay * RATE)
        wet[shift:] += dry[:-shift] * np.float32(level)
    return wet


def _add(total: Floats, start: int, part: Floats) -> None:
    part = part[: max(len(total) - start, 0)]
    total[start : start + len(part)] += part


def _wav(sound: Floats) -> bytes:
    samples = (np.tanh(sound) * 28_000).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return out.getvalue()
