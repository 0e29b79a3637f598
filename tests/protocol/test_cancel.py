"""Cancelling: in the queue, while it runs, too late, too early, and when fal does not answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import Done, Fail, Hold, Log, Queue, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import Cancelled, Event, State
from kling_nb.ledger import Ledger
from kling_nb.session import Session

MakeSession = Callable[..., Session]


def test_in_the_queue(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    reported: list[Event] = []
    job = session.submit("a cat", on_event=lambda event, _: reported.append(event))
    fal.wait_for(lambda: job.state.queue_position == 3)
    assert "Not charged" in job.cancel()
    with pytest.raises(errors.JobCancelled, match=job.id) as caught:
        job.wait()
    assert caught.value.request_id == fal.job().request_id
    assert job.state.state is State.CANCELLED
    assert reported[-1] == Cancelled()
    assert ledger.entries()[0].state is State.CANCELLED
    assert "already ended" in job.cancel()
    assert fal.count("cancel") == 1
    assert fal.last("cancel").method == "PUT"
    assert fal.last("cancel").body == b""
    fal.script = Script()
    assert session.generate("a cat") is not None  # a cancelled job is no obstacle
    assert len(fal.accepted) == 2


def test_while_it_runs_and_the_app_stops(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    fal.script = Script([Run(), Log("one"), Hold(), Done()])
    job = session.submit("a cat")
    fal.wait_for(lambda: job.state.lines == 1)
    assert "asked to stop" in job.cancel()
    with pytest.raises(errors.JobCancelled):
        job.wait()
    assert ledger.entries()[0].state is State.CANCELLED


def test_while_it_runs_and_the_app_goes_on(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    """It is billed then, so it is kept."""
    fal.script = Script([Run(), Log("one"), Hold(), Done()], on_cancel="ignore")
    job = session.submit("a cat")
    fal.wait_for(lambda: job.state.lines == 1)
    assert "you pay and get it" in job.cancel()
    fal.release()
    assert job.wait() is not None
    assert ledger.entries()[0].state is State.READY


@pytest.mark.parametrize(
    "steps", [[Queue(2), Hold()], [Run(), Log("one"), Hold()]], ids=["queued", "running"]
)
def test_fal_forgets_a_cancelled_request(
    session: Session, fal: ScriptedFal, ledger: Ledger, steps: list[Any]
) -> None:
    fal.script = Script([*steps, Done()], on_cancel="vanish")
    fal.fault("cancel", "status", status=202, body={"status": "CANCELLATION_REQUESTED"}, handled=True)
    job = session.submit("a cat")
    fal.wait_for("stream")
    fal.wait_for(lambda: job.state.state in {State.IN_QUEUE, State.IN_PROGRESS})
    job.cancel()
    with pytest.raises(errors.JobCancelled):
        job.wait()
    assert ledger.entries()[0].state is State.CANCELLED


def test_too_late(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Run(), Done()])
    stall = fal.fault("result", "stall", at="before_body")
    job = session.submit("a cat")
    fal.wait_for("result")
    assert "Too late" in job.cancel()
    stall.release()
    assert job.wait() is not None


def test_unknown_to_fal(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    job = session.submit("a cat")
    fal.wait_for("stream")
    fal.fault("cancel", "status", status=404, body={"status": "NOT_FOUND"})
    assert "does not know this request" in job.cancel()
    fal.release()
    assert job.wait() is not None


@pytest.mark.parametrize("body", [{}, {"success": True}, {"status": "FINE"}, {"status": []}, b"OK"])
def test_any_success_counts_as_asked(session: Session, fal: ScriptedFal, body: Any) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    job = session.submit("a cat")
    fal.wait_for("stream")
    fal.fault("cancel", "status", status=200, body=body)
    assert "asked to stop" in job.cancel()
    fal.release()
    assert job.wait() is not None


def test_fal_does_not_answer_at_once(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    job = session.submit("a cat")
    fal.wait_for(lambda: job.state.queue_position == 3)
    fal.fault("cancel", "nginx", times=2)
    fal.fault("cancel", "reset", at="before_body")
    assert "Not charged" in job.cancel()
    assert fal.count("cancel") == 4


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("reset", {"at": "before_body"}, errors.UnreachableError),
        ("status", {"status": 401}, errors.AuthenticationError),
        ("status", {"status": 500}, errors.PlatformError),
    ],
)
def test_fal_cannot_be_asked(
    session: Session, fal: ScriptedFal, kind: str, options: dict[str, Any], expected: type[Exception]
) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    job = session.submit("a cat")
    fal.wait_for("stream")
    fal.fault("cancel", kind, times=None, **options)
    with pytest.raises(expected):
        job.cancel()
    fal.release()
    assert job.wait() is not None  # the job itself goes on


def test_before_fal_has_answered(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    stall = fal.fault("submit", "stall")
    job = session.submit("a cat")
    fal.wait_for("submit")
    assert "as soon as" in job.cancel()
    assert fal.count("cancel") == 0
    stall.release()
    with pytest.raises(errors.JobCancelled):
        job.wait()
    assert fal.count("cancel") == 1
    assert ledger.entries()[0].state is State.CANCELLED


def test_a_cancel_that_was_to_come_later_and_failed_is_reported(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    stall = fal.fault("submit", "stall")
    fal.fault("cancel", "status", status=401, times=None)
    job = session.submit("a cat")
    fal.wait_for("submit")
    job.cancel()
    stall.release()
    fal.wait_for(lambda: job.lines)
    assert "Not cancelled" in job.lines[0].message
    fal.release()
    assert job.wait() is not None


def test_before_anything_was_sent(session: Session, fal: ScriptedFal, ledger: Ledger, picture: Path) -> None:
    stall = fal.fault("upload", "stall", at="before_body")
    job = session.submit("a cat", image=picture)
    fal.wait_for("upload")
    job.cancel()
    stall.release()
    with pytest.raises(errors.JobCancelled):
        job.wait()
    assert fal.count("submit") == 0
    assert ledger.entries()[0].state is State.CANCELLED


def test_by_somebody_else(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    """On fal's own page, say."""
    fal.script = Script(
        [Run(), Fail.platform("client_cancelled", 499, "Request was cancelled by the client")]
    )
    with pytest.raises(errors.JobCancelled):
        session.generate("a cat", endpoint="v1.6-pro")
    (entry,) = ledger.entries()
    assert entry.state is State.CANCELLED
    assert entry.reserved_usd == pytest.approx(0.49)  # it ran, so fal may bill something


def test_a_refusal_by_the_model_is_not_taken_for_a_cancel(session: Session, fal: ScriptedFal) -> None:
    """It may be billed, and its reason matters."""
    refused = Fail.refused({"loc": ["body", "prompt"], "msg": "no", "type": "content_policy_violation"})
    fal.script = Script([Run(), Log("one"), Hold(), refused], on_cancel="ignore")
    job = session.submit("a cat")
    fal.wait_for(lambda: job.state.lines == 1)
    job.cancel()
    fal.release()
    with pytest.raises(errors.ContentRefused):
        job.wait()


def test_from_another_session(make_session: MakeSession, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    job = make_session().submit("a cat")
    fal.wait_for("stream")
    other = make_session().get_job(job.id)
    fal.wait_for("stream", 2)
    assert "Not charged" in other.cancel()
    for one in (job, other):
        with pytest.raises(errors.JobCancelled):
            one.wait()
