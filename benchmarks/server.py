"""A scripted fal on loopback that costs next to nothing, as a process of its own.

    python -m benchmarks.server

It speaks just enough of fal's queue, storage and CDN for the clients to do real work, and counts what
it hands out by key. What a job does stands in its prompt, as words `name=value`:

    seconds   how long it runs; 0 is done at once
    lines     how many log lines it prints, evenly over that time
    burst     how many of them come at once
    file      bytes of its result

Each line begins with the time of its emission (`time.monotonic`, which all processes of a machine
share). A status that is asked for holds the lines of the last `WINDOW` seconds: fal's is a moving
window of unknown length (FAL-PROTOCOL §4.1). The server ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter, defaultdict
from itertools import count
from pathlib import Path

from benchmarks.http_wire import Exchange, Request
from benchmarks.job_script import JobScript

WINDOW = float(os.environ.get("KLING_NB_BENCH_WINDOW", "5"))
SAMPLE = Path(os.environ.get("KLING_NB_BENCH_SAMPLE", "sample.mp4"))


class Fal:
    """All jobs and all counts."""

    def __init__(self) -> None:
        self.base = ""
        self._sample = SAMPLE.read_bytes() if SAMPLE.exists() else b""
        self._numbers = count(1)
        self._jobs: dict[str, JobScript] = {}
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._submitted: list[float] = []

    async def answer(self, request: Request, exchange: Exchange) -> None:
        """One request."""
        path, _, _ = request.target.partition("?")
        parts = path.strip("/").split("/")
        if parts[0] == "bench":
            return self._control(parts[1], exchange)
        job = self._jobs.get(parts[parts.index("requests") + 1]) if "requests" in parts else None
        if parts[0] == "files":
            job = self._jobs.get(parts[1].partition(".")[0])
        tally = self._counts[job.key if job else request.key]
        before = exchange.sent
        try:
            kind = await self._serve(request, parts, job, exchange, tally)
        finally:
            tally["bytes"] += exchange.sent - before
        tally["requests"] += 1
        tally[kind] += 1
        return None

    async def _serve(
        self, request: Request, parts: list[str], job: JobScript | None, exchange: Exchange, tally: Counter
    ) -> str:
        if parts[0] == "files" and job is not None:
            await exchange.file(self._sample, job.file)
            return "file"
        if request.method == "PUT" or parts[0] in {"storage", "upload"}:
            exchange.json(self._place())
            return "upload"
        if request.method == "POST":
            exchange.json(self._submit(request, parts))
            return "submit"
        if job is None:
            exchange.json({"detail": "Request not found"}, 404)
            return "unknown"
        if parts[-1] == "stream":
            await self._stream(job, exchange, tally)
            return "stream"
        if parts[-1] == "status":
            since = job.clock() - WINDOW
            exchange.json(self._status(job, job.lines(since)), 200 if job.over else 202)
            return "status"
        url = f"{self.base}/files/{job.id}.mp4"
        exchange.json({"video": {"url": url, "content_type": "video/mp4", "file_name": "output.mp4"}})
        return "result"

    def _submit(self, request: Request, parts: list[str]) -> dict[str, object]:
        now = time.monotonic()
        self._submitted.append(now)
        job_id = f"bench-{next(self._numbers):012d}-{'0' * 18}"
        prompt = str(json.loads(request.body).get("prompt", ""))
        job = self._jobs[job_id] = JobScript.parse(job_id, request.key, prompt)
        job.url = f"{self.base}/{'/'.join(parts[:2])}/requests/{job_id}"
        return {**self._status(job, None), "status": "IN_QUEUE", "queue_position": 0}

    @staticmethod
    def _status(job: JobScript, lines: list[dict[str, object]] | None) -> dict[str, object]:
        over = job.over
        return {
            "status": "COMPLETED" if over else "IN_PROGRESS",
            "request_id": job.id,
            "response_url": job.url,
            "status_url": f"{job.url}/status",
            "cancel_url": f"{job.url}/cancel",
            "logs": lines,
            "metrics": {"inference_time": job.seconds} if over else {},
        }

    async def _stream(self, job: JobScript, exchange: Exchange, tally: Counter) -> None:
        """Each event holds only new lines, the last one is COMPLETED (FAL-PROTOCOL §5)."""
        exchange.begin_stream()
        sent = -1.0
        while True:
            now = job.clock()
            lines = job.lines(sent, until=now)
            sent = now
            size = exchange.event(self._status(job, lines))
            if lines:
                tally["line bytes"] += size
            if job.over or exchange.closed:
                return exchange.close()
            await asyncio.sleep(job.next_after(now) - job.clock())

    def _place(self) -> dict[str, object]:
        place = f"{self.base}/upload/x"
        return {"upload_url": f"{place}?signature=1", "file_url": f"{self.base}/x", "etag": '"1"'}

    def _control(self, word: str, exchange: Exchange) -> None:
        if word == "counts":
            exchange.json({key: dict(tally) for key, tally in self._counts.items()})
        elif word == "submitted":
            exchange.json({"times": self._submitted})
        else:
            self._counts.clear()
            self._submitted.clear()
            self._jobs = {name: job for name, job in self._jobs.items() if not job.over}
            exchange.json({})


async def main() -> None:
    fal = Fal()
    server = await asyncio.get_running_loop().create_server(
        lambda: Exchange(fal.answer), "127.0.0.1", 0, backlog=4096
    )
    fal.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(fal.base, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
