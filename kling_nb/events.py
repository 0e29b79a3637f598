"""What can happen to a job, and the state that follows from it.

Events are facts in the order they became known. `fold` is pure, so the kernel, the
terminal and a test come to the same state from the same events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    """Where a job stands. The names are the ledger's and the widget's too."""

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
        """Whether nothing more will happen by itself."""
        return self in _FINISHED

    @property
    def closed(self) -> bool:
        """Whether nothing more is known to come at all: an unclear submission may still be found."""
        return self.finished and self is not State.UNCERTAIN


_FINISHED = frozenset({State.READY, State.FAILED, State.CANCELLED, State.UNCERTAIN})


@dataclass(frozen=True, slots=True)
class Uploading:
    """Local files are on their way, before anything is submitted. Sizes are bytes, of all of them."""

    sent: int
    total: int


@dataclass(frozen=True, slots=True)
class Submitted:
    """fal took the request and gave it an id.

    Attributes:
        request_id: fal's id, opaque.
        resumed: True where the id came from the ledger, not from a new submission.
    """

    request_id: str
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """Waiting; `position` requests are ahead (0-based), None where fal did not say."""

    position: int | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A runner works on it."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One log line.

    Attributes:
        message: The line, text from outside.
        timestamp: As fal sent it (ISO 8601, with or without zone), or None.
        level: As fal sent it, or None.
    """

    message: str
    timestamp: str | None = None
    level: str | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """fal says COMPLETED. That is not success: the result's code is (FAL-PROTOCOL §4).

    Attributes:
        error: fal's text where it already knows of a failure.
        error_type: fal's type of that failure.
        inference_time: Seconds, where given.
    """

    error: str | None = None
    error_type: str | None = None
    inference_time: float | None = None


@dataclass(frozen=True, slots=True)
class Downloading:
    """The result is there and its file is being fetched. Sizes are bytes."""

    received: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The file is stored under its final name. `units` is `x-fal-billable-units`, where sent."""

    units: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """No result. `error` is the exception that waiting for the job raises."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Cancelled:
    """fal confirmed that the job ended without a result because it was asked to."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """The submission was sent and not answered."""

    error: Exception


Event = (
    Uploading
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
    """A job at one moment. Log lines are kept by the job; here is only their number.

    Attributes:
        state: Where it stands.
        request_id: fal's id, once known.
        resumed: Whether the submission was made earlier, and this process only came back to it.
        queue_position: Requests ahead, while IN_QUEUE and known.
        lines: Log lines so far.
        received: Bytes of the result so far, while DOWNLOADING.
        total: Bytes expected, where known.
        units: Billable units, where fal said them.
        inference_time: Seconds of inference, where fal said them.
        error: What waiting raises, in FAILED, CANCELLED and UNCERTAIN.
        uploaded: Bytes of local files that are sent, while SUBMITTING.
        upload_size: Bytes of them in all, or None where nothing is uploaded.
    """

    state: State = State.SUBMITTING
    request_id: str | None = None
    resumed: bool = False
    queue_position: int | None = None
    lines: int = 0
    received: int = 0
    total: int | None = None
    units: str | None = None
    inference_time: float | None = None
    error: Exception | None = None
    uploaded: int = 0
    upload_size: int | None = None

    @property
    def transferred(self) -> tuple[int, int | None]:
        """Bytes so far, and in all where known: of the files that go up, or of the result that comes."""
        if self.state is State.SUBMITTING:
            return self.uploaded, self.upload_size
        return (self.received, self.total) if self.state is State.DOWNLOADING else (0, None)


def fold(now: JobState, event: Event) -> JobState:
    """The state after `event`. A finished job stays as it is, whatever arrives late."""
    if now.state.finished:
        return now
    match event:
        case Uploading(sent, total):
            return replace(now, uploaded=sent, upload_size=total)
        case Submitted(request_id, resumed):
            return replace(now, state=State.IN_QUEUE, request_id=request_id, resumed=resumed)
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
        case Failed(error):
            return replace(now, state=State.FAILED, error=error)
        case Cancelled():
            return replace(now, state=State.CANCELLED, queue_position=None)
        case Unclear(error):
            return replace(now, state=State.UNCERTAIN, error=error)
