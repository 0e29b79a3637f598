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
from kling_nb.fal.options import SubmitOptions
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
    cost_of,
    limits_of,
    outcome_of,
)
from kling_nb.job.record import JobRecord, result_gone_error
from kling_nb.ledger import Entry, Intent, Ledger
from kling_nb.media import MediaFolder, Take
from kling_nb.request.request import VideoRequest, stored_input
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
    """Reuses the take of a request, resumes its running job, or submits it. Threads: any.

    Args:
        background: Runs the jobs.
        connections: Gives ledgers, media folders and backends.
        planner: Looks for takes again after the claim.
        jobs: The jobs of the session.
    """

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
        """Carry out a plan and return its job.

        Args:
            plan: The plan.
            notebook: Stored in the ledger.
            reservation: The reserved money of its sweep, which pays for it.
            on_event: See `Session.submit`.

        Raises:
            MissingKey: Backend fal without a key.
            LedgerError: The ledger row could not be written; nothing was sent.
            BudgetExceeded: It would cost more than a limit allows; nothing was sent.
            NoTake: `frozen`, and the request has no take.
            UsageError: A module was reloaded; nothing was sent.
            MediaError: The media folder cannot be written to; nothing was sent.
            LibraryError: The library does not answer, or its take is damaged; nothing was sent.
        """
        webhook_url = plan.webhook_url
        if plan.found is not None:
            _warn_no_webhook(webhook_url, "this request already has a take")
            return _with_notices(self._jobs.of_take(plan.request, plan.found), plan)
        check_allowed(plan)
        if plan.submits:
            check_not_reloaded(plan.settings.backend)
        if plan.elsewhere is not None:
            if plan.unfinished is not None:  # a row of this folder that was never sent: it is not needed
                self._connections.ledger(plan.settings).drop_unsent(plan.unfinished.id)
            return _with_notices(self._copy(plan, plan.elsewhere), plan)
        if plan.shared is not None:
            return _with_notices(self._fetch(plan, plan.shared), plan)
        self._connections.media(plan.settings.media).check_writable()
        # The thread that claims a new row must also be the first to make its job. Another thread that finds
        # the row would wait for its submission, and no thread would send it.
        with self._claiming:
            job = self._claim(plan, notebook=notebook, reservation=reservation, on_event=on_event)
        return _with_notices(job, plan)

    def _copy(self, plan: Plan, take: Take) -> Job:
        """Copy a take of another folder, and return its job."""
        _warn_no_webhook(plan.webhook_url, "this request has a take in another folder")
        copy = self._connections.media(plan.settings.media).copy(take, made_from=plan.made_from)
        line = _say(f"Copied from {take.path.parent}, where this request was paid for. No extra charge.")
        return self._jobs.of_take(plan.request, copy, outcome=Outcome.COPY, line=line)

    def _fetch(self, plan: Plan, shared: Shared) -> Job:
        """Store a take of the studio's library, and return its job."""
        _warn_no_webhook(plan.webhook_url, "this request has a take in the library")
        media = self._connections.media(plan.settings.media)
        take = self._connections.library(plan.settings).fetch(shared, media)
        line = _say(WORDS[Outcome.LIBRARY].sentence)
        return self._jobs.of_take(plan.request, take, outcome=Outcome.LIBRARY, line=line)

    def _claim(
        self, plan: Plan, *, notebook: str | None, reservation: str | None, on_event: Listener | None
    ) -> Job:
        """Claim a ledger row, a new one or that of the running job, and return its job."""
        take, new, webhook_url = plan.take, plan.new, plan.webhook_url
        request = plan.request
        if plan.unfinished is not None and plan.unfinished.state.closed:
            _warn_no_webhook(webhook_url, "this request was paid for, and its file is fetched again")
            paid = self._move_to_folder(plan.unfinished, plan.settings)
            return self.start(request, paid, plan.settings, fresh=False, on_event=on_event)
        too_expensive = _over_max_cost(plan)
        intent = Intent(
            backend=plan.settings.backend,
            endpoint=request.endpoint.id,
            input=stored_input(request),
            prompt=request.prompt,
            fingerprint=request.fingerprint,
            folder=plan.settings.ledger_folder,
            take=take,
            new=new,
            key_fingerprint=plan.settings.key.fingerprint if plan.settings.key else None,
            notebook=notebook,
            cost=cost_of(request, plan.settings),
            limits=limits_of(plan.settings),
            reservation=reservation,
            elsewhere=plan.may_copy,
            made_from=plan.made_from,
        )
        ledger = self._connections.ledger(plan.settings)
        entry, fresh = ledger.claim(intent)
        if entry.state.closed and _is_elsewhere(entry, plan.settings):
            # A kernel in another folder has finished the same request since the plan was made.
            if take_elsewhere := self._planner.take_of(entry, plan.settings):
                return self._copy(plan, take_elsewhere)
            entry, fresh = ledger.claim(replace(intent, elsewhere=False))
        if fresh and request.recorded is not None:
            # The job that an earlier version sent has failed since the plan was made.
            ledger.withdraw(entry.id)
            raise KlingError(
                "A job that an earlier version of kling_nb sent has just failed. This run sent nothing.",
                remedy="Run the cell again.",
            )
        if fresh and too_expensive is not None:
            # The job that the plan wanted to follow has ended meanwhile, and a new one costs too much.
            ledger.withdraw(entry.id)
            raise too_expensive
        if not new and (entry.state.closed or (fresh and entry.backend == "local")):
            # Another kernel may have finished the same request since the plan was made.
            # A preview that another kernel has just made may be made again: it is free.
            recent = PREVIEW_LOOK_SECONDS if entry.backend == "local" else 0.0
            found = self._planner.find(request, plan.settings, take, recent=recent)
            if found is not None:
                if fresh:
                    ledger.withdraw(entry.id)
                _warn_no_webhook(webhook_url, "this request has a take now")
                return self._jobs.of_take(request, found)
        self._connections.endpoints(plan.settings).store_copy(request.endpoint)
        if not fresh:
            _warn_no_webhook(webhook_url, f"job {entry.id} of this request is already running")
        copied = not fresh and _is_elsewhere(entry, plan.settings)
        return self.start(
            request,
            entry if copied else self._move_to_folder(entry, plan.settings),
            plan.settings,
            fresh=fresh,
            intent=intent if too_expensive is None and request.recorded is None else None,
            copied=copied,
            on_event=on_event,
            webhook_url=webhook_url,
            notices=plan.notices,
            options=plan.options,
        )

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
        intent: Intent | None = None,
        copied: bool = False,
        on_event: Listener | None = None,
        webhook_url: str | None = None,
        notices: tuple[str, ...] = (),
        options: SubmitOptions | None = None,
    ) -> Job:
        """Return the running job of a ledger row. A session has one job for each row.

        Args:
            request: Its request.
            entry: The row.
            settings: The settings of the call.
            fresh: True if the row is new, so that this process submits.
            intent: How to send a row that was left unsent; see `JobSubmission`.
            copied: True if the row is of another folder. The file is stored there, and copied into this one.
            on_event: See `Session.submit`.
            webhook_url: Where fal would also deliver the result of a submission.
            notices: First lines of the job's log.
            options: How fal's queue would treat a submission.
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
        job.notices = notices
        for notice in notices:  # the run has not started, so no other thread changes the job
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
                webhook_url=webhook_url,
                options=options,
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


def _over_max_cost(plan: Plan) -> BudgetExceeded | None:
    """Return the error if a submission is over `max_cost`, or None. Following a job costs nothing."""
    try:
        check_cost(plan.request, plan.settings)
    except BudgetExceeded as fault:
        return fault
    return None


def _with_notices(job: Job, plan: Plan) -> Job:
    """Return the job, with its cell and the lines about a take that differs from the call."""
    if plan.made_from:
        job.made_from = plan.made_from
    if plan.about:
        job.about = plan.about
    return job


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


def _warn_no_webhook(webhook_url: str | None, reason: str) -> None:
    """Log that fal will not call the webhook, because nothing is submitted."""
    if webhook_url is not None:
        log.warning(
            "No webhook will be called: %s. Nothing was sent. For a new take: --new (API: new=True).", reason
        )


class SessionJobs:
    """The jobs of a session: the running ones by their rows, and the makers of those that have ended.

    There is one `Job` for each row. The task of a running job keeps it alive. An ended job is dropped when no
    caller refers to it any more, because a kernel that makes a thousand clips must not keep them all.

    Threads: any, except for `close`.

    Args:
        background: Runs the jobs.
        maker: The session.
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
        """Return a job that ended in an earlier session.

        Args:
            request: The request.
            entry: The row.
            media: The folder of the file.
        """
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
