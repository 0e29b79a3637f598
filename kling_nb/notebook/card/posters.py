"""The posters of videos: stored in the home folder, and as data URIs in the sizes that cards need."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from kling_nb._files import write_file
from kling_nb._lazy import pillow
from kling_nb.errors import KlingError, MediaError
from kling_nb.settings import current_home
from kling_nb.video import Video
from kling_nb.video.frames import small_jpeg


def poster_uri(video: Video, width: int | None = None, largest: int = 0) -> str:
    """Return the poster of a video as a data URI, or an empty text if the file is gone: no card must break.

    Args:
        video: The video.
        width: Its width in pixels at most; None for the poster as it is stored.
        largest: Its bytes at most, if it has a width.
    """
    try:
        jpeg = poster_of(video)
        jpeg = jpeg if width is None else _shrink(jpeg, width, largest)
    except (KlingError, OSError):
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


@lru_cache(200)  # a cell that is run again draws the same strip
def _shrink(jpeg: bytes, width: int, largest: int) -> bytes:
    return small_jpeg(pillow.open(BytesIO(jpeg)), width, largest)


_postponed: ContextVar[tuple[float, list[Video]] | None] = ContextVar("postponed", default=None)


@contextmanager
def postpone_posters(after: float) -> Iterator[list[Video]]:
    """Decode no poster in the block once `after` seconds have passed. Give a list of the videos without one.

    Their cards are not final, so they are drawn again at the next opening.
    """
    found: list[Video] = []
    token = _postponed.set((time.monotonic() + after, found))
    try:
        yield found
    finally:
        _postponed.reset(token)


def count_postponed() -> int:
    """Return how many posters were left out so far in a block of `postpone_posters`."""
    _, found = _postponed.get() or (0.0, [])
    return len(found)


POSTERS = 4_096
"""Number of stored posters, 16 kB each at most. A new one may replace an older one."""


def poster_of(video: Video) -> bytes:
    """Return the poster of a video. It is stored, because to decode it takes 20 to 50 ms.

    Raises:
        MediaError: The file is gone or damaged, or its poster is postponed.
    """
    try:
        status = video.path.stat()
    except OSError:
        return video.poster  # Its error says what is wrong.
    wanted = _key_of(video.path, status)
    places = _places(wanted)
    for place in places:
        with suppress(OSError):
            known, data = (content := place.read_bytes())[:64], content[64:]
            if known == wanted + hashlib.sha256(data).digest():
                return data
    if (postponed := _postponed.get()) is not None and time.monotonic() >= postponed[0]:
        postponed[1].append(video)
        raise MediaError(f"{video.path.name} has no stored poster.")
    content = wanted + hashlib.sha256(video.poster).digest() + video.poster
    with suppress(OSError):
        place = min(places, key=_time_of)
        for folder in (place.parents[1], place.parent):  # A home is not made for posters alone.
            folder.mkdir(mode=0o700, exist_ok=True)
        # A function as content is not synced. A file that is cut short is not used.
        write_file(place, lambda temporary: temporary.write_bytes(content), overwrite=True)
    return video.poster


def _key_of(path: Path, status: os.stat_result) -> bytes:
    """Return what a file is known by: a file that is moved or renamed on its disk keeps its inode."""
    stamp = f"{status.st_ino or path}\0{status.st_mtime_ns}\0{status.st_size}"
    return hashlib.sha256(stamp.encode("utf-8", "surrogatepass")).digest()


def _places(wanted: bytes) -> list[Path]:
    """Return the two places where a poster may be. With one, 20 of 300 would take the place of another."""
    folder = current_home() / "index" / "posters"
    return [folder / f"{int.from_bytes(part) % POSTERS}" for part in (wanted[:4], wanted[4:8])]


def _time_of(place: Path) -> float:
    """Return when a poster was stored, or 0 if the place is free."""
    try:
        return place.stat().st_mtime
    except OSError:
        return 0.0
