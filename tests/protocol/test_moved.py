"""Cards of a saved notebook after the notebook or its files were moved, renamed or copied."""

import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from clips import clip_bytes
from earlier_marks import as_saved_earlier
from kernel_environment import pointed_at
from scripted import Done, Fail, Hold, Queue, Run, Script, ScriptedFal

from kling_nb import Session, Storyboard, Sweep, Video, errors
from kling_nb.notebook.card.job import file_bundle
from kling_nb.notebook.card.mark import Mark
from kling_nb.notebook.output.kernel import KernelOutputs, KernelSweep, show_storyboard
from kling_nb.notebook.saved.renewal import freeze_notebook


class Shell:
    """What outputs need of IPython; keeps what it is given as a notebook does."""

    def __init__(self) -> None:
        self.display_pub = self
        self.user_ns: dict[str, Any] = {}
        self.outputs: dict[str, dict[str, Any]] = {}

    def publish(self, data: Any, *, metadata: Any, transient: Any, update: bool = False) -> None:
        name = transient.get("display_id") or f"alone-{len(self.outputs)}"
        self.outputs[name] = {"output_type": "display_data", "data": data, "metadata": metadata}

    def saved(self, *, earlier: bool = False) -> str:
        """The notebook's file, also as an earlier version would have written it."""
        outputs = [as_saved_earlier(output) if earlier else output for output in self.outputs.values()]
        cell = {"cell_type": "code", "outputs": outputs}
        return json.dumps({"cells": [cell], "metadata": {}})


@pytest.fixture
def shell(fal: ScriptedFal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A project in a folder of its own, and what is shown in its notebook."""
    for name, value in pointed_at(fal, tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    clips = (clip_bytes(frames=count) for count in range(8, 16))  # no two are the same
    fal.scripts.queue.extend([Script((Queue(0), Done(video=clip))) for clip in clips])
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    return Shell()


def moved_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another person's copy of the project. Its takes are in another folder, and it has no ledger."""
    clone = tmp_path / "theirs"
    (clone / "kling_media" / "moved").mkdir(parents=True)
    for path in (tmp_path / "mine" / "kling_media").iterdir():
        if path.is_file():
            shutil.copy(path, clone / "kling_media" / "moved" / f"other {path.name}")
    monkeypatch.setenv("KLING_NB_HOME", str(tmp_path / "empty"))
    return clone


def shown_study(session: Session, shell: Shell) -> Sweep:
    study = session.sweep(["a <fox>", "a wolf"], duration=["5", "10"]).wait()
    KernelSweep(study, shell).show()
    show_storyboard(Storyboard(study.videos[:2]), shell)
    return study


def opened(saved: str, folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The files that the cards play then, and the outputs."""
    notebook = json.loads(saved)
    freeze_notebook(notebook, folder)
    outputs = notebook["cells"][0]["outputs"]
    html = "".join(output["data"].get("text/html", "") for output in outputs)
    return [unquote(unescape(src)) for src in re.findall(r'<video src="([^"]*)"', html)], outputs


def test_a_renamed_take_of_a_grid_and_of_a_storyboard_is_found_and_the_rest_stays(shell: Shell) -> None:
    with Session() as session:
        path = shown_study(session, shell)[1].video.path  # type: ignore[union-attr]
    old = f"kling_media/{path.name}"
    best = Path("kling_media/best of & it.mp4")
    path.rename(best)
    path.with_suffix(".json").rename(best.with_suffix(".json"))
    before = shell.saved()
    plays, (grid, strip) = opened(before, Path.cwd())
    assert [src for src in plays if not Path(src).is_file()] == []
    assert plays[1] == plays[5] == str(best)
    cards = [one for one in json.loads(before)["cells"][0]["outputs"] if "text/html" in one["data"]]
    for output, had in zip((grid, strip), cards, strict=True):
        there = str(best).replace(" ", "%20").replace("&", "%26")
        assert output["data"]["text/html"] == had["data"]["text/html"].replace(old, there)
        assert output["data"]["text/plain"] == had["data"]["text/plain"].replace(old, str(best))
        assert "<table" in grid["data"]["text/html"]
        assert len(json.dumps(output["metadata"])) < 200
        assert opened(json.dumps({"cells": [{"outputs": [output]}]}), Path.cwd())[1] == [output]


def test_a_notebook_that_left_its_media_behind_finds_them_by_the_ledger(shell: Shell, tmp_path: Path) -> None:
    with Session() as session:
        shown_study(session, shell)
        again = session.submit("a wolf", duration="5")
        again.wait()
        assert again.id.startswith("take-")
        KernelOutputs(shell).show(again, quiet=False)
    elsewhere = tmp_path / "mine" / "sub folder"
    elsewhere.mkdir()
    plays, outputs = opened(shell.saved(), elsewhere)
    assert len(plays) == 4 + 2 + 1
    for src in plays:
        assert src.startswith("../kling_media/")
        assert (elsewhere / src).is_file()
    assert [mark.is_final for output in outputs if (mark := Mark.of(output))] == [True] * 3
    (tmp_path / "home" / "ledger.sqlite3").rename(tmp_path / "ledger away")
    plays, _ = opened(shell.saved(), elsewhere)
    assert all(src.startswith("kling_media/") for src in plays)  # in a clone no one knows better


@pytest.mark.parametrize("earlier", [False, True])
def test_in_a_clone_without_a_ledger_files_that_moved_are_found(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    with Session() as session:
        shown_study(session, shell)
        job = session.submit("a boat")
        KernelOutputs(shell).show(job, quiet=False)
        boat = job.wait()
        assert isinstance(boat, Video)
        data, metadata = file_bundle(boat)
        shell.publish(data, metadata=metadata, transient={})
    clone = moved_clone(tmp_path, monkeypatch)
    plays, outputs = opened(shell.saved(earlier=earlier), clone)
    assert len(plays) == 4 + 2 + 1 + 1
    for src in plays:
        assert src.startswith("kling_media/moved/")
        assert (clone / src).is_file()
    assert [mark.is_final for output in outputs if (mark := Mark.of(output))] == [True] * 4
    assert opened(json.dumps({"cells": [{"outputs": outputs}]}), clone)[1] == outputs


@pytest.mark.parametrize("earlier", [False, True])
def test_in_a_clone_without_a_ledger_cards_that_were_saved_early_are_finished(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fal: ScriptedFal, earlier: bool
) -> None:
    fal.scripts.queue.clear()
    fal.script = Script((Queue(0), Run(), Hold(), Done()))
    with Session() as session:
        study = session.sweep(["a <fox>", "a wolf"])
        KernelSweep(study, shell).show()
        job = session.submit("a boat")
        KernelOutputs(shell).show(job, quiet=False)
        fal.wait_for(lambda: "data-kling-request=" in shell.saved())
        saved = shell.saved(earlier=earlier)
        fal.wait_for(lambda: len(fal.jobs) == 3)
        for held in fal.jobs:
            held.release()
        study.wait()
        job.wait()
    clone = moved_clone(tmp_path, monkeypatch)
    plays, (grid, boat) = opened(saved, clone)
    assert len(plays) == 2 + 1
    assert all((clone / src).is_file() for src in plays)
    assert "a &lt;fox&gt;" in grid["data"]["text/html"]
    for output in (grid, boat):
        found = Mark.of(output) or pytest.fail("no mark")
        assert found.is_final
        assert "state" not in output["metadata"]["kling_nb"]  # also where an earlier version had it there


@pytest.mark.parametrize("earlier", [False, True])
def test_in_a_clone_without_a_ledger_cards_of_failed_jobs_stay(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fal: ScriptedFal, earlier: bool
) -> None:
    fal.scripts.queue.clear()
    refused = Fail.refused({"loc": ["body", "prompt"], "msg": "too bold", "type": "content_policy_violation"})
    fal.scripts.queue.extend([Script((Queue(0), refused)), Script((Queue(0), Done())), Script((refused,))])
    with Session() as session:
        job = session.submit("a bold cat")
        KernelOutputs(shell).show(job, quiet=False)
        with pytest.raises(errors.InputRefused):
            job.wait()
        study = session.sweep(["a fox", "a bold wolf"], concurrency=1).wait(check=False)
        KernelSweep(study, shell).show()
    clone = moved_clone(tmp_path, monkeypatch)
    saved = shell.saved(earlier=earlier)
    _, (cat, grid) = opened(saved, clone)
    assert cat["data"] == json.loads(saved)["cells"][0]["outputs"][-2]["data"]
    assert "too bold" in cat["data"]["text/html"]
    assert (Mark.of(cat) or pytest.fail("no mark")).state == "FAILED"
    assert "too bold" in grid["data"]["text/html"]
    assert grid["data"]["text/html"].count('src="kling_media/moved/') == 1


def test_of_a_copied_project_the_copy_is_shown(shell: Shell, tmp_path: Path) -> None:
    with Session() as session:
        job = session.submit("a boat")
        job.wait()
        KernelOutputs(shell).show(job, quiet=False)
    path = Path("kling_media", job.file.name)  # type: ignore[union-attr]
    copy = tmp_path / "theirs"
    shutil.copytree("kling_media", copy / "kling_media")
    for ending in (".mp4", ".json"):
        (copy / path.with_suffix(ending)).rename(copy / f"kling_media/boat{ending}")
    plays, _ = opened(shell.saved(), copy)
    assert plays == ["kling_media/boat.mp4"]
