"""The job widget in JupyterLab and Notebook 7, in Chromium: by role and label, as its readers know it."""

from pathlib import Path

import pytest
from accessibility import serious_faults
from notebook_page import NotebookPage, in_one
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240), pytest.mark.pace("inf")]
TIMES = "[...document.querySelectorAll('.kling-job video')].map((video) => video.currentTime)"
LOOPED = """(video) => new Promise((told) => {
  const seen = [];
  const look = (_, { mediaTime }) => {
    seen.push(Math.floor(mediaTime * 24 + 0.01));
    if (seen.at(-1) < seen.at(-2)) told(seen);
    else video.requestVideoFrameCallback(look) };
  video.requestVideoFrameCallback(look) })"""
"""The frames that are shown until the first step back."""


def player_of(job: Locator) -> Locator:
    return job.get_by_role("group", name="Video player")


def read_clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


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

    notebook.tab_to(job.locator("summary", has_text="Parameters ·"))
    press("Enter")
    duration = job.get_by_role("slider", name="Duration")
    notebook.tab_to(duration)
    press("ArrowRight")
    expect(duration).to_have_attribute("aria-valuetext", "10")
    expect(job.get_by_text("Parameters · 1 changed")).to_be_visible()
    expect(job.get_by_text("free preview", exact=True)).to_be_visible()
    notebook.tab_to(job.get_by_role("button", name="Generate take"))
    press("Enter")
    second = job.get_by_role("button", name="Take 2,")
    expect(second).to_have_attribute("aria-label", "Take 2, 576 × 324 · 10 s")
    expect(second).to_have_attribute("aria-pressed", "true")
    # In the strip it is the second; among the takes of its own request it would be the first.
    expect(job.get_by_text("576 × 324 · 10 s · free preview", exact=True)).to_be_visible()

    notebook.tab_to(job.get_by_role("button", name="Take 1 beside the one shown"), "Shift+Tab")
    press("Enter")
    expect(job.get_by_role("row", name="Duration 10 5")).to_be_visible()
    expect(job.locator("video")).to_have_count(2)
    notebook.tab_to(job.get_by_role("slider", name="Frame"), "Shift+Tab")
    for _ in range(20):
        press("ArrowRight")
    page.wait_for_function(f"(([one, two]) => one > 0.5 && Math.abs(one - two) < 0.02)({TIMES})")
    assert not complaints


@in_one("notebook")
def test_the_player_the_log_and_the_cell_of_a_take(
    page: Page, notebook: NotebookPage, workspace: Path, complaints: list[str]
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook.run("%load_ext kling_nb", "%%kling --endpoint v3-pro --duration 3\na paper boat")
    job = notebook.ready()

    frame = job.get_by_role("slider", name="Frame")
    frame.fill("10")
    job.get_by_role("button", name="loop from here").click()
    frame.fill("20")
    job.get_by_role("button", name="loop to here").click()
    expect(job.get_by_role("button", name="11–21: loop all again")).to_be_visible()
    job.get_by_role("combobox", name="Speed").select_option("2×")
    job.get_by_role("button", name="Play").click()
    video = job.locator("video")
    seen = video.evaluate(LOOPED)
    assert min(seen) >= 10
    assert max(seen) <= 24  # a player shows a frame or two more before it turns back
    assert video.evaluate("(video) => video.playbackRate") == 2
    job.get_by_role("button", name="Pause").click()
    job.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement?.ariaLabel === 'Video player'")
    page.keyboard.press("f")
    page.wait_for_function("!document.fullscreenElement")
    with page.expect_download() as download:
        job.get_by_role("button", name="Save").click()
    (made,) = (workspace / "kling_media").glob("*.mp4")
    assert download.value.suggested_filename == made.name
    assert download.value.path().read_bytes() == made.read_bytes()

    job.get_by_text("Log ·").click()
    rows = job.get_by_role("log").locator("div")
    every = rows.count()
    job.get_by_role("searchbox", name="Filter the log").fill("SAMPLING")
    expect(rows.filter(has_text="Sampling", visible=True).first).to_be_visible()
    expect(rows.filter(has_not_text="Sampling", visible=True)).to_have_count(0)
    job.get_by_role("button", name="Copy log").click()
    expect(job.get_by_role("button", name="Copied")).to_be_visible()
    lines = read_clipboard(page).splitlines()
    assert 0 < len(lines) < every
    assert all("Sampling" in line for line in lines)

    job.get_by_role("button", name="Copy as cell").click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.startsWith('%%kling'))")
    cell = read_clipboard(page)
    assert cell == "%%kling --endpoint v3-pro --duration 3\na paper boat"
    notebook.add_cell(cell)
    again = notebook.ready(1)
    request = job.get_by_text("request ").inner_text()
    expect(again.get_by_text(request)).to_be_visible()  # the same take: nothing was made
    assert list((workspace / "kling_media").glob("*.mp4")) == [made]
    assert not complaints


@in_one("jupyterlab")
def test_what_is_refused_is_said_and_nothing_stands_in_the_way_of_a_screen_reader(
    page: Page, notebook: NotebookPage, app: str
) -> None:
    notebook.run("%load_ext kling_nb", "%%kling --endpoint v3-pro --duration 3\na paper boat")
    job = notebook.ready()
    job.get_by_text("Parameters ·").click()
    job.get_by_text("Log ·").click()
    expect(job.get_by_role("log")).to_be_visible()
    notebook.photograph(f"job-{app}")
    assert serious_faults(page, ".kling-job") == []
    job.get_by_role("textbox", name="Multi prompt").fill('[{"prompt": 7}]')
    expect(job.get_by_role("alert").filter(has_text="multi_prompt")).to_be_visible()
    expect(job.get_by_role("button", name="Generate take")).to_have_attribute("aria-disabled", "true")
    assert serious_faults(page, ".kling-job") == []
    notebook.darken()
    assert serious_faults(page, ".kling-job") == []
    job.get_by_role("button", name="Undo the change of Multi prompt").click()
    expect(job.get_by_role("button", name="Generate take")).to_have_attribute("aria-disabled", "false")
    notebook.photograph(f"job-{app}-dark")
    assert serious_faults(page, ".kling-job") == []


@in_one("jupyterlab")
def test_python_sees_and_sets_the_take(page: Page, notebook: NotebookPage) -> None:
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
    notebook.add_cell(
        "def broken(change):\n    raise ValueError('not mine')\nwidget.observe(broken, 'value')"
    )
    job.get_by_role("button", name="Take 2,").click()
    expect(job.get_by_text("An observer of `value` raised ValueError: not mine")).to_be_visible()
