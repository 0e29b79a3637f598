"""`Batch`: a table of shots, one job for each row. It is a sweep whose cells are rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kling_nb.errors import UsageError
from kling_nb.media import read_decisions
from kling_nb.sweeps.axes import Axis
from kling_nb.sweeps.sweep import Sweep, SweepCell


@dataclass(eq=False)
class BatchRow(SweepCell):
    """One row of a batch. Its `values` are those of the table.

    Attributes:
        name: Its name: that of the column `name`, or its number.
    """

    name: str = ""

    def record(self) -> dict[str, Any]:
        """Return the row as a row of a table: name and values, then state, result, cost and rating."""
        found, video = super().record(), self.video
        decisions = read_decisions(video.sidecar) if video is not None and video.sidecar is not None else None
        paid = found["job"] is not None and not found["reused"] and self.plan.settings.backend == "fal"
        return {
            "name": self.name,
            **found,
            "cost_usd": self.plan.estimate if paid else 0.0,
            "rating": decisions.rating if decisions else None,
            "note": decisions.note if decisions else "",
            "tags": list(decisions.tags) if decisions else [],
        }

    def __repr__(self) -> str:
        return f"<BatchRow {self.name!r} {self.state}>"


class Batch(Sweep):
    """A table of shots, one job for each row. Made by `batch` or `%%kling --table`.

    It is used as a `Sweep`: iterate over its rows, `await` it or `.wait()`. A row is found by number or by
    name: `shots["opening"]`. Rows that were made before are reused, so a batch that was interrupted makes
    only what is missing when it runs again.

    Threads: any.

    Attributes:
        source: Name of the table's file, or "the table".
    """

    _whole, _part = "batch", "row"

    def __init__(self, source: str, rows: Sequence[BatchRow], **how: Any) -> None:
        names = tuple(row.name for row in rows)
        super().__init__([Axis("name", names, names, argument=False)], rows, **how)
        self.source = source
        self._by_name = {row.name: row for row in rows}

    def __getitem__(self, index: int | str) -> SweepCell:
        if not isinstance(index, str):
            return self.cells[index]
        if index not in self._by_name:
            raise UsageError(f"{self.source} has no row named {index[:80]!r}.", parameter="name")
        return self._by_name[index]

    def __repr__(self) -> str:
        return f"<Batch {self.source}: {self.summary()}>"
