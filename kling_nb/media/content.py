"""What a file is, by its first bytes. What a server calls it is only a claim."""

from __future__ import annotations

from dataclasses import dataclass

from kling_nb.errors import MediaError

HEAD = 512
"""Bytes that `file_type` needs to see."""


@dataclass(frozen=True, slots=True)
class FileType:
    """A type of file: its MIME type and the extension it is stored under, with its dot."""

    content_type: str
    extension: str


_MP4 = FileType("video/mp4", ".mp4")
_M4A = FileType("audio/mp4", ".m4a")
_GIF = FileType("image/gif", ".gif")
_JSON = FileType("application/json", ".data.json")  # .json alone is the sidecar's
_TEXT = FileType("text/plain", ".txt")
_BYTES = FileType("application/octet-stream", ".bin")

# First bytes, where they stand, and what they mean (file formats' own specifications).
_SIGNATURES: tuple[tuple[int, bytes, FileType], ...] = (
    (4, b"ftypqt", FileType("video/quicktime", ".mov")),
    (4, b"ftypM4A", _M4A),
    (4, b"ftypM4B", _M4A),
    (4, b"ftypavif", FileType("image/avif", ".avif")),
    (4, b"ftypavis", FileType("image/avif", ".avif")),
    (4, b"ftypheic", FileType("image/heic", ".heic")),
    (4, b"ftypmif1", FileType("image/heif", ".heif")),
    (4, b"ftyp", _MP4),
    (4, b"moov", FileType("video/quicktime", ".mov")),
    (8, b"AVI ", FileType("video/x-msvideo", ".avi")),
    (8, b"WAVE", FileType("audio/wav", ".wav")),
    (8, b"WEBP", FileType("image/webp", ".webp")),
    (0, b"GIF8", _GIF),
    (0, b"\xff\xd8\xff", FileType("image/jpeg", ".jpg")),
    (0, b"\x89PNG\r\n\x1a\n", FileType("image/png", ".png")),
    (0, b"OggS", FileType("audio/ogg", ".ogg")),
    (0, b"fLaC", FileType("audio/flac", ".flac")),
    (0, b"ID3", FileType("audio/mpeg", ".mp3")),
    (0, b"\xff\xfb", FileType("audio/mpeg", ".mp3")),
    (0, b"\xff\xf3", FileType("audio/mpeg", ".mp3")),
    (0, b"\xff\xf2", FileType("audio/mpeg", ".mp3")),
    (0, b"\xff\xf1", FileType("audio/aac", ".aac")),
    (0, b"\xff\xf9", FileType("audio/aac", ".aac")),
)
_EBML = b"\x1a\x45\xdf\xa3"
_RIFF = {b"AVI ", b"WAVE", b"WEBP"}
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<error")


def checked_type(head: bytes, kind: str, name: str) -> FileType:
    """The type of the file that begins with `head`, where it is of the wanted kind.

    Args:
        head: Its first 512 bytes, or all of it.
        kind: "video", "audio", "image", or "data" for anything.
        name: What to call it in the error.

    Raises:
        MediaError: It is something else.
    """
    found = _of_kind(file_type(head), kind)
    if found is None:
        raise MediaError(
            f"{name} was to be {_ARTICLE.get(kind, kind)} and is {_said(head)}. It was not kept.",
            remedy="%kling resume fetches the result again, at no charge.",
        )
    return found


def file_type(head: bytes) -> FileType:
    """The type of the file that begins with `head`."""
    for offset, signature, found in _SIGNATURES:
        if head.startswith(signature, offset) and (signature not in _RIFF or head.startswith(b"RIFF")):
            return found
    if head.startswith(_EBML):
        webm = b"webm" in head[:64]
        return FileType("video/webm", ".webm") if webm else FileType("video/x-matroska", ".mkv")
    if head.lstrip()[:1] in {b"{", b"["}:
        return _JSON
    # A character may be cut at the end of the head, so only the beginning has to decode.
    readable = b"\0" not in head and "\ufffd" not in head.decode("utf-8", "replace")[:-4]
    return _TEXT if head and readable else _BYTES


_ARTICLE = {"video": "a video", "audio": "a sound", "image": "a picture"}


def _of_kind(found: FileType, kind: str) -> FileType | None:
    """`found` as a file of `kind`; some containers hold more than one kind."""
    if kind == "data" or found.content_type.startswith(f"{kind}/"):
        return found
    if kind == "video" and found is _GIF:
        return found
    if kind == "audio" and found is _MP4:
        return _M4A
    return None


def _said(head: bytes) -> str:
    """What it is, in words."""
    if not head:
        return "empty"
    if head.lstrip()[:9].lower().startswith(_PAGES):
        return "a web page"
    found = file_type(head)
    return "of no known type" if found is _BYTES else found.content_type
