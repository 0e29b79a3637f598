"""`Index`: the sidecars and files of a media folder, read again only after a change.

Every look-up lists the folder, because a user or another kernel may have moved files. Parsed sidecars and
checksums are kept by path, time and size. In a folder of many takes, times and sizes of all files are read
for at most a tenth of the time, because else each of a thousand jobs would read those of all others. Those of
the sidecars that a look-up returns are always read.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from kling_nb.media.take import Sidecar, read_sidecar

Stamp = tuple[str, int, int]
"""Path, modification time in ns, size: a file that has not changed."""

_DEEPEST = 12
_FEW = 200
"""Up to so many sidecars are all checked at each look-up."""

_SHARE = 10
"""At most one part in so many of the time is spent on checking more of them."""


class _Note(NamedTuple):
    """A JSON file as it was read. `sidecar` is None if it is not a sidecar."""

    path: Path
    stamp: Stamp
    sidecar: Sidecar | None


class Index:
    """Sidecars and files of one folder and its subfolders.

    Hidden files and folders (`.ipynb_checkpoints`, unfinished downloads) are left out.

    Threads: any.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._notes: dict[tuple[str, int], _Note] = {}
        self._ordered: list[_Note] = []
        self._next_full_check = 0.0
        self._checksums: dict[Stamp, str] = {}
        self._lock = Lock()

    def sidecars(self, wanted: Callable[[Sidecar], bool]) -> list[tuple[Path, Sidecar]]:
        """Return the readable sidecars for which `wanted` is true, with their paths, in order of path."""
        with self._lock:
            self._update()
            found = []
            for note in self._ordered:
                if note.sidecar and wanted(note.sidecar):
                    sidecar = self._current(note)
                    if sidecar and wanted(sidecar):
                        found.append((note.path, sidecar))
            return found

    def _update(self) -> None:
        """List the folder. A replaced file has another inode, and a changed one another stamp."""
        start = time.monotonic()
        full = len(self._notes) <= _FEW or start >= self._next_full_check
        known, notes = self._notes, {}
        for entry in _files(self.folder):
            if not _may_be_sidecar(entry.name):
                continue
            handle = entry.path, entry.inode()
            note = known.get(handle)
            if note is None or full:
                stamp = _stamp(entry)
                if note is None or note.stamp != stamp:
                    note = _read(stamp)
            notes[handle] = note
        if full:
            now = time.monotonic()
            self._next_full_check = now + _SHARE * (now - start)
        if notes.keys() != known.keys() or full:
            self._ordered = sorted(notes.values(), key=lambda note: note.stamp)
        self._notes = notes

    def _current(self, note: _Note) -> Sidecar | None:
        """Return the present content."""
        with suppress(OSError):
            status = note.path.stat()
            stamp = (note.stamp[0], status.st_mtime_ns, status.st_size)
            return note.sidecar if stamp == note.stamp else read_sidecar(note.path)
        return None

    def media_of(self, note: Path, sidecar: Sidecar, *, verify: bool = True) -> Path | None:
        """Return the file of a sidecar; None if it is gone or changed.

        It is searched by the name in the sidecar, then by size in the sidecar's folder, then by size in all
        folders. Its SHA-256 must be right.

        Args:
            note: Path of the sidecar.
            sidecar: Its content.
            verify: False checks only the size of the named file, which is enough to know that a name or
                number is used.
        """
        named = note.parent / sidecar.file
        if not verify and _size(named) == sidecar.size:
            return named
        for path in self._candidates(note, named, sidecar):
            if self.checksum(path) == sidecar.sha256:
                return path
        return None

    def checksum(self, path: Path) -> str | None:
        """Return the SHA-256 of a file in hexadecimal, or None if it cannot be read.

        It is computed once until the file changes.
        """
        try:
            status = path.stat()
            stamp = (str(path), status.st_mtime_ns, status.st_size)
            found = self._checksums.get(stamp)
            if found is None:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                self._checksums[stamp] = found
        except OSError:
            return None
        return found

    def remember(self, path: Path, sha256: str) -> None:
        """Keep a checksum that was computed while the file was received."""
        status = path.stat()
        self._checksums[str(path), status.st_mtime_ns, status.st_size] = sha256

    def _candidates(self, note: Path, named: Path, sidecar: Sidecar) -> Iterator[Path]:
        if _size(named) == sidecar.size:
            yield named
        for folder, deep in ((note.parent, False), (self.folder, True)):
            for entry in _files(folder, deep=deep):
                path = Path(entry.path)
                if path != named and _stamp(entry)[2] == sidecar.size and path != note:
                    yield path


def _files(folder: Path, *, deep: bool = True) -> Iterator[os.DirEntry[str]]:
    """Yield the files in `folder` and, if `deep`, in its subfolders."""
    waiting = [(str(folder), 0)]
    seen: set[str] = set()
    while waiting:
        path, depth = waiting.pop()
        with suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_file():
                    yield entry
                elif deep and depth < _DEEPEST and entry.is_dir():
                    # A symbolic link may lead back to a folder above it.
                    real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                    if real not in seen:
                        seen.add(real)
                        waiting.append((entry.path, depth + 1))


def _read(stamp: Stamp) -> _Note:
    path = Path(stamp[0])
    return _Note(path, stamp, read_sidecar(path))


def _may_be_sidecar(name: str) -> bool:
    """Return False for a result that is JSON itself (`.data.json`) and must never count as a sidecar."""
    return name.endswith(".json") and not name.endswith(".data.json")


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    try:
        status = entry.stat()
    except OSError:  # It was deleted after it was listed.
        return entry.path, 0, -1
    return entry.path, status.st_mtime_ns, status.st_size


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
