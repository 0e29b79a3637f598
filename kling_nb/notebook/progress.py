"""Progress of a job as text, printed by the thread that waits: other threads never print."""

from __future__ import annotations

import queue
import time
from typing import TextIO

from kling_nb._job import Job
from kling_nb.engine import wait
from kling_nb.events import Event, JobState, Logged, State
from kling_nb.media import Result

REFRESH_SECONDS = 0.5


def wait_with_progress(job: Job, stream: TextIO, timeout: float | None) -> Result:
    """Block until the job has ended, showing its state and log lines meanwhile.

    Raises:
        WaitTimeout: `timeout` seconds passed; the job goes on.
        Interrupted: Ctrl-C.
        KlingError: What went wrong with the job.
    """
    events: queue.SimpleQueue[tuple[Event, JobState]] = queue.SimpleQueue()
    unsubscribe = job.subscribe(lambda event, state: events.put((event, state)))
    line = StatusLine(job, stream)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while not job.done:
            try:
                event, _ = events.get(timeout=REFRESH_SECONDS)
            except queue.Empty:
                event = None
            if isinstance(event, Logged):
                line.log(event)
            line.refresh()
            if deadline is not None and time.monotonic() > deadline and not job.done:
                raise job.timed_out(timeout)
        while not events.empty():
            event, _ = events.get()
            if isinstance(event, Logged):
                line.log(event)
        return job.wait()
    except KeyboardInterrupt as fault:
        raise wait(job.spawn_interrupt()) from fault
    finally:
        line.clear()
        unsubscribe()


class StatusLine:
    """One line that is rewritten on a terminal; elsewhere a new line for each new state."""

    def __init__(self, job: Job, stream: TextIO) -> None:
        self._job = job
        self._stream = stream
        self._live = stream.isatty()
        self._shown = ""

    def log(self, line: Logged) -> None:
        """Print a log line above the status line."""
        self.clear()
        moment = (line.timestamp or "")[11:19]
        self._stream.write(f"  {moment:8}  {_printable(line.message)}\n")

    def refresh(self) -> None:
        """Show the state as it is now."""
        text = describe(self._job)
        if self._live:
            elapsed = time.time() - self._job.created_at
            self.clear()
            self._shown = f"{text}  {elapsed:.0f} s"
            self._stream.write(self._shown)
            self._stream.flush()
        elif text != self._shown:
            self._shown = text
            self._stream.write(f"{text}\n")

    def clear(self) -> None:
        """Take the status line away."""
        if self._live and self._shown:
            self._stream.write("\r\x1b[K")
            self._shown = ""


def describe(job: Job) -> str:
    """A job's state in words."""
    state = job.state
    match state.state:
        case State.SUBMITTING:
            if state.upload_size and state.uploaded < state.upload_size:
                return f"uploading {100 * state.uploaded // state.upload_size} %"
            return "submitting"
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


def _printable(text: str) -> str:
    """Text from outside without what could steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)[:2000]
