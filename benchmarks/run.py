"""Run all benchmarks (`make bench`), print a Markdown table and write benchmarks/RESULTS.md.

    python -m benchmarks.run [words]

Words name the groups of rows to measure; without any it is all, and only then the file is written. A group
that breaks off costs the rest nothing: its row says so, and the exit status is 1.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import (
    finished,
    machine,
    opening,
    panel,
    rows_growth,
    rows_jobs,
    rows_kernel,
    rows_ledger,
    rows_startup,
    rows_sweep,
    rows_uploads,
    rows_video,
    widget,
)
from benchmarks.loopback import ROOT, Loopback
from benchmarks.table import Row, markdown

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
ABOUT = """# Measured

Written by `make bench`; not to be edited. Each client is a process of its own that did one job before,
the server a scripted one on loopback. For several runs, the median is given, with the least and
the most; clients take turns within a round. CPU is that of the whole process (`resource`), memory the peak
of its resident set above idle, requests and bytes are counted by the server. A status that is polled holds
the log lines of the last 5 s, one that is streamed only new ones. fal_client runs as its users call it:
`subscribe(…, with_logs=True, on_queue_update=…)`.
"""

BROKE_OFF = "broke off"
Group = Callable[[], Iterable[Row]]


def main(words: list[str]) -> int:
    os.environ.pop("KLING_NB_BACKEND", None)
    os.environ.pop("KLING_NB_HOME", None)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's second start reads what the first one compiled
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kling_nb-bench-") as folder:
        sample = Path(folder) / "sample.mp4"
        rows_video.make_clip(sample, seconds=1, size=(64, 36))
        with Loopback(sample) as server:
            notes = machine.lines(server.ceiling())
            rows = list(_rows(server, words))
    notes.append(f"- load after the last row: {machine.load()}; {time.monotonic() - started:.0f} s in all")
    notes += machine.busy()
    text = "\n".join([ABOUT, *notes, "", markdown(rows), ""])
    print(f"\n{text}")
    if not words:
        RESULTS.write_text(text)
    return int(any(BROKE_OFF in row.figure for row in rows))


def _rows(server: Loopback, words: list[str]) -> Iterable[Row]:
    one: list[rows_jobs.OneJob] = []

    def one_job() -> Iterable[Row]:
        return one[0].rows()

    groups: dict[str, Group] = {
        "startup": rows_startup.rows,
        "ledger": rows_ledger.rows,
        "frames": rows_video.frames,
        "local": rows_video.local_engine,
        "one": one_job,
        "hundred": lambda: rows_jobs.hundred_jobs(server),
        "instant": lambda: rows_jobs.instant_jobs(server),
        "sweep": rows_sweep.rows,
        "memory": lambda: rows_jobs.memory(server),
        "download": lambda: rows_jobs.download(server),
        "upload": rows_uploads.rows,
        "kernel": lambda: rows_kernel.rows(server),
        "opening": opening.rows,
        "widget": widget.rows,
        "panel": panel.rows,
        "finished": finished.rows,
        "growth": lambda: rows_growth.rows(server),
    }
    chosen = {name: group for name, group in groups.items() if not words or name in words}
    if "one" in chosen:  # It runs during the rows before it, which need no server.
        one.append(rows_jobs.OneJob(server))
    for name, group in chosen.items():
        start = time.monotonic()
        for row in _whole(name, group):
            print(f"  {' | '.join(cell for cell in row.cells if cell)}", flush=True)
            yield row
        print(f"── {name} {time.monotonic() - start:.0f} s", flush=True)


def _whole(name: str, group: Group) -> Iterable[Row]:
    """Yield the rows of a group. If it breaks off, the last row reports that."""
    try:
        yield from group()
    except Exception as fault:  # noqa: BLE001 -- whatever it is, the other groups are measured
        traceback.print_exc()
        yield Row(f"{name}: {BROKE_OFF}", "", met=False, why=f"{type(fault).__name__}, see the output")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
