"""A job: its script, how far it has come, and the test's hand on it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .script import Done, Fail, Hold, Log, Ping, Queue, Run, Script, Step

CANCELLED = Fail.platform("client_cancelled", 499, "Request was cancelled by the client")


@dataclass(frozen=True)
class Submission:
    """A submit that was taken: from here on it costs money.

    Attributes:
        input: the JSON object sent as the body.
        headers: lower-case names, as sent.
        at: when, in UTC.
    """

    request_id: str
    endpoint_id: str
    app: str
    input: Mapping[str, Any]
    headers: Mapping[str, str]
    query: Mapping[str, str]
    at: datetime


@dataclass(frozen=True)
class Snapshot:
    """A job between two steps; `logs` lines had been written by then."""

    state: str
    position: int = 0
    logs: int = 0
    ping: bool = False

    @property
    def final(self) -> bool:
        return self.state == "COMPLETED"


class Job:
    """One accepted submission.

    `release`, `advance`, `finish` and `forget` are for the test's thread and return when the
    step is done; reading is for any thread; all else belongs to the server's loop.
    """

    def __init__(
        self,
        submission: Submission,
        script: Script,
        on_loop: Callable[[Callable[[], None]], None],
        changed: Callable[[], None],
    ) -> None:
        self.submission = submission
        self.script = script
        self.log: list[dict[str, Any]] = []
        self.outcome: Done | Fail | None = None
        self.cancel_asked = False
        self.forgotten = False
        self.started_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.history = [Snapshot("IN_QUEUE")]
        self.news = asyncio.Event()
        self._on_loop = on_loop
        self._changed = changed
        self._next = 0
        self._permits = 0
        self._due: int | None = None
        if self._step() is not None and not isinstance(self._step(), Hold) and not self._waits():
            self._take(first=True)
        self._run_free()

    # what it is

    @property
    def request_id(self) -> str:
        return self.submission.request_id

    @property
    def input(self) -> Mapping[str, Any]:
        return self.submission.input

    @property
    def now(self) -> Snapshot:
        return self.history[-1]

    @property
    def state(self) -> str:
        """IN_QUEUE, IN_PROGRESS or COMPLETED."""
        return self.now.state

    @property
    def held(self) -> bool:
        """It stands at a `Hold`."""
        return not self.now.final and isinstance(self._step(), Hold)

    # the test's hand

    def release(self) -> None:
        """Let it past its `Hold` (the next one, if it is not there yet) and take the step behind that."""
        self._on_loop(self._release)

    def advance(self) -> None:
        """Take the next step now, whatever it waits for."""
        self._on_loop(self._force)

    def finish(self) -> None:
        """Take every step up to the end."""
        self._on_loop(self._finish)

    def forget(self) -> None:
        """Make the request unknown (404), like a request with an expired result."""
        self._on_loop(self.vanish)

    # on the loop

    def look(self) -> bool:
        """Somebody has seen `now`; True if there is already something newer."""
        seen = len(self.history)
        if self.script.pace == "watched":
            self._move()
        return len(self.history) > seen

    def cancel(self) -> tuple[int, str]:
        """Code and word of the cancel reply."""
        if self.now.final:
            return 400, "ALREADY_COMPLETED"
        self.cancel_asked = True
        queued = self.state == "IN_QUEUE" and self.script.on_cancel != "ignore"
        if self.script.on_cancel == "stop":
            self._record(CANCELLED)
        elif self.script.on_cancel == "vanish":
            self.vanish()
        self._changed()
        return (200, "OK") if queued else (202, "CANCELLATION_REQUESTED")

    def vanish(self) -> None:
        self.forgotten = True
        self._announce()

    def _step(self) -> Step | None:
        steps = self.script.steps
        return steps[self._next] if self._next < len(steps) and self.outcome is None else None

    def _release(self) -> None:
        self._permits += 1
        self._move()
        self._run_free()

    def _force(self) -> None:
        while isinstance(self._step(), Hold):
            self._next += 1
        self._take()
        self._run_free()

    def _finish(self) -> None:
        while self._step() is not None:
            self._force()

    def _run_free(self) -> None:
        while self.script.pace == "free" and self._move():
            pass

    def _move(self) -> bool:
        """Take the next step if nothing holds it back."""
        while isinstance(self._step(), Hold) and self._permits:
            self._permits -= 1
            self._next += 1
        if self._step() is None or isinstance(self._step(), Hold) or self._waits():
            return False
        self._take()
        return True

    def _waits(self) -> bool:
        """Whether the next step has a delay; if so, its time starts now, once."""
        step = self._step()
        if step is None or not step.after:
            return False
        if self._due != self._next:
            self._due = self._next
            asyncio.get_running_loop().call_later(step.after, self._ripe, self._next)
        return True

    def _ripe(self, index: int) -> None:
        if index == self._next and self._step() is not None:
            self._take()
            self._run_free()

    def _take(self, *, first: bool = False) -> None:
        step = self._step()
        if step is None:
            return
        self._next += 1
        if first:
            self.history.clear()
        self._record(step)

    def _record(self, step: Step) -> None:
        before = self.history[-1] if self.history else Snapshot("IN_QUEUE")
        if isinstance(step, Log):
            self.log.append(step.entry(len(self.log)))
        elif isinstance(step, Run):
            self.started_at = self.started_at or datetime.now(UTC)
        elif isinstance(step, Done | Fail):
            self.outcome = step
            self.ended_at = datetime.now(UTC)
        position = step.position if isinstance(step, Queue) else before.position
        self.history.append(Snapshot(_state(step, before), position, len(self.log), isinstance(step, Ping)))
        self._announce()

    def _announce(self) -> None:
        self.news.set()
        self.news = asyncio.Event()
        self._changed()


def _state(step: Step, before: Snapshot) -> str:
    match step:
        case Queue():
            return "IN_QUEUE"
        case Run():
            return "IN_PROGRESS"
        case Done() | Fail():
            return "COMPLETED"
    return before.state
