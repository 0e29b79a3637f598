"""Make the files of an order. This runs in a worker thread.

`open_image` decodes an input image, and `CameraMove` makes a video of it by a slow camera move. `TitleCard`
draws title, LOCAL PREVIEW mark, endpoint, time code and progress line over every frame.
"""

from __future__ import annotations

import io
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from PIL import Image, ImageDraw, ImageFilter, ImageOps, UnidentifiedImageError
from PIL.ImageFont import FreeTypeFont as Font

from kling_nb._typesetting import font, shorten, typeset, wrap
from kling_nb.local.order import LONGEST, InputFile, Order, Pace, decode_error
from kling_nb.local.preview.clip import FPS, Clip, frame_size, make_melody, write_clip
from kling_nb.local.preview.scenery import Colour, Scene, choose_scenery, seed_of
from kling_nb.request.limits import PREVIEW

_STEPS = 40  # The log counts the frames in this many steps, like those of a diffusion sampler.


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of a result.

    Attributes:
        data: Its bytes.
        name: Its name.
        content_type: Its MIME type.
        size: Width and height of an image or video in pixels.
        measures: Of a video, as the sidecar of a take has them.
    """

    data: bytes
    name: str
    content_type: str
    size: tuple[int, int] | None = None
    measures: dict[str, float] | None = None


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
        measures = {
            "width": width,
            "height": height,
            "fps": float(FPS),
            "duration": clip.frames / FPS,
            "frame_count": clip.frames,
        }
        return OutputFile(path.read_bytes(), "output.mp4", "video/mp4", clip.size, measures)


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


# -- images of an input ----------------------------------------------------------------

_LARGEST = 64_000_000  # Maximum pixels of an input image.
_BACKGROUND = (18, 20, 26, 255)  # Colour behind transparent images.
_MARGIN = 1.24  # The image is scaled to this multiple of the frame, so that the camera has room to move.

View = tuple[float, float, float]
"""Centre as shares of width and height, and zoom. At a zoom of 1.0 the whole image is visible."""

# Pillow and PyAV raise these for bytes that are no image or video.
_BROKEN = (FFmpegError, OSError, StopIteration, SyntaxError, ValueError, Image.DecompressionBombError)
_QUIET: tuple[tuple[View, View], ...] = (
    ((0.5, 0.5, 1.0), (0.5, 0.46, 1.2)), ((0.46, 0.51, 1.05), (0.54, 0.47, 1.2)),
    ((0.54, 0.51, 1.05), (0.46, 0.47, 1.2)),
)  # fmt: skip
_MOVES: tuple[tuple[str, tuple[View, View]], ...] = (
    (r"\b(zoom|pull|dolly)(s|ing)? (out|back|away)\b|\breveal", ((0.5, 0.46, 1.22), (0.5, 0.5, 1.0))),
    (r"\bpan(s|ning)? (to the )?left\b", ((0.58, 0.5, 1.17), (0.42, 0.5, 1.17))),
    (r"\bpan(s|ning)?\b|\btrack(s|ing)?\b|\bturn", ((0.42, 0.5, 1.17), (0.58, 0.5, 1.17))),
    (r"\btilt(s|ing)? down\b", ((0.5, 0.42, 1.17), (0.5, 0.58, 1.17))),
    (r"\btilt|\bris(e|es|ing)\b|\bsoar|\bfl(y|ies|ying)\b", ((0.5, 0.58, 1.17), (0.5, 0.42, 1.17))),
    (r"\b(zoom|push|dolly|closer|close-up)", _QUIET[0]),
)


def open_image(file: InputFile) -> Image.Image:
    """Return the image of a file, or the first frame of its video, upright and in RGB.

    Raises:
        InvalidInput: It cannot be decoded, or is too large.
    """
    why = f"more than {_LARGEST // 1_000_000} million pixels"
    try:
        if file.kind == "video":
            with av.open(io.BytesIO(file.data), "r") as container:
                first = next(container.decode(video=0))
                return first.to_image()  # type: ignore[no-untyped-call, no-any-return]  # PyAV leaves it untyped
        with Image.open(io.BytesIO(file.data)) as image:
            if image.width * image.height <= _LARGEST:
                upright = ImageOps.exif_transpose(image).convert("RGBA")
                solid = Image.new("RGBA", upright.size, _BACKGROUND)
                solid.alpha_composite(upright)
                return solid.convert("RGB")
    except UnidentifiedImageError:
        why = "it is no image of a known kind"
    except _BROKEN as fault:
        why = (str(fault) or type(fault).__name__)[:200]
    raise decode_error(file.path, file.kind, why)


def choose_move(prompt: str) -> tuple[View, View]:
    """Return the first and the last view of the camera move in the prompt, by default of a slow zoom."""
    named = (move for pattern, move in _MOVES if re.search(pattern, prompt.lower()))
    return next(named, _QUIET[seed_of(prompt) % len(_QUIET)])


class CameraMove:
    """Draws the frames of a camera move over an image, which may dissolve into a second one."""

    def __init__(
        self, prompt: str, size: tuple[int, int], image: Image.Image, ending: Image.Image | None
    ) -> None:
        self._size, self._move = size, choose_move(prompt)
        self._first, self._last = _planes(image, size), _planes(ending, size) if ending else None

    def frame(self, progress: float) -> npt.NDArray[np.uint8]:
        """Return the frame at `progress` (0 to 1) in planar YUV 4:2:0, shape (height * 3 / 2, width)."""
        share, blend = 0.35 * progress + 0.65 * _ease(progress), _ease((progress - 0.45) / 0.45)
        view = [a + (b - a) * share for a, b in zip(*self._move, strict=True)]
        frame = self._cut(self._first, *view)
        if self._last and blend > 0:
            step = self._cut(self._last, *view).astype(np.float32) - frame
            frame = (frame + step * blend + 0.5).astype(np.uint8)
        return frame

    def _cut(self, planes: list[Image.Image], x: float, y: float, zoom: float) -> npt.NDArray[Any]:
        (width, height), (wide, high) = self._size, (side / zoom for side in planes[0].size)
        left = min(max(x * planes[0].width - wide / 2, 0), planes[0].width - wide)
        top = min(max(y * planes[0].height - high / 2, 0), planes[0].height - high)
        box, half = (left, top, left + wide, top + high), (width // 2, height // 2)
        sizes = zip(planes, (self._size, half, half), strict=True)
        parts = [plane.resize(size, Image.Resampling.BILINEAR, box) for plane, size in sizes]
        return np.concatenate([np.asarray(part).reshape(-1) for part in parts]).reshape(-1, width)


def _planes(image: Image.Image, size: tuple[int, int]) -> list[Image.Image]:
    """Return Y, Cb and Cr of an image that is larger than the frame by `_MARGIN`."""
    fitted = ImageOps.fit(image, (round(size[0] * _MARGIN), round(size[1] * _MARGIN)))
    frame = VideoFrame.from_image(fitted)  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
    planes = frame.reformat(format="yuv444p", dst_colorspace=Colorspace.ITU709).to_ndarray()
    return [Image.fromarray(plane) for plane in planes]


def _ease(progress: float) -> float:
    """Return the smootherstep of any number, from 0 to 1. Its slope is 0 at both ends."""
    p = min(max(progress, 0.0), 1.0)
    return p * p * p * (p * (p * 6 - 15) + 10)


# -- the title card --------------------------------------------------------------------

_FAINT = 215  # Opacity, of 255, of the small print.
_WHITE = (230.0, 128.0, 128.0)

Floats = npt.NDArray[np.floating[Any]]
Bytes = npt.NDArray[np.uint8]


class TitleCard:
    """Draws the title card over frames. `title_box` is left, top, right and bottom of the title in pixels.

    The parts that do not move are drawn once, as a factor and a summand for each value of a frame: a frame
    costs one multiplication and one addition. `over_image` leaves more of the user's image visible.
    """

    def __init__(self, clip: Clip, accent: Colour, dark: Colour, *, over_image: bool = False) -> None:
        self._clip, (width, height), short = clip, clip.size, min(clip.size)
        self._margin, self._small = margin, small = round(short * 0.055), max(round(short * 0.04), 7)
        self._foot = height - margin - small
        wide = width > height * 1.2
        largest, smallest = (0.1, 0.062) if over_image else (0.15 if wide else 0.125, 0.07)
        sizes = max(round(short * largest), 9), max(round(short * smallest), 8)
        room = round((width - 2 * margin) * (0.84 if wide else 1))
        most = 2 if over_image else 3 if wide else 7
        face, lines = set_title(clip.prompt, room, round(height * 0.48), sizes, most)
        top = self._foot - small - round(face.size * _LEADING * len(lines))
        self.title_box = (margin, top, margin + room, self._foot - small)

        letters = Image.new("L", clip.size, 0)
        pen = ImageDraw.Draw(letters)
        for number, line in enumerate(lines):
            # A thin stroke makes the regular weight look like a medium one at this size.
            at = (margin - face.size / 18, top + number * face.size * _LEADING)
            pen.text(at, line, fill=255, font=face, stroke_width=face.size / 80)
        radius, x, y = small * 0.3, *np.ogrid[:width, :height]
        letters.paste(_small_print(PREVIEW, small, 0.14), (margin + small * 6 // 5, margin))
        name = shorten([clip.name], 1, font(None, small), width - 2 * margin - 7 * small)[0]
        letters.paste(_small_print(name, small, 0.02), (margin, self._foot))
        far = np.hypot(x - margin - radius, y - margin - small * 0.66).T
        white = np.asarray(letters, np.float32) / 255
        shade = _shade(letters, top, 0.75 if over_image else 0.34)
        spot = np.clip(radius + 0.5 - far, 0, 1).astype(np.float32)
        under, self._accent = (1 - white) * (1 - spot), _yuv(accent)
        self._keep = _pack([under * (1 - shade)] * 3)
        colours = zip(_WHITE, self._accent, _yuv(dark), strict=True)
        self._add = _pack([w * white + a * spot * (1 - white) + d * under * shade for w, a, d in colours])

    def draw(self, packed: Bytes, number: int) -> Bytes:
        """Return frame `number`, in planar YUV 4:2:0, with the card over it."""
        laid = packed * self._keep
        laid += self._add
        frame: Bytes = np.right_shift(laid, 8, out=laid).astype(np.uint8)
        width, height = self._clip.size
        time = f"{number // FPS // 60:02}:{number // FPS % 60:02}:{number % FPS:02}"  # as 00:03:12
        code = np.hstack([np.asarray(_small_print(sign, self._small, 0, cell=0.48)) for sign in time]).astype(
            np.uint16
        )
        right, (rows, columns) = width - self._margin, code.shape
        area = frame[self._foot : self._foot + rows, right - columns : right]
        area[:] = (area * (255 - code) + code * 235) // 255
        end, rows = width * (number + 1) // self._clip.frames // 2 * 2, max(self._small // 5, 2) // 2 * 2
        half = frame[height:].reshape(2, height // 2, width // 2)
        for plane, value, step in zip((frame[:height], *half), self._accent, (1, 2, 2), strict=True):
            plane[-rows // step :, : end // step] = round(value)
        return frame


def clear_card(image: Image.Image) -> Image.Image:
    """Return a frame of a preview with its title card blurred away; any other image as it is."""
    (width, height), short = image.size, min(image.size)
    margin, small = round(short * 0.055), max(round(short * 0.04), 7)
    mark = np.asarray(_small_print(PREVIEW, small, 0.14), np.float32) / _FAINT
    left = margin + small * 6 // 5
    place = np.asarray(image.convert("L"), np.float32)[margin:, left:][: mark.shape[0], : mark.shape[1]]
    if place.shape != mark.shape:
        return image
    a, b = place - place.mean(), mark - mark.mean()
    if (a * b).sum() <= 0.7 * np.linalg.norm(a) * np.linalg.norm(b):  # Their correlation.
        return image
    soft = image.filter(ImageFilter.MedianFilter(7)).filter(ImageFilter.GaussianBlur(short / 12))
    x, y = np.linspace(0, 1, width), np.linspace(0, 1, height)[:, None]
    end = (left + mark.shape[1]) / width
    head = np.clip((0.2 - y) / 0.06, 0, 1) * np.clip((end + 0.1 - x) / 0.08, 0, 1)
    cover = np.maximum(np.clip((y - 0.28) / 0.14, 0, 1), head)
    return Image.composite(soft, image, Image.fromarray((cover * 255).astype(np.uint8)))


def _yuv(colour: Colour) -> list[float]:
    """Return Y, Cb and Cr of a colour (ITU-R BT.709, 8 bits, limited range)."""
    red, green, blue = (float(part) for part in colour)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return [16 + 219 * light, 128 + 224 * (blue - light) / 1.8556, 128 + 224 * (red - light) / 1.5748]


@cache
def _small_print(text: str, size: int, tracking: float, cell: float = 0) -> Image.Image:
    """Draw a line of small print as a mask, with spaced letters, or one digit in a cell of fixed width."""
    face, ascii_only = font(None, size), text.replace("…", "...").encode("ascii", "ignore").decode()
    steps = [face.getlength(sign) + tracking * size for sign in ascii_only]
    steps = [cell * size * (1 if text.isdigit() else 0.25)] if cell else steps
    image = Image.new("L", (round(sum(steps)) + 2, sum(face.getmetrics()) + 2), 0)
    pen, x = ImageDraw.Draw(image), 1.0
    for sign, step in zip(ascii_only, steps, strict=True):
        pen.text((x, 1), sign, fill=_FAINT, font=face)
        x += step
    return image


def _shade(letters: Image.Image, top: int, head: float) -> Floats:
    """Return how much darker each pixel is: around the title, at the top, and close to all letters."""
    x = np.linspace(0, 1, letters.width, dtype=np.float32)
    y = np.linspace(0, 1, letters.height, dtype=np.float32)[:, None]
    start = top / letters.height - 0.16
    foot = 0.7 * np.clip((y - start) / (1 - start), 0, 1) ** 0.8 * (1 - 0.25 * x)
    above = head * np.clip(1 - y / 0.2, 0, 1) * (1 - 0.6 * x)
    soft = letters.reduce(2).filter(ImageFilter.GaussianBlur(min(letters.size) / 36)).resize(letters.size)
    shade: Floats = 1 - (1 - foot) * (1 - above) * (1 - np.minimum(np.asarray(soft) / 230, 0.3))
    return shade


def _pack(planes: list[Any]) -> npt.NDArray[np.uint16]:
    """Return three planes as 256ths in the layout of YUV 4:2:0, the last two in half resolution."""
    rows, columns = planes[0].shape
    halves = [plane.reshape(rows // 2, 2, columns // 2, 2).mean((1, 3)) for plane in planes[1:]]
    flat = np.concatenate([plane.reshape(-1) for plane in (planes[0], *halves)])
    return np.round(flat * 256).astype(np.uint16).reshape(rows * 3 // 2, columns)


# -- letters and lines -----------------------------------------------------------------

_LEADING = 1.14  # Height of a line, as a multiple of the size of its letters.


def set_title(
    prompt: str, width: int, height: int, sizes: tuple[int, int], lines: int
) -> tuple[Font, list[str]]:
    """Return a font as large as possible for a prompt, and its lines of about equal length.

    `width` of a line, `height` of all lines, `sizes` of the letters and `lines` are limits, in pixels. A long
    prompt is shortened; there are no lines if its letters cannot be drawn.
    """
    text, face = typeset(prompt)
    for size in range(sizes[0], sizes[1] - 1, -1):
        letters = font(face, size)
        wrapped = wrap(text, letters, width)
        fits = all(letters.getlength(line) <= width for line in wrapped)
        if fits and len(wrapped) <= lines and len(wrapped) * _LEADING * size <= height:
            narrow = (wrap(text, letters, width * share / 100) for share in range(100, 40, -3))
            return letters, [even for even in narrow if len(even) == len(wrapped)][-1]
    return letters, shorten(wrapped, lines, letters, width)
