"""Cells in VS Code's widget manager (`@vscode/jupyter-ipywidgets8`), without kling_nb's server extension."""

import pytest
from accessibility import serious_faults
from playwright.sync_api import Locator, expect
from scripted import Hold, Log, Queue, Run, Script, ScriptedFal
from scripted.script import instant

from hosts.host import THEMES, Host

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
HOST = "vscode"
CONTRAST = "color-contrast"
VIEW = "application/vnd.jupyter.widget-view+json"
HELD = Script([Queue(0), Run(), Log("Loading the model"), Hold(), *instant()[-1:]])
CARD_STATE = """(state) => host.saved().at(-1).some(
  ({ data }) => data?.["text/html"]?.includes(`data-kling-state="${state}"`))"""


def ended(host: Host, state: str) -> Locator:
    """The outputs of the newest cell, once its card shows how the job ended."""
    host.frame.wait_for_function(CARD_STATE, arg=state)
    return host.cell


def test_a_fresh_cell_shows_its_log_and_its_video_and_keeps_one_output(host: Host, fal: ScriptedFal) -> None:
    fal.script = HELD
    cell = host.begin("%%kling boat\na paper boat")
    expect(cell.get_by_text("Log · 1 line")).to_be_attached()
    fal.release(fal.jobs[-1].request_id)
    ended(host, "READY")
    expect(cell.get_by_role("group", name="Video player")).to_be_visible()
    expect(cell.locator(".output_container")).to_have_count(1)
    expect(cell.locator(".kling-card")).to_have_count(0)
    cell.get_by_role("button", name="Play").click()
    expect(cell.get_by_role("button", name="Pause")).to_be_visible()
    for theme in THEMES:
        host.paint(theme)
        assert serious_faults(host.frame, "main", CONTRAST) == [], theme
    with host.page.expect_download() as download:
        cell.get_by_role("button", name="Save").click()
        cell.get_by_role("menuitem", name="Video").click()
    assert download.value.suggested_filename.endswith(".mp4")
    host.reopen()
    expect(host.cell.locator(".kling-card")).to_be_visible()
    assert "READY" in host.cell.inner_html()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twenty_fresh_cells_keep_their_outputs(host: Host, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(1), Run(), Log("Loading the model"), *instant()])
    for number in range(20):
        host.run(f"%%kling clip{number}\na boat with {number} oars")
        cell = ended(host, "READY")
        expect(cell.get_by_role("group", name="Video player")).to_be_visible()
    saved = [[sorted(output["data"]) for output in outputs] for outputs in host.saved()]
    assert saved == [[[VIEW, "text/html", "text/plain"]]] * 20
    expect(host.frame.locator(".output_container")).to_have_count(20)
    host.reopen()
    expect(host.frame.locator(".kling-card video")).to_have_count(20)


@pytest.mark.slow  # next to another browser on two cores, its cell may not get the click in time
def test_a_job_is_cancelled_and_another_take_is_made_and_compared(host: Host, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(3), Hold(), *instant()])
    cell = host.begin("%%kling kite\na red kite")
    cell.get_by_role("button", name="Cancel").click()
    ended(host, "CANCELLED")
    fal.script = Script(instant())
    host.run("%%kling fox\na red fox")
    cell = ended(host, "READY")
    cell.get_by_role("radio", name="10 s").check(force=True)
    cell.get_by_role("button", name="Generate").click()
    expect(cell.get_by_role("button", name="Take 2,")).to_have_attribute("aria-pressed", "true")
    cell.get_by_role("button", name="Compare").click()
    expect(cell.locator("video")).to_have_count(2)


def test_panel_grid_and_storyboard_are_drawn_in_every_theme(host: Host, fal: ScriptedFal) -> None:
    fal.script = Script(instant())
    host.run("import kling_nb\nkling_nb.Panel()")
    expect(host.cell.get_by_role("textbox", name="Prompt", exact=True)).to_be_visible()
    host.run("%%kling study --grid aspect_ratio=16:9,1:1\na sea at night")
    expect(host.cell.get_by_text("2 of 2 ready")).to_be_visible()
    expect(host.cell.locator(".kling-card")).to_have_count(0)
    host.run("kling_nb.Storyboard(study.videos)")
    expect(host.cell.get_by_text("2 shots")).to_be_visible()
    for theme in THEMES:
        host.paint(theme)
        assert serious_faults(host.frame, "main", CONTRAST) == [], theme


BOXES = """
import kling_nb, ipywidgets
jobs = [kling_nb.submit(text) for text in ("a red fox", "a grey wolf")]
[job.wait() for job in jobs]

def pair():
    return [job.widget() for job in jobs]

grid = ipywidgets.GridspecLayout(1, 2)
grid[0, 0], grid[0, 1] = pair()
out = ipywidgets.Output()
out.append_display_data(jobs[0].widget())
display(
    *(box(pair()) for box in (ipywidgets.Box, ipywidgets.HBox, ipywidgets.VBox, ipywidgets.GridBox)),
    *(box(pair(), selected_index=0) for box in (ipywidgets.Tab, ipywidgets.Accordion, ipywidgets.Stack)),
    ipywidgets.AppLayout(center=pair()[0], footer=pair()[1]),
    ipywidgets.TwoByTwoLayout(top_left=pair()[0], bottom_right=pair()[1]),
    ipywidgets.HBox([ipywidgets.VBox(pair(), layout={"width": "50%"}), jobs[0].widget()]),
    grid,
    out,
    ipywidgets.HBox([kling_nb.Panel()]),
    ipywidgets.HBox([kling_nb.sweep(["a red fox", "a grey wolf"]).widget()]),
    ipywidgets.HBox([kling_nb.Storyboard([job.video for job in jobs]).widget()]),
)
"""


def test_a_widget_has_its_width_in_every_container(host: Host, fal: ScriptedFal) -> None:
    fal.script = Script(instant())
    host.run(BOXES)
    outputs = host.cell.locator(".output_container", has=host.frame.locator(".kling-widget"))
    expect(outputs).to_have_count(15)
    for output in outputs.all():
        view = output.locator(".kling-widget").first
        expect(view).to_be_visible()
        assert view.bounding_box()["width"] > 300, view  # type: ignore[index]


def test_a_kernel_that_was_restarted_hides_no_paid_job(host: Host, fal: ScriptedFal) -> None:
    fal.script = HELD
    cell = host.begin("%%kling boat --no-wait\na glass boat")
    expect(cell.get_by_text("Log · 1 line")).to_be_attached()
    host.restart()
    expect(cell.get_by_text("Run the cell again to follow it, free.")).to_be_visible()
    host.reopen()
    assert fal.jobs[-1].request_id in host.cell.inner_html()
