"""The quickstart notebook as `make lab` opens it, from top to bottom, on the local preview server."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from scripts.lab import DEMOS, copy_demos

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]


def test_quickstart_runs_from_top_to_bottom(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_NB_LOCAL_SPEED", "inf")
    copy_demos(tmp_path)
    notebook = nbformat.read(tmp_path / "quickstart.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    cells = {cell["id"]: cell for cell in notebook.cells if cell.cell_type == "code"}
    outputs = {name: str(cell.outputs) for name, cell in cells.items()}
    first = next(name for name, cell in cells.items() if cell.source.startswith("%%kling fox"))
    assert "<video" in outputs[first]
    assert "LOCAL PREVIEW" in outputs[first]
    again = next(name for name, cell in cells.items() if cell.source.startswith("%%kling again"))
    assert "already made, free" in outputs[again]
    refused = next(name for name, cell in cells.items() if "oops" in cell.source)
    assert "16:9, 9:16 or 1:1" in outputs[refused]
    videos = sorted(path.name for path in (tmp_path / "kling_media").glob("*.mp4"))
    assert len(videos) == 5
    assert (tmp_path / "koi.gif").stat().st_size > 10_000


def test_a_copy_has_no_outputs_and_keeps_what_its_reader_changed(tmp_path: Path) -> None:
    copy_demos(tmp_path / "lab")
    copies = {path.stem: path for path in (tmp_path / "lab").iterdir()}
    assert copies.keys() == set(DEMOS)  # no media: each cell is to make its own
    for path in copies.values():
        cells = nbformat.read(path, as_version=4).cells
        assert [cell.outputs for cell in cells if cell.cell_type == "code" and cell.outputs] == []
    changed, missing = copies["quickstart"], copies["panel"]
    changed.write_text("what the reader wrote", encoding="utf-8")
    missing.unlink()
    copy_demos(tmp_path / "lab")
    assert changed.read_text(encoding="utf-8") == "what the reader wrote"
    assert missing.exists()
