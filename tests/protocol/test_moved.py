"""Cards of a saved notebook whose files, or which themselves, were moved, renamed or copied."""

import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from clips import clip_bytes
from kernel_environment import pointed_at
from scripted import Done, Queue, Script, ScriptedFal

from kling_nb import Session, Storyboard, Sweep
from kling_nb.notebook.frozen import settle_for_good
from kling_nb.notebook.kernel_outputs import KernelOutputs
from kling_nb.notebook.mark import Mark
from kling_nb.notebook.shown_sweep import KernelSweep, show_strip


class Shell:
    """What outputs need of IPython; keeps what it is given as a notebook does."""

    def __init__(self) -> None:
        self.display_pub = self
        self.user_ns: dict[str, Any] = {}
        self.outputs: dict[str, dict[str, Any]] = {}

    def publish(self, data: Any, *, metadata: Any, transient: Any, update: bool = False) -> None:
        name = transient.get("display_id") or f"alone-{len(self.outputs)}"
        self.outputs[name] = {"output_type": "display_data", "data": data, "metadata": metadata}

    def saved(self) -> str:
        cell = {"cell_type": "code", "outputs": list(self.outputs.values())}
        return json.dumps({"cells": [cell], "metadata": {}})


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project in a folder of its own, and what is shown in its notebook."""
    with ScriptedFal() as server:
        for name, value in pointed_at(server, tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        clips = (clip_bytes(frames=count) for count in range(8, 16))  # no two are the same
        server.scripts.queue.extend([Script((Queue(0), Done(video=clip))) for clip in clips])
        (tmp_path / "mine").mkdir()
        monkeypatch.chdir(tmp_path / "mine")
        yield Shell()


def shown_study(session: Session, shell: Shell) -> Sweep:
    study = session.sweep(["a <fox>", "a wolf"], duration=["5", "10"]).wait()
    KernelSweep(study, shell).show()
    show_strip(Storyboard(study.videos[:2]), shell)
    return study


def opened(saved: str, folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The files that the cards play then, and the outputs."""
    notebook = json.loads(saved)
    settle_for_good(notebook, folder)
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
        assert len(json.dumps(output["metadata"])) < 1_000
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
    assert [mark.settled for output in outputs if (mark := Mark.of(output["metadata"]))] == [True] * 3
    (tmp_path / "home" / "ledger.sqlite3").rename(tmp_path / "ledger away")
    plays, _ = opened(shell.saved(), elsewhere)
    assert all(src.startswith("kling_media/") for src in plays)  # in a clone nobody knows better


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
