"""Accept a file in all its forms: a URL or data URI that is sent unchanged, or a local file.

A local file is given as a path, bytes, an open file, a Pillow image, a NumPy array, or an earlier result.
Pillow images and arrays become PNG files whose hash is that of their pixels. Two versions of Pillow write two
different files of the same image, and that must not make a request cost money twice.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import sys
from dataclasses import dataclass, replace
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from kling_nb._files import exists
from kling_nb._lazy import image_ops, np, pillow
from kling_nb.catalog.problem import InvalidValue, input_error, quote
from kling_nb.request.file_types import HEAD, NOUNS, detect
from kling_nb.request.local_file import LocalFile, MediaSlot

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


_ALSO = "A PIL image, a NumPy array, an open file or an earlier result is accepted, too."


def read_media(slot: MediaSlot, value: Any) -> str | LocalFile:
    """Return the URL as a text, or the local file.

    The value may be a URL, a data URI, a path (text or `os.PathLike`), bytes, a Pillow image or NumPy array
    (see `_read_pixels`), a file open for reading bytes (see `_read_open_file`), an earlier result such as a
    `Video` (anything with a `path`), or a `LocalFile` of an earlier request.

    Raises:
        InvalidValue: It is none of these, or the slot does not accept it.
    """
    if isinstance(value, LocalFile):
        slot.check(value.content_type.partition("/")[0], value.content_type, quote(value.name))
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return LocalFile.from_bytes(bytes(value), slot)
    if isinstance(value, os.PathLike):
        return LocalFile.from_path(os.fsdecode(value), slot)
    if isinstance(value, str):
        return _from_text(slot, str.__str__(value).strip())
    found = _read_pixels(slot, value) or _read_open_file(slot, value) or _read_result(slot, value)
    if found is None:
        raise slot.error(
            f"{slot.name} takes a URL, a path or bytes, not {quote(value)}", f"{_ALSO} {slot.requirement}"
        )
    return found


def _from_text(slot: MediaSlot, text: str) -> str | LocalFile:
    if not text:
        raise slot.error(f"{slot.name} is empty", f"Give a URL or a path. {slot.requirement}")
    scheme = _scheme_of(text)
    if scheme in ("http", "https", "data") or (scheme and not exists(text)):
        data = _check_url_or_data(slot, text)
        # A long data URI would be in every record of the job and in the request that costs money.
        return LocalFile.from_bytes(data, slot) if data and len(text) > _LONGEST_INLINE else text
    content = _bare_base64(slot, text) if len(text) >= _SHORTEST_BASE64 and not exists(text) else None
    if content is not None:
        return LocalFile.from_bytes(content, slot, subject=f"the base64 text ({len(content):,} bytes)")
    return LocalFile.from_path(text, slot)  # A file may be called "take:2.png".


def _read_result(slot: MediaSlot, value: Any) -> LocalFile | None:
    """Return the file of an earlier result, or None if the value is none.

    This layer does not import `Video`, so it looks for its attributes.
    """
    path = getattr(value, "path", None)
    if isinstance(value, type) or not isinstance(path, Path):
        return None
    has_frames = hasattr(type(value), "last_frame")
    if has_frames and "image" in slot.kinds and "video" not in slot.kinds:
        raise slot.error(
            f"{slot.name} takes an image, and {quote(path.name)} is a whole video",
            "Give one of its frames: video.last_frame, or video.frame(2.5).",
        )
    try:
        return LocalFile.from_path(str(path), slot)
    except InvalidValue as error:
        if has_frames and not exists(path):
            raise slot.error(
                error.problem.text.removesuffix("."), "Run its cell again to get it back."
            ) from None
        raise


def media_text(media: str | LocalFile, value: Any) -> str:
    """Return the text for an input that is shown or stored: the URL, the path in `value`, or a hash."""
    if isinstance(media, str):
        return media
    if media.path is None:
        return f"sha256:{media.sha256}"
    text = os.fsdecode(value).strip() if isinstance(value, (str, os.PathLike)) else str(media.path)
    # File names that are not UTF-8 have lone surrogates in Python, which are not allowed in JSON files.
    return text.encode("utf-8", "replace").decode("utf-8")


def for_upload(value: Any, content_type: str | None = None, *, read_later: bool = False) -> str | LocalFile:
    """Return the file to upload, of any kind. A URL that fal can fetch is returned unchanged.

    `content_type` is by default recognised by the content, else by the name. With `read_later`, a file on
    disk may have no hash yet (see `LocalFile.with_hash`).

    Raises:
        MediaInputError: It cannot be read, is empty, or its content contradicts its name or `content_type`.
    """
    slot = MediaSlot(("file",), ("file",), read_later=read_later)
    try:
        media = read_media(slot, value)
        if isinstance(media, str):
            if _scheme_of(media) != "data":
                return media
            media = LocalFile.from_bytes(_check_url_or_data(slot, media), slot)
        if content_type is None:
            return media
        content_type = content_type.strip().lower()
        declared, found = content_type.partition("/")[0], media.content_type.partition("/")[0]
        if declared in NOUNS and found in NOUNS and declared != found:
            raise slot.error(
                f"{slot.name}: {quote(media.name)} is {NOUNS[found]}, not {quote(content_type)}",
                "Leave content_type out: the content is enough.",
            )
        return replace(media, content_type=content_type)
    except InvalidValue as error:
        raise input_error([error.problem]) from None


# -- URLs and data URIs ----------------------------------------------------------

_LONGEST_INLINE = 32 << 10
"""Maximum length of a data URI that is sent unchanged. The file in a longer one is uploaded."""

# A scheme has at least two letters here, because one letter is the drive of a Windows path.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)


def _scheme_of(text: str) -> str:
    """Return the scheme of a URL in lower case, or an empty text for a path."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else ""


def _check_url_or_data(slot: MediaSlot, text: str) -> bytes:
    """Check a URL or data URI without using the network. Return the content of a data URI, else no bytes.

    Raises:
        InvalidValue: A relative URL, a data URI that does not decode or has the wrong kind, or a scheme
            that fal cannot fetch.
    """
    match _scheme_of(text):
        case "http" | "https":
            _check_url(slot, text)
        case "data":
            return _check_data_uri(slot, text)
        case "sha256":  # A request that was made from bytes is stored in this form.
            raise slot.error(
                f"{slot.name} was bytes in memory, and only their hash was stored", "Give the file again."
            )
        case scheme:
            remedy = "Use https, http or a data URI, or give the path of a file."
            raise slot.error(
                f"{slot.name} cannot be read from {quote(scheme + ':')}, as in {quote(text)}", remedy
            )
    return b""


def _check_url(slot: MediaSlot, text: str) -> None:
    if any(char.isspace() or not char.isprintable() for char in text):
        raise slot.error(
            f"{slot.name} has a space or an invisible character in {quote(text)}", "Write %20 for a space."
        )
    try:
        parts = urlsplit(text)
        absolute = bool(parts.hostname) and parts.port != 0
    except ValueError:  # The port is no number, or a bracket is not closed.
        absolute = False
    if not absolute:
        raise slot.error(
            f"{slot.name} is not an absolute URL: {quote(text)}", "Write it in full, as https://host/file."
        )


def _check_data_uri(slot: MediaSlot, text: str) -> bytes:
    remedy = "Write data:TYPE;base64,… (such as image/png), or give the path of a file."
    try:
        uri = parse_data_uri(text)
    except DataUriError as error:
        raise slot.error(f"{slot.name} is a data URI {error}", remedy) from None
    if not uri.data:
        raise slot.error(f"{slot.name} is a data URI with nothing in it", remedy)
    found = detect(uri.data[:HEAD])
    if found:
        slot.check(found.kind, found.noun, "the data URI")
    elif uri.mime:  # The content has no known format, so the declared type counts.
        main = uri.mime.partition("/")[0]
        slot.check(main, NOUNS.get(main, f"of type {quote(uri.mime)}"), "the data URI")
    return uri.data


class DataUriError(ValueError):
    """A data URI cannot be read. The text continues a sentence that begins "… is a data URI"."""


@dataclass(frozen=True, slots=True)
class DataUri:
    """The content of a data URI.

    Attributes:
        mime: The declared MIME type in lower case; empty if there is none.
        data: The decoded bytes.
    """

    mime: str
    data: bytes


def is_data_uri(text: str) -> bool:
    """Return True for a text that begins with `data:`, in any case."""
    return text[:5].lower() == "data:"


def parse_data_uri(text: str) -> DataUri:
    """Decode a data URI, or raise `DataUriError`."""
    head, comma, payload = text[len("data:") :].partition(",")
    if not is_data_uri(text):
        raise DataUriError(f"without data: in front: {quote(text)}")
    if not comma:
        raise DataUriError(f"without a comma: {quote(text)}")
    mime = head.partition(";")[0].strip().lower()
    if head.rstrip().lower().endswith(";base64"):
        return DataUri(mime, decode_base64(payload))
    try:
        return DataUri(mime, unquote_to_bytes(payload))
    except UnicodeEncodeError:  # The text has half of a surrogate pair.
        raise DataUriError(f"with a broken character: {quote(text)}") from None


def decode_base64(payload: str) -> bytes:
    """Decode base64 that may contain white space and percent escapes, or raise `DataUriError`."""
    try:
        return base64.b64decode("".join(unquote(payload).split()), validate=True)
    except binascii.Error as error:
        raise DataUriError(f"that cannot be decoded: {error}") from None
    except ValueError:  # The text has characters outside of ASCII.
        raise DataUriError(f"that is not base64: {quote(payload)}") from None


_SHORTEST_BASE64 = 64
"""Characters. No image is shorter, and a path rarely looks like the start of one."""


def _bare_base64(slot: MediaSlot, text: str) -> bytes | None:
    """Return the bytes of a media file in base64 without `data:`, or None if the text is something else.

    Raises:
        InvalidValue: It begins like one and does not decode.
    """
    plain = "".join(text.split())
    try:
        head = base64.b64decode(plain[: min(HEAD, len(plain)) // 4 * 4], validate=True)
    except ValueError:
        return None
    if detect(head) is None:
        return None
    try:
        return decode_base64(plain)
    except DataUriError as error:
        raise slot.error(
            f"{slot.name} is base64 {error}", "Give the whole text, or the path of a file."
        ) from None


# -- open files ------------------------------------------------------------------

_MOST = 1 << 30  # bytes that are read into memory from an open file that is not on disk
_BLOCK = 1 << 20


def _read_open_file(slot: MediaSlot, value: Any) -> LocalFile | None:
    """Return the content of an open file, or None if the value is not one.

    The whole file is read, and its position stays the same. So an image that was just written to a
    `BytesIO` can be given directly, and the cell can run again. A stream that cannot seek, such as a
    socket, is read from its position. A file on disk is not read into memory.

    Raises:
        InvalidValue: It is closed, open for text or for writing only, empty, or not accepted by the slot.
    """
    if isinstance(value, type) or not callable(getattr(value, "read", None)):
        return None
    if isinstance(value, TextIOBase):
        raise slot.error(f"{slot.name}: the file is open for text", 'Open it with open(path, "rb").')
    try:
        path = _path_on_disk(value)
        if path is not None:
            return LocalFile.from_path(path, slot)
        data = _content(slot, value)
    except (OSError, ValueError) as error:  # Closed files raise ValueError.
        raise slot.error(
            f"{slot.name}: the open file cannot be read ({error})", 'Open it with open(path, "rb").'
        ) from None
    name = getattr(value, "name", None)
    name = Path(name).name if isinstance(name, str) else ""
    if not data:
        raise slot.error(f"{slot.name}: the open file is empty, or has been read already")
    subject = quote(name) if name else f"the open file ({len(data):,} bytes)"
    return LocalFile.from_bytes(data, slot, subject=subject, name=name)


def _path_on_disk(file: Any) -> str | None:
    """Return the path of an open file if the path still leads to the same file, else None."""
    name = getattr(file, "name", None)
    if getattr(file, "closed", False) or not isinstance(name, str):
        return None
    try:
        here = os.fstat(file.fileno())
        if hasattr(file, "flush"):
            file.flush()  # Buffered bytes must be on disk before the path is read.
        return name if os.path.samestat(here, Path(name).stat()) else None
    except (OSError, ValueError, AttributeError):  # A member of an archive has a name, but no file.
        return None


def _content(slot: MediaSlot, file: Any) -> bytes:
    position = None
    if getattr(file, "seekable", bool)():
        position = file.tell()
        file.seek(0)
    content = bytearray()
    try:
        while block := file.read(_BLOCK):
            if not isinstance(block, (bytes, bytearray, memoryview)):
                text = f"{slot.name}: the open file gives {type(block).__name__}, not bytes"
                raise slot.error(text, 'Open it with open(path, "rb").')
            content += block
            if len(content) > _MOST:
                text = f"{slot.name}: the open file has more than {_MOST >> 30} GiB"
                raise slot.error(text, "Give its path.")
    finally:
        if position is not None:
            file.seek(position)
    return bytes(content)


# -- images from memory ------------------------------------------------------------

_PNG_MODES = ("L", "LA", "RGB", "RGBA")
_CONVERTED = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"} | dict.fromkeys(
    ("CMYK", "YCbCr", "HSV", "LAB"), "RGB"
)
_CLEAR = {"L": "LA", "1": "LA", "RGB": "RGBA", "P": "RGBA"}
"""The mode for an image with one transparent colour, by its mode."""

_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}
_SHAPES = "(height, width, 3), with 4 for transparency, or (height, width) for grey"
_BRIGHTEST = 65_535  # of 16 bits
_UNDECODABLE = (OSError, ValueError, SyntaxError)  # of Pillow, which decodes an opened file only when used


def _read_pixels(slot: MediaSlot, value: Any) -> LocalFile | None:
    """Return an image from memory as a PNG file, or None if the value is no image.

    The file has the pixels only, as a notebook shows them. Camera position and colour profile are left out.
    The value is a Pillow image, or an array of bytes (`uint8`) or anything that NumPy can read as one: RGB or
    RGBA of shape (height, width, 3 or 4), grey of shape (height, width) or (height, width, 1).

    Raises:
        InvalidValue: It has no pixels, values that are not bytes, another shape or a mode that PNG does
            not have, or the slot accepts no image.
    """
    # A Pillow image exists only if its module is imported already. An import here takes 0.1 s.
    loaded = sys.modules.get("PIL.Image")
    if loaded is not None and isinstance(value, loaded.Image):
        return _pillow_file(slot, value)
    if isinstance(value, type) or not hasattr(value, "__array__"):
        return None
    try:
        array = np.asarray(value)
    except Exception as error:  # noqa: BLE001 -- a tensor on a GPU raises what its library likes
        raise slot.error(
            f"{slot.name}: {type(value).__name__} cannot be read as an array ({str(error)[:80]})",
            "For a tensor, give tensor.detach().cpu().numpy().",
        ) from None
    if not array.ndim:
        return None
    mode, size = _array_mode(slot, array), (array.shape[1], array.shape[0])
    pixels: NDArray[np.uint8] = np.ascontiguousarray(array)
    return _png_file(slot, pillow.frombytes(mode, size, pixels.tobytes()))


def _pillow_file(slot: MediaSlot, image: Image) -> LocalFile:
    """Return a Pillow image as a file, with the hash of the form in which earlier releases sent it."""
    try:
        plain = plain_image(image)
        file = _png_file(slot, plain)
        mode = image.mode if image.mode in _PNG_MODES else _CONVERTED.get(image.mode)
        if image.mode == "P" and "transparency" in image.info:
            mode = "RGBA"
        upright = image.getexif().get(ORIENTATION, 1) == 1
        if mode is None or (upright and (plain.mode, plain.size) == (mode, image.size)):
            return file
        before = image if image.mode == mode else image.convert(mode)
        return replace(file, earlier=_pixel_hash(before))
    except _UNDECODABLE as error:
        raise slot.error(
            f"{slot.name}: the image cannot be decoded ({error})", "Its file is damaged: use another one."
        ) from None
    except _NoBytesError as error:
        raise slot.error(
            f"{slot.name}: the image has the mode {image.mode!r}, whose values are not bytes",
            _remedy(error.array, "numpy.asarray(image)"),
        ) from None


def _png_file(slot: MediaSlot, image: Image) -> LocalFile:
    slot.check("image", "an image", "the value")
    width, height = image.size
    if not width or not height:
        raise slot.error(f"{slot.name}: the image has no pixels ({width}×{height})")
    content = BytesIO()
    image.save(content, "PNG")
    digest = _pixel_hash(image)
    return LocalFile(None, content.getvalue(), f"{slot.name}.png", "image/png", content.tell(), digest)


def _pixel_hash(image: Image) -> str:
    pixels = hashlib.sha256(f"{image.mode} {image.width} {image.height}\n".encode())
    pixels.update(image.tobytes())
    return pixels.hexdigest()


ORIENTATION = 0x0112
"""The EXIF tag."""


class _NoBytesError(Exception):
    """The values of an image are neither bytes nor 16-bit numbers."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        super().__init__("The values are not bytes.")


def plain_image(image: Image) -> Image:
    """Return the image upright, without metadata, in a mode that every PNG reader supports.

    A transparent colour becomes transparency, and 16 bits become 8 of the same range.

    Raises:
        OSError, ValueError, SyntaxError: It cannot be decoded.
        _NoBytesError: Its values are not bytes, nor 16-bit numbers.
    """
    upright = image_ops.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        array = np.asarray(upright)
        if upright.mode == "F" or (array.size and not 0 <= array.min() <= array.max() <= _BRIGHTEST):
            raise _NoBytesError(array)
        upright = pillow.fromarray(((array.astype("uint32") + 128) // 257).astype("uint8"))
    mode = upright.mode if upright.mode in _PNG_MODES else _CONVERTED.get(upright.mode)
    if mode is None:
        raise _NoBytesError(np.asarray(upright))
    if "transparency" in upright.info:
        mode = _CLEAR.get(upright.mode, mode)
    plain = upright.copy() if upright.mode == mode else upright.convert(mode)
    plain.info = {}
    return plain


def _array_mode(slot: MediaSlot, array: NDArray[Any]) -> str:
    """Return the Pillow mode for the values of an array."""
    shape = "×".join(map(str, array.shape))
    if array.ndim == 1:
        raise slot.error(
            f"{slot.name} takes one file, and the array has {len(array)} values",
            "Give one of them, or a sweep for all: kling_nb.sweep(…).",
        )
    if not array.size:
        raise slot.error(f"{slot.name}: the array has no pixels ({shape})")
    if array.dtype != "uint8":
        raise slot.error(
            f"{slot.name}: the array has values of type {array.dtype}, not uint8", _remedy(array, "array")
        )
    if array.ndim == 2:
        return "L"
    if array.ndim == 3 and array.shape[2] in _CHANNELS:
        return _CHANNELS[array.shape[2]]
    remedy = f"Give an array of shape {_SHAPES}."
    if array.ndim == 3 and array.shape[0] in _CHANNELS:
        remedy = "Its channels come first: numpy.moveaxis(array, 0, -1) puts them last."
    elif array.ndim == 4:
        remedy = "It contains several images: give one of them, such as array[0], or list(array) for a list."
    raise slot.error(f"{slot.name}: the array has the shape {shape}", remedy)


def _remedy(array: NDArray[Any], name: str) -> str:
    """Return how to convert the values of an array to bytes. `name` is its name in the code."""
    if array.dtype.kind == "b":
        return f"For black and white: {name}.astype('uint8') * 255."
    if array.dtype.kind not in "iuf":
        return "Give numbers from 0 to 255 as uint8."
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return f"Some values are not finite: numpy.nan_to_num({name}) first."
    low, high = float(array.min()), float(array.max())
    ranges = [(0, 1, f"({name} * 255)"), (0, 255, name), (0, _BRIGHTEST, f"({name} // 257)")]
    if array.dtype.kind == "f":
        ranges = [ranges[0], (-1, 1, f"(({name} + 1) * 127.5)"), ranges[1]]
        ranges = [(bottom, top, f"{scaled}.round()") for bottom, top, scaled in ranges]
    for bottom, top, scaled in ranges:
        if bottom <= low and high <= top:
            return f"For values from {bottom} to {top}: {scaled}.astype('uint8')."
    return (
        f"Its values are from {low:g} to {high:g}. Scale them to 0 to 255: "
        f"(({name} - {low:g}) * (255 / {max(high - low, 1):g})).astype('uint8')."
    )
