"""A piece of a file, for a view that fetches it through the kernel."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from kling_nb.errors import MediaError, UsageError

CHUNK_LIMIT = 4 * 1024 * 1024
"""Bytes of a file in one message."""


def read_chunk(path: Path, msg: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Read `length` bytes from `offset` on; fewer at the end of the file.

    Args:
        path: The file.
        msg: The command's `{"offset": …, "length": …}`, as it came.

    Returns:
        What the piece is (`offset`, `total` bytes of the file, `content_type`, file `name`), and the piece.

    Raises:
        UsageError: Offset or length are no whole numbers or out of range.
        MediaError: The file cannot be read.
    """
    offset, length = _whole(msg, "offset", 0), _whole(msg, "length", 1)
    if length > CHUNK_LIMIT:
        raise UsageError(f"length is {length}; at most {CHUNK_LIMIT} bytes go into one message.")
    try:
        with path.open("rb") as file:
            total = file.seek(0, 2)
            file.seek(offset)
            piece = file.read(length)
    except OSError as error:
        raise MediaError(f"{path.name} cannot be read: {error.strerror}.") from error
    content_type = mimetypes.guess_type(path.name)[0] or "video/mp4"
    return {"offset": offset, "total": total, "content_type": content_type, "name": path.name}, piece


def _whole(msg: dict[str, Any], name: str, least: int) -> int:
    value = msg.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} is {value!r}; it must be a whole number from {least} on.")
    return value
