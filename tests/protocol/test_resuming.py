"""Unfinished jobs are resumed and not paid for again: after a kill, from another session, by id."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import Done, Fail, Hold, Log, Queue, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import State
from kling_nb.ledger import Ledger
from kling_nb.session import Session

MakeSession = Callable[..., Session]

SUBMIT = """
import sys, time
import kling_nb
job = kling_nb.submit("a cat", image={image!r})
print(job.id, flush=True)
sys.stdin.readline()
"""


def killed(run: Any, fal: ScriptedFal, reached: str, image: str | None = None, count: int = 1) -> str:
    """Submit in a process that is killed when fal sees it at `reached`; gives the job's id."""
    program = run(SUBMIT.format(image=image))
    job_id = program.says()
    fal.wait_for(reached, count)
    program.process.kill()
    program.process.wait()
    return str(job_id)


def test_after_a_kill_while_it_runs(session: Session, fal: ScriptedFal, ledger: Ledger, run: Any) -> None:
    fal.script = Script([Queue(0), Run(), Log("one"), Hold(), Log("two"), Done()])
    job_id = killed(run, fal, "stream")
    fal.wait_for(lambda: fal.open_streams == 0)
    plan = session.plan("a cat")
    assert plan.unfinished is not None
    assert plan.unfinished.id == job_id
    job = session.submit("a cat")
    assert job.id == job_id
    fal.wait_for(lambda: job.state.lines == 1)
    fal.release()
    assert job.wait() is not None
    assert job.state.resumed
    assert [line.message for line in job.lines] == ["one", "two"]
    assert len(fal.accepted) == 1
    assert ledger.entries()[0].state is State.READY


def test_after_a_kill_while_the_submission_is_unanswered(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, run: Any
) -> None:
    """A sent request is found in fal's list. While fal does not give the list, nothing is sent again."""
    fal.fault("submit", "stall")  # taken, and no answer
    job_id = killed(run, fal, "submit")
    fal.fault("lookup", "status", status=403, body={"error": {"message": "no"}}, times=2)
    for session in (make_session(), make_session()):
        with pytest.raises(errors.SubmissionUncertain, match=job_id):
            session.generate("a cat")
    assert ledger.entries()[0].state is State.UNCERTAIN
    job = make_session().submit("a cat")
    assert job.wait() is not None
    assert job.id == job_id
    assert fal.count("submit") == 1
    assert ledger.entries()[0].state is State.READY


def test_after_a_kill_while_an_image_goes_up(
    session: Session, fal: ScriptedFal, ledger: Ledger, run: Any, picture: Path
) -> None:
    """Nothing was sent, so it is submitted now, under the same row."""
    fal.fault("upload", "stall", at="before_body")
    job_id = killed(run, fal, "upload", image=str(picture))
    assert ledger.entries()[0].sent_at is None
    job = session.submit("a cat", image=picture)
    assert job.id == job_id
    assert job.wait() is not None
    assert len(fal.accepted) == 1


def test_by_id_after_a_kill_while_an_image_goes_up(
    session: Session, fal: ScriptedFal, run: Any, picture: Path
) -> None:
    fal.fault("upload", "stall", at="before_body")
    job_id = killed(run, fal, "upload", image=str(picture))
    with pytest.raises(errors.KlingError, match="before it was sent to fal"):
        session.get_job(job_id).wait()
    assert session.generate("a cat", image=picture) is not None
    assert len(fal.accepted) == 1


def test_after_a_kill_while_the_file_comes(session: Session, fal: ScriptedFal, run: Any) -> None:
    """The result is in the ledger: fal is not asked for it again, and might not have it any more."""
    fal.fault("download", "stall", at="mid_body")
    killed(run, fal, "download")
    before = len(fal.requests)
    fal.job().forget()
    job = session.submit("a cat")
    assert job.wait() is not None
    assert [record.exchange for record in fal.requests[before:]] == ["download"]
    assert job.state.units == "5"


def test_a_job_opened_by_id_is_stored_under_its_own_request(
    make_session: MakeSession, fal: ScriptedFal, run: Any, picture: Path
) -> None:
    """Its picture is known to the ledger by hash only; the next run of the cell must still find the take."""
    fal.script = Script([Queue(0), Run(), Hold(), Done()])
    job_id = killed(run, fal, "stream", image=str(picture))
    job = make_session().get_job(job_id)
    fal.release()
    assert job.wait() is not None
    assert make_session().submit("a cat", image=picture).reused
    assert len(fal.accepted) == 1


def test_a_slow_upload_that_another_process_took_over_does_not_send(
    session: Session, fal: ScriptedFal, ledger: Ledger, run: Any, picture: Path
) -> None:
    slow = fal.fault("upload", "stall", at="before_body")
    program = run(
        f"""
import kling_nb
video = kling_nb.generate("a cat", image={str(picture)!r})
print(video.path.name, flush=True)
"""
    )
    fal.wait_for("upload")
    ledger.update(ledger.entries()[0].id, created_at=0.0)  # it has taken longer than anybody waits
    video = session.generate("a cat", image=picture)
    assert video is not None
    slow.release()
    assert program.says() == video.path.name
    assert fal.count("submit") == 1


def test_processes_that_claim_at_once_submit_once(fal: ScriptedFal, run: Any, ledger: Ledger) -> None:
    source = """
import sys
import kling_nb
kling_nb.Session().plan("a cat")   # all is imported
print("at the line", flush=True)
sys.stdin.readline()
print(kling_nb.generate("a cat").path.name, flush=True)
"""
    fal.script = Script([Queue(0), Run(), Hold(), Done()])
    programs = [run(source) for _ in range(4)]
    for program in programs:
        assert program.says() == "at the line"
    for program in programs:
        program.tell("go")
    fal.wait_for("stream", len(programs))
    fal.release()
    assert len({program.says() for program in programs}) == 1
    assert all(program.finish()[0] == 0 for program in programs)
    assert fal.count("submit") == 1
    assert [entry.state for entry in ledger.entries()] == [State.READY]


def test_a_take_that_another_kernel_finishes_between_look_and_claim(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    """The look into the folder and the claim in the ledger are two steps; a sweep shows them apart."""
    study = make_session().sweep("a cat", start=False)
    (cell,) = study.cells
    assert cell.plan.submits
    make_session().generate("a cat")
    study.wait()
    assert cell.job is not None
    assert cell.job.reused
    assert cell.video is not None
    assert fal.count("submit") == 1
    assert len(ledger.entries()) == 1


# another process, which lives


def test_a_submission_that_a_living_process_is_making_is_waited_for(
    session: Session, fal: ScriptedFal, run: Any
) -> None:
    stall = fal.fault("submit", "stall")
    program = run(SUBMIT.format(image=None))
    job_id = program.says()
    fal.wait_for("submit")
    job = session.submit("a cat")
    assert job.id == job_id
    stall.release()
    assert job.wait() is not None
    assert fal.count("submit") == 1


def test_a_submission_that_a_living_process_sees_refused(
    session: Session, fal: ScriptedFal, ledger: Ledger, run: Any
) -> None:
    """Fal has not taken it: that is not unclear."""
    fal.fault("submit", "stall", at="before_body")
    program = run(
        """
import kling_nb
job = kling_nb.submit("a cat")
print(job.id, flush=True)
try:
    job.wait()
except kling_nb.errors.KlingError as error:
    print(type(error).__name__, flush=True)
"""
    )
    job_id = program.says()
    fal.wait_for("submit")
    job = session.submit("a cat")
    ledger.update(job_id, state=State.FAILED, error="fal answered 422: no")
    with pytest.raises(errors.KlingError, match="before it was sent to fal"):
        job.wait()
    assert ledger.entries()[0].state is State.FAILED


# other settings than it was submitted with


def test_without_a_key_a_paid_job_is_not_looked_for_in_the_local_preview_server(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    job = make_session().submit("a cat")
    fal.wait_for("stream")
    keyless = make_session(backend="auto", credentials=None)
    assert keyless.settings().backend == "local"
    with pytest.raises(errors.MissingKey):
        keyless.get_job(job.id)
    assert not ledger.entries()[0].state.finished


def test_with_the_backend_set_to_local_a_paid_job_is_still_fals(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    first = make_session().submit("a cat")
    fal.wait_for("stream")
    job = make_session(backend="local").get_job(first.id)
    fal.wait_for("stream", 2)
    fal.release()
    assert job.wait() is not None
    assert job.backend == "fal"


def test_at_other_hosts_a_job_is_not_asked_for(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    first = make_session().submit("a cat")
    fal.wait_for("stream")
    with ScriptedFal(id_prefix="019f0000") as other:
        there = {"queue_url": other.url, "rest_url": other.url, "api_url": other.url}
        with pytest.raises(errors.UnreachableError, match="not among the hosts"):
            make_session(**there).get_job(first.id).wait()
        assert not other.requests
    assert not ledger.entries()[0].state.finished
    fal.release()
    assert first.wait() is not None


def test_with_another_key_a_request_that_is_not_found_is_not_given_up(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    """fal does not show the requests of another account."""
    fal.script = Script([Run(), Hold(), Done()])
    first = make_session().submit("a cat")
    fal.wait_for("stream")
    ledger.update(first.id, key_fingerprint="01234567")
    for exchange in ("stream", "status"):
        fal.fault(exchange, "status", status=404, body={"status": "NOT_FOUND"}, times=None)
    with pytest.raises(errors.RequestNotFound):
        make_session().get_job(first.id).wait()
    assert not ledger.entries()[0].state.finished
    fal.clear_faults()
    fal.release()
    assert first.wait() is not None


# by id


def test_a_job_by_id_request_id_or_the_start_of_one(make_session: MakeSession, fal: ScriptedFal) -> None:
    done = make_session().submit("a cat")
    video = done.wait()
    assert video is not None
    session = make_session()
    before = len(fal.requests)
    for any_id in (done.id, done.id[:6], done.request_id):
        job = session.get_job(str(any_id))
        assert (job.id, job.request_id, job.done, job.reused) == (done.id, done.request_id, True, False)
        again = job.wait()
        assert again is not None
        assert again.path == video.path
        assert job.state.units == "5"
        assert [line.message for line in job.lines] == [line.message for line in done.lines]
        assert job.finished_at is not None
        assert job.finished_at >= job.created_at
    assert len(fal.requests) == before


@pytest.mark.parametrize("any_id", ["", "nobody", "%", "_", "'"])
def test_no_such_job(session: Session, any_id: str) -> None:
    with pytest.raises(errors.UsageError) as caught:
        session.get_job(any_id)
    assert "jobs" in caught.value.remedy


def test_an_id_that_fits_two_jobs_fits_none(session: Session, fal: ScriptedFal) -> None:
    jobs = [session.submit(f"cat {number}") for number in range(2)]
    for job in jobs:
        job.wait()
    with pytest.raises(errors.UsageError):
        session.get_job("019e0000")


def test_an_unfinished_job_by_id(make_session: MakeSession, fal: ScriptedFal) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    first = make_session().submit("a cat")
    fal.wait_for("stream")
    session = make_session()
    job = session.get_job(fal.job().request_id)
    assert session.get_job(first.id) is job
    fal.wait_for("stream", 2)
    fal.release()
    one, other = first.wait(), job.wait()
    assert one is not None
    assert other is not None
    assert one.path == other.path


def test_a_failed_job_by_id(make_session: MakeSession, fal: ScriptedFal) -> None:
    fal.script = Script([Fail.refused({"loc": ["body", "prompt"], "msg": "too odd", "type": "value_error"})])
    first = make_session().submit("a cat")
    with pytest.raises(errors.InputRefused):
        first.wait()
    job = make_session().get_job(first.id)
    assert job.state.state is State.FAILED
    with pytest.raises(errors.KlingError, match="prompt: too odd"):
        job.wait()


def test_a_cancelled_job_by_id(make_session: MakeSession, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(3), Hold(), Done()])
    first = make_session().submit("a cat")
    fal.wait_for("stream")
    first.cancel()
    with pytest.raises(errors.JobCancelled, match=first.id):
        make_session().get_job(first.id).wait()


def test_an_unclear_job_by_id(make_session: MakeSession, fal: ScriptedFal) -> None:
    fal.fault("submit", "reset")
    first = make_session().submit("a cat")
    with pytest.raises(errors.SubmissionUncertain):
        first.wait()
    fal.fault("lookup", "no_items")
    with pytest.raises(errors.SubmissionUncertain, match=first.id):
        make_session().get_job(first.id).wait()
    assert make_session().get_job(first.id).wait() is not None
    assert fal.count("submit") == 1


def test_a_job_that_stopped_for_a_passing_fault_is_resumed_by_id(session: Session, fal: ScriptedFal) -> None:
    """Also in the session in which it stopped."""
    fault = fal.fault("download", "status", status=500, times=None)
    job = session.submit("a cat")
    with pytest.raises(errors.MediaError):
        job.wait()
    assert fault.used == 4
    fal.clear_faults()
    again = session.get_job(job.id)
    assert again.wait() is not None
    assert fal.count("result") == len(fal.accepted) == 1


def test_resume_takes_up_all_of_this_folder(
    make_session: MakeSession, fal: ScriptedFal, tmp_path: Path
) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    here = [make_session().submit(f"cat {number}") for number in range(3)]
    there = make_session(media=tmp_path / "elsewhere").submit("a dog")
    fal.wait_for("stream", 4)
    session = make_session()
    assert {job.id for job in session.resume()} == {job.id for job in here}
    assert {job.id for job in session.resume(everywhere=True)} == {job.id for job in [*here, there]}
    for job in fal.jobs:
        job.release()
    for job_ in session.resume(everywhere=True):
        assert job_.wait() is not None
    assert session.resume() == []
    assert len(fal.accepted) == 4


def test_a_closed_session_leaves_its_jobs_alone(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    with make_session() as session:
        job = session.submit("a cat")
        fal.wait_for("stream")
    with pytest.raises(errors.KlingError, match="closed"):
        job.wait()
    assert not ledger.entries()[0].state.finished
    assert fal.count("cancel") == 0
    fal.release()
    assert make_session().generate("a cat") is not None
    assert len(fal.accepted) == 1


def test_the_ledger_of_another_folder_is_not_mixed_in(
    make_session: MakeSession, fal: ScriptedFal, tmp_path: Path
) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    make_session().submit("a cat")
    make_session(media=tmp_path / "elsewhere").submit("a dog")
    fal.wait_for("submit", 2)
    sessions = make_session(), make_session(media=tmp_path / "elsewhere")
    assert [len(session.jobs(here=True)) for session in sessions] == [1, 1]
    assert len(sessions[0].jobs()) == 2


def test_files_in_the_ledger_are_hash_and_name(session: Session, fal: ScriptedFal, picture: Path) -> None:
    session.generate("a cat", image=picture)
    (entry,) = session.jobs()
    assert set(entry.input["image_url"]) == {"sha256", "name"}
    assert json.loads(json.dumps(entry.input)) == entry.input
