"""Open files and file-like objects as input."""

from __future__ import annotations

import os
from io import TextIOBase
from pathlib import Path
from typing import Any

from kling_nb.catalog.local_file import LocalFile
from kling_nb.catalog.media_slot import MediaSlot
from kling_nb.catalog.wording import quote

_MOST = 1 << 30  # bytes taken into memory from what is not a file on disk
_BLOCK = 1 << 20


def take(slot: MediaSlot, value: Any) -> LocalFile | None:
    """The content of an open file, or None where the value is none.

    The whole file counts, wherever it stands, and it is left where it stood: so a picture just
    written to a `BytesIO` can be given as it is, and the cell can be run again. What cannot go
    back, such as a socket, is read from where it stands. A file on disk is not read into memory.

    Raises:
        Unfit: It is closed, open for text or for writing only, empty, or does not fit.
    """
    if isinstance(value, type) or not callable(getattr(value, "read", None)):
        return None
    if isinstance(value, TextIOBase):
        raise slot.unfit(f"{slot.name}: the file is open for text", 'Open it with open(path, "rb").')
    try:
        path = _on_disk(value)
        if path is not None:
            return LocalFile.from_path(path, slot)
        data = _content(slot, value)
    except (OSError, ValueError) as error:  # closed files raise ValueError
        raise slot.unfit(
            f"{slot.name}: the open file cannot be read ({error})", 'Open it with open(path, "rb").'
        ) from None
    name = getattr(value, "name", None)
    name = Path(name).name if isinstance(name, str) else ""
    if not data:
        raise slot.unfit(f"{slot.name}: the open file is empty, or has been read already")
    subject = quote(name) if name else f"the open file ({len(data):,} bytes)"
    return LocalFile.from_bytes(data, slot, subject=subject, name=name)


def _on_disk(file: Any) -> str | None:
    """The path of the file that is open, where that is still the same one."""
    name = getattr(file, "name", None)
    if getattr(file, "closed", False) or not isinstance(name, str):
        return None
    try:
        here = os.fstat(file.fileno())
        if hasattr(file, "flush"):
            file.flush()  # what was written so far
        return name if os.path.samestat(here, Path(name).stat()) else None
    except (OSError, ValueError, AttributeError):  # a member of an archive has a name, too
        return None


def _content(slot: MediaSlot, file: Any) -> bytes:
    stood = None
    if getattr(file, "seekable", bool)():
        stood = file.tell()
        file.seek(0)
    try:
        return _read(slot, file)
    finally:
        if stood is not None:
            file.seek(stood)


def _read(slot: MediaSlot, file: Any) -> bytes:
    content = bytearray()
    most = min(_MOST, slot.max_bytes or _MOST)
    while block := file.read(_BLOCK):
        if not isinstance(block, (bytes, bytearray, memoryview)):
            raise slot.unfit(
                f"{slot.name}: the open file gives {type(block).__name__}, not bytes",
                'Open it with open(path, "rb").',
            )
        content += block
        if len(content) > most:
            slot.check_size(len(content), "the open file")
            raise slot.unfit(f"{slot.name}: the open file has more than {_MOST >> 30} GiB", "Give its path.")
    return bytes(content)
