"""The notebook with a counterpart to every snippet of the model's API page, on the local preview server."""

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "fal-api.ipynb"


@pytest.fixture
def executed(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each code cell shown, by its source."""
    monkeypatch.setenv("KLING_NB_LOCAL_SPEED", "inf")
    notebook = nbformat.read(shutil.copy(NOTEBOOK, tmp_path), as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    return {cell.source: shown(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"}


def shown(outputs: list[Any]) -> str:
    texts = [output.get("text") or str(output.get("data", "")) for output in outputs]
    return "\n".join(texts)


def of(executed: dict[str, str], part: str) -> str:
    """What the one cell with `part` in it shown."""
    (text,) = (text for source, text in executed.items() if part in source)
    return text


def test_every_snippet_of_the_page_has_its_counterpart(executed: dict[str, str], tmp_path: Path) -> None:
    subscribed = of(executed, "async for event in job")
    assert "'video': {'url': 'http://127.0.0.1" in subscribed
    assert len(subscribed.splitlines()) > 4  # log lines, then output and request id
    assert "<video" in subscribed

    key = of(executed, "YOUR_KEY_ID")
    assert key.count("credentials set in code") == 2
    assert "YOUR_KEY" not in key
    assert "ANOTHER_" not in key

    request_id = of(executed, "client = kling_nb.Session().client").strip()
    assert of(executed, "client.status(").split()[0] in {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}
    assert "Completed(" in of(executed, "client.events(")
    assert "video/mp4" in of(executed, "client.result(")
    assert request_id in of(executed, "client.result(")
    assert of(executed, "delivered.wait") == "True True\n"
    assert "<video" in of(executed, "get_job(request_id)")
    assert "CancelOutcome" in of(executed, "client.cancel(")

    assert "data:image/jpeg;base64," in of(executed, "data_uri =")
    assert "/street.jpg" in of(executed, "hosted =")
    uploads = of(executed, "Hello, World!").split()
    assert uploads[0].startswith("http://127.0.0.1")
    assert uploads[1].startswith("http://127.0.0.1")

    inputs = of(executed, "endpoint.parameters")
    assert "prompt required" in inputs
    assert "duration default '5'" in inputs
    assert "16:9" in inputs
    assert "video" in of(executed, "output_schema")
    assert "image_url" in of(executed, "sister =")

    videos = sorted((tmp_path / "kling_media").glob("*.mp4"))
    assert len(videos) == 6  # the request of section 3 is a take of its own
