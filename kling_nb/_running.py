"""The jobs of a session: one `Job` for each ledger row, for as long as it runs or somebody holds it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from kling_nb._job import Job
from kling_nb._process_lock import ProcessLock
from kling_nb.engine import EXIT_SECONDS, Engine
from kling_nb.errors import KlingError
from kling_nb.events import Failed


class RunningJobs:
    """The table of them.

    What runs is held by its task on the engine thread. What has ended is held by whoever looks at it, and
    is forgotten with its last reader: a kernel that makes a thousand clips must not keep them all.

    Threads: any, but for `settle`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = ProcessLock()
        self._by_row: WeakValueDictionary[str, Job] = WeakValueDictionary()
        self._pid = os.getpid()
        self._tasks: dict[Job, asyncio.Task[None]] = {}  # of the engine thread

    @property
    def _jobs(self) -> WeakValueDictionary[str, Job]:
        """By row. Those that a forked process inherits are followed in its parent, and not here."""
        if self._pid != os.getpid():
            self._by_row, self._tasks, self._pid = WeakValueDictionary(), {}, os.getpid()
        return self._by_row

    def __len__(self) -> int:
        return len(self._jobs)

    def of_row(self, job_id: str) -> Job | None:
        """The job of a ledger row, where there is one."""
        return self._jobs.get(job_id)

    def named(self, any_id: str) -> Job | None:
        """The job of a job id or a request id."""
        return next((job for job in list(self._jobs.values()) if any_id in {job.id, job.request_id}), None)

    def settled(self, job_id: str, make: Callable[[], Job]) -> tuple[Job, bool]:
        """The unfinished job of a row, or the one that `make` gives; and whether it is new."""
        with self._lock:
            known = self._jobs.get(job_id)
            if known is not None and not known.done:
                return known, False
            made = self._jobs[job_id] = make()
            return made, True

    def start(self, job: Job, run: Callable[[], Awaitable[None]]) -> None:
        """Take it to its end, on the engine thread."""
        self._engine.spawn(self._pursue(job, run))

    async def _pursue(self, job: Job, run: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[job] = task
        try:
            await run()
        finally:
            del self._tasks[job]

    async def settle(self) -> None:
        """End all tasks, but let fal answer what was sent. Engine thread."""
        running = dict(self._tasks)
        if not running:
            return
        answers = [asyncio.wrap_future(job.answered) for job in running]
        await asyncio.wait(answers, timeout=EXIT_SECONDS)  # a submission must not be cut off
        for job, task in running.items():
            left = KlingError(
                f"The session of job {job.id} was closed.", remedy=f"Get it: get_job({job.id!r})"
            )
            job.apply(Failed(left))
            task.cancel()
        await asyncio.wait(running.values())
