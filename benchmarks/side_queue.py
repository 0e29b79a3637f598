"""`Session.client`: fal's queue call by call. Submissions and results are in the ledger; no files."""

from __future__ import annotations

import asyncio
import tempfile

from benchmarks.side_kling import session
from benchmarks.sides import ENDPOINT, bounded
from benchmarks.usage import Delays


class Side:
    def __init__(self, base: str, key: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kling_nb-bench-")
        self._client = session(base, key, self._folder.name).client
        self._loop = asyncio.new_event_loop()

    def run(self, prompts: list[str], at_once: int, delays: Delays) -> None:
        async def work(prompt: str) -> None:
            ref = await self._client.submit(ENDPOINT, {"prompt": prompt})
            await self._client.result(ENDPOINT, ref.request_id)

        self._loop.run_until_complete(bounded(prompts, at_once, work))
