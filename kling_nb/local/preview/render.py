"""An order carried out: the files of a result, made in a thread of their own."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError
from PIL.Image import Image

from kling_nb.local.input_media import InputFile, unreadable
from kling_nb.local.order import LONGEST, Order
from kling_nb.local.pace import Pace
from kling_nb.local.preview.camera import Shot
from kling_nb.local.preview.canvas import Canvas
from kling_nb.local.preview.clip import FPS, Clip
from kling_nb.local.preview.film import write_film
from kling_nb.local.preview.marks import LABEL
from kling_nb.local.preview.picture import UnreadablePicture, frame_size, open_picture
from kling_nb.local.preview.scene import Scene
from kling_nb.local.preview.sound import ring
from kling_nb.local.preview.still import compose_still, still_from

_STEPS = 40
"""Steps of a diffusion sampler: the log counts the frames in these."""

_DEFAULT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Made:
    """One file of a result. `size` is that of a picture, in pixels."""

    data: bytes
    name: str
    content_type: str
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """The files by the name of their property, and the length of the video or sound in seconds."""

    files: dict[str, Made]
    seconds: float


Log = Callable[[str], None]


def render(order: Order, log: Log, pace: Pace) -> Product:
    """Make everything that `order` wants. Blocks; same order, same bytes.

    Args:
        order: What to make.
        log: Takes the lines of the runner's log.
        pace: How fast, and whether to stop.

    Raises:
        Refused: A file of the input cannot be decoded.
        Cancelled: `pace.stop` was set.
    """
    seconds = _length(order)
    files: dict[str, Made] = {}
    for output in order.outputs:
        if output == "audio":
            sound, length = ring(order.prompt, seconds, order.pace)
            seconds = seconds or length
            files[output] = Made(sound, "output.wav", "audio/wav")
        elif output == "image":
            files[output] = _still(order)
        else:
            seconds = seconds or _DEFAULT_SECONDS
            files[output] = _video(order, seconds, log, pace)
        log(f"Wrote {files[output].name}, {len(files[output].data) / 1000:,.0f} kB")
        pace.wait(0)
    return Product(files, seconds or 0.0)


def _video(order: Order, seconds: float, log: Log, pace: Pace) -> Made:
    picture = _open(order.main)
    ratio = order.ratio or (picture.width / picture.height if picture else 16 / 9)
    clip = Clip(order.prompt, order.name, frame_size(ratio), seconds, order.salt)
    width, height = clip.size
    scene: Scene | Shot
    if picture is None:
        scene = Scene(clip)
        log(f"Prompt: {len(order.prompt.split())} words, mood {scene.mood.name}, seed {scene.seed % 2**32}")
    else:
        scene = Shot(clip, picture, _open(order.ending))
        log(f"First frame: {picture.width}x{picture.height}, kept in shape as {width}x{height}")
    log(f"Encoding {clip.frames} frames {width}x{height} at {FPS} fps, h264")
    with tempfile.TemporaryDirectory(prefix="kling-nb-render-") as folder:
        path = Path(folder) / "output.mp4"
        comment = f"{LABEL} of kling_nb, not made by a model"
        write_film(path, _paced(scene, clip, pace), clip.size, comment, _Steps(clip.frames, log))
        return Made(path.read_bytes(), "output.mp4", "video/mp4", clip.size)


def _paced(scene: Scene | Shot, clip: Clip, pace: Pace) -> Iterator[Canvas]:
    start, share = time.monotonic(), pace.seconds * clip.seconds / 5 / clip.frames
    for number in range(clip.frames):
        pace.wait(start + number * share - time.monotonic())
        yield scene.frame(number)


class _Steps:
    """Tells the log how far the frames are, about ten times in all."""

    def __init__(self, total: int, log: Log) -> None:
        self._total, self._log, self._told = total, log, 0

    def __call__(self, frames: int) -> None:
        step = frames * _STEPS // self._total
        if step >= self._told + _STEPS // 10:
            self._told = step
            self._log(f"Sampling {step}/{_STEPS}  {100 * frames // self._total}%")


def _still(order: Order) -> Made:
    base = _open(order.main)
    if base is None:
        size = frame_size(order.ratio or 1.0)
        base = still_from(Scene(Clip(order.prompt, order.name, size, 1.0, order.salt)).frame(0))
    data, size = compose_still(base, _open(order.inset), order.name)
    return Made(data, "output.png", "image/png", size)


def _open(file: InputFile | None) -> Image | None:
    if file is None:
        return None
    try:
        return open_picture(file.data, video=file.kind == "video")
    except UnreadablePicture as fault:
        raise unreadable(file.path, file.kind, str(fault)[:200]) from fault


def _length(order: Order) -> float | None:
    """Seconds asked for, else those of the speech, else those of the source video."""
    if order.seconds:
        return order.seconds
    for file in (order.audio, order.main):
        if file is not None and file.kind in {"audio", "video"}:
            return min(max(_duration(file), 1.0), LONGEST)
    return None


def _duration(file: InputFile) -> float:
    try:
        with av.open(io.BytesIO(file.data), "r") as container:
            return (container.duration or 0) / av.time_base
    except (FFmpegError, OSError, ValueError) as fault:
        raise unreadable(file.path, file.kind, str(fault)[:200]) from fault
