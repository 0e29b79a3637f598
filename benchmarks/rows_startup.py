"""Start-up: what kling_nb adds to Python and to IPython, in fresh processes, taking turns."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks import causes
from benchmarks.table import Row, interleaved, milliseconds

RUNS = 20

# Both sides load what any notebook has loaded, so that it is not in the figures.
BARE = """
import time
from ipykernel.zmqshell import ZMQInteractiveShell
shell = ZMQInteractiveShell.instance()
start = time.perf_counter()
{work}
print(time.perf_counter() - start)
"""
WORKS = {
    "import": "import kling_nb",
    "load_ext": 'shell.run_line_magic("load_ext", "kling_nb")',
    "fal_client": "import fal_client",
    "an empty extension": 'shell.run_line_magic("load_ext", "storemagic")',
}


def rows() -> Iterator[Row]:
    for work in WORKS.values():
        _seconds(work)  # writes the byte code, which a user has after the first time
    runs = interleaved(RUNS, {name: lambda work=work: _seconds(work) for name, work in WORKS.items()})
    took = {name: milliseconds(values) for name, values in runs.items()}
    for name, goal, other in (("import", 0.04, "fal_client"), ("load_ext", 0.06, "an empty extension")):
        yield Row(
            "`import kling_nb`" if name == "import" else "`%load_ext kling_nb`",
            str(took[name]),
            f"{'`import fal_client`' if name == 'import' else 'IPython’s own `storemagic`'} {took[other]}",
            f"{took[name].median / took[other].median:.2f}",
            f"≤ {1000 * goal:.0f} ms above bare IPython",
            took[name].median <= goal,
            causes.START,
        )


def _seconds(work: str) -> float:
    with tempfile.TemporaryDirectory(prefix="kling_nb-bench-") as folder:
        variables = {
            **os.environ,
            "KLING_NB_BACKEND": "local",
            "KLING_NB_HOME": f"{folder}/home",
            "IPYTHONDIR": folder,
        }
        command = [sys.executable, "-c", BARE.format(work=work)]
        done = subprocess.run(
            command, cwd=folder, env=variables, check=True, stdout=subprocess.PIPE, text=True
        )
    return float(done.stdout.split()[-1])
