"""`Pipeline` runs one job: check the input, fetch its files, render, answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kling_nb._lazy import lazy
from kling_nb.catalog import Endpoint
from kling_nb.catalog.shipped import endpoints
from kling_nb.local.files import FileStore, StoredFile
from kling_nb.local.job import Answer, Job, parse_body
from kling_nb.local.order import (
    InvalidInput,
    Order,
    OrderCancelled,
    Pace,
    check_input,
    check_limits,
    detail,
    fetch,
    make_order,
)
from kling_nb.request.limits import places

LOAD_SECONDS = 0.25
"""Pretended loading time of the pipeline at speed 1."""

RENDER_SECONDS = 1.2
"""Minimum time for five seconds of video at speed 1."""

if TYPE_CHECKING:
    from kling_nb.local.preview import render as drawing
else:
    # Boundary 1 of `_lazy`: the server replies before these packages are loaded.
    drawing = lazy("kling_nb.local.preview.render")


class Pipeline:
    """Runs jobs. Only the server's loop may use it; worker threads render.

    Processes would not be better, because numpy and the encoder do nearly all of the work and release the
    GIL. During a render on 2 cores a 2 ms timer of the loop was late by 3.4 ms at the 99th percentile and by
    8 ms at most. With a process it was late by 4.0 and 12.6 ms.

    Args:
        store: Store for the results.
        base: The server's URL.
        runners: Number of renders at the same time.
        speed: Divides every wait; `inf` for no waiting.
    """

    def __init__(self, store: FileStore, base: str, *, runners: int, speed: float) -> None:
        self._store, self._base, self._speed = store, base, speed
        self._endpoints = {entry.id: entry for entry in endpoints() if entry.has_schema}
        self._threads = ThreadPoolExecutor(runners, thread_name_prefix="render")
        self._threads.submit(lambda: drawing.render)  # it imports numpy, Pillow and PyAV, not the loop

    @property
    def apps(self) -> frozenset[str]:
        """Every `owner/alias` that exists."""
        return frozenset(entry.app_path for entry in self._endpoints.values())

    async def run(self, job: Job) -> Answer:
        """Run one job and return its answer. Every error becomes an answer, too."""
        endpoint = self._endpoints.get(job.endpoint_id)
        if endpoint is None:
            return Answer(404, {"detail": f"Path /{job.path} not found"}, units="0")
        try:
            return await self._work(job, endpoint)
        except InvalidInput as error:
            job.log(f"Invalid input: {error}", level="ERROR")
            return error.answer()
        except OrderCancelled:
            job.log("Cancelled", level="WARN")
            return Answer(499, {"detail": "Request was cancelled by the client"})
        except Exception as fault:  # noqa: BLE001 -- no error of a job may end the runner
            job.log(f"{type(fault).__name__}: {fault}", level="ERROR")
            return Answer(500, {"detail": "Internal Server Error"})

    def close(self) -> None:
        """Wait for running renders, which stop with their jobs, and drop the others."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _work(self, job: Job, endpoint: Endpoint) -> Answer:
        try:
            given = parse_body(job.body)
        except ValueError as fault:
            text = f"JSON decode error: {fault}"
            raise InvalidInput([detail((), text, "json_invalid", None)]) from fault
        values = check_input(endpoint, given)
        job.log(f"Loading pipeline kling-{endpoint.short_name}")
        await _sleep(job, LOAD_SECONDS / self._speed)
        files = [
            await fetch(place, self._store, self._base) for place in places(endpoint.input_schema, values)
        ]
        for file in files:
            await asyncio.to_thread(check_limits, file)
            job.log(f"Fetched {'.'.join(map(str, file.path))}, {len(file.data) / 1000:,.0f} kB")
        order = make_order(endpoint, values, files)
        return await self._render(job, endpoint, order)

    async def _render(self, job: Job, endpoint: Endpoint, order: Order) -> Answer:
        loop = asyncio.get_running_loop()
        pace = Pace(RENDER_SECONDS / self._speed)

        def log(message: str) -> None:
            loop.call_soon_threadsafe(job.log, message, time.time())

        work = loop.run_in_executor(self._threads, _render_files, order, log, pace, self._store)
        watch = asyncio.create_task(_wait_for_cancel(job))
        try:
            either: list[asyncio.Future[Any]] = [work, watch]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pace.stop.set()
            watch.cancel()
        files, seconds = await work
        self._store.acl |= {file.id: job.acl for file, _ in files.values() if job.acl != "allow"}
        named = {name: _file_object(file.url(self._base), output) for name, (file, output) in files.items()}
        public = {
            file.url(self._base): {
                "path": str(file.path),
                "sha256": hashlib.sha256(output.data).hexdigest(),
                "measures": output.measures,
            }
            for file, output in files.values()
            if job.acl == "allow"
        }
        return replace(_success(endpoint, order, named, seconds), files=public)


def _render_files(
    order: Order, log: Callable[[str], None], pace: Pace, store: FileStore
) -> tuple[dict[str, tuple[StoredFile, drawing.OutputFile]], float]:
    outputs, seconds = drawing.render(order, log, pace)
    files = {
        name: (store.add(output.data, output.name, output.content_type), output)
        for name, output in outputs.items()
    }
    return files, seconds


def _file_object(url: str, output: drawing.OutputFile) -> dict[str, Any]:
    """Return fal's File object. Images have their size in it."""
    entry = {
        "url": url,
        "content_type": output.content_type,
        "file_name": output.name,
        "file_size": len(output.data),
    }
    if output.size and output.content_type.startswith("image/"):
        entry |= {"width": output.size[0], "height": output.size[1]}
    return entry


def _success(endpoint: Endpoint, order: Order, files: Mapping[str, Any], seconds: float) -> Answer:
    """Return a 200 with all properties of the output schema. The units are seconds of video."""
    body: dict[str, Any] = {}
    for name, part in endpoint.output_schema.get("properties", {}).items():
        if name in files:
            body[name] = [files[name]] * order.count if part.get("type") == "array" else files[name]
        elif name == "duration":
            body[name] = round(seconds, 3)
        elif part.get("type") == "string":
            body[name] = "local-" + hashlib.sha256(order.salt.encode()).hexdigest()[:16]
    return Answer(200, body, units=f"{round(seconds, 2):g}" if "video" in files else "1")


async def _wait_for_cancel(job: Job) -> None:
    while not job.cancelled:
        await job.changed.wait()


async def _sleep(job: Job, seconds: float) -> None:
    """Sleep, and raise `OrderCancelled` if the job is cancelled meanwhile."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _wait_for_cancel(job)
            raise OrderCancelled
