"""How long to wait for fal, and what is tried again.

Here are the time limits of HTTP requests (such as the 45 s of silence on a status stream), the poll interval,
and the retry policy with its statuses (429 among them).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits in seconds. Tests use shorter ones.

    Attributes:
        submit: For the answer to a submission, after it is sent.
        silence: For the next byte of a status stream: three times fal's keep-alive of 15 s (FAL-PROTOCOL §5).
        news: For the next status on a stream that only sends keep-alives. After it, the status is polled: the
            stream may outlive its job, or come from a gateway that has lost the runner.
        answer: For the next byte of any other reply or of a file.
        whole: For a whole reply, after its request is sent. A proxy may keep a connection alive byte by byte.
        upload: For each answer of an upload, or None to use `submit`.
        sleep: Waits between two tries. Tests replace it.
    """

    submit: float = 120.0
    silence: float = 45.0
    news: float = 60.0
    answer: float = 30.0
    whole: float = 600.0
    upload: float | None = None
    sleep: Sleep = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy. POST is not in `methods`, because a submission is sent once.

    Attributes:
        attempts: The most tries, the first one included.
        first: Seconds before the second try.
        growth: Factor from one wait to the next.
        cap: Longest wait in seconds without `Retry-After`.
        longest: Longest wait in seconds that `Retry-After` can ask for.
        methods: HTTP methods that may be repeated.
        statuses: HTTP statuses that are retried.
        spread: Returns a factor around 1 (jitter), so that many jobs do not retry at the same moment.
    """

    attempts: int = 6
    first: float = 0.5
    growth: float = 2.0
    cap: float = 30.0
    longest: float = 120.0
    methods: frozenset[str] = frozenset({"GET", "PUT"})
    statuses: frozenset[int] = frozenset({408, 429, 500, 502, 503, 504})
    spread: Callable[[], float] = field(default=lambda: random.uniform(0.75, 1.25))  # noqa: S311 -- jitter

    def delay(self, attempt: int, retry_after: str | float | None = None) -> float:
        """Return the seconds to wait after try number `attempt` (from 1) failed."""
        asked = retry_after if isinstance(retry_after, float) else parse_retry_after(retry_after)
        if asked is not None:
            return min(asked, self.longest)
        return float(min(self.first * self.growth ** min(attempt - 1, 16) * self.spread(), self.cap))

    def allows(self, method: str, attempt: int, status: int | None = None) -> bool:
        """Return True if a retry may follow try number `attempt`. No `status` means a broken connection."""
        return (
            method in self.methods and attempt < self.attempts and (status is None or status in self.statuses)
        )


POLL = Retry(first=2.0, growth=1.2, cap=5.0)
"""The poll interval of a status."""

TURN = Retry(first=2.0, cap=10.0, longest=600.0)
"""How a job waits for its turn while the account runs its maximum of requests."""


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header (a number or an HTTP date), or None if it is invalid."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
