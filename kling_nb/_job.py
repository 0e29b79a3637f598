"""`Job`: one submission and its life, as the user sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from kling_nb import _front_end, errors
from kling_nb.engine import Engine, wait, wait_async
from kling_nb.events import Event, JobState, Logged, State, fold
from kling_nb.media import Result, Take
from kling_nb.request import VideoRequest
from kling_nb.video import Video

log = logging.getLogger(__name__)

Listener = Callable[[Event, JobState], None]
INTERRUPT_SECONDS = 5.0
"""How long an interrupted cell waits for fal's answer to its cancel."""


class Presenter:
    """How a front end shows jobs. The notebook layer registers one; this one shows text."""

    def widget(self, job: Job) -> Any:
        """A live view of the job."""
        raise errors.UsageError(
            "There is no widget outside a notebook.", remedy="In a notebook: %load_ext kling_nb first."
        )

    def bundle(self, job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
        """MIME types for a job that ends a cell, and the output's metadata."""
        return {"text/plain": repr(job)}, {}

    def display(self, job: Job) -> Any:
        """What marimo shows of a job that ends a cell."""
        return repr(job)


def _presenter() -> Presenter:
    """How jobs are shown in this process."""
    shown_by = _front_end.job_presenter
    return shown_by() if shown_by is not None else Presenter()


class Job:
    """One submission. Made by `submit`, `generate`, `get_job` or `%%kling`.

    `await job` (in a cell) or `job.wait()` gives the result, or raises what went wrong: a `Video`; of an
    endpoint that gives a sound or a picture a `MediaFile`; of one that gives data only a dict.

    Threads: reading, `subscribe`, `wait` and `cancel` may be called from any thread. `apply` and
    `finish` belong to the engine thread.

    Attributes:
        id: Our id, `[0-9a-f]{12}`; `%kling show`, `get_job` and the ledger take it.
        request: What was asked for.
        backend: "fal" or "local".
        created_at: Unix seconds of the submission.
        finished_at: Unix seconds of the end, or None.
        reused: True where an earlier take was found, so nothing was sent or paid.
        state: A `JobState`.
        lines: Log lines so far.
        result: What waiting gives, once ready.
        video: The same where it is a `Video`; an endpoint that gives something else leaves it None.
        file: Where the result is stored, once ready.
        files: Further files of the result by name, such as the `audio` of a video with its sound.
        output: What the model returned, once known.
        answered: Done once fal has answered the submission, or the job has ended.
        expected_seconds: How long jobs of this endpoint took before, or None.
        maker: The `Session` it belongs to, which can make another take.
    """

    def __init__(
        self,
        job_id: str,
        *,
        request: VideoRequest,
        backend: str,
        engine: Engine,
        created_at: float | None = None,
    ) -> None:
        self.id = job_id
        self.request = request
        self.backend = backend
        self.created_at = time.time() if created_at is None else created_at
        self.finished_at: float | None = None
        self.reused = False
        self.state = JobState()
        self.result: Result | None = None
        self.video: Video | None = None
        self.file: Path | None = None
        self.files: dict[str, Path] = {}
        self.output: dict[str, Any] | None = None
        self.expected_seconds: float | None = None
        self.cancel_wanted = False
        self.maker: Any = None
        self._lines: list[Logged] = []
        self._listeners: dict[object, Listener] = {}
        self.answered: Future[None] = Future()
        self._done: Future[Result] = Future()
        self._engine = engine
        self._pid = os.getpid()
        self._canceller: Callable[[], Awaitable[str]] | None = None

    @property
    def lines(self) -> Sequence[Logged]:
        """Log lines so far; grows while the job runs."""
        return self._lines

    @property
    def request_id(self) -> str | None:
        """fal's id, once known."""  # noqa: D403 -- that is how fal writes itself
        return self.state.request_id

    @property
    def error(self) -> Exception | None:
        """What waiting raises, once the job has failed."""
        return self.state.error

    @property
    def done(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self._done.done()

    # -- waiting ---------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> Result:
        """Block until the result is there.

        Args:
            timeout: Seconds; None waits without limit.

        Returns:
            The video; of other endpoints a `MediaFile` (sound, picture), or the data as a dict.

        Raises:
            WaitTimeout: The time ran out; the job goes on.
            Interrupted: Ctrl-C or ■. A queued job is cancelled then, a running one goes on.
            KlingError: What went wrong with the job.
        """
        self._check_followed()
        try:
            return wait(self._done, timeout)
        except TimeoutError as fault:
            if self._done.done():
                return self._done.result()
            raise self.timed_out(timeout) from fault
        except KeyboardInterrupt as fault:
            raise wait(self._engine.spawn(self.interrupted())) from fault

    async def wait_async(self, timeout: float | None = None) -> Result:  # noqa: ASYNC109 -- as `wait`
        """The same for `await`; cancelling the caller leaves the job alone."""
        self._check_followed()
        try:
            return await wait_async(self._done, timeout)
        except TimeoutError as fault:
            if self._done.done():
                return self._done.result()
            raise self.timed_out(timeout) from fault

    def _check_followed(self) -> None:
        """A forked process has the job, and nobody who follows it."""
        if self._pid != os.getpid() and not self.done:
            raise errors.UsageError(
                f"Job {self.id} is followed in the process that this one was forked from.",
                remedy=f"Follow it here, too: kling_nb.get_job({self.id!r}).wait()",
            )

    def __await__(self) -> Generator[Any, None, Result]:
        return self.wait_async().__await__()

    def timed_out(self, timeout: float | None) -> errors.WaitTimeout:
        """The error of a wait that ran out."""
        return errors.WaitTimeout(
            f"Not finished after {timeout:g} s ({self.state.state.value}); the job goes on.",
            remedy=f"Run the cell again to go on waiting, or: %kling show {self.id}",
            request_id=self.request_id,
        )

    async def interrupted(self) -> errors.Interrupted:
        """What an interrupt means now: a queued job is cancelled, a running one goes on. Engine thread."""
        if self.state.state in {State.SUBMITTING, State.IN_QUEUE}:
            try:
                outcome = await asyncio.wait_for(self.cancel_here(), INTERRUPT_SECONDS)
            except (TimeoutError, errors.KlingError):
                outcome = "fal did not answer the cancel; the job may go on"
            return errors.Interrupted(
                f"Interrupted while waiting in the queue: {outcome}.", request_id=self.request_id
            )
        return errors.Interrupted(
            f"Interrupted. Job {self.id} runs already and goes on (request id {self.request_id}).",
            remedy=f"Get it: run the cell again, or %kling show {self.id}\nStop it: %kling cancel {self.id}",
            request_id=self.request_id,
        )

    def spawn_interrupt(self) -> Future[errors.Interrupted]:
        """`interrupted` for callers on another loop."""
        return self._engine.spawn(self.interrupted())

    # -- watching --------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(event, state)` for every event from now on, on the engine thread.

        Returns:
            A function that ends it.
        """
        handle = object()
        self._listeners[handle] = listener
        return lambda: self._listeners.pop(handle, None) and None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Events from now on, on the caller's loop, until the job is done."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def pass_on(event: Event | None) -> None:
            with contextlib.suppress(RuntimeError):  # the caller's loop is closed: nobody reads any more
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
        """Ask fal to stop the job; returns what came of it, in words. Blocks for the answer.

        Raises:
            KlingError: fal could not be asked.
        """
        return wait(self.cancel_soon())

    def cancel_soon(self) -> Future[str]:
        """The same without blocking."""
        return self._engine.spawn(self.cancel_here())

    async def cancel_here(self) -> str:
        """The same on the engine thread."""
        if self.done:
            return f"it had already ended ({self.state.state.value})"
        self.cancel_wanted = True
        if self._canceller is None:
            return "it is cancelled as soon as fal has answered the submission"
        return await self._canceller()

    def set_canceller(self, canceller: Callable[[], Awaitable[str]] | None) -> None:
        """Say how to cancel, once there is a request to cancel. Engine thread."""
        self._canceller = canceller

    # -- changes, on the engine thread -------------------------------------------

    def apply(self, event: Event) -> None:
        """Take in one event, tell the listeners, and wake the waiting when it is the last."""
        if self.done:
            return
        if isinstance(event, Logged):
            self._lines.append(event)
        self.state = fold(self.state, event)
        if self.state.state.finished and self.finished_at is None:
            self.finished_at = time.time()
        for listener in list(self._listeners.values()):
            try:
                listener(event, self.state)
            except Exception:
                log.exception("A listener of job %s failed", self.id)
        if self.state.state is not State.SUBMITTING and not self.answered.done():
            self.answered.set_result(None)
        if self.state.state.finished:
            self._wake()

    def take_in(self, take: Take) -> None:
        """The take that the result was filed as. Before the job is READY; reads the disk.

        Raises:
            MediaError: The file is damaged or gone.
        """
        result = take.result()
        self.file, self.files = take.path, take.others()
        self.video = result if isinstance(result, Video) else None
        if isinstance(result, dict):
            self.output = result
        self.result = result

    def restore(self, state: JobState, *, lines: Sequence[Logged] = ()) -> None:
        """Begin at a known end: a take found on disk, a row of the ledger. Before anybody waits."""
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
        """A live view of the job, in a notebook."""
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
