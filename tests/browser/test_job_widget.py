"""The job widget in JupyterLab and Notebook 7, in Chromium: by role and label, as its readers know it.

What needs no notebook around it is tried in tests/views.
"""

import pytest
from notebook_page import NotebookPage, in_one
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240), pytest.mark.pace("inf")]
WRITES = "document.activeElement.matches('.jp-Cell:nth-child(3) .cm-content')"
TIMES = "[...document.querySelectorAll('.kling-job video')].map((video) => video.currentTime)"


def player_of(job: Locator) -> Locator:
    return job.get_by_role("group", name="Video player")


@in_one("jupyterlab")
def test_keyboard_alone_leads_from_a_fresh_page_to_a_video_and_another_take(
    page: Page, notebook: NotebookPage, complaints: list[str]
) -> None:
    notebook.open("")
    press = page.keyboard.press
    notebook.begin()
    notebook.type_cell("%load_ext kling_nb")
    notebook.type_cell("%%kling boat\na paper boat on a pond")
    job = notebook.ready()
    cells = page.locator(".jp-Cell").count()

    press("Escape")
    notebook.tab_to(player_of(job), "Shift+Tab")
    press("ArrowRight")
    press("ArrowRight")
    expect(job.get_by_text("3 / ", exact=False).first).to_be_visible()
    for key in ("a", "b", "d", "d", "l"):  # keys that the notebook would take for its own
        press(key)
    press(" ")
    expect(job.get_by_role("button", name="Pause")).to_be_visible()
    page.wait_for_function(f"{TIMES}[0] > 0.4")
    press(" ")
    assert page.locator(".jp-Cell").count() == cells

    five, ten = (job.get_by_role("radio", name=name) for name in ("5 s", "10 s"))
    notebook.tab_to(five)
    press("ArrowRight")
    expect(ten).to_be_checked()
    expect(job.locator("[data-changed]")).to_have_count(1)
    generate = job.get_by_role("button", name="Generate")
    expect(generate).to_have_attribute("aria-disabled", "false")
    notebook.tab_to(generate)
    press("Enter")
    second = job.get_by_role("button", name="Take 2,")
    expect(second).to_have_attribute("aria-label", "Take 2, 2 · 10 s, 192 × 108 · 10 s")
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(job.get_by_text("192 × 108 · 10 s", exact=True)).to_be_visible()

    notebook.tab_to(job.get_by_role("button", name="Use this take"), "Shift+Tab")
    press("Enter")
    used = job.get_by_role("button", name="✓ Used as boat")
    expect(used).to_be_focused()
    expect(job.get_by_text("boat is this preview. It never replaces a video of fal.")).to_be_visible()
    for _ in range(100):  # an output comes to the file a moment after it is on the page
        press("Control+s")
        page.wait_for_timeout(100)
        if "Duration 10 s" in (saved := notebook.file.read_text()):
            break
    assert "Duration 10 s" in saved
    expect(used).to_be_focused()

    notebook.tab_to(job.get_by_role("button", name="Compare"), "Shift+Tab")
    press("Enter")
    expect(job.get_by_role("row", name="Duration 5 s 10 s")).to_be_visible()
    expect(job.locator("video")).to_have_count(2)
    notebook.tab_to(job.get_by_role("slider", name="Frame of all"), "Shift+Tab")
    press("Home")
    for _ in range(20):
        press("ArrowRight")
    page.wait_for_function(f"(([one, two]) => one > 0.5 && Math.abs(one - two) < 0.02)({TIMES})")

    notebook.tab_to(job.get_by_role("button", name="Continue from this frame"))
    press("Enter")
    page.wait_for_function(
        f"(count) => document.querySelectorAll('.jp-Cell').length > count && {WRITES}", arg=cells
    )
    assert (
        page.locator(".jp-Cell").nth(2).locator(".cm-line").first.text_content().startswith("%%kling boat_2 ")
    )
    press("Control+End")
    page.keyboard.insert_text("it drifts to the shore")
    press("Shift+Enter")
    notebook.ready(1)
    assert not complaints


@pytest.mark.slow
@in_one("jupyterlab")
def test_other_widgets_of_a_page_see_and_set_the_take(page: Page, notebook: NotebookPage) -> None:
    making = """import ipywidgets, kling_nb
kling_nb.generate("a kite", duration=5)
kling_nb.generate("a kite", duration=5, new=True)
widget = kling_nb.submit("a kite", duration=5).widget()
number, path = ipywidgets.IntText(description="Which"), ipywidgets.Text(description="File")
ipywidgets.jslink((number, "value"), (widget, "take"))
ipywidgets.jslink((widget, "value"), (path, "value"))
widget.observe(lambda change: print("now", change.new.rpartition("-")[2]), "value")
display(widget, number, path)"""
    notebook.run("%load_ext kling_nb", making)
    job = notebook.ready()
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
