"""Read a video file: its facts, its frames by time, its poster.

Times are seconds from the first frame. The frame at time t is the latest one that starts at or before t, as
in a player. So each t from 0 to the duration has exactly one frame. libavfilter turns decoded frames into
what a player shows: upright, with square pixels, not interlaced, in the colours that the tags name.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

from kling_nb._lazy import av, np, pillow
from kling_nb.errors import MediaError
from kling_nb.request.file_types import HEAD, NOUNS, file_type

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.filter import Graph
    from av.stream import Stream
    from av.video.stream import VideoStream
    from numpy.typing import NDArray
    from PIL.Image import Image

Tag = TypeVar("Tag")


# -- Opening a file.
#
# A downloaded file cannot be trusted. FFmpeg would follow playlists and URLs in it. So only containers with
# their own data are allowed, only from the local disk. Large sizes are refused before a frame is allocated.


LARGEST_SIDE = 8192
"""Pixels. Kling's largest videos are 4K, and the limit of H.264 is near this."""

LARGEST_AREA = 8192 * 4320
"""Pixels: 8K. One frame has 106 MB as RGB."""

_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif",
    "max_pixels": str(LARGEST_AREA),
}


_QUICK = {"skip_frame": "all"}
"""Lets FFmpeg open a file without decoding a frame of it, which takes two thirds of the time."""


@contextmanager
def open_video(
    path: Path, *, threads: bool = True, quick: bool = False
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Give the container and its video stream. They are closed after the block.

    FFmpeg's errors inside the block become a `MediaError` too.

    Args:
        path: The file.
        threads: Decode with all cores. To start the threads costs more than to decode one frame.
        quick: Know of the video only what the container says, if it is an MP4: no pixel format, and perhaps
            no colours. Frames decode as usual.

    Raises:
        MediaError: The file is missing, damaged, larger than `LARGEST_SIDE`, or not a video.
    """
    try:
        # The path is absolute, because FFmpeg reads "concat:a" and the like as a protocol.
        options = _OPTIONS | (_QUICK if quick and file_type(_head(path)).suffix in {".mp4", ".mov"} else {})
        with av.open(str(path.absolute()), mode="r", options=options) as container:
            stream = _video_stream(container, path)
            stream.codec_context.options = {"max_pixels": _OPTIONS["max_pixels"]}
            if threads:
                stream.thread_type = "AUTO"
            else:
                stream.codec_context.thread_count = 1
            yield container, stream
    except av.FFmpegError as error:
        raise _media_error(path, error) from error


_COVER = 0x400
"""FFmpeg's AV_DISPOSITION_ATTACHED_PIC: a cover image, which is a video stream of one frame."""


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition.value & _COVER]
    if not streams:
        kind = "audio" if container.streams.audio else "no audio either"
        cover = " with a cover image" if container.streams.video else ""
        raise MediaError(f"{path.name} has no video stream: {kind}{cover}.")
    stream = streams[0]
    if stream.codec_context is None:
        raise MediaError(f"{path.name} has a video of a format that cannot be decoded.")
    width, height = stream.codec_context.width, stream.codec_context.height
    _check_size(path, width, height)
    return stream


def _check_size(path: Path, width: int, height: int) -> None:
    size = f"{path.name} has frames of {width}×{height} pixels."
    if not 0 < width <= LARGEST_SIDE or not 0 < height <= LARGEST_SIDE:
        raise MediaError(f"{size} The limit is {LARGEST_SIDE} on each side.")
    if width * height > LARGEST_AREA:
        raise MediaError(f"{size} The limit is {LARGEST_AREA:,} in all.")


def _media_error(path: Path, error: Exception) -> MediaError:
    if isinstance(error, FileNotFoundError):
        return MediaError(
            f"{path.name} is no longer in {path.parent}.", remedy="Run its cell again to get it back."
        )
    if isinstance(error, OSError):
        return MediaError(f"{path.name} cannot be read: {error.strerror}.")
    head, remedy = _head(path), ""
    kind = file_type(head).kind
    is_instead = f": it is {NOUNS[kind]}" if kind in {"image", "audio"} else "" if head else ": it is empty"
    # MPEG-TS: packets of 188 bytes (192 in AVCHD), each with 0x47 at its start
    if any(head[at::size][:2] == b"GG" for at, size in ((0, 188), (4, 192))):
        is_instead = ": it is MPEG-TS, which is not supported"
        remedy = f"Put it into an MP4: ffmpeg -i {path.name} -c copy {path.stem}.mp4"
    return MediaError(f"{path.name} does not decode as a video{is_instead}.", remedy=remedy)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


# -- How a file's frames have to be treated to look as in a player.


_HD_LINES = 720
_MATRICES = {
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
    10: "bt2020nc",
}
"""From the tag (H.273) to FFmpeg's name."""

_AS_HD = "out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int"
_PLANAR = re.compile(r"yuvj?4(20|22|44)p(1[02]le)?")
"""Pixel formats that FFmpeg's `colorspace` reads, if the sides are even."""

WIDE = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
"""Colour primaries that an HD film must not copy as they are. Those of SD (5, 6) differ little from HD's."""

HDR = {16: "PQ", 18: "HLG"}
"""Transfer functions of HDR."""

# FFmpeg's display matrix, its signs at 0, 1, 3 and 4, to filters that turn the frame upright.
_TURNS: dict[tuple[int, int, int, int], tuple[Step, ...]] = {
    (0, 1, -1, 0): (("transpose", "clock"),),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (-1, 0, 0, -1): (("hflip", None), ("vflip", None)),
    (-1, 0, 0, 1): (("hflip", None),),
    (1, 0, 0, -1): (("vflip", None),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}


@dataclass(frozen=True, slots=True)
class Look:
    """How the decoded frames of a file are to be shown.

    Attributes:
        coded: Width and height of a decoded frame.
        format: FFmpeg's name of its pixel format.
        pixel: Width of a pixel, divided by its height.
        turn: The filters that turn it upright.
        interlaced: A frame has two moments in its lines.
        matrix: FFmpeg's name of the YUV matrix, as tagged or as players assume. None for RGB.
        full_range: 0 is black; False for the range of TV, where 16 is black.
        primaries: Colour primaries by H.273; 2 if they are not tagged.
        transfer: Transfer function by H.273; 2 if it is not tagged.
        bits: Of one colour.
        alpha: It has transparent parts.
    """

    coded: tuple[int, int]
    format: str
    pixel: Fraction
    turn: tuple[Step, ...]
    interlaced: bool
    matrix: str | None
    full_range: bool
    primaries: int
    transfer: int
    bits: int
    alpha: bool

    @property
    def sideways(self) -> bool:
        """True if turning it exchanges width and height."""
        return any(name == "transpose" for name, _ in self.turn)

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height, as shown: with square pixels, and turned upright."""
        width, height = max(1, round(self.coded[0] * self.pixel)), self.coded[1]
        return (height, width) if self.sideways else (width, height)

    @property
    def is_planar(self) -> bool:
        """True if FFmpeg's `colorspace` can read it."""
        even = self.coded[0] % 2 == 0 and self.coded[1] % 2 == 0
        return even and _PLANAR.fullmatch(self.format) is not None

    @property
    def colours(self) -> tuple[Any, ...]:
        """What two files must share so that one set of tags fits both."""
        return self.matrix, self.full_range, self.primaries, self.transfer


def look_at(stream: VideoStream, frame: VideoFrame) -> Look:
    """Return how the frames of `stream` are to be shown. `frame` is one of them."""
    context = stream.codec_context
    components = frame.format.components
    rgb = frame.format.is_rgb or frame.format.has_palette
    assumed = "bt709" if frame.height >= _HD_LINES else "smpte170m"
    pixel = stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1)
    return Look(
        coded=(frame.width, frame.height),
        format=frame.format.name,
        pixel=pixel if pixel > 0 else Fraction(1),
        turn=_turn(frame),
        interlaced=frame.interlaced_frame,
        matrix=None if rgb else _MATRICES.get(int(frame.colorspace), assumed),
        full_range={1: False, 2: True}.get(
            int(frame.color_range), frame.format.name.startswith(("yuvj", "gray"))
        ),
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
        bits=max((part.bits for part in components), default=8),
        alpha=frame.format.has_palette or any(part.is_alpha for part in components),
    )


def _turn(frame: VideoFrame) -> tuple[Step, ...]:
    side_data: Any = frame.side_data  # PyAV 18 types its keys wrongly
    # By name, because PyAV 18 iterates over entries and PyAV 19 over keys.
    if (data := side_data.get("DISPLAYMATRIX")) is not None:
        matrix = np.frombuffer(bytes(data), np.int32)[[0, 1, 3, 4]]
        signs = np.where(np.abs(matrix) * 2 > np.abs(matrix).max(), np.sign(matrix), 0)
        a, b, c, d = (int(sign) for sign in signs)
        return _TURNS.get((a, b, c, d), ())
    return ()


# -- Filters.


Step = tuple[str, str | None]
"""A filter of libavfilter: its name and its options."""

Steps = Callable[[Look], list[Step]]
"""Returns the filters for such frames."""


def _graph(width: int, height: int, pixel_format: str) -> tuple[Graph, Any, Any]:
    graph = av.filter.Graph()
    return graph, graph.add("buffer", _source(width, height, pixel_format)), graph.add("buffersink")


def _source(width: int, height: int, pixel_format: str) -> str:
    return f"video_size={width}x{height}:pix_fmt={pixel_format}:time_base=1/1000:pixel_aspect=1/1"


class _Chain:
    """A row of filters. Frames go in, and as many come out, some of them later."""

    def __init__(self, look: Look, steps: Sequence[Step]) -> None:
        self._graph, self._source, self._sink = _graph(*look.coded, look.format)
        self._count = 0
        try:
            row = [self._graph.add(name, options) for name, options in steps]
            self._graph.link_nodes(self._source, *row, self._sink)
            tables = [node for node, (name, _) in zip(row, steps, strict=True) if name == "haldclut"]
            sources = []
            for table in tables:
                sources.append(self._graph.add("buffer", _source(_TABLE_SIDE, _TABLE_SIDE, "rgb48le")))
                sources[-1].link_to(table, 0, 1)
            self._graph.configure()
        except av.FFmpegError as error:
            what = f"frames of {look.coded[0]}×{look.coded[1]} {look.format}"
            raise MediaError(f"FFmpeg cannot convert {what}: {error.strerror}.") from error
        except ValueError as error:  # "no filter bwdif", in a PyAV that is not from PyPI
            raise MediaError(f"PyAV has {error}.", remedy="Install PyAV from PyPI: pip install av") from error
        for source in sources:
            source.push(_table(look))
            source.push(None)

    def push(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Give a frame, or None at the end, and yield those that are ready."""
        if frame is not None:
            frame.pts = self._count  # Some filters wait for the time stamp, which a frame may lack.
            self._count += 1
        self._source.push(frame)
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                yield self._sink.pull()


def apply(
    stream: VideoStream, frames: Iterable[tuple[Tag | None, VideoFrame]], steps: Steps
) -> Iterator[tuple[Tag, VideoFrame]]:
    """Yield each frame after the filters, with its tag.

    A frame whose tag is None is only there for its neighbours, which a deinterlacer looks at. If the size or
    format of the frames changes, the filters are made again.
    """
    chain: _Chain | None = None
    kind: tuple[Any, ...] | None = None
    tags: deque[Tag | None] = deque()

    def ready(done: Iterable[VideoFrame]) -> Iterator[tuple[Tag, VideoFrame]]:
        for frame in done:
            tag = tags.popleft()
            if tag is not None:
                yield tag, frame

    for tag, frame in frames:
        if tag is None and not frame.interlaced_frame:
            continue
        of_frame = frame.width, frame.height, frame.format.name, frame.interlaced_frame
        if chain is None or of_frame != kind:
            if chain is not None:
                yield from ready(chain.push(None))
            look = look_at(stream, frame)
            chain, kind = _Chain(look, steps(look)), of_frame
        tags.append(tag)
        yield from ready(chain.push(frame))
    if chain is not None:
        yield from ready(chain.push(None))


def shown(
    look: Look,
    *,
    width: int | None = None,
    size: tuple[int, int] | None = None,
    film: bool = False,
) -> list[Step]:
    """Return the filters that make frames as a player shows them.

    Args:
        look: What the frames are.
        width: Width of the result. Its height follows.
        size: Width and height of the result. Without, its own with square pixels.
        film: True for `yuv420p` with the matrix and range of HD, False for `rgb24`.
    """
    own = look.shown
    size = size or (own if width is None else (width, max(1, round(own[1] * width / own[0]))))
    size = size[::-1] if look.sideways else size
    steps: list[Step] = [("bwdif", "send_frame")] if look.interlaced else []
    if look.matrix:
        # All tags are given, so that no filter guesses, and primaries as if HD's, so that none converts them.
        level = "pc" if look.full_range else "tv"
        tags = f"colorspace={look.matrix}:range={level}:color_primaries=bt709:color_trc=bt709"
        steps += [("setparams", tags)]
    if look.alpha:  # Transparent parts become black.
        steps += [("scale", None), ("format", "gbrap"), ("premultiply", "inplace=1"), ("format", "gbrp")]
    if look.transfer in HDR or look.primaries in WIDE:  # Its colours do not fit into those of HD.
        steps += [("scale", None), ("format", "rgb48le"), ("haldclut", None)]
    elif film and look.colours[:2] != ("bt709", False) and look.is_planar:
        # More exact than `scale` and ten times as fast.
        steps += [("colorspace", "all=bt709:range=tv:fast=1:format=yuv420p")]
    scale = [f"w={size[0]}:h={size[1]}"] if size != look.coded else []
    scale += [_AS_HD] if film else []
    steps += [("scale", ":".join(scale) or None), ("format", "yuv420p" if film else "rgb24")]
    return [*steps, *look.turn]


def make_palette(frames: Sequence[VideoFrame]) -> VideoFrame:
    """Return the 256 colours that suit these RGB frames best, for `quantize`."""
    graph, source, sink = _graph(frames[0].width, frames[0].height, "rgb24")
    palette = graph.add("palettegen")
    graph.link_nodes(source, palette, sink).configure()
    for frame in frames:
        source.push(frame)
    source.push(None)
    result: Any = sink.pull()
    return result  # type: ignore[no-any-return]


def quantize(
    frames: Iterable[tuple[Tag, VideoFrame]], palette: VideoFrame, size: tuple[int, int]
) -> Iterator[tuple[Tag, VideoFrame]]:
    """Yield the RGB frames of `size` in the colours of the palette, with their tags."""
    graph, source, sink = _graph(*size, "rgb24")
    colours = graph.add("buffer", _source(palette.width, palette.height, palette.format.name))
    use = graph.add("paletteuse", "dither=floyd_steinberg:diff_mode=rectangle")
    source.link_to(use, 0, 0)
    colours.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    colours.push(palette)
    colours.push(None)
    for number, (tag, frame) in enumerate(frames):
        frame.pts = number
        source.push(frame)
        result: Any = sink.pull()
        yield tag, result


# HDR and wide colours become those of HD through a table for FFmpeg's `haldclut`. No PyAV wheel contains
# `zscale`, without which `tonemap` has no linear light to work on. FFmpeg's own conversion in `scale` starts
# with PyAV 16, and takes 5 to 20 seconds to prepare.

_TABLE_LEVEL = 8
_TABLE_SIDE = _TABLE_LEVEL**3
"""Pixels of the image that holds the table. It has 64 values of each colour."""

_SDR_WHITE = 203.0
"""cd/m², the white of a page in HDR (ITU-R BT.2408). It becomes 80 % of the light of an HD film."""

_HDR_PEAK = 1000.0
"""cd/m². Lights from here on are white in the film."""

_KNEE = 0.6
"""Below this part of white, light is kept as it is."""

_DISPLAY_GAMMA = 2.4
_TO_HD = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    11: ((1.1576, -0.1550, -0.0026), (-0.0415, 1.0456, -0.0041), (-0.0181, -0.0786, 1.0966)),
    12: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
"""From linear light of these primaries to that of BT.709."""


def to_hd(rgb: NDArray[np.float64], look: Look) -> NDArray[np.float64]:
    """Return the colours (N, 3) from 0 to 1 as they are in HD, with less light where HDR has more than HD."""
    if look.transfer == 16:  # SMPTE ST 2084
        power = np.power(rgb, 32 / 2523)
        light = np.power(np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power), 8192 / 1305)
        light *= 10_000 / _SDR_WHITE
    elif look.transfer == 18:  # ITU-R BT.2100, on a display of 1000 cd/m²
        scene = np.where(rgb <= 0.5, rgb**2 / 3, (np.exp((rgb - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        bright = scene @ np.array([[0.2627], [0.6780], [0.0593]])
        light = _HDR_PEAK / _SDR_WHITE * scene * np.power(np.maximum(bright, 1e-9), 0.2)
    else:
        light = np.power(rgb, _DISPLAY_GAMMA)
    light = np.maximum(light @ np.array(_TO_HD.get(look.primaries, np.eye(3))).T, 0)
    if look.transfer in HDR:
        most = light.max(axis=1, keepdims=True)
        x, peak = (most - _KNEE) / (1 - _KNEE), (_HDR_PEAK / _SDR_WHITE - _KNEE) / (1 - _KNEE)
        less = _KNEE + (1 - _KNEE) * x * (1 + x / peak**2) / (1 + x)
        light *= np.where(most > _KNEE, np.minimum(less, 1) / np.maximum(most, 1e-9), 1)
    result: NDArray[np.float64] = np.power(np.clip(light, 0, 1), 1 / _DISPLAY_GAMMA)
    return result


@lru_cache(maxsize=4)
def _table(look: Look) -> VideoFrame:
    """Return the table of `to_hd` as an image, in which red changes fastest."""
    steps = np.linspace(0, 1, _TABLE_LEVEL**2)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    table = to_hd(np.stack([red, green, blue], -1).reshape(-1, 3), look)
    pixels = np.round(table.reshape(_TABLE_SIDE, _TABLE_SIDE, 3) * 65535).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le")
    frame.pts = 0
    return frame


# -- Facts.


@dataclass(frozen=True, slots=True)
class Track:
    """An audio track.

    Attributes:
        index: Its number among the streams of the file.
        codec: FFmpeg's name of the codec.
        rate: Samples per second.
        layout: Such as `stereo` or `5.1`.
        channels: Their number.
        language: As tagged, or an empty text.
        start: Seconds from the first frame of the video; below 0 if the audio starts earlier.
        end: Seconds from the first frame of the video.
        whole: It has no gaps.
        packets: Their number.
        parameters: What two tracks must share so that packets of both can stand in one.
    """

    index: int
    codec: str
    rate: int
    layout: str
    channels: int
    language: str
    start: float
    end: float
    whole: bool
    packets: int
    parameters: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """The facts of a video file.

    Attributes:
        width: Pixels, as shown: with square pixels, and after a rotation.
        height: Pixels, as shown.
        fps: Frames per second, on average.
        duration: Seconds from the first shown frame to the end of the last one; more than 0.
        announced: Seconds by the header if the file is truncated, so that `duration` is less. Else None.
        frame_count: Frames that are shown.
        codec: FFmpeg's name of the codec, such as `h264`.
        rate: Frames per second, exactly; if they are not evenly spaced, the usual rate nearest to most.
        steady: The frames are evenly spaced.
        length: `duration`, exactly.
        start: Seconds of the container's clock at which the first frame is shown.
        look: How frames are to be shown.
        tracks: The audio tracks.
        others: What else is in the file, such as `subtitle`.
        packets: What two clips must share so that packets of both can stand in one stream.
        refusal: Why the packets cannot be copied into a film, or an empty text.
    """

    width: int
    height: int
    fps: float
    duration: float
    announced: float | None
    frame_count: int
    codec: str
    rate: Fraction
    steady: bool
    length: Fraction
    start: Fraction
    look: Look
    tracks: tuple[Track, ...]
    others: tuple[str, ...]
    packets: tuple[Any, ...]
    refusal: str


def probe(path: Path) -> Probe:
    """Read the facts of the file at `path`, and check that its first frame decodes.

    All packets are read, because the header of a cut, damaged or growing file does not tell the truth. The
    facts of a file that did not change are kept.

    Raises:
        MediaError: It is missing, damaged, without a duration, too large, or not a video.
    """
    try:
        state = path.stat()
    except OSError:
        return _read_facts(path)
    key = state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
    found = _known.get(key)  # Other threads may clear it at any time.
    if found is None:
        found = _read_facts(path)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = found
    return found


_MOST_KNOWN = 64
_known: dict[tuple[int, ...], Probe] = {}
"""By device, number, size and time of change of the file, so a renamed file is known too."""


def _read_facts(path: Path) -> Probe:
    with open_video(path, threads=False, quick=True) as (container, stream):
        frame, packets = _read_packets(container, stream)
        if frame is None or not packets[stream.index].shown:
            raise _no_frame(path)
        look = look_at(stream, frame)
        _check_size(path, *look.shown)
        video = packets[stream.index]
        if video.end <= video.start:
            raise MediaError(f"{path.name} has no duration.")
        length, count = video.end - video.start, len(video.shown)
        rate, steady = _rate(stream, video)
        if steady and abs(count / rate - length) < 2 * max(video.base, Fraction(1, 1000)):
            length = count / rate  # Matroska rounds to milliseconds.
        return Probe(
            width=look.shown[0],
            height=look.shown[1],
            fps=float(rate if steady else count / length),
            duration=float(length),
            announced=_announced_seconds(container, stream, packets),
            frame_count=count,
            codec=stream.codec_context.name,
            rate=rate,
            steady=steady,
            length=length,
            start=video.start,
            look=look,
            tracks=tuple(
                _track(track, packets[track.index], video.start)
                for track in container.streams.audio
                if track.codec_context is not None and packets[track.index].shown
            ),
            others=tuple(_others(container, stream)),
            packets=(stream.codec_context.name, stream.time_base, look, _extradata(stream)),
            refusal=_refusal(stream, video),
        )


class _Packets:
    """What the packets of one stream say."""

    def __init__(self, stream: Stream) -> None:
        self.base = Fraction(stream.time_base or 1)
        self.shown: list[tuple[int, int]] = []  # time and duration of each, in the order of time
        self.hidden = self.damaged = False
        self.ordered = self.starts_with_key = True
        self._last: int | None = None
        self._vp8 = stream.type == "video" and stream.codec_context.name == "vp8"

    def add(self, packet: Any) -> None:
        pts = packet.dts if packet.pts is None else packet.pts
        if pts is None or (self._vp8 and not bytes(packet)[0] & 0x10):  # VP8 has frames that are never shown
            return
        if packet.is_corrupt:
            self.damaged = True
            return
        in_order = packet.dts is not None and packet.pts is not None
        if not in_order or (self._last is not None and packet.dts <= self._last):
            self.ordered = False
        self._last = packet.dts
        if packet.is_discard:
            self.hidden = True
            return
        if not self.shown:
            self.starts_with_key = packet.is_keyframe
        self.shown.append((pts, packet.duration or 0))

    def finish(self, usual: int) -> None:
        """Sort the packets. `usual` is the duration of a last packet that has none."""
        self.starts_with_key &= not self.shown or self.shown[0] == min(self.shown)
        self.shown.sort()
        if self.shown and not self.shown[-1][1]:
            gaps = [after[0] - before[0] for before, after in pairwise(self.shown)]
            self.shown[-1] = self.shown[-1][0], round(median(gaps)) if gaps else usual

    @property
    def start(self) -> Fraction:
        """Seconds of the container's clock."""
        return self.shown[0][0] * self.base

    @property
    def end(self) -> Fraction:
        """Seconds of the container's clock."""
        return sum(self.shown[-1]) * self.base


def _read_packets(
    container: InputContainer, stream: VideoStream
) -> tuple[VideoFrame | None, dict[int, _Packets]]:
    """Return the first frame that decodes, and what the packets of the video and of all audio say."""
    streams = [stream, *(track for track in container.streams.audio if track.codec_context is not None)]
    packets = {one.index: _Packets(one) for one in streams}
    frame: VideoFrame | None = None
    with suppress(av.error.EOFError):
        for packet in container.demux(streams):
            if frame is None and packet.stream_index == stream.index:
                decoded: Any = packet.decode()
                frame = next(iter(decoded), None)
            packets[packet.stream_index].add(packet)
    for one in packets.values():
        one.finish(usual=round(1 / (Fraction(stream.average_rate or 24) * one.base)))
    return frame, packets


def _announced_seconds(
    container: InputContainer, stream: VideoStream, packets: dict[int, _Packets]
) -> float | None:
    """Return the seconds that the header announces if the packets end before, else None."""
    video = packets[stream.index]
    end, announced = video.end, Fraction(0)
    if stream.duration:
        announced = (stream.start_time or 0) * video.base + stream.duration * video.base
    elif container.duration:  # the end of the longest stream
        end = max(one.end for one in packets.values() if one.shown)
        announced = Fraction(container.duration + max(0, container.start_time or 0), 1_000_000)
    is_short = announced - end > max(Fraction(1, 4), 3 * (video.shown[-1][1] * video.base))
    return float(max(announced, end) - video.start) if is_short or video.damaged else None


USUAL_RATES = tuple(
    Fraction(rate) for rate in (12, 15, "24000/1001", 24, 25, "30000/1001", 30, 48, 50, "60000/1001", 60)
)
"""Frames per second of films and screens."""


def _rate(stream: VideoStream, video: _Packets) -> tuple[Fraction, bool]:
    """Return the frames per second, and True if they are evenly spaced."""
    average = Fraction(stream.average_rate) if stream.average_rate else None
    gaps = [after[0] - before[0] for before, after in pairwise(video.shown)]  # in the time base
    if not gaps:
        return average or 1 / (video.end - video.start), True
    usual = median(gaps)
    slack = max(min(2, usual / 4), usual / 100)
    near = [gap for gap in gaps if abs(gap - usual) <= usual / 4]
    exact = len(near) / (sum(near) * video.base) if sum(near) else Fraction(24)
    if any(abs(gap - usual) > slack for gap in gaps):
        whole = (rate for rate in USUAL_RATES if rate.denominator == 1)
        return min(whole, key=lambda rate: float(abs(rate / exact - 1))), False
    for rate in filter(None, (average, *USUAL_RATES)):
        if abs(rate / exact - 1) < Fraction(1, 1000):
            return rate, True
    return exact.limit_denominator(1001), True


def _track(track: Any, packets: _Packets, start: Fraction) -> Track:
    context = track.codec_context
    ends = [pts + duration for pts, duration in packets.shown]
    allowed = float(Fraction(1, 200) / packets.base)
    whole = all(after[0] - end <= allowed for end, after in zip(ends, packets.shown[1:], strict=False))
    return Track(
        index=track.index,
        codec=context.name,
        rate=context.sample_rate,
        layout=context.layout.name,
        channels=context.layout.nb_channels,
        language=track.metadata.get("language", "").replace("und", ""),
        start=float(packets.start - start),
        end=float(max(ends) * packets.base - start),
        whole=whole and packets.ordered and not packets.damaged,
        packets=len(ends),
        parameters=(
            context.name,
            context.sample_rate,
            context.layout.name,
            track.time_base,
            _extradata(track),
        ),
    )


def _others(container: InputContainer, stream: VideoStream) -> Iterator[str]:
    """Yield what is in the file apart from its video and its audio."""
    for other in container.streams:
        if other.index != stream.index and other.type != "audio":
            covers = other.type == "video" and other.disposition.value & _COVER
            yield "cover image" if covers else f"second {other.type}" if other.type == "video" else other.type


def _extradata(stream: Any) -> bytes:
    return bytes(stream.codec_context.extradata or b"")


def _refusal(stream: VideoStream, video: _Packets) -> str:
    """Return why packets cannot be copied into an MP4 with other clips, or an empty text."""
    name = stream.codec_context.name
    if name not in {"h264", "hevc", "libdav1d", "av1"}:
        return f"{name} video has to be encoded again"
    if _extradata(stream)[:1] not in {b"\x01", b"\x81"}:  # avcC, hvcC or av1C; else a byte stream
        return "its packets are not in the form of an MP4"
    if video.hidden:
        return "an edit list hides frames"
    if not video.starts_with_key:
        return "it does not start with a key frame"
    return "" if video.ordered else "its time stamps are not in order"


def _no_frame(path: Path) -> MediaError:
    return MediaError(f"{path.name} has no frame that decodes.")


# -- Frames by time.


TOLERANCE = 1e-6
"""Seconds. 0.3 as a float is a little less than 3/10, but means the frame that starts there."""


def read_frames(path: Path, start: float, stop: float | None, step: int) -> Iterator[NDArray[np.uint8]]:
    """Yield every `step`-th frame from the one at `start` until before `stop`, as (H, W, 3) RGB."""

    def wanted(container: InputContainer, stream: VideoStream) -> Iterator[tuple[bool | None, VideoFrame]]:
        for index, (time, frame) in enumerate(frames_from(container, stream, start)):
            if stop is not None and index and time >= stop - TOLERANCE:
                return
            yield index % step == 0 or None, frame

    with open_video(path) as (container, stream):
        for _, frame in apply(stream, wanted(container, stream), shown):
            yield to_array(frame)


def to_array(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return an RGB frame as (H, W, 3)."""
    array: Any = frame.to_ndarray()
    return np.ascontiguousarray(array)


def frame_at(path: Path, t: float) -> NDArray[np.uint8]:
    """Return the frame at `t`, as (H, W, 3) RGB."""
    with open_video(path) as (container, stream):
        return _first(path, stream, frames_from(container, stream, t))


def last_frame(path: Path, duration: float) -> NDArray[np.uint8]:
    """Return the last frame, as (H, W, 3) RGB."""
    with open_video(path) as (container, stream):
        return _first(path, stream, deque(frames_from(container, stream, duration), maxlen=1))


def _first(path: Path, stream: VideoStream, frames: Iterable[tuple[float, VideoFrame]]) -> NDArray[np.uint8]:
    for _, frame in apply(stream, frames, shown):
        return to_array(frame)
    raise _no_frame(path)


def sample(path: Path, times: Iterable[float], steps: Steps) -> Iterator[tuple[int, VideoFrame]]:
    """Yield each frame that is shown at one of the rising `times`, after the filters, and at how many.

    After the end it is the last one.
    """
    with open_video(path) as (container, stream):
        # Times of frames are rounded to the time base of the file, which is 1 ms in Matroska.
        tolerance = min(max(1e-4, float(stream.time_base or 0)), 2e-3)
        yield from apply(stream, _count_showings(frames_from(container, stream, 0), times, tolerance), steps)


def key_frames(path: Path, steps: Steps) -> Iterator[VideoFrame]:
    """Yield the key frames after the filters. They decode without the others."""
    with open_video(path) as (container, stream):
        stream.codec_context.skip_frame = "NONKEY"
        for _, frame in apply(stream, ((True, frame) for frame in container.decode(stream)), steps):
            yield frame


def _count_showings(
    frames: Iterable[tuple[float, VideoFrame]], times: Iterable[float], tolerance: float
) -> Iterator[tuple[int | None, VideoFrame]]:
    """Yield each frame with the number of times at which it is shown, or None."""
    remaining = iter(times)
    t = next(remaining, None)
    current: VideoFrame | None = None
    for time, frame in frames:
        count = 0
        while current is not None and t is not None and t < time - tolerance:
            count += 1
            t = next(remaining, None)
        if current is not None:
            yield count or None, current
        if t is None:
            return
        current = frame
    if current is not None and t is not None:
        yield 1 + sum(1 for _ in remaining), current


def frames_from(
    container: InputContainer, stream: VideoStream, t: float
) -> Iterator[tuple[float, VideoFrame]]:
    """Yield frames with their times. The first one is the frame at `t`.

    It seeks to the key frame before `t`. If the file's index leads too far, it reads from the start.
    """
    frames = _timed_frames(container, stream, seek=t)
    shown = next(frames, None)
    if t > 0 and (shown is None or shown[0] > t + TOLERANCE):
        frames = _timed_frames(container, stream, seek=0)
        shown = next(frames, None)
    for following in frames:
        if shown and following[0] > t + TOLERANCE:
            yield shown
        shown = following
    if shown:
        yield shown


def _first_time(container: InputContainer, stream: VideoStream) -> int:
    """Return the time stamp of the first frame."""
    if container.format.name == "avi":  # FFmpeg computes its time stamps, and does so only with the frames.
        first = next(iter(container.decode(stream)), None)
        return 0 if first is None or first.pts is None else first.pts
    return stream.start_time or 0


def _timed_frames(
    container: InputContainer, stream: VideoStream, *, seek: float
) -> Iterator[tuple[float, VideoFrame]]:
    """Yield decoded frames with their time in seconds from the first frame of the file."""
    base = float(stream.time_base or 1)
    origin = _first_time(container, stream) * base
    with suppress(OSError, ValueError):  # A container that cannot seek is read from its present position.
        container.seek(int((seek + origin + TOLERANCE) / base), stream=stream)
    gap = 1 / float(stream.average_rate or 24)
    time = -gap
    for frame in container.decode(stream):
        # A frame without a time stamp follows the one before it at the file's rate.
        time = time + gap if frame.time is None else frame.time - origin
        yield time, frame


# -- The poster: one small JPEG that shows what the clip is about.


WIDTH = 480
LARGEST = 16_000
"""Bytes. As base64 in the card of a saved notebook this is 21 kB."""

_SEARCH_SECONDS = 3.0
_LATEST = 60.0
"""Seconds. To reach a later middle, a long film might have to be decoded."""

_MOST_FRAMES = 600
_FADE = 0.5
_QUALITIES = (84, 76, 68, 60, 52, 44, 36, 28)


def poster(path: Path, duration: float) -> bytes:
    """Return a JPEG of the first frame that shows something, else of the middle one.

    If the clip starts with black, it is the frame half a second after the black ends. The JPEG is at most 480
    pixels wide and 16,000 bytes long.

    Raises:
        MediaError: The file does not decode.
    """
    return small_jpeg(pillow.fromarray(poster_frame(path, duration)))


def small_jpeg(image: Image, width: int = WIDTH, largest: int = LARGEST) -> bytes:
    """Return `image` as a JPEG, no wider than `width`, in the best quality that fits `largest` bytes."""
    while True:
        small = _shrink(image, width)
        fits = _best_jpeg(small, _QUALITIES[:1], largest) or _best_jpeg(small, _QUALITIES[1:], largest)
        if fits:
            return fits
        if small.width <= 16:
            raise MediaError(f"No poster of {largest} bytes can be made of this image.")
        width = small.width * 3 // 4


def _best_jpeg(image: Image, qualities: Sequence[int], largest: int) -> bytes:
    """Return the JPEG in the first of the falling qualities that fits; empty if none does."""
    best = b""
    while qualities:
        middle = len(qualities) // 2
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=qualities[middle], optimize=True, progressive=True)
        fits = buffer.tell() <= largest
        best = buffer.getvalue() if fits else best
        qualities = qualities[:middle] if fits else qualities[middle + 1 :]
    return best


def _shrink(image: Image, width: int) -> Image:
    # A tall image gets the same area as a wide one, so that its poster has no more bytes.
    scale = min(1.0, width / image.width, 1.4 * width / image.height)
    if scale == 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    # First by a whole factor: 720 lines take 3 ms instead of 10, and the eye sees no difference.
    return image.resize(size, pillow.Resampling.LANCZOS, reducing_gap=1.1)


def poster_frame(path: Path, duration: float) -> NDArray[np.uint8]:
    """Return the frame that `poster` shows, in its own size."""
    for search in (False, True):  # Most clips show something at once: threads would cost as much as a frame.
        with open_video(path, threads=search, quick=not search) as (container, stream):
            for number, (time, frame) in enumerate(apply(stream, frames_from(container, stream, 0), shown)):
                if time > _SEARCH_SECONDS or number > _MOST_FRAMES * search:
                    break
                rgb = to_array(frame)
                if not _is_plain(rgb):
                    # A clip that starts with black mostly fades in. Half a second later it can be seen.
                    return rgb if time == 0 else frame_at(path, min(time + _FADE, duration))
    return frame_at(path, min(duration / 2, _LATEST))


def _is_plain(rgb: NDArray[np.uint8]) -> bool:
    """Return True if a frame is almost black, almost white, or of one colour."""
    small = rgb[:: max(1, rgb.shape[0] // 90), :: max(1, rgb.shape[1] // 160)]
    light = small.mean(axis=2)
    return bool(light.std() < 6 or light.mean() < 12 or light.mean() > 248)
