"""The feed: sends updates to widget views at a limited rate.

Jupyter Server drops a kernel's output above 1,000 messages a second, and a browser draws at most 60 times a
second. So a change is only noted at first. When the widget has its turn, one message has the latest state and
everything new, so that changes are merged.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from itertools import count

log = logging.getLogger(__name__)

Send = Callable[[], bool]
"""Sends one message with what is new. True asks for another turn. What is new stays so if it raises."""


BEAT = 15.0
"""Seconds after which a widget with a running job sends a message, also if nothing is new."""

RETRY = 1.0
"""Seconds until a channel whose message could not be sent has another turn."""

_DISTANCE = 1 / 20
"""Seconds between two turns of a channel: 20 in a second."""
_IN_ALL = 300
"""Turns of all channels in a second."""
_MOST, _REFILL = _IN_ALL / 10, _IN_ALL * 9 / 10
"""Turns in the bucket, and turns that come into it in a second."""

_SLACK = 1e-6
"""Seconds that count as none, because sums of floats are not exact."""


class Channel:
    """One widget's place in the feed. All methods may be called from any thread.

    It sends in a copy of the context in which it was made. ipykernel 7.0.0 and 7.0.1 read the cell from
    there, and raise LookupError in a thread without one.
    """

    def __init__(self, feed: Feed, send: Send) -> None:
        self.send: Send = partial(copy_context().run, send)
        self.closed = False
        self.due: float | None = None  # time of the turn that it waits for; under the feed's lock
        self.free_at = 0.0  # time of the next turn at the earliest; under the feed's lock
        self._feed = feed

    def notify(self, after: float = 0.0) -> None:
        """Ask for a turn, because something is new; with `after`, in so many seconds. Returns at once."""
        self._feed.enqueue(self, after)

    def close(self) -> None:
        """Send nothing more. A turn that runs on the feed's thread still ends."""
        self.closed = True


class Pace:
    """The order and the times of turns. It has no thread and no clock: callers pass `now` in seconds.

    Each channel has a shortest time between its turns. All channels share a bucket of turns. The bucket has
    room for the turns of a tenth of a second, so the first event after a quiet time is sent at once. It is
    refilled at nine tenths of the limit, so no second has more turns than the limit.
    """

    def __init__(self) -> None:
        self._turns = _MOST
        self._counted_at: float | None = None
        self._queue: list[tuple[float, int, Channel]] = []
        self._order = count()

    def enqueue(self, channel: Channel, now: float, after: float = 0.0) -> bool:
        """Give the channel the next turn that it may have. Return False if it waits for an earlier one."""
        due = max(now + after, channel.free_at)
        if channel.due is not None and channel.due <= due:
            return False
        channel.due = due
        heapq.heappush(self._queue, (due, next(self._order), channel))
        return True

    def take(self, now: float) -> Channel | None:
        """Return the channel whose turn it is now, and count the turn; None if it is no channel's turn."""
        delay = self.delay(now)
        if delay is None or delay > _SLACK:
            return None
        _, _, channel = heapq.heappop(self._queue)
        channel.due = None
        channel.free_at = now + _DISTANCE
        self._turns -= 1
        return channel

    def delay(self, now: float) -> float | None:
        """Return the seconds until the next turn, or None if no channel waits."""
        while self._queue and self._queue[0][0] != self._queue[0][2].due:
            heapq.heappop(self._queue)  # the channel was given an earlier turn instead
        if not self._queue:
            return None
        self._count(now)
        for_turn = 0.0 if self._turns >= 1 else (1 - self._turns) / _REFILL
        return max(0.0, self._queue[0][0] - now, for_turn)

    def _count(self, now: float) -> None:
        passed = now - (now if self._counted_at is None else self._counted_at)
        self._turns = min(_MOST, self._turns + passed * _REFILL)
        self._counted_at = now


class Feed:
    """The daemon thread that gives channels their turns.

    The thread starts with the first request for a turn, and sleeps without a time-out while no channel waits.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = Pace()
        self._clock = clock
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._warned = False

    def channel(self, send: Send) -> Channel:
        """Return a channel for one widget. `send` is called on the feed's thread, one channel at a time."""
        return Channel(self, send)

    def enqueue(self, channel: Channel, after: float = 0.0) -> None:
        """Give the channel a turn, `after` seconds from now at the earliest. Any thread."""
        with self._changed:
            if not channel.closed and self._pace.enqueue(channel, self._clock(), after):
                self._start_thread()
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while (channel := self._pace.take(self._clock())) is None:
                    self._changed.wait(self._pace.delay(self._clock()))
            if not channel.closed:
                self._send(channel)

    def _send(self, channel: Channel) -> None:
        try:
            if channel.send():
                self.enqueue(channel)
        except Exception:
            # Other widgets must go on. What a thread prints appears in an unrelated cell, so this warns once.
            level = logging.DEBUG if self._warned else logging.WARNING
            self._warned = True
            log.log(level, "A widget could not be updated. Jobs go on.", exc_info=True)
            self.enqueue(channel, RETRY)

    def _start_thread(self) -> None:
        """Start the thread if there is none: at first use, and after a fork."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="kling-feed", daemon=True)
            self._thread.start()


FEED = Feed()
"""The kernel's feed. All widgets share its limit."""
