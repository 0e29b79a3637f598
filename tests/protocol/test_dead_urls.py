"""What fal no longer serves: a result's file that has expired, is private or deleted; an endpoint."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted import Done, Fail, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import State
from kling_nb.job.run import LATE_SECONDS
from kling_nb.ledger import Ledger
from kling_nb.session import Session

MakeSession = Callable[..., Session]


def make_take_without_its_file(make_session: MakeSession) -> None:
    make_session().generate("a cat").path.unlink()


def refuse_the_old_url(fal: ScriptedFal, status: int) -> str:
    """Make the file's URL answer with `status`, and put another URL into fal's result, which is returned."""
    (old,) = fal.cdn.files
    file = fal.cdn.files[old]
    if status in {401, 403}:
        fal.cdn.acl[old] = "forbid"
    else:
        del fal.cdn.files[old]
    url = fal.cdn.put("again.mp4", file.data, "video/mp4")
    fal.queue._results[fal.job().request_id]["video"]["url"] = url
    return url


@pytest.mark.parametrize("status", [401, 403, 404, 410])
@pytest.mark.parametrize("by_id", [False, True])
def test_a_url_that_is_refused_makes_the_client_ask_for_the_result_once_more(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, status: int, by_id: bool
) -> None:
    make_take_without_its_file(make_session)
    url = refuse_the_old_url(fal, status)
    if status in {401, 410}:  # those that the scripted host has no reason of its own to send
        fal.fault("download", "status", status=status, times=2)
    before = fal.count("result")
    session = make_session()
    job = session.get_job(fal.job().request_id) if by_id else session.submit("a cat")
    assert job.wait().url == url
    assert fal.count("result") == before + 1
    assert fal.count("sign") == 0
    (entry,) = ledger.entries()
    assert url in str(entry.result)
    assert len(fal.accepted) == 1


def test_a_refusal_of_a_result_that_was_there_before_does_not_end_a_paid_job(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.fault("download", "status", status=403, times=None)
    fal.platform.may_sign = False
    with pytest.raises(errors.MediaPrivate):
        make_session().generate("a cat")
    body = {"detail": [{"loc": ["body"], "msg": "failed", "type": "value_error"}]}
    fal.fault("result", "named", status=422, body=body, times=None)
    with pytest.raises(errors.MediaPrivate):
        make_session().generate("a cat")
    assert ledger.entries()[0].state is State.DOWNLOADING
    fal.clear_faults()
    assert make_session().generate("a cat") is not None
    assert len(fal.accepted) == 1


@pytest.mark.parametrize("acl", ["forbid", "hide"])
def test_a_private_result_is_fetched_by_a_signed_url(
    session: Session, fal: ScriptedFal, tmp_path: Path, acl: str
) -> None:
    fal.cdn.default_acl = acl
    video = session.generate("a cat")
    (asked,) = [record for record in fal.requests if record.exchange == "sign"]
    assert asked.query["url"] == video.url
    assert asked.json == {"expiration_seconds": 86_400}
    assert asked.headers["authorization"] == f"Key {fal.key}"
    assert "identity=" in fal.last("download").target
    assert not fal.stray_keys
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"identity-" in content for content in kept)  # a signature lets anyone fetch the file
    assert len(fal.accepted) == 1


def test_a_lifecycle_of_the_submission_itself_makes_it_private(session: Session, fal: ScriptedFal) -> None:
    assert session.generate("a cat", lifecycle={"acl": "forbid"}) is not None
    assert fal.count("sign") == 1


def test_further_files_of_a_private_result_are_signed_too(session: Session, fal: ScriptedFal) -> None:
    image = fal.cdn.put("still.png", b"\x89PNG\r\n\x1a\n" + bytes(64), "image/png")
    fal.script = Script([Done(extra={"still": {"url": image, "content_type": "image/png"}})])
    fal.cdn.default_acl = "forbid"
    job = session.submit("a cat")
    job.wait()
    assert [line.message for line in job.lines if "not stored" in line.message] == []
    assert fal.count("sign") == 2


@pytest.mark.parametrize(
    ("acl", "words"),
    [("forbid", "It is paid for, and private"), ("hide", "fal has deleted the file, or hides it")],
)
def test_without_the_permission_to_sign_the_error_names_it_and_the_job_stays_paid(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, acl: str, words: str
) -> None:
    fal.cdn.default_acl, fal.platform.may_sign = acl, False
    for _ in range(2):  # a run and a re-run
        with pytest.raises(errors.MediaPrivate) as caught:
            make_session().generate("a cat")
        text = str(caught.value)
        assert words in text
        assert "permission assets:read" in text
        assert "no longer" not in text
        assert len(text.splitlines()) <= 4
        (entry,) = ledger.entries()
        assert entry.state is State.DOWNLOADING
    ledger.update(entry.id, created_at=entry.created_at - 2 * LATE_SECONDS)
    with pytest.raises(errors.MediaPrivate):  # an old file that is hidden is not called gone either
        make_session().generate("a cat")
    fal.platform.may_sign = True
    assert make_session().generate("a cat") is not None
    assert len(fal.accepted) == 1


def test_a_private_file_of_a_result_that_fal_forgot_is_still_fetched(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    make_take_without_its_file(make_session)
    fal.cdn.default_acl = "hide"
    fal.job().forget()
    assert make_session().generate("a cat") is not None
    assert len(fal.accepted) == 1


def test_a_file_that_is_not_even_there_by_a_signed_url_is_gone(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    make_take_without_its_file(make_session)
    fal.cdn.files.clear()
    with pytest.raises(errors.MediaGone):  # so soon, the media host may be late
        make_session().generate("a cat")
    (entry,) = ledger.entries()
    ledger.update(entry.id, created_at=entry.created_at - 2 * LATE_SECONDS)
    with pytest.raises(errors.ResultGone):
        make_session().generate("a cat")
    assert fal.count("sign") >= 2


@pytest.mark.parametrize(
    "signed", ["http://192.0.2.1/files/b/0a800001/output.mp4", "http://localhost/another.mp4", 7, None]
)
def test_a_signed_url_of_another_file_or_host_is_not_used(
    session: Session, fal: ScriptedFal, signed: object
) -> None:
    fal.cdn.default_acl = "forbid"
    body = {"signed_url": signed}
    fal.fault("sign", "edit", edit=lambda reply: reply.with_body(json.dumps(body).encode()), times=None)
    with pytest.raises(errors.MediaPrivate, match="names no URL of this file"):
        session.generate("a cat")
    assert {record.path for record in fal.requests if record.exchange == "download"} == set(fal.cdn.files)


def test_messages_do_not_show_the_signature_of_a_url(session: Session, fal: ScriptedFal) -> None:
    fal.platform.may_sign = False
    fal.script = Script([Done(output={"video": {"url": f"{fal.media_url}/files/b/0/x.mp4?identity=secret"}})])
    with pytest.raises(errors.MediaPrivate) as caught:
        session.generate("a cat")
    assert "/files/b/0/x.mp4" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("when", ["submission", "result"])
@pytest.mark.parametrize("deprecated", [True, False])
def test_a_404_of_an_endpoint_names_that_fal_lists_it_as_deprecated(
    session: Session, fal: ScriptedFal, when: str, deprecated: bool
) -> None:
    if when == "submission":
        fal.fault("submit", "status", status=404, body={"detail": 'Application "kling-video" not found'})
    else:
        fal.script = Script([Run(), Fail.plain(404, "Path /v1 not found", silent=True)])
    endpoint_id = session.endpoint().id
    if deprecated:
        fal.platform.deprecated.add(endpoint_id)
    with pytest.raises(errors.EndpointNotFound) as caught:
        session.generate("a cat")
    assert (f"fal lists {endpoint_id} as deprecated" in str(caught.value)) is deprecated
    assert fal.count("models") == 1
    assert len(str(caught.value).splitlines()) <= 4


def test_the_status_of_an_endpoint_is_only_a_hint(session: Session, fal: ScriptedFal) -> None:
    fal.fault("submit", "status", status=404, body={"detail": 'Application "kling-video" not found'})
    fal.fault("models", "reset")
    with pytest.raises(errors.EndpointNotFound):
        session.generate("a cat")
