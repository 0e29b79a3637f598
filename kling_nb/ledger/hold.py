"""Money that a sweep holds for submissions to come, so that nothing else takes it meanwhile.

A sweep asks for the price of the whole before it begins, and gets all of it or is refused. Each of its
submissions draws its own price from there, in the transaction that writes its row. What is left goes back
when the sweep has ended; with a process that died, its holds count no more.
"""

from __future__ import annotations

import secrets
import sqlite3
import time

from kling_nb.ledger.owner import is_alive, owner_of_this_process

LONGEST_SECONDS = 86_400.0
"""No sweep takes a day: what holds longer is gone from another host, or its number is in use again."""

_CENTS = 1e-9  # they do not add up exactly in floating point


def hold(db: sqlite3.Connection, usd: float) -> str:
    """Hold so much for this process; gives the id of the hold."""
    for row in db.execute("SELECT id, owner, held_at FROM holds").fetchall():
        if not _counts(row):
            release(db, row["id"])
    made = secrets.token_hex(6)
    db.execute("INSERT INTO holds VALUES (?, ?, ?, ?)", (made, owner_of_this_process(), time.time(), usd))
    return made


def draw(db: sqlite3.Connection, hold_id: str, usd: float) -> bool:
    """Take the price of one submission from a hold; whether it held as much."""
    query = "UPDATE holds SET usd = usd - ?2 WHERE id = ?1 AND usd >= ?2 - ?3"
    return db.execute(query, (hold_id, usd, _CENTS)).rowcount == 1


def release(db: sqlite3.Connection, hold_id: str) -> None:
    """Give back what a hold still has."""
    db.execute("DELETE FROM holds WHERE id = ?", (hold_id,))


def held(db: sqlite3.Connection, session: str | None = None) -> float:
    """US dollars that are held: by all, or by one process and those forked from it (see `Limit.session`)."""
    query = "SELECT owner, held_at, usd FROM holds WHERE ?1 IS NULL OR substr(owner, -8) = ?1"
    rows = db.execute(query, (session,))
    return sum(max(float(row["usd"]), 0.0) for row in rows.fetchall() if _counts(row))


def _counts(row: sqlite3.Row) -> bool:
    return time.time() - row["held_at"] < LONGEST_SECONDS and is_alive(row["owner"])
