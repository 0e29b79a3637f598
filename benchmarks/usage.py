"""What a piece of work costs its process: seconds, CPU seconds, and memory above idle."""

from __future__ import annotations

import gc
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

_STATUS = Path("/proc/self/status")


def resident() -> int:
    """Bytes of the resident set now; where the system does not say, the peak so far."""
    return _status("VmRSS") or _peak_ever()


def _peak_ever() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(field: str) -> int:
    if not _STATUS.exists():
        return 0
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Usage:
    """Measures what happens in its `with` block, in all threads of the process."""

    def __enter__(self) -> Self:
        gc.collect()
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        self._idle, self._cpu, self._start = resident(), _cpu(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._start
        self.cpu = _cpu() - self._cpu
        self.memory = (_status("VmHWM") or _peak_ever()) - self._idle

    def figures(self) -> dict[str, float]:
        return {"wall": self.wall, "cpu": self.cpu, "memory": self.memory}


class Delays:
    """How long lines were on their way, from the time that each begins with."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._seen: set[tuple[object, str, str]] = set()

    def line(self, message: str) -> None:
        """A line that comes once."""
        now = time.monotonic()
        self.seconds.append(now - float(message[: message.index(" ")]))

    def polled(self, job: object, entries: list[dict[str, str]] | None) -> None:
        """Lines of a reply that repeats earlier ones."""
        for entry in entries or ():
            mark = (job, entry["timestamp"], entry["message"])
            if mark not in self._seen:
                self._seen.add(mark)
                self.line(entry["message"])

    def figures(self) -> dict[str, float]:
        ordered = sorted(self.seconds)
        if not ordered:
            return {"lines": 0}
        last = len(ordered) - 1
        return {
            "lines": len(ordered),
            "p50": 1000 * ordered[round(last * 0.5)],
            "p99": 1000 * ordered[round(last * 0.99)],
        }
