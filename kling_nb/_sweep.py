"""`Sweep`: one request in many variations, made a few at a time."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from kling_nb import _front_end
from kling_nb._axes import Axis, label
from kling_nb._job import Job
from kling_nb._plan import Plan
from kling_nb.engine import Engine, wait, wait_async
from kling_nb.errors import Interrupted, SweepIncomplete, UsageError, WaitTimeout
from kling_nb.events import Event, JobState, State
from kling_nb.media import Result
from kling_nb.request import VideoRequest
from kling_nb.video import Video

CONCURRENCY = 8
"""Cells under way at once, where the caller names no number. fal's own queue takes more."""

CellListener = Callable[["SweepCell"], None]


class Paid(Protocol):
    """What a sweep needs of a `Whole`."""

    def check_frozen(self) -> None: ...
    def reserve(self) -> None: ...
    def launch(self, plan: Plan) -> Job: ...
    def release(self) -> None: ...


@dataclass(eq=False)
class SweepCell:
    """One variation.

    Attributes:
        index: Its number in the sweep, from 0.
        place: Which value of each axis it has, as indices.
        values: The values themselves, by axis.
        plan: What was found out before anything was sent.
        job: Its job, once it has begun.
        error: Why it could not begin, or what became of its job.
        labels: A few words for each value, by axis.
    """

    index: int
    place: tuple[int, ...]
    values: Mapping[str, Any]
    plan: Plan
    job: Job | None = None
    error: Exception | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def request(self) -> VideoRequest:
        """What it asks for."""
        return self.plan.request

    @property
    def state(self) -> str:
        """A `State` by its name; WAITING before its turn, SKIPPED where that never comes."""
        if self.job is not None:
            return self.job.state.state.value
        return "WAITING" if self.error is None else "SKIPPED" if _skipped(self.error) else "FAILED"

    @property
    def result(self) -> Result | None:
        """What it gave, once it is there."""
        return self.job.result if self.job is not None else None

    @property
    def video(self) -> Video | None:
        """The same where it is a `Video`."""
        return self.job.video if self.job is not None else None

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.error is not None or (self.job is not None and self.job.done)

    def record(self) -> dict[str, Any]:
        """It as a row of a table: its values, then what came of it."""
        job, video = self.job, self.video
        values = {name: self._plain(name, value) for name, value in self.values.items()}
        took = job.finished_at - job.created_at if job and job.finished_at and not job.reused else None
        return {
            "prompt": self.request.prompt,
            **values,
            "state": self.state,
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

    def _plain(self, name: str, value: Any) -> Any:
        """A value as a table keeps it: files and pictures by their names."""
        plain = value is None or isinstance(value, (str, int, float, bool))
        return value if plain else self.labels.get(name) or label(value)

    def __repr__(self) -> str:
        return f"<SweepCell {self.index} {self.state} {dict(self.values)!r}>"


class Sweep:
    """Many variations of one request. Made by `sweep` or `%%kling --grid`.

    Iterating gives its `SweepCell`s, in order: the last axis changes fastest.
    `pandas.DataFrame(sweep.records)` is a table of them. `await sweep` or `sweep.wait()` waits for all;
    what fails leaves the others alone.

    Threads: all of it may be used from any thread.

    Attributes:
        id: Names it in a notebook's outputs.
        axes: What varies.
        cells: Every variation.
        concurrency: How many are under way at once.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        cells: Sequence[SweepCell],
        *,
        whole: Paid,
        engine: Engine,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self.id = f"sweep-{secrets.token_hex(4)}"
        self.axes = tuple(axes)
        self.cells = tuple(cells)
        self.concurrency = concurrency
        self._whole = whole
        self._engine = engine
        self._waiting = deque(self.cells)
        self._listeners: dict[object, CellListener] = {}
        self._done: Future[None] = Future()
        self._running: Future[None] | None = None

    # -- running -----------------------------------------------------------------

    def start(self) -> Sweep:
        """Begin, unless it has begun; gives itself.

        Raises:
            NoTake: `frozen`, and a cell has no take.
            BudgetExceeded: By now the whole would cost more than a limit allows; nothing was submitted.
        """
        if self._running is None:
            self.check_frozen()
            self._whole.reserve()
            self._running = self._engine.spawn(self._run())
        return self

    def check_frozen(self) -> None:
        """See that it may begin, before its price is said.

        Raises:
            NoTake: `frozen`, and a cell has no take.
        """
        self._whole.check_frozen()

    @property
    def started(self) -> bool:
        """Whether it has begun."""
        return self._running is not None

    @property
    def done(self) -> bool:
        """Whether every cell has come to its end."""
        return self._done.done()

    async def _run(self) -> None:
        try:
            workers = min(self.concurrency, max(1, len(self.cells)))
            await asyncio.gather(*(self._work() for _ in range(workers)))
            await asyncio.to_thread(self._whole.release)
        finally:
            self._done.set_result(None)
            self._tell(self.cells[-1])  # the last word: the whole has ended

    async def _work(self) -> None:
        while self._waiting:
            await self._make(self._waiting.popleft())

    async def _make(self, cell: SweepCell) -> None:
        """Take one cell to its end. Its fault is its own."""
        try:
            cell.job = job = await asyncio.to_thread(self._whole.launch, cell.plan)
        except Exception as fault:  # noqa: BLE001 -- one cell must not end the others
            cell.error = fault
            self._tell(cell)
            return

        def on_event(_event: Event, _state: JobState) -> None:
            self._tell(cell)

        leave = job.subscribe(on_event)
        self._tell(cell)
        try:
            await job.wait_async()
        except Exception as fault:  # noqa: BLE001 -- as above
            cell.error = fault
        finally:
            leave()
        self._tell(cell)

    # -- waiting -----------------------------------------------------------------

    def wait(self, timeout: float | None = None, *, check: bool = True) -> Sweep:
        """Block until every cell has come to its end.

        Args:
            timeout: Seconds; None waits without limit. The sweep goes on after that.
            check: Raise where a cell gave no result. False leaves that to you: see `failed`.

        Returns:
            Itself.

        Raises:
            SweepIncomplete: Some cells gave no result. The others are kept.
            WaitTimeout: The time ran out.
            Interrupted: Ctrl-C or ■. No further cell begins; a queued one is cancelled, a running one
                goes on.
        """
        self.start()
        try:
            wait(self._done, timeout)
        except TimeoutError as fault:
            raise self._timed_out(timeout) from fault
        except KeyboardInterrupt as fault:
            raise wait(self.spawn_interrupt()) from fault
        return self._checked() if check else self

    async def wait_async(self, timeout: float | None = None) -> Sweep:  # noqa: ASYNC109 -- as `wait`
        """`wait` for `await`. Cancelling it leaves the sweep alone."""
        self.start()
        try:
            await wait_async(self._done, timeout)
        except TimeoutError as fault:
            raise self._timed_out(timeout) from fault
        return self._checked()

    def __await__(self) -> Generator[Any, None, Sweep]:
        return self.wait_async().__await__()

    def _timed_out(self, timeout: float | None) -> WaitTimeout:
        return WaitTimeout(
            f"Not finished after {timeout:g} s ({self.summary()}); the sweep goes on.",
            remedy="Run the cell again to go on waiting: what is made is reused, what runs is taken up.",
        )

    def _checked(self) -> Sweep:
        failed = self.failed
        if failed:
            raise SweepIncomplete(len(failed), len(self.cells), str(failed[0].error))
        return self

    # -- ending it early -----------------------------------------------------------

    def cancel(self) -> str:
        """Begin no further cell, and ask fal to stop those under way. Blocks for the answers.

        Returns:
            What came of it, in words.
        """
        return wait(self._engine.spawn(self.cancel_here()))

    async def cancel_here(self) -> str:
        """The same on the engine thread."""
        skipped = await self.begin_no_more()
        jobs = [cell.job for cell in self.cells if cell.job is not None and not cell.job.done]
        answers = await asyncio.gather(*(job.cancel_here() for job in jobs), return_exceptions=True)
        refused = sum(isinstance(answer, BaseException) for answer in answers)
        words = f"{skipped} not begun, {len(jobs)} asked to stop"
        return f"{words}, {refused} of them without an answer" if refused else words

    def spawn_cancel(self) -> Future[str]:
        """`cancel` without blocking."""
        return self._engine.spawn(self.cancel_here())

    def spawn_interrupt(self) -> Future[Interrupted]:
        """What an interrupt of the waiting cell means now."""
        return self._engine.spawn(self._interrupted())

    async def _interrupted(self) -> Interrupted:
        skipped = await self.begin_no_more()
        jobs = [cell.job for cell in self.cells if cell.job is not None and not cell.job.done]
        queued = [job for job in jobs if job.state.state in {State.SUBMITTING, State.IN_QUEUE}]
        for job in queued:
            await job.interrupted()
        return Interrupted(
            f"Interrupted: {skipped} not begun, {len(queued)} cancelled in the queue,"
            f" {len(jobs) - len(queued)} running on.",
            remedy="Run the cell again to go on: what is made is reused, what runs is taken up.",
        )

    async def begin_no_more(self) -> int:
        """Leave out the cells that wait, and give back what is held for them; how many. Engine thread."""
        skipped = 0
        while self._waiting:
            cell = self._waiting.popleft()
            cell.error = Interrupted("It was not begun.")
            self._tell(cell)
            skipped += 1
        await asyncio.to_thread(self._whole.release)
        return skipped

    # -- what came of it -----------------------------------------------------------

    @property
    def videos(self) -> list[Video | None]:
        """A video for each cell, None where there is none (yet)."""
        return [cell.video for cell in self.cells]

    @property
    def failed(self) -> list[SweepCell]:
        """Cells that have ended without a result."""
        return [cell for cell in self.cells if cell.error is not None]

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each cell, all with the same keys: what `pandas.DataFrame` takes."""
        return [cell.record() for cell in self.cells]

    def to_pandas(self) -> Any:
        """The records as a `pandas.DataFrame`.

        Raises:
            UsageError: There is no pandas here. `records` needs none.
        """
        try:
            pandas: Any = import_module("pandas")  # no dependency of ours
        except ImportError:
            raise UsageError(
                "pandas is not installed.",
                remedy="pip install pandas, or use sweep.records: a list of dicts.",
            ) from None
        return pandas.DataFrame(self.records)

    @property
    def estimate(self) -> float | None:
        """US dollars that fal would ask for all new submissions; None where one price is not known."""
        prices = [cell.plan.estimate for cell in to_submit(self.cells)]
        known = [price for price in prices if price is not None]
        return sum(known) if len(known) == len(prices) else None

    @property
    def price(self) -> str:
        """What the whole costs, in words."""
        new = to_submit(self.cells)
        reused = sum(cell.plan.found is not None for cell in self.cells)
        alike = sum(cell.plan.submits for cell in self.cells) - len(new)
        joined = len(self.cells) - len(new) - reused - alike
        parts = [f"{len(self.cells)} cell{'s' * (len(self.cells) != 1)}"]
        parts += [f"{reused} made before, no charge"] if reused else []
        parts += [f"{joined} under way already, no new charge"] if joined else []
        parts += [f"{alike} the same as another"] if alike else []
        return " · ".join(parts + ([self._price_of(new)] if new else []))

    def _price_of(self, new: Sequence[SweepCell]) -> str:
        usd = "price unknown" if self.estimate is None else f"about ${self.estimate:.2f}"
        if all(cell.plan.settings.backend == "local" for cell in new):
            return f"{len(new)} free preview{'s' * (len(new) != 1)} to make ({usd} on fal)"
        return f"{len(new)} to make, {usd}"

    def summary(self) -> str:
        """How far it is, in words."""
        ready = sum(cell.state == "READY" for cell in self.cells)
        failed, left = len(self.failed), sum(not cell.done for cell in self.cells)
        parts = [f"{ready} of {len(self.cells)} ready"]
        parts += [f"{failed} without a result"] if failed else []
        parts += [f"{left} to come"] if left else []
        return ", ".join(parts)

    # -- watching and showing --------------------------------------------------------

    def subscribe(self, listener: CellListener) -> Callable[[], None]:
        """Call `listener(cell)` for every change of a cell, on the engine thread; gives what ends it."""
        handle = object()
        self._listeners[handle] = listener
        return lambda: self._listeners.pop(handle, None) and None

    def _tell(self, cell: SweepCell) -> None:
        for listener in list(self._listeners.values()):
            listener(cell)

    def __iter__(self) -> Iterator[SweepCell]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, index: int) -> SweepCell:
        return self.cells[index]

    def _ipython_display_(self) -> None:
        if _front_end.sweep_presenter is None:
            raise NotImplementedError  # IPython shows the repr then
        _front_end.sweep_presenter(self)

    def __repr__(self) -> str:
        names = " × ".join(f"{axis.name} {len(axis.values)}" for axis in self.axes) or "one cell"
        return f"<Sweep {names}: {self.summary()}>"


def to_submit(cells: Sequence[SweepCell]) -> list[SweepCell]:
    """The cells that need a new submission, by what was known at the start; each request once."""
    found: dict[Any, SweepCell] = {}
    for cell in cells:
        if cell.plan.submits:
            request = cell.plan.request.fingerprint, cell.plan.take or 1
            found.setdefault(cell if cell.plan.new else request, cell)
    return list(found.values())


def _skipped(error: Exception) -> bool:
    return isinstance(error, Interrupted)
