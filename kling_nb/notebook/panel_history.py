"""Pages of the ledger for the panel's history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kling_nb.errors import UsageError
from kling_nb.events import State
from kling_nb.ledger import Ledger, Selection
from kling_nb.notebook.panel_rows import entry_row

PAGE = 50
"""Rows in a page; the least that fills a screen, so that the first one is there at once."""


def page(ledger: Ledger, msg: Mapping[str, Any]) -> dict[str, Any]:
    """One page of what matches, newest first.

    Args:
        ledger: Where to look.
        msg: `{"page": number from 0, "search": words, "endpoint": id, "state": name}`, each may be left out.

    Returns:
        `total` rows that match, `rows` of the page; with the first page also how many rows there are
        of each endpoint and state in all (`endpoints`, `states`).

    Raises:
        UsageError: The message makes no sense.
    """
    number = msg.get("page", 0)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise UsageError(f"page is {number!r}; it must be a whole number from 0 on.")
    wanted = _selection(msg)
    rows = ledger.entries(wanted, limit=PAGE, offset=number * PAGE)
    answer: dict[str, Any] = {
        "page": number,
        "total": ledger.count(wanted),
        "rows": [entry_row(entry) for entry in rows],
    }
    if number == 0:
        answer |= {"endpoints": ledger.tally("endpoint"), "states": ledger.tally("state")}
    return answer


def _selection(msg: Mapping[str, Any]) -> Selection:
    state = msg.get("state") or None
    if state is not None and state not in set(State):
        raise UsageError(f"state is {state!r}; there are {', '.join(State)}.")
    endpoint = msg.get("endpoint") or None
    return Selection(
        search=str(msg.get("search") or ""),
        endpoint=None if endpoint is None else str(endpoint),
        state=None if state is None else State(state),
    )
