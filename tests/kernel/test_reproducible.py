"""A notebook in other hands: run again elsewhere, verified, made static, run with parameters."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from kernel_environment import pointed_at
from nbclient import NotebookClient
from PIL import Image
from scripted import ScriptedFal

from kling_nb import cli
from kling_nb.notebook.saved.reopening import STATE

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
CELLS = (
    "%load_ext kling_nb\nimport kling_nb",
    "animal = 'fox'",
    "%%kling first\na {animal} at dawn",
    "%%kling --image cat.png --duration 10\nit turns its head",
    "kling_nb.generate('a lighthouse', duration=10)\nkling_nb.submit('a lighthouse', duration=10).widget()",
    "print(first.path.name, first.backend)\nfirst",
)
JUPYTER = "ignore:.*:DeprecationWarning:papermill"


def notebook() -> Any:
    made = nbformat.v4.new_notebook(metadata=KERNEL)
    made.cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    made.cells[1]["metadata"]["tags"] = ["parameters"]
    return made


def written(path: Path, *cells: str) -> Path:
    made = nbformat.v4.new_notebook(metadata=KERNEL)
    made.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(made, path)
    return path


def execute(path: Path) -> Any:
    found = nbformat.read(path, as_version=4)
    NotebookClient(found, timeout=60, resources={"metadata": {"path": str(path.parent)}}).execute()
    nbformat.write(found, path)
    return found


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture
def made(fal: ScriptedFal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook that was run with a key, once, and what it left in its folder."""
    folder = tmp_path / "mine"
    folder.mkdir()
    Image.new("RGB", (400, 400), "red").save(folder / "cat.png")
    nbformat.write(notebook(), folder / "demo.ipynb")
    for name, value in pointed_at(fal, tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    execute(folder / "demo.ipynb")
    assert len(fal.accepted) == 3
    return folder / "demo.ipynb"


def alone(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Another person's machine: no key, no ledger, and hosts that do not exist."""
    for name in ("FAL_KEY", "KLING_NB_BACKEND"):
        monkeypatch.delenv(name)
    for name in ("QUEUE", "REST", "API", "SCHEMA"):
        monkeypatch.setenv(f"KLING_NB_{name}_URL", f"https://{name.lower()}.invalid")
    monkeypatch.setenv("KLING_NB_HOME", str(home))


def test_from_a_clone_the_same_videos_bit_for_bit_at_no_cost(
    made: Path,
    fal: ScriptedFal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clone = tmp_path / "theirs" / "clone of it"
    shutil.copytree(made.parent, clone)
    before, asked = contents(clone / "kling_media"), len(fal.requests)
    alone(monkeypatch, tmp_path / "empty")
    monkeypatch.setenv("KLING_NB_FROZEN", "1")
    run = execute(clone / "demo.ipynb")
    assert contents(clone / "kling_media") == before
    assert len(fal.requests) == asked
    assert not (tmp_path / "empty").exists()  # not even a ledger
    assert "a-fox-at-dawn-" in str(run.cells[5].outputs)
    assert " fal" in str(run.cells[5].outputs)
    for cell in run.cells[2:5]:
        html = str(cell.outputs)
        assert 'src="kling_media/' in html
        assert "already made, free" in html

    assert cli.main(["verify", str(clone / "demo.ipynb")]) == 3  # but for two calls in Python
    assert "2 of 4 requests have their take." in capsys.readouterr().out

    run.cells[2]["source"] = "%%kling first\nanother {animal} at dawn"
    run.cells[3]["source"] = "%%kling --image cat.png --duration 10\nit runs {away}"
    nbformat.write(run, clone / "demo.ipynb")
    monkeypatch.setenv("FAL_KEY", fal.key)
    assert cli.main(["verify", str(clone / "demo.ipynb")]) == 1
    fox, cat, *_, total = capsys.readouterr().out.splitlines()
    assert "stale      %%kling first" in fox
    assert "it depends on away" in cat
    assert "0 of 4" in total
    with pytest.raises(Exception, match="NoTake: Frozen: no take of 'another fox at dawn'"):
        execute(clone / "demo.ipynb")
    assert len(fal.requests) == asked


def test_no_model_and_little_weight_stay_in_what_runs_unattended(made: Path) -> None:
    saved = json.loads(made.read_text())
    for cell in saved["cells"][2:4]:
        (output,) = [one for one in cell["outputs"] if one["output_type"] == "display_data"]
        assert set(output["data"]) == {"text/html", "text/plain"}
        assert len(json.dumps(output)) <= 30_000
    assert "widgets" not in saved["metadata"]
    assert "widget-view" not in made.read_text()
    assert cli.main(["freeze", str(made)]) == 0
    frozen = json.loads(made.read_text())
    assert all(one["metadata"]["kling_nb"]["kernel"] is None for one in frozen["cells"][4]["outputs"])
    assert "<video" in str(frozen["cells"][4]["outputs"])
    nbformat.validate(nbformat.from_dict(frozen))
    size = made.stat().st_mtime_ns
    assert cli.main(["freeze", str(made)]) == 0
    assert made.stat().st_mtime_ns == size  # nothing left to do


def test_grids_storyboards_and_panels_without_a_view_are_their_cards(
    fal: ScriptedFal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in pointed_at(fal, tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    path = written(
        tmp_path / "study.ipynb",
        "%load_ext kling_nb\nimport kling_nb",
        "%%kling study --grid duration=5,10\na {fox|wolf}",
        "kling_nb.Storyboard(study.videos)",
        "kling_nb.Panel()",
    )
    execute(path)
    saved = json.loads(path.read_text())
    assert "widgets" not in saved["metadata"]
    grid, strip, panel = ([one for one in cell["outputs"] if "data" in one] for cell in saved["cells"][1:])
    for shown, videos in ((grid, 4), (strip, 4), (panel, 1)):
        (output,) = shown
        assert set(output["data"]) == {"text/html", "text/plain"}
        assert str(output["data"]["text/html"]).count("<video") == videos
    assert "4 of 4 ready" in str(grid[0]["data"]["text/plain"])
    assert "to come" not in path.read_text()


def test_a_widget_in_the_box_of_another_package_is_there_also_without_a_view(
    fal: ScriptedFal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in pointed_at(fal, tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    boxed = "import kling_nb, ipywidgets\nipywidgets.HBox([kling_nb.Panel()])"
    path = written(tmp_path / "boxed.ipynb", "%load_ext kling_nb", boxed)
    execute(path)
    models = json.loads(path.read_text())["metadata"]["widgets"][STATE]["state"].values()
    assert {"HBoxModel", "AnyModel"} <= {model["model_name"] for model in models}


def test_a_moved_file_is_found_by_its_sidecar_when_the_notebook_is_frozen(made: Path) -> None:
    media = made.parent / "kling_media"
    (media / "foxes").mkdir()
    for path in list(media.glob("a-fox-at-dawn-*")):
        path.rename(media / "foxes" / f"best{path.suffix}")
    assert cli.main(["freeze", str(made)]) == 0
    cells = json.loads(made.read_text())["cells"]
    for cell in (cells[2], cells[5]):
        assert 'src="kling_media/foxes/best.mp4"' in str(cell["outputs"])


@pytest.mark.filterwarnings(JUPYTER)
def test_papermill_puts_its_parameters_into_prompts(made: Path, fal: ScriptedFal) -> None:
    ran = made.with_name("heron.ipynb")
    papermill.execute_notebook(
        str(made), str(ran), parameters={"animal": "heron"}, cwd=str(made.parent), progress_bar=False
    )
    assert [submission.input["prompt"] for submission in fal.accepted[3:]] == ["a heron at dawn"]
    assert 'src="kling_media/a-heron-at-dawn-' in "".join(
        str(cell["outputs"]) for cell in json.loads(ran.read_text())["cells"] if cell["cell_type"] == "code"
    )
