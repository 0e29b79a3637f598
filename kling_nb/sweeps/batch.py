"""`Batch`: a table of shots, one job for each row. It is a sweep whose cells are rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kling_nb.background import BackgroundThread
from kling_nb.errors import UsageError
from kling_nb.events import Ending
from kling_nb.job.plan import Outcome
from kling_nb.media import Result, read_decisions
from kling_nb.sweeps.axes import LARGEST, Axis
from kling_nb.sweeps.sweep import CONCURRENCY, Sweep, SweepCell, SweepPayment
from kling_nb.video import Video


class _Ended(NamedTuple):
    """What a row keeps of its job."""

    state: str
    outcome: Outcome
    result: Result | None
    charged: bool
    record: dict[str, Any]


@dataclass(eq=False)
class BatchRow(SweepCell):
    """One row of a batch. Its `values` are those of the table.

    Attributes:
        name: Its name: that of the column `name`, or its number.
    """

    name: str = ""
    _ended: _Ended | None = None

    @property
    def state(self) -> str:
        """As of a `SweepCell`."""
        return self._ended.state if self._ended else super().state

    @property
    def outcome(self) -> Outcome:
        """As of a `SweepCell`."""
        return self._ended.outcome if self._ended else super().outcome

    @property
    def result(self) -> Result | None:
        """As of a `SweepCell`."""
        return self._ended.result if self._ended else super().result

    @property
    def video(self) -> Video | None:
        """As of a `SweepCell`."""
        return self.result if isinstance(self.result, Video) else None

    @property
    def done(self) -> bool:
        """As of a `SweepCell`."""
        return self._ended is not None or super().done

    @property
    def _ending(self) -> Ending | None:
        """As of a `SweepCell`. A row without its job is not run again."""
        return None if self._ended else super()._ending

    @property
    def _charged(self) -> bool:
        """As of a `SweepCell`."""
        return self._ended.charged if self._ended else super()._charged

    def drop_job(self) -> None:
        """Keep the result of the ended job, and drop the job with its events and its log."""
        self._ended = _Ended(self.state, self.outcome, self.result, self._charged, super().record())
        self.job = None

    def record(self) -> dict[str, Any]:
        """Return the row as a row of a table: name and values, then state, result, cost and rating."""
        found, video = self._ended.record if self._ended else super().record(), self.video
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

    def __init__(
        self,
        source: str,
        rows: Sequence[BatchRow],
        *,
        payment: SweepPayment,
        background: BackgroundThread,
        concurrency: int = CONCURRENCY,
    ) -> None:
        names = tuple(row.name for row in rows)
        super().__init__(
            [Axis("name", names, names, argument=False)],
            rows,
            payment=payment,
            background=background,
            concurrency=concurrency,
        )
        self.source = source
        self._by_name = {row.name: row for row in rows}

    def _cell_ended(self, cell: SweepCell) -> None:
        """Drop the job of a row that no grid shows: a batch of any size needs about the same memory."""
        if isinstance(cell, BatchRow) and len(self.cells) > LARGEST:
            cell.drop_job()

    def __getitem__(self, index: int | str) -> SweepCell:
        if not isinstance(index, str):
            return self.cells[index]
        if index not in self._by_name:
            raise UsageError(f"{self.source} has no row named {index[:80]!r}.", parameter="name")
        return self._by_name[index]

    def __repr__(self) -> str:
        return f"<Batch {self.source}: {self.summary()}>"
