"""Animated GIFs with one palette made for the whole clip.

The palette comes from a sheet of sixteen moments, so that colours do not flicker from
frame to frame. (FFmpeg's `palettegen` was tried: no better to look at, and 13 s for a
5 s clip of many colours where this takes 0.4 s.)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from kling_nb.errors import MediaError
from kling_nb.video.container import opened
from kling_nb.video.frames import NEARLY, RGB, shown_from

if TYPE_CHECKING:
    from PIL.Image import Image

    from kling_nb.video._video import Video

LONGEST = 300.0
"""Seconds. Kling's clips have 15; a header may claim years, each frame of which would be drawn."""

_SHEET = 4
_THUMB = 160


def write_gif(video: Video, target: Path, width: int, fps: float) -> None:
    """Write `video` to `target`, which is overwritten.

    Args:
        video: The clip.
        target: The new file; its name does not need to end in .gif.
        width: Pixels.
        fps: Frames a second.

    Raises:
        MediaError: The clip does not decode, or is longer than `LONGEST`.
        OSError: The file cannot be written.
    """
    from PIL.Image import Dither  # noqa: PLC0415 - heavy

    if video.duration > LONGEST:
        raise MediaError(
            f"{video.path.name} claims {video.duration:,.0f} s; a GIF has {LONGEST:.0f} at most."
        )
    palette = _palette(video)
    drawn = (
        picture.quantize(palette=palette, dither=Dither.FLOYDSTEINBERG)
        for picture in _sampled(video, fps, width)
    )
    first = next(drawn, None)
    if first is None:
        raise MediaError(f"{video.path.name} holds no picture that decodes.")
    first.save(
        target,
        "GIF",
        save_all=True,
        append_images=drawn,
        loop=0,
        duration=_durations(video.duration, fps),
        optimize=False,
    )


def _durations(duration: float, fps: float) -> list[int]:
    """Milliseconds of each frame. GIF counts in 10 ms, so the remainder is carried along."""
    frames = int(duration * fps) + 2
    marks = [round(index * 100 / fps) * 10 for index in range(frames + 1)]
    return [after - before for before, after in pairwise(marks)]


def _palette(video: Video) -> Image:
    """An image whose palette suits the whole clip."""
    from PIL import Image  # noqa: PLC0415 - heavy

    moments = _SHEET * _SHEET
    pictures = list(_sampled(video, moments / video.duration, min(_THUMB, video.width)))[:moments]
    width, height = pictures[0].size if pictures else (1, 1)
    # Where a clip has fewer frames than the sheet has places, they are repeated.
    sheet = Image.new("RGB", (width * _SHEET, height * _SHEET))
    for place in range(moments if pictures else 0):
        sheet.paste(pictures[place % len(pictures)], (place % _SHEET * width, place // _SHEET * height))
    return sheet.quantize(256, method=Image.Quantize.MEDIANCUT)


def _sampled(video: Video, fps: float, width: int) -> Iterator[Image]:
    """The pictures shown at 0, 1/fps, 2/fps …, `width` pixels wide."""
    from PIL.Image import Resampling, fromarray  # noqa: PLC0415 - heavy

    size = width, max(1, round(video.height * width / video.width))
    to_rgb = RGB()
    index, shown = 0, None
    with opened(video.path) as (container, stream):
        for time, frame in shown_from(container, stream, 0):
            while shown is not None and index / fps < time - NEARLY:
                yield fromarray(to_rgb(shown)).resize(size, Resampling.LANCZOS, reducing_gap=3)
                index += 1
            shown = frame
        while shown is not None and index / fps < video.duration - NEARLY:
            yield fromarray(to_rgb(shown)).resize(size, Resampling.LANCZOS, reducing_gap=3)
            index += 1
