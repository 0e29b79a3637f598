"""The ledger's file: opened when first needed, one writer at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kling_nb.errors import LedgerError
from kling_nb.ledger.schema import prepare

BUSY_SECONDS = 20.0


class LedgerFile:
    """A connection of this process to the file at `path`; the file is made with the first use.

    Threads: any; they take turns.

    Raises:
        LedgerError: From both kinds of use, where the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inherited: sqlite3.Connection | None = None
        self._pid = 0

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
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
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
                raise LedgerError(
                    f"The ledger {self.path} cannot be used: {fault}",
                    remedy=(
                        "Nothing was submitted that is not in it. Make room or set KLING_NB_HOME to a folder"
                        "\nthat can be written, then run the cell again."
                    ),
                ) from fault

    def _open(self) -> sqlite3.Connection:
        if self._connection is None or self._pid != os.getpid():  # SQLite must not be carried over a fork
            self._inherited, self._connection = self._connection, None  # nor may it be closed there
            self._connection, self._pid = self._connected(), os.getpid()
        return self._connection

    def _connected(self) -> sqlite3.Connection:
        """A connection to the prepared file.

        SQLite waits for a lock by itself, but not for the one that two kernels need at once
        to make a new file a WAL file.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            db = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            db.row_factory = sqlite3.Row
            db.create_function("casefold", 1, str.casefold, deterministic=True)
            try:
                prepare(db)
                return db
            except BaseException as fault:
                db.close()
                busy = isinstance(fault, sqlite3.OperationalError) and "locked" in str(fault)
                if not busy or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)
