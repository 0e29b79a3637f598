"""`Outputs`, what the magics need of a front end, and its form for terminals."""

from __future__ import annotations

import json
import queue
import sys
import time
from contextlib import suppress
from typing import TextIO
from urllib.parse import urlencode

from kling_nb.api import default_session, local_notice
from kling_nb.background import wait
from kling_nb.events import Event, Logged, State
from kling_nb.fal.options import SubmitOptions
from kling_nb.job.job import Job
from kling_nb.job.plan import Outcome, Plan
from kling_nb.media import Result
from kling_nb.notebook.card import grid as grid_card
from kling_nb.notebook.card.job import card_text
from kling_nb.sweeps.sweep import Sweep, SweepCell


class ShownSweep:
    """A sweep in the outputs. This form shows nothing."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep

    def wait(self, timeout: float | None) -> None:
        """Block until every cell has ended, with or without a result."""
        self._sweep.wait(timeout, check=False)

    def finish(self) -> None:
        """Show the final state, if all cells have ended."""


def show_text(text: str, stream: TextIO | None = None, *, end: str = "\n") -> None:
    """Print text, by default to standard output.

    A stream that is closed or full, or cannot encode a character, must not end a paid job.
    """
    out = stream or sys.stdout
    with suppress(OSError, ValueError):
        try:
            print(text, end=end, file=out, flush=True)
        except UnicodeEncodeError as fault:
            shown = text.encode(fault.encoding, "backslashreplace").decode(fault.encoding)
            print(shown, end=end, file=out, flush=True)


class Outputs:
    """What the magics need of a front end, as text. `KernelOutputs` has the form for notebooks."""

    has_widgets = False

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._is_explained = False

    @property
    def notebook(self) -> str | None:
        """Path of the notebook, for the ledger, as the front end gives it."""
        return None

    def text(self, text: str) -> None:
        """Print text."""
        show_text(text, self._stream)

    def table(self, text: str, html: str) -> None:
        """Show a table as text or HTML."""
        self.text(text)

    def plan(self, plan: Plan) -> None:
        """Print a plan."""
        self.text(plan_text(plan))

    def explain(self, backend: str) -> None:
        """Print once that jobs are local previews because there is no key. The user may have chosen that."""
        if not self._is_explained and backend == "local" and not default_session().settings().chosen:
            self._is_explained = True
            self.text(local_notice())

    def show(self, job: Job, *, quiet: bool) -> None:
        """Print what the user should know about a job, and show it."""
        if not quiet:
            self.explain(job.backend)
            for line in job.about:
                self.text(line)
            self.show_job(job)

    def show_job(self, job: Job) -> None:
        """Show a job, live while it runs. As text, only a finished one is shown."""
        if job.done:
            self.text(card_text(job))

    def wait(self, job: Job, timeout: float | None, *, quiet: bool) -> Result:
        """Block until the job has ended: with a progress line, then print the result."""
        if quiet or job.done:
            return job.wait(timeout)
        result = wait_with_progress(job, self._stream, timeout)
        self.text(card_text(job))
        return result

    def show_sweep(self, sweep: Sweep, *, quiet: bool) -> ShownSweep:
        """Show a sweep, live while it runs. As text, it prints its progress during `wait`."""
        if quiet:
            return ShownSweep(sweep)
        self.explain(sweep[0].plan.settings.backend)
        return TerminalSweep(sweep, self._stream)


def plan_text(plan: Plan) -> str:
    """Return what a call would do, with the exact JSON."""
    request = plan.request
    body = json.dumps(request.to_json()["input"], indent=2, ensure_ascii=False)
    parameters = (plan.options.to_query() if plan.options else {}) | (
        {"fal_webhook": plan.webhook_url} if plan.webhook_url else {}
    )
    query = f"?{urlencode(parameters)}" if parameters else ""
    first = f"POST {plan.settings.hosts.queue}/{request.endpoint.id}{query}"
    options = _option_lines(plan.options)
    return "\n".join([first, *options, body, *plan.notices, *_outcome_lines(plan)])


def _outcome_lines(plan: Plan) -> list[str]:
    """Return what a run would do and cost, with the take or job that it would use, and whether it may."""
    if plan.found is not None:
        detail = [f"Take {plan.found.sidecar.take}: {plan.found.path.name}."]
    elif plan.elsewhere is not None:
        detail = [f"It is {plan.elsewhere.path}."]
    elif plan.shared is not None:
        detail = [f"Take {plan.shared.sidecar.take}."]
    elif plan.unfinished is not None and not plan.submits:
        detail = [f"Job {plan.unfinished.id}."]
    else:
        detail = []
    if plan.outcome is Outcome.RESULT_GONE:
        detail.append("--new makes it.")
    lines = [" ".join([plan.words, *detail, "Nothing was sent."])]
    if plan.refusal is not None:
        lines.append(f"A run would be refused now: {plan.refusal}")
    return lines


def _option_lines(options: SubmitOptions | None) -> list[str]:
    """Return the headers of the options. Values of the user's own headers are masked: they may be secret."""
    if options is None:
        return []
    own = options.headers or {}
    return [f"{name}: {'***' if name in own else value}" for name, value in options.to_headers().items()]


class TerminalSweep(ShownSweep):
    """A sweep in a terminal: a line for each progress, then the table."""

    def __init__(self, sweep: Sweep, stream: TextIO | None) -> None:
        super().__init__(sweep)
        self._stream = stream
        self._finished = False

    def wait(self, timeout: float | None) -> None:
        """Block as `Sweep.wait`, and print the progress. A failed cell raises no error here."""
        ended: queue.SimpleQueue[SweepCell] = queue.SimpleQueue()
        leave = self._sweep.subscribe(ended.put)
        try:
            self._follow(ended, timeout)
        finally:
            leave()

    def _follow(self, ended: queue.SimpleQueue[SweepCell], timeout: float | None) -> None:
        shown = ""
        start = time.monotonic()
        while not self._sweep.done:
            try:
                ended.get(timeout=REFRESH_SECONDS)
            except queue.Empty:
                pass
            except KeyboardInterrupt:
                raise wait(self._sweep._spawn_interrupt()) from None
            if shown != (shown := self._sweep.summary()):
                show_text(shown, self._stream)
            if timeout is not None and time.monotonic() > start + timeout:
                self._sweep.wait(0.001, check=False)

    def finish(self) -> None:
        """Print the table once."""
        if not self._finished:
            self._finished = True
            show_text(grid_card.sweep_text(self._sweep), self._stream)


# -- The progress of a job as text. Only the waiting thread prints.


REFRESH_SECONDS = 0.5


def wait_with_progress(job: Job, stream: TextIO | None, timeout: float | None) -> Result:
    """Block as `Job.wait`, and show the state and the log lines of the job, those before this call too."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    unsubscribe = job.subscribe(lambda event, _: events.put(event))
    line = StatusLine(job, stream)
    shown = len(job.lines) if job.reused else 0  # The log begins with the notices of a new job.
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while not (job.done and events.empty() and shown == len(job.lines)):
            with suppress(queue.Empty):
                events.get(timeout=REFRESH_SECONDS if shown == len(job.lines) else 0)
            while shown < len(job.lines):
                line.log(job.lines[shown])
                shown += 1
            line.refresh()
            if deadline is not None and time.monotonic() > deadline and not job.done:
                raise job._timeout_error(timeout)
        return job.wait()
    except KeyboardInterrupt as fault:
        raise wait(job._spawn_interrupt()) from fault
    finally:
        line.clear()
        unsubscribe()


class StatusLine:
    """A status line, rewritten on a terminal; elsewhere a new line for each new state."""

    def __init__(self, job: Job, stream: TextIO | None) -> None:
        self._job = job
        self._stream = stream or sys.stdout
        self._live = False
        with suppress(AttributeError, ValueError):  # There is no stream, or it is closed.
            self._live = self._stream.isatty()
        self._shown = ""

    def log(self, line: Logged) -> None:
        """Print a log line above the status line."""
        self.clear()
        moment = (line.timestamp or "")[11:19]
        # A text from outside may have characters that control a terminal.
        message = "".join(char if char.isprintable() else " " for char in line.message)[:2000]
        show_text(f"  {moment:8}  {message}", self._stream)

    def refresh(self) -> None:
        """Show the current state."""
        text = describe(self._job)
        if self._live:
            elapsed = time.time() - self._job.created_at
            self.clear()
            self._shown = f"{text}  {elapsed:.0f} s"
            show_text(self._shown, self._stream, end="")
        elif text != self._shown:
            self._shown = text
            show_text(text, self._stream)

    def clear(self) -> None:
        """Remove the status line."""
        if self._live and self._shown:
            show_text("\r\x1b[K", self._stream, end="")
            self._shown = ""


def describe(job: Job) -> str:
    """Return a job's state in words."""
    state = job.state
    match state.state:
        case State.SUBMITTING:
            if state.upload_size and state.uploaded < state.upload_size:
                return f"uploading {100 * state.uploaded // state.upload_size} %"
            return "waiting: the account runs its maximum of requests" if state.held else "submitting"
        case State.IN_QUEUE:
            ahead = state.queue_position
            return "in queue" if ahead is None else f"in queue, {ahead} ahead" if ahead else "in queue, next"
        case State.IN_PROGRESS:
            return "in progress"
        case State.DOWNLOADING:
            if state.total:
                return f"downloading {100 * state.received // state.total} %"
            return "downloading"
        case other:
            return other.value.lower()
