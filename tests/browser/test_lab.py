"""A first cell in JupyterLab and Notebook 7, in Chromium: it runs, is cancelled, and is saved."""

from pathlib import Path

import nbformat
import pytest
from notebook_page import NotebookPage, in_both, in_one, saved_notebook
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]
VIDEO = """document.querySelector('[aria-label^="Kling job"] video')"""


@in_both
def test_log_lines_while_the_cell_runs_then_a_video_that_plays(
    page: Page, notebook: NotebookPage, complaints: list[str]
) -> None:
    quickstart = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4)
    first = [cell.source for cell in quickstart.cells if cell.cell_type == "code"][:2]
    notebook.run(*first)
    fox = notebook.jobs().first
    expect(fox.get_by_role("log")).to_contain_text("Sampling")
    waiting = page.locator(".jp-CodeCell", has=fox).locator(".jp-InputArea-prompt")
    assert "[*]" in (waiting.text_content() or "")  # the lines came while the cell was running
    notebook.photograph("quickstart-running")
    notebook.settle()
    fox.get_by_role("button", name="Play").click()
    expect(fox.locator("video")).to_be_visible()
    page.wait_for_function(f"{VIDEO}.readyState >= 2 && {VIDEO}.currentTime > 0.3")
    assert fox.locator("video").evaluate("v => [v.videoWidth, v.videoHeight]")[0] == 576
    notebook.photograph("quickstart-ready")
    assert not complaints


@in_one("notebook")
@pytest.mark.pace(0.02)
def test_cancel_works_while_the_cell_waits(page: Page, notebook: NotebookPage, complaints: list[str]) -> None:
    notebook.run("%load_ext kling_nb", "%%kling slow\na slow snail", "print(6 * 7)")
    job = notebook.jobs()
    expect(job).to_contain_text("queue")
    notebook.photograph("queued")
    job.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("JobCancelled")).to_be_visible()
    expect(job).to_contain_text("Cancelled before there was a result.")
    expect(job).to_contain_text("cancelled", ignore_case=True)
    notebook.photograph("cancelled")
    assert "42" not in page.locator(".jp-Notebook").inner_text().split("print(6 * 7)")[1]  # Run All stopped
    assert not complaints


@in_one("jupyterlab")
@pytest.mark.pace("inf")
def test_what_is_saved_shows_the_card_with_its_mark(page: Page, notebook: NotebookPage) -> None:
    notebook.run("%load_ext kling_nb", "%%kling boat\na paper boat on a pond")
    notebook.ready()
    expect(page.locator("[data-kling-card]")).to_have_count(0)  # the live view stands for it
    saved = notebook.file
    page.keyboard.press("Control+s")
    while "kling_media" not in saved.read_text():  # the page says "saved" before the file is there
        page.wait_for_timeout(50)
    outputs = saved_notebook(saved)["cells"][1]["outputs"]
    marks = [
        output["metadata"].get("kling_nb") for output in outputs if output["output_type"] == "display_data"
    ]
    assert len(marks) == 1  # widget and card are one output
    assert all(len(mark["kernel"]) == 36 for mark in marks)
    html = "".join("".join(output.get("data", {}).get("text/html", [])) for output in outputs)
    assert 'src="kling_media/a-paper-boat-on-a-pond-' in html
    assert len(html) <= 30_000
    assert saved.stat().st_size < 60_000
