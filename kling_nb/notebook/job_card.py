"""From a job to its static card."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb._default import default_session
from kling_nb._job import Job
from kling_nb.errors import KlingError
from kling_nb.events import State
from kling_nb.ledger import Entry
from kling_nb.media import Result, Take
from kling_nb.video import MediaFile, Video

if TYPE_CHECKING:
    from kling_nb.notebook.card import Card


def card_of(job: Job) -> Card:
    """What the card of `job` says now."""
    from kling_nb.notebook.card import Card  # noqa: PLC0415 -- not before something is shown

    request, state = job.request, job.state
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
        take=getattr(job.result, "take", None),
        reused=job.reused,
        units=state.units,
        elapsed=job.finished_at - job.created_at if job.finished_at and not job.reused else None,
        error=str(job.error) if job.error is not None else None,
        lines=tuple((line.timestamp, line.message) for line in job.lines),
        video=job.video,
        src=source_of(job.file) if job.file is not None else None,
        kind=_kind(job.result),
        data=_json(job.result) if isinstance(job.result, dict) else None,
        others={name: src for name, path in job.files.items() if (src := source_of(path))},
    )


def card_of_file(result: Video | MediaFile) -> Card:
    """The card of a finished take."""
    from kling_nb.notebook.card import Card  # noqa: PLC0415 -- not before something is shown

    made = result.request or {}
    given = dict(made.get("input") or {})
    endpoint_id = str(made.get("endpoint") or "")
    prompt = given.pop("prompt", None) or given.pop("text", None) or result.path.name
    return Card(
        job_id=f"take-{result.path.stem}",
        state=State.READY.value,
        title=_title(endpoint_id),
        endpoint=endpoint_id,
        prompt=str(prompt),
        parameters=_resolved(endpoint_id, given),
        request_id=result.request_id,
        backend=result.backend or "",
        take=result.take,
        reused=False,
        units=None,
        elapsed=None,
        error=None,
        lines=(),
        video=result if isinstance(result, Video) else None,
        src=source_of(result.path),
        kind=_kind(result),
    )


def card_of_take(take: Take, job_id: str | None, folder: Path) -> Card:
    """The card of a take by what its sidecar says, for a notebook in `folder`.

    Raises:
        MediaError: The file is damaged or gone.
    """
    from kling_nb.notebook.card import Card  # noqa: PLC0415 -- not before something is shown

    known, result = take.sidecar, take.result()
    given = _resolved(
        known.endpoint,
        {name: value for name, value in known.input.items() if name not in {"prompt", "text"}},
    )
    began, ended = datetime.fromisoformat(known.created_at), datetime.fromisoformat(known.finished_at)
    return Card(
        job_id=job_id or f"take-{known.fingerprint[:8]}-{known.take}",
        state=State.READY.value,
        title=_title(known.endpoint),
        endpoint=known.endpoint,
        prompt=str(known.input.get("prompt") or known.input.get("text") or _title(known.endpoint)),
        parameters=given,
        request_id=known.request_id,
        backend=known.backend,
        take=known.take,
        units=known.billable_units,
        elapsed=(ended - began).total_seconds(),
        lines=known.lines,
        video=result if isinstance(result, Video) else None,
        src=source_of(take.path, folder),
        kind=_kind(result),
        data=_json(result) if isinstance(result, dict) else None,
        others={name: src for name, path in take.others().items() if (src := source_of(path, folder))},
    )


def card_of_entry(entry: Entry) -> Card:
    """The card of a job that has no take, by its row in the ledger."""
    from kling_nb.notebook.card import Card  # noqa: PLC0415 -- not before something is shown

    why = _lost(entry)
    return Card(
        job_id=entry.id,
        state=State.FAILED.value if why else entry.state.value,
        title=_title(entry.endpoint),
        endpoint=entry.endpoint,
        prompt=entry.prompt,
        parameters={name: value for name, value in entry.input.items() if name not in {"prompt", "text"}},
        request_id=entry.request_id,
        backend=entry.backend,
        units=entry.units,
        elapsed=entry.finished_at - entry.created_at if entry.finished_at else None,
        error=why or entry.error,
    )


def _lost(entry: Entry) -> str:
    """Why nothing will come of a job any more, where its row does not say so; else empty."""
    if entry.state is State.READY:
        return f"The file of job {entry.id} is not in {entry.folder} any more."
    if entry.backend == "local" and not entry.state.finished and not entry.owner_alive:
        return "The embedded engine ended with its kernel. Run the cell again: previews are free."
    return ""


def _kind(result: Result | None) -> str:
    """The word for what a card plays."""
    if isinstance(result, MediaFile):
        return result.kind
    return "data" if isinstance(result, dict) else "video"


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1)


def _title(endpoint_id: str) -> str:
    if not endpoint_id:
        return "Video"
    try:
        return default_session().endpoint(endpoint_id, fetch=False).title
    except KlingError:
        return endpoint_id or "Video"


def _resolved(endpoint_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """Parameters with the endpoint's defaults, as the card of the running job has them."""
    if not endpoint_id:
        return given
    with suppress(KlingError):
        known = default_session().endpoint(endpoint_id, fetch=False).parameters
        return given | {
            one.name: one.default for one in known if one.default is not None and one.name not in given
        }
    return given


def source_of(path: Path, folder: Path | None = None) -> str | None:
    """The file's address as a notebook in `folder` (the working folder) sees it; None on another drive."""
    try:
        return Path(os.path.relpath(path, folder or Path.cwd())).as_posix()
    except ValueError:
        return None
