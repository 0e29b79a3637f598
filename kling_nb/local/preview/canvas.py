"""One frame in planar YUV 4:2:0, the form that the encoder takes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


class Canvas:
    """Three planes that share one buffer: luma in full, chroma in half resolution.

    Everything is blended in YUV, where a blend gives the same colour as in RGB and
    needs half the work.

    Attributes:
        width: Even number of pixels.
        height: Even number of pixels.
        y: Luma, shape (height, width).
        u: Blue difference, shape (height / 2, width / 2).
        v: Red difference, same shape.
        packed: The whole buffer in the shape that PyAV takes, (height * 3 / 2, width).
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        area = width * height
        flat: Bytes = np.zeros(area * 3 // 2, np.uint8)
        self.y: Bytes = flat[:area].reshape(height, width)
        self.u: Bytes = flat[area : area * 5 // 4].reshape(height // 2, width // 2)
        self.v: Bytes = flat[area * 5 // 4 :].reshape(height // 2, width // 2)
        self.packed: Bytes = flat.reshape(height * 3 // 2, width)

    def dissolve(self, other: Canvas, share: float) -> None:
        """Blend towards `other`: 0 leaves this frame as it is, 1 makes it the other."""
        weight = np.int16(round(share * 128))
        mine = self.packed.astype(np.int16)
        step = (other.packed.astype(np.int16) - mine) * weight
        np.copyto(self.packed, mine + (step >> 7), casting="unsafe")
