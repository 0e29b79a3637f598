""" "Use this take": the take that a `%%kling NAME` cell stands for, kept in the folder."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from clips import make_clip
from filelock import FileLock
from kernel_environment import pointed_at
from scripted import Done, Run, Script, ScriptedFal
from scripted.mp4 import sample_mp4

import kling_nb
from kling_nb import Job, Session
from kling_nb.errors import MediaError, UsageError
from kling_nb.job.plan import Outcome
from kling_nb.job.rebuild import rows_of
from kling_nb.media import MediaFolder, TakeDraft
from kling_nb.notebook.card.job import card_bundle
from kling_nb.notebook.card.mark import mark_of
from kling_nb.notebook.cell import NamedCell
from kling_nb.notebook.saved.renewal import freeze
from kling_nb.notebook.saved.verify import verify
from kling_nb.notebook.widgets.takes import submit
from kling_nb.video.decisions import LOCK, choose, read_decisions

CELL = "%%kling kite\na kite"


@pytest.fixture
def fal(tmp_cwd: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with ScriptedFal() as server:
        for name, value in pointed_at(server, home).items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def session(fal: ScriptedFal) -> Iterator[Session]:
    with Session() as made:
        yield made


class Shell:
    """What a cell needs of IPython."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {}

    def push(self, values: dict[str, Any]) -> None:
        self.user_ns.update(values)


def run_cell(session: Session, name: str = "kite", prompt: str = "a kite", **arguments: Any) -> Job:
    """Run a cell to its end."""
    plan = session.plan(prompt, cell=name, **arguments)
    job = session._launch(plan)
    job.wait()
    if name and plan.made_from:
        job.cell = NamedCell(name, plan.made_from, session, Shell(), plan.settings.media.name)
    return job


def make(job: Job, **changes: Any) -> Job:
    """Press Generate in the view of a job."""
    made = submit(job, changes, another=True)
    made.wait()
    return made


def use(cell: Job, take: Job) -> str:
    """Press "Use this take" in the view of a cell."""
    return cell.cell.choose(take)


def chosen_for(take: Job) -> list[str]:
    assert take.video is not None
    assert take.video.sidecar is not None
    return [choice.name for choice in read_decisions(take.video.sidecar).choices]


def test_a_run_of_the_unchanged_cell_gives_the_chosen_take_and_all_its_takes_from_the_folder_alone(
    session: Session, fal: ScriptedFal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_cell(session)
    second = make(first, duration="10")
    third = make(first)
    rows = {entry.request_id: entry.made_from for entry in session.jobs()}
    assert set(rows.values()) == {first.request.fingerprint}
    assert {row["made_from"] for row in rows_of(Path("kling_media"))} == set(rows.values())
    words = use(first, second)
    assert words == "kite is this take, in all notebooks with kling_media."
    assert first.cell._shell.user_ns == {"kite": second.video}

    clone = tmp_path / "clone"
    clone.mkdir()
    shutil.move("kling_media", clone / "kling_media")
    monkeypatch.chdir(clone)
    for variable in ("FAL_KEY", "KLING_NB_BACKEND"):
        monkeypatch.delenv(variable)
    sent = len(fal.requests)
    with Session(home=tmp_path / "none", frozen=True) as other:
        again = run_cell(other)
        assert (again.file, again.outcome) == (clone / second.file.relative_to(tmp_path / "work"), "REUSE")
        assert again.about == (
            "kite is the take that you chose, with another duration. That of the cell itself: --take 1.",
        )
        assert again.request.input["duration"] == "10"
        strip = other.takes_of(again.request, again.backend, again.made_from)
        assert [job.request_id for job in strip] == [one.request_id for one in (first, second, third)]
        assert [take.path for take in other.takes(chosen=True)] == [again.file]
    assert len(fal.requests) == sent
    assert not (tmp_path / "none").exists()


def test_nothing_but_the_cell_gets_the_chosen_take(session: Session) -> None:
    first = run_cell(session)
    second = make(first, duration="10")
    use(first, second)
    assert run_cell(session).file == second.file
    for other in (
        run_cell(session, name=""),
        run_cell(session, name="bird"),
        run_cell(session, take=1),
        session.submit("a kite"),
    ):
        assert other.file == first.file
    for several in (
        session.sweep(["a kite"], start=False),
        session.batch([{"prompt": "a kite"}], start=False),
    ):
        assert several[0].plan.found.path == first.file
    assert session.plan("a kite", cell="kite", new=True).outcome is Outcome.SUBMIT
    assert session.plan("a kite", cell="kite", duration=10).found.path == second.file


def test_two_cells_with_one_request_have_a_choice_each(session: Session) -> None:
    kite, bird = run_cell(session, "kite"), run_cell(session, "bird")
    second, third = make(kite), make(bird)
    use(kite, second)
    use(bird, third)
    assert run_cell(session, "kite").file == second.file
    assert run_cell(session, "bird").file == third.file
    use(bird, second)
    assert (chosen_for(second), chosen_for(third)) == (["kite", "bird"], [])


def test_of_two_notebooks_the_one_that_chose_last_decides_for_both(session: Session) -> None:
    with Session() as other:
        one, two = run_cell(session), run_cell(other)
        second, third = make(one), make(two, aspect_ratio="9:16")
        use(one, second)
        assert run_cell(other).file == second.file
        use(two, third)
        assert run_cell(session).file == run_cell(other).file == third.file
    assert (chosen_for(second), chosen_for(third)) == ([], ["kite"])


CHOOSE = """
import sys
from kling_nb import Session
with Session() as session:
    job = session._launch(session.plan("a kite", cell="kite"))
    strip = session.takes_of(job.request, "fal", job.made_from)
    (take,) = [one for one in strip if str(one.file) == sys.argv[1]]
    print("ready", flush=True)
    session._choose(take._take, job.made_from, "kite")
"""


@pytest.mark.parametrize("stored", [False, True], ids=["before the choice is stored", "after it"])
def test_a_kernel_that_is_killed_while_it_stores_a_choice_leaves_one_that_counts(
    session: Session, stored: bool
) -> None:
    first = run_cell(session)
    second = make(first)
    use(first, first)
    (place := Path("kling_media/earlier").absolute()).mkdir()
    for file in (first.file, first.video.sidecar):
        file.rename(place / file.name)
    held = place if stored else second.file.parent
    with FileLock(held / LOCK):
        command = [sys.executable, "-c", CHOOSE, str(second.file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as kernel:
            assert kernel.stdout is not None
            assert kernel.stdout.readline() == "ready\n"
            while stored and not chosen_for(second):
                assert kernel.poll() is None
            kernel.kill()
    expected = second.file if stored else place / first.file.name
    again = run_cell(session)
    assert again.file == expected
    use(again, again)
    assert [take.path for take in kling_nb.takes(chosen=True)] == [expected]


def test_where_the_chosen_file_was_deleted_the_cell_says_so_and_buys_nothing(
    session: Session, fal: ScriptedFal
) -> None:
    first = run_cell(session)
    fal.script = Script([Run(), Done(sample_mp4(seconds=0.5))])  # other bytes than those of the first
    second = make(first)
    use(first, second)
    kept = second.file.read_bytes()
    second.file.unlink()
    sent = len(fal.accepted)
    again = run_cell(session)
    assert again.file == first.file
    (line,) = again.about
    assert line.startswith(f"The take that you chose for kite is missing: {second.file.name}.")
    assert line.endswith(f"free: %kling show {second.request_id}.")
    assert session.plan("a kite", cell="kite").words.endswith(line)
    second.file.write_bytes(kept)
    assert run_cell(session).file == second.file
    assert len(fal.accepted) == sent


def test_a_chosen_preview_never_answers_for_fal(session: Session, tmp_path: Path) -> None:
    first = run_cell(session)
    second = make(first)
    use(first, second)
    clip = make_clip(tmp_path / "preview.mp4", frames=5).read_bytes()

    async def chunks() -> Any:
        yield clip

    known = first._take.sidecar
    draft = TakeDraft(
        known.fingerprint, None, known.endpoint, known.input, "a kite", "local", "r-local", "", "video"
    )
    preview = asyncio.run(MediaFolder(first.file.parent).store(chunks(), draft))
    with Session(backend="local") as local:

        def used_by(session: Session) -> Path:
            return session.plan("a kite", cell="kite").found.path

        session._choose(preview, known.fingerprint, "kite")
        assert (used_by(local), used_by(session)) == (preview.path, second.file)
        session._choose(second._take, known.fingerprint, "kite")
        assert (used_by(local), used_by(session)) == (second.file, second.file)
        assert [take.path for take in local.takes(chosen=True)] == [second.file]


def test_a_choice_that_cannot_be_stored_changes_nothing(session: Session) -> None:
    first = run_cell(session)
    second = make(first)
    second.video.sidecar.unlink()
    with pytest.raises(MediaError, match="Nothing was stored"):
        use(first, second)
    assert first.cell._shell.user_ns == {}
    running = session.submit("a boat")
    running.wait()
    running._take = None
    with pytest.raises(UsageError, match="no take yet"):
        use(first, running)


def test_freeze_and_verify_follow_the_choice(session: Session, fal: ScriptedFal) -> None:
    first = run_cell(session)
    fal.script = Script([Run(), Done(sample_mp4(seconds=0.5))])
    second = make(first, duration="10")
    output = nbformat.v4.new_output(
        "display_data", data=card_bundle(first), metadata=mark_of(first).to_metadata()
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL, outputs=[output])])
    path = Path("demo.ipynb")
    nbformat.write(notebook, path)

    def card() -> str:
        freeze(path)
        return str(nbformat.read(path, as_version=4).cells[0].outputs[0].data["text/html"])

    assert first.file.name in card()
    use(first, second)
    assert second.file.name in card()
    assert f'data-kling-request="{second.request_id}"' in card()
    (found,) = verify(path)
    assert (found.status, found.text) == ("reusable", f"kling_media/{second.file.name}")
    second.file.unlink()
    assert verify(path)[0].text == f"kling_media/{first.file.name}"


def test_readers_of_earlier_versions_still_find_a_chosen_take(session: Session) -> None:
    first = run_cell(session)
    plain = session.generate("a boat")
    use(first, first)
    chosen, other = (json.loads(one.sidecar.read_text()) for one in (first.video, plain))
    assert chosen["kling_nb"] == 1
    assert [name for name in chosen if name not in other] == ["made_from", "user"]
    del chosen["user"], chosen["made_from"]
    assert {name: type(value) for name, value in chosen.items()} == {
        name: type(value) for name, value in other.items()
    }


def test_a_damaged_choice_is_ignored_and_other_choices_stay(session: Session) -> None:
    first = run_cell(session)
    note = first.video.sidecar
    content = json.loads(note.read_text()) | {"user": {"chosen_for": [7, {"cell": 1}]}}
    note.write_text(json.dumps(content))
    assert session.plan("a kite", cell="kite").found.path == first.file
    choose(note, first.made_from, "kite")
    assert chosen_for(first) == ["kite"]
    assert json.loads(note.read_text())["user"]["chosen_for"][:2] == [7, {"cell": 1}]
