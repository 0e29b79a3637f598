"""How many files of the package a cell passes from Enter to its finished card. No clock is read.

A reader who follows one job has to open them all. `pytest -s` prints the list.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_environment import pointed_at
from scripted import ScriptedFal

MOST = 45
"""Files on the thread of the cell. It depends on the machine which other threads begin meanwhile."""

# The first cell loads modules and opens connections. The second one only does its work.
PROGRAM = """
import json, sys
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
import kling_nb

root = Path(kling_nb.__file__).parent
passed = set()

def note(frame, event, _):
    path = Path(frame.f_code.co_filename)
    if event == "call" and path.is_relative_to(root):
        passed.add(path.relative_to(root).as_posix())

shell = InteractiveShell.instance()
shell.run_cell("%load_ext kling_nb").raise_error()
shell.run_cell("%%kling\\na dog").raise_error()
sys.setprofile(note)
shell.run_cell("%%kling cat\\na cat on a roof").raise_error()
sys.setprofile(None)
print(json.dumps([shell.user_ns["cat"].path.name, *sorted(passed)]))
"""


@pytest.mark.program
def test_a_cell_passes_few_files_on_its_way_to_the_card(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    with ScriptedFal() as fal:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=folder,
            env={**os.environ, **pointed_at(fal, tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    video, *passed = json.loads(done.stdout.splitlines()[-1])
    assert video.startswith("a-cat-on-a-roof-")
    assert "notebook/card/html.py" in passed
    print(f"{len(passed)} files:", *passed, sep="\n  ")
    assert len(passed) <= MOST
