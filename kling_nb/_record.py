"""A job and its ledger row, changed together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kling_nb import errors
from kling_nb._job import Job
from kling_nb.events import Cancelled, Logged, State
from kling_nb.ledger import Entry, Ledger


class Record:
    """One job with its row. Engine thread.

    Attributes:
        job: Gets the events.
        entry: The row as it was when it was last read.
        ledger: Where every step is written before the job hears of it.
        task: What takes the job to its end, once it runs.
    """

    def __init__(self, job: Job, entry: Entry, ledger: Ledger) -> None:
        self.job = job
        self.entry = entry
        self.ledger = ledger
        self.task: asyncio.Task[None] | None = None
        self._unwritten: dict[str, Any] = {}

    async def note(self, **columns: Any) -> None:
        """Write to the ledger. A job that fal has is not given up because the disk is full.

        What could not be written goes along with what is to be written next: the request id, above all.
        """
        columns = {**self._unwritten, **columns}
        self._unwritten = {}
        try:
            try:
                await asyncio.to_thread(
                    self.ledger.update, self.job.id, whole=self._whole(columns), **columns
                )
            except RuntimeError:  # the interpreter is ending and starts no thread any more
                self.ledger.update(self.job.id, whole=self._whole(columns), **columns)
        except errors.LedgerError as fault:
            self._unwritten = columns
            self.warn(fault.message)

    def _whole(self, columns: Mapping[str, Any]) -> Entry | None:
        """The row of a job that fal has, or may have, by what is known here; None for any other."""
        request_id = columns.get("request_id") or self.job.request_id or self.entry.request_id
        if request_id is None and self.entry.sent_at is None:
            return None
        sent = self.entry.sent_at or self.entry.created_at
        return replace(self.entry, sent_at=sent, request_id=request_id)

    def warn(self, words: str) -> None:
        """Say something in the job's log."""
        self.job.apply(Logged(f"kling_nb: {words}", None, "WARN"))

    async def cancelled(self) -> None:
        """It ended because it was asked to."""
        # Out of the queue nothing is billed; a runner that was stopped may have cost something.
        unpaid = {} if self.job.state.state is State.IN_PROGRESS else {"reserved_usd": 0.0}
        await self.note(state=State.CANCELLED, **unpaid)
        self.job.apply(Cancelled())
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
