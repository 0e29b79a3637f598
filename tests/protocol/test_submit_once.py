"""A submission is sent once, whatever happens to it: a second copy would be a second bill."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted import Done, Hold, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import State
from kling_nb.ledger import Ledger
from kling_nb.session import Session

MakeSession = Callable[..., Session]
MODEL = "fal-ai/kling-video/v1/pro/text-to-video"


def packed(reply: Any) -> Any:
    """The reply says that its body is gzip, which it is not."""
    return replace(reply, headers=(*reply.headers, ("content-encoding", "gzip")))


# tests/faults/table.py has more of these.
UNCLEAR: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 500, "handled": True}),
    ("reset", {"at": "before_body"}),
    ("stall", {"at": "after_body"}),
    ("status", {"status": 503, "body": b"upstream connect error or disconnect/reset before headers"}),
    ("status", {"status": 524, "body": b"<html>a timeout occurred</html>", "handled": True}),
    ("status", {"status": 408, "body": b"", "handled": True}),
    ("missing_keys", {"keys": ("request_id",)}),
    ("edit", {"edit": packed}),
]


@pytest.mark.parametrize(
    ("kind", "options"), UNCLEAR, ids=[f"{kind}-{number}" for number, (kind, _) in enumerate(UNCLEAR)]
)
def test_no_clear_answer(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, kind: str, options: dict[str, Any]
) -> None:
    session = make_session(submit=0.15)
    fal.fault("submit", kind, **options)
    job = session.submit("a cat")
    with pytest.raises(errors.SubmissionUncertain) as caught:
        job.wait()
    assert len(str(caught.value).splitlines()) <= 4
    assert job.state.state is State.UNCERTAIN
    assert fal.count("submit") == 1
    (entry,) = ledger.entries()
    assert (entry.state, entry.request_id) == (State.UNCERTAIN, None)

    fal.fault("lookup", "no_items", times=2)
    for asked in (session, make_session()):  # the same again, also from another session: nothing is sent
        with pytest.raises(errors.SubmissionUncertain, match=entry.id):
            asked.generate("a cat")
    assert ledger.entries()[0].state is State.UNCERTAIN
    assert session.plan("a cat").unfinished is not None
    if fal.accepted:  # fal's list shows it by now
        assert make_session().generate("a cat") is not None
    else:
        with pytest.raises(errors.SubmissionUncertain, match="lists no such request"):
            make_session().generate("a cat")
    assert fal.count("submit") == 1


def test_only_new_sends_again(make_session: MakeSession, fal: ScriptedFal, ledger: Ledger) -> None:
    session = make_session()
    fal.fault("submit", "reset")
    with pytest.raises(errors.SubmissionUncertain):
        session.generate("a cat")
    video = session.generate("a cat", new=True)
    assert video is not None
    assert fal.count("submit") == 2
    # From now on that take is the answer; the unclear one stays on record.
    assert session.submit("a cat").reused
    assert [entry.state for entry in ledger.entries()] == [State.READY, State.UNCERTAIN]


def test_other_requests_are_not_held_up(session: Session, fal: ScriptedFal) -> None:
    fal.fault("submit", "reset")
    with pytest.raises(errors.SubmissionUncertain):
        session.generate("a cat")
    assert session.generate("a dog") is not None
    assert session.generate("a cat", duration=10) is not None


REFUSED: list[tuple[str, dict[str, Any], type[errors.ResponseError]]] = [
    ("status", {"status": 401, "body": {"detail": "No"}}, errors.AuthenticationError),
    ("no_money", {}, errors.InsufficientBalance),
    ("status", {"status": 403, "body": {"detail": "No"}}, errors.AccessDenied),
    ("status", {"status": 404, "body": {"detail": 'Application "x" not found'}}, errors.EndpointNotFound),
    ("status", {"status": 422, "body": {"detail": "No"}}, errors.InputRefused),
    ("busy", {"retry_after": 1}, errors.RateLimited),
    ("platform", {"error_type": "runner_scheduling_failure", "status": 503}, errors.PlatformError),
    ("platform", {"error_type": "bad_request", "status": 400}, errors.PlatformError),
    ("redirect", {}, errors.PlatformError),
]


@pytest.mark.parametrize(("kind", "options", "expected"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_refusal_is_final_and_the_next_call_may_try(
    session: Session,
    fal: ScriptedFal,
    ledger: Ledger,
    kind: str,
    options: dict[str, Any],
    expected: type[errors.ResponseError],
) -> None:
    fal.fault("submit", kind, **options)
    with pytest.raises(expected) as caught:
        session.generate("a cat")
    assert type(caught.value) is expected
    assert len(str(caught.value).splitlines()) <= 4
    assert fal.count("submit") == len(fal.requests) - fal.count("models") == 1
    (entry,) = ledger.entries()
    assert entry.state is State.FAILED
    assert session.generate("a cat") is not None
    assert fal.count("submit") == 2
    assert not fal.stray_keys


def test_no_connection_means_nothing_was_sent(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    with fal.refusing(), pytest.raises(errors.UnreachableError):
        session.generate("a cat")
    assert ledger.entries()[0].state is State.FAILED
    assert session.generate("a cat") is not None
    assert fal.count("submit") == 1


def test_nothing_is_sent_that_the_ledger_cannot_hold(
    make_session: MakeSession, fal: ScriptedFal, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    session = make_session(home=tmp_path / "file" / "home")
    with pytest.raises(errors.LedgerError) as caught:
        session.generate("a cat")
    assert len(str(caught.value).splitlines()) <= 4
    assert not fal.requests


def test_nothing_is_sent_when_the_disk_is_full(fal: ScriptedFal, run: Any, ledger: Ledger) -> None:
    program = run(
        """
import resource, signal
import kling_nb
kling_nb.generate("a cat")
print("first", flush=True)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))   # no file may grow beyond this
try:
    kling_nb.generate("a dog")
except kling_nb.errors.LedgerError as error:
    print(type(error).__name__, flush=True)
"""
    )
    assert program.says() == "first"
    assert program.says() == "LedgerError"
    code, _, complaints = program.finish()
    assert (code, complaints) == (0, "")
    assert [one.input["prompt"] for one in fal.accepted] == ["a cat"]
    assert [entry.prompt for entry in ledger.entries()] == ["a cat"]


def test_the_ledger_knows_before_fal_does(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    stall = fal.fault("submit", "stall", at="before_body")
    job = session.submit("a cat")
    fal.wait_for("submit")
    (entry,) = ledger.entries()
    assert (entry.id, entry.state, entry.request_id) == (job.id, State.SUBMITTING, None)
    assert entry.sent_at is not None
    stall.release()
    assert job.wait() is not None


def test_the_request_id_is_durable_before_anything_else_is_asked(
    session: Session, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script([Run(), Hold()])
    session.submit("a cat")
    fal.wait_for("stream")
    (entry,) = ledger.entries()
    ref = fal.job()
    assert entry.request_id == ref.request_id
    assert entry.status_url == f"{fal.url}/fal-ai/kling-video/requests/{ref.request_id}/status"
    assert entry.response_url == f"{fal.url}/fal-ai/kling-video/requests/{ref.request_id}"
    assert entry.cancel_url == f"{fal.url}/fal-ai/kling-video/requests/{ref.request_id}/cancel"


def test_a_full_disk_does_not_lose_a_job_that_fal_has(session: Session, fal: ScriptedFal, run: Any) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    program = run(
        """
import asyncio, resource, signal, sys
import kling_nb
from kling_nb.fal.patience import Patience
job = kling_nb.Session(patience=Patience(sleep=lambda seconds: asyncio.sleep(0))).submit("a cat")
job._answered.result()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
print(job.state.state.value, flush=True)
try:
    job.wait()
except kling_nb.errors.KlingError as error:
    print(type(error).__name__, flush=True)
"""
    )
    assert program.says() in {"IN_QUEUE", "IN_PROGRESS"}
    fal.job().finish()
    assert program.says() == "MediaError"
    assert program.finish()[0] == 0
    assert session.generate("a cat") is not None  # there is room again
    assert len(fal.accepted) == 1


def test_a_body_is_what_the_request_says(session: Session, fal: ScriptedFal) -> None:
    session.generate("a cat", duration=10, aspect_ratio="9:16")
    sent = fal.last("submit")
    assert sent.method == "POST"
    assert sent.path == f"/{MODEL}"
    assert json.loads(sent.body) == {"prompt": "a cat", "duration": "10", "aspect_ratio": "9:16"}
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["user-agent"].startswith("kling_nb/")
