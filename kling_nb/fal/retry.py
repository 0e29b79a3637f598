"""When a failed exchange is tried again. A value, apart from the calls that use it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Retry:
    """A policy. A POST is not in `methods`: a submission is sent once.

    Attributes:
        attempts: Tries in all.
        first: Seconds before the second try; doubled each time.
        cap: Longest wait in seconds, `Retry-After` included.
        methods: HTTP methods that may be repeated.
        statuses: HTTP codes worth a new try.
        spread: Gives a factor around 1 (jitter), so that many jobs do not knock at once.
    """

    attempts: int = 6
    first: float = 0.5
    cap: float = 30.0
    methods: frozenset[str] = frozenset({"GET", "PUT"})
    statuses: frozenset[int] = frozenset({408, 429, 500, 502, 503, 504})
    spread: Callable[[], float] = field(default=lambda: random.uniform(0.75, 1.25))  # noqa: S311 -- jitter

    def delay(self, attempt: int, retry_after: str | None = None) -> float:
        """Seconds to wait after try number `attempt` (from 1) failed."""
        asked = parse_retry_after(retry_after)
        if asked is not None:
            return min(asked, self.cap)
        return float(min(self.first * 2 ** min(attempt - 1, 16) * self.spread(), self.cap))

    def allows(self, method: str, attempt: int, status: int | None = None) -> bool:
        """Whether try number `attempt` may be followed by another; no `status` means a cut connection."""
        return (
            method in self.methods and attempt < self.attempts and (status is None or status in self.statuses)
        )


def parse_retry_after(value: str | None) -> float | None:
    """Seconds of a `Retry-After` header, in seconds or as an HTTP date; None where it makes no sense."""
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
