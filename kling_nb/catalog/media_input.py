"""What was given for a file: an address that is sent as it is, or a local file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from kling_nb.catalog import address, opened, pixels
from kling_nb.catalog.local_file import LocalFile
from kling_nb.catalog.media_slot import MediaSlot
from kling_nb.catalog.media_type import NOUNS
from kling_nb.catalog.problem import Unfit, report
from kling_nb.catalog.wording import quote

_ALSO = "A picture (PIL or NumPy), an open file or an earlier result will do, too."


def take(slot: MediaSlot, value: Any) -> str | LocalFile:
    """The address as a text, or the file.

    Args:
        slot: Where it is to go.
        value: URL, data URI, path (text or `os.PathLike`), bytes, a Pillow image, a NumPy array
            (see `pixels`), a file open for reading bytes (see `opened`), an earlier result such as
            a `Video` (anything with a `path`), or a `LocalFile` that an earlier request was made with.

    Raises:
        Unfit: It is none of these, or does not fit.
    """
    if isinstance(value, LocalFile):
        slot.check(value.content_type.partition("/")[0], value.content_type, quote(value.name))
        slot.check_size(value.size, quote(value.name))
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return LocalFile.from_bytes(bytes(value), slot)
    if isinstance(value, os.PathLike):
        return LocalFile.from_path(os.fsdecode(value), slot)
    if isinstance(value, str):
        return _from_text(slot, str.__str__(value).strip())
    found = pixels.take(slot, value) or opened.take(slot, value) or _of_result(slot, value)
    if found is None:
        raise slot.unfit(
            f"{slot.name} takes a URL, a path or bytes, not {quote(value)}", f"{_ALSO} {slot.wanted}"
        )
    return found


def _from_text(slot: MediaSlot, text: str) -> str | LocalFile:
    if not text:
        raise slot.unfit(f"{slot.name} is empty", f"Give a URL or a path. {slot.wanted}")
    scheme = address.scheme_of(text)
    if scheme in ("http", "https", "data") or (scheme and not _exists(text)):
        data = address.check(slot, text)
        # A long one would stand in every record of the job, and in the one request that costs money.
        return LocalFile.from_bytes(data, slot) if data and len(text) > address.LONGEST_INLINE else text
    return LocalFile.from_path(text, slot)  # also a file that is called "take:2.png"


def _of_result(slot: MediaSlot, value: Any) -> LocalFile | None:
    """The file of an earlier result. The catalogue knows no `Video`, so it goes by what one has."""
    path = getattr(value, "path", None)
    if isinstance(value, type) or not isinstance(path, Path):
        return None
    has_frames = hasattr(type(value), "last_frame")
    if has_frames and "image" in slot.kinds and "video" not in slot.kinds:
        raise slot.unfit(
            f"{slot.name} takes a picture, and {quote(path.name)} is a whole video",
            "Give one of its frames: video.last_frame, or video.frame(2.5).",
        )
    try:
        return LocalFile.from_path(str(path), slot)
    except Unfit as unfit:
        if has_frames and not path.exists():
            raise slot.unfit(
                unfit.problem.text.removesuffix("."), "Run its cell again to get it back."
            ) from None
        raise


def written(taken: str | LocalFile, given: Any) -> str:
    """How it stands in an input that is shown or stored: the address, the path as given, or a hash."""
    if isinstance(taken, str):
        return taken
    if taken.path is None:
        return f"sha256:{taken.sha256}"
    text = os.fsdecode(given).strip() if isinstance(given, (str, os.PathLike)) else str(taken.path)
    # Names that are not UTF-8 reach Python with lone surrogates, which no JSON file can hold.
    return text.encode("utf-8", "replace").decode("utf-8")


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def for_upload(value: Any, content_type: str | None = None, *, read_later: bool = False) -> str | LocalFile:
    """The file to upload, of whatever kind; an address that fal can fetch is returned as it is.

    Args:
        value: As for `take`.
        content_type: MIME type to declare; told from the content, else the name, where left out.
        read_later: Whether a file on disk may come without its hash (see `LocalFile.hashed`).

    Raises:
        MediaInputError: It cannot be read, is empty, or is not what its name or `content_type` says.
    """
    slot = MediaSlot(("file",), ("file",), read_later=read_later)
    try:
        taken = take(slot, value)
        if isinstance(taken, str):
            if address.scheme_of(taken) != "data":
                return taken
            taken = LocalFile.from_bytes(address.check(slot, taken), slot)
        return taken if content_type is None else _declared(slot, taken, content_type.strip().lower())
    except Unfit as unfit:
        raise report([unfit.problem]) from None


def _declared(slot: MediaSlot, file: LocalFile, content_type: str) -> LocalFile:
    said, found = content_type.partition("/")[0], file.content_type.partition("/")[0]
    if said in NOUNS and found in NOUNS and said != found:
        raise slot.unfit(
            f"{slot.name}: {quote(file.name)} is {NOUNS[found]}, not {quote(content_type)}",
            "Leave content_type out: it is told from the content.",
        )
    return replace(file, content_type=content_type)
