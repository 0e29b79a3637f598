"""What cancelling a job does at each point of its life, and the text for each outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kling_nb import errors
from kling_nb.events import NOT_STARTED, Completed, State
from kling_nb.fal.replies import CancelOutcome

NOT_SUBMITTED = "Cancelled. Nothing was sent."
NOT_ANSWERED_YET = "The job will be cancelled as soon as fal answers the submission."
NO_ANSWER = "fal did not answer the cancel. The job may go on."
OUTCOMES = {
    CancelOutcome.REMOVED: "Cancelled. Not charged.",
    CancelOutcome.REQUESTED: "fal was asked to stop the job. If it still finishes, you pay and get it.",
    CancelOutcome.ALREADY_COMPLETED: "Too late: the job has finished. Its result is fetched.",
    CancelOutcome.NOT_FOUND: "fal does not know this request, or no longer does.",
}


def already_ended(state: State) -> str:
    """Return the text for the cancel of a job that has ended."""
    return f"The job has already ended ({state.value})."


def interrupt_cancels(state: State) -> bool:
    """Return True if an interrupt cancels the job: one that has not started costs nothing."""
    return state in NOT_STARTED


def ends_at_once(outcome: CancelOutcome, state: State) -> bool:
    """Return True if fal's answer to a cancel is the end of the job.

    Args:
        outcome: fal's answer.
        state: The state of the job when fal was asked. A running job may still give a result, which is
            billed, so it is followed to its end.
    """
    return outcome is CancelOutcome.REMOVED and state is State.IN_QUEUE


def row_of_cancelled(state: State) -> dict[str, Any]:
    """Return the ledger columns of a job that was cancelled in `state`.

    Nothing is billed for a job that had not started. A runner that was stopped may have cost something.
    """
    unpaid = {"reserved_usd": 0.0} if state in NOT_STARTED else {}
    return {"state": State.CANCELLED, **unpaid}


class Cancellation:
    """The cancel of one job. Background thread.

    During the uploads, a cancel ends them, and nothing is submitted. While the submission is unanswered, the
    cancel waits for the answer. After that, fal is asked at once: a queued job ends, and a running job ends
    when fal stops it, or still gives its result.

    Attributes:
        is_requested: True once a cancel was requested.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._cancel: Callable[[], Awaitable[str]] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def request(self, state: State) -> str:
        """Cancel the job, now or as soon as possible, and return the outcome in words.

        Args:
            state: The state of the job.

        Raises:
            KlingError: fal could not be asked.
        """
        if state.finished:
            return already_ended(state)
        self.is_requested = True
        return NOT_ANSWERED_YET if self._cancel is None else await self._cancel()

    @contextmanager
    def before_submission(self, end: Callable[[], Awaitable[None]]) -> Iterator[None]:
        """Inside the block, a cancel ends the job at once by calling `end`."""

        async def cancel() -> str:
            await end()
            return NOT_SUBMITTED

        self._cancel = cancel
        try:
            yield
        finally:
            self._cancel = None

    def after_submission(
        self, cancel: Callable[[], Awaitable[str]], on_failure: Callable[[str], None]
    ) -> None:
        """Use `cancel` from now on, and call it now if a cancel was requested before.

        Args:
            cancel: Asks fal and returns the outcome in words.
            on_failure: Called with a line of text if that first call fails.
        """

        async def cancel_now() -> None:
            try:
                await cancel()
            except errors.KlingError as fault:
                on_failure(f"Not cancelled: {fault.message}")

        self._cancel = cancel
        if self.is_requested:
            self._asking = asyncio.create_task(cancel_now())

    def explains(self, ended: Completed, fault: errors.KlingError) -> bool:
        """Return True if a job ended because of a cancel. fal has no status for that (FAL-PROTOCOL §7).

        Args:
            ended: The end, as its status reports it.
            fault: The error that its result URL gave.
        """
        if "client_cancelled" in {ended.error_type, getattr(fault, "error_type", None)}:
            return True
        failed = ended.error is not None and not getattr(fault, "details", ())
        return self.is_requested and (failed or isinstance(fault, errors.RequestNotFound))
