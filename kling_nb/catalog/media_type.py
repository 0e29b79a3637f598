"""What a file is, told by its first bytes and never by its name.

Signatures are those of the formats' own specifications: PNG, JFIF, RIFF, GIF89a, ISO
base media (`ftyp` brands), Matroska/EBML, Ogg, MPEG audio, FLAC.
"""

from __future__ import annotations

from dataclasses import dataclass

HEAD = 512
"""How many bytes from the start are enough to tell."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """A format of pictures, videos or sound.

    Attributes:
        kind: `image`, `video` or `audio`.
        mime: MIME type, as an upload declares it.
        suffix: Usual end of a file name, with its dot.
        noun: The format in words.
    """

    kind: str
    mime: str
    suffix: str
    noun: str


_PNG = MediaType("image", "image/png", ".png", "a PNG picture")
_JPEG = MediaType("image", "image/jpeg", ".jpg", "a JPEG picture")
_WEBP = MediaType("image", "image/webp", ".webp", "a WebP picture")
_GIF = MediaType("image", "image/gif", ".gif", "a GIF picture")
_AVIF = MediaType("image", "image/avif", ".avif", "an AVIF picture")
_HEIC = MediaType("image", "image/heic", ".heic", "a HEIC picture")
_MP4 = MediaType("video", "video/mp4", ".mp4", "an MP4 video")
_MOV = MediaType("video", "video/quicktime", ".mov", "a QuickTime video")
_WEBM = MediaType("video", "video/webm", ".webm", "a WebM video")
_MKV = MediaType("video", "video/x-matroska", ".mkv", "a Matroska video")
_MP3 = MediaType("audio", "audio/mpeg", ".mp3", "an MP3 sound")
_WAV = MediaType("audio", "audio/wav", ".wav", "a WAV sound")
_OGG = MediaType("audio", "audio/ogg", ".ogg", "an Ogg sound")
_M4A = MediaType("audio", "audio/mp4", ".m4a", "an M4A sound")
_FLAC = MediaType("audio", "audio/flac", ".flac", "a FLAC sound")
_AAC = MediaType("audio", "audio/aac", ".aac", "an AAC sound")

FORMATS = {
    "image": "PNG, JPEG, WebP, GIF, AVIF or HEIC",
    "video": "MP4, MOV or WebM",
    "audio": "MP3, WAV, Ogg, M4A or FLAC",
}
NOUNS = {"image": "a picture", "video": "a video", "audio": "a sound"}
KNOWN = frozenset(
    {found.mime for found in (_PNG, _JPEG, _WEBP, _GIF, _AVIF, _HEIC, _MP4, _MOV, _WEBM, _MKV)}
    | {found.mime for found in (_MP3, _WAV, _OGG, _M4A, _FLAC, _AAC)}
)
"""MIME types of all formats that `detect` knows."""

_PREFIXES = (
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"\xff\xd8\xff", _JPEG),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"OggS", _OGG),
    (b"fLaC", _FLAC),
    (b"ID3", _MP3),
)
_RIFF = {b"WEBP": _WEBP, b"WAVE": _WAV}
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), _AVIF),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis"), _HEIC),
    **dict.fromkeys((b"M4A ", b"M4B "), _M4A),
    b"qt  ": _MOV,
}
_PICTURE_CONTAINERS = frozenset({b"mif1", b"msf1"})  # the other brands say which codec

# Not media, or not taken; known only to say what the file really is.
_OTHERS = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"BM", "a BMP picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


def detect(head: bytes) -> MediaType | None:
    """The format of a file that begins with `head`, or None where it is none of ours."""
    for prefix, found in _PREFIXES:
        if head.startswith(prefix):
            return found
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso(head)
    if head[:4] == b"\x1aE\xdf\xa3":
        return _MKV if b"matroska" in head[:64] else _WEBM
    if len(head) > 1 and head[0] == 0xFF:
        return _mpeg_audio(head[1])
    # QuickTime files from before `ftyp` start with one of these atoms.
    return _MOV if head[4:8] in (b"moov", b"mdat", b"wide") else None


def describe(head: bytes) -> str:
    """In words, what a file that begins with `head` really is."""
    found = detect(head)
    if found:
        return found.noun
    for prefix, words in _OTHERS:
        if head.startswith(prefix):
            return words
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "an AVI video"
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page (HTML)"
    if b"<svg" in start:
        return "an SVG drawing"
    return "plain text" if _is_text(head) else "data of no known media format"


def _iso(head: bytes) -> MediaType:
    major = head[8:12]
    if major in _PICTURE_CONTAINERS:
        end = min(int.from_bytes(head[:4], "big"), len(head))
        brands = [head[at : at + 4] for at in range(16, end, 4)]
        return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), _HEIC)
    return _BRANDS.get(major, _MP4)


def _mpeg_audio(second: int) -> MediaType | None:
    """By the second byte of a frame header: 3 sync bits, 2 of version, 2 of layer (01 is layer III)."""
    if second & 0xF6 == 0xF0:  # ADTS: twelve sync bits and layer 0
        return _AAC
    reserved = second & 0x18 == 0x08
    return _MP3 if second & 0xE0 == 0xE0 and second & 0x06 == 0x02 and not reserved else None


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", "replace")
    if len(head) >= HEAD:  # the cut may have split the last character
        text = text[:-1]
    return "\x00" not in text and "\ufffd" not in text
