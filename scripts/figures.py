"""Measure what a user waits for and print the medians as a Markdown table.

Start-up is timed inside fresh processes, so that it is what kling_nb adds and not what
Python or IPython cost. Jobs run on the embedded engine; nothing leaves this machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

RUNS = 20
JOBS = 5

IMPORT = """
import time
start = time.perf_counter()
import kling_nb
print(time.perf_counter() - start)
"""

LOAD = """
import time
from ipykernel.zmqshell import ZMQInteractiveShell
shell = ZMQInteractiveShell.instance()
start = time.perf_counter()
shell.run_line_magic("load_ext", "kling_nb")
print(time.perf_counter() - start)
"""

# httpx tells its logger of every request, so nothing has to be put in between to count them.
JOB = """
import json, logging, time
import kling_nb

class Requests(logging.Handler):
    lines = []
    def emit(self, record):
        self.lines.append(" ".join(record.getMessage().split()[2:3]))

logging.getLogger("httpx").addHandler(Requests())
logging.getLogger("httpx").setLevel(logging.INFO)
kling_nb.generate("A first job, so that the engine runs")
Requests.lines.clear()
start = time.perf_counter()
job = kling_nb.submit("A red fox crosses a snowy forest clearing at dawn", duration="5")
video = job.wait()
print(json.dumps({
    "job": time.perf_counter() - start,
    "render": job.state.inference_time,
    "requests": Requests.lines,
    "duration": video.duration,
}))
"""


def output_of(program: str) -> str:
    """What a program prints in a fresh process, with an empty working folder and ledger."""
    with tempfile.TemporaryDirectory(prefix="kling_nb-figures-") as folder:
        variables = {
            **os.environ,
            "KLING_NB_BACKEND": "local",
            "KLING_NB_HOME": os.path.join(folder, "home"),  # noqa: PTH118 - a string for the environment
            "KLING_NB_LOCAL_SPEED": "inf",
            "IPYTHONDIR": folder,
        }
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, cwd=folder, env=variables, check=True, stdout=subprocess.PIPE, text=True
        )
    return done.stdout.strip().splitlines()[-1]


def milliseconds(program: str) -> str:
    """Median over `RUNS` of the seconds that `program` prints, with the range."""
    output_of(program)  # writes the byte code, which a user has after the first time
    times = [1000 * float(output_of(program)) for _ in range(RUNS)]
    return f"{statistics.median(times):.0f} ms ({min(times):.0f} to {max(times):.0f})"


def seconds(jobs: list[dict[str, Any]], key: str) -> str:
    """Median of one time of the jobs, with the range."""
    times = [float(job[key]) for job in jobs]
    return f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"


def rows() -> list[tuple[str, str, str]]:
    """Name, bound and measured value of each figure."""
    jobs = [json.loads(output_of(JOB)) for _ in range(JOBS)]
    requests = jobs[-1]["requests"]
    return [
        ("`import kling_nb`", "< 40 ms", milliseconds(IMPORT)),
        ("`%load_ext kling_nb`, above IPython", "< 60 ms", milliseconds(LOAD)),
        (f"Preview of {jobs[-1]['duration']:.0f} s, rendered", "< 1.5 s", seconds(jobs, "render")),
        ("The same from submit to file", "", seconds(jobs, "job")),
        ("HTTP requests of that job", "5", f"{len(requests)} ({', '.join(requests)})"),
    ]


def main() -> None:
    """Print the table."""
    print(f"Medians of {RUNS} processes or {JOBS} jobs, {os.cpu_count()} cores. Benchmarks come later.\n")
    print("| figure | aim | measured |\n|---|---|---|")
    for row in rows():
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
