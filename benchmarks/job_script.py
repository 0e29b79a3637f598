"""What a job of the benchmark's server does, by the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

LINE = " Sampling |##########----------| 50/100 [00:04<00:04, 12.34it/s], loss 0.0213, step"


@dataclass
class JobScript:
    """One job. `clock()` is its age in seconds."""

    id: str
    key: str
    seconds: float = 0.0
    count: int = 0
    burst: int = 1
    file: int = 0
    url: str = ""
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def parse(cls, job_id: str, key: str, prompt: str) -> JobScript:
        """Parse the job that a prompt describes."""
        words = dict(word.split("=", 1) for word in prompt.split() if "=" in word)
        return cls(
            job_id,
            key,
            seconds=float(words.get("seconds", 0)),
            count=int(words.get("lines", 0)),
            burst=int(words.get("burst", 1)),
            file=int(words.get("file", 0)),
        )

    def clock(self) -> float:
        return time.monotonic() - self.started

    @property
    def over(self) -> bool:
        return self.clock() >= self.seconds

    @property
    def _gap(self) -> float:
        """Seconds between two bursts; the last one comes before the end."""
        return self.seconds * self.burst / (self.count + self.burst)

    def _count_emitted(self, age: float) -> int:
        if not self.count or age < 0:
            return 0
        return min(int(age / self._gap) * self.burst if self._gap else self.count, self.count)

    def lines(self, since: float, until: float | None = None) -> list[dict[str, object]]:
        """Entries emitted after `since` and until `until` (now), both as ages."""
        until = self.clock() if until is None else until
        return [
            self._entry(number) for number in range(self._count_emitted(since), self._count_emitted(until))
        ]

    def _entry(self, number: int) -> dict[str, object]:
        at = self.started + (number // self.burst + 1) * self._gap
        stamp = f"2026-01-01T00:{number // 60 % 60:02d}:{number % 60:02d}.{number:06d}"
        return {"timestamp": stamp, "message": f"{at:.6f}{LINE} {number}", "labels": {}}

    def next_after(self, age: float) -> float:
        """The age at which something happens next."""
        emitted = self._count_emitted(age)
        if emitted >= self.count:
            return self.seconds
        return min((emitted // self.burst + 1) * self._gap + 1e-4, self.seconds)
