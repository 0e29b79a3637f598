"""The quickstart notebook, from top to bottom, on the embedded engine."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


def test_quickstart_runs_from_top_to_bottom(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_NB_LOCAL_SPEED", "inf")
    copy = shutil.copy(NOTEBOOK, tmp_path)
    notebook = nbformat.read(copy, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    cells = {cell["id"]: cell for cell in notebook.cells if cell.cell_type == "code"}
    outputs = {name: str(cell.outputs) for name, cell in cells.items()}
    first = next(name for name, cell in cells.items() if cell.source.startswith("%%kling fox"))
    assert "<video" in outputs[first]
    assert "LOCAL PREVIEW" in outputs[first]
    again = next(name for name, cell in cells.items() if cell.source.startswith("%%kling again"))
    assert "no charge" in outputs[again]
    refused = next(name for name, cell in cells.items() if "oops" in cell.source)
    assert "16:9, 9:16, 1:1" in outputs[refused].replace("or ", "")
    videos = sorted(path.name for path in (tmp_path / "kling_media").glob("*.mp4"))
    assert len(videos) == 5
    assert (tmp_path / "koi.gif").stat().st_size > 10_000
