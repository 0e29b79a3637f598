"""What was given for a file: an address that is sent as it is, or a local file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kling_nb.catalog import address
from kling_nb.catalog.local_file import LocalFile
from kling_nb.catalog.media_slot import MediaSlot
from kling_nb.catalog.wording import quote


def take(slot: MediaSlot, value: Any) -> str | LocalFile:
    """The address as a text, or the file.

    Args:
        slot: Where it is to go.
        value: URL, data URI, path (text or `os.PathLike`), bytes, or a `LocalFile` that an
            earlier request was made with.

    Raises:
        Unfit: It is none of these, or does not fit.
    """
    if isinstance(value, LocalFile):
        slot.check(value.content_type.partition("/")[0], value.content_type, quote(value.name))
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return LocalFile.from_bytes(bytes(value), slot)
    if isinstance(value, os.PathLike):
        return LocalFile.from_path(os.fsdecode(value), slot)
    if not isinstance(value, str):
        raise slot.unfit(f"{slot.name} takes a URL, a path or bytes, not {quote(value)}")
    text = str.__str__(value).strip()
    if not text:
        raise slot.unfit(f"{slot.name} is empty", f"Give a URL or a path. {slot.wanted}")
    scheme = address.scheme_of(text)
    if scheme in ("http", "https", "data") or (scheme and not _exists(text)):
        address.check(slot, text)
        return text
    return LocalFile.from_path(text, slot)  # also a file that is called "take:2.png"


def written(taken: str | LocalFile, given: Any) -> str:
    """How it stands in an input that is shown or stored: the address, the path as given, or a hash."""
    if isinstance(taken, str):
        return taken
    if taken.path is None:
        return f"sha256:{taken.sha256}"
    text = str(taken.path) if isinstance(given, LocalFile) else os.fsdecode(given).strip()
    # Names that are not UTF-8 reach Python with lone surrogates, which no JSON file can hold.
    return text.encode("utf-8", "replace").decode("utf-8")


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
