"""A damaged ledger is set aside under a dated name, and a new one begun with all that can be read again."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kling_nb.ledger.entry import Entry
from kling_nb.ledger.schema import prepare

DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
STALE_SECONDS = 60.0
"""A mend that takes longer has died."""

Row = dict[str, Any]
Filed = Callable[[], Iterable[Row]]
"""Gives rows for what is in media folders: a ledger is not the only record of a finished job."""

COLUMNS = tuple(Entry.__dataclass_fields__)


def is_damage(fault: BaseException) -> bool:
    """Whether SQLite says that the file itself is broken, and not only busy, full or forbidden."""
    code = getattr(fault, "sqlite_errorcode", None)
    return isinstance(fault, sqlite3.DatabaseError) and code is not None and code & 0xFF in DAMAGED


def whole(path: Path) -> bool:
    """Whether the file at `path` is a database in order; one that is not there is.

    Raises:
        sqlite3.Error: It cannot be looked at.
    """
    if not path.exists():
        return True
    db = sqlite3.connect(path, timeout=20.0, isolation_level=None)
    try:
        return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as fault:
        if is_damage(fault):
            return False
        raise
    finally:
        db.close()


def mend(path: Path, filed: Filed, *, anyway: bool = False) -> Path | None:
    """Set the ledger at `path` aside if it is damaged, and begin a new one.

    Of several kernels that find the damage at once, one mends; the others wait for it. The new file is
    made beside the old one and takes its name when it is complete.

    Args:
        path: The ledger.
        filed: Rows of what is on disk.
        anyway: Also where it is in order.

    Returns:
        Where the old one is now, or None where there was nothing to mend.

    Raises:
        sqlite3.Error, OSError: It cannot be done.
    """
    with _alone(path):
        if not anyway and whole(path):
            return None
        fresh = path.with_name(f"{path.name}.new")
        _remove(fresh)
        write(fresh, [*salvaged(path), *filed()])
        aside = _set_aside(path) if path.exists() else None
        fresh.replace(path)
        return aside


def write(path: Path, rows: Iterable[Row]) -> None:
    """Make a new ledger of `rows`. Of two with the same id or request the first counts."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        prepare(db, wal=False)  # so that all of it is in one file
        ids: set[Any] = set()
        db.execute("BEGIN IMMEDIATE")
        for row in rows:
            names = {row.get("id"), row.get("request_id")} - {None}
            if not names & ids:
                insert(db, row)
                ids |= names
        db.execute("COMMIT")
    finally:
        db.close()


def insert(db: sqlite3.Connection, row: Row) -> None:
    """Add a row, as far as its columns are known here; one whose values the table refuses is left out."""
    known = [name for name in COLUMNS if name in row]
    marks = ", ".join("?" * len(known))
    with suppress(sqlite3.IntegrityError):  # a value that was damaged
        db.execute(f"INSERT INTO jobs ({', '.join(known)}) VALUES ({marks})", [row[name] for name in known])


_NAMES = ("id", "request_id", "endpoint", "fingerprint", "owner")
"""Columns that hold plain ASCII: where they do not, the row is not what was written."""


def salvaged(path: Path) -> list[Row]:
    """The rows that can still be read, from both ends, for damage is mostly in one place."""
    found: dict[Any, Row] = {}
    if not path.exists():
        return []
    for order in ("rowid", "rowid DESC"):
        with suppress(sqlite3.Error):
            db = sqlite3.connect(path, isolation_level=None)
            try:
                db.row_factory = sqlite3.Row
                db.text_factory = lambda raw: raw.decode("utf-8", "replace")
                for row in db.execute(f"SELECT * FROM jobs ORDER BY {order}"):
                    with suppress(Exception):  # whatever damage makes of a row
                        _checked(row)
                        found.setdefault(row["id"], {name: row[name] for name in row.keys()})  # noqa: SIM118
            finally:
                db.close()
    return list(found.values())


def _checked(row: sqlite3.Row) -> None:
    for name in _NAMES:
        if row[name] is not None and not (row[name].isascii() and row[name].isprintable()):
            raise ValueError(f"{name} is damaged")
    Entry.from_row({**dict.fromkeys(COLUMNS), **dict(row)})  # type: ignore[arg-type]  # read by name alike


def _set_aside(path: Path) -> Path:
    """Give file, WAL and journal a dated name that is free."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    number = 0
    while True:
        aside = path.with_name(f"{path.stem}.set-aside-{stamp}{f'-{number}' if number else ''}{path.suffix}")
        if not aside.exists():
            break
        number += 1
    for ending in ("-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).replace(aside.with_name(aside.name + ending))
    path.replace(aside)
    return aside


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Inside the block no other process mends this ledger."""
    mark = path.with_name(f"{path.name}.mending")
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
