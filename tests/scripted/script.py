"""What a job will do, written down before it does it.

A `Script` is a list of steps. With `pace="watched"` (the default) each *look* at the job
(a status reply, a stream that has sent all there is, a result asked too early) moves it
one step on, so a client sees every step, in order, whatever the machine's speed. With
`pace="free"` a job runs on unwatched until a `Hold` or a step with `after`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that happens to a job; `after` (s) is how long it takes to come once it is due."""

    after: float = 0.0


@dataclass(frozen=True)
class Queue(Step):
    """IN_QUEUE with so many requests ahead; after `Run` it stands for a job that was put back."""

    position: int = 0


@dataclass(frozen=True)
class Run(Step):
    """IN_PROGRESS."""


@dataclass(frozen=True)
class Hold(Step):
    """Stop here until the test calls `job.release()`."""


@dataclass(frozen=True)
class Ping(Step):
    """A `: ping` comment on every open stream."""


@dataclass(frozen=True)
class Log(Step):
    """A log line.

    Attributes:
        timestamp: "auto" counts seconds from a fixed day, naive as in real captures; None leaves it out.
        level, source: sent where given; without either, `labels` is sent as in real captures.
    """

    message: str
    timestamp: str | None = "auto"
    level: str | None = None
    source: str | None = None

    def entry(self, number: int) -> dict[str, Any]:
        """The line as fal writes it; `number` is its place in the job's log."""
        minutes, seconds = divmod(number, 60)
        stamp = f"2024-12-20T15:{minutes % 60:02}:{seconds:02}.117120"
        entry: dict[str, Any] = {} if self.timestamp is None else {"timestamp": self.timestamp}
        if self.timestamp == "auto":
            entry["timestamp"] = stamp
        entry["message"] = self.message
        if self.level is None and self.source is None:
            return entry if self.timestamp is None else {**entry, "labels": {}}
        named = {"level": self.level, "source": self.source}
        return entry | {name: text for name, text in named.items() if text is not None}


@dataclass(frozen=True)
class Done(Step):
    """COMPLETED, and the result is a 200.

    Attributes:
        video: bytes of the file to offer; None is the sample MP4.
        output: the whole result body, in place of one with a video.
        extra: added to the result body.
        bare: the File carries nothing but its `url`.
        units: `x-fal-billable-units`; None leaves the header out.
        inference_time: seconds, in `metrics`.
    """

    video: bytes | None = None
    output: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False
    units: str | None = "5"
    inference_time: float | None = 126.7
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fail(Step):
    """COMPLETED, and the result is not a 200.

    Attributes:
        status, body, headers: the result's.
        error: text in the status reply; None leaves it out, so that only the result tells.
        error_type: in the status reply, for failures of the platform.
    """

    status: int = 500
    body: Any = field(default_factory=lambda: {"detail": "Internal Server Error"})
    error: str | None = "Invalid status code: 500"
    error_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def refused(cls, *details: Mapping[str, Any], units: str | None = None, silent: bool = False) -> Self:
        """A 422 of the model: each detail has `loc`, `msg`, `type`, and may have `url`, `ctx`, `input`."""
        headers = {"x-fal-retryable": "false"} | ({} if units is None else {"x-fal-billable-units": units})
        error = None if silent else "Invalid status code: 422"
        return cls(422, {"detail": [dict(detail) for detail in details]}, error, None, headers)

    @classmethod
    def platform(cls, error_type: str, status: int = 503, detail: str = "The runner failed") -> Self:
        """A failure of fal's own: a flat body with `error_type`, and the header of the same name."""
        body = {"detail": detail, "error_type": error_type}
        return cls(status, body, detail, error_type, {"x-fal-error-type": error_type})

    @classmethod
    def plain(cls, status: int = 500, detail: str = "Internal Server Error", *, silent: bool = False) -> Self:
        """An app's own error: `{"detail": "text"}`; 404 `Path /x not found` is a wrong sub-path."""
        return cls(status, {"detail": detail}, None if silent else f"Invalid status code: {status}")

    @classmethod
    def start_timeout(cls) -> Self:
        """The caller's own start timeout has run out: 504, marked as the user's."""
        late = cls.platform("startup_timeout", 504, "Request did not start in time")
        headers = {**late.headers, "x-fal-request-timeout-type": "user"}
        return replace(late, headers=headers)


def instant() -> tuple[Step, ...]:
    """A job in which all goes well: two ahead, then next, four lines, a video."""
    lines = ("Loading model", "Sampling 10%", "Sampling 60%", "Encoding video")
    return (Queue(2), Queue(0), Run(), *(Log(line) for line in lines), Done())


@dataclass(frozen=True)
class Script:
    """The life of one job.

    Attributes:
        steps: the first is taken at submit; a script without `Done` or `Fail` never ends.
        pace: "watched" or "free", see the module.
        log_window: lines that a status reply, or the first event of a stream, carries at
            most: fal sends a moving window. None sends all.
        on_cancel: "stop" ends the job as client_cancelled (200 while queued, 202 while it
            runs), "ignore" says 202 and goes on, "vanish" makes the request unknown.
    """

    steps: Sequence[Step] = field(default_factory=instant)
    pace: Literal["watched", "free"] = "watched"
    log_window: int | None = 5
    on_cancel: Literal["stop", "ignore", "vanish"] = "stop"
