"""`%kling spend --reconcile`: fal's bill next to the ledger."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scripted import Fail, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.catalog.shipped import endpoint
from kling_nb.notebook.line import run_line
from kling_nb.session import Session

PRICED = "v1.6-pro"  # $0.098 a second, so $0.49 for 5 s
PRICED_ID = endpoint(PRICED).id


class Outputs:
    """Keeps what a `%kling` line shows."""

    def __init__(self) -> None:
        self.shown = ""

    def text(self, text: str) -> None:
        self.shown += text + "\n"


def shown(session: Session, line: str = "spend --reconcile") -> str:
    outputs = Outputs()
    run_line(line, session, outputs, {})  # type: ignore[arg-type]
    return outputs.shown


def bill(request_id: str, usd: float, *, endpoint_id: str = PRICED_ID, **more: Any) -> dict[str, Any]:
    event = {"request_id": request_id, "endpoint_id": endpoint_id, "output_units": 5, "cost_total": usd}
    return event | {"timestamp": datetime.now(UTC).isoformat(), "unit_price": 9.9} | more


@pytest.fixture
def fal(fal: ScriptedFal) -> ScriptedFal:
    fal.platform.prices = {PRICED_ID: 0.098}
    return fal


def test_a_job_that_was_billed_as_expected_agrees(session: Session, fal: ScriptedFal) -> None:
    session.generate("a cat", endpoint=PRICED)
    found = session.reconcile()
    ((entry, billed),) = found.jobs
    assert billed is not None
    assert (entry.reserved_usd, billed.usd, billed.units) == (0.49, pytest.approx(0.49), 5.0)
    assert (found.unknown, found.unanswered) == ((), ())
    text = shown(session)
    assert "fal billed $0.49 for 1 job of" in text
    assert "expects $0.49 for 1" in text
    assert "+$" not in text
    assert fal.last("bills").headers["authorization"] == f"Key {fal.key}"


def test_a_bill_that_differs_is_shown_first_with_its_difference(session: Session, fal: ScriptedFal) -> None:
    dear = session.submit("dear", endpoint=PRICED)
    dear.wait()
    session.generate("as expected", endpoint=PRICED)
    correction = bill(str(dear.request_id), 0.2)
    fal.platform.more_bills = [correction]  # a second event of the same request is added
    lines = shown(session).splitlines()
    rows = [line for line in lines if "v1.6-pro" in line]
    assert dear.id in rows[0]
    assert rows[0].split()[-3:] == ["$0.49", "$0.69", "+$0.20"]
    assert rows[1].split()[-2:] == ["$0.49", "$0.49"]


def test_a_job_that_fal_has_not_billed_is_named(session: Session, fal: ScriptedFal) -> None:
    fal.platform.prices = {}
    session.generate("a cat", endpoint=PRICED)
    fal.script = Script([Run(), Fail.platform("runner_disconnected")])
    with pytest.raises(errors.PlatformError):
        session.generate("free", endpoint=PRICED)
    text = shown(session)
    assert "not billed so far" in text
    assert "expects $0.49 for 1" in text  # the failed one was free, and is free


def test_a_request_that_the_ledger_does_not_know_is_fetched_by_the_command_that_is_shown(
    make_session: Callable[..., Session], fal: ScriptedFal, tmp_path: Any
) -> None:
    with make_session(home=tmp_path / "another", media=tmp_path / "other media") as elsewhere:
        lost = elsewhere.submit("a cat", endpoint=PRICED)
        lost.wait()
    fal.platform.more_bills = [bill("flux-1", 0.04, endpoint_id="fal-ai/flux/dev")]
    session = make_session()
    text = shown(session)
    command = f"kling_nb.get_job({lost.request_id!r}, endpoint={PRICED_ID!r})"
    assert command in text
    assert "Requests of other endpoints: 1, $0.04." in text
    assert "flux-1" not in text
    arguments = command.removeprefix("kling_nb.")
    video = eval(arguments, {"get_job": session.get_job}).wait()
    assert video.path.parent == tmp_path / "media"
    assert lost.request_id not in shown(session).partition("not in the ledger")[2]
    assert len(fal.accepted) == 1


def test_a_submission_without_an_answer_is_named(session: Session, fal: ScriptedFal) -> None:
    fal.fault("submit", "reset")
    fal.fault("lookup", "no_items", times=None)
    job = session.submit("a cat", endpoint=PRICED)
    with pytest.raises(errors.SubmissionUncertain):
        job.wait()
    assert f"Sent without an answer: {job.id}." in shown(session)


def test_every_page_is_read_and_an_event_that_comes_twice_counts_once(
    session: Session, fal: ScriptedFal
) -> None:
    at = datetime.now(UTC).isoformat()
    events = [bill(f"request-{number}", 0.01, timestamp=at) for number in range(1001)]
    fal.platform.more_bills = [*events, events[0]]
    assert len(session.reconcile().unknown) == 1001
    assert fal.count("bills") == 2
    assert sum(one.usd for one in session.reconcile().unknown) == pytest.approx(10.01)


@pytest.mark.parametrize(
    ("event", "usd"),
    [
        ({"cost_total": 0.5}, 0.5),
        ({"cost_total": None, "cost_estimate_nano_usd": 250_000_000}, 0.25),
        ({"cost_total": None, "unit_price": 0.2, "percent_discount": 10}, 0.9),
        ({"timestamp": "2026-01-01"}, None),  # before the days that are compared
        ({"timestamp": datetime.now(UTC).replace(tzinfo=None).isoformat()}, 0.3),
    ],
)
def test_the_cost_of_an_event_in_each_of_its_forms(
    session: Session, fal: ScriptedFal, event: dict[str, Any], usd: float | None
) -> None:
    fal.platform.more_bills = [bill("one", 0.3, **event)]
    costs = [one.usd for one in session.reconcile().unknown]
    assert costs == ([] if usd is None else [pytest.approx(usd)])


@pytest.mark.parametrize("kind", ["wrong_types", "not_an_object", "empty", "truncated_json"])
def test_a_bill_that_cannot_be_read_is_a_typed_error(session: Session, fal: ScriptedFal, kind: str) -> None:
    fal.platform.more_bills = [bill("one", 0.3)]
    fal.fault("bills", kind, times=None)
    with pytest.raises(errors.UnreachableError, match="cannot be read"):
        session.reconcile()


def test_a_key_without_admin_scope_is_refused_with_the_remedy(session: Session, fal: ScriptedFal) -> None:
    fal.platform.admin = False
    with pytest.raises(errors.AccessDenied, match="not permitted") as caught:
        shown(session)
    assert "ADMIN scope" in caught.value.remedy
    assert len(str(caught.value).splitlines()) <= 4


def test_days_are_chosen_and_checked(session: Session, fal: ScriptedFal) -> None:
    assert "In the last 90 days" in shown(session, "spend --reconcile 90")
    start, end = (datetime.fromisoformat(fal.last("bills").query[name]) for name in ("start", "end"))
    assert end - start == timedelta(days=90)
    for line in ("spend --reconcile 91", "spend --reconcile 0", "spend --reconcile soon", "spend day 7"):
        with pytest.raises(errors.UsageError):
            shown(session, line)
    assert fal.count("bills") == 1


def test_without_a_key_none_is_asked_for(make_session: Callable[..., Session], fal: ScriptedFal) -> None:
    with pytest.raises(errors.MissingKey):
        make_session(credentials=None).reconcile()
    assert not fal.requests
