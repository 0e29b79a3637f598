"""The panel in JupyterLab and Notebook 7, in Chromium: by role and label, as its users know it."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accessibility import serious_faults
from hostile import HOSTILE
from notebook_page import NotebookPage, in_one
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from kling_nb.events import State
from kling_nb.ledger import Intent, Ledger

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240), pytest.mark.pace("inf")]
TEXT = "fal-ai/kling-video/v1/pro/text-to-video"
IMAGE = "fal-ai/kling-video/v1/pro/image-to-video"
PANEL = "import kling_nb\npanel = kling_nb.Panel()\npanel"
HAND_OVER = """async ([node, kind, name]) => {
  const canvas = new OffscreenCanvas(400, 400);
  canvas.getContext("2d").fillRect(0, 0, 400, 400);
  const files = new DataTransfer();
  files.items.add(new File([await canvas.convertToBlob({ type: "image/png" })], name, { type: "image/png" }));
  const about = { bubbles: true, cancelable: true };
  node.dispatchEvent(kind === "paste" ? new ClipboardEvent(kind, { ...about, clipboardData: files })
    : new DragEvent(kind, { ...about, dataTransfer: files })) }"""
"""Pastes or drops a picture, as the browser hands it to a page."""
NOTICES = """window.shown = [];
window.Notification = class {
  static permission = "default";
  static async requestPermission() { return (this.permission = "granted") }
  constructor(title) { window.shown.push(title) }
  close() {} }"""
"""A desktop that keeps what it is to show."""


def intent(prompt: str, folder: Path, endpoint: str = TEXT) -> Intent:
    return Intent(
        backend="fal",
        endpoint=endpoint,
        input={"prompt": prompt},
        prompt=prompt,
        fingerprint=prompt[:60],
        folder=folder,
        take=None,
    )


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    """The ledger that the kernels of this test will find."""
    made = Ledger(home / "ledger.sqlite3")
    yield made
    made.close()


@pytest.fixture
def show(notebook: NotebookPage, complaints: list[str]) -> Iterator[Any]:
    """Run a notebook of these cells; gives its first panel."""

    def shown(*cells: str) -> Locator:
        notebook.run(*cells)
        return notebook.panel()

    yield shown
    assert complaints == []


def prompt_of(panel: Locator) -> Locator:
    return panel.get_by_role("textbox", name="Prompt", exact=True)


def queue_of(panel: Locator) -> Locator:
    return panel.get_by_role("region", name="Queue")


def opened_in(panel: Locator) -> Locator:
    return panel.get_by_role("region", name="Opened")


def rows_of(panel: Locator) -> Locator:
    return panel.get_by_role("listbox", name="History").get_by_role("option")


def generate(panel: Locator, prompt: str) -> None:
    prompt_of(panel).fill(prompt)
    panel.get_by_role("button", name="Generate preview").click()


def wait_until_playing(page: Page) -> None:
    page.wait_for_function(
        "() => [...document.querySelectorAll('[aria-label=\"Kling panel\"] video')].some("
        "(v) => !v.paused && v.currentTime > 0.1)"
    )


@in_one("notebook")
def test_keyboard_alone_leads_from_a_fresh_page_to_a_video_another_take_and_both_by_frames(
    page: Page, notebook: NotebookPage, complaints: list[str]
) -> None:
    notebook.open("")
    press = page.keyboard.press
    notebook.begin()
    page.keyboard.insert_text(PANEL)
    press("Control+Enter")
    panel = notebook.panel()
    endpoint = panel.get_by_role("combobox", name="Endpoint", exact=True)
    notebook.tab_to(endpoint)
    press("ArrowDown")
    page.keyboard.type("v1.6 standard text")
    press("Enter")
    expect(endpoint).to_have_value("Kling 1.6 (standard) Text to Video")
    notebook.tab_to(prompt_of(panel))
    page.keyboard.type("a paper boat on a pond")
    press("Control+Enter")
    opened = opened_in(panel)
    video = opened.locator("video")
    expect(video).to_be_visible()
    expect(opened.get_by_text("Ready")).to_be_visible()
    notebook.tab_to(video)
    press("Space")
    wait_until_playing(page)
    press("Space")
    notebook.tab_to(panel.get_by_role("button", name="New take"), "Shift+Tab")
    press("Enter")
    expect(opened.get_by_text("take 2")).to_be_visible()
    expect(queue_of(panel).get_by_role("listitem")).to_have_count(2)
    expect(rows_of(panel)).to_have_count(2)
    notebook.tab_to(panel.get_by_role("listbox", name="History"))
    # Most of these the notebook would take for its own.
    for key in ("Home", "Space", "a", "b", "d", "d", "ArrowDown", "Space"):
        press(key)
    assert page.locator(".jp-Notebook .jp-Cell").count() == 1
    expect(opened.get_by_text("Both were asked for with the same parameters.")).to_be_visible()
    notebook.tab_to(opened.get_by_role("slider", name="Frame of both"), "Shift+Tab")
    press("ArrowRight")
    expect(opened.get_by_text("0:00.04 · 2 / 120")).to_be_visible()
    assert not complaints


@in_one("notebook")
def test_a_picture_is_pasted_dropped_or_picked_and_used(page: Page, show: Any) -> None:
    panel = show(PANEL.replace("Panel()", "Panel(endpoint='v1-pro-image')"))
    field = panel.get_by_role("textbox", name="Image", exact=True)
    for kind in ("paste", "drop"):
        page.evaluate(HAND_OVER, [field.element_handle(), kind, f"{kind}.png"])
        expect(panel.get_by_role("img", name=f"{kind}.png")).to_be_visible()
        panel.get_by_role("button", name=f"Remove {kind}.png").click()
    picture = io.BytesIO()
    Image.new("RGB", (400, 400), "teal").save(picture, "PNG")
    with page.expect_file_chooser() as chooser:
        panel.get_by_role("button", name="Choose a file for Image").click()
    chooser.value.set_files({"name": "night.png", "mimeType": "image/png", "buffer": picture.getvalue()})
    thumbnail = panel.get_by_role("img", name="night.png")
    expect(thumbnail).to_be_visible()
    page.wait_for_function("(canvas) => canvas.width > 50", arg=thumbnail.element_handle())
    generate(panel, "the night sky turns")
    expect(opened_in(panel).locator("video")).to_be_visible()
    panel.get_by_role("button", name="Remove night.png").click()
    expect(field).to_be_focused()
    expect(panel.get_by_role("region", name="Compose")).to_contain_text("image_url")  # what is missing now


@in_one("jupyterlab")
def test_every_kind_of_control_reaches_python_and_python_the_panel(
    page: Page, show: Any, notebook: NotebookPage
) -> None:
    panel = show(PANEL)
    endpoint = panel.get_by_role("combobox", name="Endpoint", exact=True)
    endpoint.click()
    endpoint.fill("3.0 pro image")
    panel.get_by_role("option", name="Kling 3.0 (pro) Image to Video").click()
    prompt_of(panel).fill("a heron")
    panel.get_by_role("textbox", name="Start image", exact=True).fill("https://pictures.invalid/heron.png")
    panel.get_by_role("slider", name="Duration").fill("4")
    panel.get_by_role("slider", name="CFG scale").fill("0.7")
    panel.get_by_role("switch", name="Generate audio").uncheck()
    panel.get_by_role("radiogroup", name="Shot type").get_by_role("radio").last.check(force=True)
    panel.get_by_role("textbox", name="Elements").fill(
        '[{"frontal_image_url": "https://pictures.invalid/1.png"}]'
    )
    expect(panel.get_by_role("button", name="Generate preview")).to_have_attribute("aria-disabled", "false")
    said = notebook.add_cell(
        "request = panel.request.input\nprint(sorted(request), request['duration'], request['cfg_scale'])"
    )
    expect(said).to_contain_text("0.7")
    for name in (
        "cfg_scale",
        "duration",
        "elements",
        "generate_audio",
        "prompt",
        "shot_type",
        "start_image_url",
    ):
        expect(said).to_contain_text(f"'{name}'")
    endpoint.click()
    endpoint.fill("video to audio")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("textbox", name="Sound effect prompt")).to_be_visible()

    notebook.add_cell("panel.observe(lambda change: print('made', change.new.take), 'value')")
    notebook.add_cell("job = panel.submit(endpoint='v1-pro', prompt='a heron lands')")
    expect(queue_of(panel).get_by_role("listitem").filter(has_text="a heron lands")).to_contain_text("Ready")
    expect(notebook.add_cell("print(panel.value.path.name, panel.value.request['input'])")).to_contain_text(
        "{'prompt': 'a heron lands'}"
    )
    notebook.add_cell(
        "def broken(change):\n    raise ValueError('not mine')\npanel.observe(broken, 'request')"
    )
    endpoint.click()
    endpoint.fill("v1-pro")
    page.keyboard.press("Enter")
    prompt_of(panel).fill("a heron flies off")
    fault = panel.get_by_role("alert").filter(has_text="An observer of `request` raised ValueError: not mine")
    expect(fault).to_be_visible()
    fault.get_by_role("button", name="Dismiss").click()
    expect(fault).to_be_hidden()


@in_one("notebook")
def test_two_views_agree_and_a_page_that_is_loaded_again_finds_everything(page: Page, show: Any) -> None:
    one = show(PANEL, "panel")
    other = page.get_by_role("region", name="Kling panel").nth(1)
    prompt_of(one).fill("a lighthouse in a storm")
    expect(prompt_of(other)).to_have_value("a lighthouse in a storm")
    other.get_by_role("radio", name="1:1").check(force=True)
    expect(one.get_by_role("radio", name="1:1")).to_be_checked()
    expect(prompt_of(one)).to_have_value("a lighthouse in a storm")
    other.get_by_role("button", name="Generate preview").click()
    for panel in (one, other):
        expect(queue_of(panel).get_by_role("listitem")).to_contain_text("Ready")
        expect(panel.get_by_role("button", name="Show take 1")).to_be_visible()
    prompt_of(one).fill("a lighthouse at noon")
    expect(one.get_by_role("button", name="Generate preview")).to_have_attribute("aria-disabled", "false")
    page.keyboard.press("Control+s")
    page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    page.reload()
    panel = page.get_by_role("region", name="Kling panel").first
    expect(prompt_of(panel)).to_have_value("a lighthouse at noon")
    queued = queue_of(panel).get_by_role("listitem")
    expect(queued).to_contain_text("a lighthouse in a storm")
    queued.get_by_role("button", name="Open").click()
    video = opened_in(panel).locator("video").first
    video.evaluate("(node) => { node.muted = true; return node.play() }")
    wait_until_playing(page)


@in_one("jupyterlab")
def test_a_thousand_entries_are_searched_filtered_compared_and_reused(
    page: Page, show: Any, ledger: Ledger, notebook: NotebookPage, workspace: Path
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for number in range(1000):
        one = TEXT if number % 2 else IMAGE
        entry, _ = ledger.claim(intent(f"fox number {number}", workspace / "kling_media", endpoint=one))
        ledger.update(entry.id, state=State.FAILED if number % 10 == 0 else State.READY)
    panel = show("%load_ext kling_nb", PANEL)
    expect(panel.get_by_text("1,000 jobs")).to_be_visible()
    expect(rows_of(panel).first).to_contain_text("fox number 999")
    assert rows_of(panel).count() < 30
    history = panel.get_by_role("listbox", name="History")
    history.focus()
    page.keyboard.press("End")
    expect(panel.get_by_role("option", name="fox number 0 ")).to_be_visible()
    page.keyboard.press("Enter")
    opened = opened_in(panel)
    expect(opened.get_by_text("fox number 0", exact=True)).to_be_visible()
    panel.get_by_role("searchbox", name="Search the history").fill("NUMBER 77")
    expect(panel.get_by_text("19 jobs")).to_be_visible()  # 77 is also in 177, 277 …
    panel.get_by_role("combobox", name="State of the history").select_option("FAILED")
    expect(panel.get_by_text("1 job", exact=True)).to_be_visible()
    expect(rows_of(panel)).to_contain_text(["fox number 770"])
    panel.get_by_role("combobox", name="State of the history").select_option("")
    panel.get_by_role("combobox", name="Endpoint of the history").select_option(TEXT)
    expect(panel.get_by_text("14 jobs")).to_be_visible()
    expect(rows_of(panel).nth(1)).to_contain_text("fox number 877")
    history.focus()
    for key in ("Home", "Space", "ArrowDown", "Space"):
        page.keyboard.press(key)
    expect(opened.get_by_role("heading", name="Differences")).to_be_visible()
    expect(opened.get_by_role("row", name="prompt")).to_contain_text("fox number 977")
    opened.get_by_role("button", name="Reuse parameters").first.click()
    expect(prompt_of(panel)).to_have_value("fox number 977")
    panel.get_by_role("radio", name="9:16").check(force=True)
    panel.get_by_role("region", name="Compose").get_by_role("button", name="Copy as cell").click()
    expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    cell = str(page.evaluate("navigator.clipboard.readText()"))
    assert cell == "%%kling --endpoint v1-pro --aspect-ratio 9:16\nfox number 977"
    notebook.add_cell(cell)
    expect(notebook.ready().get_by_text("324 × 576 · 5 s")).to_be_visible()


@in_one("jupyterlab")
def test_hostile_text_stays_text_and_breaks_no_layout(
    page: Page, show: Any, ledger: Ledger, workspace: Path
) -> None:
    for text in HOSTILE:
        entry, _ = ledger.claim(intent(text, workspace / "kling_media", endpoint=text[:200]))
        ledger.update(entry.id, state=State.FAILED, error=text, request_id=text[:300])
    panel = show(PANEL)
    panel.get_by_role("listbox", name="History").focus()
    opened = opened_in(panel)
    for number, text in enumerate(reversed(HOSTILE)):
        page.keyboard.press("Home" if number == 0 else "ArrowDown")
        page.keyboard.press("Enter")
        expect(opened.get_by_text("Failed").first).to_be_visible()
        expect(opened.locator("[data-state=FAILED]").first).to_contain_text(
            text.split("\n")[0][:8].strip("\0")
        )
        wide = panel.evaluate("(node) => node.scrollWidth - node.clientWidth")
        assert wide <= 0, text[:40]
    generate(panel, HOSTILE[0])
    expect(opened.locator("video")).to_be_visible()
    assert page.evaluate("window.hit") is None
    assert panel.locator("script, b, h1, svg").count() == 0


@in_one("notebook")
@pytest.mark.pace(0.05)
def test_jobs_run_side_by_side_and_each_can_be_cancelled(page: Page, show: Any) -> None:
    panel = show(PANEL)
    for prompt in ("a slow snail", "a slower sloth"):
        generate(panel, prompt)
        expect(queue_of(panel).get_by_text(prompt)).to_be_visible()
    expect(panel.get_by_role("heading", name="Queue · 2 running")).to_be_visible()
    expect(queue_of(panel).get_by_role("progressbar")).to_have_count(2)
    panel.get_by_role("button", name="Cancel a slower sloth").click()
    sloth = queue_of(panel).get_by_role("listitem").filter(has_text="sloth")
    expect(sloth).to_contain_text("Cancelled")
    snail = queue_of(panel).get_by_role("listitem").filter(has_text="snail")
    expect(snail.get_by_role("button", name="Cancel a slow snail")).to_be_visible()
    panel.get_by_role("button", name="Clear finished").click()
    expect(queue_of(panel).get_by_role("listitem")).to_have_count(1)


@in_one("jupyterlab")
@pytest.mark.parametrize("first", ["panel", "job"])
def test_a_panel_and_a_job_on_one_page_leave_each_other_alone(
    show: Any, notebook: NotebookPage, first: str
) -> None:
    cells = ["import kling_nb\nkling_nb.Panel()", "%%kling\na paper boat"]
    panel = show("%load_ext kling_nb", *(cells if first == "panel" else reversed(cells)))
    job = notebook.ready()
    rows_of(panel).first.click()
    expect(opened_in(panel).locator("video")).to_be_visible()
    notebook.page.wait_for_function(
        "(video) => video.offsetWidth > 200 && video.offsetHeight > 100",
        arg=opened_in(panel).locator("video").element_handle(),
    )
    for name in ("Play", "Full screen"):
        expect(job.get_by_role("button", name=name)).to_have_css("border-top-color", "rgba(0, 0, 0, 0)")
        expect(job.get_by_role("button", name=name)).to_have_css("padding-left", "5px")
    expect(job.locator("video")).to_have_css("position", "absolute")
    expect(job.get_by_role("slider", name="Frame")).to_have_css("min-width", "0px")
    summary = panel.get_by_text("Parameters", exact=True).first
    expect(summary).to_have_css("border-top-width", "1px")
    expect(job.get_by_text("Parameters ·")).to_have_css("border-top-width", "0px")


@in_one("jupyterlab")
def test_desktop_notices_come_only_when_asked_for(page: Page, show: Any) -> None:
    page.add_init_script(NOTICES)
    panel = show(PANEL)
    notify = panel.get_by_role("switch", name="Notify me")
    expect(notify).not_to_be_checked()
    generate(panel, "a silent owl")
    expect(queue_of(panel).get_by_role("listitem")).to_contain_text("Ready")
    notify.check()
    generate(panel, "a loud owl")
    page.wait_for_function("window.shown.length > 0")
    assert page.evaluate("window.shown") == ["Ready: Kling 1.0 Text to Video"]


@in_one("notebook")
def test_axe_finds_no_serious_violation(
    page: Page, show: Any, ledger: Ledger, notebook: NotebookPage, workspace: Path, app: str
) -> None:
    page.emulate_media(reduced_motion="reduce")
    for number in range(60):
        entry, _ = ledger.claim(intent(f"fox number {number}", workspace / "kling_media"))
        ledger.update(entry.id, state=list(State)[number % 8])
    panel = show(PANEL.replace("Panel()", "Panel(endpoint='v3-pro-image')"))
    endpoint = panel.get_by_role("combobox", name="Endpoint", exact=True)
    endpoint.click()
    assert serious_faults(page, "[aria-label='Kling panel']") == []
    page.keyboard.press("Escape")
    prompt_of(panel).fill("a fox without its picture")
    expect(panel.get_by_text("start_image_url")).to_be_visible()
    endpoint.fill("v1-pro")
    page.keyboard.press("Enter")
    panel.get_by_role("button", name="Generate preview").click()
    expect(opened_in(panel).locator("video")).to_be_visible()
    for fold in ("Parameters", "Log"):
        panel.get_by_text(fold, exact=True).first.click()
    notebook.photograph(f"panel-{app}")
    assert serious_faults(page, "[aria-label='Kling panel']") == []
    page.emulate_media(reduced_motion="no-preference")
    notebook.darken()
    notebook.photograph(f"panel-{app}-dark")
    assert serious_faults(page, "[aria-label='Kling panel']") == []
    endpoint.click()
    assert serious_faults(page, "[aria-label='Kling panel']") == []
