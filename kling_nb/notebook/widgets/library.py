"""Jobs, ledger rows and endpoints as plain data for the views of the panel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb.catalog import Endpoint
from kling_nb.catalog.endpoint import estimate
from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import UnknownEndpoint, UsageError
from kling_nb.events import State
from kling_nb.job.job import Job
from kling_nb.ledger import Entry, Ledger, Selection
from kling_nb.media import MediaFolder
from kling_nb.notebook.card.words import clip, error_text
from kling_nb.notebook.tables import price
from kling_nb.notebook.widgets.base import whole_number
from kling_nb.notebook.widgets.takes import progress_fields
from kling_nb.request.request import prompt_of
from kling_nb.video.decisions import Decisions, check_rating, read_decisions

if TYPE_CHECKING:
    from kling_nb.library import Shared

_PROMPT = 200


def live_fields(job: Job) -> dict[str, Any]:
    """Return the fields of a job's row that change while it runs."""
    return {
        "id": job.id,
        "state": job.state.state.value,
        "request_id": job.request_id,
        **progress_fields(job),
        "finished_at": job.finished_at,
        "message": "" if job.error is None else error_text(job.error),
        "has_media": job.file is not None,
        "rating": _rating(job.file),
    }


def job_row(job: Job) -> dict[str, Any]:
    """Return all fields of a job's row."""
    about = _describe_endpoint(job.request.endpoint.id, job.request.input)
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
    """Return the fields of the row for a submission in the ledger."""
    if is_lost_preview(entry):
        entry = replace(entry, state=State.FAILED, error=_LOST_PREVIEW)
    return {
        "id": entry.id,
        "state": entry.state.value,
        "request_id": entry.request_id,
        "finished_at": entry.finished_at,
        "message": clip(entry.error or "", _PROMPT),
        "has_media": entry.media_path is not None,
        "rating": _rating(entry.media_path),
        **_describe_endpoint(entry.endpoint, entry.input),
        "prompt": clip(entry.prompt, _PROMPT),
        "backend": entry.backend,
        "created_at": entry.created_at,
    }


_LOST_PREVIEW = "The preview ended with its kernel. Not charged."


def is_lost_preview(entry: Entry) -> bool:
    """Return True for an unfinished local preview whose server has ended. It cannot be resumed."""
    return entry.backend == "local" and not (entry.state.finished or entry.is_ours or entry.owner_alive)


def _rating(file: str | Path | None) -> int | None:
    """Return the stars of a take, by the place at which its sidecar was stored."""
    return read_decisions(Path(file).with_suffix(".json")).rating if file else None


_CAPABILITIES = {
    "generate_audio": "audio",
    "end_image_url": "end image",
    "tail_image_url": "end image",
    "multi_prompt": "shots",
    "elements": "elements",
}
"""What a parameter makes possible, in words."""
RECOMMENDED = (
    *("v3-pro", "v3-turbo-standard", "v3-pro-image", "v3-turbo-standard-image"),
    *("o3-pro-reference", "o3-pro-edit"),
)
"""The best and the cheapest of the newest generation whose schemas are in the package."""


def catalogue_row(one: Endpoint) -> list[Any]:
    """Return an endpoint for the chooser.

    Returns:
        Id, short name, title, category, price and capabilities as text, and True if it is recommended.
    """
    can = [_CAPABILITIES[control.name] for control in one.parameters if control.name in _CAPABILITIES]
    listed = price(one) if one.price else ""
    recommended = one.short_name in RECOMMENDED
    return [one.id, one.short_name, one.title, one.category, listed, " · ".join(sorted(can)), recommended]


def request_price(one: Endpoint, values: Mapping[str, Any]) -> str:
    """Return the price of a request with these values in words; empty if it is not known."""
    resolved = {control.name: control.default for control in one.parameters}
    resolved |= {name: value for name, value in values.items() if name in resolved}
    usd = estimate(one, resolved)
    return "" if usd is None else f"about ${usd:.2f}"


def _describe_endpoint(endpoint_id: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    try:
        one = endpoint(endpoint_id)
    except UnknownEndpoint:
        return {"endpoint": endpoint_id, "short_name": endpoint_id, "title": endpoint_id, "facts": ""}
    return {
        "endpoint": one.id,
        "short_name": one.short_name,
        "title": one.title,
        "facts": _facts(one, inputs),
    }


_RATIO = re.compile(r"\d+(\.\d+)?:\d+(\.\d+)?")


def _facts(one: Endpoint, inputs: Mapping[str, Any]) -> str:
    """Return duration and shape as a request has them, such as "5 s · 16:9"."""
    values = [(control, inputs.get(control.name, control.default)) for control in one.parameters]
    seconds = [f"{value} s" for control, value in values if control.unit == "s" and value is not None]
    shapes = [value for _, value in values if isinstance(value, str) and _RATIO.fullmatch(value)]
    return " · ".join([*seconds[:1], *shapes[:1]])


# -- Pages of the ledger for the panel's history.


PAGE = 50
"""Rows in a page. It just fills a screen, so that the first page appears at once."""


def page(ledger: Ledger, msg: Mapping[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return one page of the matching submissions, newest first.

    Args:
        ledger: The ledger to search.
        msg: `{"page": number from 0, "search": words, "endpoint": id, "state": name, "kept": stars}`, all
            optional. `kept` is a text: "4" for takes with 4 stars or more, or "chosen".
        without: Ids of jobs that are not listed, because they run and stand above the list.

    Returns:
        The `page`, its `rows`, and the `total` number of matching rows. The first page also has the number of
        rows of each endpoint and state in the whole ledger (`endpoints`, `states`).
    """
    number = whole_number("page", msg.get("page", 0), 0)
    wanted = replace(_selection(ledger, msg), without=without)
    rows, total = ledger.page(wanted, limit=PAGE, offset=number * PAGE)
    answer: dict[str, Any] = {"page": number, "total": total, "rows": [entry_row(entry) for entry in rows]}
    if number == 0:
        answer |= {"endpoints": ledger.tally("endpoint"), "states": ledger.tally("state")}
    return answer


def shared_row(shared: Shared) -> dict[str, Any]:
    """Return the fields of the row for a take in the studio's library. Its id is the key there."""
    known = shared.sidecar
    return {
        "id": shared.key,
        "state": State.READY.value,
        "request_id": known.request_id,
        "finished_at": None,
        "message": "",
        "has_media": False,  # it comes when it is opened
        "rating": Decisions.of(known.user).rating,
        **_describe_endpoint(known.endpoint, known.input),
        "prompt": clip(prompt_of(known.input), _PROMPT),
        "backend": known.backend,
        "created_at": datetime.fromisoformat(known.created_at).timestamp(),
    }


def _selection(ledger: Ledger, msg: Mapping[str, Any]) -> Selection:
    state = msg.get("state") or None
    if state is not None and state not in set(State):
        raise UsageError(f"state is {state!r}. Available: {', '.join(State)}.")
    endpoint = msg.get("endpoint") or None
    return Selection(
        search=str(msg.get("search") or ""),
        endpoint=None if endpoint is None else str(endpoint),
        state=None if state is None else State(state),
        requests=_kept(ledger, str(msg["kept"])) if msg.get("kept") else None,
    )


def _kept(ledger: Ledger, kept: str) -> tuple[str, ...]:
    """Return the request ids of takes with so many stars, or that were chosen, in all media folders."""
    rating = None if kept == "chosen" else check_rating(int(kept) if kept.isdecimal() else kept)
    found = (
        take
        for folder in ledger.tally("folder")
        for take in MediaFolder(Path(folder)).select(rating=rating, chosen=True if rating is None else None)
    )
    return tuple(take.sidecar.request_id for take in found if take.sidecar.request_id)
