"""Spending limits, checked in the transaction that writes the intent down."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from kling_nb.errors import BudgetExceeded
from kling_nb.ledger.hold import held

_SPENT = (
    "SELECT COALESCE(SUM(reserved_usd), 0) FROM jobs"
    " WHERE backend = 'fal' AND id NOT IN (SELECT value FROM json_each(?2)) AND "
)
_SINCE = _SPENT + "created_at >= ?1"
_OF_SESSION = _SPENT + "substr(owner, -8) = ?1"
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


def check(
    db: sqlite3.Connection, limits: tuple[Limit, ...], cost: float, *, besides: Collection[str] = ()
) -> None:
    """Let submissions of `cost` US dollars through, or not.

    Call it inside the transaction that inserts the row, so that kernels cannot both take the rest.

    Args:
        db: In a transaction.
        limits: What may be spent.
        cost: Of all that is to be submitted.
        besides: Rows that do not count, because the cost is theirs.

    Raises:
        BudgetExceeded: It would go over one of the limits.
    """
    for limit in limits:
        waiting = held(db, limit.session)
        left = limit.usd - _spent(db, limit, besides) - waiting
        if cost > left + 1e-9:  # cents do not add up exactly in floating point
            held_too = f" (${waiting:.2f} of it held for a sweep that is under way)" if waiting else ""
            raise BudgetExceeded(
                f"This would cost about ${cost:.2f}, and {limit.name} leaves"
                f" ${max(left, 0):.2f} of ${limit.usd:.2f}{held_too}. Nothing was sent.",
                remedy="Raise the limit, or lift it for this one: --max-cost none (API: max_cost='none').",
            )


def _spent(db: sqlite3.Connection, limit: Limit, besides: Collection[str]) -> float:
    """What counts towards `limit`: estimates of all that fal has or may have."""
    query, value = (_SINCE, limit.since) if limit.session is None else (_OF_SESSION, limit.session)
    return float(db.execute(query, (value, json.dumps(list(besides)))).fetchone()[0])
