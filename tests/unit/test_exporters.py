"""What an exported page takes in: media beside the notebook, and no other file of this machine."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from clips import clip_bytes

from kling_nb.notebook.exporters import EmbedMedia, KlingHTMLExporter

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


@pytest.fixture
def folder(tmp_cwd: Path, home: Path) -> Path:
    (tmp_cwd / "kling_media").mkdir()
    (tmp_cwd / "kling_media" / "a b.mp4").write_bytes(CLIP)
    (tmp_cwd / "secret.txt").write_text("secret")
    (tmp_cwd.parent / "beside.mp4").write_bytes(CLIP)
    (tmp_cwd / "leads-out.mp4").symlink_to(tmp_cwd.parent / "beside.mp4")
    return tmp_cwd


def test_a_clip_goes_into_the_page_and_asks_nobody(folder: Path) -> None:
    made = page(folder, "kling_media/a%20b.mp4")
    assert 'src="data:video/mp4;base64,' in made
    assert "require.min.js" not in made
    assert "mathjax/2" not in made.lower()
    assert 'src="kling_media' in page(folder, "kling_media/a%20b.mp4", embed_media=False)


@pytest.mark.parametrize(
    "src", ["secret.txt", "../beside.mp4", "leads-out.mp4", "gone.mp4", "https://x.invalid/a.mp4", "%00"]
)
def test_what_is_no_media_of_the_notebook_stays_an_address(src: str, folder: Path) -> None:
    assert f'src="{src}"' in page(folder, src)


def test_what_is_too_large_stays_beside(folder: Path) -> None:
    found = EmbedMedia(largest=10).embed('<video src="kling_media/a%20b.mp4"></video>', folder)
    assert found == '<video src="kling_media/a%20b.mp4"></video>'
