"""A webhook with a submission: what is asked of fal, what is refused, and when none will come."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted import Done, Hold, Script, ScriptedFal
from webhook_receiver import receiving

from kling_nb import errors
from kling_nb.fal.webhooks import verify
from kling_nb.session import Session

ADDRESS = "https://example.com/hook?of=fal&a=b#c ä"


def no_webhook(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_it_goes_along_as_a_query_and_changes_nothing_else(session: Session, fal: ScriptedFal) -> None:
    address = ADDRESS.replace(" ", "%20")
    plan = session.plan("a cat", webhook_url=address)
    assert plan.request.fingerprint == session.plan("a cat").request.fingerprint
    session.generate("a cat", webhook_url=address)
    assert dict(fal.last("submit").query) == {"fal_webhook": address}
    assert fal.last("submit").json == {"prompt": "a cat"}


@pytest.mark.parametrize("url", ["ftp://example.com/", "nonsense", ""])
def test_what_is_no_url_is_refused_before_anything_is_sent(
    session: Session, fal: ScriptedFal, url: str
) -> None:
    with pytest.raises(errors.UsageError, match="webhook URL"):
        session.submit("a cat", webhook_url=url)
    assert fal.requests == ()
    assert session.jobs() == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/", "http://192.168.0.7/", "http://localhost/"])
def test_fal_gets_no_url_that_it_cannot_reach(
    make_session: Callable[..., Session], tmp_path: Path, url: str
) -> None:
    # fal's own hosts: the refusal comes before anything could be sent to them.
    session = make_session(queue_url=None, rest_url=None, api_url=None)
    for ask in (session.plan, session.submit):
        with pytest.raises(errors.UsageError, match="cannot reach"):
            ask("a cat", webhook_url=url)
    assert session.jobs() == []


def test_a_take_that_is_reused_says_that_none_will_come(
    session: Session, fal: ScriptedFal, caplog: pytest.LogCaptureFixture
) -> None:
    session.generate("a cat")
    assert no_webhook(caplog) == []
    job = session.submit("a cat", webhook_url=ADDRESS.replace(" ", "%20"))
    assert job.reused
    assert fal.count("submit") == 1
    assert ["No webhook will be called" in text for text in no_webhook(caplog)] == [True]


def test_so_does_a_job_that_is_under_way(
    session: Session, fal: ScriptedFal, caplog: pytest.LogCaptureFixture
) -> None:
    fal.script = Script([Hold(), Done()])
    first = session.submit("a cat")
    first._answered.result(10)
    second = session.submit("a cat", webhook_url="https://example.com/")
    assert second is first
    assert ["No webhook will be called" in text for text in no_webhook(caplog)] == [True]
    fal.release()
    first.wait()


def test_with_the_local_preview_server_it_is_verified_without_any_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KLING_NB_LOCAL_SPEED", "inf")
    monkeypatch.setenv("KLING_NB_HOME", str(tmp_path / "home"))
    session = Session(media=tmp_path / "media")
    with receiving() as receiver:
        job = session.submit("a paper boat", duration=5, webhook_url=receiver.url)
        headers, body = receiver.take()
        event = verify(headers, body)
        job.wait()
    assert (event.ok, event.request_id) == (True, job.request_id)
    assert event.payload == job.output
    session.close()
