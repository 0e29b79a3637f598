"""The quickstart in JupyterLab, in Chromium: what a reader sees in the first ten minutes."""

import json
from pathlib import Path

import nbformat
import pytest
from jupyter_lab import JupyterLab
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "screenshots"
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def write_notebook(path: Path, *cells: str) -> None:
    notebook = nbformat.v4.new_notebook(metadata=KERNEL)
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, path)


def open_notebook(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("button", name="Idle")).to_be_visible()


def run_all(page: Page) -> None:
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def photograph(page: Page, name: str) -> Path:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")
    return PICTURES / f"{name}.png"


def test_log_lines_while_the_cell_runs_then_a_video_that_plays(
    page: Page, lab: JupyterLab, workspace: Path, complaints: list[str]
) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []  # their videos are not here
    nbformat.write(notebook, workspace / "quickstart.ipynb")
    open_notebook(page, lab.address("quickstart.ipynb"))
    run_all(page)
    fox = page.get_by_label("Kling job").first
    expect(fox.get_by_role("log")).to_contain_text("Sampling")
    waiting = page.locator(".jp-CodeCell", has=fox).locator(".jp-InputArea-prompt")
    assert "[*]" in (waiting.text_content() or "")  # the lines came while the cell was running
    photograph(page, "quickstart-running")
    expect(page.locator(".jp-InputArea-prompt", has_text="[*]")).to_have_count(0, timeout=120_000)
    page.locator(".jp-WindowedPanel-outer").evaluate(
        "panel => panel.scrollTo(0, 0)"
    )  # Run All goes to the end
    video = fox.locator("video")
    fox.get_by_role("button", name="Play").click()
    expect(video).to_be_visible()
    page.wait_for_function(
        """() => { const v = document.querySelector('[aria-label^="Kling job"] video');
                   return v && v.readyState >= 2 }"""
    )
    before = video.evaluate("v => v.play().then(() => v.currentTime)")
    page.wait_for_function(
        """t => document.querySelector('[aria-label^="Kling job"] video').currentTime > t + 0.3""", arg=before
    )
    assert video.evaluate("v => [v.videoWidth, v.videoHeight]")[0] > 600
    photograph(page, "quickstart-ready")
    assert not complaints


@pytest.mark.pace(0.02)
def test_cancel_works_while_the_cell_waits(
    page: Page, lab: JupyterLab, workspace: Path, complaints: list[str]
) -> None:
    write_notebook(
        workspace / "slow.ipynb", "%load_ext kling_nb", "%%kling slow\na slow snail", "print(6 * 7)"
    )
    open_notebook(page, lab.address("slow.ipynb"))
    run_all(page)
    job = page.get_by_label("Kling job")
    expect(job).to_contain_text("queue")
    photograph(page, "queued")
    job.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("JobCancelled")).to_be_visible()
    expect(job).to_contain_text("cancel", ignore_case=True)
    photograph(page, "cancelled")
    assert "42" not in page.locator(".jp-Notebook").inner_text().split("print(6 * 7)")[1]  # Run All stopped
    assert not complaints


@pytest.mark.pace("inf")
def test_what_is_saved_shows_the_card_with_its_mark(page: Page, lab: JupyterLab, workspace: Path) -> None:
    write_notebook(workspace / "kept.ipynb", "%load_ext kling_nb", "%%kling boat\na paper boat on a pond")
    open_notebook(page, lab.address("kept.ipynb"))
    run_all(page)
    expect(page.get_by_role("group", name="Video player")).to_be_visible()
    expect(page.locator("[data-kling-card]")).to_have_count(0)  # the live view stands for it
    saved = workspace / "kept.ipynb"
    page.keyboard.press("Control+s")
    while "kling_media" not in saved.read_text():  # the page says "saved" before the file is there
        page.wait_for_timeout(50)
    outputs = json.loads(saved.read_text())["cells"][1]["outputs"]
    marks = [
        output["metadata"].get("kling_nb") for output in outputs if output["output_type"] == "display_data"
    ]
    assert len(marks) == 1  # widget and card are one output
    assert all(len(mark["kernel"]) == 36 for mark in marks)
    html = "".join("".join(output.get("data", {}).get("text/html", [])) for output in outputs)
    assert 'src="kling_media/a-paper-boat-on-a-pond-' in html
    assert len(html) <= 30_000
    assert saved.stat().st_size < 60_000
