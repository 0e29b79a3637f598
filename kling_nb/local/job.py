"""One request: its states, its log, and what its result URL answers."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

LOG_WINDOW = 120.0
"""Seconds of log that a status carries: fal shows a moving window, of unknown length (FAL-PROTOCOL §4.1)."""

State = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the result URL gives once the job is over.

    Attributes:
        code: HTTP status.
        body: JSON object.
        units: `x-fal-billable-units`, None to leave the header out.
        error_type: The platform's error type, where the platform and not the model failed.
        headers: More headers.
    """

    code: int
    body: Mapping[str, Any]
    units: str | None = None
    error_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a runner's log; `seconds` is the wall clock, unique within a job."""

    seconds: float
    message: str
    level: str = "INFO"

    def to_json(self) -> dict[str, str]:
        """As a status carries it: a timestamp in UTC with microseconds and no zone, as fal's have none."""
        stamp = (
            datetime.fromtimestamp(self.seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        )
        return {"timestamp": stamp, "message": self.message, "level": self.level, "source": "USER"}


class Job:
    """A submitted request. Belongs to the server's loop; other threads must not touch it.

    Attributes:
        id: Request id, opaque to clients.
        app: `owner/alias`, under which status, result and cancel are found.
        path: The rest of the endpoint's id, which the runner must know.
        body: Raw bytes of the input; checked by the runner, not at submit (FAL-PROTOCOL §3.4).
        low: Whether it asked for low priority.
        webhook: Address asked for with `fal_webhook`, or None.
        keeps_payloads: Whether input and output may be shown in the list of requests.
        submitted_at: When it came, UTC; `started_at` and `ended_at` likewise, or None.
        state: Where it stands.
        cancelled: Whether a client asked for its end.
        answer: What the result URL gives, once COMPLETED.
        changed: Set at the next change, and replaced by a new one then.
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
    ) -> None:
        self.id = _request_id()
        self.app, self.path, self.body = app, path, body
        self.low, self.webhook, self.keeps_payloads = low, webhook, keeps_payloads
        self.submitted_at = datetime.now(UTC)
        self.started_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.state: State = "IN_QUEUE"
        self.cancelled = False
        self.answer: Answer | None = None
        self.changed = asyncio.Event()
        self._lines: list[LogLine] = []
        self._started = 0.0
        self._inference_time: float | None = None

    @property
    def endpoint_id(self) -> str:
        """The id as it was submitted."""
        return f"{self.app}/{self.path}" if self.path else self.app

    @property
    def lines(self) -> list[LogLine]:
        """All log lines so far."""
        return self._lines

    def log(self, message: str, seconds: float | None = None, level: str = "INFO") -> None:
        """Add a line, stamped with `seconds` of the wall clock (now when None)."""
        now = time.time() if seconds is None else seconds
        if self._lines:  # clients tell lines apart by stamp and text
            now = max(now, self._lines[-1].seconds + 2e-6)
        self._lines.append(LogLine(now, message, level))
        self.notify()

    def start(self) -> None:
        """A runner has taken it."""
        self.state = "IN_PROGRESS"
        self.started_at = datetime.now(UTC)
        self._started = time.perf_counter()
        self.notify()

    def finish(self, answer: Answer) -> None:
        """It is over, well or not. Later answers are ignored."""
        if self.answer is not None:
            return
        if self._started:
            self._inference_time = round(time.perf_counter() - self._started, 4)
        self.answer = answer
        self.ended_at = datetime.now(UTC)
        self.state = "COMPLETED"
        self.notify()

    def notify(self) -> None:
        """Wake everyone who waits for a change."""
        self.changed.set()
        self.changed = asyncio.Event()

    def urls(self, base: str) -> dict[str, str]:
        """The three addresses of the submit reply; without the sub-path (FAL-PROTOCOL §2)."""
        url = f"{base}/{self.app}/requests/{self.id}"
        return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}

    def window(self) -> list[dict[str, str]]:
        """The log lines of the last `LOG_WINDOW` seconds."""
        oldest = time.time() - LOG_WINDOW
        return [line.to_json() for line in self._lines if line.seconds >= oldest]

    def status(self, base: str, position: int, logs: list[dict[str, str]] | None) -> dict[str, Any]:
        """The status object (FAL-PROTOCOL §4): position only while queued, error only when failed."""
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
    """What status and webhook add for an answer that failed: `error`, and the platform's `error_type`."""
    if answer.code == 200:
        return {}
    if answer.error_type is None:
        return {"error": f"Invalid status code: {answer.code}"}
    return {"error": str(answer.body.get("detail", "")), "error_type": answer.error_type}


def _request_id() -> str:
    """A UUID of version 7 in text: time first, as fal's newer ids (FAL-PROTOCOL §3.3)."""
    stamp = int(time.time() * 1000).to_bytes(6, "big").hex()
    noise = secrets.token_hex(10)
    return f"{stamp[:8]}-{stamp[8:]}-7{noise[:3]}-{'89ab'[int(noise[3], 16) % 4]}{noise[4:7]}-{noise[7:19]}"


def flat(code: int, detail: str, error_type: str, **headers: str) -> Answer:
    """An answer of the platform: a flat `detail` and an `error_type` (FAL-PROTOCOL §6.2, §11.2)."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(code, {"detail": detail, "error_type": error_type}, error_type=error_type, headers=names)


def parse_body(body: bytes) -> Any:
    """The JSON value of a body; an empty body counts as an empty object.

    Raises:
        ValueError: It is no JSON.
    """
    return json.loads(body) if body.strip() else {}


def in_an_hour() -> str:
    """ISO time one hour from now, in UTC."""
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()
