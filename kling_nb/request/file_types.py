"""Recognise the type of a file by its first bytes, never by its name.

This is the only table of file signatures: inputs, results and exported pages all use it. The
signatures come from the formats' own specifications: PNG, JFIF, RIFF, GIF89a, ISO base media
(`ftyp` brands), Matroska/EBML, Ogg, MPEG audio, FLAC.
"""

from __future__ import annotations

from dataclasses import dataclass

HEAD = 512
"""Number of bytes from the start that are enough to recognise a type."""


@dataclass(frozen=True, slots=True)
class FileType:
    """A type of file.

    Attributes:
        kind: `image`, `video`, `audio`, or `data` for everything else.
        mime: MIME type, for uploads and sidecars.
        suffix: Usual suffix of a file name, with its dot.
        noun: The type in words, with its article.
        accepted: True if a file of this type may be the input of a request.
    """

    kind: str
    mime: str
    suffix: str
    noun: str
    accepted: bool = True


NOUNS = {"image": "an image", "video": "a video", "audio": "an audio file"}
FORMATS = {
    "image": "PNG, JPEG, WebP, GIF, AVIF or HEIC",
    "video": "MP4, MOV or WebM",
    "audio": "MP3, WAV, Ogg, M4A or FLAC",
}
"""The accepted formats of each kind, for messages."""

_PNG = FileType("image", "image/png", ".png", "a PNG image")
_JPEG = FileType("image", "image/jpeg", ".jpg", "a JPEG image")
_WEBP = FileType("image", "image/webp", ".webp", "a WebP image")
GIF = FileType("image", "image/gif", ".gif", "a GIF image")
_AVIF = FileType("image", "image/avif", ".avif", "an AVIF image")
_HEIC = FileType("image", "image/heic", ".heic", "a HEIC image")
MP4 = FileType("video", "video/mp4", ".mp4", "an MP4 video")
_MOV = FileType("video", "video/quicktime", ".mov", "a QuickTime video")
_WEBM = FileType("video", "video/webm", ".webm", "a WebM video")
_MKV = FileType("video", "video/x-matroska", ".mkv", "a Matroska video")
_AVI = FileType("video", "video/x-msvideo", ".avi", "an AVI video", accepted=False)
_MP3 = FileType("audio", "audio/mpeg", ".mp3", "an MP3 audio file")
_WAV = FileType("audio", "audio/wav", ".wav", "a WAV audio file")
_OGG = FileType("audio", "audio/ogg", ".ogg", "an Ogg audio file")
M4A = FileType("audio", "audio/mp4", ".m4a", "an M4A audio file")
_FLAC = FileType("audio", "audio/flac", ".flac", "a FLAC audio file")
_AAC = FileType("audio", "audio/aac", ".aac", "an AAC audio file")
_INPUTS = (
    _PNG, _JPEG, _WEBP, GIF, _AVIF, _HEIC, MP4, _MOV, _WEBM, _MKV, _MP3, _WAV, _OGG, M4A, _FLAC, _AAC,
)  # fmt: skip
ACCEPTED = frozenset(known.mime for known in _INPUTS)
"""MIME types of all formats that may be an input."""


def _text(noun: str = "plain text") -> FileType:
    # A web page or an SVG drawing from a server is stored as plain text, so that no browser runs its scripts.
    return FileType("data", "text/plain", ".txt", noun, accepted=False)


def _bytes(noun: str = "data of no known media format") -> FileType:
    return FileType("data", "application/octet-stream", ".bin", noun, accepted=False)


TEXT, BYTES = _text(), _bytes()
JSON = FileType(
    "data", "application/json", ".data.json", TEXT.noun, accepted=False
)  # The suffix .json belongs to sidecars.
_WEB_PAGE, _XML, _SVG = _text("a web page (HTML)"), _text("an XML document"), _text("an SVG drawing")

_SIGNATURES: tuple[tuple[int, bytes, FileType], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", _PNG),
    (0, b"\xff\xd8\xff", _JPEG),
    (0, b"GIF87a", GIF),
    (0, b"GIF89a", GIF),
    (0, b"OggS", _OGG),
    (0, b"fLaC", _FLAC),
    (0, b"ID3", _MP3),
    # QuickTime files older than `ftyp` start with one of these atoms.
    (4, b"moov", _MOV),
    (4, b"mdat", _MOV),
    (4, b"wide", _MOV),
    # Files of these types are refused. The table has them so that the message can name the type.
    (0, b"%PDF-", _bytes("a PDF document")),
    (0, b"PK\x03\x04", _bytes("a ZIP archive")),
    (0, b"BM", _bytes("a BMP image")),
    (0, b"II*\x00", _bytes("a TIFF image")),
    (0, b"MM\x00*", _bytes("a TIFF image")),
    (0, b"version https://git-lfs", _text("a Git LFS pointer, not the file itself")),
)
"""Offset, the bytes at that offset, and the type that they mean."""

_RIFF = {b"WEBP": _WEBP, b"WAVE": _WAV, b"AVI ": _AVI}
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), _AVIF),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis"), _HEIC),
    **dict.fromkeys((b"M4A ", b"M4B "), M4A),
    b"qt  ": _MOV,
}
_IMAGE_CONTAINERS = frozenset({b"mif1", b"msf1"})  # Their other brands name the codec.


def file_type(head: bytes) -> FileType:
    """Return the type of a file that begins with `head`. Every content has one."""
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[:4] == b"\x1aE\xdf\xa3":
        return _MKV if b"matroska" in head[:64] else _WEBM
    for offset, signature, found in _SIGNATURES:
        if head.startswith(signature, offset):
            return found
    return _mpeg_audio(head) or _text_or_bytes(head)


def detect(head: bytes) -> FileType | None:
    """Return the type of a file that begins with `head`, or None if it cannot be an input."""
    found = file_type(head)
    return found if found.accepted else None


def _iso_media(head: bytes) -> FileType:
    major = head[8:12]
    if major in _IMAGE_CONTAINERS:
        end = min(int.from_bytes(head[:4], "big"), len(head))
        brands = [head[at : at + 4] for at in range(16, end, 4)]
        return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), _HEIC)
    return _BRANDS.get(major, MP4)


def _mpeg_audio(head: bytes) -> FileType | None:
    """Read a frame header: 11 bits of sync, 2 of version, 2 of layer (01 is layer III)."""
    if len(head) < 2 or head[0] != 0xFF:
        return None
    second = head[1]
    if second & 0xF6 == 0xF0:  # ADTS has 12 bits of sync and layer 0.
        return _AAC
    reserved = second & 0x18 == 0x08
    return _MP3 if second & 0xE0 == 0xE0 and second & 0x06 == 0x02 and not reserved else None


def _text_or_bytes(head: bytes) -> FileType:
    text = head.decode("utf-8", "replace")
    if len(head) >= HEAD:  # The last character may be cut.
        text = text[:-1]
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html")):
        return _WEB_PAGE
    if "<svg" in start:
        return _SVG
    if start.startswith(("<?xml", "<error")):
        return _XML
    if not text or "\x00" in text or "\ufffd" in text:
        return BYTES
    return JSON if start[:1] in {"{", "["} else TEXT
