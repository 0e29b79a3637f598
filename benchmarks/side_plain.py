"""The limit: plain httpx, one default client, that sends only what a job needs, and keeps its video.

Submit, stream (or, for a job that is done at once, one status), result, download. Nothing is
recorded, checked or made durable, except where `durable` asks for it: then the file is hashed while it
comes and synced to the disk, as a careful user would do it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
from pathlib import Path

import httpx

from benchmarks.sides import ENDPOINT, bounded
from benchmarks.usage import Delays


class Side:
    def __init__(self, base: str, key: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kling_nb-bench-")
        self._base = base
        self._client = httpx.AsyncClient(headers={"Authorization": f"Key {key}:secret"}, trust_env=False)
        self._loop = asyncio.new_event_loop()
        self._kept = 0

    def run(self, prompts: list[str], at_once: int, delays: Delays) -> None:
        async def work(prompt: str) -> None:
            reply = await self._json("POST", f"{self._base}/{ENDPOINT}", {"prompt": prompt})
            status = reply["status_url"]
            if "seconds" in prompt:
                await self._follow(f"{status}/stream?logs=1", delays)
            else:
                done = await self._json("GET", f"{status}?logs=1")
                assert done["status"] == "COMPLETED", done
            result = await self._json("GET", reply["response_url"])
            if "nofile" not in prompt:
                await self._download(result["video"]["url"], durable="file=" in prompt)

        self._loop.run_until_complete(bounded(prompts, at_once, work))

    async def _json(self, method: str, url: str, body: object = None) -> dict:
        answer = await self._client.request(method, url, json=body)
        answer.raise_for_status()
        return answer.json()

    async def _follow(self, url: str, delays: Delays) -> None:
        async with self._client.stream("GET", url, timeout=60) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    for entry in json.loads(line[6:])["logs"]:
                        delays.line(entry["message"])

    async def _download(self, url: str, *, durable: bool) -> None:
        self._kept += 1
        digest = hashlib.sha256()
        with (Path(self._folder.name) / f"{self._kept}.mp4").open("wb") as file:
            async with self._client.stream("GET", url) as answer:
                answer.raise_for_status()
                async for chunk in answer.aiter_bytes():
                    file.write(chunk)
                    if durable:
                        digest.update(chunk)
            if durable:
                file.flush()
                os.fsync(file.fileno())
