"""The panel in JupyterLab, in Chromium: by role and label, as its users know it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from accessibility import serious_faults
from hostile import HOSTILE
from jupyter_lab import JupyterLab
from playwright.sync_api import Locator, Page, expect

from kling_nb.events import State
from kling_nb.ledger import Intent, Ledger

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240), pytest.mark.pace("inf")]
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
TEXT = "fal-ai/kling-video/v1/pro/text-to-video"
PANEL = "import kling_nb\npanel = kling_nb.Panel()\npanel"


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
def show(page: Page, lab: JupyterLab, workspace: Path, complaints: list[str]) -> Iterator[Any]:
    """Run a notebook of these cells; gives its first panel."""

    def shown(*cells: str) -> Locator:
        notebook = nbformat.v4.new_notebook(metadata=KERNEL)
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(notebook, workspace / "panel.ipynb")
        page.goto(lab.address("panel.ipynb"))
        expect(page.get_by_role("button", name="Idle")).to_be_visible()
        page.locator(".jp-Notebook .jp-Cell").first.click()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        panel = page.get_by_role("region", name="Kling panel").first
        expect(panel.get_by_role("combobox", name="Endpoint", exact=True)).to_be_visible()
        return panel

    yield shown
    assert complaints == []


def prompt_of(panel: Locator) -> Locator:
    return panel.get_by_role("textbox", name="Prompt", exact=True)


def queue_of(panel: Locator) -> Locator:
    return panel.get_by_role("region", name="Queue")


def rows_of(panel: Locator) -> Locator:
    return panel.get_by_role("listbox", name="History").get_by_role("option")


def wait_until_playing(page: Page) -> None:
    page.wait_for_function(
        "() => [...document.querySelectorAll('[aria-label=\"Kling panel\"] video')].some("
        "(v) => !v.paused && v.currentTime > 0.1)"
    )


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until `target` has the focus."""
    for _ in range(40):
        if target.evaluate("(node) => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {target}")


def test_keyboard_alone_leads_from_the_prompt_to_a_video_and_another_take(page: Page, show: Any) -> None:
    panel = show(PANEL)
    endpoint = panel.get_by_role("combobox", name="Endpoint", exact=True)
    endpoint.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.type("v1.6 standard text")
    page.keyboard.press("Enter")
    expect(endpoint).to_have_value("Kling 1.6 (standard) Text to Video")
    page.keyboard.press("Tab")
    expect(prompt_of(panel)).to_be_focused()
    page.keyboard.type("a paper boat on a pond")
    page.keyboard.press("Control+Enter")
    opened = panel.get_by_role("region", name="Opened")
    video = opened.locator("video")
    expect(video).to_be_visible()
    expect(opened.get_by_text("Ready")).to_be_visible()
    tab_to(page, video)
    page.keyboard.press("Space")
    wait_until_playing(page)
    again = panel.get_by_role("button", name="New take")
    again.focus()
    page.keyboard.press("Enter")
    expect(opened.get_by_text("take 2")).to_be_visible()
    expect(queue_of(panel).get_by_role("listitem")).to_have_count(2)


def test_a_pasted_picture_is_shown_and_used(page: Page, show: Any) -> None:
    panel = show(PANEL.replace("Panel()", "Panel(endpoint='v1-pro-image')"))
    field = panel.get_by_role("textbox", name="Image", exact=True)
    field.evaluate(
        """async (node) => {
            const canvas = new OffscreenCanvas(400, 400);
            canvas.getContext("2d").fillRect(0, 0, 400, 400);
            const blob = await canvas.convertToBlob({ type: "image/png" });
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([blob], "night.png", { type: "image/png" }));
            const paste = { clipboardData, bubbles: true, cancelable: true };
            node.dispatchEvent(new ClipboardEvent("paste", paste));
        }"""
    )
    expect(panel.get_by_role("img", name="night.png")).to_be_visible()
    prompt_of(panel).fill("the night sky turns")
    panel.get_by_role("button", name="Generate preview").click()
    expect(panel.get_by_role("region", name="Opened").locator("video")).to_be_visible()
    panel.get_by_role("button", name="Remove night.png").click()
    expect(field).to_be_focused()
    expect(panel.get_by_role("region", name="Compose")).to_contain_text("image_url")  # what is missing now


def test_a_page_that_is_loaded_again_finds_everything(page: Page, show: Any) -> None:
    panel = show(PANEL)
    prompt_of(panel).fill("a lighthouse in a storm")
    panel.get_by_role("button", name="Generate preview").click()
    expect(panel.get_by_role("region", name="Opened").locator("video")).to_be_visible()
    prompt_of(panel).fill("a lighthouse at noon")
    expect(panel.get_by_role("button", name="Generate preview")).to_be_enabled()
    page.keyboard.press("Control+s")
    page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    page.reload()
    panel = page.get_by_role("region", name="Kling panel")
    expect(prompt_of(panel)).to_have_value("a lighthouse at noon")
    queued = queue_of(panel).get_by_role("listitem")
    expect(queued).to_contain_text("a lighthouse in a storm")
    queued.get_by_role("button", name="Open").click()
    video = panel.get_by_role("region", name="Opened").locator("video")
    video.evaluate("(node) => { node.muted = true; return node.play() }")
    wait_until_playing(page)


def test_two_views_of_a_panel_agree(page: Page, show: Any) -> None:
    one = show(PANEL, "panel")
    other = page.get_by_role("region", name="Kling panel").nth(1)
    prompt_of(one).fill("a heron lands")
    expect(prompt_of(other)).to_have_value("a heron lands")
    other.get_by_role("radio", name="1:1").check(force=True)
    expect(one.get_by_role("radio", name="1:1")).to_be_checked()
    expect(prompt_of(one)).to_have_value("a heron lands")
    other.get_by_role("button", name="Generate preview").click()
    for panel in (one, other):
        expect(queue_of(panel).get_by_role("listitem")).to_contain_text("Ready")
        expect(panel.get_by_role("button", name="Show take 1")).to_be_visible()


def test_a_thousand_entries_are_searched_filtered_and_compared(
    page: Page, show: Any, ledger: Ledger, workspace: Path
) -> None:
    for number in range(1000):
        entry, _ = ledger.claim(intent(f"fox number {number}", workspace / "kling_media"))
        ledger.update(entry.id, state=State.FAILED if number % 10 == 0 else State.READY)
    panel = show(PANEL)
    expect(panel.get_by_text("1,000 jobs")).to_be_visible()
    expect(rows_of(panel).first).to_contain_text("fox number 999")
    assert rows_of(panel).count() < 30
    panel.get_by_role("listbox", name="History").focus()
    page.keyboard.press("End")
    expect(panel.get_by_role("option", name="fox number 0 ")).to_be_visible()
    page.keyboard.press("Enter")
    opened = panel.get_by_role("region", name="Opened")
    expect(opened.get_by_text("fox number 0", exact=True)).to_be_visible()
    panel.get_by_role("searchbox", name="Search the history").fill("NUMBER 77")
    expect(panel.get_by_text("19 jobs")).to_be_visible()  # 77 is also in 177, 277 …
    panel.get_by_role("combobox", name="State of the history").select_option("FAILED")
    expect(panel.get_by_text("1 job", exact=True)).to_be_visible()
    expect(rows_of(panel)).to_contain_text(["fox number 770"])
    panel.get_by_role("combobox", name="State of the history").select_option("")
    expect(panel.get_by_text("19 jobs")).to_be_visible()
    expect(rows_of(panel).nth(1)).to_contain_text("fox number 877")
    panel.get_by_role("listbox", name="History").focus()
    for key in ("Home", "Space", "ArrowDown", "Space"):
        page.keyboard.press(key)
    expect(opened.get_by_role("heading", name="Differences")).to_be_visible()
    expect(opened.get_by_role("row", name="prompt")).to_contain_text("fox number 977")
    opened.get_by_role("button", name="Reuse parameters").first.click()
    expect(prompt_of(panel)).to_have_value("fox number 977")


def test_hostile_text_stays_text_and_breaks_no_layout(
    page: Page, show: Any, ledger: Ledger, workspace: Path
) -> None:
    for text in HOSTILE:
        entry, _ = ledger.claim(intent(text, workspace / "kling_media", endpoint=text[:200]))
        ledger.update(entry.id, state=State.FAILED, error=text, request_id=text[:300])
    panel = show(PANEL)
    listbox = panel.get_by_role("listbox", name="History")
    listbox.focus()
    opened = panel.get_by_role("region", name="Opened")
    for number, text in enumerate(reversed(HOSTILE)):
        page.keyboard.press("Home" if number == 0 else "ArrowDown")
        page.keyboard.press("Enter")
        expect(opened.get_by_text("Failed").first).to_be_visible()
        expect(opened.locator("[data-state=FAILED]").first).to_contain_text(
            text.split("\n")[0][:8].strip("\0")
        )
        wide = panel.evaluate("(node) => node.scrollWidth - node.clientWidth")
        assert wide <= 0, text[:40]
    prompt_of(panel).fill(HOSTILE[0])
    panel.get_by_role("button", name="Generate preview").click()
    expect(opened.locator("video")).to_be_visible()
    assert page.evaluate("window.hit") is None
    assert panel.locator("script, b, h1, svg").count() == 0


def test_copies_a_cell_that_asks_for_the_same(page: Page, show: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel = show(PANEL)
    prompt_of(panel).fill("an old tram climbs a hill")
    panel.get_by_role("radio", name="9:16").check(force=True)
    panel.get_by_role("button", name="Copy as cell").click()
    expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    assert text == "%%kling --endpoint v1-pro --aspect-ratio 9:16\nan old tram climbs a hill"


@pytest.mark.pace(0.05)
def test_jobs_run_side_by_side_and_each_can_be_cancelled(page: Page, show: Any) -> None:
    panel = show(PANEL)
    for prompt in ("a slow snail", "a slower sloth"):
        prompt_of(panel).fill(prompt)
        panel.get_by_role("button", name="Generate preview").click()
        expect(queue_of(panel).get_by_text(prompt)).to_be_visible()
    expect(panel.get_by_role("heading", name="Queue · 2 running")).to_be_visible()
    expect(queue_of(panel).get_by_role("progressbar")).to_have_count(2)
    panel.get_by_role("button", name="Cancel a slower sloth").click()
    sloth = queue_of(panel).get_by_role("listitem").filter(has_text="sloth")
    expect(sloth).to_contain_text("Cancelled")
    snail = queue_of(panel).get_by_role("listitem").filter(has_text="snail")
    expect(snail.get_by_role("button", name="Cancel a slow snail")).to_be_visible()


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_axe_finds_no_serious_violation(
    page: Page, show: Any, ledger: Ledger, workspace: Path, motion: Any
) -> None:
    page.emulate_media(reduced_motion=motion)
    for number in range(60):
        entry, _ = ledger.claim(intent(f"fox number {number}", workspace / "kling_media"))
        ledger.update(entry.id, state=list(State)[number % 8])
    panel = show(PANEL.replace("Panel()", "Panel(endpoint='v3-pro-image')"))
    panel.get_by_role("combobox", name="Endpoint", exact=True).click()
    assert serious_faults(page, "[aria-label='Kling panel']") == []
    page.keyboard.press("Escape")
    prompt_of(panel).fill("a fox without its picture")
    expect(panel.get_by_text("start_image_url")).to_be_visible()
    panel.get_by_role("combobox", name="Endpoint", exact=True).fill("v1-pro")
    page.keyboard.press("Enter")
    panel.get_by_role("button", name="Generate preview").click()
    expect(panel.get_by_role("region", name="Opened").locator("video")).to_be_visible()
    for fold in ("Parameters", "Log"):
        panel.get_by_text(fold, exact=True).first.click()
    assert serious_faults(page, "[aria-label='Kling panel']") == []
