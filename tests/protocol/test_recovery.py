"""What was paid for comes back at every point at which it can have been lost, and is not paid for again."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import Done, Fail, Hold, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import State
from kling_nb.job.job import Job
from kling_nb.ledger import Intent, Ledger
from kling_nb.ledger.schema import START_SECONDS
from kling_nb.notebook.widgets import takes as again
from kling_nb.notebook.widgets.compose import Desk
from kling_nb.session import Session

MakeSession = Callable[..., Session]
PRICED = "v1.6-pro"  # $0.098 a second, so $0.49 for 5 s


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def exchanges(fal: ScriptedFal, since: int) -> list[str]:
    return [record.exchange for record in fal.requests[since:]]


# the file is gone


@pytest.mark.parametrize("by_id", [False, True])
def test_a_file_that_was_deleted_is_fetched_again(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, tmp_path: Path, by_id: bool
) -> None:
    first = make_session().submit("a cat")
    first.wait()
    for path in (tmp_path / "media").iterdir():
        path.unlink()
    before = len(fal.requests)
    session = make_session()
    plan = session.plan("a cat")
    assert plan.unfinished is not None
    assert plan.unfinished.id == first.id
    job = session.get_job(first.id) if by_id else session.submit("a cat")
    assert job.wait() is not None
    assert job.id == first.id
    assert exchanges(fal, before) == ["download"]
    assert files(tmp_path / "media") == [".json", ".mp4"]
    (entry,) = ledger.entries()
    assert (entry.state, entry.media_path) == (State.READY, str(job.file))
    assert session.submit("a cat").reused


def test_a_url_that_is_gone_is_asked_for_again(
    make_session: MakeSession, fal: ScriptedFal, tmp_path: Path
) -> None:
    video = make_session().generate("a cat")
    video.path.unlink()
    (old,) = fal.cdn.files
    data = fal.cdn.files.pop(old).data
    url = fal.cdn.put("again.mp4", data, "video/mp4")
    fal.queue._results[fal.job().request_id]["video"]["url"] = url
    again = make_session().generate("a cat")
    assert again.url == url
    assert len(fal.accepted) == 1


def test_a_result_that_fal_keeps_no_longer(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    """It is shown to be gone, as often as it is asked for, and bought again only where that is shown."""
    first = make_session().submit("a cat")
    video = first.wait()
    video.path.unlink()
    fal.cdn.files.clear()
    fal.job().forget()
    for _ in range(2):
        with pytest.raises(errors.ResultGone) as caught:
            make_session().generate("a cat")
        shown = str(caught.value)
        assert all(known in shown for known in (first.id, str(first.request_id), str(video.path), "units 5"))
        assert len(shown.splitlines()) <= 4
    assert [entry.state for entry in ledger.entries()] == [State.READY]
    assert len(fal.accepted) == 1
    assert make_session().generate("a cat", new=True) is not None
    assert len(fal.accepted) == 2
    assert make_session().submit("a cat").reused


def forgotten(make_session: MakeSession, fal: ScriptedFal) -> Job:
    """A job that was submitted, and that fal forgot before its result was fetched."""
    fal.script = Script([Run(), Hold(), Done()])
    with make_session() as session:
        job = session.submit("a cat", endpoint=PRICED)
        fal.wait_for("stream")
    fal.job().forget()
    fal.script = Script([Run(), Done()])
    return job


def says_gone(job: Job) -> str:
    with pytest.raises(errors.ResultGone) as caught:
        job.wait()
    assert len(str(caught.value).splitlines()) <= 4
    return str(caught.value)


def test_an_unfinished_job_that_fal_forgot_is_not_bought_again(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    first = forgotten(make_session, fal)
    session = make_session()
    (job,) = session.resume()
    shown = says_gone(job)
    known = (
        first.id,
        str(first.request_id),
        "kling-video/v1.6/pro",
        "about $0.49",
        time.strftime("%Y-%m-%d"),
    )
    assert all(word in shown for word in known)
    (entry,) = ledger.entries()
    assert (entry.state, entry.error_type, entry.reserved_usd) == (State.FAILED, "result_gone", 0.49)
    assert session.resume() == make_session().resume() == []
    for kernel in (session, make_session()):  # the same, and another
        assert says_gone(kernel.submit("a cat", endpoint=PRICED)) == shown
        assert says_gone(kernel.submit("a cat", endpoint=PRICED, take=1)) == shown
        assert says_gone(kernel.get_job(first.id)) == shown
    assert (len(fal.accepted), len(ledger.entries())) == (1, 1)
    assert sum(group.usd for group in session.spending()) == 0.49
    assert session.generate("a cat", endpoint=PRICED, new=True) is not None
    assert make_session().submit("a cat", endpoint=PRICED).reused
    assert len(fal.accepted) == 2


def test_one_that_fal_forgets_while_it_is_followed(
    session: Session, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script([Run(), Done()])
    fal.fault("result", "status", status=404, body={"detail": "Request not found"}, times=None)
    first = session.submit("a cat")
    shown = says_gone(first)
    assert str(first.request_id) in shown
    assert says_gone(session.submit("a cat")) == shown
    fal.clear_faults()  # it had only lost it for a while
    assert session.generate("a cat") is not None
    (entry,) = ledger.entries()
    assert (entry.state, len(fal.accepted)) == (State.READY, 1)


def test_without_a_key_the_ledger_says_that_it_is_gone(make_session: MakeSession, fal: ScriptedFal) -> None:
    job_id = forgotten(make_session, fal).id
    says_gone(make_session().get_job(job_id))
    before = len(fal.requests)
    says_gone(make_session(credentials=None).get_job(job_id))
    assert len(fal.requests) == before


def test_a_sweep_buys_no_cell_again_that_is_gone(make_session: MakeSession, fal: ScriptedFal) -> None:
    says_gone(make_session().get_job(forgotten(make_session, fal).id))
    study = make_session().sweep(["a cat", "a dog"], endpoint=PRICED)
    with pytest.raises(errors.SweepIncomplete, match="no longer has the result"):
        study.wait()
    assert [cell.state for cell in study] == ["FAILED", "READY"]
    assert [type(cell.error) for cell in study] == [errors.ResultGone, type(None)]
    assert len(fal.accepted) == 2


def test_generate_in_a_widget_says_the_price_of_another_one(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    """There is no other way to ask for it there."""
    session = make_session()
    job = session.get_job(forgotten(make_session, fal).id)
    says_gone(job)
    assert again.quote(job, {})["words"] == "About $0.49."
    other = session.plan("a dog", endpoint=PRICED).request
    stranger = Job("0" * 12, request=other, backend="fal", background=session._background)
    stranger.maker = session
    assert again.quote(stranger, {"prompt": "a cat"})["outcome"] == "RESULT_GONE"
    says_gone(again.submit(stranger, {"prompt": "a cat"}))
    assert len(fal.accepted) == 1
    assert again.submit(job, {}).wait() is not None
    assert len(fal.accepted) == 2


def test_a_panel_takes_it_up_and_buys_only_a_new_take(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session()
    first = forgotten(make_session, fal)
    says_gone(session.get_job(first.id))
    desk = Desk(session, PRICED, notify=lambda: None, on_draft=lambda *_: None)
    asked = {"endpoint": PRICED, "values": {"prompt": "a cat"}, "author": 1}
    assert desk.compose(asked)["quote"]["outcome"] == "RESULT_GONE"
    before = len(fal.requests)
    assert desk.open(first.id)["resumable"]  # to look at it asks no one
    assert len(fal.requests) == before
    says_gone(desk.submit(asked))
    assert len(fal.accepted) == 1
    assert desk.submit({**asked, "new": True}).wait() is not None
    assert len(fal.accepted) == 2


def test_verify_says_what_only_new_would_make(
    make_session: MakeSession, fal: ScriptedFal, run: Any, tmp_path: Path
) -> None:
    first = forgotten(make_session, fal)
    says_gone(make_session().get_job(first.id))
    cell = {
        "cell_type": "code",
        "source": f"%%kling --endpoint {PRICED}\na cat",
        "metadata": {},
        "outputs": [],
    }
    notebook = tmp_path / "a.ipynb"
    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{**cell, "execution_count": None}]}
    notebook.write_text(json.dumps(whole))
    program = run(f"from kling_nb.cli import main; print(main(['verify', {str(notebook)!r}]))")
    shown = program.finish()[1]
    assert "fal no longer keeps the result and is asked once more. Another take: about $0.49." in shown
    assert shown.endswith("1\n")
    assert len(fal.accepted) == 1


def test_a_job_that_fal_reports_as_failed_is_submitted_again(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    fal.script = Script(
        [Run(), Fail.refused({"loc": ["body", "prompt"], "msg": "no", "type": "value_error"})]
    )
    with pytest.raises(errors.InputRefused):
        make_session().generate("a cat")
    fal.script = Script([Run(), Fail.plain(404, "Path /pro/dream not found", silent=True)])
    with pytest.raises(errors.EndpointNotFound):
        make_session().generate("a cat")
    fal.script = Script([Run(), Done()])
    assert make_session().generate("a cat") is not None
    assert len(fal.accepted) == 3


@pytest.mark.parametrize("number", [1, 2])
def test_a_deleted_file_of_another_take_is_not_bought_again(
    make_session: MakeSession, fal: ScriptedFal, number: int
) -> None:
    """One that was made with --new, and has its number only since it was filed."""
    for _ in range(number):
        video = make_session().generate("a cat", new=True)
    video.path.unlink()
    again_ = make_session().generate("a cat", take=number)
    assert (again_.request_id, again_.take) == (video.request_id, number)
    assert len(fal.accepted) == number


# the ledger does not know


@pytest.mark.parametrize("knows_result", [False, True])
def test_a_file_that_the_ledger_has_not_heard_of(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, tmp_path: Path, knows_result: bool
) -> None:
    """After a kill between the file and the row, no request goes to fal or to the media host."""
    first = make_session().submit("a cat")
    first.wait()
    row = {"state": State.DOWNLOADING, "media_path": None, "finished_at": None}
    ledger.update(first.id, **row, **({} if knows_result else {"result": None}))
    fal.cdn.files.clear()
    fal.job().forget()
    before = len(fal.requests)
    (job,) = make_session().resume()
    assert job.wait() is not None
    assert exchanges(fal, before) == []
    assert job.file == first.file
    assert ledger.entries()[0].state is State.READY
    assert files(tmp_path / "media") == [".json", ".mp4"]


# two at once


def test_two_kernels_that_resume_the_same_job_end_with_one_file(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, tmp_path: Path
) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    with make_session() as session:
        session.submit("a cat")
        fal.wait_for("stream")
    stall = fal.fault("download", "stall", at="mid_body", times=2)
    jobs = [job for _ in range(2) for job in make_session().resume()]
    fal.wait_for("stream", 3)
    fal.release()
    fal.wait_for("download", 2)
    stall.release()
    assert len({job.wait().path for job in jobs}) == 1
    assert files(tmp_path / "media") == [".json", ".mp4"]
    assert [entry.state for entry in ledger.entries()] == [State.READY]
    assert len(fal.accepted) == 1


# interrupted between the claim and the start


def interrupted(session: Session, ledger: Ledger) -> str:
    """Insert what an interrupt right after the claim leaves: a row that its process does not run."""
    request = session.request("a cat")
    entry, fresh = ledger.claim(
        Intent(
            "fal",
            request.endpoint.id,
            {"prompt": "a cat"},
            "a cat",
            request.fingerprint,
            session.settings().media,
        )
    )
    assert fresh
    ledger.update(entry.id, created_at=entry.created_at - START_SECONDS)
    return entry.id


def test_a_claim_that_was_interrupted_is_sent_by_the_next_run(
    session: Session, fal: ScriptedFal, ledger: Ledger
) -> None:
    job_id = interrupted(session, ledger)
    job = session.submit("a cat")
    assert job.wait() is not None
    assert job.id == job_id
    assert len(fal.accepted) == 1


def test_resuming_one_buys_nothing(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    job_id = interrupted(session, ledger)
    (job,) = session.resume()
    with pytest.raises(errors.KlingError, match="Not charged"):
        job.wait()
    assert not fal.requests
    entry = ledger.get(job_id)
    assert entry is not None
    assert (entry.state, entry.reserved_usd) == (State.FAILED, 0.0)
    assert session.resume() == []
    assert session.generate("a cat") is not None


def test_a_run_right_after_the_interrupt_waits_and_sends_it(
    session: Session, fal: ScriptedFal, ledger: Ledger
) -> None:
    """The row is too young to tell whether another thread is about to start."""
    job_id = interrupted(session, ledger)
    entry = ledger.get(job_id)
    assert entry is not None
    ledger.update(job_id, created_at=entry.created_at + START_SECONDS - 0.2)
    job = session.submit("a cat")
    assert job.wait() is not None
    assert job.id == job_id
    assert len(fal.accepted) == 1
