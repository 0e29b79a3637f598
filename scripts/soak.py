"""Run the long tests and print their counts: faulty exchanges, kills of kernels, ledger load, fuzzing.

Each part runs in several processes at once. Each process has another seed, starting at `--seed`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "soak.md"
SHOWN = 20
"""The most complaints that are printed."""


@dataclass(frozen=True, slots=True)
class Part:
    """One long test.

    Attributes:
        module: Run as `python -m module SEED NUMBER`. It prints its counts as JSON.
        number: Number of trials, over all processes.
        processes: Number of processes.
        rows: Returns the rows of the table for the counts.
        faults: Returns complaints about wrong counts.
    """

    module: str
    number: int
    processes: int
    rows: Callable[[dict[str, Any]], list[tuple[str, object]]]
    faults: Callable[[dict[str, Any]], list[str]]


def exchanges(counts: dict[str, Any]) -> list[tuple[str, object]]:
    """Return the rows of the faulty exchanges."""
    outcomes: Counter[str] = Counter()
    for outcome, number in counts["outcomes"].items():
        outcomes[outcome.rpartition(" ")[0] if outcome[-1].islower() else outcome] += number
    same = counts["same"]
    return [
        ("faulty exchanges", f"{counts['struck']:,}, in {counts['trials'] - counts['unmet']:,} jobs"),
        ("jobs that ended before their fault, on a busy machine; not counted above", counts["unmet"]),
        ("submissions accepted", f"{counts['accepted']:,}"),
        ("**duplicate submissions**", counts["duplicates"]),
        ("**hangs** (a job past its deadline of 30 s)", counts["hangs"]),
        ("longest job, with waits cut to 0.12 s", f"{counts['longest']:.1f} s"),
        ("outcomes other than the table says", counts["unlike_the_table"]),
        *((f"outcome: {outcome}", f"{number:,}") for outcome, number in outcomes.most_common()),
        (f"on the same faults, {same:,} jobs: duplicates, ours", counts["our_duplicates_of_same"]),
        (
            f"— fal_client {version('fal-client')}",
            f"{counts['their_duplicates']:,} more submissions, of {counts['their_duplicated_jobs']:,} jobs",
        ),
        ("— its accepted jobs that ended without the result", f"{counts['their_undelivered']:,}"),
        ("— its jobs whose key went to another host", f"{counts['their_leaks']:,}"),
        ("— its jobs that waited without end for a silent server", f"{counts['their_hangs']:,}"),
    ]


def kills(counts: dict[str, Any]) -> list[tuple[str, object]]:
    """Return the rows of the crash test."""
    return [
        ("kills (SIGKILL of a real kernel)", counts["kills"]),
        ("jobs", counts["jobs"]),
        ("submissions accepted by the server", counts["accepted"]),
        ("**duplicate submissions**", counts["duplicates"]),
        ("recovered by the next kernel, or first made by it", counts["recovered"]),
        ("— of which the id was not written down: found in fal's list of requests", counts["looked_up"]),
        ("UNCERTAIN: sent, never accepted", counts["unaccepted"]),
        ("**lost**", counts["lost"]),
        ("files / sidecars / ledger rows", f"{counts['files']} / {counts['sidecars']} / {counts['rows']}"),
        ("files with other bytes than were served", counts["half_files"]),
        *((f"killed: {name}", number) for name, number in counts["points"].items()),
    ]


def inputs(counts: dict[str, Any]) -> list[tuple[str, object]]:
    """Return the rows of the fuzzing."""
    return [
        ("inputs", f"{sum(counts['inputs'].values()):,}"),
        ("**errors that are not typed**", len(counts["faults"])),
        *((f"edge: {name}", f"{number:,}") for name, number in counts["inputs"].items()),
    ]


def rows(counts: dict[str, Any]) -> list[tuple[str, object]]:
    """Return the rows of the ledger load."""
    return [
        ("kernels, as many processes, each as fast as it can", counts["processes"]),
        ("jobs of each", f"{counts['jobs']:,}"),
        ("rows", f"{counts['rows']:,}"),
        ("**rows lost, or not as they were written**", counts["lost"]),
        ("**errors of the ledger** (e.g. locked)", len(counts["errors"])),
    ]


def wrong_rows(counts: dict[str, Any]) -> list[str]:
    """Return the complaints about the ledger load."""
    missing = counts["lost"] or counts["rows"] != counts["processes"] * counts["jobs"]
    return counts["errors"] or (["rows are lost"] if missing else [])


def wrong_exchanges(counts: dict[str, Any]) -> list[str]:
    """Return the complaints about the faulty exchanges."""
    bad = counts["duplicates"] or counts["hangs"] or counts["unlike_the_table"]
    return counts["faults"] or (["duplicates or hangs"] if bad else [])


def wrong_kills(counts: dict[str, Any]) -> list[str]:
    """Return the complaints about the crash test."""
    bad = counts["duplicates"] or counts["lost"] or counts["half_files"]
    return counts["complaints"] or (["duplicates or losses"] if bad else [])


PARTS = {
    "Faulty exchanges": Part("faults.drawn", 10_000, 6, exchanges, wrong_exchanges),
    "Kills of a kernel": Part("crashes.series", 200, 4, kills, wrong_kills),
    "Many kernels at one ledger": Part("ledgers.load", 200, 1, rows, wrong_rows),
    "Any input at every edge": Part("fuzz.long", 100_000, 2, inputs, lambda counts: list(counts["faults"])),
}


def run(part: Part, seed: int, number: int) -> dict[str, Any]:
    """Run a part and return the counts of all its processes together."""
    share = -(-number // part.processes)
    with tempfile.TemporaryDirectory(prefix="kling_nb-soak-") as folder:
        running = [
            subprocess.Popen(
                [sys.executable, "-m", part.module, str(seed + index), str(share)],
                cwd=ROOT,
                env=_environment(Path(folder) / str(index)),
                stdout=subprocess.PIPE,
                stderr=(Path(folder) / f"{index}.log").open("wb"),
                text=True,
            )
            for index in range(part.processes)
        ]
        total: dict[str, Any] = {}
        for index, process in enumerate(running):
            output = process.communicate()[0].strip().splitlines()
            if process.returncode:
                for other in running[index + 1 :]:
                    other.kill()
                log = (Path(folder) / f"{index}.log").read_text(encoding="utf-8", errors="replace")
                raise SystemExit(
                    f"{part.module} with seed {seed + index} ended with an error:\n{log[-4000:]}"
                )
            _add(total, json.loads(output[-1]))
    return total


def _environment(home: Path) -> dict[str, str]:
    home.mkdir()
    return {
        **os.environ,
        "KLING_NB_BACKEND": "local",
        "KLING_NB_HOME": str(home),
        "IPYTHONDIR": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "scripts")]),
        "PYTHONWARNINGS": "ignore",
    }


def _add(total: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict):
            _add(total.setdefault(name, {}), value)
        elif name == "longest":
            total[name] = max(total.get(name, 0.0), value)
        else:
            total[name] = total[name] + value if name in total else value


def main() -> int:
    """Run the parts. Return 0 if there are no complaints."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--scale", type=float, default=1.0, help="share of the full numbers")
    asked.add_argument("--write", action="store_true", help="write docs/soak.md")
    asked.add_argument("--only", choices=PARTS, action="append", help="this part; the page keeps the others")
    options = asked.parse_args()
    start, complaints = time.monotonic(), []
    sections: dict[str, str] = {}
    for title in options.only or PARTS:
        part = PARTS[title]
        started = time.monotonic()
        counts = run(part, options.seed, max(part.processes, round(part.number * options.scale)))
        minutes = (time.monotonic() - started) / 60
        found = part.faults(counts)
        rows = [("what was wrong", len(found)), *part.rows(counts)]
        lines = [f"| {name} | {value} |" for name, value in rows]
        ran = f"{minutes:.1f} min, seed {options.seed}, on {datetime.now(UTC):%Y-%m-%d}"
        sections[title] = "\n".join([f"## {title}: {ran}", "", "| | |", "|---|---|", *lines, ""])
        print(sections[title], flush=True)
        complaints += [f"{title}: {fault}" for fault in found]
    print(f"{(time.monotonic() - start) / 60:.1f} min in all; {len(complaints)} complaints")
    print("\n".join(complaints[:SHOWN]))
    if options.write:
        sections = {**(_page_sections() if options.only else {}), **sections}
        text = [_head(), *(sections[title] for title in PARTS if title in sections)]
        PAGE.write_text("\n".join(text), encoding="utf-8")
    return 1 if complaints else 0


def _page_sections() -> dict[str, str]:
    """Return the sections of the current page."""
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if PAGE.is_file() else []
    return {part.partition(":")[0]: f"## {part}" for part in parts}


def _head() -> str:
    return f"""# The last run of the long tests

`make soak`: Python {platform.python_version()}, {platform.system()} on
{os.cpu_count()} cores of {platform.machine()}, which had other work too. What the outcomes mean
is in [faults.md](faults.md).
"""


if __name__ == "__main__":
    sys.exit(main())
