"""What was paid for comes back at every point at which it can have been lost, and is not paid for again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from scripted import Done, Hold, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb._session import Session
from kling_nb.events import State
from kling_nb.ledger import Intent, Ledger
from kling_nb.ledger.entry import START_SECONDS

MakeSession = Callable[..., Session]


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


def test_an_address_that_is_gone_is_asked_for_anew(
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
    """It is said to be gone, as often as it is asked for, and bought again only where that is said."""
    first = make_session().submit("a cat")
    video = first.wait()
    video.path.unlink()
    fal.cdn.files.clear()
    fal.job().forget()
    for _ in range(2):
        with pytest.raises(errors.ResultGone) as caught:
            make_session().generate("a cat")
        said = str(caught.value)
        assert all(known in said for known in (first.id, str(first.request_id), str(video.path), "units 5"))
        assert len(said.splitlines()) <= 4
    assert [entry.state for entry in ledger.entries()] == [State.READY]
    assert len(fal.accepted) == 1
    assert make_session().generate("a cat", new=True) is not None
    assert len(fal.accepted) == 2
    assert make_session().submit("a cat").reused


def test_an_unfinished_job_that_fal_forgot(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    with make_session() as session:
        job_id = session.submit("a cat").id
        fal.wait_for("stream")
    fal.job().forget()
    (job,) = make_session().resume()
    with pytest.raises(errors.ResultGone, match=job_id):
        job.wait()
    assert ledger.entries()[0].state is State.FAILED
    assert make_session().resume() == []


# the ledger does not know


@pytest.mark.parametrize("knows_result", [False, True])
def test_a_file_that_the_ledger_has_not_heard_of(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, tmp_path: Path, knows_result: bool
) -> None:
    """Killed between the file and the row: nobody is asked, neither fal nor the media host."""
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
    """What an interrupt right after the claim leaves: a row of this process that nobody is at."""
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
    with pytest.raises(errors.KlingError, match="nothing was paid"):
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
