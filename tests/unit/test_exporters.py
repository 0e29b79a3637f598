"""An exported page contains media next to the notebook, and no other file of this machine."""

from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import pytest
from clips import clip_bytes
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from nbconvert.exporters import HTMLExporter

from kling_nb import Session
from kling_nb.notebook.exporters import EmbedMedia, KlingHTMLExporter
from kling_nb.notebook.saved.reopening import STATE, VIEW
from kling_nb.notebook.saved.server_extension import drop_models_on_save

CLIP = clip_bytes(frames=2)


def page(folder: Path, src: str, **config: Any) -> str:
    notebook = nbformat.v4.new_notebook()
    html = f'<div class="kling-card"><video src="{src}"></video></div>'
    cell = nbformat.v4.new_code_cell("1")
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": html})]
    notebook.cells = [cell]
    exporter = KlingHTMLExporter(**config)
    made, _ = exporter.from_notebook_node(notebook, {"metadata": {"path": str(folder)}})
    return str(made)


def test_a_notebook_saved_with_its_widgets_exports_cards(folder: Path) -> None:
    """JupyterLab writes the state of all widgets into the notebook where the user asks for that."""
    html = (
        '<div class="kling-card" data-kling-state="READY"><video src="kling_media/a%20b.mp4"></video></div>'
    )
    ours, other = (
        {VIEW: {"model_id": name, "version_major": 2, "version_minor": 0}} for name in ("ours", "other")
    )
    job = nbformat.v4.new_code_cell("1")
    job.outputs = [
        nbformat.v4.new_output(
            "display_data", {**ours, "text/html": html}, metadata={"kling_nb": {"version": 1, "job": "j"}}
        ),
        nbformat.v4.new_output("display_data", other),
    ]
    models = {
        "ours": {"state": {"_anywidget_id": "kling_nb.notebook.widgets.job.JobWidget"}},
        "other": {"model_name": "IntSliderModel", "model_module": "@jupyter-widgets/controls", "state": {}},
    }
    saved = nbformat.v4.new_notebook(cells=[job])
    saved.metadata["widgets"] = {STATE: {"state": models, "version_major": 2, "version_minor": 0}}
    contents = LargeFileManager(root_dir=str(folder))
    contents.register_pre_save_hook(drop_models_on_save)
    contents.save({"type": "notebook", "format": "json", "content": saved}, "film.ipynb")
    contents.notary.store.close()
    page, _ = HTMLExporter().from_filename(str(folder / "film.ipynb"))
    assert 'src="kling_media/a%20b.mp4"' in page
    assert '"model_id": "ours"' not in page
    assert '"model_id": "other"' in page


@pytest.fixture
def folder(tmp_cwd: Path, home: Path) -> Path:
    (tmp_cwd / "kling_media").mkdir()
    (tmp_cwd / "kling_media" / "a b.mp4").write_bytes(CLIP)
    (tmp_cwd / "secret.txt").write_text("secret")
    (tmp_cwd.parent / "beside.mp4").write_bytes(CLIP)
    (tmp_cwd / "leads-out.mp4").symlink_to(tmp_cwd.parent / "beside.mp4")
    return tmp_cwd


def test_a_clip_is_put_into_the_page_without_any_request(folder: Path) -> None:
    made = page(folder, "kling_media/a%20b.mp4")
    assert 'src="data:video/mp4;base64,' in made
    assert "require.min.js" not in made
    assert "mathjax/2" not in made.lower()
    assert 'src="kling_media' in page(folder, "kling_media/a%20b.mp4", embed_media=False)


@pytest.mark.parametrize(
    "src", ["secret.txt", "../beside.mp4", "leads-out.mp4", "gone.mp4", "https://x.invalid/a.mp4", "%00"]
)
def test_what_is_no_media_of_the_notebook_stays_a_url(src: str, folder: Path) -> None:
    assert f'src="{src}"' in page(folder, src)


def test_a_film_in_a_folder_of_its_own_among_the_takes_goes_in_too(folder: Path) -> None:
    films = folder / "kling_media" / "films"
    films.mkdir()
    (films / "film.mp4").write_bytes(CLIP)
    notes = folder / "notes"
    notes.mkdir()
    assert 'src="../kling_media' in page(notes, "../kling_media/films/film.mp4")
    with closing(Session(local_speed=1000)) as session:
        session.generate("a boat", backend="local")
    assert 'src="data:video/mp4' in page(notes, "../kling_media/films/film.mp4")


def test_a_file_that_is_too_large_stays_next_to_the_page(folder: Path) -> None:
    found = EmbedMedia(largest=10).embed('<video src="kling_media/a%20b.mp4"></video>', folder)
    assert found == '<video src="kling_media/a%20b.mp4"></video>'
