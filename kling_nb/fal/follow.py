"""Follow an accepted request until COMPLETED, by its event stream, or by polling if there is no stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from itertools import count

from kling_nb.errors import (
    KEY_REFUSED,
    EndpointNotFound,
    RequestNotFound,
    ResponseError,
    UnreachableError,
)
from kling_nb.events import Completed, Event, Logged, Queued, Running
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.patience import POLL, Sleep
from kling_nb.fal.queue import NOT_FOUND_PATIENCE, QueueClient, unavailable_error
from kling_nb.fal.replies import COMPLETED, IN_PROGRESS, IN_QUEUE, Status

MAX_STREAMS = 200

REFUSAL_PATIENCE = 5
"""Refused status requests in a row that end the wait. After as many failures, a line shows the reason."""

_PASSING = frozenset({408, 409, 425, 429})
"""4xx that a later try may not get."""


def stream_slots() -> asyncio.Semaphore:
    """Limit the streams that are open at once: 200, or fewer if the process may open few files."""
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
        slots: Limits the open streams of all requests.
        has_ended: Returns True if the queue no longer exists, so that retries make no sense.
        has_all_lines: True if COMPLETED comes with the last log lines, as from the local preview server. fal
            gives them in a later status only.
        sleep: Injected by tests.
    """

    def __init__(
        self,
        client: QueueClient,
        slots: asyncio.Semaphore | None = None,
        *,
        has_ended: Callable[[], bool] = lambda: False,
        has_all_lines: bool = False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._client = client
        self._slots = slots or stream_slots()
        self._has_ended = has_ended
        self._has_all_lines = has_all_lines
        self._sleep = sleep

    async def follow(self, ref: RequestRef) -> AsyncGenerator[Event, None]:
        """Yield Queued, Running and Logged as they become known; Completed is last.

        Server errors, rate limits, malformed answers and broken connections never end it.

        Raises:
            RequestNotFound: fal does not have this request.
            ResponseError: The key is refused.
            ResultUnavailable: fal refuses the status, again and again. The request itself goes on.
            UnreachableError: The queue no longer exists.
        """
        seen = _Seen()
        streaming = True
        polls = 0
        while True:
            if streaming and not self._slots.locked():
                streaming = False  # The stream is opened again only if it yields a status.
                async with self._slots, aclosing(self._statuses(ref)) as statuses:
                    async for status in statuses:
                        streaming = True
                        for event in seen.news(status):
                            yield event
            if not seen.is_completed:
                async with aclosing(self._poll(ref)) as found:
                    async for item in found:
                        for event in [item] if isinstance(item, Logged) else seen.news(item):
                            yield event
            if seen.is_completed:
                async with aclosing(self._finish(ref, seen)) as rest:
                    async for event in rest:
                        yield event
                return
            polls += 1
            await self._sleep(POLL.delay(polls))

    async def _statuses(self, ref: RequestRef) -> AsyncGenerator[Status, None]:
        """Yield the statuses of one stream until COMPLETED, its end or a connection error."""
        try:
            async with aclosing(self._client.stream(ref)) as statuses:
                async for status in statuses:
                    yield status
                    if status.state == COMPLETED and not self._has_all_lines:
                        return  # fal may keep the stream open
        except UnreachableError:
            return

    async def _poll(self, ref: RequestRef) -> AsyncGenerator[Status | Logged, None]:
        """Yield the next status. Retry after server errors, 429 and broken connections.

        A line before it says so if that takes long.
        """
        missing = refused = 0
        for attempt in count(1):
            try:
                status = await self._client.status(ref, logs=True)
            except KEY_REFUSED:
                raise
            except (RequestNotFound, EndpointNotFound):
                missing += 1
                if missing >= NOT_FOUND_PATIENCE:
                    raise
            except (UnreachableError, ResponseError) as fault:
                missing = 0
                if self._has_ended():
                    raise
                # A 4xx that a later try is likely to get too.
                code = fault.status_code if isinstance(fault, ResponseError) else 0
                refused = refused + 1 if 400 <= code < 500 and code not in _PASSING else 0
                if refused >= REFUSAL_PATIENCE and isinstance(fault, ResponseError):
                    raise unavailable_error("status", fault, ref) from fault
                if attempt == REFUSAL_PATIENCE:
                    reason = fault.message.rstrip(".")
                    text = f"kling_nb: there is no status at the moment: {reason}. It is asked for again."
                    yield Logged(text, None, "WARN")
            else:
                yield status
                return
            await self._sleep(POLL.delay(attempt))

    async def _finish(self, ref: RequestRef, seen: _Seen) -> AsyncGenerator[Event, None]:
        """Yield the last log lines, which only a later status holds (FAL-PROTOCOL §4.1), then Completed."""
        try:
            if not self._has_all_lines:
                for line in seen.new_lines(await self._client.status(ref, logs=True)):
                    yield line
        except (UnreachableError, ResponseError):
            pass  # Only the last log lines are lost.
        assert seen.last is not None
        yield Completed(seen.error, seen.error_type, seen.last.inference_time)


class _Seen:
    """The events yielded so far. Log lines are compared by (timestamp, message) (FAL-PROTOCOL §4.1)."""

    def __init__(self) -> None:
        self.last: Status | None = None
        self.error: str | None = None
        self.error_type: str | None = None
        self._lines: set[tuple[str | None, str]] = set()

    @property
    def is_completed(self) -> bool:
        return self.last is not None and self.last.state == COMPLETED

    def news(self, status: Status) -> Iterator[Event]:
        """Yield the events that `status` adds."""
        before, self.last = self.last, status
        place = status.state, status.queue_position
        moved = before is None or (before.state, before.queue_position) != place
        if moved and status.state == IN_QUEUE:
            yield Queued(status.queue_position)
        elif moved and status.state == IN_PROGRESS:
            yield Running()
        yield from self.new_lines(status)

    def new_lines(self, status: Status) -> Iterator[Logged]:
        """Yield the log lines that `status` adds, and store its error."""
        self.error = status.error or self.error
        self.error_type = status.error_type or self.error_type
        for line in status.logs:
            key = (line.timestamp, line.message)
            if key not in self._lines:
                self._lines.add(key)
                yield line
