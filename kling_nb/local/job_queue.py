"""The queue: who waits, in which order, and the runners that take jobs from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

from kling_nb.local.job import Answer, Job, flat

QUEUE_SECONDS = 1.5
"""How long a job stays queued at speed 1, even when a runner is free."""

Run = Callable[[Job], Awaitable[Answer]]

_CANCELLED = flat(499, "Request was cancelled by the client", "client_cancelled")
_TIMED_OUT = flat(
    504,
    "Request did not start processing before its start timeout",
    "request_timeout",
    X_Fal_Request_Timeout_Type="user",
)


class JobQueue:
    """Keeps every job of the server's life. Belongs to the server's loop.

    Args:
        run: Works on one job and gives its answer.
        runners: How many jobs run at once.
        speed: Divides the waiting time; `inf` for none.
    """

    def __init__(self, run: Run, *, runners: int, speed: float) -> None:
        self._run = run
        self._delay = QUEUE_SECONDS / speed
        self._jobs: dict[str, Job] = {}
        self._waiting: list[tuple[bool, int, float, Job]] = []
        self._numbers = count()
        self._wake = asyncio.Event()
        self._tasks = [asyncio.create_task(self._runner()) for _ in range(runners)]

    def submit(self, job: Job, start_timeout: float | None) -> None:
        """Put a job at the end of its priority; it fails if not started `start_timeout` seconds later."""
        now = asyncio.get_running_loop().time()
        self._jobs[job.id] = job
        self._waiting.append((job.low, next(self._numbers), now + self._delay, job))
        self._waiting.sort(key=lambda entry: entry[:2])
        if start_timeout is not None:
            asyncio.get_running_loop().call_later(start_timeout, self._expire, job)
        self._wake.set()
        self._moved()

    def find(self, app: str, request_id: str) -> Job | None:
        """The job of that id, if it belongs to that app."""
        job = self._jobs.get(request_id)
        return job if job is not None and job.app == app else None

    def newest_first(self) -> list[Job]:
        """All jobs."""
        return list(reversed(self._jobs.values()))

    def position(self, job: Job) -> int:
        """How many queued jobs are ahead."""
        return next((at for at, entry in enumerate(self._waiting) if entry[3] is job), 0)

    def waiting(self, endpoint_id: str) -> int:
        """How many jobs of an endpoint are queued."""
        return sum(entry[3].endpoint_id == endpoint_id for entry in self._waiting)

    def cancel(self, job: Job) -> tuple[int, str]:
        """Ask for a job's end; gives HTTP status and word of the reply (FAL-PROTOCOL §7).

        fal does not document what a cancelled request shows afterwards. Here it is COMPLETED
        with the platform's `client_cancelled`, at once when queued, soon when running.
        """
        if job.state == "COMPLETED":
            return 400, "ALREADY_COMPLETED"
        job.cancelled = True
        if job.state == "IN_PROGRESS":
            job.notify()
            return 202, "CANCELLATION_REQUESTED"
        self._drop(job, _CANCELLED)
        return 200, "OK"

    async def close(self) -> None:
        """Stop the runners; jobs that run are told to stop."""
        for job in self._jobs.values():
            job.cancelled = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _expire(self, job: Job) -> None:
        if job.state == "IN_QUEUE":
            self._drop(job, _TIMED_OUT)

    def _drop(self, job: Job, answer: Answer) -> None:
        self._waiting = [entry for entry in self._waiting if entry[3] is not job]
        job.finish(answer)
        self._moved()

    def _moved(self) -> None:
        """Positions may have changed: tell everyone in the queue."""
        for *_, job in self._waiting:
            job.notify()

    async def _runner(self) -> None:
        while True:
            job = await self._next()
            job.start()
            self._moved()
            answer = await self._run(job)
            job.finish(_CANCELLED if job.cancelled else answer)

    async def _next(self) -> Job:
        """The first queued job whose time has come, taken out of the queue."""
        while True:
            now = asyncio.get_running_loop().time()
            ready = next((entry for entry in self._waiting if entry[2] <= now), None)
            if ready is not None:
                self._waiting.remove(ready)
                return ready[3]
            self._wake.clear()
            soonest = min((entry[2] - now for entry in self._waiting), default=None)
            try:
                async with asyncio.timeout(soonest):
                    await self._wake.wait()
            except TimeoutError:
                continue
