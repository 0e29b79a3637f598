"""Jobs of many machines with one library: fal is paid once for each take."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedFal
from studio import CREDENTIALS, Studio, refuse

from kling_nb import errors
from kling_nb.job.job import Job
from kling_nb.job.plan import Outcome
from kling_nb.library import Library
from kling_nb.session import Session

MakeSession = Callable[..., Session]


@pytest.fixture(scope="module")
def server() -> Iterator[Studio]:
    server = Studio()
    yield server
    server.close()


@pytest.fixture
def s3(server: Studio, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    server.reset()
    server.make_bucket("studio")
    return "s3://studio/kling"


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
    s3: str, server: Studio, machine: Callable[..., Session], fal: ScriptedFal, fault: Any
) -> None:
    strict, lax = machine("strict", s3), machine("lax", s3, library_optional=True)
    generate(strict, "a dog")
    with server.fault("GET /studio", fault):
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
    s3: str, server: Studio, machine: Callable[..., Session], caplog: pytest.LogCaptureFixture
) -> None:
    session = machine("maria", s3)
    with server.fault("PUT /studio/kling/media", refuse("403 Forbidden", "AccessDenied")):
        job = generate(session)
    assert job.file is not None
    assert job.file.exists()
    assert f"{job.file.name} is not in the library yet" in caplog.text
    assert "Later: kling-nb library push" in caplog.text
    media = session._connections.media(session.settings().media)
    assert Library(s3).push_all(media)[0][0].path == job.file
    assert machine("jo", s3).submit("a cat").outcome is Outcome.LIBRARY


def test_a_push_is_tried_again(s3: str, server: Studio, machine: Callable[..., Session]) -> None:
    tries = []

    def fail_once(environ: Any, start: Any) -> Any:
        tries.append(1)
        return refuse("403 Forbidden", "AccessDenied")(environ, start) if len(tries) == 1 else None

    with server.fault("PUT /studio/kling/media", fail_once):
        generate(machine("maria", s3))
    assert machine("jo", s3).plan("a cat").outcome is Outcome.LIBRARY


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
