"""The same jobs by each client, as a process of its own that prints what they cost as JSON.

    python -m benchmarks.sides NAME BASE '{"prompt": "lines=10 seconds=5", "jobs": 100, "at_once": 100}'

Every client has done one job before anything is measured, so that imports, certificates and a first
connection are not in the figures.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import Any, Protocol

from benchmarks.usage import Delays, Usage

NAMES = ("kling", "fal_async", "fal_sync", "plain")
ENDPOINT = "fal-ai/kling-video/v2.5-turbo/pro/text-to-video"


class Side(Protocol):
    """A client at work."""

    def __init__(self, base: str, key: str) -> None: ...

    def run(self, prompts: list[str], at_once: int, delays: Delays) -> None:
        """All these jobs, so many at a time, to their results."""


def main(name: str, base: str, work: dict[str, Any]) -> None:
    side: Side = importlib.import_module(f"benchmarks.side_{name}").Side(base, work.get("key", name))
    side.run(["warm up"], 1, Delays())
    prompts = [f"{work['prompt']} number-{number}" for number in range(work["jobs"])]
    delays = Delays()
    with Usage() as usage:
        side.run(prompts, work["at_once"], delays)
    print(json.dumps(usage.figures() | delays.figures()), flush=True)


async def bounded(prompts: list[str], at_once: int, work: Any) -> None:
    """`await work(prompt)` for each, so many at a time."""
    places = asyncio.Semaphore(at_once)

    async def one(prompt: str) -> None:
        async with places:
            await work(prompt)

    await asyncio.gather(*(one(prompt) for prompt in prompts))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
