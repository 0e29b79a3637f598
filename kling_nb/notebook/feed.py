"""Sends changes to widget views at a pace that a notebook server can bear.

Jupyter Server drops a kernel's output above 1,000 messages a second, and a browser redraws
60 times a second at most. So whatever changes is noted at once, and said when it is its turn:
a turn tells the latest state and all that is new, which is how changes are merged.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable
from itertools import count

log = logging.getLogger(__name__)

Send = Callable[[], bool]
"""Says what is new, in one message. True asks for another turn."""


_SLACK = 1e-6
"""Seconds that count as none: sums of floats do not always come out even."""


class Channel:
    """One widget's place in the feed. All methods may be called from any thread."""

    def __init__(self, feed: Feed, send: Send) -> None:
        self.send = send
        self.closed = False
        self.waiting = False  # the feed's, under its lock
        self.free_at = 0.0  # likewise: not before this time
        self._feed = feed

    def notify(self) -> None:
        """There is something new to say. Returns at once."""
        self._feed.enqueue(self)

    def close(self) -> None:
        """Say nothing more. A turn that has begun on the feed's thread still ends."""
        self.closed = True


class Pace:
    """Whose turn it is, and when. Knows no thread and no clock: `now` is given, in seconds.

    Each channel has its own least distance between turns. For all of them together there is
    a bucket of turns: it holds a tenth of a second's worth, so that the first event after a
    quiet time goes out at once, and is refilled at nine tenths of the limit, so that no second
    ever sees more than the limit.
    """

    def __init__(self, *, per_channel: float = 20.0, in_all: float = 300.0) -> None:
        self._distance = 1.0 / per_channel
        self._most = in_all / 10
        self._refill = in_all * 9 / 10
        self._turns = self._most
        self._counted_at: float | None = None
        self._queue: list[tuple[float, int, Channel]] = []
        self._order = count()

    def enqueue(self, channel: Channel, now: float) -> None:
        """Give the channel a turn, as soon as it may have one."""
        if not channel.waiting:
            channel.waiting = True
            heapq.heappush(self._queue, (max(now, channel.free_at), next(self._order), channel))

    def take(self, now: float) -> Channel | None:
        """The channel whose turn it is now; the turn counts as used."""
        delay = self.delay(now)
        if delay is None or delay > _SLACK:
            return None
        _, _, channel = heapq.heappop(self._queue)
        channel.waiting = False
        channel.free_at = now + self._distance
        self._turns -= 1
        return channel

    def delay(self, now: float) -> float | None:
        """Seconds until the next turn; None where nobody waits."""
        if not self._queue:
            return None
        self._count(now)
        for_turn = 0.0 if self._turns >= 1 else (1 - self._turns) / self._refill
        return max(0.0, self._queue[0][0] - now, for_turn)

    def _count(self, now: float) -> None:
        passed = now - (now if self._counted_at is None else self._counted_at)
        self._turns = min(self._most, self._turns + passed * self._refill)
        self._counted_at = now


class Feed:
    """Gives every channel its turns, on one daemon thread.

    The thread starts with the first notice and sleeps without a time-out while nobody waits.

    Args:
        pace: The limits.
        clock: Monotonic seconds.
    """

    def __init__(self, pace: Pace | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace or Pace()
        self._clock = clock
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def channel(self, send: Send) -> Channel:
        """A place for one widget. `send` is called on the feed's thread, one channel at a time."""
        return Channel(self, send)

    def enqueue(self, channel: Channel) -> None:
        """Note that the channel has something to say. Any thread."""
        with self._changed:
            if channel.waiting or channel.closed:
                return
            self._pace.enqueue(channel, self._clock())
            self._awaken()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while (channel := self._pace.take(self._clock())) is None:
                    self._changed.wait(self._pace.delay(self._clock()))
            if not channel.closed:
                self._speak(channel)

    def _speak(self, channel: Channel) -> None:
        try:
            again = channel.send()
        except Exception:
            # One widget's fault is not another's; and what a thread prints lands in some cell.
            log.debug("a view could not be told", exc_info=True)
            return
        if again:
            self.enqueue(channel)

    def _awaken(self) -> None:
        """Start the thread where there is none: at first use, and after a fork."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="kling-feed", daemon=True)
            self._thread.start()


FEED = Feed()
"""The kernel's feed: the limit is for all widgets together."""
