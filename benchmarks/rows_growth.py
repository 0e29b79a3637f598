"""How cost grows: jobs in flight, log lines, ledger rows, takes in a folder; at ×1, ×4 and ×16."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import causes, scale
from benchmarks.loopback import Loopback
from benchmarks.rows_ledger import measured
from benchmarks.table import Row, number

STEPS = (1, 4, 16)
NOISE = 1.5
"""A cost that grows by more than this times its quantity is not linear."""
TAKES_NOISE = 17 / 16
"""The same for takes: a folder must cost the next job nothing."""


def rows(server: Loopback) -> Iterator[Row]:
    yield _growth_row("jobs in flight (CPU of each, 6 s with 2 lines a second)", 50, _in_flight(server))
    yield _growth_row("log lines of one job (CPU of each line, 5 s)", 1000, _lines(server))
    yield _growth_row("takes in a folder (CPU of each instant job)", 60, _takes(server), noise=TAKES_NOISE)
    ledgers = {step: measured(6_250 * step) for step in STEPS}
    for name in ("jobs", "fingerprint"):
        yield _growth_row(
            f"ledger rows (one look-up: {'`jobs()`' if name == 'jobs' else name})",
            6_250,
            lambda step, name=name: statistics.median(ledgers[step][name]),
            whole=True,
        )
    folders = {step: _look_ups(625 * step) for step in STEPS}
    for name in folders[1]:
        yield _growth_row(
            f"takes in a folder ({name})", 625, lambda step, name=name: folders[step][name], whole=True
        )


def _look_ups(takes: int) -> dict[str, float]:
    """Return the seconds of CPU of look-ups, and of a new job, in a folder of so many takes."""
    with tempfile.TemporaryDirectory(prefix="kling_nb-bench-") as folder:
        place = Path(folder) / "scale"
        scale.make(place, takes)
        found = scale.measure(place, takes, ["fresh", "warm", "new"], scale.HERE)
        names = ("look-up, fresh process", "look-up, warm", "one new instant job")
        return {name: found[name] / 1000 for name in names}


def _in_flight(server: Loopback) -> Callable[[int], float]:
    return lambda step: server.side("kling", "seconds=6 lines=12", 50 * step)["cpu"]


def _lines(server: Loopback) -> Callable[[int], float]:
    return lambda step: server.side("kling", f"seconds=5 lines={1000 * step} burst=10")["cpu"]


def _takes(server: Loopback) -> Callable[[int], float]:
    return lambda step: server.side("kling", "instant", 60 * step, 20)["cpu"]


def _growth_row(
    figure: str, base: int, cost: Callable[[int], float], *, whole: bool = False, noise: float = NOISE
) -> Row:
    """With `whole`, the cost is that of one look-up, which must not grow. Otherwise all share it."""
    costs = {step: cost(step) for step in STEPS}
    share = {step: costs[step] / (1 if whole else base * step) for step in STEPS}
    shown = ", ".join(f"{base * step:,}: {number(1000 * share[step])} ms" for step in STEPS)
    growth = costs[STEPS[-1]] / costs[STEPS[0]]
    return Row(
        f"growth: {figure}",
        shown,
        "",
        f"cost × {number(growth)} for × {STEPS[-1]}",
        f"cost ≤ × {number(STEPS[-1] * noise)}",
        growth <= STEPS[-1] * noise,
        causes.GROWTH,
    )
