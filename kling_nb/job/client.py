"""`Session.client`: fal's queue call by call, for programs that do the rest themselves.

A submission goes through `job/submit.py`, as that of a job does. Every other call asks fal and returns the
answer. Nothing is followed, and no file is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from kling_nb import errors
from kling_nb.background import EXIT_SECONDS, BackgroundThread, wait_async
from kling_nb.events import Event, JobState, Logged, State
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.options import OPTIONS, SubmitOptions
from kling_nb.fal.replies import COMPLETED, CancelOutcome, QueueResult, Status
from kling_nb.fal.webhooks import check_webhook
from kling_nb.job.connections import Backend, Connections
from kling_nb.job.job import Job, ends_at_once, row_of_cancelled
from kling_nb.job.plan import Planner, check_cost, intent_of, lacks_price, no_take
from kling_nb.job.record import JobRecord, RowWriter, failure_columns
from kling_nb.job.submit import JobSubmission
from kling_nb.ledger import Entry
from kling_nb.request.request import VideoRequest, canonical_json, prompt_of
from kling_nb.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Found:
    """A request: its backend, its URLs, and its ledger row or None."""

    backend: Backend
    ref: RequestRef
    row: RowWriter | None

    async def note(self, **columns: Any) -> None:
        """Write the end of the request to its row, unless the row has one or a job is fetching its files."""
        open_states = {State.IN_QUEUE, State.IN_PROGRESS, State.UNCERTAIN}
        if self.row is not None and self.row.entry.state in open_states:
            await self.row.note(**columns)


class Client:
    """Submit, status, events, result and cancel, by endpoint and request id.

    All methods are coroutines for any event loop: use `await` in a cell and `asyncio.run(client.status(…))`
    in a script. Inputs are sent unchecked, and results are not downloaded. A submission is written to the
    ledger before it is sent. `get_job(request_id)` returns its job, with log and file.

    Threads: any. The work runs on the background thread. A submission goes on if its caller stops waiting.
    """

    def __init__(
        self,
        background: BackgroundThread,
        settings: Callable[..., Settings],
        connections: Connections,
        planner: Planner,
    ) -> None:
        self._background = background
        self._settings = settings
        self._connections = connections
        self._planner = planner
        self._submitting: set[asyncio.Task[Any]] = set()  # used on the background thread only
        self._unwritten: dict[str, RowWriter] = {}  # by request id, if the ledger does not have it yet

    async def submit(
        self,
        endpoint_id: str,
        input: Mapping[str, Any],  # noqa: A002 -- fal's name for it
        *,
        webhook_url: str | None = None,
        max_cost: float | str | None = None,
        **options: Any,
    ) -> RequestRef:
        """Send one request, once. Existing takes and running jobs are not looked for.

        Args:
            endpoint_id: Any id of fal, or a short name.
            input: The model's input, as on its API page. Files are URLs: see `Session.upload`.
            webhook_url: Where fal also delivers the result.
            max_cost: US dollars that the request may cost; "none" lifts all limits.
            **options: See `kling_nb.fal.options.SubmitOptions`.

        Returns:
            The id and URLs of the request.

        Raises:
            InputError: The input is not valid JSON, or an option is wrong; nothing was sent.
            MissingKey: Backend fal without a key; nothing was sent.
            BudgetExceeded: Over a limit; nothing was sent.
            NoTake: `frozen` is set; nothing was sent.
            SubmissionUncertain: It was sent, and fal may have accepted it.
            ResponseError: fal refused it.
        """
        settings = self._settings(max_cost=max_cost)
        settings.need_key()
        chosen, rest = SubmitOptions.split(options)
        if rest:
            raise errors.UsageError(
                f"There is no option {next(iter(rest))!r}.", remedy=f"Available: {', '.join(OPTIONS)}."
            )
        if webhook_url is not None:
            check_webhook(webhook_url, local=settings.backend == "local" or settings.hosts.loopback)
        endpoint = self._planner.endpoint_of_job(endpoint_id, settings)
        request = VideoRequest(endpoint, _check_input(input), {})
        if settings.frozen:
            raise no_take(request, settings, new=True)
        if lacks_price(request, settings):
            request = await asyncio.to_thread(self._planner.with_price_of_today, request, settings)
        sending = self._background.spawn(self._submit(request, settings, webhook_url, chosen))
        self._background.finish_before_exit(sending)
        return await wait_async(sending)

    async def status(self, endpoint_id: str, request_id: str, *, logs: bool = False) -> Status:
        """Return the status of a request: state, queue position and, if `logs`, the latest log lines.

        Raises:
            RequestNotFound: fal does not know the request.
            ResponseError: fal refused the call.
            UnreachableError: fal did not answer several tries.
        """

        async def ask(found: _Found) -> Status:
            return await found.backend.client.status(found.ref, logs=logs)

        return await self._ask(endpoint_id, request_id, ask)

    async def events(self, endpoint_id: str, request_id: str) -> AsyncGenerator[Event, None]:
        """Yield the events of a request: `Queued`, `Running`, `Logged`, and `Completed` last.

        `Completed` does not mean success. Call `result` to find out.

        Raises:
            RequestNotFound: fal does not know the request.
            ResponseError: fal refused the key.
        """
        settings = self._settings()
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def put(event: Event | None) -> None:
            with contextlib.suppress(RuntimeError):  # the caller's loop is closed and reads no more events
                loop.call_soon_threadsafe(queue.put_nowait, event)

        async def follow() -> None:
            found = await self._find(settings, endpoint_id, request_id)
            async with aclosing(found.backend.follower.follow(found.ref)) as events:
                async for event in events:
                    put(event)

        following = self._background.spawn(follow())
        following.add_done_callback(lambda _: put(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            following.result()
        finally:
            following.cancel()

    async def result(self, endpoint_id: str, request_id: str) -> QueueResult:
        """Return what the model returned, and store it in the ledger row, if any. Files are not downloaded.

        Raises:
            NotFinished: The request is queued or running.
            ResponseError: The model or fal refused or failed.
            UnreachableError: fal did not answer several tries. The result is still there.
        """
        return await self._ask(endpoint_id, request_id, _fetch_result)

    async def cancel(self, endpoint_id: str, request_id: str) -> CancelOutcome:
        """Ask fal to stop a request. A queued one then costs nothing; a running one may still finish.

        Raises:
            ResponseError: fal refused the call for a reason other than the four outcomes.
            UnreachableError: fal did not answer several tries.
        """
        return await self._ask(endpoint_id, request_id, _cancel)

    # -- on the background thread -------------------------------------------------------

    async def _finish_submissions(self) -> None:
        """Wait for running submissions, which must not be cut off, and write unwritten rows."""
        if self._submitting:
            await asyncio.wait(set(self._submitting), timeout=EXIT_SECONDS)
        for request_id in list(self._unwritten):
            await self._write_rest(request_id)

    async def _submit(
        self, request: VideoRequest, settings: Settings, webhook_url: str | None, options: SubmitOptions
    ) -> RequestRef:
        task = asyncio.current_task()
        assert task is not None
        self._submitting.add(task)
        try:
            await self._connections.connect(settings)  # before there is a row
            ledger = self._connections.ledger(settings)
            check_cost(request, settings)
            prompt = prompt_of(request.input, request.endpoint.title)
            intent = intent_of(request, settings, prompt=prompt, new=True)
            entry, fresh = await asyncio.to_thread(ledger.claim, intent)
            record = JobRecord(self._job_of(entry, request), entry, ledger)
            submission = JobSubmission(
                record,
                fresh=fresh,
                intent=None,
                uploads=self._connections.uploads(settings),
                webhook_url=webhook_url,
                options=options,
                patient=False,
            )
            _, ref = await submission.send_or_find(lambda: self._connections.connect(settings))
            assert ref is not None  # nothing can cancel this job
            if not record.is_written:
                self._unwritten[ref.request_id] = record
            return ref
        finally:
            self._submitting.discard(task)

    def _job_of(self, entry: Entry, request: VideoRequest) -> Job:
        """Return the job that a submission needs. The user never sees it, so its warnings are logged."""
        job = Job(entry.id, request=request, backend=entry.backend, background=self._background)

        def on_event(event: Event, _: JobState) -> None:
            if isinstance(event, Logged):
                log.warning("Job %s: %s", entry.id, event.message)

        job.subscribe(on_event)
        return job

    async def _write_rest(self, request_id: str) -> None:
        """Write the columns of a request that could not be written before."""
        row = self._unwritten.get(request_id)
        if row is not None:
            if not row.is_written:
                await row.note()
            if row.is_written:
                self._unwritten.pop(request_id, None)

    async def _find(self, settings: Settings, endpoint_id: str, request_id: str) -> _Found:
        await self._write_rest(request_id)
        ledger = self._connections.ledger(settings)
        entry = await asyncio.to_thread(ledger.get, request_id)
        if entry is None or entry.request_id != request_id:  # `get` also finds an id by its beginning
            entry = None
        elif entry.backend != settings.backend:
            settings = await asyncio.to_thread(self._settings, backend=entry.backend)
        settings.need_key()
        backend = await self._connections.connect(settings)
        if entry is None:
            ref = backend.http.hosts.ref(self._planner.endpoint_of_job(endpoint_id, settings).id, request_id)
            return _Found(backend, ref, None)
        ref = backend.http.hosts.ref_from_reply(entry.endpoint, request_id, entry.urls)
        return _Found(backend, ref, RowWriter(entry, ledger))

    async def _ask(self, endpoint_id: str, request_id: str, ask: Callable[[_Found], Awaitable[T]]) -> T:
        """Find a request and ask about it, on the background thread, until the caller stops waiting."""
        settings = self._settings()  # on this thread, because `credentials` may be the caller's function

        async def find_and_ask() -> T:
            return await ask(await self._find(settings, endpoint_id, request_id))

        working = self._background.spawn(find_and_ask())
        try:
            return await wait_async(working)
        finally:
            working.cancel()


async def _fetch_result(found: _Found) -> QueueResult:
    status = await found.backend.client.status(found.ref)
    if status.state != COMPLETED:
        raise errors.NotFinished(
            f"The request has no result yet: it is {status.state}. It goes on.",
            remedy="Wait for it: `async for event in client.events(…)`, or get_job(…).wait().",
            request_id=found.ref.request_id,
        )
    try:
        result = await found.backend.client.result(found.ref, reported=status.error is not None)
    except errors.KlingError as fault:
        if errors.is_final(fault):
            await found.note(**failure_columns(fault, accepted=True))
        raise
    await found.note(state=State.READY, result=canonical_json(result.data), units=result.units)
    return result


async def _cancel(found: _Found) -> CancelOutcome:
    outcome = await found.backend.client.cancel(found.ref)
    if found.row is not None and ends_at_once(outcome, found.row.entry.state):
        await found.note(**row_of_cancelled(found.row.entry.state))
    return outcome


def _check_input(value: Any) -> Mapping[str, Any]:
    """Return a copy of an input that can be written as JSON, or raise an `InputError`."""
    if not isinstance(value, Mapping):
        raise errors.InputError(
            "The input is not a dict. Nothing was sent.", remedy='Example: {"prompt": "…"}'
        )
    try:
        canonical_json(value)
    except (TypeError, ValueError) as fault:
        raise errors.InputError(
            f"The input cannot be written as JSON: {fault}. Nothing was sent.",
            remedy="Give files as URLs: kling_nb.upload(file) returns one.",
        ) from fault
    return dict(value)
