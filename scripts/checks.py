"""Run the checks, begin none after one that failed, and say how each went.

`checks.py fast` is `make check`; `checks.py all` is `make test`.
"""

from __future__ import annotations

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
# Most tests wait for processes and sockets: one process for each core takes little more than half the time.
# They share out the files in the order of tests/conftest.py, not first those that hold the most tests.
PYTEST = (PYTHON, "-m", "pytest", "-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder")
FORKS = "tests/unit/test_ledger_mending.py"  # as another user, which a process with threads must not do
BUILD_WHEEL = """
rm -rf build/wheel
"$0" -m build --wheel --no-isolation --outdir build/wheel .
"$0" scripts/check_wheel.py build/wheel/*.whl
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One group of checks.

    Attributes:
        name: What it is called in the summary.
        command: Program and arguments, run in the project's folder.
        when: `both`, or only by `fast` or `all`.
        live: Show its output as it comes, after all others; otherwise only when it fails.
    """

    name: str
    command: tuple[str | Path, ...]
    when: str = "both"
    live: bool = False


CHECKS = (
    Check("format: ruff", (TOOLS / "ruff", "format", "--check", ".")),
    Check("lint: ruff", (TOOLS / "ruff", "check", ".")),
    Check("types: mypy", (TOOLS / "mypy",)),
    Check("contracts: import-linter", (TOOLS / "lint-imports",)),
    Check("types: tsc", (*NPM_RUN, "check")),
    Check("format and lint: biome", (*NPM_RUN, "lint")),
    Check("tests: node", (*NPM_RUN, "test")),
    Check("wheel: build and contents", ("sh", "-euc", BUILD_WHEEL, PYTHON), when="all"),
    Check("tests: pytest, by itself", (PYTHON, "-m", "pytest", "-q", FORKS)),
    Check(
        "tests: unit and protocol",
        (*PYTEST, "tests/unit", "tests/protocol", f"--ignore={FORKS}"),
        "fast",
        True,
    ),
    Check("tests: pytest", (*PYTEST, "--durations=8", f"--ignore={FORKS}"), "all", True),
)


@dataclass(frozen=True, slots=True)
class Result:
    """How a check went."""

    passed: bool
    seconds: float
    said: str = ""


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
    """Run checks that use one core each, two at a time; tell of them in their order.

    After a failure none begins any more, and the one that runs beside it is told of too.
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
                print(result.said)
                pool.shutdown(wait=False, cancel_futures=True)
    return results


def summary(checks: list[Check], results: Results) -> str:
    """A line for each check, also for those that a failure kept from running."""
    lines = []
    for check in checks:
        if result := results.get(check):
            state = "ok" if result.passed else "FAILED"
            lines.append(f"  {state:8} {result.seconds:6.1f} s  {check.name}")
        else:
            lines.append(f"  {'not run':8} {'':8}  {check.name}")
    return "\n".join(lines)


def main(when: str) -> int:
    """Run the checks of `when` (`fast` or `all`)."""
    started = time.monotonic()
    checks = [check for check in CHECKS if check.when in {"both", when}]
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
    if len(sys.argv) != 2 or sys.argv[1] not in {"fast", "all"}:
        sys.exit("usage: checks.py fast|all")
    sys.exit(main(sys.argv[1]))
