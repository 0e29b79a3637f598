"""The live view and the card say the same about the cost of a job, and so does its row in the ledger."""

from pathlib import Path
from typing import Any

import pytest
from widget.memory_job import MemoryJob

from kling_nb.errors import InputRefused, PlatformError, ResultGone, SubmissionUncertain, UsageError
from kling_nb.events import Cancelled, Event, Failed, Ready, Running, State, Submitted, Unclear
from kling_nb.job.plan import Outcome
from kling_nb.job.record import failure_columns
from kling_nb.ledger import Intent, Ledger
from kling_nb.notebook.card.html import html, text
from kling_nb.notebook.card.job import card_of, card_of_entry
from kling_nb.notebook.card.words import cost
from kling_nb.notebook.widgets.takes import StripTake

SENT = Submitted("r-1")
FREE = InputRefused("no", status_code=422, billable_units="0")
BILLED = InputRefused("no", status_code=422, billable_units="3.5")
UNKNOWN = InputRefused("no", status_code=422)
PLATFORM = PlatformError("oops", status_code=503, error_type="runner_disconnected")
REFUSED = InputRefused("fal refused the input", status_code=422)
BARE = PlatformError("oops", status_code=503)
MODEL = PlatformError("oops", status_code=500, error_type="internal_server_error")
GONE = ResultGone("gone", status_code=404)
ENDS: dict[str, tuple[tuple[Event, ...], str]] = {
    "ready": ((SENT, Ready(units="10")), "10 billable units"),
    "ready, not billed": ((SENT, Ready(units="0")), "not charged"),
    "ready, units not known": ((SENT, Ready()), "cost not known"),
    "refused, billed": ((SENT, Failed(BILLED)), "3.5 billable units"),
    "refused, free": ((SENT, Failed(FREE)), "not charged"),
    "refused": ((SENT, Failed(UNKNOWN)), "cost not known"),
    "fault of the platform": ((SENT, Running(), Failed(PLATFORM)), "not charged"),
    "a 5xx that names no type": ((SENT, Running(), Failed(BARE)), "cost not known"),
    "result gone": ((SENT, Failed(GONE)), "cost not known"),
    "never sent": ((Failed(UsageError("never sent")),), "not submitted, not charged"),
    "refused at its submission": ((Failed(REFUSED),), "not charged"),
    "a type that fal does not call free": ((SENT, Failed(MODEL)), "cost not known"),
    "cancelled in the queue": ((SENT, Cancelled()), "not charged"),
    "cancelled while it ran": ((SENT, Running(), Cancelled()), "cost not known"),
    "cancelled before it was sent": ((Cancelled(),), "not submitted, not charged"),
    "uncertain": ((Unclear(SubmissionUncertain("no answer")),), "cost not known"),
    "resumed": (
        (Submitted("r-1", resumed=True), Ready(units="10")),
        "10 billable units · resumed, no extra charge",
    ),
}


def ended(*events: Event, backend: str = "fal") -> Any:
    job: Any = MemoryJob()
    job.backend, job.files = backend, {}
    job.request_id = None
    job._apply(*events)
    job.request_id = job.state.request_id
    return job


@pytest.mark.parametrize(("events", "words"), ENDS.values(), ids=ENDS)
def test_view_and_card_say_what_an_end_cost(events: tuple[Event, ...], words: str) -> None:
    job = ended(*events)
    assert StripTake(1, job).fields()["cost"] == words
    card = card_of(job)
    assert words in html(card)
    assert words in text(card)


def test_a_running_job_says_nothing_about_its_cost() -> None:
    assert cost(ended(SENT, Running())) == ""


@pytest.mark.parametrize("end", [Ready(), Cancelled(), Failed(UNKNOWN)])
def test_a_preview_is_always_free(end: Event) -> None:
    assert cost(ended(SENT, end, backend="local")) == "free preview"


@pytest.mark.parametrize("backend", ["fal", "local"])
def test_a_reused_take_says_when_it_was_made(backend: str) -> None:
    job = ended(SENT, Ready(units="10"), backend=backend)
    job.reused, job.made_on = True, "2026-11-03"
    assert cost(job) == "already made, free (2026-11-03)"
    job.outcome = Outcome.LIBRARY
    assert cost(job) == "from the studio library, free (2026-11-03)"


ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "refused, billed": (failure_columns(BILLED, accepted=True), "3.5 billable units"),
    "refused, free": (failure_columns(FREE, accepted=True), "not charged"),
    "refused": (failure_columns(UNKNOWN, accepted=True), "cost not known"),
    "fault of the platform": (failure_columns(PLATFORM, accepted=True), "not charged"),
    "cancelled in the queue": ({"state": State.CANCELLED, "reserved_usd": 0.0}, "not charged"),
    "cancelled while it ran": ({"state": State.CANCELLED}, "cost not known"),
    "uncertain": ({"state": State.UNCERTAIN}, "cost not known"),
    "running": ({"state": State.IN_PROGRESS}, ""),
    "file missing": ({"state": State.READY, "units": "5"}, "5 billable units × $0.07 = $0.35"),
}


@pytest.mark.parametrize(("columns", "words"), ROWS.values(), ids=ROWS)
def test_a_row_of_the_ledger_says_the_same(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    try:
        row, _ = ledger.claim(
            Intent(
                "fal",
                endpoint="fal-ai/kling-video/v2.5-turbo/pro/text-to-video",
                input={"prompt": "a heron", "duration": "5"},
                prompt="a heron",
                fingerprint="f",
                folder=tmp_path,
                new=True,
                cost=0.35,
            )
        )
        ledger.update(row.id, **{"request_id": "r-1", **columns})
        entry = ledger.get(row.id)
    finally:
        ledger.close()
    assert entry is not None
    assert card_of_entry(entry).cost == words


@pytest.mark.parametrize(
    ("sent", "error", "words"),
    [
        (False, UsageError("It was never sent."), "not submitted, not charged"),
        (True, REFUSED, "not charged"),
        (True, None, "cost not known"),
    ],
)
def test_a_row_without_a_request_id_says_how_far_it_came(
    tmp_path: Path, sent: bool, error: Any, words: str
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    try:
        intent = Intent(
            "fal", endpoint="x/y", input={}, prompt="a", fingerprint="f", folder=tmp_path, new=True
        )
        row, _ = ledger.claim(intent)
        if sent:
            ledger.mark_sending(row.id)
        ledger.update(
            row.id, **(failure_columns(error, accepted=False) if error else {"state": State.UNCERTAIN})
        )
        entry = ledger.get(row.id)
    finally:
        ledger.close()
    assert entry is not None
    assert card_of_entry(entry).cost == words
