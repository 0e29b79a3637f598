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
from typing import Any
from urllib.parse import urlsplit

from kling_nb import errors
from kling_nb._backend import Backend
from kling_nb._job import Job
from kling_nb._result_files import as_download, files_of, main_file, opened, text_of
from kling_nb._uploads import Tally, Uploads, together
from kling_nb.events import (
    Cancelled,
    Completed,
    Downloading,
    Failed,
    Logged,
    Queued,
    Ready,
    Running,
    State,
    Submitted,
    Unclear,
    Uploading,
)
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.options import SubmitOptions
from kling_nb.fal.queue import Download
from kling_nb.fal.replies import CancelOutcome, Result
from kling_nb.ledger import Entry, Ledger
from kling_nb.media import MediaFolder, Take, TakeDraft

log = logging.getLogger(__name__)

DOWNLOAD_TRIES = 4
OTHER_KERNEL_SECONDS = 150.0
LEDGER_LOOK_SECONDS = 0.25

_PASSING = (
    errors.AuthenticationError,
    errors.AccessDenied,
    errors.InsufficientBalance,
    errors.RateLimited,
    errors.UnreachableError,
    errors.MediaError,
    errors.LedgerError,
)
"""Faults that say nothing about an accepted request: its row stays unfinished, to be taken up again."""


class Pursuit:
    """Takes one job to its end.

    Args:
        job: Gets the events.
        entry: Its ledger row.
        fresh: Whether the row is new, so that this process, and no other, submits.
        connect: Gives the backend.
        ledger: Where every step is written.
        media: Where the result is filed.
        take: The take to file it as; None for the next free one.
        uploads: Gives the addresses of local files.
        inline_limit: Size in bytes up to which a file goes along as a data URI.
        webhook_url: Where fal is to deliver the result too, where this process submits.
        options: How fal's queue is to treat the submission, where this process submits.
    """

    def __init__(
        self,
        job: Job,
        entry: Entry,
        *,
        fresh: bool,
        connect: Callable[[], Awaitable[Backend]],
        ledger: Ledger,
        media: MediaFolder,
        take: int | None,
        uploads: Uploads,
        inline_limit: int,
        webhook_url: str | None = None,
        options: SubmitOptions | None = None,
    ) -> None:
        self._job = job
        self._entry = entry
        self._fresh = fresh
        self._connect = connect
        self._ledger = ledger
        self._media = media
        self._take = take
        self._uploads = uploads
        self._inline_limit = inline_limit
        self._webhook_url = webhook_url
        self._options = options
        self._urls: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._cancelling: asyncio.Task[None] | None = None
        self._other_key = False

    async def run(self) -> None:
        """Do it all. Every end is an event; nothing is raised but cancellation."""
        self._task = asyncio.current_task()
        job = self._job
        try:
            backend = await self._connect()
            ref = await (self._submit(backend) if self._fresh else self._rejoin(backend))
            if ref is None:
                return
            self._enable_cancel(backend, ref)
            result = await self._result(backend, ref)
            if result is not None:
                await self._file(backend, result)
        except asyncio.CancelledError:
            if not job.done:
                raise
        except errors.SubmissionUncertain as fault:
            await self._note(state=State.UNCERTAIN, error=str(fault))
            job.apply(Unclear(fault))
        except errors.KlingError as fault:
            await self._fail(fault)
        except Exception as fault:
            log.exception("Job %s", job.id)
            await self._fail(errors.KlingError(f"Unexpected fault: {type(fault).__name__}: {fault}"))

    async def _fail(self, fault: errors.KlingError) -> None:
        """Final for the ledger where fal said so, or where nothing was sent; else it is taken up again."""
        refused = final(fault)
        if self._other_key and isinstance(fault, errors.RequestNotFound):
            refused = False  # another account's requests are not found either
        taken = (self._job.request_id or self._entry.request_id) is not None
        if (taken and refused) or (self._fresh and not taken):
            await self._note(**failure(fault, taken=taken))
        if getattr(fault, "error_type", None) == "file_download_error":
            for url in self._urls.values():
                await self._uploads.forget(url)
        self._job.apply(Failed(fault))

    async def _note(self, **columns: Any) -> None:
        """Write to the ledger. A job that fal has is not given up because the disk is full."""
        try:
            try:
                await asyncio.to_thread(self._ledger.update, self._job.id, **columns)
            except RuntimeError:  # the interpreter is ending and starts no thread any more
                self._ledger.update(self._job.id, **columns)
        except errors.LedgerError as fault:
            self._job.apply(Logged(f"kling_nb: {fault.message}", None, "WARN"))

    # -- submission ----------------------------------------------------------

    async def _submit(self, backend: Backend) -> RequestRef | None:
        """Upload files, send once, commit what came back; None where it was cancelled before."""
        body = self._job.request.body(await self._upload(backend))
        if self._job.cancel_wanted:
            await self._end_cancelled()
            return None
        if self._entry.sent_at is None and not await asyncio.to_thread(self._ledger.sending, self._job.id):
            self._fresh = False
            return await self._rejoin(backend)
        ref, position = await self._send(backend, body)
        self._fresh = False  # fal has it
        await self._note(
            state=State.IN_QUEUE,
            request_id=ref.request_id,
            status_url=ref.status_url,
            response_url=ref.response_url,
            cancel_url=ref.cancel_url,
        )
        self._job.apply(Submitted(ref.request_id))
        self._job.apply(Queued(position))
        return ref

    async def _send(self, backend: Backend, body: dict[str, Any]) -> tuple[RequestRef, int | None]:
        try:
            submission = await backend.client.submit(
                self._job.request.endpoint.id,
                body,
                options=self._options,
                webhook_url=self._webhook_url,
            )
        except errors.KlingError:
            raise  # it says what became of the request
        except Exception as fault:
            log.exception("Job %s", self._job.id)
            raise _unanswered(self._entry) from fault
        return submission.ref, submission.queue_position

    async def _upload(self, backend: Backend) -> dict[str, str]:
        """Where fal finds each local file. A cancel ends it at once: nothing is submitted yet."""
        files = self._job.request.files
        if not files:
            return {}
        tally = Tally(
            lambda sent, total: self._job.apply(Uploading(sent, total)),
            lambda line: self._job.apply(Logged(f"kling_nb: {line}")),
        )

        async def cancel() -> str:
            await self._end_cancelled()
            return "nothing was submitted yet"

        self._job.set_canceller(cancel)
        try:
            self._urls = await together(
                {
                    parameter: self._uploads.address(
                        backend.storage,
                        backend.key_fingerprint,
                        file,
                        inline_limit=self._inline_limit,
                        on_progress=tally.of(parameter, file.name),
                    )
                    for parameter, file in files.items()
                }
            )
        finally:
            self._job.set_canceller(None)
        return self._urls

    async def _rejoin(self, backend: Backend) -> RequestRef:
        """Come back to a request that was submitted earlier, or is being submitted by another kernel."""
        self._entry = entry = await self._answered()
        assert entry.request_id is not None
        if entry.status_url and not backend.hosts.may_see_key(entry.status_url):
            raise _elsewhere(entry)
        self._other_key = entry.backend == "fal" and entry.key_fingerprint != backend.key_fingerprint
        self._job.apply(Submitted(entry.request_id, resumed=True))
        return backend.hosts.ref_from_reply(
            entry.endpoint,
            entry.request_id,
            status_url=entry.status_url,
            response_url=entry.response_url,
            cancel_url=entry.cancel_url,
        )

    async def _answered(self) -> Entry:
        """The row once it has a request id."""
        entry: Entry | None = self._entry
        deadline = time.monotonic() + OTHER_KERNEL_SECONDS
        while entry is not None and entry.request_id is None:
            sent = entry.sent_at is not None
            if entry.state in {State.FAILED, State.CANCELLED} or (entry.abandoned and not sent):
                break
            if entry.state is State.UNCERTAIN or entry.abandoned or (sent and time.monotonic() > deadline):
                raise _unanswered(entry)
            await asyncio.sleep(LEDGER_LOOK_SECONDS)
            entry = await asyncio.to_thread(self._ledger.get, self._entry.id)
        if entry is None or entry.request_id is None:
            raise errors.KlingError(
                f"Job {self._entry.id} ended in another kernel before fal had taken it.",
                remedy="Run the cell again to submit it.",
            )
        return entry

    # -- cancelling ----------------------------------------------------------

    def _enable_cancel(self, backend: Backend, ref: RequestRef) -> None:
        async def cancel() -> str:
            queued = self._job.state.state is State.IN_QUEUE
            outcome = await backend.client.cancel(ref)
            if outcome is CancelOutcome.REMOVED and queued:
                await self._end_cancelled()
            return _OUTCOMES[outcome]

        async def cancel_now() -> None:
            try:
                await cancel()
            except errors.KlingError as fault:
                self._job.apply(Logged(f"kling_nb: not cancelled: {fault.message}", None, "WARN"))

        self._job.set_canceller(cancel)
        if self._job.cancel_wanted:
            self._cancelling = asyncio.create_task(cancel_now())

    async def _end_cancelled(self) -> None:
        # Out of the queue nothing is billed; a runner that was stopped may have cost something.
        unpaid = {} if self._job.state.state is State.IN_PROGRESS else {"reserved_usd": 0.0}
        await self._note(state=State.CANCELLED, **unpaid)
        self._job.apply(Cancelled())
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    # -- following -----------------------------------------------------------

    async def _result(self, backend: Backend, ref: RequestRef) -> Result | None:
        """Follow the request to its end and fetch what it gave; None where it was cancelled."""
        if self._entry.result is not None:  # fetched before, and fal may have forgotten it since
            return Result(json.loads(self._entry.result), self._entry.units)
        ended = Completed()
        try:
            ended = await self._follow(backend, ref)
            result = await backend.client.result(ref)
        except (errors.ResponseError, errors.UnreachableError) as fault:
            if self._stopped(ended, fault):
                await self._end_cancelled()
                return None
            verdict = self._verdict(ended, fault)
            if verdict is fault:
                raise
            raise verdict from fault
        columns = {"result": json.dumps(result.data)} if self._complete(result.data) else {}
        await self._note(state=State.DOWNLOADING, units=result.units, **columns)
        return result

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
        unheard = isinstance(fault, (*_PASSING, errors.RequestNotFound))
        if ended.error is not None and unheard:
            return errors.from_error_text(ended.error, ended.error_type, request_id=request_id)
        return fault

    async def _follow(self, backend: Backend, ref: RequestRef) -> Completed:
        async with aclosing(backend.follower.follow(ref)) as events:
            async for event in events:
                if isinstance(event, Running):
                    await self._note(state=State.IN_PROGRESS)
                elif isinstance(event, Queued) and self._job.state.state is State.IN_PROGRESS:
                    await self._note(state=State.IN_QUEUE)  # fal retries the job by itself
                self._job.apply(event)
                if isinstance(event, Completed):
                    return event
        raise AssertionError("a follower ends with Completed")

    # -- filing --------------------------------------------------------------

    async def _file(self, backend: Backend, result: Result) -> None:
        """Store what came, then say READY."""
        job = self._job
        job.output = dict(result.data)
        take = await self._stored(backend, result)
        await self._keep_others(backend, result, take)
        await asyncio.to_thread(job.take_in, take)
        await self._note(state=State.READY, units=result.units, media_path=str(take.path))
        job.apply(Ready(result.units))

    async def _stored(self, backend: Backend, result: Result) -> Take:
        """The file of the result, tried again where the connection is cut: it is paid for."""
        attempt = 0
        while True:
            attempt += 1
            try:
                file = main_file(result.data, self._job.request.endpoint.output_pointer)
                if file is None:
                    return await self._store(result, as_download(result.data))
                async with opened(backend.client, file) as download:
                    return await self._store(result, download)
            except (errors.UnreachableError, errors.MediaError):
                if attempt >= DOWNLOAD_TRIES:
                    raise
                await backend.sleep(min(2.0**attempt, 10.0))

    async def _store(self, result: Result, download: Download) -> Take:
        return await self._media.store(
            download.chunks,
            self._draft(result, download),
            expected_size=download.length,
            on_progress=lambda received: self._job.apply(Downloading(received, download.length)),
        )

    async def _keep_others(self, backend: Backend, result: Result, take: Take) -> None:
        """Further files of the result, beside the take. They are paid for, but none is worth failing for."""
        pointer = self._job.request.endpoint.output_pointer
        for name, file in list(files_of(result.data, pointer).items())[1:]:
            try:
                if await asyncio.to_thread(take.beside, name) is None:
                    async with opened(backend.client, file) as download:
                        await self._media.store_beside(
                            take, name, download.chunks, expected_size=download.length
                        )
            except errors.KlingError as fault:
                self._job.apply(Logged(f"kling_nb: {name} was not kept: {fault.message}", None, "WARN"))

    def _draft(self, result: Result, download: Download) -> TakeDraft:
        job, endpoint = self._job, self._job.request.endpoint
        file = main_file(result.data, endpoint.output_pointer) or {}
        return TakeDraft(
            fingerprint=self._entry.fingerprint,  # of the bytes of local files, which may be gone by now
            take=self._take,
            endpoint=endpoint.id,
            input=self._entry.input,
            prompt=job.request.prompt,
            backend=job.backend,
            request_id=job.request_id or "",
            url=download.url,
            kind=endpoint.output_kind,
            content_type=text_of(file, "content_type") or download.content_type,
            file_name=text_of(file, "file_name"),
            created_at=job.created_at,
            units=result.units,
            lines=tuple((line.timestamp, line.message) for line in job.lines),
        )


def final(fault: errors.KlingError) -> bool:
    """Whether a fault is fal's last word on an accepted request."""
    return isinstance(fault, errors.ResponseError) and not isinstance(fault, _PASSING)


def failure(fault: errors.KlingError, *, taken: bool) -> dict[str, Any]:
    """What the ledger says of a failed request. `taken`: whether fal had accepted it."""
    columns: dict[str, Any] = {
        "state": State.FAILED,
        "error": str(fault),
        "error_type": getattr(fault, "error_type", None),
    }
    if isinstance(fault, errors.ResponseError) and fault.billable_units is not None:
        columns["units"] = fault.billable_units  # a refusal may be billed
    if not taken or _not_billed(fault):
        columns["reserved_usd"] = 0.0
    return columns


def _not_billed(fault: errors.KlingError) -> bool:
    """Whether fal says, or documents, that a failure costs nothing: 5xx, and no units (FAL-PROTOCOL §6.4)."""
    if isinstance(fault, errors.PlatformError):
        return True
    return isinstance(fault, errors.ResponseError) and fault.billable_units in {"0", "0.0"}


_OUTCOMES = {
    CancelOutcome.REMOVED: "taken out of the queue, nothing is billed",
    CancelOutcome.REQUESTED: "asked to stop; if it finishes all the same, the result is kept and billed",
    CancelOutcome.ALREADY_COMPLETED: "too late, it has finished already; the result is fetched",
    CancelOutcome.NOT_FOUND: "fal knows no such request (any more)",
}


def _unanswered(entry: Entry) -> errors.SubmissionUncertain:
    return errors.SubmissionUncertain(
        f"Job {entry.id} was sent earlier and never answered: fal may have accepted it.",
        remedy=(
            "It was not sent again, so it is not paid twice. See https://fal.ai/dashboard/requests;\n"
            "if it is not there, run the cell with --new (API: new=True)."
        ),
        request_id=entry.request_id,
    )


def _elsewhere(entry: Entry) -> errors.KlingError:
    """A request that the hosts set now know nothing of: their 404 would not be about it."""
    if entry.backend == "local":
        return errors.RequestNotFound(
            f"Job {entry.id} ended with its embedded engine. It cost nothing.",
            remedy="Run the cell again.",
            request_id=entry.request_id,
            status_code=404,
        )
    host = urlsplit(entry.status_url or "").hostname
    return errors.UnreachableError(
        f"Job {entry.id} was submitted to {host}, which is not among the hosts set now.",
        remedy="Set the queue_url it was submitted with, then run the cell again.",
        request_id=entry.request_id,
    )
