"""`JobRun`: take one job from its ledger row to a file, as one coroutine on the background thread.

It submits (`job/submit.py`), follows (`fal/follow.py`), fetches the result and stores it (`job/store.py`). It
decides what an error means for the job. Each change goes to the ledger first, then to the `Job`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from kling_nb import errors
from kling_nb._files import parse_object
from kling_nb.events import Completed, Failed, Queued, Running, State, Unclear
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.platform import name_deprecation
from kling_nb.fal.replies import QueueResult, from_error_text
from kling_nb.job.connections import Backend
from kling_nb.job.job import OUTCOMES, ends_at_once
from kling_nb.job.record import JobRecord, failure_columns, other_key_error, result_gone_error
from kling_nb.job.store import ResultStore, main_file
from kling_nb.job.submit import JobSubmission, unexpected_error

LATE_SECONDS = 86_400.0
"""Age in seconds from which a missing file counts as deleted. Before that, the media host may be late."""


class JobRun:
    """Takes one job to its end: `submission` sends the request or finds it, `store` stores its result."""

    def __init__(
        self,
        record: JobRecord,
        *,
        connect: Callable[[], Awaitable[Backend]],
        submission: JobSubmission,
        store: ResultStore,
    ) -> None:
        self._record = record
        self._job = record.job
        self._connect = connect
        self._submission = submission
        self._store = store

    async def run(self) -> None:
        """Run the job. Every end is an event; only cancellation is raised."""
        self._record.task = asyncio.current_task()
        job = self._job
        try:
            if await self._store.use_stored_file():
                return
            backend, ref = await self._submission.send_or_find(self._connect)
            if ref is None:
                return
            job.cancellation.after_submission(lambda: self._cancel(backend, ref), self._record.warn)
            result = await self._result(backend, ref)
            if result is not None:
                await self._store_result(backend, ref, result)
        except asyncio.CancelledError:
            if not job.done:
                raise
        except errors.SubmissionUncertain as fault:
            errors.without_frames(fault)
            job._apply(Unclear(fault))
        except errors.KlingError as fault:
            await self._fail(fault)
        except Exception as fault:  # noqa: BLE001 -- it is logged, and the job ends with it
            await self._fail(unexpected_error(job.id, fault))
        finally:
            self._record.drop_steps()

    async def _fail(self, fault: errors.KlingError) -> None:
        """End the job. Its row is closed only if fal has refused the request; else it can be resumed.

        The row of a submission that failed was closed by `JobSubmission`.
        """
        refused = errors.is_final(fault)
        if isinstance(fault, errors.RequestNotFound) and self._job.backend == "fal":
            fault = self._not_found_error()
            refused = not self._submission.other_key
        if self._record.entry.state is State.READY:
            refused = False  # it was paid for and had a file, so only `new` buys it again
        accepted = (self._job.request_id or self._record.entry.request_id) is not None
        if accepted and refused:
            await self._record.note(**failure_columns(fault, accepted=True))
        if getattr(fault, "error_type", None) == "file_download_error":
            await self._submission.forget_uploads()
        errors.without_frames(fault)
        self._job._apply(Failed(fault))

    def _not_found_error(self) -> errors.RequestNotFound:
        """Return the error of an accepted request that fal does not find."""
        entry = self._record.entry
        if not self._job.state.resumed:  # this entry was read before the request was sent
            entry = replace(entry, sent_at=entry.created_at, request_id=self._job.request_id)
        # This key does not find requests of another account.
        if self._submission.other_key and not entry.is_result_gone:
            return other_key_error(entry)
        return result_gone_error(entry)

    async def _cancel(self, backend: Backend, ref: RequestRef) -> str:
        """Ask fal to stop the request, and end the job if that is its end; return the outcome in words."""
        state = self._job.state.state
        outcome = await backend.client.cancel(ref)
        if ends_at_once(outcome, state):
            await self._record.cancel()
        return OUTCOMES[outcome]

    # -- following -----------------------------------------------------------

    async def _result(self, backend: Backend, ref: RequestRef) -> QueueResult | None:
        """Follow the request to its end and fetch its result; None if it was cancelled."""
        fetched = parse_object(self._record.entry.result or "")
        if fetched is not None:  # fetched earlier; fal may have deleted it since
            return QueueResult(fetched, self._record.entry.units)
        ended = Completed()
        try:
            ended = await self._follow(backend, ref)
            result = await backend.client.result(ref, reported=ended.error is not None)
        except (errors.ResponseError, errors.UnreachableError) as fault:
            if self._job.cancellation.explains(ended, fault):
                await self._record.cancel()
                return None
            if isinstance(fault, errors.EndpointNotFound) and backend.name == "fal":
                await name_deprecation(backend.http, self._record.entry.endpoint, fault)
            cause = self._cause(ended, fault)
            if cause is fault:
                raise
            raise cause from fault
        # A result without its file is not stored; the next run asks fal again.
        endpoint = self._job.request.endpoint
        has_file = endpoint.output_kind == "data" or main_file(result.data, endpoint.output_pointer)
        columns: dict[str, Any] = {"result": json.dumps(result.data)} if has_file else {}
        if self._record.entry.state is not State.READY:
            columns["state"] = State.DOWNLOADING
        await self._record.note_step(units=result.units, **columns)
        return result

    async def _store_result(self, backend: Backend, ref: RequestRef, result: QueueResult) -> None:
        """Store the result. If its URL does not work, ask for the result again, then for a signed URL."""
        try:
            await self._store.store(backend, result)
            return
        except errors.DEAD_URL:
            pass
        again, gone = result, None
        try:
            again = await backend.client.result(ref)
            if again.data != result.data:
                await self._record.note(result=json.dumps(again.data), units=again.units)
            elif backend.name == "fal" and time.time() - self._record.entry.created_at >= LATE_SECONDS:
                gone = result_gone_error(self._record.entry)
        except errors.RequestNotFound as fault:  # fal may keep the file longer than the result
            gone = fault
        except errors.ResponseError as fault:
            if not errors.is_final(fault):
                raise
            # There was a result before, so an answer that the request failed is not true.
        try:
            await self._store.store(backend, again, sign=True)
        except errors.MediaGone as fault:  # also by a signed URL
            raise gone or fault from None

    def _cause(self, ended: Completed, fault: errors.KlingError) -> errors.KlingError:
        """Return the error to raise: that of the status if the result's error does not explain the end."""
        request_id = self._job.request_id
        unknown = isinstance(fault, (*errors.NOT_FINAL, errors.RequestNotFound))
        if ended.error is not None and unknown:
            return from_error_text(ended.error, ended.error_type, request_id=request_id)
        if isinstance(fault, errors.ResponseError) and fault.error_type is None:
            fault.error_type = ended.error_type
        return fault

    async def _follow(self, backend: Backend, ref: RequestRef) -> Completed:
        try:
            async with aclosing(backend.follower.follow(ref)) as events:
                async for event in events:
                    if isinstance(event, Running):
                        await self._record.note_step(state=State.IN_PROGRESS)
                    elif isinstance(event, Queued) and self._job.state.state is State.IN_PROGRESS:
                        await self._record.note_step(state=State.IN_QUEUE)  # fal retries the job
                    self._job._apply(event)
                    if isinstance(event, Completed):
                        return event
        except errors.EndpointNotFound as fault:  # a 404 of the request's own URL
            raise errors.RequestNotFound(
                fault.message, request_id=ref.request_id, status_code=fault.status_code
            ) from fault
        raise AssertionError("a follower ends with Completed")
