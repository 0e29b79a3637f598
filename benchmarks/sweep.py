"""Measure a sweep of 200 instant jobs, compared to plain httpx with the same requests.

    python benchmarks/sweep.py [runs]

Both sides make the same 200 jobs, eight at a time, on a server that is a process of its own and answers
at once: submit, the stream of states, the result, the file. The peer is what a careful user of httpx
writes: one client, streams by httpx-sse, each file written to disk. They take turns, each run in a new
process that made one job before; ours also writes the ledger, checks each file and writes its sidecar.
The peer records, checks and syncs nothing, so the budget is 1.5 of its wall time.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOBS, CONCURRENCY = 200, 8
ENDPOINT = "fal-ai/kling-video/v1/pro/text-to-video"
RUNS = 5
GOAL = 1.5


def serve() -> None:
    """The server, on a free port. It ends with its input."""
    import os
    import threading

    from tornado import httpserver, ioloop, netutil, web

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from clips import clip_bytes

    clip = clip_bytes(frames=120, fps=24, size=(320, 180))
    (socket,) = netutil.bind_sockets(0, "127.0.0.1")
    base = f"http://127.0.0.1:{socket.getsockname()[1]}"

    class Submit(web.RequestHandler):
        numbers = iter(range(1_000_000))

        def post(self, endpoint: str) -> None:
            name = f"r-{next(self.numbers)}"
            url = f"{base}/{endpoint}/requests/{name}"
            self.write(
                {
                    "request_id": name,
                    "status": "IN_QUEUE",
                    "queue_position": 0,
                    "status_url": f"{url}/status",
                    "response_url": url,
                    "cancel_url": f"{url}/cancel",
                }
            )

    class Stream(web.RequestHandler):
        def get(self, name: str) -> None:
            self.set_header("content-type", "text/event-stream")
            states = ("IN_PROGRESS", "COMPLETED")
            for state in states:
                self.write(f'data: {{"status": "{state}", "request_id": "{name}", "logs": []}}\n\n')

    class Status(web.RequestHandler):
        def get(self, name: str) -> None:
            self.write({"status": "COMPLETED", "request_id": name, "logs": [], "metrics": {}})

    class Result(web.RequestHandler):
        def get(self, name: str) -> None:
            file = {"url": f"{base}/files/{name}.mp4", "content_type": "video/mp4", "file_size": len(clip)}
            self.set_header("x-fal-billable-units", "5")
            self.write({"video": file})

    class File(web.RequestHandler):
        def get(self) -> None:
            self.set_header("content-type", "video/mp4")
            self.write(clip)

    app = web.Application(
        [
            (r"/.*/requests/([^/]+)/status/stream", Stream),
            (r"/.*/requests/([^/]+)/status", Status),
            (r"/.*/requests/([^/]+)", Result),
            (r"/files/.*", File),
            (r"/(.*)", Submit),
        ]
    )
    httpserver.HTTPServer(app).add_socket(socket)
    print(base, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    ioloop.IOLoop.current().start()


async def plain(base: str, folder: Path) -> None:
    """The same requests by plain httpx."""
    import httpx
    from httpx_sse import aconnect_sse

    waiting = [f"a fox, number {number}" for number in range(JOBS)]
    async with httpx.AsyncClient(headers={"authorization": "Key bench:mark"}, trust_env=False) as client:

        async def work() -> None:
            while waiting:
                prompt = waiting.pop()
                reply = await client.post(f"{base}/{ENDPOINT}", json={"prompt": prompt})
                urls = reply.raise_for_status().json()
                async with aconnect_sse(client, "GET", f"{urls['status_url']}/stream?logs=1") as stream:
                    async for event in stream.aiter_sse():
                        if event.json()["status"] == "COMPLETED":
                            break
                (await client.get(f"{urls['status_url']}?logs=1")).raise_for_status()
                result = (await client.get(urls["response_url"])).raise_for_status().json()
                with (folder / f"{urls['request_id']}.mp4").open("wb") as file:
                    async with client.stream("GET", result["video"]["url"]) as download:
                        async for piece in download.aiter_bytes():
                            file.write(piece)

        jobs, waiting = waiting, ["one job before"]
        await work()
        waiting = jobs
        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        print(time.perf_counter() - start)


def ours(base: str, folder: Path) -> None:
    """The same jobs as a sweep."""
    import kling_nb

    session = kling_nb.Session(
        backend="fal",
        credentials="bench:mark",
        queue_url=base,
        rest_url=base,
        api_url=base,
        home=folder / "home",
        media=folder / "media",
    )
    session.generate("one job before")
    start = time.perf_counter()
    study = session.sweep([f"a fox, number {number}" for number in range(JOBS)], concurrency=CONCURRENCY)
    study.wait()
    print(time.perf_counter() - start)
    assert len([video for video in study.videos if video]) == JOBS


def measure(side: str, base: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, __file__, side, base, folder]
        return float(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


def compare(runs: int) -> dict[str, list[float]]:
    """Seconds of each run by side; they take turns."""
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    try:
        base = server.stdout.readline().strip()
        for _ in range(runs):
            for side, seconds in times.items():
                seconds.append(measure(side, base))
    finally:
        server.communicate()
    return times


def main(runs: int) -> None:
    medians = {side: statistics.median(seconds) for side, seconds in compare(runs).items()}
    print(f"{JOBS} jobs done at once, {CONCURRENCY} at a time, medians of {runs} runs\n")
    print("| | s | of plain httpx |\n|---|---|---|")
    for side, name in (("plain", "httpx + httpx-sse"), ("ours", "Session.sweep")):
        print(f"| {name} | {medians[side]:.2f} | {medians[side] / medians['plain']:.2f} |")
    print(f"\ngoal: at most {GOAL}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["plain", base, folder]:
            asyncio.run(plain(base, Path(folder)))
        case ["ours", base, folder]:
            ours(base, Path(folder))
        case arguments:
            main(int(arguments[0]) if arguments else RUNS)
