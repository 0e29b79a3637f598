"""The static card of a job, a take or a ledger row, and the MIME bundles in which outputs hold it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kling_nb import front_end
from kling_nb.api import default_session
from kling_nb.catalog import Control, Endpoint, shipped
from kling_nb.errors import KlingError, MediaError
from kling_nb.events import JobState, State
from kling_nb.job.job import Job
from kling_nb.job.plan import GET_BACK, PREVIEW_AGAIN
from kling_nb.ledger import Entry
from kling_nb.media import MediaFolder, Result, Take
from kling_nb.notebook.card import html as card
from kling_nb.notebook.card.mark import Mark, here, mark_of
from kling_nb.notebook.card.style import QUIET
from kling_nb.notebook.card.words import Card, CardTake, captions, cost, cost_of_entry, cost_of_take
from kling_nb.request.request import PROMPTS, prompt_of, ratio_in, shape_of
from kling_nb.video import MediaFile, Video
from kling_nb.video.decisions import Decisions, read_decisions

Bundle = dict[str, Any]
"""Data by MIME type."""


def card_of(job: Job, job_id: str | None = None) -> Card:
    """Return the card of a job as it is now. `job_id` is that of the job in whose place it is shown."""
    request, state = job.request, job.state
    cell = job.cell
    return Card(
        job_id=job_id or job.id,
        state=state.state.value,
        title=request.endpoint.title,
        endpoint=request.endpoint.id,
        prompt=request.prompt,
        parameters=_without_prompt(request.resolved),
        request_id=job.request_id,
        backend=job.backend,
        take=getattr(job.result, "take", None),
        cost=cost(job),
        elapsed=job.finished_at - job.created_at if job.finished_at and not job.reused else None,
        error=str(job.error) if job.error is not None else None,
        lines=tuple((line.timestamp, line.message) for line in job.lines),
        src=source_of(job.file) if job.file is not None else None,
        **_result_fields(job.result),
        others={name: src for name, path in job.files.items() if (src := source_of(path))},
        shape=shape_of(request),
        takes=_takes_of_job(job),
        variable=cell.name if cell else "",
        held=state.held,
    )


EARLIER = 40
"""Earlier takes that are shown with a job."""


def with_earlier(first: Job) -> list[Job]:
    """Return a job together with the takes that were made from its cell, or of its request, in their order.

    It is alone if they cannot be read.
    """
    found: list[Job] = []
    if first.maker is not None:
        with suppress(KlingError, OSError):
            found = first.maker.takes_of(first.request, first.backend, first.made_from)[-EARLIER:]
    for take in found:
        take.variable = first.variable
    found = [first if is_same(one, first) else one for one in found]
    return found if first in found else [*found, first]


def is_same(one: Job, other: Job) -> bool:
    """Return True if two jobs are the same object or have the same file."""
    return one is other or (one.file is not None and one.file == other.file)


def _takes_of_job(job: Job) -> tuple[CardTake, ...]:
    """Return the takes of a job's cell, the job itself included."""
    jobs = with_earlier(job)
    shown = captions(
        job.request.endpoint.parameters,
        [(one.request.endpoint.id, one.request.input, one.backend) for one in jobs],
    )
    takes = [
        _card_take(caption, one.state, one.result, source_of(one.file) if one.file else None)
        for caption, one in zip(shown, jobs, strict=True)
    ]
    return _mark_takes(takes, jobs.index(job), job.cell and (job.cell.fingerprint, job.cell.name))


def takes_of_folder(
    takes: Sequence[Take], shown: Take, cell: tuple[str, str] | None, folder: Path
) -> tuple[CardTake, ...]:
    """Return takes of one cell as a card has them. Arguments as for `card_of_take`."""
    takes = takes[-EARLIER:] if any(one.path == shown.path for one in takes[-EARLIER:]) else [shown]
    controls: Sequence[Control] = ()
    with suppress(KlingError):
        controls = _endpoint(shown.sidecar.endpoint).parameters
    made = [(one.sidecar.endpoint, one.sidecar.input, one.sidecar.backend) for one in takes]
    found = []
    for caption, one in zip(captions(controls, made), takes, strict=True):
        result: Result | None = None
        with suppress(MediaError):
            result = one.result()
        found.append(_card_take(caption, _READY, result, source_of(one.path, folder)))
    return _mark_takes(found, next(at for at, one in enumerate(takes) if one.path == shown.path), cell)


_READY = JobState(state=State.READY)
_Found = tuple[CardTake, Decisions]


def _card_take(caption: str, now: JobState, result: Result | None, src: str | None) -> _Found:
    """Return a take of a card, and what was decided about it."""
    decisions, name = Decisions(), ""
    if isinstance(result, (Video, MediaFile)):
        name = result.path.name
        if result.sidecar is not None:
            decisions = read_decisions(result.sidecar)
    take = CardTake(
        caption,
        now.state,
        name,
        src,
        video=result if isinstance(result, Video) else None,
        rating=decisions.rating,
        note=decisions.note,
        held=now.held,
    )
    return take, decisions


def _mark_takes(found: Sequence[_Found], shown: int, cell: tuple[str, str] | None) -> tuple[CardTake, ...]:
    """Return the takes, of which one is shown and one may have been chosen for the cell: the last choice."""
    choices = [
        (choice.at, number)
        for number, (_, decisions) in enumerate(found)
        for choice in decisions.choices
        if (choice.cell, choice.name) == cell
    ]
    chosen = max(choices)[1] if choices else None
    return tuple(
        replace(take, chosen=number == chosen, shown=number == shown)
        for number, (take, _) in enumerate(found)
    )


def card_of_file(result: Video | MediaFile) -> Card:
    """Return the card of a finished take."""
    request = result.request or {}
    given = request.get("input") or {}
    endpoint_id = str(request.get("endpoint") or "")
    return Card(
        job_id=f"take-{result.path.stem}",
        state=State.READY.value,
        title=_title(endpoint_id),
        endpoint=endpoint_id,
        prompt=prompt_of(given, result.path.name),
        parameters=_with_defaults(endpoint_id, _without_prompt(given)),
        request_id=result.request_id,
        backend=result.backend or "",
        take=result.take,
        src=source_of(result.path),
        **_result_fields(result),
    )


def card_of_take(
    take: Take,
    job_id: str | None,
    folder: Path,
    takes: Sequence[Take] = (),
    cell: tuple[str, str] | None = None,
) -> Card:
    """Return the card of a take from its sidecar, for a notebook in `folder`.

    Args:
        take: The take.
        job_id: Id of the job in whose place it is shown, or None.
        folder: The notebook's folder.
        takes: All takes of its cell, in their order.
        cell: Fingerprint of the request and NAME of the cell for which a take can be chosen, or None.

    Raises:
        MediaError: The file is damaged or gone.
    """
    known, result = take.sidecar, take.result()
    given = _with_defaults(known.endpoint, _without_prompt(known.input))
    start, end = datetime.fromisoformat(known.created_at), datetime.fromisoformat(known.finished_at)
    return Card(
        job_id=job_id or f"take-{known.fingerprint[:8]}-{known.take}",
        state=State.READY.value,
        title=_title(known.endpoint),
        endpoint=known.endpoint,
        prompt=prompt_of(known.input, _title(known.endpoint)),
        parameters=given,
        request_id=known.request_id,
        backend=known.backend,
        take=known.take,
        cost=cost_of_take(known.endpoint, given, known.backend, known.billable_units),
        elapsed=(end - start).total_seconds(),
        lines=known.lines,
        src=source_of(take.path, folder),
        **_result_fields(result),
        others={name: src for name, path in take.others().items() if (src := source_of(path, folder))},
        takes=takes_of_folder(takes or [take], take, cell, folder),
        variable=cell[1] if cell else "",
    )


def card_of_entry(entry: Entry) -> Card:
    """Return the card of a job without a take, from its row in the ledger."""
    why = _why_lost(entry)
    state = State.FAILED if why and entry.state is not State.READY else entry.state
    return Card(
        job_id=entry.id,
        state=state.value,
        title=_title(entry.endpoint),
        endpoint=entry.endpoint,
        prompt=entry.prompt,
        parameters=_without_prompt(entry.input),
        request_id=entry.request_id,
        backend=entry.backend,
        cost=cost_of_entry(entry, state),
        elapsed=entry.finished_at - entry.created_at if entry.finished_at else None,
        error=why or entry.error,
        shape=ratio_in(_with_defaults(entry.endpoint, dict(entry.input)).values()),
    )


def _why_lost(entry: Entry) -> str:
    """Return why a job has lost its result, if its row does not have the reason; else an empty text."""
    if entry.state is State.READY:
        remedy = GET_BACK if entry.backend == "fal" else PREVIEW_AGAIN
        return f"The file of job {entry.id} is no longer in {entry.folder}.\n{remedy}"
    if entry.backend == "local" and not entry.state.finished and not entry.owner_alive:
        return f"The local preview server ended with its kernel. {PREVIEW_AGAIN}"
    return ""


def _result_fields(result: Result | None) -> dict[str, Any]:
    """Return the fields of a card that show a result."""
    if isinstance(result, dict):
        return {"kind": "data", "data": json.dumps(result, ensure_ascii=False, indent=1)}
    return {"kind": result.kind} if isinstance(result, MediaFile) else {"video": result}


def _title(endpoint_id: str) -> str:
    if not endpoint_id:
        return "Video"
    try:
        return _endpoint(endpoint_id).title
    except KlingError:
        return endpoint_id or "Video"


def _endpoint(endpoint_id: str) -> Endpoint:
    """Return an endpoint. For one of the package no settings are read, which takes longer than a card."""
    known = shipped.find(endpoint_id)
    return known if known and known.has_schema else default_session().endpoint(endpoint_id, fetch=False)


def _without_prompt(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in PROMPTS}


def _with_defaults(endpoint_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return parameters together with the endpoint's defaults, as the card of a running job has them."""
    if not endpoint_id:
        return given
    with suppress(KlingError):
        known = _endpoint(endpoint_id).parameters
        return given | {
            one.name: one.default for one in known if one.default is not None and one.name not in given
        }
    return given


def source_of(path: Path, folder: Path | None = None) -> str | None:
    """Return the path of a file relative to the notebook's folder, or None if it is on another drive.

    By default it is the notebook of this process.
    """
    try:
        return Path(os.path.relpath(path, folder or front_end.base_folder())).as_posix()
    except ValueError:
        return None


_PANEL_NOTE = "Kling panel: run this cell to compose, queue and browse."


def panel_card(media: MediaFolder, folder: Path | None = None) -> Bundle:
    """Return the card of a panel, for readers without a kernel: what to do, and the latest take."""
    latest = ""
    with suppress(KlingError, OSError):
        take = media.latest()
        latest = card.html(card_of_take(take, None, folder or front_end.base_folder())) if take else ""
    more = " The latest take here:" if latest else ""
    note = f'<div style="font-size:13px;margin:4px 0;{QUIET}">{_PANEL_NOTE}{more}</div>'
    return {"text/html": f"<div>{note}{latest}</div>", "text/plain": _PANEL_NOTE}


def card_text(job: Job, job_id: str | None = None) -> str:
    """Return the card of a job as text."""
    return card.text(card_of(job, job_id))


def card_bundle(job: Job, job_id: str | None = None) -> Bundle:
    """Return a job's card as HTML and as text. See `card_of`."""
    return bundle_of(card_of(job, job_id))


def bundle_of(drawn: Card) -> Bundle:
    """Return a card as HTML and as text."""
    return {"text/html": card.html(drawn), "text/plain": card.text(drawn)}


def job_bundle(job: Job, view: Bundle) -> tuple[Bundle, Bundle]:
    """Return a view of a job with its card, for an output that is drawn once, and the output's metadata."""
    return view | card_bundle(job), mark_of(job).to_metadata()


def file_bundle(result: Video | MediaFile) -> tuple[Bundle, Bundle]:
    """Return the card of a video, audio file or image, and a mark, by which a reader finds its take again."""
    drawn = card_of_file(result)
    bundle = {"text/html": card.html(drawn), "text/plain": repr(result)}
    return bundle, Mark(drawn.job_id).to_metadata()


def panel_bundle(view: Bundle) -> tuple[Bundle, Bundle]:
    """Return a view of a panel with its card, and the output's metadata."""
    settings = default_session().settings()
    return view | panel_card(MediaFolder(settings.media, settings.index)), here().to_metadata()
