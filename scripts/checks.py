"""Run the checks, stop after one that fails, and print a summary.

`checks.py fast` is `make check`, `checks.py all` is `make test`, `checks.py every` is `make test-all`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
TOOLS = Path(sys.executable).parent
NPM_RUN = (PYTHON, "scripts/node.py", "run", "--silent")
# Most tests wait for processes and sockets, so there is one process more than cores. They take files in the
# order of tests/conftest.py, which keeps those with one browser together.
PROCESSES = str((os.cpu_count() or 1) + 1)
PYTEST = (PYTHON, "-m", "pytest", "-n", PROCESSES, "--dist", "loadfile", "--no-loadscope-reorder")
NOT_SLOW = ("-m", "not slow")
QUICK = ("-m", "not slow and not program")
MEMORY = Path("/dev/shm")  # noqa: S108 - only folders of pytest's own are made there
ROOM = 4 << 30
"""Bytes that have to be free there."""

# `build` makes the wheel from the unpacked sdist.
BUILD_WHEEL = """
rm -rf build/wheel
"$0" -m build --no-isolation --outdir build/wheel .
"$0" scripts/check_wheel.py build/wheel/*
"$0" -m twine check --strict build/wheel/*
"""


ALWAYS = frozenset({"fast", "all", "every"})
FULL = ALWAYS - {"fast"}


@dataclass(frozen=True, slots=True)
class Check:
    """One group of checks.

    Attributes:
        name: Its name in the summary.
        command: Program and arguments. It runs in the project's folder.
        when: Which of `fast`, `all` and `every` run it.
        live: True to run it after all others and show its output at once. Otherwise only a failure is shown.
    """

    name: str
    command: tuple[str | Path, ...]
    when: frozenset[str] = ALWAYS
    live: bool = False


CHECKS = (
    Check("format: ruff", (TOOLS / "ruff", "format", "--check", ".")),
    Check("lint: ruff", (TOOLS / "ruff", "check", ".")),
    Check("types: mypy", (TOOLS / "mypy",)),
    Check("contracts: import-linter", (TOOLS / "lint-imports",)),
    Check("words: plain_words", (PYTHON, "scripts/plain_words.py")),
    Check("types: tsc", (*NPM_RUN, "check")),
    Check("format and lint: biome", (*NPM_RUN, "lint")),
    Check("tests: node", (*NPM_RUN, "test")),
    Check("sdist and wheel: build and contents", ("sh", "-euc", BUILD_WHEEL, PYTHON), when=FULL),
    Check(
        "tests: unit and protocol",
        (*PYTEST, *QUICK, "tests/unit", "tests/protocol"),
        frozenset({"fast"}),
        live=True,
    ),
    Check("tests: pytest", (*PYTEST, *NOT_SLOW, "--durations=8"), frozenset({"all"}), live=True),
    Check("tests: pytest, slow ones too", (*PYTEST, "--durations=8"), frozenset({"every"}), live=True),
)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a check."""

    passed: bool
    seconds: float
    output: str = ""


Results = dict[Check, Result]


def run(check: Check) -> Result:
    """Run one check."""
    started = time.monotonic()
    stream = None if check.live else subprocess.PIPE
    done = subprocess.run(
        check.command,
        cwd=ROOT,
        check=False,
        stdout=stream,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Result(done.returncode == 0, time.monotonic() - started, done.stdout or "")


def run_quiet(checks: list[Check]) -> Results:
    """Run checks that use one core each, two at a time, and print their results in order.

    After a failure no further check starts. A check that already runs is finished and printed.
    """
    results: Results = {}
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(run, check) for check in checks]
        for check, future in zip(checks, futures, strict=True):
            if future.cancelled():
                continue
            print(f"── {check.name} ", end="", flush=True)
            results[check] = result = future.result()
            print(f"{'ok' if result.passed else 'FAILED'} ({result.seconds:.1f} s)", flush=True)
            if not result.passed:
                print(result.output)
                pool.shutdown(wait=False, cancel_futures=True)
    return results


def summary(checks: list[Check], results: Results) -> str:
    """Return one line for each check, also for those that did not run."""
    lines = []
    for check in checks:
        if result := results.get(check):
            state = "ok" if result.passed else "FAILED"
            lines.append(f"  {state:8} {result.seconds:6.1f} s  {check.name}")
        else:
            lines.append(f"  {'not run':8} {'':8}  {check.name}")
    return "\n".join(lines)


def use_memory() -> None:
    """Keep temporary files in memory if there is room: ledgers wait for their disk a thousand times."""
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM:
        os.environ["TMPDIR"] = str(MEMORY)


def main(when: str) -> int:
    """Run the checks of `when` (`fast`, `all` or `every`)."""
    if when == "every":
        os.environ["KLING_NB_SLOW"] = "1"
    use_memory()
    started = time.monotonic()
    checks = [check for check in CHECKS if when in check.when]
    results = run_quiet([check for check in checks if not check.live])
    for check in (check for check in checks if check.live):
        if all(result.passed for result in results.values()):
            print(f"── {check.name}", flush=True)
            results[check] = run(check)
    passed = all(result.passed for result in results.values())
    print(f"\n{summary(checks, results)}")
    print(f"{'All passed' if passed else 'FAILED'} in {time.monotonic() - started:.0f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ALWAYS:
        sys.exit("usage: checks.py fast|all|every")
    sys.exit(main(sys.argv[1]))
