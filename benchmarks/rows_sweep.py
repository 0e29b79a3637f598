"""A sweep of instant jobs, compared to plain httpx with the same requests."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import causes, sweep
from benchmarks.table import Row, Times


def rows() -> Iterator[Row]:
    times = {side: Times(seconds) for side, seconds in sweep.compare(sweep.RUNS).items()}
    ratio = times["ours"].median / times["plain"].median
    yield Row(
        f"sweep of {sweep.JOBS} instant jobs, {sweep.CONCURRENCY} at a time: recorded, checked, filed",
        str(times["ours"]),
        f"plain httpx that writes the files {times['plain']}",
        f"{ratio:.2f} × plain httpx",
        f"≤ {sweep.GOAL}",
        ratio <= sweep.GOAL,
        causes.SWEEP,
    )
