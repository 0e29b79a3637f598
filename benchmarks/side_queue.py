"""`Session.client`: fal's queue call by call. Submissions and results are in the ledger; no files."""

from __future__ import annotations

import asyncio

from benchmarks import side_kling
from benchmarks.sides import ENDPOINT, bounded
from benchmarks.usage import Delays


class Side(side_kling.Side):
    def __init__(self, base: str, key: str) -> None:
        super().__init__(base, key)
        self._loop = asyncio.new_event_loop()

    def run(self, prompts: list[str], at_once: int, delays: Delays) -> None:
        async def work(prompt: str) -> None:
            ref = await self._session.client.submit(ENDPOINT, {"prompt": prompt})
            await self._session.client.result(ENDPOINT, ref.request_id)

        self._loop.run_until_complete(bounded(prompts, at_once, work))
