"""Repair of a damaged ledger, and rows of a second ledger.

A damaged file is renamed, and a new one gets all rows that can still be read.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kling_nb.errors import LedgerError
from kling_nb.ledger.schema import Entry, prepare

DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
STALE_SECONDS = 60.0
"""A repair that takes longer is that of a process that has ended."""

Row = dict[str, Any]
MediaRows = Callable[[], Iterable[Row]]
"""Returns rows for the takes in media folders, because their sidecars record finished jobs too."""

Rename = Callable[[Path, Path], None]
COLUMNS = tuple(Entry.__dataclass_fields__)


def is_damage(fault: BaseException) -> bool:
    """Return True if SQLite reports a damaged file, and not one that is busy, full or not accessible."""
    code = getattr(fault, "sqlite_errorcode", None)
    return isinstance(fault, sqlite3.DatabaseError) and code is not None and code & 0xFF in DAMAGED


def is_intact(path: Path) -> bool:
    """Return True if the file at `path` is an undamaged database, or does not exist.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    if not path.exists():
        return True
    with closing(sqlite3.connect(path, timeout=20.0, isolation_level=None)) as db:
        try:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        except sqlite3.DatabaseError as fault:
            if is_damage(fault):
                return False
            raise


def repair(
    path: Path, media_rows: MediaRows, *, force: bool = False, rename: Rename = os.replace
) -> Path | None:
    """Rename the ledger at `path` if it is damaged, and write a new one with the rows that can be read.

    If several kernels find the damage at once, one repairs it and the others wait. The new file gets the name
    of the ledger when it is complete.

    With `force`, do it even if the ledger is intact. On Windows, `rename` raises PermissionError for a file
    that a process has open.

    Returns:
        The new path of the old file; None if there was nothing to repair.

    Raises:
        sqlite3.Error, OSError: The files cannot be read or written.
        LedgerError: Another process has the ledger open, on Windows. Nothing has changed.
    """
    with _repair_lock(path):
        if not force and is_intact(path):
            return None
        fresh = path.with_name(f"{path.name}.new")
        for ending in ("", "-wal", "-shm", "-journal"):
            fresh.with_name(fresh.name + ending).unlink(missing_ok=True)
        _write(fresh, [*readable_rows(path), *media_rows()])
        old = _set_aside(path, rename) if path.exists() else None
        fresh.replace(path)
        return old


def _write(path: Path, rows: Iterable[Row]) -> None:
    """Write a new ledger. Of two rows with the same id or request id the first is kept."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        prepare(db, wal=False)  # Without WAL, one file has all of it and can be renamed.
        ids: set[Any] = set()
        db.execute("BEGIN IMMEDIATE")
        for row in rows:
            names = {row.get("id"), row.get("request_id")} - {None}
            if not names & ids:
                insert(db, row)
                ids |= names
        db.execute("COMMIT")


def insert(db: sqlite3.Connection, row: Row) -> None:
    """Insert the known columns of a row. A row with values that the table refuses is left out."""
    known = [name for name in COLUMNS if name in row]
    marks = ", ".join("?" * len(known))
    with suppress(sqlite3.IntegrityError):  # Such a value was damaged.
        db.execute(f"INSERT INTO jobs ({', '.join(known)}) VALUES ({marks})", [row[name] for name in known])


_ASCII_COLUMNS = ("id", "request_id", "endpoint", "fingerprint", "owner")
"""Columns with plain ASCII. Other characters show that the row is damaged."""


def readable_rows(path: Path) -> list[Row]:
    """Return the rows that can still be read; none if there is no file.

    They are read from both ends, because damage is mostly in one place.
    """
    found: dict[Any, Row] = {}
    if not path.exists():
        return []
    for order in ("rowid", "rowid DESC"):
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.text_factory = lambda raw: raw.decode("utf-8", "replace")
            for row in db.execute(f"SELECT * FROM jobs ORDER BY {order}"):
                with suppress(Exception):  # A damaged row can raise anything.
                    _check(row)
                    found.setdefault(row["id"], dict(row))
    return list(found.values())


def _check(row: sqlite3.Row) -> None:
    """Raise if the row is damaged."""
    for name in _ASCII_COLUMNS:
        if row[name] is not None and not (row[name].isascii() and row[name].isprintable()):
            raise ValueError(f"{name} is damaged")
    Entry.from_row({**dict.fromkeys(COLUMNS), **dict(row)})  # type: ignore[arg-type]  # It reads by name only.


def _set_aside(path: Path, rename: Rename) -> Path:
    """Rename the file, its WAL and its journal to a name with the time. Return the new path."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    number = 0
    while True:
        new = path.with_name(f"{path.stem}.set-aside-{stamp}{f'-{number}' if number else ''}{path.suffix}")
        if not new.exists():
            break
        number += 1
    moved: list[tuple[Path, Path]] = []
    try:
        for ending in ("-wal", "-shm", "-journal", ""):
            pair = path.with_name(path.name + ending), new.with_name(new.name + ending)
            with suppress(FileNotFoundError):
                rename(*pair)
                moved.append(pair)
    except PermissionError as fault:
        for before, after in moved:
            rename(after, before)
        raise LedgerError(
            f"The damaged ledger {path} cannot be renamed: {fault}",
            remedy="Nothing was sent. Windows refuses it while another kernel has the ledger open."
            "\nStop the other kernels that use kling_nb, and run the cell again.",
        ) from fault
    return new


@contextmanager
def _repair_lock(path: Path) -> Iterator[None]:
    """Keep other processes from repairing this ledger inside the block."""
    mark = path.with_name(f"{path.name}.mending")  # Earlier versions wait for a file of this name too.
    while True:
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            break
        except FileExistsError:
            with suppress(FileNotFoundError):
                if time.time() - mark.stat().st_mtime > STALE_SECONDS:
                    mark.unlink()
            time.sleep(0.05)
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


# -- Rows of a second ledger.
#
# When the home becomes read-only, or writable again, the ledger is kept in another place. The rows of the
# first one must be known in the second. Else a cell would be submitted, and paid for, again.


def rows_of_folder(path: Path, folder: Path) -> list[Row]:
    """Return the rows of the ledger at `path` for jobs of a media folder; none if it cannot be read.

    It reads a copy, because SQLite cannot open a WAL file in a folder that cannot be written.
    """
    with suppress(OSError, sqlite3.Error), tempfile.TemporaryDirectory(prefix="kling_nb-") as copies:
        for ending in ("", "-wal", "-journal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{ending}", Path(copies) / f"{path.name}{ending}")
        with closing(sqlite3.connect(Path(copies) / path.name)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute("SELECT * FROM jobs WHERE folder = ?", (str(folder),))]
    return []


def merge(db: sqlite3.Connection, rows: list[Row]) -> None:
    """Insert the rows that are not known. Of two with the same id keep the one of the later state."""
    for row in rows:
        known = db.execute(
            "SELECT * FROM jobs WHERE id = ? OR request_id = ?", (row["id"], row.get("request_id"))
        ).fetchone()
        if known is None or (known["id"] == row["id"] and _progress(row) > _progress(dict(known))):
            db.execute("DELETE FROM jobs WHERE id = ?", (row["id"],))
            insert(db, row)


def _progress(row: Row) -> tuple[bool, bool, bool]:
    """Return a sort key: finished rows come last, before them rows with a request id, then those sent."""
    closed = row["state"] in {"READY", "FAILED", "CANCELLED"}
    return closed, row.get("request_id") is not None, row.get("sent_at") is not None
