"""fal's client for whole jobs: submit, wait, and the video to the disk by httpx, because it has no download.

It records nothing, checks nothing and syncs nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import fal_client
import httpx

from benchmarks.side_fal_async import point
from benchmarks.sides import ENDPOINT, bounded
from benchmarks.usage import Delays


class Side:
    def __init__(self, base: str, key: str) -> None:
        point(base)
        self._folder = tempfile.TemporaryDirectory(prefix="kling_nb-bench-")
        self._client = fal_client.AsyncClient(key=f"{key}:secret")
        self._files = httpx.AsyncClient(trust_env=False)
        self._loop = asyncio.new_event_loop()
        self._kept = 0

    def run(self, prompts: list[str], at_once: int, delays: Delays) -> None:
        async def work(prompt: str) -> None:
            result = await self._client.subscribe(ENDPOINT, {"prompt": prompt})
            self._kept += 1
            with (Path(self._folder.name) / f"{self._kept}.mp4").open("wb") as file:
                async with self._files.stream("GET", result["video"]["url"]) as answer:
                    answer.raise_for_status()
                    async for chunk in answer.aiter_bytes():
                        file.write(chunk)

        self._loop.run_until_complete(bounded(prompts, at_once, work))
