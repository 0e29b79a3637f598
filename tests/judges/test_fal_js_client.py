"""fal's JavaScript client, as published, drives the local preview server: see the `.mjs` file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from local.running_server import RunningServer

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.timeout(180)
def test_the_javascript_client_agrees(server: RunningServer) -> None:
    # Through the project's own Node (scripts/node.py), so that it needs none on PATH.
    done = subprocess.run(
        [sys.executable, "scripts/node.py", "run", "--silent", "judge"],
        cwd=ROOT,
        env={**os.environ, "JUDGED_URL": server.url, "JUDGED_KEY": server.key},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{done.stdout}\n{done.stderr}", pytrace=False)
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout
