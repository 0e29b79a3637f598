"""Frames into an MP4: H.264, ready to play while it loads, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import av
from av.video.frame import VideoFrame

from kling_nb.local.preview.canvas import Canvas
from kling_nb.local.preview.clip import FPS

_OPTIONS = {
    "preset": "superfast",
    "crf": "29",
    "bf": "3",
    "g": "48",
    "x264-params": ":".join(
        (
            # Dark gradients get more bits, so that they do not band.
            "aq-mode=3:aq-strength=0.9:deblock=1,1",
            "ref=1:subme=1:rc-lookahead=10",
            # Macroblock trees give other bytes now and then (4 of 120 runs, also with one thread).
            # Better first frames of each group make up for them.
            "mbtree=0:ipratio=2.0",
        )
    ),
}
_SMALL = {"crf": "36", "preset": "slow", "g": "120"}
"""For frames drawn small so that the file is: there every byte counts."""
_SMALL_AREA = 150_000
_THREADS = 2
"""Fixed, because x264's output depends on their number and must not depend on the machine."""


def write_film(
    path: Path, frames: Iterable[Canvas], size: tuple[int, int], comment: str, step: Callable[[int], None]
) -> None:
    """Encode `frames` to `path`.

    Args:
        path: File to write.
        frames: All of `size`; each is read before the next is asked for.
        size: Width and height in pixels.
        comment: Goes into the file's metadata.
        step: Called with the number of frames taken so far.
    """
    with av.open(
        str(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}
    ) as container:
        container.metadata["comment"] = comment
        small = _SMALL if size[0] * size[1] < _SMALL_AREA else {}
        stream = container.add_stream("libx264", rate=FPS, options={**_OPTIONS, **small})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = _THREADS
        context.thread_type = "FRAME"  # not slices: frames are then drawn while others are encoded
        context.color_range = 1
        context.colorspace = context.color_primaries = context.color_trc = 1
        for number, canvas in enumerate(frames):
            frame = VideoFrame.from_ndarray(canvas.packed, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
            step(number + 1)
        container.mux(stream.encode(None))
