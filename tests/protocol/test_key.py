"""The key is sent to fal's own hosts only. It is never shown, and never written."""

import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted import Done, Hold, Queue, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.session import Session

KEY = "0b7e-id:0123456789secret"
MakeSession = Callable[..., Session]


def test_it_goes_with_every_request_to_fal_and_with_none_to_the_media_host(
    session: Session, fal: ScriptedFal, picture: Path
) -> None:
    fal.script = Script([Run(), Hold(), Done()], on_cancel="ignore")
    job = session.submit("a cat", image=picture)
    fal.wait_for("stream")
    job.cancel()
    fal.release()
    assert job.wait() is not None
    for record in fal.requests:
        expected = f"Key {fal.key}" if record.listener == "fal" else None
        assert record.headers.get("authorization") == expected, record.exchange
        assert not record.carries(fal.key.partition(":")[2]) or record.listener == "fal"
    assert {record.listener for record in fal.requests} == {"fal", "media"}
    assert not fal.stray_keys
    assert all(fal.key not in record.target for record in fal.requests)


def test_a_reply_that_names_another_host_is_not_followed_there(session: Session, fal: ScriptedFal) -> None:
    fal.fault("submit", "foreign_urls")
    assert session.generate("a cat") is not None
    assert [record.listener for record in fal.requests] == ["fal", "fal", "fal", "fal", "media"]
    assert not fal.stray_keys


@pytest.mark.parametrize("field", ["status_url", "response_url", "cancel_url"])
@pytest.mark.parametrize(
    "address",
    [
        "{media}/x",
        "{url}.evil.example/x",
        "{url}@127.0.0.1:1/x",
        "http://127.0.0.1:1/x",
        "https://127.0.0.1/x",
        "//127.0.0.1:1/x",
        "ftp://127.0.0.1/x",
        "{url}\\@127.0.0.1:1/x",
        "{url}/x?to=",
        "{url}/x#",
        "http://[half",
        "",
        None,
        7,
        ["{url}"],
    ],
    ids=str,
)
def test_odd_urls_in_a_reply(session: Session, fal: ScriptedFal, field: str, address: Any) -> None:
    named = address.format(url=fal.url, media=fal.media_url) if isinstance(address, str) else address

    def edited(reply: Any) -> Any:
        return reply.with_body(json.dumps(json.loads(reply.body) | {field: named}).encode())

    fal.fault("submit", "edit", edit=edited)
    fal.script = Script([Run(), Hold(), Done()], on_cancel="ignore")
    job = session.submit("a cat")
    fal.wait_for("stream")
    job.cancel()
    fal.release()
    assert job.wait() is not None
    assert not fal.stray_keys
    assert fal.count("stray") == 0
    assert fal.connections <= 10


@pytest.mark.parametrize("exchange", ["submit", "stream", "status", "result", "cancel", "upload_initiate"])
def test_a_redirect_of_fal_is_not_followed(
    session: Session, fal: ScriptedFal, exchange: str, picture: Path
) -> None:
    fal.fault(exchange, "redirect", status=308, times=None if exchange != "status" else 2)
    fal.script = Script([Run(), Hold(), Done()], on_cancel="ignore")
    job = session.submit("a cat", image=picture)
    fal.wait_for(lambda: job.state.request_id or job.done)
    if not job.done and exchange == "cancel":
        with pytest.raises(errors.PlatformError, match="308"):
            job.cancel()
    if not job.done:
        fal.release()
    if exchange in {"submit", "upload_initiate"}:
        with pytest.raises(errors.PlatformError, match="308"):
            job.wait()
    elif exchange == "result":
        with pytest.raises(errors.UnreachableError, match="308"):
            job.wait()
        assert not session.jobs()[0].state.finished
    else:
        assert job.wait() is not None
    assert not fal.stray_keys
    assert fal.count("stray") == 0


def test_a_redirect_of_the_media_host_back_to_fal_brings_no_key(session: Session, fal: ScriptedFal) -> None:
    """Not even where the key may go otherwise: a file needs none (FAL-PROTOCOL §9.5)."""

    def to_fal(reply: Any) -> Any:
        return replace(reply, status=302, headers=(("location", f"{fal.url}/files/x.mp4"),), body=b"")

    fal.fault("download", "edit", edit=to_fal, times=None)
    with pytest.raises(errors.MediaError):
        session.generate("a cat")
    assert all(
        "authorization" not in record.headers for record in fal.requests if record.path == "/files/x.mp4"
    )
    assert any(record.path == "/files/x.mp4" for record in fal.requests)


def test_it_is_in_no_file(session: Session, fal: ScriptedFal, picture: Path, tmp_path: Path) -> None:
    session.generate("a cat", image=picture)
    fal.fault("submit", "status", status=401)
    with pytest.raises(errors.AuthenticationError):
        session.generate("a dog")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".sqlite3", ".json", ".mp4"}
    for path in written:
        data = path.read_bytes()
        for part in fal.key.split(":"):
            assert part.encode() not in data, path


def test_it_is_in_no_text(
    session: Session, fal: ScriptedFal, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Log lines down to the network's own, errors and all they carry, and what things say of themselves."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "asyncio", "kling_nb"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    secret = fal.key.partition(":")[2]
    texts = [repr(session), repr(session.settings()), str(vars(session.settings().hosts.__class__))]
    job = session.submit("a cat")
    job.wait()
    texts += [repr(job), repr(job.request), repr(session.jobs())]
    for exchange, kind in (("submit", "reset"), ("status", "truncated_json"), ("result", "nginx")):
        fal.fault(exchange, kind, times=None)
        try:
            session.generate(f"a cat with {exchange}")
        except errors.KlingError as error:
            texts += ["".join(traceback.format_exception(error)), repr(error), str(error.__dict__)]
            texts.append(repr(error.__cause__))
        fal.clear_faults()
    output = capsys.readouterr()
    assert caplog.records
    for text in (*texts, caplog.text, output.out, output.err):
        assert secret not in text


@pytest.mark.parametrize(
    ("exchange", "kind"),
    [
        ("submit", "reset"),
        ("submit", "truncated_json"),
        ("status", "status"),
        ("result", "reset"),
        ("cancel", "reset"),
        ("upload_initiate", "reset"),
        ("upload_initiate", "status"),
        ("lookup", "reset"),
    ],
)
def test_it_is_in_no_variable_of_a_traceback(
    session: Session, fal: ScriptedFal, picture: Path, exchange: str, kind: str
) -> None:
    """`%xmode Verbose` shows the variables of every frame, and those of the network hold the header."""
    if exchange == "lookup":
        fal.fault("submit", "reset")
        with pytest.raises(errors.SubmissionUncertain):
            session.generate("a cat")
    fal.fault("stream", "status", status=405, times=None)
    options: dict[str, Any] = {"status": 401} if kind == "status" else {}
    fal.fault(exchange, kind, times=None, **options)
    fal.script = Script([Queue(1), *([Hold()] if exchange == "cancel" else []), Run(), Done()])
    job = session.submit("a cat", image=picture if exchange == "upload_initiate" else None)
    if exchange == "cancel":
        fal.wait_for(lambda: job.state.request_id)
    with pytest.raises(errors.KlingError) as caught:
        job.cancel() if exchange == "cancel" else job.wait()
    try:
        raise RuntimeError("the user's own") from caught.value
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert type(caught.value).__name__ in shown
    assert fal.key.partition(":")[2] not in shown


@pytest.mark.parametrize(
    "settings",
    [
        {"credentials": KEY, "backend": "nowhere"},
        {"credentials": KEY, "queue_url": "http://queue.example"},
        {"credentials": KEY, "colour": "blue"},
        {"credentials": f"{KEY} twice"},
        {"credentials": lambda: f"{KEY} twice"},
        {},
    ],
    ids=["backend", "host", "name", "key", "function", "environment"],
)
def test_it_is_in_no_variable_where_a_setting_is_wrong(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """The key stands among the settings, and in the environment."""
    monkeypatch.setenv("FAL_KEY", KEY if settings else f"{KEY} twice")

    def act() -> None:
        Session(**{"backend": "fal", **settings}).submit("a cat")

    with pytest.raises(errors.UsageError) as caught:
        act()
    frames = caught.value.__traceback__
    ours = str(Path(errors.__file__).parent)
    while frames is not None and not frames.tb_frame.f_code.co_filename.startswith(ours):
        frames = frames.tb_next  # those of this test have it
    assert frames is not None
    shown = traceback.TracebackException(
        type(caught.value), caught.value, frames, capture_locals=True, lookup_lines=False
    )
    assert KEY.partition(":")[2] not in "".join(shown.format())


def test_an_error_survives_a_pickle_without_it(session: Session, fal: ScriptedFal) -> None:
    fal.fault("submit", "no_money")
    with pytest.raises(errors.InsufficientBalance) as caught:
        session.generate("a cat")
    assert fal.key.encode() not in pickle.dumps(str(caught.value))


def test_a_key_made_again_for_each_call(make_session: MakeSession, fal: ScriptedFal) -> None:
    """`credentials` may be a function; what it gives is used from the next call on."""
    keys = ["wrong:key", fal.key]
    session = make_session(credentials=lambda: keys[0])
    with pytest.raises(errors.AuthenticationError):
        session.generate("a cat")
    keys.pop(0)
    assert session.generate("a cat") is not None
    assert len(fal.accepted) == 1


def test_without_a_key_nothing_is_asked_of_fal(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session(credentials=None)
    with pytest.raises(errors.MissingKey) as caught:
        session.generate("a cat")
    with pytest.raises(errors.MissingKey):
        session.upload(b"x")
    assert len(str(caught.value).splitlines()) <= 4
    assert not fal.requests
    assert session.jobs() == []
