"""`Job`: one request, with its state, its log and its answer. `JobQueue` runs them."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal

LOG_WINDOW = 120.0
"""A status has the log of this many seconds. fal shows a window of unknown length (FAL-PROTOCOL §4.1)."""

State = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply of the result URL after the job has ended.

    Attributes:
        code: HTTP status.
        body: JSON object.
        units: `x-fal-billable-units`, None to leave the header out.
        error_type: The platform's error type; None if the job succeeded or the model failed.
        headers: More headers.
        files: What kling_nb reads instead of a download, by URL: see `StatusStream`.
    """

    code: int
    body: Mapping[str, Any]
    units: str | None = None
    error_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a runner's log. `seconds` is the unix time, unique within a job."""

    seconds: float
    message: str
    level: str = "INFO"

    def to_json(self) -> dict[str, str]:
        """Return the line for a status. The timestamp is in UTC and has no zone, as fal's."""
        stamp = (
            datetime.fromtimestamp(self.seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        )
        return {"timestamp": stamp, "message": self.message, "level": self.level, "source": "USER"}


class Job:
    """A submitted request. Only the server's loop may use it.

    Attributes:
        id: Request id.
        app: `owner/alias`, the path of status, result and cancel.
        path: The rest of the endpoint's id.
        body: Raw bytes of the input. The runner checks it, not the submission (FAL-PROTOCOL §3.4).
        low: True for low priority.
        webhook: URL from `fal_webhook`, or None.
        keeps_payloads: True if the list of requests may show input and output.
        acl: Who may fetch its files without a signed URL: `allow`, `forbid` or `hide`.
        submitted_at: Time of the submission in UTC. `started_at` and `ended_at` are None until then.
        state: Current state.
        cancelled: True if a client has cancelled it.
        answer: The reply of the result URL, once COMPLETED.
        changed: Is set at the next change, and then replaced by a new event.
        lines: The log so far.
    """

    def __init__(
        self,
        app: str,
        path: str,
        body: bytes,
        *,
        low: bool = False,
        webhook: str | None = None,
        keeps_payloads: bool = True,
        acl: str = "allow",
    ) -> None:
        self.id = _request_id()
        self.app, self.path, self.body = app, path, body
        self.low, self.webhook, self.keeps_payloads, self.acl = low, webhook, keeps_payloads, acl
        self.submitted_at = datetime.now(UTC)
        self.started_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.state: State = "IN_QUEUE"
        self.cancelled = False
        self.answer: Answer | None = None
        self.changed = asyncio.Event()
        self.lines: list[LogLine] = []
        self._started = 0.0
        self._inference_time: float | None = None

    @property
    def endpoint_id(self) -> str:
        """The full endpoint id of the submission."""
        return f"{self.app}/{self.path}" if self.path else self.app

    def log(self, message: str, seconds: float | None = None, level: str = "INFO") -> None:
        """Add a line with the unix time `seconds`, by default the current time."""
        now = time.time() if seconds is None else seconds
        if self.lines:  # Clients recognise lines by timestamp and text, so timestamps must differ.
            now = max(now, self.lines[-1].seconds + 2e-6)
        self.lines.append(LogLine(now, message, level))
        self.notify()

    def start(self) -> None:
        """Mark the job as started by a runner."""
        self.state = "IN_PROGRESS"
        self.started_at = datetime.now(UTC)
        self._started = time.perf_counter()
        self.notify()

    def finish(self, answer: Answer) -> None:
        """End the job with a success or an error. Later answers are ignored."""
        if self.answer is not None:
            return
        if self._started:
            self._inference_time = round(time.perf_counter() - self._started, 4)
        self.answer = answer
        self.ended_at = datetime.now(UTC)
        self.state = "COMPLETED"
        self.notify()

    def notify(self) -> None:
        """Wake all tasks that wait for a change."""
        self.changed.set()
        self.changed = asyncio.Event()

    def urls(self, base: str) -> dict[str, str]:
        """Return the three URLs of the submit reply. They do not contain `path` (FAL-PROTOCOL §2)."""
        url = f"{base}/{self.app}/requests/{self.id}"
        return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}

    def window(self) -> list[dict[str, str]]:
        """Return the log lines of the last `LOG_WINDOW` seconds."""
        oldest = time.time() - LOG_WINDOW
        return [line.to_json() for line in self.lines if line.seconds >= oldest]

    def status(self, base: str, position: int, logs: list[dict[str, str]] | None) -> dict[str, Any]:
        """Return the status object (FAL-PROTOCOL §4): a position while queued, an error if it failed."""
        body: dict[str, Any] = {
            "status": self.state,
            "request_id": self.id,
            **self.urls(base),
            "logs": logs,
            "metrics": {},
        }
        if self.state == "IN_QUEUE":
            body["queue_position"] = position
        if self.answer is not None:
            body["metrics"] = {"inference_time": self._inference_time}
            body |= failure(self.answer)
        return body


def failure(answer: Answer) -> dict[str, str]:
    """Return the fields of status and webhook for an error: `error`, and the platform's `error_type`."""
    if answer.code == 200:
        return {}
    if answer.error_type is None:
        return {"error": f"Invalid status code: {answer.code}"}
    return {"error": str(answer.body.get("detail", "")), "error_type": answer.error_type}


def _request_id() -> str:
    """Return a UUID of version 7 as text. It begins with the time, as fal's newer ids (FAL-PROTOCOL §3.3)."""
    stamp = int(time.time() * 1000).to_bytes(6, "big").hex()
    noise = secrets.token_hex(10)
    return f"{stamp[:8]}-{stamp[8:]}-7{noise[:3]}-{'89ab'[int(noise[3], 16) % 4]}{noise[4:7]}-{noise[7:19]}"


def platform_error(code: int, detail: str, error_type: str, **headers: str) -> Answer:
    """Return an error of the platform: a `detail` text and an `error_type` (FAL-PROTOCOL §6.2, §11.2)."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(code, {"detail": detail, "error_type": error_type}, error_type=error_type, headers=names)


def parse_body(body: bytes) -> Any:
    """Return the JSON value of a body, `{}` for an empty one, or raise `ValueError`."""
    return json.loads(body) if body.strip() else {}


# -- the queue ------------------------------------------------------------------------

QUEUE_SECONDS = 1.5
"""A job stays queued for this long at speed 1, even if a runner is free."""

Run = Callable[[Job], Awaitable[Answer]]

_CANCELLED = platform_error(499, "Request was cancelled by the client", "client_cancelled")
_TIMED_OUT = platform_error(
    504,
    "Request did not start processing before its start timeout",
    "request_timeout",
    X_Fal_Request_Timeout_Type="user",
)


class JobQueue:
    """All jobs since the server was started. Only the server's loop may use it.

    Args:
        run: Runs one job and returns its answer.
        runners: Number of jobs that run at once.
        speed: Divides the waiting time; `inf` for no waiting.
    """

    def __init__(self, run: Run, *, runners: int, speed: float) -> None:
        self._run = run
        self._delay = QUEUE_SECONDS / speed
        self._jobs: dict[str, Job] = {}
        self._waiting: list[tuple[bool, int, float, Job]] = []
        self._numbers = count()
        self._wake = asyncio.Event()
        self._tasks = [asyncio.create_task(self._runner()) for _ in range(runners)]

    def submit(self, job: Job, start_timeout: float | None) -> None:
        """Queue a job behind all of its priority. It fails unless it starts in `start_timeout` seconds."""
        now = asyncio.get_running_loop().time()
        self._jobs[job.id] = job
        self._waiting.append((job.low, next(self._numbers), now + self._delay, job))
        self._waiting.sort(key=lambda entry: entry[:2])
        if start_timeout is not None:
            asyncio.get_running_loop().call_later(start_timeout, self._expire, job)
        self._wake.set()
        self._notify_waiting()

    def find(self, app: str, request_id: str) -> Job | None:
        """Return the job with this id and app, or None."""
        job = self._jobs.get(request_id)
        return job if job is not None and job.app == app else None

    def newest_first(self) -> list[Job]:
        """Return all jobs, the newest first."""
        return list(reversed(self._jobs.values()))

    def position(self, job: Job) -> int:
        """Return the number of queued jobs before this one."""
        return next((at for at, entry in enumerate(self._waiting) if entry[3] is job), 0)

    def waiting(self, endpoint_id: str) -> int:
        """Return the number of queued jobs of an endpoint."""
        return sum(entry[3].endpoint_id == endpoint_id for entry in self._waiting)

    def cancel(self, job: Job) -> tuple[int, str]:
        """Cancel a job. Return HTTP status and word of the reply (FAL-PROTOCOL §7).

        fal does not document the state of a cancelled request. Here it becomes COMPLETED with the platform's
        `client_cancelled`: at once if it was queued, otherwise when the runner has stopped.
        """
        if job.state == "COMPLETED":
            return 400, "ALREADY_COMPLETED"
        job.cancelled = True
        if job.state == "IN_PROGRESS":
            job.notify()
            return 202, "CANCELLATION_REQUESTED"
        self._drop(job, _CANCELLED)
        return 200, "OK"

    async def close(self) -> None:
        """Stop the runners and cancel all jobs."""
        for job in self._jobs.values():
            job.cancelled = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _expire(self, job: Job) -> None:
        if job.state == "IN_QUEUE":
            self._drop(job, _TIMED_OUT)

    def _drop(self, job: Job, answer: Answer) -> None:
        self._waiting = [entry for entry in self._waiting if entry[3] is not job]
        job.finish(answer)
        self._notify_waiting()

    def _notify_waiting(self) -> None:
        """Notify all queued jobs, because their positions may have changed."""
        for *_, job in self._waiting:
            job.notify()

    async def _runner(self) -> None:
        while True:
            job = await self._next()
            job.start()
            self._notify_waiting()
            answer = await self._run(job)
            job.finish(_CANCELLED if job.cancelled else answer)

    async def _next(self) -> Job:
        """Wait for the first job that may start, and remove it from the queue."""
        while True:
            now = asyncio.get_running_loop().time()
            ready = next((entry for entry in self._waiting if entry[2] <= now), None)
            if ready is not None:
                self._waiting.remove(ready)
                return ready[3]
            self._wake.clear()
            soonest = min((entry[2] - now for entry in self._waiting), default=None)
            try:
                async with asyncio.timeout(soonest):
                    await self._wake.wait()
            except TimeoutError:
                continue
