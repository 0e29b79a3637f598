"""Ways to pay twice, or to lose a job, that somebody looked for: each of them is closed."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import Done, Hold, Run, Script, ScriptedFal
from submission_faults import renamed

from kling_nb import errors
from kling_nb.events import State
from kling_nb.ledger import Entry, Ledger
from kling_nb.session import Session

MakeSession = Callable[..., Session]
PRICED = "v1.6-pro"  # $0.49 for 5 s
HELD = Script([Run(), Hold(), Done()])


def only(ledger: Ledger) -> Entry:
    (entry,) = ledger.entries()
    return entry


def left_running(make_session: MakeSession, fal: ScriptedFal, **more: Any) -> str:
    """Submit a job in a session that ends. Return the job's id."""
    fal.script = HELD
    with make_session() as session:
        job = session.submit("a cat", **more)
        fal.wait_for(lambda: fal.open_streams)
    fal.release()
    return job.id


# what fal answers


def test_an_id_that_another_job_has_is_not_taken(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    """Its video would be shown for this one, and this one never fetched."""
    session = make_session()
    first = session.submit("a dog")
    dog = first.wait()
    fal.fault("submit", "edit", edit=renamed(str(first.request_id)))
    with pytest.raises(errors.SubmissionUncertain, match="request id of another job") as caught:
        session.generate("a cat")
    assert len(str(caught.value).splitlines()) <= 4
    cat = make_session().generate("a cat")  # found by its input
    assert cat.request_id == fal.jobs[1].request_id
    assert cat.path != dog.path
    assert len(fal.accepted) == 2
    assert [entry.state for entry in ledger.entries()] == [State.READY] * 2


def test_an_unknown_id_ends_as_gone_and_is_not_bought_again(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    fal.fault("submit", "edit", edit=renamed("019e0000-ffff-7000-8000-000000000000"))
    for session in (make_session(), make_session()):
        with pytest.raises(errors.ResultGone, match="019e0000-ffff"):
            session.generate("a cat")
    assert len(fal.accepted) == 1


# the same request once more


def test_a_cell_with_new_and_then_without_it_buys_one(make_session: MakeSession, fal: ScriptedFal) -> None:
    job_id = left_running(make_session, fal, new=True)
    plan = make_session().plan("a cat")
    assert plan.unfinished is not None
    assert plan.unfinished.id == job_id
    job = make_session().submit("a cat")
    assert job.wait() is not None
    assert job.id == job_id
    assert len(fal.accepted) == 1


def test_a_take_by_number_is_not_satisfied_by_another(make_session: MakeSession, fal: ScriptedFal) -> None:
    first = left_running(make_session, fal)
    fal.script = Script([Run(), Done()])
    second = make_session().submit("a cat", take=2)
    assert second.wait() is not None
    assert second.id != first
    assert len(fal.accepted) == 2


def test_another_key_does_not_take_it_for_lost(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    """fal does not show the requests of another account."""
    left_running(make_session, fal)
    other = make_session(credentials="other:0123456789")
    for exchange in ("stream", "status"):
        fal.fault(exchange, "status", status=404, body={"status": "NOT_FOUND"}, times=None)
    for _ in range(2):
        with pytest.raises(errors.RequestNotFound, match="another key") as caught:
            other.generate("a cat")
        assert not isinstance(caught.value, errors.ResultGone)
    assert not only(ledger).state.finished
    fal.clear_faults()
    assert make_session().generate("a cat") is not None
    assert len(fal.accepted) == 1


def test_a_job_goes_on_with_the_key_it_began_with(make_session: MakeSession, fal: ScriptedFal) -> None:
    keys = [fal.key]
    session = make_session(credentials=lambda: keys[0])
    fal.script = HELD
    job = session.submit("a cat")
    fal.wait_for("stream")
    keys[0] = "other:0123456789"
    session.settings()
    fal.release()
    assert job.wait() is not None
    assert {record.headers.get("authorization") for record in fal.requests} <= {f"Key {fal.key}", None}


# files and folders


def test_a_media_folder_that_is_deleted_while_its_file_comes(
    session: Session, fal: ScriptedFal, tmp_path: Path
) -> None:
    stall = fal.fault("download", "stall", at="mid_body")
    job = session.submit("a cat")
    fal.wait_for("download")
    shutil.rmtree(tmp_path / "media", ignore_errors=True)
    stall.release()
    video = job.wait()
    assert video is not None
    assert video.path.is_file()
    assert session.submit("a cat").reused
    assert len(fal.accepted) == 1


def test_a_folder_by_another_name_is_the_same(
    make_session: MakeSession, fal: ScriptedFal, tmp_path: Path
) -> None:
    job_id = left_running(make_session, fal)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    job = make_session(media=tmp_path / "link" / "media").submit("a cat")
    assert job.wait() is not None
    assert job.id == job_id
    assert make_session().submit("a cat").reused
    assert len(fal.accepted) == 1


@pytest.mark.parametrize("ready", [False, True])
def test_a_notebook_that_is_moved_with_its_folder_buys_nothing_again(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, tmp_path: Path, ready: bool
) -> None:
    here, there = tmp_path / "before", tmp_path / "after"
    here.mkdir()
    fal.script = HELD
    with make_session(media=here / "kling_media") as session:
        job = session.submit("a cat")
        fal.wait_for("stream")
        fal.release()
        if ready:
            job.wait().path.unlink()
    here.rename(there)
    moved = make_session(media=there / "kling_media")
    plan = moved.plan("a cat")
    assert plan.unfinished is not None
    video = moved.generate("a cat")
    assert video.path.parent == there / "kling_media"
    assert not here.exists()
    assert only(ledger).folder == str(there / "kling_media")
    assert make_session(media=tmp_path / "third" / "kling_media").plan("a cat").unfinished is None
    assert len(fal.accepted) == 1


# the ledger


def test_a_ledger_that_is_deleted_while_a_job_runs_has_it_again(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, tmp_path: Path
) -> None:
    fal.script = Script([Run(), Hold(), Run(), Done()])
    job = make_session().submit("a cat", endpoint=PRICED)
    fal.wait_for("stream")
    fal.wait_for(lambda: job.state.state is State.IN_PROGRESS)
    shutil.rmtree(tmp_path / "home")
    fal.release()
    assert job.wait() is not None
    entry = only(ledger)
    assert (entry.id, entry.request_id, entry.state) == (job.id, job.request_id, State.READY)
    assert (entry.reserved_usd, entry.input) == (0.49, {"prompt": "a cat"})


def test_a_clock_that_is_set_back_frees_no_budget(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session(budget=0.6)
    assert session.generate("a cat", endpoint=PRICED) is not None
    real = time.time
    time.time = lambda: real() - 86_400.0
    try:
        with pytest.raises(errors.BudgetExceeded):
            session.generate("a dog", endpoint=PRICED)
    finally:
        time.time = real
    assert len(fal.accepted) == 1


HOME = """
import os, sys
import kling_nb
warm = sys.stdin.readline().strip()
kling_nb.Session(home=warm, media=warm).generate("warm")  # import all that user 65534 may not read
if os.geteuid() == 0:
    os.setuid(65534)
print("warm", flush=True)
try:
    print(kling_nb.generate("a cat").request_id, flush=True)
except kling_nb.errors.KlingError as error:
    print(type(error).__name__, flush=True)
"""


@pytest.mark.parametrize("first", ["home", "media"])
def test_a_home_that_changes_hides_no_job(
    make_session: MakeSession, fal: ScriptedFal, run: Any, open_folder: Path, first: str
) -> None:
    """It could be written once and cannot any more, or the other way round."""
    home, media = open_folder / "home", open_folder / "media"
    for folder in (home, media):
        folder.mkdir()
        folder.chmod(0o777)
    fal.scripts.queue.extend([Script(), HELD, Script()])
    if first == "media":
        home.chmod(0o555)
    environment = {"KLING_NB_HOME": str(home), "KLING_NB_MEDIA": str(media)}
    program = run(HOME, **environment)
    program.tell(str(open_folder / "warm"))
    assert program.says() == "warm"
    fal.wait_for("stream", 2)
    program.process.kill()
    program.process.wait()
    assert (home if first == "home" else media).joinpath("ledger.sqlite3").exists()
    home.chmod(0o555 if first == "home" else 0o777)
    fal.jobs[1].release()
    program = run(HOME, **environment)
    program.tell(str(open_folder / "warm again"))
    assert program.says() == "warm"
    assert program.says() == fal.jobs[1].request_id
    assert len(fal.accepted) == 3


# forks

FORK = """
import os, sys, threading
import kling_nb
job = kling_nb.submit("a cat")
print("submitted", flush=True)
sys.stdin.readline()
child = os.fork()
if not child:
    try:
        job.wait()
    except kling_nb.errors.UsageError as error:
        again = kling_nb.submit("a cat")
        print(again.id == job.id, again is job, "get_job" in str(error), flush=True)
        print(again.wait().request_id, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(job.wait().request_id, flush=True)
"""


def test_a_forked_process_follows_the_job_itself(fal: ScriptedFal, run: Any) -> None:
    fal.script = HELD
    program = run(FORK)
    assert program.says() == "submitted"
    fal.wait_for("stream")
    program.tell("go")
    assert program.says() == "True False True"
    fal.wait_for("stream", 2)
    fal.release()
    output = {program.says(), program.says()}
    assert output == {fal.jobs[0].request_id}
    assert len(fal.accepted) == 1
