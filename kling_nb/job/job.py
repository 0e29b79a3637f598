"""`Job`: one submission, with its state and result, waiting, watching and cancelling."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from kling_nb import errors, front_end
from kling_nb.background import BackgroundThread, Waitable, check_can_wait, wait
from kling_nb.events import NOT_STARTED, Completed, Event, Held, JobState, Logged, State, fold
from kling_nb.fal.replies import CancelOutcome
from kling_nb.job.plan import Outcome
from kling_nb.media import Result, Take
from kling_nb.request.request import VideoRequest
from kling_nb.video import Video
from kling_nb.video.decisions import HasNoDecisions

log = logging.getLogger(__name__)

Listener = Callable[[Event, JobState], None]
INTERRUPT_SECONDS = 5.0
"""How many seconds an interrupted cell waits for fal's answer to its cancel."""


class Presenter:
    """How a front end shows jobs. The notebook layer registers its own; this one shows text."""

    def widget(self, job: Job) -> Any:
        """Return a live view of the job."""
        raise no_widgets()

    def bundle(self, job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the MIME bundle of a job at the end of a cell, and the output's metadata."""
        return {"text/plain": repr(job)}, {}

    def display(self, job: Job) -> Any:
        """Return what marimo shows for a job at the end of a cell."""
        return repr(job)


def no_widgets() -> errors.UsageError:
    """Return the error of a `widget()` outside of a notebook."""
    return errors.UsageError("Widgets need a notebook.", remedy="Run %load_ext kling_nb in a notebook first.")


def _presenter() -> Presenter:
    make = front_end.job_presenter
    return make() if make is not None else Presenter()


class Job(Waitable[Result], HasNoDecisions):
    """One submission. Made by `submit`, `generate`, `get_job` or `%%kling`.

    `await job` (in a cell) or `job.wait()` returns the result or raises the job's error. The result is a
    `Video`, a `MediaFile` if the endpoint makes audio or an image, or a dict if it makes data only.

    Threads: reading, `subscribe`, `wait` and `cancel` may be called from any thread.

    Attributes:
        id: kling_nb's id, `[0-9a-f]{12}`. `%kling show`, `get_job` and the ledger accept it.
        request: The validated request.
        backend: "fal" or "local".
        created_at: Unix seconds of the submission.
        finished_at: Unix seconds of the end, or None.
        reused: True if an earlier take is the result, so that nothing was sent or paid.
        outcome: What the claim in the ledger decided when this process started the job, an `Outcome`: SUBMIT,
            FOLLOW, REFETCH, …; None for a job that had already ended and was only looked up.
        state: A `JobState`.
        result: What waiting returns, once the job is ready.
        video: The result if it is a `Video`, else None.
        file: The path of the result, once the job is ready.
        output: What the model returned, once known.
        expected_seconds: How long earlier jobs of this endpoint took, or None.
        about: Lines for the user about a take that differs from the call: `Plan.about`.
        notices: Lines about the request, e.g. that another endpoint is used: `Plan.notices`. They are also
            the first lines of the log.
        variable: The variable that receives the result in its cell, or None.
        made_from: Fingerprint of the request of the `%%kling` cell from which it was made, or None.
        cell: The `%%kling NAME` cell for which its takes can be chosen, or None.
        maker: The `Session` of the job, which can make another take.
    """

    def __init__(
        self,
        job_id: str,
        *,
        request: VideoRequest,
        backend: str,
        background: BackgroundThread,
        created_at: float | None = None,
    ) -> None:
        self.id = job_id
        self.request = request
        self.backend = backend
        self.created_at = time.time() if created_at is None else created_at
        self.finished_at: float | None = None
        self.outcome: Outcome | None = None
        self.state = JobState()
        self.result: Result | None = None
        self.video: Video | None = None
        self.file: Path | None = None
        self._take: Take | None = None
        self._files: dict[str, Path] | None = None
        self.output: dict[str, Any] | None = None
        self.expected_seconds: float | None = None
        self.about: tuple[str, ...] = ()
        self.notices: tuple[str, ...] = ()
        self.variable: str | None = None
        self.made_from: str | None = None
        self.cell: Any = None
        self.cancellation = Cancellation()
        self.maker: Any = None
        self._lines: list[Logged] = []
        self._listeners: dict[object, Listener] = {}
        self._failed_listeners: set[object] = set()
        self._answered: Future[None] = Future()
        self._may_end: Future[None] = Future()
        self._done: Future[Result] = Future()
        self._background = background
        self._pid = os.getpid()

    @property
    def lines(self) -> Sequence[Logged]:
        """The log lines so far. The list grows while the job runs."""
        return self._lines

    @property
    def files(self) -> dict[str, Path]:
        """Further files of the result by name, e.g. the `audio` of a video. Searched at the first use."""
        if self._files is None and self._take is not None:
            self._files = self._take.others()
        return self._files or {}

    @property
    def request_id(self) -> str | None:
        """The id that fal gave the request, once known."""
        return self.state.request_id

    @property
    def reused(self) -> bool:
        """True if its take existed, so that nothing was sent."""
        return self.outcome is not None and self.outcome.is_take

    @property
    def error(self) -> Exception | None:
        """The error that waiting raises, once the job has failed."""
        return self.state.error

    @property
    def done(self) -> bool:
        """True if the job has ended."""
        return self._done.done()

    # -- waiting ---------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> Result:
        """Block until the job ends, and return its result.

        Args:
            timeout: Seconds to wait at most; None waits without limit.

        Returns:
            The video; a `MediaFile` if the endpoint makes audio or an image; a dict if it makes data.

        Raises:
            WaitTimeout: The time ran out; the job goes on.
            Interrupted: Ctrl-C or ■. A queued job is cancelled, a running one goes on.
            KlingError: The error of the job.
        """
        self._check_followed()
        if not self.done:
            check_can_wait(f"Job {self.id}")
        return self._wait(timeout)

    async def wait_async(self, timeout: float | None = None) -> Result:  # noqa: ASYNC109 -- as `wait`
        """Wait as `wait` does, for `await`. Only ■ in a cell that awaits it cancels a queued job."""
        self._check_followed()
        return await self._wait_async(timeout)

    def _check_followed(self) -> None:
        """Raise in a forked process, where no thread follows the job."""
        if self._pid != os.getpid() and not self.done:
            raise errors.UsageError(
                f"Job {self.id} is followed by the parent of this process, not by this one.",
                remedy=f"Follow it here: kling_nb.get_job({self.id!r}).wait()",
            )

    def __await__(self) -> Generator[Any, None, Result]:
        return self.wait_async().__await__()

    def _timeout_error(self, timeout: float | None) -> errors.WaitTimeout:
        ended = f"Not finished after {timeout:g} s ({self.state.state.value}); the job goes on."
        if self.state.held:
            ended = f"Not sent after {timeout:g} s: the account runs its maximum of requests. It still waits."
        return errors.WaitTimeout(
            ended,
            remedy=f"Run the cell again to keep waiting, or: %kling show {self.id}",
            request_id=self.request_id,
        )

    async def _handle_interrupt(self) -> errors.Interrupted:
        """Cancel the job if it is queued, let it go on if it runs, and return the error for the cell."""
        if self.state.state in NOT_STARTED:  # such a job costs nothing
            try:
                outcome = await asyncio.wait_for(self._cancel_here(), INTERRUPT_SECONDS)
            except (TimeoutError, errors.KlingError):
                outcome = "fal did not answer the cancel. The job may go on."
            return errors.Interrupted(
                f"Stopped waiting for job {self.id}. {outcome}", request_id=self.request_id
            )
        at_fal = " at fal" if self.backend == "fal" else ""
        return errors.Interrupted(
            f"Stopped waiting. Job {self.id} keeps running{at_fal} (request id {self.request_id}).",
            remedy=f"Resume: run the cell again, or %kling show {self.id}\nCancel: %kling cancel {self.id}",
            request_id=self.request_id,
        )

    def _unknown_error(self) -> errors.Interrupted:
        return errors.Interrupted(
            f"Stopped waiting. The state of job {self.id} is not known yet.",
            remedy=f"Look at it: %kling show {self.id}",
            request_id=self.request_id,
        )

    # -- watching --------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(event, state)` for every event from now on, on the background thread.

        Returns:
            A function that removes the listener.
        """
        handle = object()
        self._listeners[handle] = listener
        return lambda: self._listeners.pop(handle, None) and None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield the events from now on, on the caller's loop, until the job ends."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def pass_on(event: Event | None) -> None:
            with contextlib.suppress(RuntimeError):  # the caller's loop is closed and reads no more events
                loop.call_soon_threadsafe(queue.put_nowait, event)

        unsubscribe = self.subscribe(lambda event, _: pass_on(event))
        self._done.add_done_callback(lambda _: pass_on(None))  # comes after the last event
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            unsubscribe()

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        return self.events()

    # -- cancelling ------------------------------------------------------------

    def cancel(self) -> str:
        """Ask fal to stop the job, wait for the answer, and return the outcome in words.

        Raises:
            KlingError: fal could not be asked.
        """
        return wait(self.cancel_soon())

    def cancel_soon(self) -> Future[str]:
        """Cancel the job as `cancel` does, without blocking."""
        return self._background.spawn(self._cancel_here())

    async def _cancel_here(self) -> str:
        return await self.cancellation.request(self.state.state)

    # -- changes, on the background thread -------------------------------------------

    def _apply(self, event: Event) -> None:
        """Apply one event, call the listeners, and end all waits if it is the last event."""
        if self.state.state.finished:
            return
        if isinstance(event, Logged):
            self._lines.append(event)
        self.state = state = fold(self.state, event)
        finished = state.state.finished
        if finished and self.finished_at is None:
            self.finished_at = time.time()
        for handle, listener in tuple(self._listeners.items()):
            try:
                listener(event, state)
            except Exception:
                if handle not in self._failed_listeners:  # else a traceback for each event
                    self._failed_listeners.add(handle)
                    text = "Job %s: a listener failed. The job goes on. Further errors of it are not shown."
                    log.exception(text, self.id)
        if not isinstance(event, Logged):  # a line answers nothing
            self._answer(held=isinstance(event, Held))
        if finished:
            self._wake()

    def _answer(self, *, held: bool) -> None:
        """End the waits for the answer to the submission if there is one. A held job lets the process end."""
        if self.state.state is not State.SUBMITTING and not self._answered.done():
            self._answered.set_result(None)
        if (held or self._answered.done()) and not self._may_end.done():
            self._may_end.set_result(None)

    @property
    def made_on(self) -> str:
        """Day on which the result was made, as `2026-11-03`; empty while there is none."""
        return self._take.sidecar.finished_at[:10] if self._take else ""

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        """Keep the process alive inside the block, which sends a request that has waited for its turn.

        While it waits, the row says that nothing was sent, so the process may end.
        """
        future: Future[None] = Future()
        self._may_end = future
        self._background.finish_before_exit(future)
        try:
            yield
        finally:
            if not future.done():
                future.set_result(None)

    def _set_take(self, take: Take) -> None:
        """Set the result from the stored take, before the job is READY. Reads the file.

        Raises:
            MediaError: The file is damaged or missing.
        """
        result = take.result()
        self.file, self._take = take.path, take
        self.video = result if isinstance(result, Video) else None
        if isinstance(result, dict):
            self.output = result
        self.result = result

    def _restore(self, state: JobState, *, lines: Sequence[Logged] = ()) -> None:
        """Set the final state of a job that ended earlier, before any caller waits for it."""
        self.state = state
        self._lines.extend(lines)
        self._wake()

    def _wake(self) -> None:
        self._listeners.clear()
        if self.state.state is State.READY:
            self._done.set_result(self.result or {})
        elif self.state.state is State.CANCELLED:
            self._done.set_exception(
                errors.JobCancelled(f"Job {self.id} was cancelled.", request_id=self.request_id)
            )
        else:
            self._done.set_exception(self.error or errors.KlingError(f"Job {self.id} failed."))

    # -- showing ---------------------------------------------------------------

    def widget(self) -> Any:
        """Return a live view of the job for a notebook."""
        return _presenter().widget(self)

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return _presenter().bundle(self)

    def _display_(self) -> Any:
        return _presenter().display(self)  # marimo's hook

    def __repr__(self) -> str:
        prompt = self.request.prompt
        short = prompt if len(prompt) <= 40 else prompt[:39] + "…"
        return f"<Job {self.id} {self.state.state.value} {self.request.endpoint.short_name} {short!r}>"


# -- what a cancel does at each point of a job's life ---------------------------------

OUTCOMES = {
    CancelOutcome.REMOVED: "Cancelled. Not charged.",
    CancelOutcome.REQUESTED: "fal was asked to stop the job. If it still finishes, you pay and get it.",
    CancelOutcome.ALREADY_COMPLETED: "Too late: the job has finished. Its result is fetched.",
    CancelOutcome.NOT_FOUND: "fal does not know this request, or no longer does.",
}


def ends_at_once(outcome: CancelOutcome, state: State) -> bool:
    """Return True if fal's answer to a cancel is the end of a job that was in `state` when fal was asked.

    A running job may still give a result, which is billed, so it is followed to its end.
    """
    return outcome is CancelOutcome.REMOVED and state is State.IN_QUEUE


def row_of_cancelled(state: State) -> dict[str, Any]:
    """Return the ledger columns of a job that was cancelled in `state`.

    Nothing is billed for a job that had not started. A runner that was stopped may have cost something.
    """
    unpaid = {"reserved_usd": 0.0} if state in NOT_STARTED else {}
    return {"state": State.CANCELLED, **unpaid}


class Cancellation:
    """The cancel of one job. Background thread.

    During the uploads, a cancel ends them, and nothing is submitted. While the submission is unanswered, the
    cancel waits for the answer. After that, fal is asked at once: a queued job ends, and a running job ends
    when fal stops it, or still gives its result.

    Attributes:
        is_requested: True once a cancel was requested.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._cancel: Callable[[], Awaitable[str]] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def request(self, state: State) -> str:
        """Cancel the job, now or as soon as possible, and return the outcome in words.

        Raises:
            KlingError: fal could not be asked.
        """
        if state.finished:
            return f"The job has already ended ({state.value})."
        self.is_requested = True
        if self._cancel is None:
            return "The job will be cancelled as soon as fal answers the submission."
        return await self._cancel()

    @contextlib.contextmanager
    def before_submission(self, end: Callable[[], Awaitable[None]]) -> Iterator[None]:
        """Inside the block, a cancel ends the job at once by calling `end`."""

        async def cancel() -> str:
            await end()
            return "Cancelled. Nothing was sent."

        self._cancel = cancel
        try:
            yield
        finally:
            self._cancel = None

    def after_submission(
        self, cancel: Callable[[], Awaitable[str]], on_failure: Callable[[str], None]
    ) -> None:
        """Use `cancel` from now on: it asks fal and returns the outcome in words.

        It is called now if a cancel was requested before. If that fails, `on_failure` gets a line of text.
        """

        async def cancel_now() -> None:
            try:
                await cancel()
            except errors.KlingError as fault:
                on_failure(f"Not cancelled: {fault.message}")

        self._cancel = cancel
        if self.is_requested:
            self._asking = asyncio.create_task(cancel_now())

    def explains(self, ended: Completed, fault: errors.KlingError) -> bool:
        """Return True if a job ended because of a cancel. fal has no status for that (FAL-PROTOCOL §7).

        `ended` is what its status reports, `fault` the error that its result URL gave.
        """
        if "client_cancelled" in {ended.error_type, getattr(fault, "error_type", None)}:
            return True
        failed = ended.error is not None and not getattr(fault, "details", ())
        return self.is_requested and (failed or isinstance(fault, errors.RequestNotFound))
