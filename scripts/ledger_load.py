"""Let many kernels use one ledger: each process claims, sends and finishes its jobs as fast as it can.

`ledger_load.py 8 200` prints the counts. The exit code is 1 if a row is missing or differs from what was
written, or if a process got a LedgerError.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kling_nb.errors import LedgerError
from kling_nb.events import State
from kling_nb.ledger import Intent, Ledger, at_work


def run_load(processes: int, jobs: int) -> dict[str, Any]:
    """Run the load and return its counts: `rows`, `lost` rows and the ledger `errors` of the kernels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        context = multiprocessing.get_context("spawn")
        faults: Any = context.Queue()
        kernels = [context.Process(target=kernel, args=(path, one, jobs, faults)) for one in range(processes)]
        for process in kernels:
            process.start()
        errors = [fault for _ in kernels for fault in faults.get()]
        for process in kernels:
            process.join()
        ledger = Ledger(path)
        rows = {entry.request_id: entry for entry in ledger.entries(limit=10**9)}
        ledger.close()
    wanted = {f"r-{one}-{number}" for one in range(processes) for number in range(jobs)}
    ready = {name for name, entry in rows.items() if entry.state is State.READY and entry.units == name}
    lost = len(wanted - ready)
    return {"processes": processes, "jobs": jobs, "rows": len(rows), "lost": lost, "errors": errors}


def main(processes: int, jobs: int) -> int:
    """Run the load, print the counts and return the exit code."""
    started = time.monotonic()
    counts = run_load(processes, jobs)
    errors = counts["errors"]
    print(
        f"{processes} processes x {jobs} jobs: {counts['rows']} rows, {counts['lost']} lost,"
        f" {len(errors)} errors, {time.monotonic() - started:.1f} s"
    )
    for fault in errors[:3]:
        print(fault)
    return 1 if counts["lost"] or errors or counts["rows"] != processes * jobs else 0


def kernel(path: Path, one: int, jobs: int, faults: Any) -> None:
    """Act as one kernel: write whole jobs to the ledger, one after the other."""
    ledger = Ledger(path)
    errors = []
    for number in range(jobs):
        name = f"r-{one}-{number}"
        try:
            entry, _ = ledger.claim(Intent("fal", "e", {"prompt": name}, name, name, path.parent))
            with at_work(entry.id):
                ledger.mark_sending(entry.id)
            ledger.update(entry.id, state=State.IN_QUEUE, request_id=name)
            ledger.update(entry.id, state=State.IN_PROGRESS)
            ledger.update(entry.id, state=State.DOWNLOADING, result="{}")
            ledger.update(entry.id, state=State.READY, units=name, media_path=name)
        except LedgerError as fault:
            errors.append(str(fault))
    ledger.close()
    faults.put(errors)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: ledger_load.py PROCESSES JOBS")
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
