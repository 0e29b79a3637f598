"""Jobs of many machines with one library: fal is paid once for each take."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import Done, Fail, Hold, Run, Script, ScriptedFal
from studio import Studio, refuse

from kling_nb import errors
from kling_nb.events import State
from kling_nb.job.job import Job
from kling_nb.job.plan import Outcome
from kling_nb.job.sharing import FRESH_SECONDS, Marker
from kling_nb.library import Library
from kling_nb.session import Session

MakeSession = Callable[..., Session]
HELD = Script([Run(), Hold(), Done()])
on_a_folder = pytest.mark.parametrize("url", ["folder"], indirect=True)


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new library."""
    if request.param == "s3":
        return str(request.getfixturevalue("s3"))
    (tmp_path / "studio").mkdir()
    return str(tmp_path / "studio")


@pytest.fixture
def machine(make_session: MakeSession, tmp_path: Path) -> Callable[..., Session]:
    """Make sessions of machines, each with its own home and folder."""

    def make(name: str, library: str, **changes: Any) -> Session:
        folders = {"home": tmp_path / name / "home", "media": tmp_path / name / "kling_media"}
        return make_session(library=library, **folders, **changes)

    return make


@pytest.fixture
def here(machine: Callable[..., Session], url: str) -> Session:
    return machine("maria", url)


@pytest.fixture
def there(machine: Callable[..., Session], url: str) -> Session:
    return machine("jo", url)


def generate(session: Session, prompt: str = "a cat", **arguments: Any) -> Job:
    """Make a video, and wait until it is in the library."""
    job = session.submit(prompt, **arguments)
    job.wait()
    wait_for_pushes(session)
    return job


def wait_for_pushes(session: Session) -> None:
    for future in list(session._connections._pushes):
        future.result(30)


# -- reading


def test_what_one_machine_bought_is_free_on_the_other(
    here: Session, there: Session, fal: ScriptedFal, caplog: pytest.LogCaptureFixture
) -> None:
    first = generate(here)
    plan = there.plan("a cat")
    assert (plan.outcome, plan.words, plan.refusal) == (
        Outcome.LIBRARY,
        "From the studio library, free.",
        None,
    )
    job = there.submit("a cat")
    video = job.wait()
    assert (job.outcome, job.reused, len(fal.accepted)) == (Outcome.LIBRARY, True, 1)
    assert "From the studio library, free." in caplog.text
    assert job.lines[-1].message == "kling_nb: From the studio library, free."
    assert video.path.read_bytes() == first.file.read_bytes()  # type: ignore[union-attr]
    assert video.path.name == first.file.name  # type: ignore[union-attr]
    assert video.path != first.file
    assert there.plan("a cat").outcome is Outcome.REUSE
    assert there.jobs() == []  # the ledger has only what this machine submitted


@on_a_folder
def test_a_sweep_a_frozen_run_and_a_machine_without_a_key_use_it(
    here: Session, machine: Callable[..., Session], url: str, fal: ScriptedFal
) -> None:
    generate(here)
    frozen = machine("frozen", url, frozen=True)
    assert frozen.submit("a cat").outcome is Outcome.LIBRARY
    with pytest.raises(errors.NoTake):
        frozen.submit("a dog")
    assert machine("keyless", url, credentials=None).submit("a cat").outcome is Outcome.LIBRARY
    poor = machine("poor", url, budget=0.0)
    assert poor.submit("a cat").outcome is Outcome.LIBRARY
    study = machine("sweep", url).sweep(["a cat", "a dog"])
    assert "1 from the studio library, free" in study.price
    study.wait()
    assert len(fal.accepted) == 2


@on_a_folder
def test_a_take_of_fal_serves_previews_and_a_preview_serves_no_job_of_fal(
    machine: Callable[..., Session], url: str, fal: ScriptedFal
) -> None:
    machine_with_preview = machine("previewer", url, backend="local", local_speed=float("inf"))
    assert generate(machine_with_preview).backend == "local"
    assert machine("other", url, backend="local").plan("a cat").outcome is Outcome.LIBRARY
    buyer = machine("buyer", url)
    assert buyer.plan("a cat").outcome is Outcome.SUBMIT
    generate(buyer)
    assert machine("third", url, backend="local").submit("a cat").backend == "fal"
    assert len(fal.accepted) == 1


@on_a_folder
def test_only_what_was_asked_for_is_fetched(here: Session, there: Session, fal: ScriptedFal) -> None:
    generate(here)
    assert there.plan("a cat", new=True).outcome is Outcome.SUBMIT
    assert there.plan("a cat", take=2).outcome is Outcome.SUBMIT
    assert there.plan("a dog").outcome is Outcome.SUBMIT
    second = generate(there, new=True)
    assert len(fal.accepted) == 2
    assert second.outcome is Outcome.SUBMIT
    assert (
        len(
            Library(there.settings().library or "")
            .status(there._connections.media(there.settings().media))
            .unpushed
        )
        == 0
    )


@pytest.mark.parametrize("fault", [refuse("403 Forbidden", "AccessDenied"), refuse("503 Slow", "SlowDown")])
def test_a_library_that_does_not_answer_stops_a_submission_unless_it_is_optional(
    s3: str, object_store: Studio, machine: Callable[..., Session], fal: ScriptedFal, fault: Any
) -> None:
    strict, lax = machine("strict", s3), machine("lax", s3, library_optional=True)
    generate(strict, "a dog")
    with object_store.fault("GET /studio", fault):
        plan = strict.plan("a cat")
        assert isinstance(plan.refusal, errors.LibraryError)
        with pytest.raises(errors.LibraryError, match="Nothing was sent"):
            strict.submit("a cat")
        assert strict.submit("a dog").outcome is Outcome.REUSE  # what is here needs no library
        assert len(fal.accepted) == 1
        job = lax.submit("a cat")
        job.wait()
        assert any("The library was not asked" in line.message for line in job.lines)
    assert len(fal.accepted) == 2


@on_a_folder
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_a_damaged_take_is_an_error_and_nothing_is_bought(
    here: Session, there: Session, fal: ScriptedFal, url: str, damage: str
) -> None:
    data = generate(here).file.read_bytes()  # type: ignore[union-attr]
    store = Library(url).store
    (key,) = store.names("media")
    store.delete(key)
    if damage != "missing":
        store.write(key, data[:-1] if damage == "cut" else data[:-1] + b"x")
    with pytest.raises(errors.LibraryError, match="Nothing was sent"):
        there.submit("a cat")
    assert there.takes() == []
    assert len(fal.accepted) == 1


# -- writing


def test_a_take_is_stored_in_the_library_after_the_local_file(
    s3: str, object_store: Studio, machine: Callable[..., Session], caplog: pytest.LogCaptureFixture
) -> None:
    session = machine("maria", s3)
    with object_store.fault("PUT /studio/kling/media", refuse("403 Forbidden", "AccessDenied")):
        job = generate(session)
    assert job.file is not None
    assert job.file.exists()
    assert f"{job.file.name} is not in the library yet" in caplog.text
    assert "Later: kling-nb library push" in caplog.text
    media = session._connections.media(session.settings().media)
    assert Library(s3).push_all(media)[0][0].path == job.file
    assert machine("jo", s3).submit("a cat").outcome is Outcome.LIBRARY


def test_a_push_is_tried_again(s3: str, object_store: Studio, machine: Callable[..., Session]) -> None:
    tries = []

    def fail_once(environ: Any, start: Any) -> Any:
        tries.append(1)
        return refuse("403 Forbidden", "AccessDenied")(environ, start) if len(tries) == 1 else None

    with object_store.fault("PUT /studio/kling/media", fail_once):
        generate(machine("maria", s3))
    assert machine("jo", s3).plan("a cat").outcome is Outcome.LIBRARY


@on_a_folder
def test_the_library_has_no_key_of_fal(here: Session, url: str, fal: ScriptedFal) -> None:
    generate(here)
    store = Library(url).store
    secret = fal.key.partition(":")[2]
    for folder in ("takes", "intents"):
        for key in store.names(folder):
            assert secret not in json.dumps(store.read(key))


def test_without_a_library_none_of_its_code_is_loaded(run: Callable[..., Any]) -> None:
    program = run(
        "import sys, kling_nb\n"
        "kling_nb.generate('a cat')\n"
        "late = ('kling_nb.library.', 'kling_nb.job.sharing', 'fsspec.')\n"
        "print([name for name in sys.modules if name.startswith(late)])"
    )
    code, out, complaints = program.finish()
    assert (code, out.strip()) == (0, "[]"), complaints


# -- one submission for all machines


def let_time_pass(studio: Path) -> None:
    """Let the clock of a folder say that no machine has written a marker for long."""
    for path in (studio / "intents").rglob("*.*"):
        late = path.stat().st_mtime - FRESH_SECONDS - 1
        os.utime(path, (late, late))


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    (tmp_path / "studio").mkdir()
    return tmp_path / "studio"


@pytest.fixture
def maria(machine: Callable[..., Session], studio: Path) -> Session:
    return machine("maria", str(studio))


@pytest.fixture
def jo(machine: Callable[..., Session], studio: Path) -> Session:
    return machine("jo", str(studio))


def lines(job: Job) -> str:
    return "\n".join(line.message for line in job.lines)


def wait_for_line(job: Job, text: str) -> None:
    seen = threading.Event()
    job.subscribe(lambda *_: seen.set() if text in lines(job) else None)
    if text not in lines(job):
        assert seen.wait(30), lines(job)


def test_a_second_machine_waits_for_the_first_one_and_uses_its_take(
    here: Session, there: Session, fal: ScriptedFal
) -> None:
    fal.script = HELD
    first = here.submit("a cat", max_cost="none")
    fal.wait_for("stream")
    second = there.submit("a cat")
    wait_for_line(second, "makes this request. Its result is used here, free.")
    assert len(fal.accepted) == 1
    fal.release()
    assert first.wait().path.read_bytes() == second.wait().path.read_bytes()  # type: ignore[union-attr]
    assert (second.outcome, second.reused, len(fal.accepted)) == (Outcome.LIBRARY, True, 1)
    assert second.request_id == first.request_id
    assert "From the studio library, free." in lines(second)
    assert there.jobs() == []
    assert there.plan("a cat").outcome is Outcome.REUSE


def test_if_fal_refuses_the_first_one_the_second_one_submits(
    maria: Session, jo: Session, fal: ScriptedFal
) -> None:
    fal.script = Script([Run(), Hold(), Fail()])
    first = maria.submit("a cat")
    fal.wait_for("stream")
    second = jo.submit("a cat")
    wait_for_line(second, "makes this request")
    fal.script = Script()
    fal.release()
    with pytest.raises(errors.KlingError):
        first.wait()
    assert second.wait() is not None
    assert (second.outcome, len(fal.accepted)) == (Outcome.SUBMIT, 2)


def test_a_job_that_waits_for_another_machine_can_be_cancelled(
    maria: Session, jo: Session, fal: ScriptedFal
) -> None:
    fal.script = HELD
    maria.submit("a cat")
    fal.wait_for("stream")
    second = jo.submit("a cat")
    wait_for_line(second, "makes this request")
    second.cancel()
    with pytest.raises(errors.JobCancelled):
        second.wait()
    fal.release()


def test_new_buys_at_once_whatever_other_machines_do(maria: Session, jo: Session, fal: ScriptedFal) -> None:
    fal.script = HELD
    maria.submit("a cat")
    fal.wait_for("stream")
    jo.submit("a cat", new=True)
    fal.wait_for("stream", 2)
    assert len(fal.accepted) == 2
    for held in fal.jobs:
        held.release()


def test_a_machine_that_disappeared_before_it_sent_is_taken_over(
    maria: Session, jo: Session, fal: ScriptedFal, studio: Path
) -> None:
    request = maria.plan("a cat").request
    gone = Marker(Library(str(studio)).store, request.fingerprint, 1, "job-of-a-dead-machine", None)
    assert gone.claim() is None
    second = jo.submit("a cat")
    wait_for_line(second, "makes this request")
    assert len(fal.accepted) == 0
    let_time_pass(studio)
    assert second.wait() is not None
    assert (second.outcome, len(fal.accepted)) == (Outcome.SUBMIT, 1)
    assert not gone.mark_sent({})


@pytest.mark.parametrize("answered", [True, False])
def test_what_a_machine_of_the_same_account_sent_is_found_at_fal(
    machine: Callable[..., Session], jo: Session, fal: ScriptedFal, studio: Path, answered: bool
) -> None:
    if answered:
        fal.script = HELD
    else:
        fal.fault("submit", "reset", handled=True)
    with machine("maria", str(studio)) as maria:
        first = maria.submit("a cat")
        if answered:
            fal.wait_for("stream")
            wait_for_request_id(studio)
        else:
            with pytest.raises(errors.SubmissionUncertain):
                first.wait()
    let_time_pass(studio)
    fal.script = Script()
    second = jo.submit("a cat")
    fal.release()
    assert second.wait() is not None
    assert len(fal.accepted) == 1
    assert second.request_id == fal.jobs[0].request_id
    wait_for_pushes(jo)
    again = machine("maria", str(studio))  # she finds it in the library, or follows her own job
    assert again.submit("a cat").wait() is not None
    assert len(fal.accepted) == 1


def wait_for_request_id(studio: Path) -> None:
    sent = next((studio / "intents").rglob("*.sent"))
    for _ in range(3_000):
        if '"request_id": null' not in sent.read_text() and "request_id" in sent.read_text():
            return
        threading.Event().wait(0.01)
    raise AssertionError(sent.read_text())


def test_what_a_machine_of_another_account_sent_is_uncertain_and_not_sent_again(
    machine: Callable[..., Session], jo: Session, fal: ScriptedFal, studio: Path
) -> None:
    gone = Marker(Library(str(studio)).store, jo.plan("a cat").request.fingerprint, 1, "gone", "87654321")
    assert gone.claim() is None
    assert gone.mark_sent({})
    let_time_pass(studio)
    for _ in range(2):
        job = jo.submit("a cat")
        with pytest.raises(errors.SubmissionUncertain, match=r"another account.*nothing was sent"):
            job.wait()
        assert job.state.state is State.UNCERTAIN
    assert [entry.state for entry in jo.jobs()] == [State.FAILED] * 2  # this machine sent nothing
    assert jo.resume() == []
    assert len(fal.accepted) == 0
    gone.release()
    assert jo.submit("a cat").wait() is not None


def test_a_machine_that_is_killed_while_it_sends_is_not_paid_for_twice(
    run: Callable[..., Any], jo: Session, fal: ScriptedFal, studio: Path, tmp_path: Path
) -> None:
    stall = fal.fault("submit", "stall", handled=True)
    killed = run("import kling_nb\nkling_nb.generate('a cat')", KLING_NB_LIBRARY=str(studio))
    fal.wait_for("submit")
    killed.process.kill()
    killed.process.wait()
    stall.release()
    second = jo.submit("a cat")
    wait_for_line(second, "makes this request")
    let_time_pass(studio)
    assert second.wait().request_id == fal.jobs[0].request_id  # type: ignore[union-attr]
    assert "is not at work any more. fal is asked for it." in lines(second)
    assert len(fal.accepted) == 1
    wait_for_pushes(jo)
    code, _, complaints = run(
        "import kling_nb\nkling_nb.generate('a cat')", KLING_NB_LIBRARY=str(studio)
    ).finish()
    assert (code, len(fal.accepted)) == (0, 1), complaints


@pytest.mark.parametrize("step", ["open", "sent"])
@pytest.mark.parametrize("optional", [False, True])
def test_a_library_that_fails_just_before_the_submission(
    s3: str,
    object_store: Studio,
    machine: Callable[..., Session],
    fal: ScriptedFal,
    step: str,
    optional: bool,
) -> None:
    session = machine("maria", s3, library_optional=optional)
    fingerprint = session.plan("a cat").request.fingerprint
    place = f"PUT /studio/kling/intents/{fingerprint}/1.0.{step}"
    with object_store.fault(place, refuse("403 Forbidden", "AccessDenied")):
        job = session.submit("a cat")
        if optional:
            job.wait()
            assert "another machine may pay for the same take" in lines(job)
        else:
            with pytest.raises(errors.LibraryError, match="Nothing was sent"):
                job.wait()
            assert [entry.sent_at for entry in session.jobs()] == [None]
        wait_for_pushes(session)  # the marker could not be released either
    assert len(fal.accepted) == optional
    assert session.submit("a cat").wait() is not None
    assert len(fal.accepted) == 1


def test_a_job_that_waits_for_its_turn_keeps_its_marker(
    maria: Session, fal: ScriptedFal, studio: Path
) -> None:
    fal.fault("submit", "at_limit", times=2)
    job = maria.submit("a cat")
    assert job.wait() is not None
    wait_for_pushes(maria)
    assert sorted(path.name for path in (studio / "intents").rglob("*.*")) == ["1.0.open", "1.0.sent"]
    assert len(fal.accepted) == 1


MACHINE = """
import asyncio, hashlib, sys
import kling_nb
from kling_nb.fal.patience import Patience
from kling_nb.session import Session

async def sleep(seconds):
    await asyncio.sleep(min(seconds, 1.0))

print("ready", flush=True)
sys.stdin.readline()
with Session(patience=Patience(sleep=sleep)) as session:
    study = session.sweep([f"a cat in room {number}" for number in range(REQUESTS)], concurrency=4)
    study.wait()
    for cell in study:
        print(cell.index, hashlib.sha256(cell.job.file.read_bytes()).hexdigest())
"""


LONG = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("url", "machines", "requests"),
    [
        ("folder", 3, 6),
        pytest.param("folder", 10, 50, marks=LONG),
        pytest.param("s3", 10, 50, marks=LONG),
    ],
    indirect=["url"],
)
def test_many_machines_with_the_same_requests_pay_once(
    run: Callable[..., Any], url: str, tmp_path: Path, fal: ScriptedFal, machines: int, requests: int
) -> None:
    programs = [
        run(
            MACHINE.replace("REQUESTS", str(requests)),
            KLING_NB_LIBRARY=url,
            KLING_NB_HOME=str(tmp_path / f"{number}" / "home"),
            KLING_NB_MEDIA=str(tmp_path / f"{number}" / "media"),
            **{name: os.environ[name] for name in os.environ if name.startswith("AWS_")},
        )
        for number in range(machines)
    ]
    for program in programs:
        assert program.says() == "ready"
    for program in programs:
        program.tell("go")
    ends = [program.finish(800) for program in programs]
    assert [code for code, *_ in ends] == [0] * machines, [
        complaints for *_, complaints in ends if complaints
    ]
    assert len({out for _, out, _ in ends}) == 1
    assert len(ends[0][1].splitlines()) == requests
    assert len(fal.accepted) == requests
    assert len(Library(url).store.names("media")) == len(set(ends[0][1].split()[1::2]))
