"""From a job to its static card."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kling_nb._job import Job
from kling_nb.catalog import endpoint
from kling_nb.errors import KlingError
from kling_nb.events import State
from kling_nb.video import Video

if TYPE_CHECKING:
    from kling_nb.notebook.card import Card


def card_of(job: Job) -> Card:
    """What the card of `job` says now."""
    from kling_nb.notebook.card import Card  # noqa: PLC0415 -- not before something is shown

    request, state = job.request, job.state
    video = job.video
    return Card(
        job_id=job.id,
        state=state.state.value,
        title=request.endpoint.title,
        endpoint=request.endpoint.id,
        prompt=request.prompt,
        parameters={
            name: value for name, value in request.resolved.items() if name not in {"prompt", "text"}
        },
        request_id=job.request_id,
        backend=job.backend,
        take=video.take if video is not None else None,
        reused=job.reused,
        units=state.units,
        elapsed=job.finished_at - job.created_at if job.finished_at and not job.reused else None,
        error=str(job.error) if job.error is not None else None,
        lines=tuple((line.timestamp, line.message) for line in job.lines),
        video=video,
        src=source_of(job.file) if job.file is not None else None,
        kind=request.endpoint.output_kind,
    )


def card_of_video(video: Video) -> Card:
    """The card of a finished take."""
    from kling_nb.notebook.card import Card  # noqa: PLC0415 -- not before something is shown

    made = video.request or {}
    given = dict(made.get("input") or {})
    endpoint_id = str(made.get("endpoint") or "")
    prompt = given.pop("prompt", None) or given.pop("text", None) or video.path.name
    return Card(
        job_id=f"take-{video.path.stem}",
        state=State.READY.value,
        title=_title(endpoint_id),
        endpoint=endpoint_id,
        prompt=str(prompt),
        parameters=given,
        request_id=video.request_id,
        backend=video.backend or "",
        take=video.take,
        reused=False,
        units=None,
        elapsed=None,
        error=None,
        lines=(),
        video=video,
        src=source_of(video.path),
    )


def _title(endpoint_id: str) -> str:
    try:
        return endpoint(endpoint_id).title
    except KlingError:
        return endpoint_id or "Video"


def source_of(path: Path) -> str | None:
    """The file's address as a notebook in the working folder sees it; None on another drive."""
    try:
        return Path(os.path.relpath(path, Path.cwd())).as_posix()
    except ValueError:
        return None
