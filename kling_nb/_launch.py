"""`Launcher`: from a plan to a job that runs."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kling_nb._arguments import storable
from kling_nb._budget import check_cost, limits_of, no_take
from kling_nb._job import Job, Listener
from kling_nb._past import PastJobs
from kling_nb._places import Places
from kling_nb._plan import Plan, Planner
from kling_nb._process_lock import ProcessLock
from kling_nb._running import RunningJobs
from kling_nb._settings import Settings
from kling_nb._whole import check_possible
from kling_nb.engine import Engine
from kling_nb.errors import LedgerError
from kling_nb.events import Logged
from kling_nb.fal.options import SubmitOptions
from kling_nb.ledger import Entry, Intent
from kling_nb.request import VideoRequest

log = logging.getLogger(__name__)


class Launcher:
    """Shows the take that answers a request, takes up what is under way, or submits. Threads: any.

    Args:
        engine: Where jobs run.
        places: Where they are written down and filed.
        planner: Looks for takes once more when a row is there.
        running: The jobs of the session.
        past: Makes those that have ended.
    """

    def __init__(
        self, engine: Engine, places: Places, planner: Planner, running: RunningJobs, past: PastJobs
    ) -> None:
        self._engine = engine
        self._places = places
        self._planner = planner
        self._running = running
        self._past = past
        self._claiming = ProcessLock()

    def launch(
        self, plan: Plan, *, notebook: str | None, hold: str | None = None, on_event: Listener | None = None
    ) -> Job:
        """Do what was planned.

        Args:
            plan: What.
            notebook: Noted in the ledger.
            hold: What its price is taken from, for a part of a sweep.
            on_event: See `Session.submit`.

        Raises:
            MissingKey: Backend fal without a key.
            LedgerError: The intent could not be made durable; nothing was submitted.
            BudgetExceeded: It would cost more than a limit allows; nothing was submitted.
            NoTake: It is frozen, and there is no take of it.
        """
        webhook_url = plan.webhook_url
        if plan.found is not None:
            _say_no_webhook(webhook_url, "this request has a take already")
            return self._past.of_take(plan.request, plan.found)
        if plan.settings.frozen:
            raise no_take(plan.request, plan.settings, new=plan.new, take=plan.take)
        check_possible(plan)
        # Whoever has a new row must also be the first to make its job: another thread that finds the row
        # would wait for its submission, and nobody would make it.
        with self._claiming:
            return self._claimed(plan, notebook=notebook, hold=hold, on_event=on_event)

    def _claimed(
        self, plan: Plan, *, notebook: str | None, hold: str | None, on_event: Listener | None
    ) -> Job:
        """The job of a planned request: a new row of the ledger, or the one that is under way."""
        take, new, webhook_url = plan.take, plan.new, plan.webhook_url
        wanted = None if new else take or 1
        request = plan.request
        if plan.unfinished is not None and plan.unfinished.state.closed:
            _say_no_webhook(webhook_url, "this request was paid for, and its file is fetched again")
            paid = self._here(plan.unfinished, plan.settings)
            return self.start(request, paid, plan.settings, fresh=False, on_event=on_event)
        intent = Intent(
            backend=plan.settings.backend,
            endpoint=request.endpoint.id,
            input=storable(request),
            prompt=request.prompt,
            fingerprint=request.fingerprint,
            folder=plan.settings.media,
            take=wanted,
            any_take=take is None and not new,
            key_fingerprint=plan.settings.key.fingerprint if plan.settings.key else None,
            notebook=notebook,
            cost=check_cost(request, plan.settings),
            limits=limits_of(plan.settings),
            hold=hold,
        )
        entry, fresh = self._places.ledger(plan.settings).claim(intent)
        if not new and (entry.state.closed or (fresh and entry.backend == "local")):
            # Another kernel finished the same request after `plan` looked: of fal's jobs the ledger told so.
            found = self._planner.find(request, plan.settings, take)
            if found is not None:
                if fresh:
                    self._places.ledger(plan.settings).withdraw(entry.id)
                _say_no_webhook(webhook_url, "this request has a take by now")
                return self._past.of_take(request, found)
        self._places.endpoints(plan.settings).keep_beside(request.endpoint)
        if not fresh:
            _say_no_webhook(webhook_url, f"job {entry.id} of this request is under way already")
        return self.start(
            request,
            self._here(entry, plan.settings),
            plan.settings,
            fresh=fresh,
            intent=intent,
            on_event=on_event,
            webhook_url=webhook_url,
            said=plan.notices,
            options=plan.options,
        )

    def _here(self, entry: Entry, settings: Settings) -> Entry:
        """The row of a job whose folder may have been moved: its file belongs where it is asked for now."""
        if entry.folder == str(settings.media):
            return entry
        with suppress(LedgerError):
            self._places.ledger(settings).update(entry.id, folder=str(settings.media))
        return replace(entry, folder=str(settings.media))

    def start(
        self,
        request: VideoRequest,
        entry: Entry,
        settings: Settings,
        *,
        fresh: bool,
        intent: Intent | None = None,
        on_event: Listener | None = None,
        webhook_url: str | None = None,
        said: tuple[str, ...] = (),
        options: SubmitOptions | None = None,
    ) -> Job:
        """The running job of a ledger row; there is one for each row in a session.

        Args:
            request: What was asked for.
            entry: The row.
            settings: What holds for it.
            fresh: Whether the row is new, so that this process submits.
            intent: By which a row that was left unsent is sent; see `Submission`.
            on_event: See `Session.submit`.
            webhook_url: Where a submission's result would be delivered too.
            said: What the job's log says first.
            options: How fal's queue would be asked to treat a submission.
        """
        # With httpx, at the first job.
        from kling_nb._filing import Filing  # noqa: PLC0415
        from kling_nb._pursuit import Pursuit  # noqa: PLC0415
        from kling_nb._record import Record  # noqa: PLC0415
        from kling_nb._submission import Submission  # noqa: PLC0415

        ledger = self._places.ledger(settings)
        expected = None
        with suppress(LedgerError):  # the row is made: the job must start now, or it would never
            expected = ledger.expected_seconds(entry.endpoint, entry.backend)
        job, begun = self._running.settled(entry.id, lambda: self._past.begun(request, entry))
        if on_event is not None:
            job.subscribe(on_event)
        if not begun:
            return job
        job.expected_seconds = expected
        for notice in said:  # nobody else has the job yet
            job.apply(Logged(f"kling_nb: {notice}"))
        record = Record(job, entry, ledger)
        pursuit = Pursuit(
            record,
            connect=lambda: self._places.connect(settings),
            submission=Submission(
                record,
                fresh=fresh,
                intent=intent,
                uploads=self._places.uploads(settings),
                inline_limit=settings.inline_limit,
                webhook_url=webhook_url,
                options=options,
            ),
            filing=Filing(record, self._places.media(Path(entry.folder)), entry.take),
        )
        self._running.start(job, pursuit.run)
        if fresh:
            self._engine.finish_before_exit(job.answered)
        return job


def _say_no_webhook(webhook_url: str | None, why: str) -> None:
    """A receiver must not be left waiting for what was never asked of fal."""
    if webhook_url is not None:
        log.warning(
            "Nothing is submitted, as %s: no webhook will come of it. A new take: --new (API: new=True).", why
        )
