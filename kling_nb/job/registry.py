"""The jobs of a session: running ones, and ones that ended earlier.

`RunningJobs` has one `Job` for each ledger row while the job runs or the user refers to it. `PastJobs` makes
the jobs of takes on disk and of rows that have ended.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from weakref import WeakValueDictionary

from kling_nb.background import EXIT_SECONDS, BackgroundThread, ProcessLock
from kling_nb.errors import KlingError
from kling_nb.events import Failed, JobState, Logged, State
from kling_nb.job.job import Job
from kling_nb.job.plan import Outcome
from kling_nb.job.record import result_gone_error
from kling_nb.ledger import Entry
from kling_nb.media import MediaFolder, Take
from kling_nb.request.request import VideoRequest


class RunningJobs:
    """The jobs of a session by their rows.

    The task of a running job keeps it alive. An ended job is dropped when no caller refers to it any more,
    because a kernel that makes a thousand clips must not keep them all.

    Threads: any, except for `close`.

    Args:
        background: Runs the jobs.
    """

    def __init__(self, background: BackgroundThread) -> None:
        self._background = background
        self._lock = ProcessLock()
        self._by_row: WeakValueDictionary[str, Job] = WeakValueDictionary()
        self._pid = os.getpid()
        self._tasks: dict[Job, asyncio.Task[None]] = {}  # used on the background thread only

    @property
    def _jobs(self) -> WeakValueDictionary[str, Job]:
        """Jobs by row. A forked process drops the inherited jobs, because its parent follows them."""
        if self._pid != os.getpid():
            self._by_row, self._tasks, self._pid = WeakValueDictionary(), {}, os.getpid()
        return self._by_row

    def __len__(self) -> int:
        return len(self._jobs)

    def of_row(self, job_id: str) -> Job | None:
        """Return the job of a ledger row, if there is one."""
        return self._jobs.get(job_id)

    def get_by_name(self, any_id: str) -> Job | None:
        """Return the job of a job id or a request id, if there is one."""
        return next((job for job in list(self._jobs.values()) if any_id in {job.id, job.request_id}), None)

    def get_or_add(self, job_id: str, make: Callable[[], Job]) -> tuple[Job, bool]:
        """Return the unfinished job of a row, or a new one from `make`; and True if it is new."""
        with self._lock:
            known = self._jobs.get(job_id)
            if known is not None and not known.done:
                return known, False
            job = self._jobs[job_id] = make()
            return job, True

    def start(self, job: Job, run: Callable[[], Awaitable[None]]) -> None:
        """Run a job on the background thread."""
        self._background.spawn(self._run(job, run))

    async def _run(self, job: Job, run: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[job] = task
        try:
            await run()
        finally:
            del self._tasks[job]

    async def close(self) -> None:
        """End all tasks, after fal has answered the submissions under way. Background thread."""
        running = dict(self._tasks)
        if not running:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(EXIT_SECONDS):  # a submission must not be cut off
                while busy := [job._may_end for job in running if not job._may_end.done()]:
                    await asyncio.wait([asyncio.wrap_future(one) for one in busy])
        for job, task in running.items():
            closed = KlingError(
                f"The session of job {job.id} was closed.",
                remedy=f"Resume it: kling_nb.get_job({job.id!r})",
            )
            job._apply(Failed(closed))
            task.cancel()
        await asyncio.wait(running.values())


class PastJobs:
    """Makes the jobs of takes on disk and of ledger rows.

    Args:
        background: The thread of the jobs.
        maker: The session of the jobs.
    """

    def __init__(self, background: BackgroundThread, maker: object) -> None:
        self._background = background
        self._maker = maker

    def of_row(self, request: VideoRequest, entry: Entry, media: MediaFolder) -> Job:
        """Return a job that ended in an earlier session.

        Args:
            request: The request.
            entry: The row.
            media: The folder of the file.
        """
        job = self.at_start(request, entry)
        job.finished_at = entry.finished_at
        if entry.state is State.READY:
            take = media.take_of_request(entry.request_id, entry.backend)
            if take is not None:
                return self.of_take(request, take, job=job, units=entry.units, reused=False)
            text = f"The file of job {entry.id} is missing in {entry.folder}."
            job._apply(Failed(KlingError(text, request_id=entry.request_id)))
        elif entry.state is State.CANCELLED:
            job._restore(JobState(state=State.CANCELLED, request_id=entry.request_id))
        elif entry.is_result_gone:
            job._apply(Failed(result_gone_error(entry)))
        else:
            text = entry.error or f"Job {entry.id} failed."
            job._apply(Failed(KlingError(text, request_id=entry.request_id)))
        return job

    def at_start(self, request: VideoRequest, entry: Entry) -> Job:
        """Return the job of a row in its first state."""
        job = Job(
            entry.id,
            request=request,
            backend=entry.backend,
            background=self._background,
            created_at=entry.created_at,
        )
        job.maker = self._maker
        job.made_from = entry.made_from
        return job

    def of_take(
        self,
        request: VideoRequest,
        take: Take,
        *,
        job: Job | None = None,
        units: str | None = None,
        reused: bool = True,
        line: str | None = None,
    ) -> Job:
        """Return a job that is READY because its take exists. Its log ends with `line`."""
        sidecar = take.sidecar
        job = job or Job(
            f"take-{sidecar.fingerprint[:8]}-{sidecar.take}",
            request=request,
            backend=sidecar.backend,
            background=self._background,
        )
        job.maker = self._maker
        job.reused = reused
        job.outcome = Outcome.REUSE if reused else None
        job._set_take(take)
        job._restore(
            JobState(
                state=State.READY,
                request_id=sidecar.request_id,
                units=units or sidecar.billable_units,
                lines=len(sidecar.lines),
            ),
            lines=[
                *(Logged(message, timestamp) for timestamp, message in sidecar.lines),
                *([Logged(line)] if line else []),
            ],
        )
        return job
