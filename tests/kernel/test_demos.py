"""The demos in notebooks/: run from nothing, and again from the takes that come with them."""

import hashlib
import json
import os
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert.exporters import HTMLExporter

from kling_nb.job import rebuild
from kling_nb.ledger import Ledger
from kling_nb.notebook.exporters import KlingHTMLExporter
from kling_nb.notebook.saved.renewal import freeze, freeze_notebook
from kling_nb.notebook.saved.verify import verify

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
MEDIA = NOTEBOOKS / "kling_media"
DEMOS = ("quickstart", "panel", "parameter-study", "storyboard", "film", "fal-api", "from-a-clone", "colab")
SUBMITS = "submits"
"""Tag of cells that send a request each time they are run, whatever there is."""
LARGEST_MEDIA = 2_500_000
"""Bytes. At 576 × 324 the takes of all demos are 2.3 MB, which a clone downloads once."""
SMALLEST_AREA = 576 * 324
LARGEST_RESULT = 30_000
PLAYER = re.compile(r'<video [^>]*?src="([^"]*)"')
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def quick(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_NB_LOCAL_SPEED", "inf")


def saved(name: str) -> Any:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def run(name: str, folder: Path) -> Any:
    """Run a notebook in a folder, and return it with its outputs."""
    notebook = nbformat.read(shutil.copy(NOTEBOOKS / f"{name}.ipynb", folder), as_version=4)
    execute(notebook, folder)
    return notebook


def execute(notebook: Any, folder: Path, *, skip: str = "") -> None:
    """Run it in a folder, and leave what is kept of it; cells with the tag `skip` stay as they are."""
    NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(folder)}}, skip_cells_with_tag=skip
    ).execute()
    freeze_notebook(notebook, folder)
    return notebook


def cards(notebook: Any) -> list[list[str]]:
    """The static outputs of each code cell."""
    return [
        [output.data["text/html"] for output in cell.outputs if "text/html" in output.get("data", {})]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def fingerprints(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def videos(notebook: Any) -> list[int]:
    """How many videos each cell shows."""
    return [sum(html.count("<video") for html in found) for found in cards(notebook)]


@pytest.mark.parametrize("name", [name for name in DEMOS if name not in {"quickstart", "fal-api"}])
def test_a_demo_runs_from_nothing(name: str, tmp_path: Path) -> None:
    """The other two have tests of their own for this."""
    notebook = run(name, tmp_path)
    assert videos(notebook) == videos(saved(name))
    assert "LOCAL PREVIEW" in str(cards(notebook))


def test_all_demos_run_from_their_takes_and_send_nothing(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other in one kernel, each without the variables of the one before."""
    monkeypatch.setenv("KLING_NB_FROZEN", "1")
    folder = tmp_path / "a folder of somebody else"
    shutil.copytree(MEDIA, folder / "kling_media")
    together = nbformat.v4.new_notebook(metadata=saved(DEMOS[0]).metadata)
    for name in DEMOS:
        together.cells += [nbformat.v4.new_code_cell("%reset -f"), *saved(name).cells]
    then = videos(together)
    execute(together, folder, skip=SUBMITS)
    assert Ledger(home / "ledger.sqlite3").count() == 0  # a submission would be in it before it is sent
    assert fingerprints(folder / "kling_media") == fingerprints(MEDIA)
    # A job that was not waited for when the notebook was saved is there at once now.
    assert all(now >= before for now, before in zip(videos(together), then, strict=True))


def test_only_the_tour_of_the_interface_has_cells_that_always_submit() -> None:
    tagged = [
        name for name in DEMOS for cell in saved(name).cells if SUBMITS in cell.metadata.get("tags", ())
    ]
    assert tagged == ["fal-api"] * 9
    assert "tagged `submits`" in saved("fal-api").cells[0].source


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_verifies(name: str, tmp_path: Path) -> None:
    shutil.copytree(NOTEBOOKS, tmp_path / "clone")
    found = verify(tmp_path / "clone" / f"{name}.ipynb")
    assert found
    assert [one for one in found if one.status not in {"reusable", "unknown"}] == []
    unknown = [one.text for one in found if one.status == "unknown"]
    reason = "it depends on configure" if name == "colab" else "in Python is not read"
    assert all(reason in text for text in unknown), unknown
    assert bool(unknown) == (name in {"quickstart", "panel", "parameter-study", "film", "fal-api", "colab"})


@pytest.mark.parametrize("name", DEMOS)
def test_what_is_saved_needs_no_kernel_and_names_no_machine(name: str) -> None:
    notebook = saved(name)
    text = nbformat.writes(notebook)
    assert WIDGET not in text
    assert "widgets" not in notebook.metadata
    assert str(Path.home()) not in text
    assert "/tmp/" not in text
    assert sum(videos(notebook)) >= 1
    for html in (html for found in cards(notebook) for html in found):
        assert len(html) / max(1, html.count("<video")) < LARGEST_RESULT
    first, *_ = notebook.cells
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")


def test_no_player_is_dead_in_pages_that_are_exported_in_another_folder(tmp_path: Path, home: Path) -> None:
    """As papermill leaves notebooks: in a folder of results, and their takes where they were made."""
    media, results = tmp_path / "project" / "kling_media", tmp_path / "results"
    shutil.copytree(MEDIA, media)
    rebuild.rebuild(home / "ledger.sqlite3", [media])
    results.mkdir()
    for name in DEMOS:
        path = Path(shutil.copy(NOTEBOOKS / f"{name}.ipynb", results))
        count = sum(videos(saved(name))) - (
            name == "panel"
        )  # the card of a panel has the latest take of a folder
        page, _ = KlingHTMLExporter().from_filename(str(path))
        sources = PLAYER.findall(page)
        assert len(sources) == count
        assert [src for src in sources if not src.startswith("data:video/mp4;base64,")] == []
        freeze(path)
        page, _ = HTMLExporter().from_filename(str(path))
        sources = PLAYER.findall(page)
        assert len(sources) == count
        assert [src for src in sources if not (results / unquote(unescape(src))).is_file()] == []


def test_the_media_are_small_but_not_blurred_and_each_is_used() -> None:
    files = [path for path in MEDIA.iterdir() if not path.name.startswith(".")]
    assert sum(path.stat().st_size for path in files) < LARGEST_MEDIA
    text = "".join(nbformat.writes(saved(name)) for name in DEMOS)
    assert [path.name for path in files if f"{path.stem}.mp4" not in text] == []
    for path in files:
        if path.suffix == ".json":
            about = json.loads(path.read_text(encoding="utf-8"))
            assert about["width"] * about["height"] >= SMALLEST_AREA
            assert about["sha256"] == hashlib.sha256(path.with_suffix(".mp4").read_bytes()).hexdigest()


COLAB = {
    "__init__.py": "",
    "_shell.py": "",
    "output.py": "def enable_custom_widget_manager():\n    print('widgets of other packages')\n",
    "files.py": "def download(path):\n    print('downloads', path)\n",
    "drive.py": "def mount(path):\n    print('mounts', path)\n",
}
"""What the cells use of Colab, as modules that print."""


def test_in_colab_the_widget_manager_is_enabled_and_the_drive_only_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "stand-in" / "google" / "colab"
    package.mkdir(parents=True)
    for name, text in COLAB.items():
        (package / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parents[1]), os.environ["PYTHONPATH"]]))
    work = tmp_path / "work"
    work.mkdir()
    notebook = saved("colab")
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import google.colab"))
    execute(notebook, work)
    printed = "".join(
        output.text for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output
    )
    assert "widgets of other packages" in printed
    assert "downloads" in printed
    assert "mounts" not in printed
    assert sum(videos(notebook)) == 1
