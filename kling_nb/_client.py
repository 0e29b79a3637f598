"""`Session.client`: fal's queue call by call, for programs that want to do the rest themselves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from kling_nb import errors
from kling_nb._backend import Backend
from kling_nb._budget import check_cost, limits_of, no_take
from kling_nb._settings import Settings
from kling_nb._verdict import failure, final
from kling_nb.catalog import Endpoint
from kling_nb.engine import EXIT_SECONDS, Engine, wait_async
from kling_nb.events import Event, State
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.options import OPTIONS, SubmitOptions
from kling_nb.fal.queue import Submission
from kling_nb.fal.replies import COMPLETED, CancelOutcome, Result, Status
from kling_nb.fal.webhook_address import check_webhook
from kling_nb.ledger import Entry, Intent, Ledger, at_work
from kling_nb.request import VideoRequest, canonical_json

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a client works with; its session gives it.

    Attributes:
        engine: Runs the work.
        settings: The settings of a call.
        connect: The backend of settings. Engine thread.
        ledger: The ledger of settings.
        endpoint: The endpoint of a name; of an id that is not known here, one without a schema.
    """

    engine: Engine
    settings: Callable[..., Settings]
    connect: Callable[[Settings], Awaitable[Backend]]
    ledger: Callable[[Settings], Ledger]
    endpoint: Callable[[str], Endpoint]


@dataclass(frozen=True, slots=True)
class _Found:
    """A request: the backend that has it, its addresses, and its row where the ledger knows it."""

    backend: Backend
    ref: RequestRef
    ledger: Ledger
    entry: Entry | None

    async def note(self, **columns: Any) -> None:
        """Write its end to its row, if that still waits for one and nobody is fetching its files."""
        waits = {State.IN_QUEUE, State.IN_PROGRESS, State.UNCERTAIN}
        if self.entry is not None and self.entry.state in waits:
            await _note(self.ledger, self.entry, **columns)


class Client:
    """Submit, status, events, result and cancel, by endpoint and request id.

    All methods are for `await`, on any event loop: in a cell as they are, in a script as
    `asyncio.run(client.status(…))`. Inputs are sent as they are, unchecked; results are not downloaded.
    A submission is in the ledger before it is sent, as every other, and `get_job(request_id)` takes it up:
    blocking, with its log and its file.

    Threads: any. The work is done on the engine thread; who stops waiting for a submission does not
    stop it.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._submitting: set[asyncio.Task[Any]] = set()  # of the engine thread

    async def submit(
        self,
        endpoint_id: str,
        input: Mapping[str, Any],  # noqa: A002 -- that is fal's word for it
        *,
        webhook_url: str | None = None,
        max_cost: float | str | None = None,
        **options: Any,
    ) -> RequestRef:
        """Send one request, once, whatever was made or is under way already.

        Args:
            endpoint_id: Any id of fal, or a short name.
            input: The model's input, as its API page has it. Files are addresses: see `Session.upload`.
            webhook_url: Where fal is to deliver the result too.
            max_cost: US dollars that it may cost; "none" lifts all limits.
            **options: See `kling_nb.fal.options.SubmitOptions`.

        Returns:
            The request's id and addresses.

        Raises:
            InputError: It cannot be sent; nothing was.
            MissingKey: Backend fal without a key.
            BudgetExceeded: Over a limit; nothing was sent.
            NoTake: Everything is frozen; nothing was sent.
            SubmissionUncertain: Sent, and no answer that tells.
            ResponseError: Refused.
        """
        settings = self._around.settings(max_cost=max_cost)
        _need_key(settings)
        chosen, rest = SubmitOptions.split(options)
        if rest:
            raise errors.UsageError(
                f"There is no option named {next(iter(rest))!r}.", remedy=f"There are: {', '.join(OPTIONS)}."
            )
        if webhook_url is not None:
            check_webhook(webhook_url, local=settings.backend == "local" or settings.hosts.loopback)
        request = VideoRequest(self._around.endpoint(endpoint_id), _checked(input), {})
        if settings.frozen:
            raise no_take(request, settings, new=True)
        sending = self._around.engine.spawn(self._submit(request, settings, webhook_url, chosen))
        self._around.engine.finish_before_exit(sending)
        return await wait_async(sending)

    async def status(self, endpoint_id: str, request_id: str, *, logs: bool = False) -> Status:
        """Where a request stands: its state, place in the queue and, on demand, the latest log lines.

        Raises:
            RequestNotFound: fal does not know it.
            ResponseError: Refused.
            UnreachableError: No answer after some tries.
        """
        settings = self._around.settings()  # here: a function for the key belongs to the caller's thread

        async def ask() -> Status:
            found = await self._find(settings, endpoint_id, request_id)
            return await found.backend.client.status(found.ref, logs=logs)

        return await self._work(ask())

    async def events(self, endpoint_id: str, request_id: str) -> AsyncGenerator[Event, None]:
        """What happens to a request, as it happens: `Queued`, `Running`, `Logged`, and `Completed` last.

        `Completed` does not mean success: `result` tells.

        Raises:
            RequestNotFound: fal does not know it.
            ResponseError: The key is refused.
        """
        settings = self._around.settings()
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def put(event: Event | None) -> None:
            with contextlib.suppress(RuntimeError):  # the caller's loop is closed: nobody reads any more
                loop.call_soon_threadsafe(queue.put_nowait, event)

        async def follow() -> None:
            found = await self._find(settings, endpoint_id, request_id)
            async with aclosing(found.backend.follower.follow(found.ref)) as events:
                async for event in events:
                    put(event)

        following = self._around.engine.spawn(follow())
        following.add_done_callback(lambda _: put(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            following.result()
        finally:
            following.cancel()

    async def result(self, endpoint_id: str, request_id: str) -> Result:
        """What the model returned. It is kept in the ledger, if the request is there; files are not fetched.

        Raises:
            NotFinished: It is still queued or running.
            ResponseError: The model or fal refused or failed.
            UnreachableError: No answer after some tries; the result is still there.
        """
        settings = self._around.settings()

        async def ask() -> Result:
            found = await self._find(settings, endpoint_id, request_id)
            status = await found.backend.client.status(found.ref)
            if status.state != COMPLETED:
                raise errors.NotFinished(
                    f"The request has no result yet: it is {status.state}.",
                    remedy="Wait for it: `async for event in client.events(…)`, or get_job(…).wait().",
                    request_id=request_id,
                )
            return await _fetched(found)

        return await self._work(ask())

    async def cancel(self, endpoint_id: str, request_id: str) -> CancelOutcome:
        """Ask fal to stop a request; what is queued costs nothing then, what runs may finish all the same.

        Raises:
            ResponseError: Refused for another reason than the four outcomes.
            UnreachableError: No answer after some tries.
        """
        settings = self._around.settings()

        async def ask() -> CancelOutcome:
            found = await self._find(settings, endpoint_id, request_id)
            outcome = await found.backend.client.cancel(found.ref)
            if outcome is CancelOutcome.REMOVED:
                await found.note(state=State.CANCELLED, reserved_usd=0.0)
            return outcome

        return await self._work(ask())

    # -- on the engine thread -------------------------------------------------------

    async def settle(self) -> None:
        """Wait for submissions under way: they must not be cut off."""
        if self._submitting:
            await asyncio.wait(set(self._submitting), timeout=EXIT_SECONDS)

    async def _submit(
        self, request: VideoRequest, settings: Settings, webhook_url: str | None, options: SubmitOptions
    ) -> RequestRef:
        task = asyncio.current_task()
        assert task is not None
        self._submitting.add(task)
        try:
            backend = await self._around.connect(settings)
            ledger = self._around.ledger(settings)
            entry, _ = await asyncio.to_thread(ledger.claim, _intent(request, settings))
            with at_work(entry.id):
                submission = await _sent(
                    ledger,
                    entry,
                    lambda: backend.client.submit(
                        request.endpoint.id, request.input, options=options, webhook_url=webhook_url
                    ),
                )
            ref = submission.ref
            await _note(
                ledger,
                entry,
                state=State.IN_QUEUE,
                request_id=ref.request_id,
                status_url=ref.status_url,
                response_url=ref.response_url,
                cancel_url=ref.cancel_url,
            )
            return ref
        finally:
            self._submitting.discard(task)

    async def _find(self, settings: Settings, endpoint_id: str, request_id: str) -> _Found:
        ledger = self._around.ledger(settings)
        entry = await asyncio.to_thread(ledger.get, request_id)
        if entry is None or entry.request_id != request_id:  # the start of another id is not this one
            entry = None
        elif entry.backend != settings.backend:
            settings = await asyncio.to_thread(self._around.settings, backend=entry.backend)
        _need_key(settings)
        backend = await self._around.connect(settings)
        if entry is None:
            ref = backend.hosts.ref(self._around.endpoint(endpoint_id).id, request_id)
        else:
            ref = backend.hosts.ref_from_reply(
                entry.endpoint,
                request_id,
                status_url=entry.status_url,
                response_url=entry.response_url,
                cancel_url=entry.cancel_url,
            )
        return _Found(backend, ref, ledger, entry)

    async def _work(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the engine thread; who stops waiting ends it."""
        working = self._around.engine.spawn(work)
        try:
            return await wait_async(working)
        finally:
            working.cancel()


async def _sent(ledger: Ledger, entry: Entry, send: Callable[[], Awaitable[Submission]]) -> Submission:
    """Send it, once."""
    try:
        if not await asyncio.to_thread(ledger.sending, entry.id):
            raise errors.LedgerError(f"Job {entry.id} was ended by another kernel. Nothing was sent.")
        return await send()
    except errors.SubmissionUncertain as fault:
        await _note(ledger, entry, state=State.UNCERTAIN, error=str(fault))
        raise
    except errors.KlingError as fault:
        await _note(ledger, entry, **failure(fault, taken=False))
        raise


def _intent(request: VideoRequest, settings: Settings) -> Intent:
    return Intent(
        backend=settings.backend,
        endpoint=request.endpoint.id,
        input=request.input,
        prompt=str(request.input.get("prompt") or request.input.get("text") or request.endpoint.title),
        fingerprint=request.fingerprint,
        folder=settings.media,
        take=None,
        key_fingerprint=settings.key.fingerprint if settings.key else None,
        cost=check_cost(request, settings),
        limits=limits_of(settings),
    )


async def _fetched(found: _Found) -> Result:
    try:
        result = await found.backend.client.result(found.ref)
    except errors.KlingError as fault:
        if final(fault):
            await found.note(**failure(fault, taken=True))
        raise
    await found.note(state=State.READY, result=canonical_json(result.data), units=result.units)
    return result


async def _note(ledger: Ledger, entry: Entry, **columns: Any) -> None:
    """Write to the ledger. What fal has answered is not kept from the caller because the disk is full."""
    try:
        await asyncio.to_thread(ledger.update, entry.id, **columns)
    except errors.LedgerError as fault:
        log.warning("Job %s: %s", entry.id, fault.message)


def _need_key(settings: Settings) -> None:
    if settings.backend == "fal" and settings.key is None:
        raise errors.MissingKey


def _checked(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise errors.InputError("The input is not an object.", remedy='Give a dict: {"prompt": "…"}')
    try:
        canonical_json(value)
    except (TypeError, ValueError) as fault:
        raise errors.InputError(
            f"The input cannot be written as JSON: {fault}",
            remedy="Files are given by address: kling_nb.upload(file) returns one. Nothing was sent.",
        ) from fault
    return dict(value)
