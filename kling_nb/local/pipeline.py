"""What a runner does with one job: check, fetch, render, answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kling_nb.catalog import Endpoint, endpoints
from kling_nb.local.file_store import FileStore, StoredFile
from kling_nb.local.input_media import fetch, named_files
from kling_nb.local.job import Answer, Job, parse_body
from kling_nb.local.order import Order, take_order
from kling_nb.local.pace import Cancelled, Pace
from kling_nb.local.refusal import Refused, check, detail

LOAD_SECONDS = 0.25
"""How long the pipeline pretends to load at speed 1."""

RENDER_SECONDS = 1.2
"""The least that five seconds of video take at speed 1."""


class Pipeline:
    """Runs jobs. Belongs to the server's loop; the rendering itself goes to threads.

    Threads rather than processes: nearly all of the work is in numpy and the encoder, which
    let the loop run. Measured beside a render on 2 cores, a 2 ms timer of the loop was late
    by 3.4 ms at the 99th percentile and 8 ms at most; with a process, by 4.0 and 12.6.

    Args:
        store: Where results go.
        base: The server's address.
        runners: How many renders run at once.
        speed: Divides every wait; `inf` for none.
    """

    def __init__(self, store: FileStore, base: str, *, runners: int, speed: float) -> None:
        self._store, self._base, self._speed = store, base, speed
        self._endpoints = {entry.id: entry for entry in endpoints()}
        self._threads = ThreadPoolExecutor(runners, thread_name_prefix="render")
        self._threads.submit(_warm_up)

    @property
    def apps(self) -> frozenset[str]:
        """Every `owner/alias` that there is."""
        return frozenset(entry.app_path for entry in self._endpoints.values())

    async def run(self, job: Job) -> Answer:
        """The answer of one job; whatever goes wrong becomes an answer too."""
        endpoint = self._endpoints.get(job.endpoint_id)
        if endpoint is None:
            return Answer(404, {"detail": f"Path /{job.path} not found"}, units="0")
        try:
            return await self._work(job, endpoint)
        except Refused as refused:
            job.log(f"Invalid input: {refused}", level="ERROR")
            return refused.answer()
        except Cancelled:
            job.log("Cancelled", level="WARN")
            return Answer(499, {"detail": "Request was cancelled by the client"})
        except Exception as fault:  # noqa: BLE001 - a runner outlives any job
            job.log(f"{type(fault).__name__}: {fault}", level="ERROR")
            return Answer(500, {"detail": "Internal Server Error"})

    def close(self) -> None:
        """Let no new render start; those that run are told to stop by their jobs."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _work(self, job: Job, endpoint: Endpoint) -> Answer:
        values = check(endpoint, _parse(job.body))
        job.log(f"Loading pipeline kling-{endpoint.short_name}")
        await _unless_cancelled(job, LOAD_SECONDS / self._speed)
        files = [
            await fetch(named, self._store, self._base)
            for named in named_files(endpoint.input_schema, values)
        ]
        for file in files:
            job.log(f"Fetched {'.'.join(map(str, file.path))}, {len(file.data) / 1000:,.0f} kB")
        order = take_order(endpoint, values, files)
        return await self._render(job, endpoint, order)

    async def _render(self, job: Job, endpoint: Endpoint, order: Order) -> Answer:
        loop = asyncio.get_running_loop()
        pace = Pace(RENDER_SECONDS / self._speed)

        def log(message: str) -> None:
            loop.call_soon_threadsafe(job.log, message, time.time())

        work = loop.run_in_executor(self._threads, _make, order, log, pace, self._store)
        watch = asyncio.create_task(_cancelled(job))
        try:
            either: list[asyncio.Future[Any]] = [work, watch]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pace.stop.set()
            watch.cancel()
        files, seconds = await work
        return _result(
            endpoint, order, {name: file.to_json(self._base) for name, file in files.items()}, seconds
        )


def _warm_up() -> None:
    """Load numpy, Pillow and PyAV before the first job wants them."""
    import kling_nb.local.preview.render  # noqa: F401, PLC0415 - what the loop's thread must not wait for


def _make(
    order: Order, log: Callable[[str], None], pace: Pace, store: FileStore
) -> tuple[dict[str, Result], float]:
    from kling_nb.local.preview.render import render  # noqa: PLC0415 - see _warm_up

    product = render(order, log, pace)
    files = {
        name: Result(store.add(made.data, made.name, made.content_type), len(made.data), made.size)
        for name, made in product.files.items()
    }
    return files, product.seconds


@dataclass(frozen=True, slots=True)
class Result:
    """A stored file of a result; `shape` in pixels where it has one."""

    file: StoredFile
    length: int
    shape: tuple[int, int] | None

    def to_json(self, base: str) -> dict[str, Any]:
        """Fal's File object; images carry their size."""
        entry = {
            "url": self.file.url(base),
            "content_type": self.file.content_type,
            "file_name": self.file.name,
            "file_size": self.length,
        }
        if self.shape and self.file.content_type.startswith("image/"):
            entry |= {"width": self.shape[0], "height": self.shape[1]}
        return entry


def _result(endpoint: Endpoint, order: Order, files: Mapping[str, Any], seconds: float) -> Answer:
    """200 with everything that the endpoint's output schema asks for; seconds of video are the units."""
    body: dict[str, Any] = {}
    for name, part in endpoint.output_schema.get("properties", {}).items():
        if name in files:
            body[name] = files[name]
        elif name == "duration":
            body[name] = round(seconds, 3)
        elif part.get("type") == "string":
            body[name] = "local-" + hashlib.sha256(order.salt.encode()).hexdigest()[:16]
    return Answer(200, body, units=f"{round(seconds, 2):g}" if "video" in files else "1")


async def _cancelled(job: Job) -> None:
    while not job.cancelled:
        await job.changed.wait()


async def _unless_cancelled(job: Job, seconds: float) -> None:
    """Wait so long, or until the job is called off."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _cancelled(job)
            raise Cancelled


def _parse(body: bytes) -> Any:
    try:
        return parse_body(body)
    except ValueError as fault:
        raise Refused([detail((), f"JSON decode error: {fault}", "json_invalid", None)]) from fault
