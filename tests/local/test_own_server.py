"""The server that a process starts for its own previews."""

import os
import time
from pathlib import Path

import pytest

from kling_nb import Session
from kling_nb.events import State

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.skipif(CORES < 2, reason="one core draws one preview at once")
def test_previews_are_drawn_on_all_cores(home: Path, tmp_path: Path) -> None:
    session = Session(backend="local", media=str(tmp_path), local_speed=0.5)
    jobs = [session.submit(f"a fox {number}", duration="10") for number in range(2)]
    try:
        while any(job.state.state is not State.IN_PROGRESS for job in jobs):
            assert not any(job.done for job in jobs)
            time.sleep(0.01)
    finally:
        for job in jobs:
            job.cancel()
        session.close()
