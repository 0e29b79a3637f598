"""`JobStarter`: turn a plan into a job. `SessionJobs`: the jobs of a session.

If the request has a take, it is reused. Otherwise a ledger row is claimed, and a `JobRun` submits the request
or resumes the job of an unfinished row.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from kling_nb import front_end
from kling_nb._lazy import lazy
from kling_nb.background import EXIT_SECONDS, BackgroundThread, ProcessLock
from kling_nb.errors import BudgetExceeded, KlingError, LedgerError
from kling_nb.events import Failed, JobState, Logged, State
from kling_nb.job.connections import Connections
from kling_nb.job.job import Job, Listener
from kling_nb.job.plan import (
    GET_BACK,
    PREVIEW_AGAIN,
    WORDS,
    Outcome,
    Plan,
    Planner,
    check_allowed,
    check_cost,
    check_not_reloaded,
    intent_of,
    outcome_of,
)
from kling_nb.job.record import JobRecord, result_gone_error
from kling_nb.ledger import Entry, Intent, Ledger
from kling_nb.media import MediaFolder, Take
from kling_nb.request.request import VideoRequest
from kling_nb.settings import Settings

if TYPE_CHECKING:
    from kling_nb.job import run as runs
    from kling_nb.job import sharing, store, submit
    from kling_nb.library import Shared
else:  # boundary 1 of `_lazy`: they and httpx come with the first job
    runs = lazy("kling_nb.job.run")
    sharing = lazy("kling_nb.job.sharing")
    store = lazy("kling_nb.job.store")
    submit = lazy("kling_nb.job.submit")

log = logging.getLogger(__name__)

PREVIEW_LOOK_SECONDS = 5.0
"""How old the look at the media folder may be that a new preview relies on."""

ESTIMATE_SECONDS = 2.0
"""How long an estimate of a job's duration stays valid."""


class JobStarter:
    """Reuses the take of a request, resumes its running job, or submits it. Threads: any."""

    def __init__(
        self,
        background: BackgroundThread,
        connections: Connections,
        planner: Planner,
        jobs: SessionJobs,
    ) -> None:
        self._background = background
        self._connections = connections
        self._planner = planner
        self._jobs = jobs
        self._claiming = ProcessLock()
        self._estimates: dict[tuple[Path, str, str], tuple[float, float | None]] = {}

    def launch(
        self,
        plan: Plan,
        *,
        notebook: str | None,
        reservation: str | None = None,
        on_event: Listener | None = None,
    ) -> Job:
        """Carry out a plan and return its job. A `reservation` of its sweep pays for it.

        Raises:
            KlingError: As `Session.submit`; also `MediaError` if the media folder cannot be written to, and
                `LibraryError` if the library does not answer or its take is damaged. Nothing was sent.
        """
        job = self._carry_out(plan, notebook=notebook, reservation=reservation, on_event=on_event)
        job.made_from = plan.made_from or job.made_from
        job.about = plan.about or job.about
        return job

    def _carry_out(
        self, plan: Plan, *, notebook: str | None, reservation: str | None, on_event: Listener | None
    ) -> Job:
        if plan.found is not None:
            _warn_no_webhook(plan, "this request already has a take")
            return self._jobs.of_take(plan.request, plan.found)
        check_allowed(plan)
        if plan.submits:
            check_not_reloaded(plan.settings.backend)
        if plan.elsewhere is not None:
            if plan.unfinished is not None:  # a row of this folder that was never sent: it is not needed
                self._connections.ledger(plan.settings).drop_unsent(plan.unfinished.id)
            return self._copy(plan, plan.elsewhere)
        if plan.shared is not None:
            return self._fetch(plan, plan.shared)
        self._connections.media(plan.settings.media).check_writable()
        # The thread that claims a new row must also be the first to make its job. Another thread that finds
        # the row would wait for its submission, and no thread would send it.
        with self._claiming:
            return self._claim(plan, notebook=notebook, reservation=reservation, on_event=on_event)

    def _copy(self, plan: Plan, take: Take) -> Job:
        """Copy a take of another folder, and return its job."""
        _warn_no_webhook(plan, "this request has a take in another folder")
        copy = self._connections.media(plan.settings.media).copy(take, made_from=plan.made_from)
        line = _say(f"Copied from {take.path.parent}, where this request was paid for. No extra charge.")
        return self._jobs.of_take(plan.request, copy, outcome=Outcome.COPY, line=line)

    def _fetch(self, plan: Plan, shared: Shared) -> Job:
        """Store a take of the studio's library, and return its job."""
        _warn_no_webhook(plan, "this request has a take in the library")
        media = self._connections.media(plan.settings.media)
        take = self._connections.library(plan.settings).fetch(shared, media)
        line = _say(WORDS[Outcome.LIBRARY].sentence)
        return self._jobs.of_take(plan.request, take, outcome=Outcome.LIBRARY, line=line)

    def _claim(
        self, plan: Plan, *, notebook: str | None, reservation: str | None, on_event: Listener | None
    ) -> Job:
        """Claim a ledger row, a new one or that of the running job, and return its job."""
        request, settings = plan.request, plan.settings
        if plan.unfinished is not None and plan.unfinished.state.closed:
            _warn_no_webhook(plan, "this request was paid for, and its file is fetched again")
            paid = self._move_to_folder(plan.unfinished, settings)
            return self.start(request, paid, settings, fresh=False, on_event=on_event)
        intent = intent_of(
            request,
            settings,
            prompt=request.prompt,
            take=plan.take,
            new=plan.new,
            notebook=notebook,
            reservation=reservation,
            elsewhere=plan.may_copy,
            made_from=plan.made_from,
        )
        ledger = self._connections.ledger(settings)
        entry, fresh = ledger.claim(intent)
        if entry.state.closed and _is_elsewhere(entry, settings):
            # A kernel in another folder has finished the same request since the plan was made.
            if take := self._planner.take_of(entry, settings):
                return self._copy(plan, take)
            entry, fresh = ledger.claim(replace(intent, elsewhere=False))
        refusal = _refusal_of_new(plan)
        if fresh and refusal is not None:  # The job that the plan wanted to follow has ended meanwhile.
            ledger.withdraw(entry.id)
            raise refusal
        if take := self._find_new_take(plan, entry, fresh=fresh):
            if fresh:
                ledger.withdraw(entry.id)
            _warn_no_webhook(plan, "this request has a take now")
            return self._jobs.of_take(request, take)
        self._connections.endpoints(settings).store_copy(request.endpoint)
        if not fresh:
            _warn_no_webhook(plan, f"job {entry.id} of this request is already running")
        copied = not fresh and _is_elsewhere(entry, settings)
        return self.start(
            request,
            entry if copied else self._move_to_folder(entry, settings),
            settings,
            fresh=fresh,
            plan=plan,
            intent=intent if refusal is None else None,
            copied=copied,
            on_event=on_event,
        )

    def _find_new_take(self, plan: Plan, entry: Entry, *, fresh: bool) -> Take | None:
        """Return the take that another kernel has made since the plan was made, or None."""
        if plan.new or not (entry.state.closed or (fresh and entry.backend == "local")):
            return None
        # A preview that another kernel has just made may be made again: it is free.
        recent = PREVIEW_LOOK_SECONDS if entry.backend == "local" else 0.0
        return self._planner.find(plan.request, plan.settings, plan.take, recent=recent)

    def _move_to_folder(self, entry: Entry, settings: Settings) -> Entry:
        """Return the row with the current media folder, so that the file is stored there."""
        folder = str(settings.ledger_folder)
        if entry.folder == folder:
            return entry
        with suppress(LedgerError):
            self._connections.ledger(settings).update(entry.id, folder=folder)
        return replace(entry, folder=folder)

    def _expected_seconds(self, ledger: Ledger, entry: Entry) -> float | None:
        """Return how long jobs like that of a row took. A sweep asks at each job, the ledger now and then."""
        key, now = (ledger.path, entry.endpoint, entry.backend), time.monotonic()
        made_at, expected = self._estimates.get(key, (-math.inf, None))
        if now - made_at >= ESTIMATE_SECONDS:
            with suppress(LedgerError):  # the row exists, so the job must start in any case
                expected = ledger.expected_seconds(entry.endpoint, entry.backend)
            if expected is not None:
                self._estimates[key] = now, expected
        return expected

    def start(
        self,
        request: VideoRequest,
        entry: Entry,
        settings: Settings,
        *,
        fresh: bool,
        plan: Plan | None = None,
        intent: Intent | None = None,
        copied: bool = False,
        on_event: Listener | None = None,
    ) -> Job:
        """Return the running job of a ledger row. A session has one job for each row.

        Args:
            request: Its request.
            entry: The row.
            settings: The settings of the call.
            fresh: True if the row is new, so that this process submits.
            plan: The plan of the call, if it may submit. Its notices are the first lines of the job's log.
            intent: How to send a row that was left unsent; see `JobSubmission`.
            copied: True if the row is of another folder. The file is stored there, and copied into this one.
            on_event: See `Session.submit`.
        """
        ledger = self._connections.ledger(settings)
        expected = self._expected_seconds(ledger, entry)
        # A job of another folder that this process follows too has its file there, so the copy has its own.
        key = f"{entry.id} {settings.media}" if copied else entry.id
        job, new = self._jobs.get_or_add(key, request, entry)
        if on_event is not None:
            job.subscribe(on_event)
        if not new:
            return job
        job.outcome = Outcome.SUBMIT if fresh else outcome_of(entry)
        job.expected_seconds = expected
        job.notices = plan.notices if plan else ()
        for notice in job.notices:  # the run has not started, so no other thread changes the job
            job._apply(Logged(f"kling_nb: {notice}"))
        if copied:
            text = f"Job {entry.id} of {entry.folder} makes this request. Its result is copied here, free."
            job._apply(Logged(_say(text)))
        record = JobRecord(job, entry, ledger)
        shared = sharing.Sharing(record, self._connections, settings) if settings.library else None
        run = runs.JobRun(
            record,
            connect=lambda: self._connections.connect(settings),
            submission=submit.JobSubmission(
                record,
                fresh=fresh,
                intent=intent,
                uploads=self._connections.uploads(settings),
                inline_limit=settings.inline_limit,
                webhook_url=plan.webhook_url if plan else None,
                options=plan.options if plan else None,
                sharing=shared,
            ),
            store=store.ResultStore(
                record,
                self._connections.media_of(entry, settings),
                entry.take,
                copy_to=self._connections.media(settings.media) if copied else None,
            ),
        )
        self._jobs.start(job, run.run)
        if fresh:
            self._background.finish_before_exit(job._may_end)
        return job


def _refusal_of_new(plan: Plan) -> KlingError | None:
    """Return the error of a plan that may follow a job, but not send a new one; else None."""
    if plan.request.recorded is not None:
        return KlingError(
            "A job that an earlier version of kling_nb sent has just failed. This run sent nothing.",
            remedy="Run the cell again.",
        )
    try:
        check_cost(plan.request, plan.settings)
    except BudgetExceeded as fault:  # to follow a job costs nothing
        return fault
    return None


def _is_elsewhere(entry: Entry, settings: Settings) -> bool:
    """Return True if a row is of another media folder that still exists."""
    return not entry.belongs_in(settings.ledger_folder)


def _say(text: str) -> str:
    """Show a line to the user. Return it as a line of the job's log."""
    line = f"kling_nb: {text}"
    if front_end.say is not None:
        front_end.say(line)
    else:
        log.warning(text)
    return line


def _warn_no_webhook(plan: Plan, reason: str) -> None:
    """Log that fal will not call the webhook, because nothing is submitted."""
    if plan.webhook_url is not None:
        log.warning(
            "No webhook will be called: %s. Nothing was sent. For a new take: --new (API: new=True).", reason
        )


class SessionJobs:
    """The jobs of a session: the running ones by their rows, and the makers of those that have ended.

    There is one `Job` for each row. The task of a running job keeps it alive. An ended job is dropped when no
    caller refers to it any more, because a kernel that makes a thousand clips must not keep them all.

    Threads: any, except for `close`.
    """

    def __init__(self, background: BackgroundThread, maker: object) -> None:
        self._background = background
        self._maker = maker
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
        """Return the job of a ledger row, if the session has one."""
        return self._jobs.get(job_id)

    def get_by_name(self, any_id: str) -> Job | None:
        """Return the job of a job id or a request id, if the session has one."""
        return next((job for job in list(self._jobs.values()) if any_id in {job.id, job.request_id}), None)

    def get_or_add(self, key: str, request: VideoRequest, entry: Entry) -> tuple[Job, bool]:
        """Return the unfinished job of a row, or a new one; and True if it is new."""
        with self._lock:
            known = self._jobs.get(key)
            if known is not None and not known.done:
                return known, False
            job = self._jobs[key] = self._new(request, entry)
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

    def of_ended_row(self, request: VideoRequest, entry: Entry, media: MediaFolder) -> Job:
        """Return a job that ended in an earlier session. `media` is the folder of its file."""
        job = self._new(request, entry)
        job.finished_at = entry.finished_at
        if entry.state is State.READY:
            take = media.take_of_request(entry.request_id, entry.backend)
            if take is not None:
                return self.of_take(request, take, job=job, units=entry.units, outcome=None)
            text = f"The file of job {entry.id} is no longer in {entry.folder}."
            remedy = GET_BACK if entry.backend == "fal" else PREVIEW_AGAIN
            job._apply(Failed(KlingError(text, remedy=remedy, request_id=entry.request_id)))
        elif entry.state is State.CANCELLED:
            job._restore(JobState(state=State.CANCELLED, request_id=entry.request_id))
        elif entry.is_result_gone:
            job._apply(Failed(result_gone_error(entry)))
        else:
            text = entry.error or f"Job {entry.id} failed."
            job._apply(Failed(KlingError(text, request_id=entry.request_id)))
        return job

    def of_take(
        self,
        request: VideoRequest,
        take: Take,
        *,
        job: Job | None = None,
        units: str | None = None,
        outcome: Outcome | None = Outcome.REUSE,
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
        job.outcome = outcome
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

    def _new(self, request: VideoRequest, entry: Entry) -> Job:
        """Return a job of a row, in its first state."""
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
