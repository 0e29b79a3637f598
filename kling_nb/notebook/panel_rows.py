"""Jobs, ledger rows and endpoints as the panel's views show them: plain, short, and text only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kling_nb._job import Job
from kling_nb.catalog import Endpoint, endpoint
from kling_nb.errors import UnknownEndpoint
from kling_nb.events import Logged
from kling_nb.ledger import Entry
from kling_nb.notebook.listing import price
from kling_nb.notebook.served import served_url
from kling_nb.notebook.takes import clip, words
from kling_nb.video import Video

LINES_SHOWN = 200
"""Log lines of an opened job."""
_PROMPT = 200
_LINE = 500
_VALUE = 300


def live_fields(job: Job) -> dict[str, Any]:
    """What changes while a job goes on."""
    state, last = job.state, job.lines[-1:]
    received, total = state.transferred
    return {
        "id": job.id,
        "state": state.state.value,
        "request_id": job.request_id,
        "queue_position": state.queue_position,
        "received": received,
        "total": total,
        "finished_at": job.finished_at,
        "message": "" if job.error is None else words(job.error),
        "line": clip(last[0].message, _PROMPT) if last else "",
        "has_media": job.file is not None,
    }


def job_row(job: Job) -> dict[str, Any]:
    """Everything about a job that its row says."""
    about = _about(job.request.endpoint.id)
    return {
        **live_fields(job),
        **about,
        "prompt": clip(job.request.prompt, _PROMPT),
        "backend": job.backend,
        "created_at": job.created_at,
        "expected_seconds": job.expected_seconds,
        "reused": job.reused,
    }


def entry_row(entry: Entry) -> dict[str, Any]:
    """The same of a submission in the ledger."""
    return {
        "id": entry.id,
        "state": entry.state.value,
        "request_id": entry.request_id,
        "finished_at": entry.finished_at,
        "message": clip(entry.error or "", _PROMPT),
        "has_media": entry.media_path is not None,
        **_about(entry.endpoint),
        "prompt": clip(entry.prompt, _PROMPT),
        "backend": entry.backend,
        "created_at": entry.created_at,
    }


def detail(job: Job) -> dict[str, Any]:
    """What is shown beside an opened job."""
    request = job.request
    parameters = [
        [name, value_text(value)] for name, value in request.resolved.items() if value != request.prompt
    ]
    return {
        "prompt": clip(request.prompt),
        "parameters": parameters,
        "units": job.state.units,
        "url": served_url(job.file) if job.file else None,
        **log(job.lines),
        **_measures(job.video),
    }


def log(lines: Sequence[Logged]) -> dict[str, Any]:
    """The last log lines, and how many there are in all."""
    return {
        "lines": [[line.timestamp, clip(line.message, _LINE), line.level] for line in lines[-LINES_SHOWN:]],
        "line_count": len(lines),
    }


def _measures(video: Video | None) -> dict[str, Any]:
    names = ("width", "height", "duration", "fps", "frame_count", "take")
    return {name: getattr(video, name, None) for name in names}


def catalogue_row(one: Endpoint) -> list[str]:
    """An endpoint in the chooser: id, short name, title, category, price in words."""
    return [one.id, one.short_name, one.title, one.category, price(one) if one.price else ""]


def _about(endpoint_id: str) -> dict[str, str]:
    try:
        one = endpoint(endpoint_id)
    except UnknownEndpoint:
        return {"endpoint": endpoint_id, "short_name": endpoint_id, "title": endpoint_id}
    return {"endpoint": one.id, "short_name": one.short_name, "title": one.title}


def value_text(value: Any) -> str:
    """A parameter as text. Pictures inside data URIs are long; their beginning says enough."""
    if isinstance(value, Mapping) and "sha256" in value:
        return clip(str(value.get("name", "a file")), _VALUE)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return clip(text, _VALUE)
