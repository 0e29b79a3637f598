"""A small real MP4, made once per kind."""

import io
from fractions import Fraction
from functools import cache

import av


@cache
def sample_mp4(width: int = 64, height: int = 36, fps: int = 24, seconds: float = 1.0) -> bytes:
    """H.264 in MP4: a bright bar that walks over a dark ramp, so that no two frames are alike.

    Args:
        width: pixels, even.
        height: pixels, even.
        fps: frames a second.
        seconds: length; rounded to whole frames.
    """
    buffer = io.BytesIO()
    # one thread and a fixed quality: the same bytes every time
    options = {"crf": "30", "preset": "ultrafast", "threads": "1"}
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, fps)
        for number in range(max(1, round(fps * seconds))):
            container.mux(stream.encode(_frame(width, height, number)))
        container.mux(stream.encode())
    return buffer.getvalue()


def _frame(width: int, height: int, number: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    bar = number * 2 % width // 4
    row = bytes(220 if x // 4 == bar else 40 + x * 80 // width for x in range(width))
    luma, *chroma = frame.planes
    luma.update(row.ljust(luma.line_size, b"\0") * height)
    for plane, level in zip(chroma, (110, 150), strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    frame.pts = number
    return frame
