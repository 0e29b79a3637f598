"""A download that a killed process began: how far it surely came, so that only the rest is fetched.

While a file comes in, a checkpoint beside it says what it is of, and what of it is on the disk: its size and
SHA-256, written after an fsync. The process holds a lock on the file; the lock ends with the process, and
whoever gets it then may go on. Where there are no such locks (Windows), a download begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kling_nb.video.placing import temporary_beside, write_whole

CHECKPOINT_EVERY = 4 * 2**20
"""Bytes: an fsync for each costs less than fetching them again."""

ENDING = ".at"


@dataclass(frozen=True, slots=True)
class Origin:
    """Which bytes are coming in: this version of this file, for this request."""

    backend: str
    request_id: str
    url: str
    etag: str
    length: int


@dataclass(slots=True)
class Begun:
    """The checked first part of a file. Whoever has it owns its temporary file, and the lock on it.

    Attributes:
        path: The temporary file, of exactly `size` bytes.
        descriptor: Open for writing at its end, locked.
        size: Bytes that are there.
        hash: SHA-256 so far.
        head: The first bytes.
        origin: What it is of.
    """

    path: Path
    descriptor: int
    size: int
    hash: Any
    head: bytes
    origin: Origin

    def discard(self) -> None:
        """Give it up."""
        with suppress(OSError):
            os.close(self.descriptor)
        self.path.unlink(missing_ok=True)


def lock(descriptor: int) -> bool:
    """Whether the file is this process's alone now."""
    try:
        import fcntl  # noqa: PLC0415 -- not on Windows
    except ImportError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def note(path: Path, origin: Origin, size: int, sha256: str) -> None:
    """Say that the first `size` bytes of the temporary file are on the disk. It may be left unsaid."""
    said = json.dumps({**asdict(origin), "size": size, "sha256": sha256}).encode()
    with suppress(OSError):
        write_whole(_checkpoint(path), lambda place: _write(place, said), overwrite=True)


def forget(path: Path) -> None:
    """Remove what was said about a temporary file."""
    with suppress(OSError):
        _checkpoint(path).unlink(missing_ok=True)


def take_up(folder: Path, backend: str, request_id: str, url: str, *, head: int) -> Begun | None:
    """What a process that is no more fetched of a file, or None.

    Args:
        folder: Where it is.
        backend: "fal" or "local".
        request_id: Of the request that gave it.
        url: Where the rest is.
        head: How many of its first bytes to keep at hand.
    """
    for path, origin, size, sha256 in _left(folder):
        if (origin.backend, origin.request_id, origin.url) == (backend, request_id, url):
            begun = _taken(path, origin, size, sha256, head)
            if begun is not None:
                return begun
    return None


def _left(folder: Path) -> Iterator[tuple[Path, Origin, int, str]]:
    with suppress(OSError):
        for place in sorted(folder.glob(f".kling-*.part{ENDING}")):
            with suppress(OSError, ValueError, TypeError, KeyError):
                said = json.loads(place.read_bytes())
                size, sha256 = int(said.pop("size")), str(said.pop("sha256"))
                yield place.with_name(place.name.removesuffix(ENDING)), Origin(**said), size, sha256


def _taken(path: Path, origin: Origin, size: int, sha256: str, head: int) -> Begun | None:
    """The file as this process's own, if nobody is at it and it holds what its checkpoint says."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    mine = temporary_beside(path)
    try:
        if not lock(descriptor) or os.fstat(descriptor).st_ino != path.stat().st_ino:
            raise OSError("somebody else has it")
        found = hashlib.sha256()
        first = b""
        while found_size := size - os.lseek(descriptor, 0, os.SEEK_CUR):
            data = os.read(descriptor, min(found_size, 2**20))
            if not data:
                raise OSError("it is shorter than was said")
            first = first or data[:head]
            found.update(data)
        if found.hexdigest() != sha256 or not 0 < size < origin.length:
            raise OSError("it is not what was said")
        os.ftruncate(descriptor, size)
        path.replace(mine)
        forget(path)
    except OSError:
        os.close(descriptor)
        return None
    return Begun(mine, descriptor, size, found, first, origin)


def _checkpoint(path: Path) -> Path:
    return path.with_name(path.name + ENDING)


def _write(place: Path, data: bytes) -> None:
    with place.open("xb") as file:
        file.write(data)
