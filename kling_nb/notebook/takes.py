"""The takes that one job widget shows: that of its job, those found beside it, and those made from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kling_nb import errors
from kling_nb.errors import KlingError, ResponseError, UsageError
from kling_nb.events import Event, JobState, Logged, State
from kling_nb.notebook.again import Maker
from kling_nb.notebook.as_cell import as_cell
from kling_nb.notebook.card_words import STATES
from kling_nb.notebook.served import served_url
from kling_nb.request import VideoRequest
from kling_nb.video import Video

TEXT_LIMIT = 4_000
"""Characters of a text in a message; prompts of all endpoints are shorter."""
FOUND_LIMIT = 40
"""Earlier takes that a widget shows."""

_PASSING = (
    errors.AuthenticationError,
    errors.AccessDenied,
    errors.InsufficientBalance,
    errors.RateLimited,
    errors.UnreachableError,
    errors.MediaError,
    errors.LedgerError,
)
"""Faults on the way to a result that fal may have: they say nothing about the request itself."""


class JobLike(Protocol):
    """What the widget needs of a job. `state`, `lines`, `video` are up to date when a listener is called."""

    @property
    def id(self) -> str: ...  # noqa: D102 -- this and the rest: as `kling_nb.Job`
    @property
    def request(self) -> VideoRequest: ...  # noqa: D102
    @property
    def backend(self) -> str: ...  # noqa: D102
    @property
    def created_at(self) -> float: ...  # noqa: D102
    @property
    def finished_at(self) -> float | None: ...  # noqa: D102
    @property
    def expected_seconds(self) -> float | None: ...  # noqa: D102
    @property
    def reused(self) -> bool: ...  # noqa: D102
    @property
    def done(self) -> bool: ...  # noqa: D102
    @property
    def state(self) -> JobState: ...  # noqa: D102
    @property
    def lines(self) -> Sequence[Logged]: ...  # noqa: D102
    @property
    def video(self) -> Video | None: ...  # noqa: D102
    @property
    def file(self) -> Path | None: ...  # noqa: D102
    @property
    def error(self) -> Exception | None: ...  # noqa: D102
    @property
    def maker(self) -> Maker | None: ...  # noqa: D102
    def subscribe(self, listener: Callable[[Event, JobState], None]) -> Callable[[], None]: ...  # noqa: D102
    def cancel_soon(self) -> Future[str]: ...  # noqa: D102


@dataclass(eq=False)
class Take:
    """One place in the strip.

    Attributes:
        key: Names it in messages; a job that is taken up again gets a new one.
        job: What is shown there.
        told: Log lines sent to views so far.
        news: Whether there is something to tell.
        fault: What an observer of the widget raised, in words.
        leave: Ends the listening to the job, while it runs.
    """

    key: int
    job: JobLike
    told: int = 0
    news: bool = False
    fault: str = ""
    leave: Callable[[], None] | None = None

    def about(self) -> dict[str, Any]:
        """What does not change as the job goes on."""
        job, request = self.job, self.job.request
        return {
            "key": self.key,
            "job_id": job.id,
            "endpoint": request.endpoint.id,
            "title": request.endpoint.title,
            "prompt": clip(request.prompt),
            "backend": job.backend,
            "created_at": job.created_at,
            "expected": job.expected_seconds,
            "reused": job.reused,
            "input": {name: _shown(value) for name, value in request.input.items()},
        }

    def fields(self) -> dict[str, Any]:
        """What changes, but for the log lines."""
        job, now, video = self.job, self.job.state, self.job.video
        cell, no_cell = _cell(job)
        received, total = now.transferred
        return {
            **saved(job),
            "message": self.fault or _why_no_video(job),
            "resumed": now.resumed,
            "resumable": job.maker is not None and _unsettled(job),
            "queue_position": now.queue_position,
            "received": received,
            "total": total,
            "fps": video.fps if video else None,
            "frame_count": video.frame_count if video else None,
            "number": video.take if video else None,
            "url": served_url(video.path) if video else None,
            "cost": cost(job),
            "cell": cell,
            "no_cell": no_cell,
        }


def saved(job: JobLike) -> dict[str, Any]:
    """What changes and may be kept in the notebook."""
    video = job.video
    return {
        "state": job.state.state.value,
        "request_id": job.state.request_id,
        "finished_at": job.finished_at,
        "message": _why_no_video(job),
        "width": video.width if video else None,
        "height": video.height if video else None,
        "duration": video.duration if video else None,
    }


def found_beside(job: JobLike) -> Sequence[JobLike]:
    """Earlier takes of the same request, as finished jobs; none where they cannot be read."""
    if job.maker is None:
        return []
    with suppress(KlingError, OSError):
        return job.maker.takes_of(job.request, job.backend)[-FOUND_LIMIT:]
    return []


def cost(job: JobLike) -> str:
    """What it cost, as far as is known; empty while that is open."""
    state, error = job.state.state, job.error
    if not state.finished:
        return ""
    if job.backend == "local":
        return "free preview"
    if job.reused:
        return "no charge: an earlier take"
    units = job.state.units or (error.billable_units if isinstance(error, ResponseError) else None)
    if units:
        return "not charged" if units in {"0", "0.0"} else f"{clip(units, 20)} billable units"
    if isinstance(error, errors.PlatformError):
        return "not charged"
    if state is State.FAILED and job.state.request_id is None:
        return "not submitted, not charged"
    return "cost not known"


def words(error: Exception) -> str:
    """What an error says to the user."""
    return clip(str(error) if isinstance(error, KlingError) else f"{type(error).__name__}: {error}", 2_000)


def clip(text: str, limit: int = TEXT_LIMIT) -> str:
    """`text`, cut to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _why_no_video(job: JobLike) -> str:
    """What there is to say of a job that has ended without a video; empty for others."""
    if job.error is not None:
        return words(job.error)
    state = job.state.state
    if state is State.READY and job.video is None:
        return "The result is not a video. The job's `output` has it."
    return STATES[state][1] if state.finished and state is not State.READY else ""


def _unsettled(job: JobLike) -> bool:
    """Whether fal may still have a result, so that it is worth asking again."""
    if job.state.state is State.UNCERTAIN:
        return True
    return job.state.request_id is not None and isinstance(job.error, _PASSING)


def _cell(job: JobLike) -> tuple[str, str]:
    """The cell that makes it, or why there is none."""
    number = job.video.take if job.video else None
    try:
        return as_cell(job.request.endpoint, job.request.input, take=number), ""
    except UsageError as fault:
        return "", str(fault)


def _shown(value: Any) -> Any:
    """An input's value as a page needs it: long texts, such as pictures in data URIs, only begin."""
    if isinstance(value, str):
        return clip(value)
    if isinstance(value, Mapping) and set(value) == {"sha256", "name"}:
        return str(value["name"])
    text = json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= TEXT_LIMIT else clip(text)
