"""How much memory jobs in flight take: all are submitted, and the process looks at itself."""

from __future__ import annotations

import gc
import json
import sys
from threading import Event

from benchmarks import side_kling
from benchmarks.usage import resident


class Side(side_kling.Side):
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
