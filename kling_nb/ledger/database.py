"""The file of the ledger: its place, connections, transactions, shared commits, forks."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakSet

from kling_nb._files import exists, is_network
from kling_nb.errors import LedgerError
from kling_nb.ledger.salvage import MediaRows, is_damage, repair
from kling_nb.ledger.schema import Entry, NewerSchema, prepare

log = logging.getLogger(__name__)

FILE_NAME = "ledger.sqlite3"
BUSY_SECONDS = 20.0
TURN_SECONDS = 60.0


def ledger_path(home: Path, media: Path) -> Path:
    """Return the path of the ledger: in the home, or in the media folder if only that is writable."""
    in_home, in_media = home / FILE_NAME, media / FILE_NAME
    return in_media if _is_read_only(in_home) and not _is_read_only(in_media) else in_home


def other_ledger_path(home: Path, media: Path) -> Path:
    """Return the path where the ledger was if the home has become writable, or read-only, since."""
    in_home, in_media = home / FILE_NAME, media / FILE_NAME
    return in_home if ledger_path(home, media) == in_media else in_media


def _is_read_only(file: Path) -> bool:
    """Return True if this user may not write the file, or create it."""
    if exists(file) and not os.access(file, os.W_OK):
        return True
    folder = file.parent
    while not exists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK)


class LedgerFile:
    """The ledger's SQLite file and this process's connection to it.

    The file is created at the first use. A damaged file is replaced: see `salvage.repair`.

    Threads: any; a lock gives them turns.

    Args:
        media_rows: Returns rows for the takes on disk, to rebuild a damaged file.

    Raises:
        LedgerError: By `transaction` and `connection`, if the file cannot be read or written.
    """

    def __init__(self, path: Path, media_rows: MediaRows = tuple) -> None:
        self.path = path
        self._media_rows = media_rows
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._check_before_use = False
        with _fork_lock:
            _open_files.add(self)

    def pause(self) -> None:
        """Wait for other threads, close the connection, and keep the lock until `resume`."""
        self._lock.acquire()
        with suppress(sqlite3.Error):
            self.close()

    def resume(self) -> None:
        """Release the lock that `pause` took."""
        self._lock.release()

    def close(self) -> None:
        """Close the connection. The next use opens a new one."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit all changes of the block to the disk, or none of them if it raises."""
        with self.connection() as db:
            _begin_write(db)
            try:
                yield db
                db.execute("COMMIT")
                if self._is_replaced():  # a change of the old file is not in the ledger
                    raise sqlite3.OperationalError("another file has just replaced it")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for reading."""
        with self._lock:
            try:
                yield self._open()
            except (sqlite3.Error, OSError) as fault:
                if is_damage(fault):
                    self._check_before_use = True
                    self.close()
                raise _ledger_error(self.path, fault) from fault

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._is_replaced():
            self.close()
        if self._connection is None:
            if self._check_before_use:
                self._repair()
            try:
                self._connection = self._connect()
            except sqlite3.DatabaseError as fault:
                if not is_damage(fault):
                    raise
                self._repair()
                self._connection = self._connect()
            self._check_before_use, self._inode = False, _inode(self.path)
        return self._connection

    def _is_replaced(self) -> bool:
        """Return True if another kernel has repaired the file, or a user has moved or deleted it."""
        return self._inode != _inode(self.path)

    def _repair(self) -> None:
        old = repair(self.path, self._media_rows)
        if old is not None:
            log.warning(
                "The ledger was damaged. A new one has all rows that could be read; %s is the old one.", old
            )

    def _connect(self) -> sqlite3.Connection:
        """Return a connection to the prepared file.

        SQLite waits for a locked file, but not while two kernels make a new one a WAL file. So this does.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        wal = not is_network(self.path.parent)
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            db = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            db.row_factory = sqlite3.Row
            db.create_function("casefold", 1, str.casefold, deterministic=True)
            try:
                prepare(db, wal=wal)
                return db
            except BaseException as fault:
                db.close()
                if not _is_locked(fault) or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _ledger_error(path: Path, fault: Exception) -> LedgerError:
    if is_damage(fault):
        remedy = (
            "Nothing was sent. Run the cell again: that makes a new ledger with all that can be read"
            "\nof this file and of the sidecars of your videos. The damaged file is kept."
        )
    elif isinstance(fault, NewerSchema):
        remedy = "Nothing was sent. Update kling_nb, or set KLING_NB_HOME to another folder."
    else:
        remedy = (
            "Nothing was sent without a row in it. Make room, or set KLING_NB_HOME to a folder"
            "\nthat can be written. Then run the cell again."
        )
    return LedgerError(f"The ledger {path} cannot be used: {fault}", remedy=remedy)


def _begin_write(db: sqlite3.Connection) -> None:
    """Begin a transaction that writes, when it is this connection's turn.

    SQLite's own wait is not fair: among many writers, one may never get the lock.
    """
    deadline = time.monotonic() + TURN_SECONDS
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as fault:
            if not _is_locked(fault) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 -- jitter


def _is_locked(fault: BaseException) -> bool:
    return isinstance(fault, sqlite3.OperationalError) and "locked" in str(fault)


# -- Changes that several threads make at once share one commit.


@dataclass(eq=False, slots=True)
class Change:
    """New values for columns of one row. See `Ledger.update`.

    Attributes:
        done: True when the change is on the disk, or `fault` is set.
        fault: The error, if it could not be written.
    """

    job_id: str
    columns: dict[str, Any]
    whole: Entry | None = None
    done: bool = field(default=False, init=False)
    fault: LedgerError | None = field(default=None, init=False)


class SharedCommits:
    """Writes all changes that come during a commit in the next one.

    A durable commit waits for the disk. Else a hundred jobs that end together would wait one after the other.

    Threads: any. `write` writes changes in one transaction. They are on the disk when it returns.
    """

    def __init__(self, write: Callable[[Sequence[Change]], None]) -> None:
        self._lock = threading.RLock()
        self._write = write
        self._waiting: list[Change] = []

    def make(self, change: Change) -> None:
        """Write a change, with those of other threads that wait. It is on the disk on return.

        Raises:
            LedgerError: The file cannot be written.
        """
        self._waiting.append(change)
        with self._lock:
            if not change.done:
                self._write_all()
        if change.fault is not None:
            raise change.fault

    def _write_all(self) -> None:
        changes = self._waiting[:]
        del self._waiting[: len(changes)]  # Other threads may have appended more meanwhile.
        try:
            self._write(changes)
        except LedgerError as fault:
            for change in changes:
                change.fault = fault
        except BaseException:
            self._waiting[:0] = changes  # An interrupt is for this thread only; the others write them.
            raise
        for change in changes:
            change.done = True


# -- Forks.
#
# SQLite keeps the locks of its connections in the memory of the process. A child gets a copy of that memory,
# but not the locks. A child forked during a change would find the ledger locked for ever. So while the
# process forks, all connections are closed and no change is under way
# (https://www.sqlite.org/howtocorrupt.html, 2.6).


_fork_lock = threading.RLock()
_open_files: WeakSet[LedgerFile] = WeakSet()
_paused_files: list[LedgerFile] = []


def _pause_all() -> None:
    _fork_lock.acquire()
    for file in list(_open_files):
        _paused_files.append(file)  # It comes first, so that `_resume_all` unlocks the file after any error.
        file.pause()


def _resume_all() -> None:
    """Unlock all files, in the parent and in the child: the forking thread has the locks in both."""
    while _paused_files:
        _paused_files.pop().resume()
    _fork_lock.release()


if hasattr(os, "register_at_fork"):  # Windows has no forks.
    os.register_at_fork(before=_pause_all, after_in_parent=_resume_all, after_in_child=_resume_all)
