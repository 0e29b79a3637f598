"""A job and its ledger row, changed together; what an error means for the row."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any

from kling_nb import errors
from kling_nb.events import Cancelled, JobState, Logged, State
from kling_nb.fal.replies import Charge, Reached, charge_of
from kling_nb.job.job import Job, row_of_cancelled
from kling_nb.ledger import GONE, Entry, Ledger

log = logging.getLogger(__name__)

PREVIEW_STEP_SECONDS = 1.0
"""How late the ledger may know of a step of a preview."""


class RowWriter:
    """The ledger row of a request that fal may have, and the columns still to be written.

    Background thread.

    Attributes:
        entry: The row as it was when it was last read.
        request_id: fal's id of the request, once known.
    """

    def __init__(self, entry: Entry, ledger: Ledger) -> None:
        self.entry = entry
        self.ledger = ledger
        self.request_id = entry.request_id
        self._unwritten: dict[str, Any] = {}

    def warn(self, text: str) -> None:
        """Report a problem that does not end the job."""
        log.warning("Job %s: %s", self.entry.id, text)

    @property
    def is_written(self) -> bool:
        """True if the ledger has everything that is known."""
        return not self._unwritten

    async def note(self, **columns: Any) -> None:
        """Write columns to the ledger. A full disk does not end a job that fal has.

        Columns that cannot be written are written with the next ones, above all the request id.
        """
        columns = {**self._unwritten, **columns}
        self.request_id = columns.get("request_id") or self.request_id
        self._unwritten = {}
        try:
            try:
                await asyncio.to_thread(self.ledger.update, self.entry.id, whole=self._whole(), **columns)
            except RuntimeError:  # the interpreter is ending and starts no more threads
                self.ledger.update(self.entry.id, whole=self._whole(), **columns)
        except errors.LedgerError as fault:
            self._unwritten = columns
            self.warn(fault.message)

    def _whole(self) -> Entry | None:
        """Return the row as it is known here, or None if fal cannot have the request."""
        request_id = self.request_id or self.entry.request_id
        if request_id is None and self.entry.sent_at is None:
            return None
        sent = self.entry.sent_at or self.entry.created_at
        return replace(self.entry, sent_at=sent, request_id=request_id)


class JobRecord(RowWriter):
    """A job and its ledger row, changed together: first the row, then the job. Background thread."""

    def __init__(self, job: Job, entry: Entry, ledger: Ledger) -> None:
        super().__init__(entry, ledger)
        self.job = job
        self.task: asyncio.Task[None] | None = None  # that of the job's run, once it has started
        self._steps_due: asyncio.TimerHandle | None = None
        self._writing_steps: asyncio.Task[None] | None = None

    def warn(self, text: str) -> None:
        """Add a warning to the job's log."""
        self.job._apply(Logged(f"kling_nb: {text}", None, "WARN"))

    async def note(self, **columns: Any) -> None:
        """Write columns as `RowWriter` does, after the steps that are being written."""
        self.drop_steps()
        if self._writing_steps is not None:
            await asyncio.wait([self._writing_steps])
        await super().note(**columns)

    async def note_step(self, **columns: Any) -> None:
        """Write what is new about a running request: for fal at once, for a preview within a second.

        A preview is free and ends with this process. Most take less than a second, and then their steps are
        written with their end.
        """
        if self.job.backend == "fal":
            await self.note(**columns)
            return
        self._unwritten |= columns
        if self._steps_due is None:
            loop = asyncio.get_running_loop()
            self._steps_due = loop.call_later(PREVIEW_STEP_SECONDS, self._write_steps)

    def _write_steps(self) -> None:
        self._steps_due = None
        self._writing_steps = asyncio.create_task(super().note())

    def drop_steps(self) -> None:
        """Write the steps of a preview with the next columns, not by themselves."""
        if self._steps_due is not None:
            self._steps_due.cancel()
            self._steps_due = None

    async def cancel(self) -> None:
        """End the job as cancelled."""
        await self.note(**row_of_cancelled(self.job.state.state))
        self.job._apply(Cancelled())
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()


# -- What an error means for the row; errors of requests that fal no longer finds.


def failure_columns(fault: errors.KlingError, *, accepted: bool) -> dict[str, Any]:
    """Return the ledger columns of a request that failed, and that fal had `accepted` or not.

    Its price is free again only if it is known that it cost nothing (`charge_of`).
    """
    error_type, units = _billing(fault)
    columns: dict[str, Any] = {"state": State.FAILED, "error": str(fault), "error_type": error_type}
    if units is not None:
        columns["units"] = units  # a refusal may be billed
    if accepted and isinstance(fault, errors.RequestNotFound):
        columns["error_type"] = GONE  # it was probably paid for, so only `new` buys it again
    if charge_of(Reached.ACCEPTED if accepted else Reached.REFUSED, units, error_type) is Charge.NONE:
        columns["reserved_usd"] = 0.0
    return columns


def may_be_charged(now: JobState) -> bool:
    """Return False if fal bills nothing for a submission that ended like this."""
    if now.state not in {State.FAILED, State.CANCELLED}:
        return True
    reached = Reached.REFUSED if now.request_id is None else Reached.ACCEPTED
    error_type, units = _billing(now.error)
    return charge_of(reached, units, error_type, unpaid=now.unpaid) is not Charge.NONE


def _billing(fault: BaseException | None) -> tuple[str | None, str | None]:
    """Return fal's type and billed units of an error, if it has them."""
    return getattr(fault, "error_type", None), getattr(fault, "billable_units", None)


def result_gone_error(entry: Entry) -> errors.RequestNotFound:
    """Return the error of a request that fal accepted and no longer finds."""
    if entry.sent_at is None:  # it was submitted elsewhere, as the caller of `get_job` states
        return errors.RequestNotFound(
            f"fal does not find request {entry.request_id} of {entry.endpoint}, or has deleted it.",
            remedy="Check request id, endpoint and key, then try again; this asks only, and is free.",
            request_id=entry.request_id,
            status_code=404,
            error_type=GONE,
        )
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created_at))
    known = [f"request {entry.request_id}", f"submitted {made}", entry.endpoint]
    if entry.units is not None:
        known.append(f"billed units {entry.units}")
    if entry.reserved_usd:
        known.append(f"about ${entry.reserved_usd:.2f}")
    if entry.media_path is not None:
        known.append(f"file was {entry.media_path}")
    return errors.ResultGone(
        f"fal no longer has the result of job {entry.id} ({', '.join(known)}).",
        remedy="To make another take, at a new charge: --new (API: new=True).",
        request_id=entry.request_id,
        status_code=404,
        error_type=GONE,
    )


def other_key_error(entry: Entry) -> errors.RequestNotFound:
    """Return the error of a request of another key. The key set now cannot find it, even if it exists."""
    return errors.RequestNotFound(
        f"Job {entry.id} was sent with another key, and the key set now does not find it.",
        remedy=(
            "Set that key, then run the cell again; with this key, --new (API: new=True) makes another take"
            " at a new charge."
        ),
        request_id=entry.request_id,
        status_code=404,
    )
