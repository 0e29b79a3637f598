"""fal's blocking client, a thread for each job: `SyncClient.subscribe` with logs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fal_client

from benchmarks.side_fal_async import point
from benchmarks.sides import ENDPOINT
from benchmarks.usage import Delays


class Side:
    def __init__(self, base: str, key: str) -> None:
        point(base)
        self._client = fal_client.SyncClient(key=f"{key}:secret")

    def run(self, prompts: list[str], at_once: int, delays: Delays) -> None:
        def work(prompt: str) -> None:
            def heard(update: Any) -> None:
                delays.polled(prompt, getattr(update, "logs", None))

            self._client.subscribe(ENDPOINT, {"prompt": prompt}, with_logs=True, on_queue_update=heard)

        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(work, prompts))
