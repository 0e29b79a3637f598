"""`kling_nb` as a script uses it: whole jobs, with ledger, download, sidecar and checks."""

from __future__ import annotations

import tempfile
from threading import Semaphore
from typing import Any

import kling_nb
from benchmarks.sides import ENDPOINT
from benchmarks.usage import Delays
from kling_nb.events import Logged


class Side:
    def __init__(self, base: str, key: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kling_nb-bench-")
        self._session = kling_nb.Session(
            backend="fal",
            credentials=f"{key}:secret",
            endpoint=ENDPOINT,
            queue_url=base,
            rest_url=base,
            api_url=base,
            home=f"{self._folder.name}/home",
            media=f"{self._folder.name}/media",
        )

    def run(self, prompts: list[str], at_once: int, delays: Delays) -> None:
        places = Semaphore(at_once)

        def heard(event: Any, state: Any) -> None:
            if isinstance(event, Logged):
                delays.line(event.message)
            if state.state.finished:
                places.release()

        jobs = []
        for prompt in prompts:
            places.acquire()
            jobs.append(self._session.submit(prompt, on_event=heard))
        for job in jobs:
            job.wait()
