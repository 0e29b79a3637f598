"""Spending limits, checked in the transaction that writes the intent down."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from kling_nb.errors import BudgetExceeded

_SPENT = "SELECT COALESCE(SUM(reserved_usd), 0) FROM jobs WHERE backend = 'fal' AND "
_SINCE = _SPENT + "created_at >= ?"
_OF_SESSION = _SPENT + "substr(owner, -8) = ?"
"""The token at the end of an owner's name, as the index has it. No clock is asked: it may be set back."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be spent.

    Attributes:
        name: What it is called in a message, with the setting that sets it.
        usd: US dollars, the next submission included.
        since: Unix seconds from which submissions count.
        session: Only submissions of this process, and of those that were forked from it, count: the end of
            their owner's name. None counts those of all kernels.
    """

    name: str
    usd: float
    since: float = 0.0
    session: str | None = None


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
    query, value = (_SINCE, limit.since) if limit.session is None else (_OF_SESSION, limit.session)
    return float(db.execute(query, (value,)).fetchone()[0])
