"""`Index`: what a media folder has, kept in a small SQLite file so that no look-up reads the whole folder.

The file is in the home folder, next to the ledger. It has a row for each JSON file of the media folder: path,
inode, time and size, and what a look-up of its sidecar needs. It may be deleted at any time. The same tables
are kept in memory instead if the folder has few takes, if the file cannot be written, and in a forked child.

The file system decides, not the index:

- A look-up first compares the times of the folder and its subfolders with those at the last listing. They
  change with each file that is added, renamed or deleted. If they differ, or are too recent to be sure, the
  folder is listed again. On network disks and on Windows, where these times may not change, it always is.
- What this process changes itself (`own_change`) needs no listing: the times right before and after such a
  change are compared. If another program changes the folder in that same instant, the next listing finds its
  change, after a minute at most.
- Sidecars that a look-up finds are read from the disk. A file counts if its content has the right SHA-256.
- The answer "there is no take" may cost money. Before its first such answer, a process lists the folder
  itself and checks all stamps. After own changes it lists the folder again, but not twice in a second.
- A sidecar that was edited in place is noticed when a look-up finds it, or when its stamp is checked. In a
  folder of few takes, each look-up checks all stamps; in a large one, it checks the next 500 at most.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kling_nb._files import COARSE, exists, has_reliable_times, is_network, is_old, times_of
from kling_nb.media.take import Sidecar, read_sidecar
from kling_nb.video.decisions import Decisions

_DEEPEST = 12
_FEW = 200
"""In a folder with at most this many JSON files, each look-up checks all of them."""

_CHECKS, _CHECK_SECONDS = 500, 0.25
"""In larger folders: files that one look-up checks, and seconds between two checks. A check takes 2 ms."""

_OWN_SECONDS, _OWN_SECONDS_PAID = 60.0, 1.0
"""Seconds that a listing stays valid after own changes. The second one holds where a miss may cost money."""

_BUSY_SECONDS = 5.0
_DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_ENCODING = ("utf-8", "surrogatepass")
"""A sidecar may have lone surrogates, which have no UTF-8. So texts are stored as blobs."""

_VERSION = 2
_NOTES = """CREATE TABLE notes (
path BLOB PRIMARY KEY, inode INTEGER, mtime INTEGER, bytes INTEGER, backend TEXT, take INTEGER, size INTEGER,
finished REAL, fingerprint BLOB, request BLOB, file BLOB, endpoint BLOB, made_from BLOB, user BLOB)"""
_TABLES = (
    _NOTES,
    "CREATE INDEX notes_by_fingerprint ON notes (fingerprint)",
    "CREATE INDEX notes_by_request ON notes (request)",
    "CREATE INDEX notes_by_cell ON notes (made_from)",
    "CREATE INDEX notes_with_user ON notes (path) WHERE user IS NOT NULL",
    "CREATE TABLE listing (state TEXT)",
    f"PRAGMA user_version = {_VERSION}",
)
"""`notes`: one row for each JSON file; the columns from `backend` on are NULL if it is not a sidecar.

`listing`: the times of all folders.
"""

_COLUMNS = "path, mtime, bytes, backend, take, size, finished, request, file, endpoint, user"

_UNDECIDED = Decisions()

T = TypeVar("T")
Stamp = tuple[Any, int, int]
"""Path or inode, modification time in ns, and size. A file that has the same stamp has not changed."""

Times = tuple[int, ...]
"""Times of a folder from `times_of`. They change if a file is added, renamed or deleted."""


class Note(NamedTuple):
    """What the index knows about a sidecar.

    Attributes:
        path: The sidecar.
        stamp: Its modification time in ns and size when it was read.
        backend: "fal" or "local".
        take: Number of the take.
        size: Bytes of the stored file.
        finished: Unix seconds.
        request_id: fal's id of the request, or None.
        file: Name of the stored file.
        endpoint: fal's id of the model.
        decisions: Rating, note, tags and choice of the user.
    """

    path: Path
    stamp: tuple[int, int]
    backend: str
    take: int
    size: int
    finished: float
    request_id: str | None
    file: str
    endpoint: str
    decisions: Decisions


class Index:
    """Sidecars and files of one folder and its subfolders.

    Hidden files and folders (`.ipynb_checkpoints`, unfinished downloads) are left out.

    Threads: any. The file of the index is kept in the folder `store`; without it, the index is in memory.
    """

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self.folder = folder
        self._store = store
        self._checksums: dict[Stamp, str] = {}
        self._look = threading.local()
        self._root = len(os.fspath(folder).rstrip(os.sep)) + 1
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._known: dict[str, Stamp] = {}
        self._inodes: dict[str, int] = {}
        self._known_version: int | None = None
        self._listed = False
        self._count = 0
        self._times: dict[str, Times] = {}
        self._has_own_changes = False
        self._looked_at = self._listed_at = self._checked_at = float("-inf")
        self._next: Iterator[str] = iter(())
        self._sizes: tuple[Any, dict[int, list[str]]] | None = None

    # -- look-ups

    def of_request(self, fingerprint: str, *, recent: float = 0.0) -> list[Note]:
        """Return the sidecars of a request: fal's first, then by number.

        The last look at the folder is enough if it is at most `recent` seconds old.
        """
        return self._find("fingerprint", fingerprint, recent)

    def of_request_id(self, request_id: str, *, recent: float = 0.0) -> list[Note]:
        """Return the sidecars of one request to fal or to a local preview server. See `of_request`."""
        return self._find("request", request_id, recent)

    def of_cell(self, cell: str) -> list[Note]:
        """Return the sidecars of takes that were made from a cell, or that may have been chosen for it."""
        where = (
            "path IN (SELECT path FROM notes WHERE made_from = ?"
            " UNION SELECT path FROM notes WHERE user IS NOT NULL AND instr(user, ?)) ORDER BY path"
        )
        value = cell.encode(*_ENCODING)
        return self._select(where, value, value)

    def newest(self, limit: int = -1) -> list[Note]:
        """Return all sidecars, or the newest `limit` ones, the newest first."""
        return self._select(f"fingerprint IS NOT NULL ORDER BY finished DESC, path LIMIT {limit}")

    def fingerprints(self) -> set[str]:
        """Return the fingerprints of all requests that have a sidecar."""

        def select(db: sqlite3.Connection) -> set[str]:
            self._refresh(db, 0.0)
            rows = db.execute("SELECT DISTINCT fingerprint FROM notes WHERE fingerprint IS NOT NULL")
            return {blob.decode(*_ENCODING) for (blob,) in rows}

        return self._run(select) if self._db is not None or self.folder.is_dir() else set()

    def list_once(self, *, paid: bool = True) -> bool:
        """List the folder unless this process has done so. Return True if it was listed now.

        If a missing take may be bought (`paid`), a listing counts for a second only after own changes.
        """
        listed = self._listed and self._pid == os.getpid()
        if paid and self._has_own_changes:
            listed = listed and time.monotonic() - self._listed_at < _OWN_SECONDS_PAID
        if listed or not self.folder.is_dir():
            return False
        self._run(self._list)
        return True

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Let all look-ups of this thread in the block share one look at the folder."""
        outer = getattr(self._look, "shared", None)
        self._look.shared = outer or _SharedLook()
        try:
            yield
        finally:
            self._look.shared = outer

    @contextmanager
    def own_change(self) -> Iterator[None]:
        """Make one short change to the folder, without a sync of the disk. It needs no new listing.

        If another program has changed the folder since the last listing, the folder is still listed again.
        """
        with self._lock_of_process():
            known = bool(self._times) and self._times.get("") == self._times_now()
            try:
                yield
            finally:
                now = self._times_now() if known and has_reliable_times(self.folder) else None
                if now:
                    self._times[""] = now
                    self._has_own_changes = True

    def add(self, path: Path, sidecar: Sidecar) -> None:
        """Add a sidecar that this process has just written, in the same `own_change`."""

        def insert(db: sqlite3.Connection) -> None:
            status = path.stat()
            with _transaction(db):
                _insert(db, os.fsencode(name), sidecar, status)
            self._inodes[name] = status.st_ino % 2**63
            self._known[name] = self._inodes[name], status.st_mtime_ns, status.st_size

        name = os.fspath(path)[self._root :]
        if self._listed:
            self._run(insert)

    def _times_now(self) -> Times | None:
        try:
            return times_of(self.folder.stat())
        except OSError:
            return None

    def _find(self, column: str, value: str, recent: float) -> list[Note]:
        where = f"{column} = ? ORDER BY backend != 'fal', take, finished, path"
        return self._select(where, value.encode(*_ENCODING), recent=recent)

    def _select(self, where: str, *values: bytes, recent: float = 0.0) -> list[Note]:
        """Return the rows that meet a condition. First read again the sidecars that changed on the disk."""

        def select(db: sqlite3.Connection) -> list[Note]:
            self._refresh(db, recent)
            for _ in range(2):
                found = [self._note(row) for row in db.execute(query, values)]
                changed = [note for note in found if _stamp(note.path) != note.stamp]
                if not changed:
                    break
                self._read_again(db, changed)
            return [note for note in found if note not in changed]

        query = f"SELECT {_COLUMNS} FROM notes WHERE {where}"  # noqa: S608 -- from the callers above
        return self._run(select) if self._db is not None or self.folder.is_dir() else []

    def _note(self, row: tuple[Any, ...]) -> Note:
        path, mtime, length, backend, take, size, finished, request, file, endpoint, user = row
        request_id = None if request is None else request.decode(*_ENCODING)
        name = os.fsdecode(path)
        decisions = Decisions.of(json.loads(user), name) if user else _UNDECIDED
        stamp = mtime, length
        return Note(
            self.folder / name,
            stamp,
            backend,
            take,
            size,
            finished,
            request_id,
            file.decode(*_ENCODING),
            endpoint.decode(*_ENCODING),
            decisions,
        )

    def _read_again(self, db: sqlite3.Connection, notes: list[Note]) -> None:
        self._known_version = None
        with _transaction(db):
            for note in notes:
                path = os.fsencode(os.fspath(note.path)[self._root :])
                try:
                    _insert(db, path, read_sidecar(note.path), note.path.stat())
                except OSError:
                    db.execute("DELETE FROM notes WHERE path = ?", (path,))

    # -- the database

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work with the database in the file or, after an error of the file, with one in memory."""
        with self._lock_of_process():
            try:
                return work(self._open())
            except sqlite3.Error as fault:
                if self._store is None:
                    raise
                self._give_up_file(damaged=getattr(fault, "sqlite_errorcode", 0) & 0xFF in _DAMAGED)
                return work(self._open())

    def _lock_of_process(self) -> threading.RLock:
        """Return the lock. A forked child starts again: locks and connections do not survive a fork."""
        if self._pid != os.getpid():
            # The child keeps its parent's connection open: to close it would drop the parent's locks.
            self._of_parent = self._db
            self._start()
            self._store = None
        return self._lock

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            if self._store is not None and is_network(self._store):  # WAL needs memory that processes share.
                self._store = None
            path = self._file() if self._store else None
            self._db = _connect(path if path and (exists(path) or self._is_large()) else None)
            self._count = self._db.execute("SELECT count(*) FROM notes").fetchone()[0]
        return self._db

    def _file(self) -> Path:
        assert self._store is not None
        name = hashlib.sha256(os.fsencode(os.path.realpath(self.folder))).hexdigest()[:24]
        return self._store / f"{name}-{_VERSION}.sqlite3"  # versions that share a folder have an index each

    def _is_large(self) -> bool:
        names = (entry.name for _, _, entries in _folders(self.folder) for entry in entries)
        return sum(1 for _ in islice(filter(_may_be_sidecar, names), _FEW + 1)) > _FEW

    def close(self) -> None:
        """Close the connection. The next use reads the folder again."""
        with self._lock_of_process():
            if self._db is not None:
                self._db.close()
            self._db, self._known_version, self._listed = None, None, False

    def __del__(self) -> None:
        """Close the connection when the folder is dropped: since Python 3.13 an open one is warned of."""
        if self._db is not None and self._pid == os.getpid():
            self._db.close()

    def _give_up_file(self, *, damaged: bool) -> None:
        """Use tables in memory from now on. Delete a damaged file, so that others make a new one."""
        path = self._file()
        with suppress(sqlite3.Error):
            if self._db is not None:
                self._db.close()
        for ending in ("-wal", "-shm", "") if damaged else ():
            with suppress(OSError):
                path.with_name(path.name + ending).unlink(missing_ok=True)
        self._db, self._store, self._known_version, self._listed = None, None, None, False

    # -- the folder

    def _refresh(self, db: sqlite3.Connection, recent: float) -> None:
        """List the folder unless the index is known to be current."""
        shared = getattr(self._look, "shared", None)
        if not (shared and shared.done) and not self._is_fresh(db, recent):
            self._list(db)
        if shared:
            shared.done = True

    def _is_fresh(self, db: sqlite3.Connection, recent: float) -> bool:
        now = time.monotonic()
        if self._listed and now - self._looked_at < recent:
            return True
        if self._count <= _FEW or (self._listed and self._is_any_edited(now)):
            return False
        if self._has_own_changes and now - self._listed_at < _OWN_SECONDS and self._has_times(self._times):
            return True
        if not self._state(db):
            return False
        self._looked_at = now
        return True

    def _is_any_edited(self, now: float) -> bool:
        """Check the stamps of the files whose turn it is. The next listing reads those that changed."""
        if now - self._checked_at < _CHECK_SECONDS:
            return False
        self._checked_at, edited = now, False
        paths = list(islice(self._next, _CHECKS))
        if len(paths) < _CHECKS:  # All had their turn.
            self._next = iter(list(self._known))
        start = os.path.join(self.folder, "")  # noqa: PTH118 -- a folder may have many
        for path in paths:
            known = self._known.get(path)
            if known is not None and _stamp(start + path) != known[1:]:
                self._inodes[path], edited = -1, True
        return edited

    def _state(self, db: sqlite3.Connection) -> str:
        """Return the times of all folders if they are those of the last listing, else an empty text."""
        row = db.execute("SELECT state FROM listing").fetchone()
        state: str = row[0] if row else ""
        try:
            times = {name: tuple(values) for name, *values in json.loads(state or "[]")}
        except ValueError:
            return ""
        return state if self._has_times(times) else ""

    def _has_times(self, times: dict[str, Times]) -> bool:
        """Return True if all folders have these times now."""
        try:
            return all(times_of((self.folder / name).stat()) == known for name, known in times.items())
        except OSError:
            return False

    def _list(self, db: sqlite3.Connection) -> None:
        """List the folder, and read what changed.

        A replaced file has another inode, a changed one another stamp.
        """
        start = time.monotonic()
        full = self._count <= _FEW or not self._listed
        with _transaction(db):
            version = db.execute("PRAGMA data_version").fetchone()[0]
            if version != self._known_version:  # Another process has changed the tables.
                rows = db.execute("SELECT path, inode, mtime, bytes FROM notes")
                self._known = {os.fsdecode(path): (inode, *stamp) for path, inode, *stamp in rows}
                self._inodes = {path: inode for path, (inode, _, _) in self._known.items()}
            self._known_version = None
            inodes, times, firm = self._names()
            complete = self._read_changed(db, inodes, full)
            for path in self._known.keys() - inodes.keys():
                db.execute("DELETE FROM notes WHERE path = ?", (os.fsencode(path),))
                del self._known[path]
            firm = firm and complete and len(inodes) > _FEW and has_reliable_times(self.folder)
            state = json.dumps([(name, *values) for name, values in times.items()]) if firm else ""
            if [(state,)] != db.execute("SELECT state FROM listing").fetchall():
                db.execute("DELETE FROM listing")
                db.execute("INSERT INTO listing VALUES (?)", (state,))
        self._has_own_changes = not firm and complete and self._has_own_changes and self._times == times
        self._known_version, self._inodes, self._times = version, inodes, times if complete else {}
        self._listed, self._count, self._looked_at, self._listed_at = True, len(inodes), start, start
        if full:
            self._checked_at = time.monotonic()

    def _names(self) -> tuple[dict[str, int], dict[str, Times], bool]:
        """List the folder.

        Returns:
            The inode of each JSON file by its path; the times of all folders; and True if any later change of
            a folder will give it another time.
        """
        inodes: dict[str, int] = {}
        times: dict[str, Times] = {}
        firm = True
        for place, status, entries in _folders(self.folder):
            times[place[self._root :]] = times_of(status)
            firm = firm and is_old(max(status.st_mtime_ns, status.st_ctime_ns))
            start = f"{place}{os.sep}"[self._root :]
            for entry in entries:
                name = entry.name
                if name.endswith(".json") and _may_be_sidecar(name):
                    inodes[start + name] = entry.inode() % 2**63
        return inodes, times, firm

    def _read_changed(self, db: sqlite3.Connection, inodes: dict[str, int], full: bool) -> bool:
        """Read the sidecars that are new or changed. Remove deleted files from `inodes`.

        Returns:
            False if a file may still be written.
        """
        complete, start = True, os.path.join(self.folder, "")  # noqa: PTH118 -- a folder may have many
        for path, inode in list(inodes.items() if full else inodes.items() - self._inodes.items()):
            try:
                status = os.stat(start + path)  # noqa: PTH116
            except OSError:  # It was deleted after it was listed.
                del inodes[path]
                continue
            stamp = (inode, status.st_mtime_ns, status.st_size)
            if stamp == self._known.get(path):
                continue
            self._known[path] = stamp
            sidecar = read_sidecar(Path(start + path))
            _insert(db, os.fsencode(path), sidecar, status)
            if sidecar is None and not is_old(status.st_mtime_ns, COARSE):
                complete, inodes[path], self._known[path] = False, -1, (-1, 0, 0)
        return complete

    # -- files

    def file_of(self, note: Note) -> Path | None:
        """Return the file of a sidecar if there is one of its name and size. Its content is not read.

        If there is none, search for it as `media_of` does.
        """
        named = note.path.parent / note.file
        if size_of(named) == note.size:
            return named
        sidecar = read_sidecar(note.path)
        return self.media_of(note.path, sidecar) if sidecar else None

    def media_of(self, note: Path, sidecar: Sidecar) -> Path | None:
        """Return the file of a sidecar; None if it is gone or changed.

        It is searched by the name in the sidecar, then by size in the sidecar's folder, then by size in all
        folders. Its SHA-256 must be right.
        """
        named = note.parent / sidecar.file
        if size_of(named) == sidecar.size and self.checksum(named) == sidecar.sha256:
            return named
        others = [path for path in self._of_size(sidecar.size) if path not in (named, note)]
        others.sort(key=lambda path: path.parent != note.parent)
        return next((path for path in others if self.checksum(path) == sidecar.sha256), None)

    def _of_size(self, size: int) -> list[Path]:
        """Return the files of a size. They are listed once, until the folder changes."""
        with self._lock_of_process():
            shared = getattr(self._look, "shared", None)
            key = shared or self._run(self._state)
            if not self._sizes or not key or self._sizes[0] != key:
                sizes: dict[int, list[str]] = {}
                for _, _, entries in _folders(self.folder):
                    for entry in entries:
                        with suppress(OSError):
                            status = entry.stat()
                            sizes.setdefault(status.st_size, []).append(entry.path)
                            if not shared and not is_old(status.st_mtime_ns, COARSE):
                                key = ""  # It may still be written.
                self._sizes = key, sizes
            return [Path(path) for path in self._sizes[1].get(size, ()) if size_of(Path(path)) == size]

    def checksum(self, path: Path) -> str | None:
        """Return the SHA-256 of a file in hexadecimal, or None if it cannot be read.

        It is computed only once unless the file changes.
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


class _SharedLook:
    """One look at the folder, for all look-ups of a block. `done` is True after the first of them."""

    done = False


def _connect(path: Path | None) -> sqlite3.Connection:
    """Return a connection to the file of an index, or to one in memory."""
    if path is not None:
        with suppress(OSError):  # No home folder is created for an index alone.
            path.parent.mkdir(mode=0o700, exist_ok=True)
    db = sqlite3.connect(
        path or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        if not db.execute("PRAGMA user_version").fetchone()[0]:
            with _transaction(db):
                for statement in _TABLES:
                    db.execute(statement)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _insert(db: sqlite3.Connection, path: bytes, sidecar: Sidecar | None, status: os.stat_result) -> None:
    """Write the row of a JSON file, which may be no sidecar."""
    row: list[Any] = [path, status.st_ino % 2**63, status.st_mtime_ns, status.st_size]
    if sidecar is None:
        row += [None] * 10
    else:
        texts = (
            sidecar.fingerprint,
            sidecar.request_id,
            sidecar.file,
            sidecar.endpoint,
            sidecar.made_from,
        )
        row += [sidecar.backend, sidecar.take, sidecar.size]
        row += [datetime.fromisoformat(sidecar.finished_at).timestamp()]
        row += [None if text is None else text.encode(*_ENCODING) for text in texts]
        row += [json.dumps(sidecar.user).encode() if sidecar.user else None]
    db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def _folders(folder: Path) -> Iterator[tuple[str, os.stat_result, list[os.DirEntry[str]]]]:
    """Yield the folder and its subfolders: path, status before it was listed, and files."""
    waiting = [(str(folder), 0)]
    seen: set[str] = set()
    while waiting:
        path, depth = waiting.pop()
        files: list[os.DirEntry[str]] = []
        try:
            status = os.stat(path)  # noqa: PTH116 -- a folder may have many
        except OSError:
            continue
        with suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_file():
                    files.append(entry)
                elif depth < _DEEPEST and entry.is_dir():
                    # A symbolic link may lead back to a folder above it.
                    real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                    if real not in seen:
                        seen.add(real)
                        waiting.append((entry.path, depth + 1))
        yield path, status, files


def _may_be_sidecar(name: str) -> bool:
    """Return False for a result that is JSON itself (`.data.json`) and must never count as a sidecar."""
    return name.endswith(".json") and not name.endswith(".data.json")


def _stamp(path: Path | str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 -- a folder may have many
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def size_of(path: Path) -> int | None:
    """Return the size of a file in bytes, or None if there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
