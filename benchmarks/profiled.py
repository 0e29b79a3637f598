"""Where a client's CPU goes: the functions that hold the interpreter, by share of py-spy's samples.

pip install py-spy
python -m benchmarks.profiled kling '{"prompt": "instant", "jobs": 400, "at_once": 100}'
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.loopback import Loopback
from benchmarks.rows_video import make_clip

SHOWN = 50


def main(name: str, work: str) -> None:
    with tempfile.TemporaryDirectory(prefix="kling_nb-bench-") as folder:
        sample, samples = Path(folder) / "sample.mp4", Path(folder) / "samples"
        make_clip(sample, seconds=1, size=(64, 36))
        with Loopback(sample) as server:
            spy = [
                str(Path(sys.executable).parent / "py-spy"),
                "record",
                "--gil",
                "--format",
                "raw",
                "--rate",
                "200",
                "--output",
                str(samples),
            ]
            client = [sys.executable, "-m", "benchmarks.sides", name, server.base, work]
            subprocess.run([*spy, "--", *client], check=True, stdout=subprocess.DEVNULL)
        stacks = [line.rsplit(" ", 1) for line in samples.read_text().splitlines()]
    total = sum(int(number) for _, number in stacks)
    shares: Counter[str] = Counter()
    for stack, number in stacks:
        for function in {frame.rsplit(":", 1)[0] for frame in stack.split(";")}:
            shares[function] += int(number)
    for function, number in shares.most_common(SHOWN):
        print(f"{100 * number / total:5.1f} %  {function}")


if __name__ == "__main__":
    main(*sys.argv[1:])
