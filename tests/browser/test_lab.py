"""A first cell in JupyterLab and Notebook 7, in Chromium: it runs, is cancelled, can be read by all."""

from pathlib import Path

import nbformat
import pytest
from accessibility import serious_faults
from notebook_page import NotebookPage, in_both, in_one
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
    fox.get_by_text("Details").click()
    expect(fox.get_by_role("log")).to_contain_text("Sampling")
    waiting = page.locator(".jp-CodeCell", has=fox).locator(".jp-InputArea-prompt")
    assert "[*]" in (waiting.text_content() or "")  # the lines came while the cell was running
    notebook.photograph("quickstart-running")
    notebook.wait_until_idle()
    fox.get_by_role("button", name="Play").click()
    expect(fox.locator("video")).to_be_visible()
    page.wait_for_function(f"{VIDEO}.readyState >= 2 && {VIDEO}.currentTime > 0.3")
    assert fox.locator("video").evaluate("v => [v.videoWidth, v.videoHeight]")[0] == 192
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
    expect(job).to_contain_text("Cancelled. There is no result.")
    expect(job).to_contain_text("cancelled", ignore_case=True)
    notebook.photograph("cancelled")
    expect(page.locator("[data-mime-type='application/vnd.jupyter.stderr']")).to_have_count(0)
    assert "42" not in page.locator(".jp-Notebook").inner_text().split("print(6 * 7)")[1]  # Run All stopped
    assert not complaints


@in_one("jupyterlab")
@pytest.mark.pace("inf")
def test_no_theme_of_the_program_stands_in_the_way_of_a_screen_reader(
    page: Page, notebook: NotebookPage, app: str
) -> None:
    notebook.run(
        "%load_ext kling_nb\nimport kling_nb\nkling_nb.Panel()",
        "%%kling --endpoint v3-pro --duration 3\na paper boat",
    )
    job, panel = notebook.ready(), notebook.panel()
    panel.get_by_role("option", name="a paper boat").click()
    expect(panel.get_by_role("group", name="Video player")).to_be_visible()
    job.get_by_text("More", exact=True).click()
    job.get_by_text("Details ·").click()
    expect(job.get_by_role("log")).to_be_visible()
    for theme in ("light", "dark"):
        if theme == "dark":
            notebook.darken()
        notebook.photograph(f"job-and-panel-{app}-{theme}")
        assert serious_faults(page, ".kling-job") == []
        assert serious_faults(page, "[aria-label='Kling panel']") == []
