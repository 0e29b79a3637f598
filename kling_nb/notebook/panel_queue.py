"""The jobs that a panel follows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kling_nb._job import Job
from kling_nb.events import Event, JobState
from kling_nb.notebook.panel_rows import job_row, live_fields


class JobQueue:
    """Jobs in the order in which they came, and what is new of each.

    Threads: any. `notify` is called on the engine's thread, for every event of every job, and has to
    return at once.

    Args:
        notify: There is something new to say.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._leave: dict[str, Callable[[], None]] = {}
        self._new: set[str] = set()
        self._changed: set[str] = set()

    def add(self, job: Job) -> None:
        """Follow a job from now on; one that is there already is only told again."""

        def on_event(_event: Event, _state: JobState) -> None:
            with self._lock:
                self._changed.add(job.id)
            self._notify()

        with self._lock:
            known = self._jobs.get(job.id)
            self._jobs[job.id] = job
            self._new.add(job.id)
            if known is not job and (leave := self._leave.pop(job.id, None)):
                leave()
            if known is not job and not job.done:
                self._leave[job.id] = job.subscribe(on_event)
        self._notify()

    def get(self, job_id: str) -> Job | None:
        """The job of an id, if it is followed."""
        return self._jobs.get(job_id)

    def forget_finished(self) -> None:
        """Let go of all jobs that have ended; the history has them."""
        with self._lock:
            for job in [job for job in self._jobs.values() if job.done]:
                del self._jobs[job.id]
                self._leave.pop(job.id, None)

    def rows(self) -> list[dict[str, Any]]:
        """All jobs, newest first."""
        with self._lock:
            jobs = list(self._jobs.values())
        return [job_row(job) for job in reversed(jobs)]

    def news(self) -> tuple[list[dict[str, Any]], list[Job]]:
        """Rows of jobs that came, fields of jobs that changed, since the last call; and those that ended."""
        with self._lock:
            new, changed = self._new, self._changed - self._new
            self._new, self._changed = set(), set()
            jobs = {name: self._jobs[name] for name in (*new, *changed) if name in self._jobs}
        rows = [job_row(job) if name in new else live_fields(job) for name, job in jobs.items()]
        return rows, [job for job in jobs.values() if job.state.state.finished]

    def close(self) -> None:
        """Listen to nothing more. The jobs go on."""
        with self._lock:
            for leave in self._leave.values():
                leave()
            self._leave.clear()
