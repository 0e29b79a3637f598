"""Spending limits, money reserved for sweeps, and what was spent."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from kling_nb.errors import BudgetExceeded
from kling_nb.ledger.owner import is_alive, owner_of_this_process

_CENTS = 1e-9
"""US dollars. Tolerance of comparisons, because cents do not add up exactly in floating point."""

_SPENT = (
    "SELECT COALESCE(SUM(reserved_usd), 0) FROM jobs"
    " WHERE backend = 'fal' AND id NOT IN (SELECT value FROM json_each(:besides)) AND "
)
_SPENT_SINCE = _SPENT + "created_at >= :since"
_SPENT_IN_SESSION = _SPENT + "substr(owner, -8) = :session"
"""It compares the token at the end of `owner`, which has an index. It uses no clock: one may be set back."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A spending limit.

    Attributes:
        name: Its name in messages, with the setting that sets it.
        usd: US dollars, the next submission included.
        since: Unix seconds from which submissions count.
        session: End of the owner's name, if only submissions of this process and of those forked from it
            count. None counts those of all kernels.
    """

    name: str
    usd: float
    since: float = 0.0
    session: str | None = None


def check_limits(
    db: sqlite3.Connection, limits: tuple[Limit, ...], cost: float, *, besides: Collection[str] = ()
) -> None:
    """Raise `BudgetExceeded` unless submissions of `cost` US dollars are within all limits.

    Call it in the transaction that inserts the row. Else two kernels could both spend the rest. The rows with
    the ids `besides` do not count, because `cost` includes their price.
    """
    for limit in limits:
        reserved = _reserved_usd(db, limit.session)
        left = limit.usd - _spent_usd(db, limit, besides) - reserved
        if cost > left + _CENTS:
            for_sweep = f" (${reserved:.2f} of it reserved for a running sweep)" if reserved else ""
            raise BudgetExceeded(
                f"This would cost about ${cost:.2f}, and {limit.name} leaves"
                f" ${max(left, 0):.2f} of ${limit.usd:.2f}{for_sweep}. Nothing was sent.",
                remedy="Raise the limit, or turn all limits off for this request:\n"
                "--max-cost none (API: max_cost='none').",
            )


def _spent_usd(db: sqlite3.Connection, limit: Limit, besides: Collection[str]) -> float:
    """Return the estimated cost of all jobs that fal has, or may have, and that count for `limit`."""
    query = _SPENT_SINCE if limit.session is None else _SPENT_IN_SESSION
    values = {"since": limit.since, "session": limit.session, "besides": json.dumps(list(besides))}
    return float(db.execute(query, values).fetchone()[0])


# -- Reservations (table `holds`): money for later submissions of a sweep.
#
# A sweep reserves its whole price before it starts, or is refused. Each of its submissions draws its own
# price from there, in the transaction that writes its row. When the sweep ends, the rest is released. A
# reservation of a process that has ended does not count.


LONGEST_SECONDS = 86_400.0
"""No sweep takes a day. An older reservation is of another host, or its process id is in use again."""


def reserve(db: sqlite3.Connection, usd: float) -> str:
    """Reserve US dollars for this process, and return the id of the reservation."""
    for row in db.execute("SELECT id, owner, held_at FROM holds").fetchall():
        if not _is_counted(row):
            release(db, row["id"])
    reservation = secrets.token_hex(6)
    db.execute(
        "INSERT INTO holds VALUES (?, ?, ?, ?)", (reservation, owner_of_this_process(), time.time(), usd)
    )
    return reservation


def draw(db: sqlite3.Connection, reservation: str, usd: float) -> bool:
    """Take the price of one submission from a reservation. Return False if it has less left."""
    query = "UPDATE holds SET usd = usd - :usd WHERE id = :id AND usd >= :usd - :cents"
    return db.execute(query, {"id": reservation, "usd": usd, "cents": _CENTS}).rowcount == 1


def release(db: sqlite3.Connection, reservation: str) -> None:
    """Delete a reservation, so that what is left of it counts no more."""
    db.execute("DELETE FROM holds WHERE id = ?", (reservation,))


def _reserved_usd(db: sqlite3.Connection, session: str | None) -> float:
    """Return the reserved US dollars: of all, or of one session (see `Limit.session`)."""
    query = "SELECT owner, held_at, usd FROM holds WHERE :session IS NULL OR substr(owner, -8) = :session"
    rows = db.execute(query, {"session": session})
    return sum(max(float(row["usd"]), 0.0) for row in rows.fetchall() if _is_counted(row))


def _is_counted(row: sqlite3.Row) -> bool:
    return time.time() - row["held_at"] < LONGEST_SECONDS and is_alive(row["owner"])


# -- What was spent.


Grouping = Literal["day", "endpoint", "notebook"]

_GROUPS: dict[str, str] = {
    "day": "strftime('%Y-%m-%d', created_at, 'unixepoch', 'localtime')",
    "endpoint": "endpoint",
    "notebook": "COALESCE(notebook, '')",
}


@dataclass(frozen=True, slots=True)
class Spending:
    """What one group of jobs cost.

    Attributes:
        group: The day (local time), the endpoint's id, or the notebook; empty if there is none.
        jobs: Submissions that fal has or may have.
        units: Sum of `x-fal-billable-units`, as far as fal sent them.
        usd: Sum of the estimates, US dollars.
        unknown: Number of the jobs whose price is not known. They are missing in `usd`.
    """

    group: str
    jobs: int
    units: float
    usd: float
    unknown: int


def spending(db: sqlite3.Connection, by: Grouping) -> list[Spending]:
    """Return all groups, the newest day or the most expensive first, without jobs that were not billed."""
    order = "1 DESC" if by == "day" else "4 DESC, 1"
    rows = db.execute(
        f"SELECT {_GROUPS[by]}, COUNT(*), COALESCE(SUM(CAST(units AS REAL)), 0),"
        " COALESCE(SUM(reserved_usd), 0), SUM(reserved_usd IS NULL)"
        " FROM jobs WHERE backend = 'fal' AND state != 'CANCELLED'"
        " AND NOT (state = 'FAILED' AND (request_id IS NULL OR reserved_usd = 0))"
        f" GROUP BY 1 ORDER BY {order}"
    )
    return [Spending(str(row[0]), int(row[1]), float(row[2]), float(row[3]), int(row[4])) for row in rows]
