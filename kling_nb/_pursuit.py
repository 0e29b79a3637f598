"""The way of one job from its ledger row to a file (the numbered steps are those of docs/architecture).

It runs as one coroutine on the engine thread. What it learns goes to the ledger first,
then to the `Job` as an event.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from kling_nb import errors
from kling_nb._backend import Backend
from kling_nb._job import Job
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
)
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.queue import Download
from kling_nb.fal.replies import CancelOutcome, Result
from kling_nb.ledger import Entry, Ledger
from kling_nb.media import MediaFolder, Take, TakeDraft

log = logging.getLogger(__name__)

DOWNLOAD_TRIES = 4
OTHER_KERNEL_SECONDS = 150.0
LEDGER_LOOK_SECONDS = 0.5

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
    ) -> None:
        self._job = job
        self._entry = entry
        self._fresh = fresh
        self._connect = connect
        self._ledger = ledger
        self._media = media
        self._take = take
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Do it all. Every end is an event; nothing is raised but cancellation."""
        self._task = asyncio.current_task()
        job = self._job
        try:
            backend = await self._connect()
            ref = await (self._submit(backend) if self._fresh else self._rejoin(backend))
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
        """Final for the ledger where fal said so, or where nothing was sent."""
        if self._job.request_id is None or not isinstance(fault, _PASSING):
            await self._note(
                state=State.FAILED, error=str(fault), error_type=getattr(fault, "error_type", None)
            )
        self._job.apply(Failed(fault))

    async def _note(self, **columns: Any) -> None:
        """Write to the ledger. A job that fal has is not given up because the disk is full."""
        try:
            await asyncio.to_thread(self._ledger.update, self._job.id, **columns)
        except errors.LedgerError as fault:
            self._job.apply(Logged(f"kling_nb: {fault.message}", None, "WARN"))

    # -- submission ----------------------------------------------------------

    async def _submit(self, backend: Backend) -> RequestRef:
        """Upload files, send once, commit what came back."""
        body = self._job.request.body(await self._upload(backend))
        if self._entry.sent_at is None:
            await asyncio.to_thread(self._ledger.sending, self._job.id)
        submission = await backend.client.submit(self._job.request.endpoint.id, body)
        ref = submission.ref
        await self._note(
            state=State.IN_QUEUE,
            request_id=ref.request_id,
            status_url=ref.status_url,
            response_url=ref.response_url,
            cancel_url=ref.cancel_url,
        )
        self._job.apply(Submitted(ref.request_id))
        self._job.apply(Queued(submission.queue_position))
        return ref

    async def _upload(self, backend: Backend) -> dict[str, str]:
        urls = {}
        for parameter, file in self._job.request.files.items():
            self._job.apply(Logged(f"kling_nb: uploading {file.name} ({file.size:,} bytes)"))
            urls[parameter] = await backend.storage.upload(
                await asyncio.to_thread(file.read), content_type=file.content_type, file_name=file.name
            )
        return urls

    async def _rejoin(self, backend: Backend) -> RequestRef:
        """Come back to a request that was submitted earlier, or is being submitted by another kernel."""
        entry = self._entry
        waited = 0.0
        while entry.request_id is None:
            if entry.state is not State.SUBMITTING or entry.abandoned or waited > OTHER_KERNEL_SECONDS:
                raise _unanswered(entry)
            await asyncio.sleep(LEDGER_LOOK_SECONDS)
            waited += LEDGER_LOOK_SECONDS
            found = await asyncio.to_thread(self._ledger.get, entry.id)
            entry = found or entry
        self._entry = entry
        self._job.apply(Submitted(entry.request_id, resumed=True))
        return backend.hosts.ref_from_reply(
            entry.endpoint,
            entry.request_id,
            status_url=entry.status_url,
            response_url=entry.response_url,
            cancel_url=entry.cancel_url,
        )

    # -- cancelling ----------------------------------------------------------

    def _enable_cancel(self, backend: Backend, ref: RequestRef) -> None:
        async def cancel() -> str:
            queued = self._job.state.state is State.IN_QUEUE
            outcome = await backend.client.cancel(ref)
            if outcome is CancelOutcome.REMOVED and queued:
                await self._end_cancelled()
            return _OUTCOMES[outcome]

        self._job.set_canceller(cancel)
        if self._job.cancel_wanted:
            self._cancelling = asyncio.create_task(cancel())

    async def _end_cancelled(self) -> None:
        await self._note(state=State.CANCELLED)
        self._job.apply(Cancelled())
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    # -- following -----------------------------------------------------------

    async def _result(self, backend: Backend, ref: RequestRef) -> Result | None:
        """Follow the request to its end and fetch what it gave; None where it was cancelled."""
        if self._entry.result is not None:  # fetched before, and fal may have forgotten it since
            return Result(json.loads(self._entry.result), self._entry.units)
        ended = await self._follow(backend, ref)
        try:
            result = await backend.client.result(ref)
        except errors.ResponseError as fault:
            if ended.error_type == "client_cancelled" or (
                self._job.cancel_wanted and ended.error is not None
            ):
                await self._end_cancelled()
                return None
            if ended.error is not None and not fault.details:
                raise errors.from_error_text(
                    ended.error, ended.error_type or fault.error_type, request_id=ref.request_id
                ) from fault
            raise
        await self._note(state=State.DOWNLOADING, result=json.dumps(result.data), units=result.units)
        return result

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
        job.file = take.path
        job.video = await asyncio.to_thread(take.video) if take.sidecar.kind == "video" else None
        await self._note(state=State.READY, units=result.units, media_path=str(take.path))
        job.apply(Ready(result.units))

    async def _stored(self, backend: Backend, result: Result) -> Take:
        """The file of the result, tried again where the connection is cut: it is paid for."""
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._open(backend, result.data) as download:
                    return await self._media.store(
                        download.chunks,
                        self._draft(result, download),
                        expected_size=download.length,
                        on_progress=lambda received, total=download.length: self._job.apply(  # type: ignore[misc]
                            Downloading(received, total)
                        ),
                    )
            except (errors.UnreachableError, errors.MediaError):
                if attempt >= DOWNLOAD_TRIES:
                    raise
                await asyncio.sleep(min(2.0**attempt, 10.0))

    @asynccontextmanager
    async def _open(self, backend: Backend, data: Any) -> AsyncIterator[Download]:
        """The bytes of the result: in it, or at its URL, or the output itself where there is no file."""
        file = _file_of(data, self._job.request.endpoint.output_pointer)
        if file is None:
            raw = json.dumps(data, ensure_ascii=False, indent=1).encode()
            yield Download("", "application/json", len(raw), _one_chunk(raw))
            return
        inline = file.get("file_data") or (file["url"] if str(file.get("url")).startswith("data:") else None)
        if inline:
            raw = _decode(str(inline))
            yield Download("", file.get("content_type"), len(raw), _one_chunk(raw))
            return
        async with backend.client.download(str(file["url"])) as download:
            yield download

    def _draft(self, result: Result, download: Download) -> TakeDraft:
        job, endpoint = self._job, self._job.request.endpoint
        file = _file_of(result.data, endpoint.output_pointer) or {}
        return TakeDraft(
            fingerprint=job.request.fingerprint,
            take=self._take,
            endpoint=endpoint.id,
            input=self._entry.input,
            prompt=job.request.prompt,
            backend=job.backend,
            request_id=job.request_id or "",
            url=download.url,
            kind=endpoint.output_kind,
            content_type=file.get("content_type") or download.content_type,
            file_name=file.get("file_name"),
            created_at=job.created_at,
            units=result.units,
            lines=tuple((line.timestamp, line.message) for line in job.lines),
        )


_OUTCOMES = {
    CancelOutcome.REMOVED: "taken out of the queue, nothing is billed",
    CancelOutcome.REQUESTED: "asked to stop; if it finishes all the same, the result is kept and billed",
    CancelOutcome.ALREADY_COMPLETED: "too late, it has finished already; the result is fetched",
    CancelOutcome.NOT_FOUND: "fal knows no such request (any more)",
}


def _file_of(data: Any, pointer: str) -> dict[str, Any] | None:
    """The File object of an output (url, content_type, file_name, file_size, file_data), or None."""
    value = data.get(pointer) if isinstance(data, dict) else None
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, dict) and ("url" in value or "file_data" in value) else None


async def _one_chunk(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


def _decode(inline: str) -> bytes:
    payload = inline.split(",", 1)[1] if inline.startswith("data:") and "," in inline else inline
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise errors.MediaError("The result carries bytes that do not decode as base64.") from fault


def _unanswered(entry: Entry) -> errors.SubmissionUncertain:
    return errors.SubmissionUncertain(
        f"Job {entry.id} was sent earlier and never answered: fal may have accepted it.",
        remedy=(
            "It was not sent again, so it is not paid twice. See https://fal.ai/dashboard/requests;\n"
            "if it is not there, run the cell with --new (API: new=True)."
        ),
        request_id=entry.request_id,
    )
