"""The ledger's file: opened when first needed, one writer at a time."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kling_nb.errors import LedgerError
from kling_nb.ledger import forks
from kling_nb.ledger.home import is_network
from kling_nb.ledger.mending import Filed, is_damage, mend
from kling_nb.ledger.schema import NewerSchema, prepare

log = logging.getLogger(__name__)

BUSY_SECONDS = 20.0
TURN_SECONDS = 60.0


class LedgerFile:
    """A connection of this process to the file at `path`; the file is made with the first use.

    One that is found damaged is set aside, and a new one begun: see `mending`.

    Threads: any; they take turns.

    Args:
        path: The file.
        filed: Rows of what is in media folders, for a new file in the place of a damaged one.

    Raises:
        LedgerError: From both kinds of use, where the file cannot be read or written.
    """

    def __init__(self, path: Path, filed: Filed = tuple) -> None:
        self.path = path
        self._filed = filed
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._suspect = False
        forks.watch(self)

    def pause(self) -> None:
        """Wait for whoever uses it, close it, and let nobody in until `resume`: for a fork."""
        self._lock.acquire()
        with suppress(sqlite3.Error):
            self.close()

    def resume(self) -> None:
        """Let them in again, in parent and child."""
        self._lock.release()

    def close(self) -> None:
        """Close it. It is opened again where it is used again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block is written, durably, or nothing of it."""
        with self.reading() as db:
            _begin(db)
            try:
                yield db
                db.execute("COMMIT")
                self._check_in_place()
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for looking only."""
        with self._lock:
            try:
                yield self._open()
            except (sqlite3.Error, OSError) as fault:
                if is_damage(fault):  # looked at, and mended, when it is opened again
                    self._suspect = True
                    self.close()
                raise _unusable(self.path, fault) from fault

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._moved():
            self.close()
        if self._connection is None:
            if self._suspect:
                self._mend()
            try:
                self._connection = self._connected()
            except sqlite3.DatabaseError as fault:
                if not is_damage(fault):
                    raise
                self._mend()
                self._connection = self._connected()
            self._suspect, self._inode = False, _inode(self.path)
        return self._connection

    def _moved(self) -> bool:
        """Whether another file is in its place, or none: another kernel mended it, or a user moved it."""
        return self._inode != _inode(self.path)

    def _check_in_place(self) -> None:
        """What was written to a file that was set aside meanwhile is not in the ledger."""
        if self._moved():
            raise sqlite3.OperationalError("it was replaced by another one just now")

    def _mend(self) -> None:
        aside = mend(self.path, self._filed)
        if aside is not None:
            log.warning(
                "The ledger was damaged: it is kept as %s, and a new one holds what could be read.", aside
            )

    def _connected(self) -> sqlite3.Connection:
        """A connection to the prepared file.

        SQLite waits for a lock by itself, but not for the one that two kernels need at once
        to make a new file a WAL file.
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
                if not _is_busy(fault) or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _unusable(path: Path, fault: Exception) -> LedgerError:
    if is_damage(fault):
        remedy = (
            "Nothing was submitted. Run the cell again: the file is set aside then, and a new one begun with"
            "\nall that can be read of it and of the sidecars of your videos."
        )
    elif isinstance(fault, NewerSchema):
        remedy = "Nothing was submitted. Update kling_nb, or set KLING_NB_HOME to another folder."
    else:
        remedy = (
            "Nothing was submitted that is not in it. Make room or set KLING_NB_HOME to a folder"
            "\nthat can be written, then run the cell again."
        )
    return LedgerError(f"The ledger {path} cannot be used: {fault}", remedy=remedy)


def _begin(db: sqlite3.Connection) -> None:
    """Begin to write, when it is this connection's turn.

    SQLite's own wait is not fair: of many writers one may come away with nothing.
    """
    deadline = time.monotonic() + TURN_SECONDS
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as fault:
            if not _is_busy(fault) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 -- jitter


def _is_busy(fault: BaseException) -> bool:
    return isinstance(fault, sqlite3.OperationalError) and "locked" in str(fault)
