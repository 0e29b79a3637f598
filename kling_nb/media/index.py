"""What is in the media folder, read again only where something changed.

Every look-up lists the folder, so files that a user or another kernel moved are found
where they are now. Parsed sidecars and checksums are kept by path, time and size. In a folder of many
takes, times and sizes are asked for as often as a tenth of the time allows, and always of the
sidecars that a look-up is about: else each of a thousand jobs would ask them of all others' files.

Threads: all of it may be called from any thread.
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

from kling_nb.media.sidecar import Sidecar, read_sidecar

Stamp = tuple[str, int, int]
"""Path, modification time in ns, size: a file that has not changed."""

_DEEPEST = 12
_FEW = 200
"""Up to so many sidecars are all looked at each time."""

_SHARE = 10
"""Of the time, at most one part in so many goes into looking at all of them."""


class _Note(NamedTuple):
    """A sidecar as it was read; None where it is none."""

    path: Path
    stamp: Stamp
    sidecar: Sidecar | None


class Index:
    """Sidecars and files of one folder and the folders in it.

    Hidden files and folders (`.ipynb_checkpoints`, unfinished downloads) are not looked at.

    Attributes:
        folder: The one it is of.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._notes: dict[tuple[str, int], _Note] = {}
        self._ordered: list[_Note] = []
        self._all_again = 0.0
        self._checksums: dict[Stamp, str] = {}
        self._lock = Lock()

    def sidecars(self, wanted: Callable[[Sidecar], bool]) -> list[tuple[Path, Sidecar]]:
        """The readable sidecars that are wanted, with their paths, in order of path."""
        with self._lock:
            self._look()
            found = []
            for note in self._ordered:
                if note.sidecar and wanted(note.sidecar):
                    sidecar = self._current(note)
                    if sidecar and wanted(sidecar):
                        found.append((note.path, sidecar))
            return found

    def _look(self) -> None:
        """List the folder. A file that was replaced has another number, one written to another stamp."""
        start = time.monotonic()
        closely = len(self._notes) <= _FEW or start >= self._all_again
        known, notes = self._notes, {}
        for entry in _files(self.folder):
            if not _may_be_sidecar(entry.name):
                continue
            handle = entry.path, entry.inode()
            note = known.get(handle)
            if note is None or closely:
                stamp = _stamp(entry)
                if note is None or note.stamp != stamp:
                    note = _read(stamp)
            notes[handle] = note
        if closely:
            now = time.monotonic()
            self._all_again = now + _SHARE * (now - start)
        if notes.keys() != known.keys() or closely:
            self._ordered = sorted(notes.values(), key=lambda note: note.stamp)
        self._notes = notes

    def _current(self, note: _Note) -> Sidecar | None:
        """What it says now."""
        with suppress(OSError):
            about = note.path.stat()
            stamp = (note.stamp[0], about.st_mtime_ns, about.st_size)
            return note.sidecar if stamp == note.stamp else read_sidecar(note.path)
        return None

    def media_of(self, note: Path, sidecar: Sidecar, *, verify: bool = True) -> Path | None:
        """The file that `sidecar`, found at `note`, speaks of; None where it is gone or changed.

        Looked for under the name the sidecar gives, then by size in its folder, then by
        size in all folders, and believed when its SHA-256 is right.

        Args:
            note: Where the sidecar lies.
            sidecar: What it says.
            verify: False believes the named file by its size alone, which is enough to see
                that a name or number is in use.
        """
        named = note.parent / sidecar.file
        if not verify and _size(named) == sidecar.size:
            return named
        for path in self._candidates(note, named, sidecar):
            if self.checksum(path) == sidecar.sha256:
                return path
        return None

    def checksum(self, path: Path) -> str | None:
        """SHA-256 of a file in hexadecimal, kept until the file changes; None where it cannot be read."""
        try:
            about = path.stat()
            stamp = (str(path), about.st_mtime_ns, about.st_size)
            found = self._checksums.get(stamp)
            if found is None:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                self._checksums[stamp] = found
        except OSError:
            return None
        return found

    def remember(self, path: Path, sha256: str) -> None:
        """Take over a checksum that was reckoned while the file came in."""
        about = path.stat()
        self._checksums[str(path), about.st_mtime_ns, about.st_size] = sha256

    def _candidates(self, note: Path, named: Path, sidecar: Sidecar) -> Iterator[Path]:
        if _size(named) == sidecar.size:
            yield named
        for folder, deep in ((note.parent, False), (self.folder, True)):
            for entry in _files(folder, deep=deep):
                path = Path(entry.path)
                if path != named and _stamp(entry)[2] == sidecar.size and path != note:
                    yield path


def _files(folder: Path, *, deep: bool = True) -> Iterator[os.DirEntry[str]]:
    """Files in `folder`, and in the folders in it where `deep`."""
    waiting = [(str(folder), 0)]
    seen: set[str] = set()
    while waiting:
        place, depth = waiting.pop()
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_file():
                    yield entry
                elif deep and depth < _DEEPEST and entry.is_dir():
                    # A linked folder may lead back to one above it.
                    real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                    if real not in seen:
                        seen.add(real)
                        waiting.append((entry.path, depth + 1))


def _read(stamp: Stamp) -> _Note:
    path = Path(stamp[0])
    return _Note(path, stamp, read_sidecar(path))


def _may_be_sidecar(name: str) -> bool:
    """A result that is JSON itself (`.data.json`) must never be taken for what we wrote about it."""
    return name.endswith(".json") and not name.endswith(".data.json")


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    try:
        about = entry.stat()
    except OSError:  # gone since it was listed
        return entry.path, 0, -1
    return entry.path, about.st_mtime_ns, about.st_size


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
