"""fal's client as its users call it for many jobs: `AsyncClient.subscribe` with logs."""

from __future__ import annotations

import asyncio
from typing import Any

import fal_client
from fal_client import client as module

from benchmarks.sides import ENDPOINT, bounded
from benchmarks.usage import Delays


def point(base: str) -> None:
    """It has no setting for a plain http host; these constants are read at each call."""
    module.QUEUE_URL_FORMAT = f"{base}/"
    module.REST_URL = base
    module.CDN_URL = base


class Side:
    def __init__(self, base: str, key: str) -> None:
        point(base)
        self._client = fal_client.AsyncClient(key=f"{key}:secret")
        self._loop = asyncio.new_event_loop()

    def run(self, prompts: list[str], at_once: int, delays: Delays) -> None:
        async def work(prompt: str) -> None:
            def heard(update: Any) -> None:
                delays.polled(prompt, getattr(update, "logs", None))

            await self._client.subscribe(ENDPOINT, {"prompt": prompt}, with_logs=True, on_queue_update=heard)

        self._loop.run_until_complete(bounded(prompts, at_once, work))
