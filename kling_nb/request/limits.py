"""What an endpoint states about an input file: check it before anything is uploaded, and make it conform.

The limits have fal's own names (`x-fal`, FAL-PROTOCOL §16.7): `min_width`, `max_aspect_ratio`,
`max_duration`, `max_file_size` and so on. `x-media-formats` lists the formats, where fal states them in words
only. Sizes are those of the image as shown, so after its EXIF orientation.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from kling_nb._lazy import av, image_ops, pillow
from kling_nb.catalog.problem import Problem, ValuePath, dotted_path, listing, quote
from kling_nb.request.file_types import HEAD, detect
from kling_nb.request.local_file import ClipFit, LocalFile, MediaSlot
from kling_nb.request.media_input import ORIENTATION, DataUriError, is_data_uri, parse_data_uri, plain_image

if TYPE_CHECKING:
    from PIL.Image import Image

PREVIEW = "LOCAL PREVIEW"
"""Part of the comment in a local preview, which has fewer pixels than fal's video would have."""

FITS = ("crop", "pad", "scale")
"""How an image or a clip is made to conform: cut its edges off, add black bars, or stretch it."""

_SENT_BY_ALL = frozenset({"jpg", "png", "webp"})  # what `fit` leaves in its format if fal states none
_TOLERANCE = 1e-6
_VIDEO = {
    "protocol_whitelist": "file",  # FFmpeg would follow URLs in playlists
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mp3,wav,ogg,flac",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A file in an input: its path there, its part of the schema, and its value: a URL or a text."""

    path: ValuePath
    schema: Mapping[str, Any]
    value: str

    @property
    def limits(self) -> Mapping[str, float]:
        """The limits by fal's names."""
        limits: Mapping[str, float] = self.schema.get("x-fal", {})
        return limits

    @property
    def formats(self) -> Sequence[str]:
        """The formats that fal accepts, such as `jpg`; empty if it states none."""
        formats: Sequence[str] = self.schema.get("x-media-formats", ())
        return formats


def places(schema: Mapping[str, Any], value: Any, path: ValuePath = ()) -> Iterator[Place]:
    """Find every file in `value`, in the schema's order, at any depth.

    The limits of a list are those of its items.
    """
    if "x-fal-media" in schema and isinstance(value, str):
        yield Place(path, schema, value)
    elif isinstance(value, Mapping):
        for name, part in schema.get("properties", {}).items():
            if name in value:
                yield from places(with_conditions(part, value), value[name], (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item_schema(schema), item, (*path, index))


def item_schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of the items of a list, with the limits of the list."""
    return {**({"x-fal": schema["x-fal"]} if "x-fal" in schema else {}), **schema.get("items", {})}


def with_conditions(part: Mapping[str, Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of a schema with the limits that depend on the values of other parameters."""
    limits = dict(part.get("x-fal", {}))
    for name, cases in part.get("x-fal-when", {}).items():
        value = values.get(name)
        limits |= cases.get(value, {}) if isinstance(value, str) else {}
    return {**part, "x-fal": limits} if "x-fal-when" in part else part


# -- measures ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measures:
    """What limits are about.

    Attributes:
        values: By fal's names without "min" and "max": `width`, `duration`, `file_size`, … What cannot be
            measured is missing.
        format: Name of the format, such as `jpg`; empty if it is unknown.
        kind: `image`, `video` or `audio`.
        preview: True for a video by the local preview server.
    """

    values: Mapping[str, float]
    format: str
    kind: str
    preview: bool = False


def measure(file: IO[bytes], size: int) -> Measures:
    """Measure an image, video or audio file of `size` bytes. Only its header is read, if possible."""
    found = detect(file.read(HEAD))
    file.seek(0)
    kind = found.kind if found else ""
    values: dict[str, float] = {"file_size": size}
    preview = False
    if kind == "image":
        if found is not None and found.suffix == ".heic":
            with suppress(ImportError):  # pillow-heif is imported only for such a file
                import_module("pillow_heif").register_heif_opener()
        values |= _image_size(file)
    elif kind:
        stream, preview = _stream(file)
        values |= stream
    if values.get("height"):
        values |= {
            "aspect_ratio": values["width"] / values["height"],
            "area": values["width"] * values["height"],
        }
    return Measures(values, found.suffix[1:] if found else "", kind, preview)


def measure_file(file: LocalFile) -> Measures:
    """Measure a local file. One that `fit` will convert has the measures that it will have.

    Raises:
        MediaInputError: It cannot be read any more.
    """
    if file.fit is not None:
        return Measures(file.fit.values, "mp4", "video")
    with file.open() as opened:
        return measure(opened, file.size)


def changes_in_words(file: LocalFile) -> str:
    """Return what `fit` made of an image, such as "jpg, 750 × 300 pixels", or what it changes in a clip."""
    if file.fit is not None:
        return ", ".join(_clip_changes(file.fit))
    found = measure_file(file)
    return f"{found.format}, {found.values.get('width', 0):g} × {found.values.get('height', 0):g} pixels"


def _image_size(file: IO[bytes]) -> dict[str, float]:
    try:
        with pillow.open(file) as image:
            turned = image.getexif().get(ORIENTATION, 1) >= 5  # from there on, width and height are swapped
            width, height = reversed(image.size) if turned else image.size
            return {"width": width, "height": height}
    except (OSError, SyntaxError, ValueError, TypeError, pillow.DecompressionBombError):
        return {}  # HEIC without a plug-in, or a damaged file, which fal reports


def _stream(file: IO[bytes]) -> tuple[dict[str, float], bool]:
    """Return the measures of a video or audio file, and True if the local preview server made it."""
    values: dict[str, float] = {}
    try:
        with av.open(file, "r", options=_VIDEO) as container:
            stream = (*container.streams.video, *container.streams.audio)[0]
            if stream.duration and stream.time_base:
                values["duration"] = float(stream.duration * stream.time_base)
            elif container.duration:
                values["duration"] = container.duration / 1_000_000
            if container.streams.video:
                video = container.streams.video[0]
                values |= dict(zip(("width", "height"), _shown_size(container, video), strict=True))
                values |= {"fps": float(video.average_rate)} if video.average_rate else {}
                values |= {"frames": video.frames} if video.frames else {}
            return values, PREVIEW in container.metadata.get("comment", "")
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return values, False


def _shown_size(container: Any, video: Any) -> tuple[int, int]:
    """Return width and height as shown: with square pixels, and after a rotation, which is in a frame."""
    coded = video.codec_context
    width, height = coded.width, coded.height
    with suppress(av.FFmpegError, StopIteration):  # fal reports damage
        coded.thread_count = 1
        frame = next(container.decode(video))
        if video.sample_aspect_ratio:
            width = max(1, round(width * video.sample_aspect_ratio))
        if frame.rotation % 180:
            width, height = height, width
    return width, height


# -- limits ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Breach:
    """One limit that a file breaks.

    Attributes:
        name: fal's name of the limit, such as `min_width`, or `formats`.
        limit: The limit, or the list of formats.
        value: The measure.
    """

    name: str
    limit: Any
    value: Any

    @property
    def text(self) -> str:
        """What is wrong, as the rest of a sentence that begins with the file."""
        if self.name == "formats":
            return f"has the format {self.value}; fal accepts {listing(self.limit, 'or')} here"
        side, _, what = self.name.partition("_")
        words, digits, scale = _WORDS[what]
        most = "at most" if side == "max" else "at least"
        value = _round(self.value / scale, digits, up=side == "max")
        return f"{words.format(value)}; {most} {_number_text(self.limit / scale, digits)} is allowed"


_MB = 1 << 20
_WORDS = {
    "file_size": ("has {} MB", 1, _MB),
    "width": ("is {} pixels wide", 0, 1),
    "height": ("is {} pixels high", 0, 1),
    "aspect_ratio": ("is {} times as wide as high", 2, 1),
    "area": ("has {} pixels", 0, 1),
    "duration": ("lasts {} s", 2, 1),
    "fps": ("has {} frames per second", 2, 1),
    "frames": ("has {} frames", 0, 1),
}
"""Words about a measure, the digits after its point, and its unit."""


def breaches(place: Place, found: Measures, *, rehearsal: bool = False) -> list[Breach]:
    """Return the limits that a file breaks.

    In a `rehearsal`, for the local preview server, its own videos may have too few pixels: the ones that they
    stand for have enough.
    """
    broken = []
    if place.formats and found.format and found.format not in place.formats:
        broken.append(Breach("formats", list(place.formats), found.format))
    for what in _WORDS:
        value = found.values.get(what)
        low, high = place.limits.get(f"min_{what}"), place.limits.get(f"max_{what}")
        small = rehearsal and found.preview and what in {"width", "height", "area"}
        if value is not None and low is not None and value < low - _TOLERANCE and not small:
            broken.append(Breach(f"min_{what}", low, value))
        if value is not None and high is not None and value > high + _TOLERANCE:
            broken.append(Breach(f"max_{what}", high, value))
    return broken


def limit_problems(
    schema: Mapping[str, Any], data: Mapping[str, Any], files: Mapping[str, LocalFile], *, rehearsal: bool
) -> Iterator[Problem]:
    """Find files of an input that break the limits of its schema. URLs are not looked at."""
    for place in places(schema, data):
        if not place.limits and not place.formats:
            continue
        file = files.get(dotted_path(place.path))
        found, subject = _measure_input(place, file)
        broken = breaches(place, found, rehearsal=rehearsal) if found else []
        if broken:
            name, remedy = dotted_path(place.path), _remedy(place, found, broken)
            texts = " and ".join(breach.text for breach in broken)
            yield Problem(place.path, "media", f"{name}: {subject} {texts}.", remedy)


def _remedy(place: Place, found: Measures | None, broken: Sequence[Breach]) -> str:
    """Return what to do: for an image or a clip the flag, for audio the options of FFmpeg."""
    names = {breach.name: breach.limit for breach in broken}
    if "min_duration" in names:
        return "Give a longer one."
    if found is None or found.kind == "image" or _takes_clips(place, found):
        return "Convert it, or let kling_nb do it: --fit crop, pad or scale (API: fit=)."
    options = [f"-t {names['max_duration']:g}"] if "max_duration" in names else []
    suffix = place.formats[0] if place.formats else found.format
    return f"Convert it, for example with FFmpeg: ffmpeg -i FILE {' '.join([*options, f'fitted.{suffix}'])}"


def _measure_input(place: Place, file: LocalFile | None) -> tuple[Measures | None, str]:
    """Return the measures of a file or a data URI, None for a URL, and its name in words."""
    if file is not None:
        return measure_file(file), quote(file.name, 90)
    with suppress(DataUriError):  # A URL is none, and the check of the input has reported a broken one.
        data = parse_data_uri(place.value).data
        return measure(BytesIO(data), len(data)), "the data URI"
    return None, ""


def _round(value: float, digits: int, *, up: bool) -> str:
    """Return a number rounded away from its limit, so that it is never shown as equal to it."""
    factor = 10.0**digits
    return _number_text((math.ceil if up else math.floor)(value * factor) / factor, digits)


def _number_text(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# -- making an image or a clip conform -------------------------------------------------


def conform(place: Place, slot: MediaSlot, media: str | LocalFile, how: str) -> str | LocalFile:
    """Return the file, or a new one that is within the limits if the file is an image or a clip that is not.

    A URL is returned as it is. So is a clip that no conversion helps, because it is too short.

    The hash of a new one is made from that of the file and from the recipe. So it stays the same if another
    version of Pillow or FFmpeg writes other bytes. A clip is converted when it is uploaded (`job.inputs`).

    `media` is the file, or its URL or data URI; `slot` is the place of the file again, for messages.

    Raises:
        InvalidValue: It is an image that cannot be decoded.
        MediaInputError: The file cannot be read any more.
    """
    if isinstance(media, str) and not is_data_uri(media):
        return media
    file = LocalFile.from_bytes(parse_data_uri(media).data, slot) if isinstance(media, str) else media
    file = file.fit.source if file.fit is not None else file
    found = measure_file(file)
    if _takes_clips(place, found):
        return _conform_clip(place, file, found, how) or media
    wanted = frozenset(place.formats) or _SENT_BY_ALL
    if found.kind != "image" or (found.format in wanted and not breaches(place, found)):
        return media
    image = open_upright(file)
    if image is None:
        raise slot.error(
            f"{slot.name}: {quote(file.name)} cannot be decoded here, so fit cannot change it",
            "Its file may be damaged. Some HEIC files need: pip install pillow-heif",
        )
    size = _target(place.limits, *image.size, how)
    if how == "crop":
        image = image_ops.fit(image, size)
    elif how == "pad":
        image = image_ops.pad(image, size, color=(0, 0, 0, 255) if image.mode == "RGBA" else (0, 0, 0))
    elif image.size != size:
        image = image.resize(size)
    clear = image.mode == "RGBA" and "png" in wanted
    suffix, data = _encode(image, clear or (found.format == "png" and "png" in wanted), place.limits)
    mime = f"image/{suffix}".replace("jpg", "jpeg")
    digest = _recipe_hash(file, how, *size)
    return LocalFile(None, data, _file_name(file, suffix), mime, len(data), digest)


def _recipe_hash(file: LocalFile, how: str, *parts: object) -> str:
    recipe = " ".join(["fit", how, *map(str, parts)])
    return hashlib.sha256(f"{recipe}\n{file.sha256}".encode()).hexdigest()


def _file_name(file: LocalFile, suffix: str) -> str:
    return f"{file.name.rpartition('.')[0] or file.name}.{suffix}"


def _takes_clips(place: Place, found: Measures) -> bool:
    """Return True for a clip where clips as MP4 are accepted."""
    formats = place.formats or ("mp4",)
    return found.kind == place.schema["x-fal-media"] == "video" and "mp4" in formats


def _conform_clip(place: Place, file: LocalFile, found: Measures, how: str) -> LocalFile | None:
    """Return the file that the clip will be converted to, or None if it conforms or cannot conform."""
    broken = {breach.name: breach.limit for breach in breaches(place, found)}
    if not broken or not {"width", "height"} <= found.values.keys():
        return None
    size = _even_target(place, int(found.values["width"]), int(found.values["height"]), how)
    fps = broken.get("min_fps", broken.get("max_fps"))
    seconds = broken.get("max_duration")
    if seconds is not None and seconds >= 1:  # The rest is a tolerance, and may be billed as a whole second.
        seconds = float(math.floor(seconds))
    changed = {"fps": fps, "duration": seconds, "width": size[0], "height": size[1]}
    values = {**found.values, **{name: value for name, value in changed.items() if value is not None}}
    values |= {"aspect_ratio": size[0] / size[1], "area": size[0] * size[1]}
    for name in ("file_size", "frames"):
        values.pop(name, None)
    if breaches(place, Measures(values, "mp4", "video")):
        return None
    fit = ClipFit(file, how, size, fps, seconds, place.limits, values)
    digest = _recipe_hash(file, how, *size, fps, seconds)
    return LocalFile(None, None, _file_name(file, "mp4"), "video/mp4", file.size, digest, fit=fit)


def _clip_changes(fit: ClipFit) -> Iterator[str]:
    """Yield what the conversion of a clip changes, in words."""
    before = measure_file(fit.source)
    old, (width, height) = before.values, fit.size
    if (old["width"], old["height"]) != fit.size:
        yield f"{old['width']:g} × {old['height']:g} pixels became {width} × {height}"
    if fit.fps is not None:
        yield f"{_number_text(old['fps'], 2)} frames per second became {fit.fps:g}"
    if fit.seconds is not None:
        yield f"only its first {fit.seconds:g} s of {_number_text(old['duration'], 2)}"
    most = fit.limits.get("max_file_size", math.inf)
    if old["file_size"] > most:
        yield f"{_round(old['file_size'] / _MB, 1, up=True)} MB became at most {_number_text(most / _MB, 1)}"
    if before.format != "mp4":
        yield f"{before.format} became mp4"


def open_upright(file: LocalFile) -> Image | None:
    """Return the first image of a file, upright, as RGB or RGBA, or None if it cannot be decoded.

    HEIC needs the package pillow-heif, or is decoded by FFmpeg if it is one image, not tiles.
    """
    try:
        with file.open() as opened, pillow.open(opened) as image:
            plain = plain_image(image)
            return plain.convert("RGBA" if plain.mode in {"LA", "RGBA"} else "RGB")
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError):
        pass
    try:
        with file.open() as opened, av.open(opened, "r", options=_VIDEO) as container:
            if len(container.streams.video) == 1:
                frame = next(container.decode(video=0))
                decoded: Image = frame.to_image()  # type: ignore[no-untyped-call]
                return decoded.rotate(round(frame.rotation / 90) * 90, expand=True)
    except (av.FFmpegError, OSError, ValueError, StopIteration):
        pass
    return None


def _target(limits: Mapping[str, float], width: int, height: int, how: str) -> tuple[int, int]:
    """Return the size in pixels that conforms and is nearest to `width` and `height`."""
    low = max(
        limits.get("min_aspect_ratio", 0.0), limits.get("min_width", 0) / limits.get("max_height", math.inf)
    )
    high = limits.get("max_aspect_ratio", math.inf)
    if limits.get("min_height"):
        high = min(high, limits.get("max_width", math.inf) / limits["min_height"])
    ratio = min(max(width / height, low), high)
    if (how == "crop") == (ratio < width / height):
        wide, tall = height * ratio, float(height)  # cut at the sides, or bars at the sides
    else:
        wide, tall = float(width), width / ratio
    need = max(
        limits.get("min_width", 0) / wide,
        limits.get("min_height", 0) / tall,
        math.sqrt(limits.get("min_area", 0) / (wide * tall)),
    )
    room = min(
        limits.get("max_width", math.inf) / wide,
        limits.get("max_height", math.inf) / tall,
        math.sqrt(limits.get("max_area", math.inf) / (wide * tall)),
    )
    factor = max(need, min(room, 1.0))
    width = max(1, round(wide * factor), math.ceil(limits.get("min_width", 0)))
    height = max(1, round(tall * factor), math.ceil(limits.get("min_height", 0)))
    while width / height > high:  # Rounding must not break the ratio again.
        height += 1
    while width / height < low:
        width += 1
    return width, height


def _even_target(place: Place, width: int, height: int, how: str) -> tuple[int, int]:
    """Return the size for a clip, whose sides are even."""
    sides = [(side - side % 2, side + side % 2) for side in _target(place.limits, width, height, how)]
    sizes = [(wide, tall) for wide in sides[0] for tall in sides[1] if wide and tall]
    for wide, tall in sizes:
        values = {"width": wide, "height": tall, "aspect_ratio": wide / tall, "area": wide * tall}
        if not breaches(place, Measures(values, "", "video")):
            return wide, tall
    return sizes[-1]


def _encode(image: Image, lossless: bool, limits: Mapping[str, float]) -> tuple[str, bytes]:
    """Return the suffix and bytes of an image: PNG if `lossless` and small enough, else JPEG."""
    most = limits.get("max_file_size", math.inf)
    if lossless:
        image.save(buffer := BytesIO(), "PNG")
        if buffer.tell() <= most:
            return "png", buffer.getvalue()
    for quality in (95, 88, 80, 70):
        image.convert("RGB").save(buffer := BytesIO(), "JPEG", quality=quality)
        if buffer.tell() <= most:
            break
    return "jpg", buffer.getvalue()
