"""Rows of a ledger that was kept elsewhere for a while, brought into the one that is used now.

A home that could be written once and cannot any more, or the other way round, must not hide what was paid
for: a cell would be bought again.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from kling_nb.ledger.mending import Row, insert


def rows_about(path: Path, folder: Path) -> list[Row]:
    """The rows of the ledger at `path` about jobs of a media folder; none where it cannot be read.

    A copy is read: in a folder that cannot be written, SQLite opens no file of the WAL kind.
    """
    with suppress(OSError, sqlite3.Error), tempfile.TemporaryDirectory(prefix="kling_nb-") as place:
        for ending in ("", "-wal", "-journal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{ending}", Path(place) / f"{path.name}{ending}")
        with closing(sqlite3.connect(Path(place) / path.name)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute("SELECT * FROM jobs WHERE folder = ?", (str(folder),))]
    return []


def bring(db: sqlite3.Connection, rows: list[Row]) -> None:
    """Insert what is not known; of what is, keep the row that knows more. Inside a transaction."""
    for row in rows:
        found = db.execute(
            "SELECT * FROM jobs WHERE id = ?1 OR request_id = ?2", (row["id"], row.get("request_id"))
        ).fetchone()
        if found is None or (found["id"] == row["id"] and _progress(row) > _progress(dict(found))):
            db.execute("DELETE FROM jobs WHERE id = ?", (row["id"],))
            insert(db, row)


def _progress(row: Row) -> tuple[bool, bool, bool]:
    """How far it came: what has ended knows more than what is known to fal, and that more than the rest."""
    closed = row["state"] in {"READY", "FAILED", "CANCELLED"}
    return closed, row.get("request_id") is not None, row.get("sent_at") is not None
