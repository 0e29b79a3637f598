"""Colours of the canvas: BT.709 luma and chroma in the limited ("video") range."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

# Rows: Y, Cb, Cr of an RGB value in 0…1, before the offsets below (ITU-R BT.709, 8 bit).
_MATRIX = np.array(
    [
        [0.2126 * 219, 0.7152 * 219, 0.0722 * 219],
        [-0.2126 / 1.8556 * 224, -0.7152 / 1.8556 * 224, 0.9278 / 1.8556 * 224],
        [0.7874 / 1.5748 * 224, -0.7152 / 1.5748 * 224, -0.0722 / 1.5748 * 224],
    ],
    dtype=np.float32,
)
_OFFSET = np.array([16, 128, 128], dtype=np.float32)


def rgb(hexadecimal: str) -> Floats:
    """`"#ff8800"` as an array of three values in 0…1."""
    digits = hexadecimal.removeprefix("#")
    return np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)], dtype=np.float32)


def yuv(colours: Floats) -> Floats:
    """RGB in 0…1, shape (…, 3), as Y, Cb, Cr in 0…255, same shape."""
    return colours @ _MATRIX.T + _OFFSET


def mix(one: Floats, other: Floats, share: float) -> Floats:
    """`one` at 0, `other` at 1, a straight blend between."""
    return one + (other - one) * np.float32(share)
