"""What a job cost, in the words that the live views and the cards share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from kling_nb.catalog import shipped
from kling_nb.catalog.endpoint import number_of, units_text
from kling_nb.errors import PlatformError, ResponseError
from kling_nb.events import JobState, State
from kling_nb.fal.refusals import TYPES
from kling_nb.job.plan import WORDS, Outcome
from kling_nb.ledger import Entry
from kling_nb.request.request import VideoRequest

PREVIEW = "free preview"
NOT_CHARGED = "not charged"
NOT_SUBMITTED = "not submitted, not charged"
UNKNOWN = "cost not known"
RESUMED = "resumed, no extra charge"


class FinishedJob(Protocol):
    """What is needed of a job."""

    @property
    def request(self) -> VideoRequest: ...  # noqa: D102 -- this and the rest: as `kling_nb.Job`
    @property
    def backend(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> JobState: ...  # noqa: D102
    @property
    def error(self) -> Exception | None: ...  # noqa: D102
    @property
    def reused(self) -> bool: ...  # noqa: D102
    @property
    def outcome(self) -> Outcome | None: ...  # noqa: D102
    @property
    def made_on(self) -> str: ...  # noqa: D102


def cost(job: FinishedJob) -> str:
    """Return what the job cost, as far as it is known; empty while the job runs."""
    now, error = job.state, job.error
    if job.reused and now.state.finished:
        return WORDS[job.outcome or Outcome.REUSE].brief + (f" ({job.made_on})" if job.made_on else "")
    units = now.units or (error.billable_units if isinstance(error, ResponseError) else None)
    words = _words(
        now.state,
        job.backend,
        job.request.units_text(units) if units else "",
        units=units,
        request_id=now.request_id,
        free=now.unpaid or (isinstance(error, ResponseError) and _is_platform(error.error_type)),
    )
    return f"{words} · {RESUMED}" if words and now.resumed else words


def cost_of_entry(entry: Entry, state: State) -> str:
    """Return what a job cost, by its row in the ledger.

    Args:
        entry: The row.
        state: The state that is shown: a job whose file is gone is shown as failed.
    """
    return _words(
        state,
        entry.backend,
        billed_units(entry.endpoint, entry.input, entry.units),
        units=entry.units,
        request_id=entry.request_id,
        free=entry.state in {State.FAILED, State.CANCELLED}
        and (_is_platform(entry.error_type) or entry.reserved_usd == 0.0),
    )


def cost_of_take(endpoint_id: str, resolved: Mapping[str, Any], backend: str, units: str | None) -> str:
    """Return what a take cost, by its sidecar."""
    return _words(
        State.READY,
        backend,
        billed_units(endpoint_id, resolved, units),
        units=units,
        request_id="",
        free=False,
    )


def billed_units(endpoint_id: str, resolved: Mapping[str, Any], units: str | None) -> str:
    """Return billed units as text, with price and total if they are known; empty without units."""
    endpoint = shipped.find(endpoint_id)
    if not units:
        return ""
    return units_text(endpoint, resolved, units) if endpoint is not None else f"{units[:20]} billable units"


def _is_platform(error_type: str | None) -> bool:
    """Return True for a failure of the platform, which is not billed. A 5xx that names no type may be."""
    return TYPES.get(error_type or "", (None, ""))[0] is PlatformError


def _words(
    state: State, backend: str, billed: str, *, units: str | None, request_id: str | None, free: bool
) -> str:
    """Return the cost of a job that reused nothing.

    Args:
        state: Its state.
        backend: "fal" or "local".
        billed: The units in words.
        units: The units, as fal sent them.
        request_id: fal's id, None if fal has not accepted the request.
        free: True if fal bills nothing for this end.
    """
    if not state.finished:
        return ""
    if backend == "local":
        return PREVIEW
    if units:
        return NOT_CHARGED if number_of(units) == 0 else billed
    if state in {State.FAILED, State.CANCELLED} and request_id is None:
        return NOT_SUBMITTED
    return NOT_CHARGED if free else UNKNOWN
