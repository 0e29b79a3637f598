"""What was spent, from the ledger: fal's jobs grouped by day, endpoint or notebook."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

Grouping = Literal["day", "endpoint", "notebook"]

_GROUPS: dict[str, str] = {
    "day": "strftime('%Y-%m-%d', created_at, 'unixepoch', 'localtime')",
    "endpoint": "endpoint",
    "notebook": "COALESCE(notebook, '')",
}


@dataclass(frozen=True, slots=True)
class Spending:
    """One group.

    Attributes:
        group: The day (local time), the endpoint's id, or the notebook; empty for none.
        jobs: Submissions that fal has or may have.
        units: Sum of `x-fal-billable-units`, where fal said them.
        usd: Sum of the estimates, US dollars.
        unknown: How many of the jobs have no known price, and so are missing in `usd`.
    """

    group: str
    jobs: int
    units: float
    usd: float
    unknown: int


def spending(db: sqlite3.Connection, by: Grouping) -> list[Spending]:
    """All groups, newest day or dearest first. What was never accepted, or not billed, is left out."""
    order = "1 DESC" if by == "day" else "4 DESC, 1"
    rows = db.execute(
        f"SELECT {_GROUPS[by]}, COUNT(*), COALESCE(SUM(CAST(units AS REAL)), 0),"
        " COALESCE(SUM(reserved_usd), 0), SUM(reserved_usd IS NULL)"
        " FROM jobs WHERE backend = 'fal' AND state != 'CANCELLED'"
        " AND NOT (state = 'FAILED' AND (request_id IS NULL OR reserved_usd = 0))"
        f" GROUP BY 1 ORDER BY {order}"
    )
    return [Spending(str(row[0]), int(row[1]), float(row[2]), float(row[3]), int(row[4])) for row in rows]
