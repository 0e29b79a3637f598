"""Make the files of an order. This runs in a worker thread."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.video.frame import VideoFrame
from PIL import Image, ImageDraw, ImageOps

from kling_nb.local.order import LONGEST, Order, Pace, decode_error
from kling_nb.local.preview.clip import FPS, Clip, frame_size, make_melody, write_clip
from kling_nb.local.preview.input_image import CameraMove, open_image
from kling_nb.local.preview.scene import Scene
from kling_nb.local.preview.scenery import choose_scenery
from kling_nb.local.preview.title_card import TitleCard, clear_card
from kling_nb.request.limits import PREVIEW

_STEPS = 40  # The log counts the frames in this many steps, like those of a diffusion sampler.


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of a result. `size` is width and height of an image or video in pixels."""

    data: bytes
    name: str
    content_type: str
    size: tuple[int, int] | None = None


def render(order: Order, log: Callable[[str], None], pace: Pace) -> tuple[dict[str, OutputFile], float]:
    """Return the files of an order by the name of their property, and the seconds of video.

    The same order gives the same bytes. `log` adds a line to the runner's log; `pace` has the speed, and the
    signal to stop.

    Raises:
        InvalidInput: A file of the input cannot be decoded.
        OrderCancelled: `pace.stop` was set.
    """
    seconds = _length(order)
    files: dict[str, OutputFile] = {}
    for output in order.outputs:
        if output == "audio":
            audio, length = make_melody(order.prompt, seconds, order.pace)
            seconds = seconds or length
            files[output] = OutputFile(audio, "output.wav", "audio/wav")
        elif output in {"image", "images"}:
            files[output] = _image(order)
        else:
            seconds = seconds or 5.0
            files[output] = _video(order, seconds, log, pace)
        log(f"Wrote {files[output].name}, {len(files[output].data) / 1000:,.0f} kB")
        pace.wait(0)
    return files, seconds or 0.0


def draw_frames(
    clip: Clip, image: Image.Image | None = None, ending: Image.Image | None = None
) -> Iterator[npt.NDArray[np.uint8]]:
    """Draw the frames of a clip: a scenery or a camera move over `image`, with the title card over it."""
    image, ending = (one and clear_card(one) for one in (image, ending))
    scenery = choose_scenery(clip.prompt, clip.salt)
    dark = scenery.dark if image is None else np.zeros(3)
    card = TitleCard(clip, scenery.lights[0], dark, over_image=image is not None)
    move = CameraMove(clip.prompt, clip.size, image, ending) if image else None
    scene = move or Scene(scenery, clip.size, clip.seconds)
    for number in range(clip.frames):
        yield card.draw(scene.frame(number / clip.frames), number)


def _video(order: Order, seconds: float, log: Callable[[str], None], pace: Pace) -> OutputFile:
    image, ending = (open_image(file) if file else None for file in (order.main, order.ending))
    ratio = order.ratio or (image.width / image.height if image else 16 / 9)
    clip = Clip(order.prompt, order.name, frame_size(ratio), seconds, order.salt)
    width, height = clip.size
    if image:
        log(f"First frame: {image.width}x{image.height}, kept in shape as {width}x{height}")
    else:
        scenery = choose_scenery(clip.prompt, clip.salt)
        log(f"Prompt: {len(clip.prompt.split())} words, scenery {scenery.name}, seed {scenery.seed % 2**32}")
    log(f"Encoding {clip.frames} frames {width}x{height} at {FPS} fps, h264")

    def paced_frames() -> Iterator[npt.NDArray[np.uint8]]:
        start, share, logged = time.monotonic(), pace.seconds * clip.seconds / 5 / clip.frames, 0
        for number, frame in enumerate(draw_frames(clip, image, ending)):
            pace.wait(start + number * share - time.monotonic())
            yield frame
            step = (number + 1) * _STEPS // clip.frames
            if step >= logged + _STEPS // 10:
                logged = step
                log(f"Sampling {step}/{_STEPS}  {100 * (number + 1) // clip.frames}%")

    with tempfile.TemporaryDirectory(prefix="kling-nb-render-") as folder:
        path = Path(folder) / "output.mp4"
        melody = make_melody(order.prompt, seconds)[0] if order.heard else None
        write_clip(path, paced_frames(), clip.size, f"{PREVIEW} of kling_nb, not made by a model", melody)
        return OutputFile(path.read_bytes(), "output.mp4", "video/mp4", clip.size)


def _image(order: Order) -> OutputFile:
    """Make a PNG: the order's image or a scenery, with the second image in a corner."""
    base, inset = (open_image(file) if file else None for file in (order.main, order.inset))
    size = frame_size(base.width / base.height if base else order.ratio or 1.0)
    packed = next(draw_frames(Clip(order.prompt, order.name, size, 1 / FPS, order.salt), base))
    frame = VideoFrame.from_ndarray(packed, format="yuv420p")
    frame.colorspace = frame.color_range = 1  # BT.709, limited
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
    if inset:
        side, margin = round(min(size) * 0.3), round(min(size) * 0.055)
        rounded = Image.new("L", (side, side), 0)
        ImageDraw.Draw(rounded).rounded_rectangle((0, 0, side - 1, side - 1), side // 9, fill=255)
        image.paste(ImageOps.fit(inset, (side, side)), (size[0] - side - margin, margin), rounded)
    out = io.BytesIO()
    image.save(out, "PNG")
    return OutputFile(out.getvalue(), "output.png", "image/png", size)


def _length(order: Order) -> float | None:
    """Return the requested seconds, else those of the speech, else those of the source video."""
    for file in (order.audio, order.main):
        if not order.seconds and file is not None and file.kind in {"audio", "video"}:
            try:
                with av.open(io.BytesIO(file.data), "r") as container:
                    return min(max((container.duration or 0) / av.time_base, 1.0), LONGEST)
            except (FFmpegError, OSError, ValueError) as fault:
                raise decode_error(file.path, file.kind, str(fault)[:200]) from fault
    return order.seconds or None
