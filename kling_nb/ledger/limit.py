"""Spending limits, checked in the transaction that writes the intent down."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from kling_nb.errors import BudgetExceeded


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be spent.

    Attributes:
        name: What it is called in a message, with the setting that sets it.
        usd: US dollars, the next submission included.
        since: Unix seconds from which submissions count.
        owner: Only submissions of this process count; None counts those of all kernels.
    """

    name: str
    usd: float
    since: float = 0.0
    owner: str | None = None


def check(db: sqlite3.Connection, limits: tuple[Limit, ...], cost: float) -> None:
    """Let a submission of `cost` US dollars through, or not.

    Call it inside the transaction that inserts the row, so that kernels cannot both take the rest.

    Raises:
        BudgetExceeded: It would go over one of the limits.
    """
    for limit in limits:
        spent = _spent(db, limit)
        if spent + cost > limit.usd + 1e-9:  # cents do not add up exactly in floating point
            raise BudgetExceeded(
                f"This would cost about ${cost:.2f}, and {limit.name} leaves"
                f" ${max(limit.usd - spent, 0):.2f} of ${limit.usd:.2f}. Nothing was sent.",
                remedy="Raise the limit, or lift it for this one: --max-cost none (API: max_cost='none').",
            )


def _spent(db: sqlite3.Connection, limit: Limit) -> float:
    """What counts towards `limit`: estimates of all that fal has or may have."""
    row = db.execute(
        "SELECT COALESCE(SUM(reserved_usd), 0) FROM jobs"
        " WHERE backend = 'fal' AND created_at >= ?1 AND (?2 IS NULL OR owner = ?2)",
        (limit.since, limit.owner),
    ).fetchone()
    return float(row[0])
