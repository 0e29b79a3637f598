"""The way of one job from its ledger row to a file (the numbered steps are those of docs/architecture).

It runs as one coroutine on the engine thread. What it learns goes to the ledger first,
then to the `Job` as an event.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from kling_nb import errors
from kling_nb._backend import Backend
from kling_nb._filing import Filing
from kling_nb._record import Record
from kling_nb._result_files import main_file
from kling_nb._submission import Submission
from kling_nb._verdict import PASSING, failure, final, gone, of_another_key
from kling_nb.events import Completed, Failed, Queued, Running, State, Unclear
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.refusals import from_error_text
from kling_nb.fal.replies import CancelOutcome, Result, json_object

log = logging.getLogger(__name__)


LATE_SECONDS = 86_400.0


class Pursuit:
    """Takes one job to its end.

    Args:
        record: The job and its ledger row.
        connect: Gives the backend.
        submission: Makes the request, or finds it again.
        filing: Makes a file of its result.
    """

    def __init__(
        self,
        record: Record,
        *,
        connect: Callable[[], Awaitable[Backend]],
        submission: Submission,
        filing: Filing,
    ) -> None:
        self._record = record
        self._job = record.job
        self._connect = connect
        self._submission = submission
        self._filing = filing
        self._cancelling: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Do it all. Every end is an event; nothing is raised but cancellation."""
        self._record.task = asyncio.current_task()
        job = self._job
        try:
            if await self._filing.filed_before():
                return
            with self._submission.begun():
                backend = await self._connect()
                ref = await self._submission.made(backend)
            if ref is None:
                return
            self._enable_cancel(backend, ref)
            result = await self._result(backend, ref)
            if result is not None:
                await self._file(backend, ref, result)
        except asyncio.CancelledError:
            if not job.done:
                raise
        except errors.SubmissionUncertain as fault:
            await self._record.note(state=State.UNCERTAIN, error=str(fault))
            errors.without_frames(fault)
            job.apply(Unclear(fault))
        except errors.KlingError as fault:
            await self._fail(fault)
        except Exception as fault:
            log.exception("Job %s", job.id)
            await self._fail(errors.KlingError(f"Unexpected fault: {type(fault).__name__}: {fault}"))

    async def _fail(self, fault: errors.KlingError) -> None:
        """Final for the ledger where fal said so, or where nothing was sent; else it is taken up again."""
        refused = final(fault)
        if isinstance(fault, errors.RequestNotFound) and self._job.backend == "fal":
            fault = self._not_found()
            refused = not self._submission.other_key
        if self._record.entry.state is State.READY:
            refused = False  # it was filed once: it stays paid for, and is not bought again unasked
        taken = (self._job.request_id or self._record.entry.request_id) is not None
        if (taken and refused) or (self._submission.fresh and not taken):
            await self._record.note(**failure(fault, taken=taken))
        if getattr(fault, "error_type", None) == "file_download_error":
            await self._submission.forget_addresses()
        errors.without_frames(fault)
        self._job.apply(Failed(fault))

    def _not_found(self) -> errors.RequestNotFound:
        """What it means that fal does not find an accepted request."""
        entry = self._record.entry
        if not self._job.state.resumed:  # the row as it was before it was sent
            entry = replace(entry, sent_at=entry.created_at, request_id=self._job.request_id)
        if self._submission.other_key and not entry.gone:  # another account's requests are not found either
            return of_another_key(entry)
        return gone(entry)

    # -- cancelling ----------------------------------------------------------

    def _enable_cancel(self, backend: Backend, ref: RequestRef) -> None:
        async def cancel() -> str:
            queued = self._job.state.state is State.IN_QUEUE
            outcome = await backend.client.cancel(ref)
            if outcome is CancelOutcome.REMOVED and queued:
                await self._record.cancelled()
            return _OUTCOMES[outcome]

        async def cancel_now() -> None:
            try:
                await cancel()
            except errors.KlingError as fault:
                self._record.warn(f"not cancelled: {fault.message}")

        self._job.set_canceller(cancel)
        if self._job.cancel_wanted:
            self._cancelling = asyncio.create_task(cancel_now())

    # -- following -----------------------------------------------------------

    async def _result(self, backend: Backend, ref: RequestRef) -> Result | None:
        """Follow the request to its end and fetch what it gave; None where it was cancelled."""
        fetched = json_object(self._record.entry.result or "")
        if fetched is not None:  # fetched before, and fal may have forgotten it since
            return Result(fetched, self._record.entry.units)
        ended = Completed()
        try:
            ended = await self._follow(backend, ref)
            result = await backend.client.result(ref, reported=ended.error is not None)
        except (errors.ResponseError, errors.UnreachableError) as fault:
            if self._stopped(ended, fault):
                await self._record.cancelled()
                return None
            verdict = self._verdict(ended, fault)
            if verdict is fault:
                raise
            raise verdict from fault
        columns: dict[str, Any] = {"result": json.dumps(result.data)} if self._complete(result.data) else {}
        if self._record.entry.state is not State.READY:
            columns["state"] = State.DOWNLOADING
        await self._record.note(units=result.units, **columns)
        return result

    async def _file(self, backend: Backend, ref: RequestRef, result: Result) -> None:
        """File it. Where its address is gone, fal is asked for the result once more, and may give another."""
        try:
            await self._filing.file(backend, result)
        except errors.MediaGone:
            if self._job.backend != "fal" or not self._job.state.resumed:
                raise
            anew = await backend.client.result(ref)
            if anew.data == result.data:
                if time.time() - self._record.entry.created_at < LATE_SECONDS:
                    raise  # a media host may be late; after a day it is not
                raise gone(self._record.entry) from None
            await self._record.note(result=json.dumps(anew.data), units=anew.units)
            await self._filing.file(backend, anew)

    def _complete(self, data: Any) -> bool:
        """Whether a result holds what its endpoint gives; one that does not is asked for anew next time."""
        endpoint = self._job.request.endpoint
        return endpoint.output_kind == "data" or main_file(data, endpoint.output_pointer) is not None

    def _stopped(self, ended: Completed, fault: errors.KlingError) -> bool:
        """Whether it ended because it was cancelled: fal has no word for that state (FAL-PROTOCOL §7)."""
        if "client_cancelled" in {ended.error_type, getattr(fault, "error_type", None)}:
            return True
        failed = ended.error is not None and not getattr(fault, "details", ())
        return self._job.cancel_wanted and (failed or isinstance(fault, errors.RequestNotFound))

    def _verdict(self, ended: Completed, fault: errors.KlingError) -> errors.KlingError:
        """The error to raise: the result's own, or the status's where the result cannot be had."""
        request_id = self._job.request_id
        unheard = isinstance(fault, (*PASSING, errors.RequestNotFound))
        if ended.error is not None and unheard:
            return from_error_text(ended.error, ended.error_type, request_id=request_id)
        return fault

    async def _follow(self, backend: Backend, ref: RequestRef) -> Completed:
        try:
            return await self._followed(backend, ref)
        except errors.EndpointNotFound as fault:  # of an address for this very request
            raise errors.RequestNotFound(
                fault.message, request_id=ref.request_id, status_code=fault.status_code
            ) from fault

    async def _followed(self, backend: Backend, ref: RequestRef) -> Completed:
        async with aclosing(backend.follower.follow(ref)) as events:
            async for event in events:
                if isinstance(event, Running):
                    await self._record.note(state=State.IN_PROGRESS)
                elif isinstance(event, Queued) and self._job.state.state is State.IN_PROGRESS:
                    await self._record.note(state=State.IN_QUEUE)  # fal retries the job by itself
                self._job.apply(event)
                if isinstance(event, Completed):
                    return event
        raise AssertionError("a follower ends with Completed")


_OUTCOMES = {
    CancelOutcome.REMOVED: "taken out of the queue, nothing is billed",
    CancelOutcome.REQUESTED: "asked to stop; if it finishes all the same, the result is kept and billed",
    CancelOutcome.ALREADY_COMPLETED: "too late, it has finished already; the result is fetched",
    CancelOutcome.NOT_FOUND: "fal knows no such request (any more)",
}
