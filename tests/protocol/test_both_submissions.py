"""Jobs and `Session.client` submit by the same code: every fault of a submission ends alike for both."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from scripted import Done, Hold, Run, Script, ScriptedFal
from submission_faults import BreaksOnce, full, renamed

from kling_nb import errors
from kling_nb.events import State
from kling_nb.ledger import Entry, Ledger
from kling_nb.session import Session

MakeSession = Callable[..., Session]
ENDPOINT = "fal-ai/kling-video/v1/pro/text-to-video"
PRICES = {"v1-pro": 0.1}


def by_job(session: Session) -> str:
    job = session.submit("a cat", endpoint=ENDPOINT)
    job.wait()
    return str(job.request_id)


def by_client(session: Session) -> str:
    return asyncio.run(session.client.submit(ENDPOINT, {"prompt": "a cat"})).request_id


@dataclass(frozen=True)
class End:
    """What is left of a submission that failed, without the ids, by which two of them differ."""

    error: type[BaseException]
    message: str
    state: State
    request_id: str | None
    noted: str
    reserved_usd: float | None
    sent: bool


def end_of(submit: Callable[[Session], str], session: Session, ledger: Ledger) -> End:
    with pytest.raises(errors.KlingError) as caught:
        submit(session)
    entry = ledger.entries(limit=1)[0]

    def without_id(text: str | None) -> str:
        return (text or "").replace(entry.id, "ID")

    return End(
        type(caught.value),
        without_id(str(caught.value)),
        entry.state,
        entry.request_id,
        without_id(entry.error),
        entry.reserved_usd,
        entry.sent_at is not None,
    )


FAULTS: dict[str, tuple[str, dict[str, Any], type[errors.KlingError], bool]] = {
    "503 of a gateway": ("nginx", {"status": 503}, errors.SubmissionUncertain, False),
    "502 after fal took it": ("nginx", {"status": 502, "handled": True}, errors.SubmissionUncertain, True),
    "500 without a type": ("status", {"status": 500}, errors.SubmissionUncertain, False),
    "cut before the answer": ("reset", {"at": "after_body"}, errors.SubmissionUncertain, True),
    "cut before the body": ("reset", {"at": "before_body"}, errors.SubmissionUncertain, False),
    "cut within the answer": ("close", {"at": "mid_body"}, errors.SubmissionUncertain, True),
    "no request id": ("missing_keys", {"keys": ("request_id",)}, errors.SubmissionUncertain, True),
    "503 with a type": (
        "platform",
        {"error_type": "runner_scheduling_failure", "status": 503},
        errors.PlatformError,
        False,
    ),
    "no money": ("no_money", {}, errors.InsufficientBalance, False),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_answer(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, name: str
) -> None:
    kind, options, error, taken = FAULTS[name]
    ends = []
    for submit in (by_job, by_client):
        fal.fault("submit", kind, **options)
        ends.append(end_of(submit, make_session(prices=PRICES), ledger))
    unclear = error is errors.SubmissionUncertain
    assert ends[0] == ends[1]
    assert (ends[0].error, ends[0].sent, ends[0].request_id) == (error, True, None)
    assert ends[0].state is (State.UNCERTAIN if unclear else State.FAILED)
    assert ends[0].reserved_usd == (0.5 if unclear else 0.0)
    assert ends[0].noted == ends[0].message
    assert fal.count("submit") == 2
    fal.wait_for(lambda: len(fal.accepted) == (2 if taken else 0))


def test_no_connection(make_session: MakeSession, fal: ScriptedFal, ledger: Ledger) -> None:
    with fal.refusing():
        ends = [end_of(submit, make_session(), ledger) for submit in (by_job, by_client)]
    assert ends[0] == ends[1]
    assert (ends[0].error, ends[0].state) == (errors.UnreachableError, State.FAILED)


def test_the_request_id_of_another_job(make_session: MakeSession, fal: ScriptedFal, ledger: Ledger) -> None:
    """The video of that job would be shown for this one, and the video of this one would be lost."""
    dog = make_session().submit("a dog", endpoint=ENDPOINT)
    dog.wait()
    ends = []
    for submit in (by_job, by_client):
        fal.fault("submit", "edit", edit=renamed(str(dog.request_id)))
        ends.append(end_of(submit, make_session(), ledger))
    assert ends[0] == ends[1]
    assert (ends[0].error, ends[0].state) == (errors.SubmissionUncertain, State.UNCERTAIN)
    assert ends[0].request_id is None
    assert "request id of another job" in ends[0].message


def test_an_unexpected_error_while_the_request_is_under_way(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    ends = [end_of(submit, make_session(whole=BreaksOnce(600.0)), ledger) for submit in (by_job, by_client)]
    assert ends[0] == ends[1]
    assert (ends[0].error, ends[0].state) == (errors.SubmissionUncertain, State.UNCERTAIN)
    fal.wait_for(lambda: len(fal.accepted) == 2)  # it was sent: fal has it
    assert fal.count("submit") == 2


# -- The ledger cannot be written right after fal has accepted the request.


def row(ledger: Ledger) -> Entry:
    (entry,) = ledger.entries()
    return entry


def check_row_has_the_request(ledger: Ledger, fal: ScriptedFal) -> None:
    url = f"{fal.url}/fal-ai/kling-video/requests/{fal.job().request_id}"
    entry = row(ledger)
    assert (entry.request_id, entry.response_url) == (fal.job().request_id, url)
    assert (entry.status_url, entry.cancel_url) == (f"{url}/status", f"{url}/cancel")
    assert not entry.state.finished


def test_an_id_that_could_not_be_written_is_written_with_the_next_step_of_a_job(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    stall = fal.fault("submit", "stall", at="after_body")
    hold = fal.fault("stream", "stall", at="before_body")
    job = make_session().submit("a cat", endpoint=ENDPOINT)
    fal.wait_for("submit")
    with full(ledger.path):
        stall.release()
        fal.wait_for("stream")
        assert row(ledger).request_id is None
    assert any("disk is full" in line.message for line in job.lines)
    hold.release()
    fal.wait_for(lambda: row(ledger).request_id is not None)
    check_row_has_the_request(ledger, fal)
    fal.release()
    assert job.wait() is not None


@pytest.mark.parametrize("step", ["status", "cancel", "close"])
def test_an_id_that_could_not_be_written_is_written_with_the_next_step_of_the_client(
    make_session: MakeSession,
    fal: ScriptedFal,
    ledger: Ledger,
    caplog: pytest.LogCaptureFixture,
    step: str,
) -> None:
    fal.script = Script([Run(), Hold(), Done()], on_cancel="ignore")
    session = make_session()
    stall = fal.fault("submit", "stall", at="after_body")
    with ThreadPoolExecutor() as threads:
        submitting = threads.submit(by_client, session)
        fal.wait_for("submit")
        with full(ledger.path):
            stall.release()
            request_id = submitting.result()
            assert row(ledger).request_id is None
            assert asyncio.run(session.client.status(ENDPOINT, request_id)).state  # it is found all the same
    assert "disk is full" in caplog.text
    if step == "close":
        session.close()
    else:
        asyncio.run(getattr(session.client, step)(ENDPOINT, request_id))
    check_row_has_the_request(ledger, fal)
    assert len(fal.accepted) == 1
