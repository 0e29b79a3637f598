"""`Sweep`: many variations of one request, a few at a time."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from kling_nb import front_end
from kling_nb.background import BackgroundThread, Waitable, check_can_wait, wait
from kling_nb.errors import (
    BudgetExceeded,
    Interrupted,
    LedgerError,
    ResultGone,
    SweepIncomplete,
    UsageError,
    WaitTimeout,
)
from kling_nb.events import NOT_STARTED, Ending, Event, JobState, Logged, ending_of
from kling_nb.job.job import Job, no_widgets
from kling_nb.job.plan import (
    WORDS,
    Outcome,
    Plan,
    check_allowed,
    check_backend,
    check_cost,
    check_total_cost,
    cost_of,
    limits_of,
    no_take,
)
from kling_nb.job.record import may_be_charged
from kling_nb.ledger import Ledger, Limit
from kling_nb.media import Result, data_frame
from kling_nb.request.request import VideoRequest
from kling_nb.settings import Settings
from kling_nb.sweeps.axes import LARGEST, Axis, label
from kling_nb.video import Video
from kling_nb.video.decisions import HasNoDecisions

CONCURRENCY = 8
"""Default number of cells that run at once. fal's queue would accept more."""

CellListener = Callable[["SweepCell"], None]


@dataclass(frozen=True, slots=True)
class EndedJob:
    """What a cell keeps of a job that it drops: attributes of `Job`, without its events and its log."""

    id: str
    request_id: str | None
    state: JobState
    outcome: Outcome | None
    reused: bool
    result: Result | None
    video: Video | None
    file: Path | None
    created_at: float
    finished_at: float | None
    done: bool


@dataclass(eq=False)
class SweepCell(HasNoDecisions):
    """One variation.

    Attributes:
        index: Its number in the sweep, from 0.
        place: The index of its value on each axis.
        values: Its values by axis.
        plan: Its plan, made before anything is sent.
        job: Its job, once started. A batch of more rows than a grid shows drops those that have ended.
        error: Why it could not start, or the error of its job.
        labels: A short text for each value, by axis.
    """

    index: int
    place: tuple[int, ...]
    values: Mapping[str, Any]
    plan: Plan
    job: Job | None = None
    error: Exception | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    _bought: bool = field(default=False, init=False)
    _ended: EndedJob | None = field(default=None, init=False)

    @property
    def _known(self) -> Job | EndedJob | None:
        """Its job, or what is kept of it."""
        return self._ended or self.job

    def _drop_job(self) -> None:
        """Keep the result of the ended job, and drop the job."""
        names = EndedJob.__dataclass_fields__
        self._ended = EndedJob(**{name: getattr(self.job, name) for name in names})
        self.job = None

    @property
    def request(self) -> VideoRequest:
        """The request of the cell."""
        return self.plan.request

    @property
    def state(self) -> str:
        """The name of the job's `State`; WAITING before it starts, SKIPPED if it will not start."""
        if self._known is not None:
            return self._known.state.state.value
        if self.error is None:
            return "WAITING"
        return "SKIPPED" if isinstance(self.error, Interrupted) else "FAILED"

    @property
    def outcome(self) -> Outcome:
        """The outcome of its job; until the job starts, that of the plan."""
        started = self._known.outcome if self._known is not None else None
        return started or self.plan.outcome

    @property
    def result(self) -> Result | None:
        """The result of the job, once ready."""
        return self._known.result if self._known is not None else None

    @property
    def video(self) -> Video | None:
        """The result if it is a `Video`, else None."""
        return self._known.video if self._known is not None else None

    @property
    def done(self) -> bool:
        """True if the cell has ended."""
        return self.error is not None or (self._known is not None and self._known.done)

    @property
    def _ending(self) -> Ending | None:
        """Why it has no result; None if it has one or may still get one, or if its job was dropped."""
        if self._ended is not None:
            return None
        if self.job is None:
            return Ending.UNSENT if self.error is not None else None
        return ending_of(self.job.state)

    @property
    def _plan_again(self) -> Plan:
        """The plan of another try after an end without a result."""
        plan, row = self.plan, self.plan.unfinished
        if self.job is None:
            return plan
        if isinstance(self.job.error, ResultGone):
            return replace(plan, unfinished=None, take=None, new=True)  # as in the view of a job
        # The job that the plan wanted to follow has ended. What is paid for is still fetched, and not bought.
        return plan if row is None or row.state.closed else replace(plan, unfinished=None)

    @property
    def _charged(self) -> bool:
        """True if the sweep sent its job, and fal bills it or may bill it."""
        return self._bought and self._known is not None and may_be_charged(self._known.state)

    def record(self) -> dict[str, Any]:
        """Return the cell as a row of a table: its values, then its state and result."""
        job, video = self._known, self.video
        values = {name: self._table_value(name, value) for name, value in self.values.items()}
        took = job.finished_at - job.created_at if job and job.finished_at and not job.reused else None
        return {
            "prompt": self.request.prompt,
            **values,
            "state": self.state,
            "outcome": self.outcome.value,
            "reused": bool(job and job.reused),
            "path": str(job.file) if job and job.file else None,
            "take": video.take if video else None,
            "width": video.width if video else None,
            "height": video.height if video else None,
            "seconds": video.duration if video else None,
            "took": took,
            "estimate_usd": self.plan.estimate,
            "backend": self.plan.settings.backend,
            "endpoint": self.request.endpoint.id,
            "job": job.id if job else None,
            "request_id": job.request_id if job else None,
            "error": getattr(self.error, "message", str(self.error)) if self.error else None,
        }

    def _table_value(self, name: str, value: Any) -> Any:
        """Return a value for a table; of a file or an image, its label."""
        if value is None or isinstance(value, (str, int, float, bool)):
            return value
        return self.labels.get(name) or label(value)

    def __repr__(self) -> str:
        return f"<SweepCell {self.index} {self.state} {dict(self.values)!r}>"


def _progress(cell: SweepCell) -> tuple[bool, bool, bool]:
    """Return whether a cell is ready, has ended without a result, and is still to come."""
    is_ready = cell.state == "READY"  # a moment before `done`
    return is_ready, cell.error is not None, not is_ready and not cell.done


class Sweep(Waitable[None], HasNoDecisions):
    """Many variations of one request. Made by `sweep` or `%%kling --grid`.

    Iterating yields its `SweepCell`s in order: the last axis changes fastest.
    `pandas.DataFrame(sweep.records)` is a table of them. `await sweep` or `sweep.wait()` waits for all cells.
    A cell that fails does not stop the others.

    Threads: any.

    Attributes:
        id: Identifies the sweep in a notebook's outputs.
        axes: What varies.
        cells: All variations.
        concurrency: How many cells run at once, at most all. It is lowered if fal accepts fewer at once.
    """

    _whole, _part = "sweep", "cell"
    """What users call it and one of its cells."""

    def __init__(
        self,
        axes: Sequence[Axis],
        cells: Sequence[SweepCell],
        *,
        payment: SweepPayment,
        background: BackgroundThread,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self.id = f"sweep-{secrets.token_hex(4)}"
        self.axes = tuple(axes)
        self.cells = tuple(cells)
        self.concurrency = min(concurrency, max(1, len(self.cells)))
        self._payment = payment
        self._background = background
        self._waiting = deque(self.cells)
        self._now: list[SweepCell] = []  # the cells that run
        self._progress = [_progress(cell) for cell in self.cells]
        self._totals = [sum(column) for column in zip(*self._progress, strict=True)]
        self._counting = threading.Lock()
        self._listeners: dict[object, CellListener] = {}
        self._done: Future[None] = Future()
        self._running: Future[None] | None = None
        self._starting = threading.Lock()
        self._runs = 0
        self._sent: set[str] = set()  # ids of the jobs
        self._spent_before = 0.0  # US dollars for jobs that were replaced by another try

    # -- running -----------------------------------------------------------------

    def start(self) -> Sweep:
        """Start the sweep unless it has started, and return it.

        Raises:
            NoTake: `frozen`, and a cell has no take; nothing was sent.
            BudgetExceeded: The sweep would now cost more than a limit allows; nothing was sent.
        """
        with self._starting:
            if self._running is None:
                self._check_frozen()
                self._payment.reserve()
                self._spawn_run(self._run_waiting(self.concurrency))
        return self

    def _spawn_run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run some cells, next to those that run already. Call it with the lock."""
        if self._done.done():
            self._done = Future()
        self._runs += 1
        self._running = self._background.spawn(self._run(work))

    def _retry(self, cell: SweepCell) -> None:
        """Run a cell that ended without a result, or that was left out. The limits hold as at the start.

        The claim in the ledger decides whether a request is sent.

        Raises:
            UsageError: The cell waits, runs or has a result, fal may have one, or fal refused its input.
            BudgetExceeded: With this, the sweep would cost more than a limit allows. Nothing was sent.
            KlingError: Its plan cannot be carried out, e.g. without a key. Nothing was sent.
        """
        with self._starting:
            if cell._ending not in {Ending.UNSENT, Ending.FAILED}:
                raise UsageError(f"This {self._part} cannot be run again as it is. Nothing was sent.")
            plan = cell._plan_again
            spent, to_come = self._money()
            reservation = self._payment.reserve_again(plan, spent + to_come)
            self._spent_before += self._prices[cell.index] if cell._charged else 0.0
            cell.job = cell.error = None
            cell._bought = False
            self._spawn_run(self._run_again(cell, plan, reservation))
        self._notify(cell)

    async def _run_again(self, cell: SweepCell, plan: Plan, reservation: str | None) -> None:
        try:
            await self._run_cell(cell, lambda: self._payment.launch(plan, reservation))
        finally:
            if reservation is not None:
                await asyncio.to_thread(self._payment.release, reservation)

    def _resume(self, cell: SweepCell, job: Job | None = None) -> None:
        """Follow the job of a cell again of which fal may have a result. Nothing is sent.

        `job` is that job, if it was resumed elsewhere.

        Raises:
            KlingError: fal has no result for this cell, or the job cannot be resumed, e.g. without a key.
        """
        with self._starting:
            maker = getattr(cell.job, "maker", None)
            if cell._ending is not Ending.OPEN or cell.job is None or maker is None:
                raise UsageError(f"There is nothing to resume in this {self._part}. Nothing was sent.")
            cell.job, cell.error = job or maker.get_job(cell.job.id), None
            self._spawn_run(self._follow(cell, cell.job))
        self._notify(cell)

    def _check_frozen(self) -> None:
        """Raise `NoTake` if `frozen` forbids the sweep. Call it before the price is shown."""
        self._payment.check_frozen()

    @property
    def started(self) -> bool:
        """True once the sweep has started."""
        return self._running is not None

    @property
    def done(self) -> bool:
        """True once every cell has ended."""
        return self._done.done()

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            with self._starting:
                self._runs -= 1
                ended = not self._runs
                if ended:
                    self._done.set_result(None)
            if ended:
                self._notify(self.cells[-1])  # listeners see the end of the sweep

    async def _run_waiting(self, workers: int) -> None:
        await asyncio.gather(*(self._run_cells() for _ in range(workers)))
        await asyncio.to_thread(self._payment.release)

    async def _run_cells(self) -> None:
        while self._waiting:
            cell = self._waiting.popleft()
            await self._run_cell(cell, partial(self._payment.launch, cell.plan))
            # A held job shows that fal runs fewer requests of the account than this sweep has started.
            held = (cell.job.state.held for cell in self._now if cell.job is not None)
            if self.concurrency > 1 and any(held):
                self.concurrency -= 1
                return

    async def _run_cell(self, cell: SweepCell, launch: Callable[[], Job]) -> None:
        """Run one cell to its end. An error is stored in the cell."""
        try:
            cell.job = job = await asyncio.to_thread(launch)
        except Exception as fault:  # noqa: BLE001 -- one cell must not end the others
            cell.error = fault
            self._notify(cell)
            return
        cell._bought = job.outcome is Outcome.SUBMIT and job.id not in self._sent
        self._sent.add(job.id)
        await self._follow(cell, job)

    async def _follow(self, cell: SweepCell, job: Job) -> None:
        """Wait for the end of a cell's job. An error is stored in the cell."""

        def on_event(event: Event, _state: JobState) -> None:
            if not isinstance(event, Logged):
                self._notify(cell)

        unsubscribe = job.subscribe(on_event)
        self._now.append(cell)
        self._notify(cell)
        try:
            await job.wait_async()
        except Exception as fault:  # noqa: BLE001 -- one cell must not end the others
            if cell.job is job:  # it may have been run again meanwhile
                cell.error = fault
        finally:
            self._now.remove(cell)
            unsubscribe()
        if len(self.cells) > LARGEST:  # No grid shows it: a batch of any size needs about the same memory.
            cell._drop_job()
        self._notify(cell)

    # -- waiting -----------------------------------------------------------------

    def wait(self, timeout: float | None = None, *, check: bool = True) -> Sweep:
        """Block until every cell has ended, and return the sweep.

        Args:
            timeout: Seconds to wait at most; None waits without limit. The sweep goes on after that.
            check: Raise if a cell has no result. With False, check `failed` yourself.

        Raises:
            SweepIncomplete: Some cells have no result. The other results are kept.
            WaitTimeout: The time ran out; the sweep goes on.
            Interrupted: Ctrl-C or ■. No further cell starts, queued ones are cancelled, running ones go on.
        """
        if not self.done:
            check_can_wait(f"The {self._whole}" if self.started else "")
        self.start()
        self._wait(timeout)
        return self._check_results() if check else self

    async def wait_async(self, timeout: float | None = None) -> Sweep:  # noqa: ASYNC109 -- as `wait`
        """Wait as `wait` does, for `await`. Cancelling the caller does not cancel the sweep."""
        self.start()
        await self._wait_async(timeout)
        return self._check_results()

    def __await__(self) -> Generator[Any, None, Sweep]:
        return self.wait_async().__await__()

    def _timeout_error(self, timeout: float | None) -> WaitTimeout:
        return WaitTimeout(
            f"Not finished after {timeout:g} s ({self.summary()}); the {self._whole} goes on.",
            remedy="Run the cell again: kling_nb reuses finished videos and resumes running jobs.",
        )

    def _check_results(self) -> Sweep:
        failed = self.failed
        if failed:
            raise SweepIncomplete(
                len(failed), len(self.cells), str(failed[0].error), whole=self._whole, part=self._part
            )
        return self

    # -- ending it early -----------------------------------------------------------

    def cancel(self) -> str:
        """Start no further cell, ask fal to stop the running ones, and wait for the answers.

        Returns:
            The outcome in words.
        """
        return wait(self._background.spawn(self._cancel_here()))

    async def _cancel_here(self) -> str:
        """Cancel as `cancel` does, on the background thread."""
        skipped = await self._stop_starting()
        jobs = [cell.job for cell in self.cells if cell.job is not None and not cell.job.done]
        answers = await asyncio.gather(*(job._cancel_here() for job in jobs), return_exceptions=True)
        refused = sum(isinstance(answer, BaseException) for answer in answers)
        outcome = f"{skipped} not started, {len(jobs)} asked to stop"
        return f"{outcome}, {refused} of them without an answer" if refused else outcome

    def _spawn_cancel(self) -> Future[str]:
        """Cancel as `cancel` does, without blocking."""
        return self._background.spawn(self._cancel_here())

    def _unknown_error(self) -> Interrupted:
        return Interrupted(
            "Stopped waiting. The state of the running jobs is not known yet.", remedy="Run %kling jobs."
        )

    async def _handle_interrupt(self) -> Interrupted:
        skipped = await self._stop_starting()
        jobs = [cell.job for cell in self.cells if cell.job is not None and not cell.job.done]
        queued = [job for job in jobs if job.state.state in NOT_STARTED]
        for job in queued:
            await job._handle_interrupt()
        return Interrupted(
            f"Stopped waiting: {skipped} not started, {len(queued)} cancelled in the queue,"
            f" {len(jobs) - len(queued)} still running.",
            remedy="Run the cell again: kling_nb reuses finished videos and resumes running jobs.",
        )

    async def _stop_starting(self) -> int:
        """Skip the waiting cells, release their money, and return their number. Background thread."""
        skipped = 0
        while self._waiting:
            cell = self._waiting.popleft()
            cell.error = Interrupted(
                f"This {self._part} of the {self._whole} was not started. Nothing was sent."
            )
            self._notify(cell)
            skipped += 1
        await asyncio.to_thread(self._payment.release)
        return skipped

    # -- results -------------------------------------------------------------------

    @property
    def videos(self) -> list[Video | None]:
        """The video of each cell; None for a cell without one (yet)."""
        return [cell.video for cell in self.cells]

    @property
    def failed(self) -> list[SweepCell]:
        """The cells that ended without a result."""
        return [cell for cell in self.cells if cell.error is not None]

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each cell, all with the same keys, e.g. for `pandas.DataFrame`."""
        return [cell.record() for cell in self.cells]

    def to_pandas(self) -> Any:
        """Return the records as a `pandas.DataFrame`.

        Raises:
            UsageError: pandas is not installed. `records` works without it.
        """
        return data_frame(self.records, self._whole)

    @cached_property
    def _new(self) -> list[SweepCell]:
        """The cells that need a new submission by their plans, which do not change."""
        return to_submit(self.cells)

    @cached_property
    def _prices(self) -> list[float]:
        """The price of each cell at fal in US dollars; 0.0 if it is not known, and for a preview."""
        plans = [cell.plan for cell in self.cells]
        return [(plan.estimate or 0.0) if plan.settings.backend == "fal" else 0.0 for plan in plans]

    @cached_property
    def _is_local(self) -> bool:
        """True if all that is submitted are free previews."""
        return all(cell.plan.settings.backend == "local" for cell in self._new)

    @cached_property
    def estimate(self) -> float | None:
        """The price of all new submissions at fal in US dollars, or None if one price is not known."""
        prices = [cell.plan.estimate for cell in self._new]
        known = [price for price in prices if price is not None]
        return sum(known) if len(known) == len(prices) else None

    @property
    def notices(self) -> list[str]:
        """What the user should know about cells that an earlier version made, each line once."""
        return [*dict.fromkeys(cell.plan.about_earlier for cell in self.cells if cell.plan.about_earlier)]

    @property
    def price(self) -> str:
        """The price of the sweep in words."""
        new = self._new
        counts = Counter(cell.plan.outcome for cell in self.cells)
        alike = counts.pop(Outcome.SUBMIT, 0) - len(new)
        parts = [f"{len(self.cells):,} {self._part}{'s' * (len(self.cells) != 1)}"]
        parts += [f"{counts[outcome]} {WORDS[outcome].brief}" for outcome in Outcome if counts[outcome]]
        parts += [f"{alike} the same as another"] if alike else []
        return " · ".join(parts + ([self._price_of(new)] if new else []))

    def _price_of(self, new: Sequence[SweepCell]) -> str:
        to_make = WORDS[Outcome.SUBMIT].brief
        unknown = dict.fromkeys(
            cell.request.endpoint.short_name for cell in new if cell.plan.estimate is None
        )
        usd = (
            f"no price on record for {', '.join(unknown)}"
            if unknown
            else f"about ${self.estimate or 0.0:.2f}"
        )
        if self._is_local:
            return f"{len(new)} free preview{'s' * (len(new) != 1)} {to_make} ({usd} on fal)"
        return f"{len(new)} {to_make}, {usd}"

    def summary(self) -> str:
        """Return the progress in words."""
        if not self.started and all(cell.state == "WAITING" for cell in self.cells):
            return "not started"
        ready, failed, left = self._totals
        parts = [f"{ready} of {len(self.cells)} ready"]
        parts += [f"{failed} without a result"] if failed else []
        parts += [f"{left} to come"] if left else []
        return ", ".join(parts)

    def _money(self) -> tuple[float, float]:
        """Return what the submissions cost so far, and what those to come will, in US dollars."""
        spent = sum(self._prices[cell.index] for cell in self.cells if cell._charged)
        waiting = [cell for cell in self._new if cell.job is None and cell.error is None]
        return self._spent_before + spent, sum(self._prices[cell.index] for cell in waiting)

    @property
    def _money_words(self) -> str:
        """What the sweep cost so far, and what is to come, in words; empty for a plan, or if not known."""
        if not self.started or self._is_local or self.estimate is None:
            return ""
        spent, to_come = self._money()
        parts = [f"${spent:.2f} {'in all' if self.done else 'so far'}"] if spent else []
        parts += [f"${to_come:.2f} to go"] if to_come else []
        return f"about {', '.join(parts)}" if parts else "not charged" if self.done else ""

    # -- watching and showing --------------------------------------------------------

    def subscribe(self, listener: CellListener) -> Callable[[], None]:
        """Call `listener(cell)` for every change of a cell, on the background thread.

        A log line is no change of the cell. `Job.subscribe` has the lines.

        Returns:
            A function that removes the listener.
        """
        handle = object()
        self._listeners[handle] = listener
        return lambda: self._listeners.pop(handle, None) and None

    def _notify(self, cell: SweepCell) -> None:
        with self._counting:  # one cell at a time, because a sweep of 500 says 1,500 times how far it is
            before, now = self._progress[cell.index], _progress(cell)
            self._progress[cell.index] = now
            self._totals = [
                total + is_now - was for total, is_now, was in zip(self._totals, now, before, strict=True)
            ]
        for listener in list(self._listeners.values()):
            listener(cell)

    def __iter__(self) -> Iterator[SweepCell]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, index: int) -> SweepCell:
        return self.cells[index]

    def widget(self) -> Any:
        """Return a live view of the sweep for a notebook."""
        if front_end.grid_widget is None:
            raise no_widgets()
        return front_end.grid_widget(self)

    def _ipython_display_(self) -> None:
        if front_end.sweep_presenter is None:
            raise NotImplementedError  # IPython shows the repr then
        front_end.sweep_presenter(self)

    def __repr__(self) -> str:
        names = " × ".join(f"{axis.name} {len(axis.values)}" for axis in self.axes) or "one cell"
        return f"<Sweep {names}: {self.summary()}>"


def to_submit(cells: Sequence[SweepCell]) -> list[SweepCell]:
    """Return the cells that need a new submission by their plans, each request once."""
    by_request: dict[Any, SweepCell] = {}
    for cell in cells:
        if cell.plan.submits:
            request = cell.plan.request.fingerprint, cell.plan.take or 1
            by_request.setdefault(cell if cell.plan.new else request, cell)
    return list(by_request.values())


class SweepPayment:
    """The submissions of a sweep. All are checked, and their price is reserved, before the first is sent.

    Threads: any.

    Args:
        plans: The new submissions, each request once.
        settings: The settings of the sweep. Its `max_cost` is the limit for all submissions together.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        settings: Settings,
        *,
        ledger: Callable[[Settings], Ledger],
        launch: Callable[[Plan, str | None], Job],
    ) -> None:
        self._plans = plans
        self._paid = [plan for plan in plans if plan.settings.backend == "fal"]
        # `backend` may be an argument of the cells: then the limit of the whole still holds.
        self._settings = replace(settings, backend="fal") if self._paid else settings
        self._ledger = ledger
        self._launch = launch
        self._reservation: str | None = None

    def check(self) -> None:
        """Raise unless all submissions are possible and within the limits now. Nothing is reserved."""
        for plan in self._plans:
            check_backend(plan)
        check_total_cost([(plan.request, plan.settings) for plan in self._paid], self._settings)
        limits, cost, unsent = self._terms()
        if limits:
            self._ledger(self._settings).check_limits(limits, cost, unsent)

    def check_frozen(self) -> None:
        """Raise `NoTake` if something has to be submitted although `frozen` is set."""
        if self._plans and self._plans[0].settings.frozen:
            first = self._plans[0]
            raise no_take(first.request, first.settings, new=first.new, take=first.take)

    def reserve(self) -> None:
        """Reserve the price of all submissions if a limit is set, or raise `BudgetExceeded`."""
        limits, cost, unsent = self._terms()
        if limits and self._reservation is None:
            self._reservation = self._ledger(self._settings).reserve(limits, cost, unsent)

    def reserve_again(self, plan: Plan, others: float) -> str | None:
        """Check the plan of another try as those of the start were checked, and reserve its price.

        Args:
            plan: The plan.
            others: What the sweep cost so far, with what is to come, in US dollars.

        Returns:
            The reservation for `launch` and `release`; None without limits.
        """
        check_allowed(plan)
        if not plan.submits or plan.settings.backend == "local":
            return None
        most = self._settings.max_cost
        cost = check_cost(plan.request, self._settings) or 0.0
        if most is not None and others + cost > most + 1e-9:
            raise BudgetExceeded(
                f"With about ${cost:.2f} more, the whole would cost about ${others + cost:.2f},"
                f" over --max-cost {most:g}. Nothing was sent.",
                remedy="Raise --max-cost (API: max_cost=) and run the cell again: it makes what is missing.",
            )
        limits, unsent = limits_of(plan.settings), plan.unfinished
        if not limits:
            return None
        return self._ledger(self._settings).reserve(limits, cost, [unsent.id] if unsent else [])

    def launch(self, plan: Plan, reservation: str | None = None) -> Job:
        """Carry out the plan of one cell, paid from a reservation: by default from that of all."""
        return self._launch(plan, reservation or self._reservation)

    def release(self, reservation: str | None = None) -> None:
        """Release the money reserved for submissions that will not follow: by default that of all. Blocks."""
        if reservation is None:
            reservation, self._reservation = self._reservation, None
        if reservation is not None:
            with suppress(LedgerError):  # a reservation ends with its process in any case
                self._ledger(self._settings).release(reservation)

    def _terms(self) -> tuple[tuple[Limit, ...], float, list[str]]:
        """Return the limits, the price, and the ids of unsent rows, whose price is part of it."""
        paid = self._paid
        limits = limits_of(paid[0].settings) if paid else ()
        cost = sum(cost_of(plan.request, plan.settings) or 0.0 for plan in paid)
        return limits, cost, [plan.unfinished.id for plan in paid if plan.unfinished is not None]
