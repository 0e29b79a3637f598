"""Run the checks one after the other, stop at the first that fails, and say how each went.

`checks.py fast` is `make check`; `checks.py all` is `make test`.
"""

from __future__ import annotations

import subprocess
import sys
import time
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
        live: Show its output as it comes; otherwise only when it fails.
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
    Check(
        "tests: unit and protocol",
        (*PYTEST, "tests/unit", "tests/protocol", f"--ignore={FORKS}"),
        "fast",
        True,
    ),
    Check("tests: pytest, by itself", (PYTHON, "-m", "pytest", "-q", FORKS)),
    Check("tests: pytest", (*PYTEST, "--durations=8", f"--ignore={FORKS}"), "all", True),
)


def run(check: Check) -> tuple[bool, float]:
    """Run one check; whether it passed, and its seconds."""
    print(f"── {check.name} ", end="\n" if check.live else "", flush=True)
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
    seconds = time.monotonic() - started
    passed = done.returncode == 0
    if not check.live:
        print(f"{'ok' if passed else 'FAILED'} ({seconds:.1f} s)", flush=True)
    if not passed and done.stdout:
        print(done.stdout)
    return passed, seconds


def summary(checks: list[Check], results: list[tuple[bool, float]]) -> str:
    """A line for each check, also for those that a failure kept from running."""
    lines = []
    for index, check in enumerate(checks):
        if index < len(results):
            passed, seconds = results[index]
            lines.append(f"  {'ok' if passed else 'FAILED':8} {seconds:6.1f} s  {check.name}")
        else:
            lines.append(f"  {'not run':8} {'':8}  {check.name}")
    return "\n".join(lines)


def main(when: str) -> int:
    """Run the checks of `when` (`fast` or `all`)."""
    checks = [check for check in CHECKS if check.when in {"both", when}]
    results: list[tuple[bool, float]] = []
    for check in checks:
        results.append(run(check))
        if not results[-1][0]:
            break
    passed = all(result for result, _ in results)
    print(f"\n{summary(checks, results)}")
    print(f"{'All passed' if passed else 'FAILED'} in {sum(seconds for _, seconds in results):.0f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in {"fast", "all"}:
        sys.exit("usage: checks.py fast|all")
    sys.exit(main(sys.argv[1]))
