"""The job widget in JupyterLab, in Chromium: from a finished take to the next one, by role and label."""

from pathlib import Path

import nbformat
import pytest
from accessibility import serious_faults
from jupyter_lab import JupyterLab
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def open_and_run(page: Page, lab: JupyterLab, workspace: Path, *cells: str) -> None:
    notebook = nbformat.v4.new_notebook(metadata=KERNEL)
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, workspace / "job.ipynb")
    page.goto(lab.address("job.ipynb"))
    expect(page.get_by_role("button", name="Idle")).to_be_visible()
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def ready(page: Page) -> Locator:
    job = page.get_by_label("Kling job").first
    expect(job.get_by_role("group", name="Video player")).to_be_visible()
    # The notebook takes the focus once more when its last cell is done.
    expect(page.locator(".jp-InputArea-prompt", has_text="[*]")).to_have_count(0)
    return job


@pytest.mark.pace("inf")
def test_from_one_take_to_the_next_with_the_keyboard(
    page: Page, lab: JupyterLab, workspace: Path, complaints: list[str]
) -> None:
    open_and_run(page, lab, workspace, "%load_ext kling_nb", "%%kling boat\na paper boat on a pond")
    job = ready(page)
    cells = page.locator(".jp-Cell").count()
    player = job.get_by_role("group", name="Video player")
    player.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(job.get_by_text("3 / ", exact=False).first).to_be_visible()
    for key in ("a", "b", "d", "d", "l"):  # keys that JupyterLab would take for its own
        page.keyboard.press(key)
    page.keyboard.press(" ")
    expect(job.get_by_role("button", name="Pause")).to_be_visible()
    page.wait_for_function("document.querySelector('.kling-job video').currentTime > 0.4")
    page.keyboard.press(" ")
    assert page.locator(".jp-Cell").count() == cells

    parameters = job.get_by_text("Parameters ·")
    parameters.focus()
    page.keyboard.press("Enter")
    duration = job.get_by_role("slider", name="Duration")
    duration.focus()
    page.keyboard.press("ArrowRight")
    expect(duration).to_have_attribute("aria-valuetext", "10")
    expect(job.get_by_text("free preview", exact=True)).to_be_visible()
    generate = job.get_by_role("button", name="Generate take")
    generate.focus()
    page.keyboard.press("Enter")
    second = job.get_by_role("button", name="Take 2,")
    expect(second).to_have_attribute("aria-label", "Take 2, 960 × 540 · 10 s")
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(job.get_by_text("960 × 540 · 10 s · take 1")).to_be_visible()

    job.get_by_role("button", name="Take 1 beside the one shown").focus()
    page.keyboard.press("Enter")
    expect(job.get_by_role("row", name="Duration 10 5")).to_be_visible()
    expect(job.locator("video")).to_have_count(2)
    job.get_by_role("slider", name="Frame").fill("20")
    page.wait_for_function(
        """() => { const times = [...document.querySelectorAll('.kling-job video')].map((v) => v.currentTime);
          return times.length === 2 && times[0] > 0 && Math.abs(times[0] - times[1]) < 0.02 }"""
    )
    assert not complaints


@pytest.mark.pace("inf")
def test_python_sees_and_sets_the_take(page: Page, lab: JupyterLab, workspace: Path) -> None:
    making = """import ipywidgets, kling_nb
kling_nb.generate("a kite", duration=5)
kling_nb.generate("a kite", duration=5, new=True)
widget = kling_nb.submit("a kite", duration=5).widget()
number, path = ipywidgets.IntText(description="Which"), ipywidgets.Text(description="File")
ipywidgets.jslink((number, "value"), (widget, "take"))
ipywidgets.jslink((widget, "value"), (path, "value"))
widget.observe(lambda change: print("now", change.new.rpartition("-")[2]), "value")
display(widget, number, path)"""
    open_and_run(page, lab, workspace, "%load_ext kling_nb", making)
    job = ready(page)
    expect(job.get_by_role("button", name="Take 1,")).to_have_attribute("aria-pressed", "true")
    file = page.get_by_role("textbox", name="File")
    first = file.input_value()
    assert first.endswith(".mp4")
    job.get_by_role("button", name="Take 2,").click()
    expect(page.get_by_label("Which")).to_have_value("2")
    expect(file).not_to_have_value(first)
    page.get_by_label("Which").fill("1")
    page.keyboard.press("Enter")
    expect(job.get_by_role("button", name="Take 1,")).to_have_attribute("aria-pressed", "true")
    expect(file).to_have_value(first)
    expect(page.get_by_text("now ", exact=False).last).to_be_visible()


@pytest.mark.pace("inf")
def test_a_value_that_makes_no_sense_is_refused_in_the_widget(
    page: Page, lab: JupyterLab, workspace: Path
) -> None:
    open_and_run(page, lab, workspace, "%load_ext kling_nb", "%%kling --endpoint v3-pro\na paper boat")
    job = ready(page)
    job.get_by_text("Parameters ·").click()
    job.get_by_role("textbox", name="Multi prompt").fill('[{"prompt": 7}]')
    expect(job.get_by_role("alert").filter(has_text="multi_prompt")).to_be_visible()
    expect(job.get_by_role("button", name="Generate take")).to_have_attribute("aria-disabled", "true")
    job.get_by_role("button", name="Undo the change of Multi prompt").click()
    expect(job.get_by_role("button", name="Generate take")).to_have_attribute("aria-disabled", "false")


@pytest.mark.pace("inf")
def test_nothing_stands_in_the_way_of_a_screen_reader(page: Page, lab: JupyterLab, workspace: Path) -> None:
    open_and_run(page, lab, workspace, "%load_ext kling_nb", "%%kling boat\na paper boat on a pond")
    job = ready(page)
    job.get_by_text("Parameters ·").click()
    job.get_by_text("Log ·").click()
    expect(job.get_by_role("log")).to_be_visible()
    assert serious_faults(page, ".kling-job") == []
