"""Sweeps and storyboards in JupyterLab, in Chromium."""

from pathlib import Path

import nbformat
import pytest
from accessibility import serious_faults
from jupyter_lab import JupyterLab
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
STEP = """([from, off]) => {
  const videos = document.querySelector('.kling-sweep').querySelectorAll('video');
  const times = [...videos].map((v) => v.currentTime);
  return times.length && Math.min(...times) > from && Math.max(...times) - Math.min(...times) < off }"""


def open_and_run(page: Page, lab: JupyterLab, workspace: Path, *cells: str) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(metadata=kernel)
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, workspace / "grid.ipynb")
    page.goto(lab.address("grid.ipynb"))
    expect(page.get_by_role("button", name="Idle")).to_be_visible()
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


@pytest.mark.pace("inf")
def test_a_grid_plays_in_step_and_a_storyboard_one_after_the_other(
    page: Page, lab: JupyterLab, workspace: Path, complaints: list[str]
) -> None:
    study = "%%kling study --grid aspect_ratio=16:9,1:1\na {calm|stormy} sea at night"
    strip = "import kling_nb\nkling_nb.Storyboard(study.videos[::2])"
    open_and_run(page, lab, workspace, "%load_ext kling_nb\n%kling local", study, strip)
    grid, board = page.get_by_label("Kling videos").first, page.get_by_label("Kling videos").nth(1)
    expect(grid.get_by_text("4 of 4 ready")).to_be_visible()
    expect(board.get_by_text("2 shots, 10 s")).to_be_visible()
    expect(page.locator(".jp-InputArea-prompt", has_text="[*]")).to_have_count(0)
    expect(grid.get_by_role("button", name="Cancel all")).to_be_hidden()
    assert [cell.inner_text() for cell in grid.get_by_role("columnheader").all()][-2:] == ["16:9", "1:1"]
    assert [cell.inner_text() for cell in grid.get_by_role("rowheader").all()] == ["calm", "stormy"]
    expect(page.locator(".kling-card").first).to_be_hidden()  # the live grid says all that it says

    cells = page.locator(".jp-Cell").count()
    grid.get_by_role("button", name="Play all").focus()
    page.keyboard.press("Enter")
    expect(grid.get_by_role("button", name="Pause all")).to_be_visible()
    page.wait_for_function(STEP, arg=[0.5, 0.25])
    grid.get_by_role("slider", name="Frame of all").focus()
    page.keyboard.press(" ")
    expect(grid.get_by_role("button", name="Play all")).to_be_visible()
    page.keyboard.press("Home")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(grid.get_by_text("0:04.04 · 98 / 120")).to_be_visible()
    page.wait_for_function(STEP, arg=[4, 0.01])
    for key in ("a", "d", "d"):  # keys that JupyterLab would take for its own
        page.keyboard.press(key)
    assert page.locator(".jp-Cell").count() == cells

    board.get_by_role("slider", name="Frame of the shots").fill("180")
    current, playing = board.locator("[aria-current=true]"), board.locator(".kling-sw-on video")
    expect(current).to_have_attribute("aria-label", "2 · a stormy sea at night")
    page.wait_for_function("(v) => v.currentTime > 2.4", arg=playing.element_handle())
    assert serious_faults(page, ".kling-sweep") == []

    page.set_viewport_size({"width": 400, "height": 900})
    expect(grid.get_by_role("button", name="Play all")).to_be_visible()
    over = "(node) => node.scrollWidth - node.clientWidth"
    assert grid.evaluate(over) <= 0
    assert board.evaluate(over) <= 0
    assert not complaints
