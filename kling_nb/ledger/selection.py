"""Which rows of the ledger are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kling_nb.events import State

UNFINISHED = "state IN ('SUBMITTING', 'IN_QUEUE', 'IN_PROGRESS', 'DOWNLOADING', 'UNCERTAIN')"

_PART_OF_ID = 6
"""Fewer characters are in too many ids by chance."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows that meet every condition given.

    Attributes:
        search: Words, in any case and order, each of which the prompt or the endpoint's id must hold;
            a word of six characters or more may also be part of the job's id or the request id.
        endpoint: Full id of an endpoint.
        state: Where they stand.
        folder: Their media folder.
        fingerprint: Of the request.
        unfinished: Only those still to be completed.
    """

    search: str = ""
    endpoint: str | None = None
    state: State | None = None
    folder: Path | None = None
    fingerprint: str | None = None
    unfinished: bool = False

    def where(self) -> tuple[str, list[str]]:
        """The condition as SQL, and the values of its marks."""
        conditions, values = ["1"], []
        for column in ("endpoint", "state", "folder", "fingerprint"):
            value = getattr(self, column)
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(str(value))
        if self.unfinished:
            conditions.append(UNFINISHED)
        for word in self.search.casefold().split():
            # SQLite's own LIKE knows upper and lower case of ASCII only.
            condition = "instr(casefold(prompt || ' ' || endpoint), ?)"
            values.append(word)
            if len(word) >= _PART_OF_ID:
                condition = f"({condition} OR instr(id || ' ' || ifnull(request_id, ''), ?))"
                values.append(word)
            conditions.append(condition)
        return " AND ".join(conditions), values


EVERYTHING = Selection()
"""The whole ledger."""
