"""Options of a submission, from the argument or the flag to what arrives at fal."""

import json
import logging
from typing import Any

import pytest
from scripted import Fail, Queue, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import State
from kling_nb.ledger import Ledger
from kling_nb.notebook.flags import parse_line
from kling_nb.notebook.output.terminal import plan_text
from kling_nb.session import Session

EVERYTHING: dict[str, Any] = {
    "priority": "low",
    "start_timeout": 60,
    "hint": "same-runner",
    "no_retry": True,
    "tags": {"project": "reel-7"},
    "store_io": False,
    "lifecycle": {"expires_in": "1d", "acl": "forbid"},
    "fallback": False,
    "max_queue_length": 7,
    "headers": {"X-Team": "seven"},
}
HEADERS = {
    "x-fal-queue-priority": "low",
    "x-fal-request-start-timeout": "60",
    "x-fal-request-timeout": "60",
    "x-fal-runner-hint": "same-runner",
    "x-fal-no-retry": "1",
    "x-fal-tags": "project=reel-7",
    "x-fal-store-io": "0",
    "x-app-fal-disable-fallback": "1",
    "x-team": "seven",
}


def test_all_of_them_arrive_and_with_the_submission_only(session: Session, fal: ScriptedFal) -> None:
    assert session.generate("a cat", duration=10, webhook_url="http://127.0.0.1:9/", **EVERYTHING) is not None
    sent = fal.last("submit")
    assert {name: sent.headers.get(name) for name in HEADERS} == HEADERS
    assert json.loads(sent.headers["x-fal-object-lifecycle-preference"]) == {
        "expiration_duration_seconds": 86_400,
        "initial_acl": {"default": "forbid", "rules": []},
    }
    assert sent.query == {"fal_max_queue_length": "7", "fal_webhook": "http://127.0.0.1:9/"}
    assert sent.json == {"prompt": "a cat", "duration": "10"}
    assert sent.headers["authorization"] == f"Key {fal.key}"
    assert sent.headers["content-type"] == "application/json"
    for record in fal.requests:
        assert record is sent or not set(HEADERS) & set(record.headers), record.exchange


def test_without_options_nothing_is_shown(session: Session, fal: ScriptedFal) -> None:
    session.generate("a cat")
    sent = fal.last("submit")
    assert sent.query == {}
    assert not {name for name in sent.headers if name.startswith(("x-fal", "x-app"))}


def test_they_do_not_make_it_another_request(session: Session, fal: ScriptedFal) -> None:
    plain = session.submit("a cat")
    plain.wait()
    again = session.submit("a cat", **EVERYTHING)
    assert again.reused
    assert again.request.fingerprint == plain.request.fingerprint
    assert len(fal.accepted) == 1


@pytest.mark.parametrize(
    "wrong", [{"priority": "high"}, {"tags": {"fal.a": "b"}}, {"headers": {"Host": "x"}}]
)
def test_a_wrong_one_is_refused_before_anything_is_written_or_sent(
    session: Session, fal: ScriptedFal, wrong: dict[str, Any]
) -> None:
    for call in (session.submit, session.plan):
        with pytest.raises(errors.UsageError):
            call("a cat", **wrong)
    assert not fal.requests
    assert session.jobs() == []


def test_flags(session: Session, fal: ScriptedFal) -> None:
    line = "--priority low --start-timeout 60 --hint same-runner --no-retry --no-store --tag a=b --tag c=d=e"
    call = parse_line(line, default_endpoint="v1-pro")
    session.generate("a cat", **call.submit_arguments())
    sent = fal.last("submit").headers
    assert sent["x-fal-tags"] == "a=b,c=d=e"
    left_out = {"x-fal-tags", "x-app-fal-disable-fallback", "x-team"}
    assert all(sent[name] == value for name, value in HEADERS.items() if name not in left_out)


@pytest.mark.parametrize(
    "line", ["--priority high", "--start-timeout soon", "--tag a", "--priority", "--hint", "--no-retry=1"]
)
def test_wrong_flags(line: str) -> None:
    with pytest.raises(errors.UsageError) as caught:
        parse_line(line, default_endpoint="v1-pro")
    assert len(str(caught.value).splitlines()) <= 4


def test_a_dry_run_shows_them_and_no_secret(session: Session) -> None:
    text = plan_text(session.plan("a cat", **{**EVERYTHING, "headers": {"X-Token": "geheim"}}))
    assert "?fal_max_queue_length=7" in text
    assert "X-Fal-Queue-Priority: low" in text
    assert "X-Token: ***" in text
    assert "geheim" not in text


def test_the_queue_is_too_long(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    fal.fault("submit", "status", status=429)
    with pytest.raises(errors.RateLimited):
        session.generate("a cat", max_queue_length=0)
    entry = ledger.entries()[0]
    assert entry.state is State.FAILED
    assert entry.reserved_usd == 0


def test_the_start_timeout_runs_out(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    """It is fal's word on the request: asked once for, and final."""
    fal.script = Script([Queue(3), Fail.start_timeout()])
    with pytest.raises(errors.PlatformError, match="did not start") as caught:
        session.generate("a cat", start_timeout=1)
    assert "not start in time" in caught.value.remedy
    assert caught.value.error_type == "startup_timeout"
    assert fal.count("result") == 1
    assert ledger.entries()[0].state is State.FAILED


def test_a_job_that_is_under_way_keeps_its_own(session: Session, fal: ScriptedFal) -> None:
    first = session.submit("a cat", priority="low")
    second = session.submit("a cat", priority="normal")
    assert second is first
    first.wait()
    assert [one.headers["x-fal-queue-priority"] for one in fal.accepted] == ["low"]


@pytest.mark.parametrize("acl", ["forbid", "hide"])
def test_a_private_result_is_warned_of_before_it_is_paid(
    session: Session, fal: ScriptedFal, caplog: pytest.LogCaptureFixture, acl: str
) -> None:
    warning = f'The result will be private (acl "{acl}")'
    assert warning in plan_text(session.plan("a cat", lifecycle={"acl": acl}))
    assert warning not in plan_text(session.plan("a cat", lifecycle={"acl": "allow"}))
    submitted_before: list[int] = []
    logger = logging.getLogger("kling_nb.session")
    logger.addFilter(watch := lambda record: not submitted_before.append(fal.count("submit")))
    try:
        job = session.submit("a cat", lifecycle={"acl": acl})
    finally:
        logger.removeFilter(watch)
    assert submitted_before == [0]
    assert any(message.startswith(warning) for message in caplog.messages)
    job.wait()
    assert warning in job.lines[0].message
    again = session.submit("a cat", lifecycle={"acl": acl})
    assert again.reused
    assert sum(message.startswith(warning) for message in caplog.messages) == 1


def test_a_result_that_lives_for_minutes_only_is_named_before_it_is_paid(session: Session) -> None:
    words = "keep the result for minutes only"
    assert words in plan_text(session.plan("a cat", store_io=False))
    assert words not in plan_text(session.plan("a cat", store_io=True))
    assert words in session.submit("a cat", store_io=False).lines[0].message
