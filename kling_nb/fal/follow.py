"""From an accepted request to COMPLETED, as events: the stream where there is one, else polling."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing

from kling_nb.errors import (
    AccessDenied,
    AuthenticationError,
    EndpointNotFound,
    InsufficientBalance,
    RequestNotFound,
    ResponseError,
    UnreachableError,
)
from kling_nb.events import Completed, Event, Logged, Queued, Running
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.patience import Sleep
from kling_nb.fal.queue import NOT_FOUND_PATIENCE, QueueClient
from kling_nb.fal.replies import COMPLETED, IN_PROGRESS, IN_QUEUE, Status

MAX_STREAMS = 200
FIRST_POLL, LAST_POLL, POLL_GROWTH = 2.0, 5.0, 1.2


def stream_slots() -> asyncio.Semaphore:
    """How many streams may be open at once: 200, fewer where the process may open few files."""
    try:
        import resource  # noqa: PLC0415 -- not on Windows

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except ImportError:
        limit = 512
    return asyncio.Semaphore(MAX_STREAMS if limit < 0 else max(1, min(MAX_STREAMS, limit // 4)))


class Follower:
    """Follows requests of one client. One per event loop.

    Args:
        client: The queue.
        slots: Free places for streams, shared by all requests.
        gone: Whether the queue is known to have ended for good, so that asking on makes no sense.
        sleep: Injected by tests.
    """

    def __init__(
        self,
        client: QueueClient,
        slots: asyncio.Semaphore | None = None,
        *,
        gone: Callable[[], bool] = lambda: False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._client = client
        self._slots = slots or stream_slots()
        self._gone = gone
        self._sleep = sleep

    async def follow(self, ref: RequestRef) -> AsyncGenerator[Event, None]:
        """Queued, Running and Logged as they become known; ends with Completed.

        Server faults, rate limits, odd answers and cut connections never end it.

        Raises:
            RequestNotFound: fal has no such request (any more).
            ResponseError: The key is refused.
            UnreachableError: Only where the queue has ended for good.
        """
        seen = _Seen()
        streaming = True
        polls = 0
        while True:
            if streaming and not self._slots.locked():
                streaming = False  # one that speaks may be opened again; one that does not is given up
                async with self._slots, aclosing(self._statuses(ref)) as statuses:
                    async for status in statuses:
                        streaming = True
                        for event in seen.news(status):
                            yield event
            if seen.last is None or seen.last.state != COMPLETED:
                status = await self._poll(ref)
                for event in seen.news(status):
                    yield event
            if seen.last is not None and seen.last.state == COMPLETED:
                async for event in self._finish(ref, seen):
                    yield event
                return
            polls += 1
            await self._sleep(_poll_delay(polls))

    async def _statuses(self, ref: RequestRef) -> AsyncGenerator[Status, None]:
        """One stream, up to COMPLETED, its end, or the fault that ends it."""
        try:
            async with aclosing(self._client.stream(ref)) as statuses:
                async for status in statuses:
                    yield status
                    if status.state == COMPLETED:
                        return
        except UnreachableError:
            return

    async def _poll(self, ref: RequestRef) -> Status:
        """The next status that can be had."""
        missing = 0
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._client.status(ref, logs=True)
            except (AuthenticationError, AccessDenied, InsufficientBalance):
                raise  # no waiting helps against these
            except (RequestNotFound, EndpointNotFound):
                missing += 1
                if missing >= NOT_FOUND_PATIENCE:
                    raise
            except (UnreachableError, ResponseError):
                missing = 0
                if self._gone():
                    raise
            await self._sleep(_poll_delay(attempt))

    async def _finish(self, ref: RequestRef, seen: _Seen) -> AsyncGenerator[Event, None]:
        """The last lines, tracebacks among them, are only in a status asked for after the end (§4.1)."""
        try:
            for line in seen.last_words(await self._client.status(ref, logs=True)):
                yield line
        except (UnreachableError, ResponseError):
            pass  # the lines are lost, the result is not
        last = seen.last
        assert last is not None
        yield Completed(seen.error, seen.error_type, last.inference_time)


class _Seen:
    """What was said already: lines by (timestamp, message), never by index (FAL-PROTOCOL §4.1)."""

    def __init__(self) -> None:
        self.last: Status | None = None
        self.error: str | None = None
        self.error_type: str | None = None
        self._lines: set[tuple[str | None, str]] = set()

    def news(self, status: Status) -> Iterator[Event]:
        """The events that `status` adds."""
        before, self.last = self.last, status
        moved = before is None or (before.state, before.queue_position) != (
            status.state,
            status.queue_position,
        )
        if moved and status.state == IN_QUEUE:
            yield Queued(status.queue_position)
        elif moved and status.state == IN_PROGRESS:
            yield Running()
        yield from self.last_words(status)

    def last_words(self, status: Status) -> Iterator[Logged]:
        """The lines that `status` adds, whatever else it says; its error is kept."""
        self.error = status.error or self.error
        self.error_type = status.error_type or self.error_type
        for line in status.logs:
            key = (line.timestamp, line.message)
            if key not in self._lines:
                self._lines.add(key)
                yield line


def _poll_delay(polls: int) -> float:
    jitter = random.uniform(0.85, 1.15)  # noqa: S311 -- jitter
    return float(min(FIRST_POLL * POLL_GROWTH ** min(polls - 1, 20), LAST_POLL) * jitter)
