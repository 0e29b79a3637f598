"""In a real kernel: how soon a cell's submission leaves the machine, and how free the loop stays."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from benchmarks import causes
from benchmarks.kernel import Kernel
from benchmarks.loopback import Loopback
from benchmarks.sides import ENDPOINT
from benchmarks.table import Row, Times, milliseconds, number

COLD = 5
WARM = 20
LOAD = "%load_ext kling_nb"
_number = count()

TICKER = """
import asyncio, json, time
async def delays(seconds):
    found, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        await asyncio.sleep(0.01)
        found.append(time.perf_counter() - start - 0.01)
    return sorted(found)
def report(found):
    print(json.dumps({"p50": found[len(found) // 2], "p99": found[round(0.99 * (len(found) - 1))]}))
"""
BARE = "report(await delays(4))"
STREAMING = """
import kling_nb
jobs = [kling_nb.submit(f"seconds=9 lines=18 lag-{number}") for number in range(100)]
for job in jobs: display(job)
while not all(job.lines for job in jobs): await asyncio.sleep(0.05)
report(await delays(4))
assert not any(job.done for job in jobs)
"""


def _kernel(server: Loopback) -> Kernel:
    return Kernel(
        KLING_NB_BACKEND="fal",
        KLING_NB_QUEUE_URL=server.base,
        KLING_NB_REST_URL=server.base,
        KLING_NB_API_URL=server.base,
        KLING_NB_ENDPOINT=ENDPOINT,
        FAL_KEY="kernel:secret",
    )


def _cell(kernel: Kernel, server: Loopback) -> tuple[float, float]:
    """Seconds from Enter to the arrival of the submission, and to the first display."""
    ran = kernel.run(f"%%kling\nan instant job {next(_number)}")
    return server.submitted()[-1] - ran["entered"], ran["shown"] - ran["entered"]


def rows(server: Loopback) -> Iterator[Row]:
    cold: list[tuple[float, float]] = []
    warm: list[tuple[float, float]] = []
    for turn in range(COLD):
        with _kernel(server) as kernel:
            kernel.run(LOAD)
            cold.append(_cell(kernel, server))
            if turn == 0:
                warm = [_cell(kernel, server) for _ in range(WARM)]
    for name, runs, goal in (("cold", cold, 0.2), ("warm", warm, 0.01)):
        leaves = milliseconds([leaves for leaves, _ in runs])
        shown = milliseconds([shown for _, shown in runs])
        yield Row(
            f"`%%kling` cell, {name}: Enter → submit arrives, ledger committed",
            str(leaves),
            f"first output after {shown}",
            "",
            f"≤ {1000 * goal:.0f} ms",
            leaves.median <= goal,
            causes.COLD if name == "cold" else causes.WARM,
        )
    yield from _lag(server)


def _lag(server: Loopback) -> Iterator[Row]:
    with _kernel(server) as kernel:
        kernel.run(LOAD)
        kernel.run(TICKER)
        kernel.run("%%kling\nan instant job before")
        bare = kernel.value(BARE)
        busy = kernel.value(STREAMING)
    yield lag_row("kernel loop lag while 100 jobs stream, each in its widget", bare, busy)


def lag_row(figure: str, bare: dict[str, float], busy: dict[str, float]) -> Row:
    """Return a row: how late a ticker of 10 ms was, compared to the same kernel without work."""
    times = {name: Times([value["p99"]], "ms", 1000) for name, value in (("bare", bare), ("busy", busy))}
    return Row(
        f"{figure}: p99 of a 10 ms ticker",
        f"{times['busy']}, median {number(1000 * busy['p50'])} ms",
        f"idle kernel {times['bare']}",
        "",
        "≤ 25 ms",
        busy["p99"] <= 0.025,
        causes.LAG,
    )
