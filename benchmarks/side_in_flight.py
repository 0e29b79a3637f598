"""How much memory jobs in flight take: all are submitted, and the process looks at itself."""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from threading import Event

from benchmarks.side_kling import session
from benchmarks.usage import resident


class Side:
    def __init__(self, base: str, key: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kling_nb-bench-")
        self._session = session(base, key, self._folder.name)

    def run(self, prompts: list[str], at_once: int, delays: object) -> None:
        if at_once == 1:
            self._session.generate(prompts[0])
            return
        gc.collect()
        before = resident()
        jobs = [self._session.submit(prompt) for prompt in prompts]
        for job in jobs:
            job._answered.result()
        Event().wait(3)  # streams are opened, first lines have come
        gc.collect()
        running = sum(not job.done for job in jobs)
        each = (resident() - before) / len(jobs)
        print(json.dumps({"each": each, "running": running}))
        sys.stdout.flush()
        sys.exit(0 if running == len(jobs) else "some jobs were over too soon")
