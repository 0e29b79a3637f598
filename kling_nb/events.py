"""Events of a job, and the state that follows from them.

`fold` is pure, so the kernel, the terminal and a test derive the same state from the same events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from kling_nb.errors import NOT_FINAL, InputError, InputRefused


class State(StrEnum):
    """The state of a job. The ledger and the widgets use the same names."""

    SUBMITTING = "SUBMITTING"
    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    DOWNLOADING = "DOWNLOADING"
    READY = "READY"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNCERTAIN = "UNCERTAIN"

    @property
    def finished(self) -> bool:
        """True if the job changes no more by itself."""
        return self in _FINISHED

    @property
    def closed(self) -> bool:
        """True if the job is finished and its submission is not unclear."""
        return self.finished and self is not State.UNCERTAIN


_FINISHED = frozenset({State.READY, State.FAILED, State.CANCELLED, State.UNCERTAIN})

NOT_STARTED = frozenset({State.SUBMITTING, State.IN_QUEUE})
"""States in which no runner works on a job yet. fal bills nothing for a job that is cancelled then."""


@dataclass(frozen=True, slots=True)
class Uploading:
    """Local files are being uploaded before the submission. Sizes are bytes of all files together."""

    sent: int
    total: int


@dataclass(frozen=True, slots=True)
class Held:
    """fal accepts no more requests of the account now, so the request waits here and is sent later."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """fal accepted the request.

    Attributes:
        request_id: fal's id, opaque.
        resumed: True if the id came from the ledger, not from a new submission.
    """

    request_id: str
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits in the queue. `position` is the number of requests ahead, or None."""

    position: int | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A runner works on the request."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One log line.

    Attributes:
        message: The line. It is untrusted text.
        timestamp: fal's timestamp (ISO 8601, with or without zone), or None.
        level: fal's level, or None.
    """

    message: str
    timestamp: str | None = None
    level: str | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """The status is COMPLETED. Only the status code of the result means success (FAL-PROTOCOL §4).

    Attributes:
        error: fal's text if the request failed, or None.
        error_type: fal's type of the failure, or None.
        inference_time: Seconds, or None.
    """

    error: str | None = None
    error_type: str | None = None
    inference_time: float | None = None


@dataclass(frozen=True, slots=True)
class Downloading:
    """The file of the result is being downloaded. Sizes are bytes."""

    received: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The file is stored under its final name. `units` is `x-fal-billable-units`, or None."""

    units: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The job has no result. `error` is the exception that waiting for the job raises."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Cancelled:
    """fal confirmed that it cancelled the job."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """The submission was sent, and no clear answer came."""

    error: Exception


Event = (
    Uploading
    | Held
    | Submitted
    | Queued
    | Running
    | Logged
    | Completed
    | Downloading
    | Ready
    | Failed
    | Cancelled
    | Unclear
)


@dataclass(frozen=True, slots=True)
class JobState:
    """The state of a job at one moment. The job itself keeps the log lines.

    Attributes:
        state: The state.
        request_id: fal's id, or None until it is known.
        resumed: True if the job was submitted earlier and this process resumed it.
        queue_position: Requests ahead while IN_QUEUE, or None.
        held: True while fal accepts no more requests of the account, so that this one waits to be sent.
        lines: Number of log lines so far.
        received: Bytes of the result so far, while DOWNLOADING.
        total: Bytes expected, or None.
        units: Billable units, or None.
        inference_time: Seconds of inference, or None.
        error: The error that waiting raises, in FAILED, CANCELLED and UNCERTAIN.
        uploaded: Bytes of local files sent so far, while SUBMITTING.
        upload_size: Bytes of all local files, or None if nothing is uploaded.
        unpaid: True if the job was cancelled before it started: fal bills nothing for it.
    """

    state: State = State.SUBMITTING
    request_id: str | None = None
    resumed: bool = False
    queue_position: int | None = None
    held: bool = False
    lines: int = 0
    received: int = 0
    total: int | None = None
    units: str | None = None
    inference_time: float | None = None
    error: Exception | None = None
    uploaded: int = 0
    upload_size: int | None = None
    unpaid: bool = False

    @property
    def bytes_transferred(self) -> tuple[int, int | None]:
        """The bytes so far and in all (or None) of the current upload or download."""
        if self.state is State.SUBMITTING:
            return self.uploaded, self.upload_size
        return (self.received, self.total) if self.state is State.DOWNLOADING else (0, None)


class Ending(StrEnum):
    """Why there is no result, as far as it decides what can be done next.

    `STEPS` in `notebook/widgets/takes.py` has the buttons for each.
    """

    UNSENT = "UNSENT"
    """It was never started, so nothing was sent. It can be started."""
    OPEN = "OPEN"
    """fal has the job, or may have it. It can be resumed at no extra charge."""
    REFUSED = "REFUSED"
    """The input was refused, and would be refused again."""
    FAILED = "FAILED"
    """It failed or was cancelled, and fal has no result. The request can be sent again, at a new charge."""


def ending_of(now: JobState) -> Ending | None:
    """Return why a job has no result; None if it has one, or still runs."""
    if now.state is State.UNCERTAIN:
        return Ending.OPEN
    if now.state not in {State.FAILED, State.CANCELLED}:
        return None
    if now.request_id is not None and isinstance(now.error, NOT_FINAL):
        return Ending.OPEN
    return Ending.REFUSED if isinstance(now.error, (InputError, InputRefused)) else Ending.FAILED


def fold(now: JobState, event: Event) -> JobState:
    """Return the state after `event`. A late event does not change a finished job."""
    if now.state.finished:
        return now
    match event:
        case Uploading(sent, total):
            return replace(now, uploaded=sent, upload_size=total)
        case Held():
            return replace(now, held=True)
        case Submitted(request_id, resumed):
            return replace(now, state=State.IN_QUEUE, request_id=request_id, resumed=resumed, held=False)
        case Queued(position):
            return replace(now, state=State.IN_QUEUE, queue_position=position)
        case Running():
            return replace(now, state=State.IN_PROGRESS, queue_position=None)
        case Logged():
            return replace(now, lines=now.lines + 1)
        case Completed(inference_time=seconds):
            return replace(now, state=State.DOWNLOADING, queue_position=None, inference_time=seconds)
        case Downloading(received, total):
            return replace(now, state=State.DOWNLOADING, received=received, total=total)
        case Ready(units):
            return replace(now, state=State.READY, units=units)
        case Failed(error) | Unclear(error):
            ended = State.FAILED if isinstance(event, Failed) else State.UNCERTAIN
            return replace(now, state=ended, error=error, held=False)
        case Cancelled():
            unpaid = now.state in NOT_STARTED
            return replace(now, state=State.CANCELLED, queue_position=None, held=False, unpaid=unpaid)
