"""The panel in JupyterLab and Notebook 7, in Chromium: by role and label, as its users know it.

What needs no notebook around it is tried in tests/views.
"""

import pytest
from notebook_page import NotebookPage, in_one
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240), pytest.mark.pace("inf")]
PANEL = "import kling_nb\npanel = kling_nb.Panel()\npanel"


def prompt_of(panel: Locator) -> Locator:
    return panel.get_by_role("region", name="Compose").get_by_role("textbox", name="Prompt", exact=True)


def opened_in(panel: Locator) -> Locator:
    return panel.get_by_role("region", name="Result")


def rows_of(panel: Locator) -> Locator:
    return panel.get_by_role("listbox", name="Library").get_by_role("option")


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
    player = opened.get_by_role("group", name="Video player")
    expect(player).to_be_visible()
    expect(opened.get_by_text("Ready").first).to_be_visible()
    notebook.tab_to(player)
    press("Space")
    wait_until_playing(page)
    press("Space")
    notebook.tab_to(panel.get_by_role("button", name="Another take"), "Shift+Tab")
    press("Enter")
    expect(opened.get_by_role("button", name="Take 2,")).to_have_attribute("aria-pressed", "true")
    expect(rows_of(panel)).to_have_count(2)
    notebook.tab_to(panel.get_by_role("listbox", name="Library"))
    # Most of these the notebook would take for its own.
    for key in ("Home", "Space", "a", "b", "d", "d", "ArrowDown", "Space"):
        press(key)
    assert page.locator(".jp-Notebook .jp-Cell").count() == 1
    expect(opened.get_by_role("columnheader", name="Same parameters")).to_be_visible()
    notebook.tab_to(opened.get_by_role("slider", name="Frame of all"), "Shift+Tab")
    press("Home")
    press("ArrowRight")
    expect(opened.get_by_text("0:00.04 · 2 / 120")).to_be_visible()
    notebook.tab_to(panel.get_by_role("button", name="Storyboard"))
    press("Enter")  # a widget of its own, which the program's widget manager shows in the panel
    shots = panel.get_by_role("region", name="Shots in order").get_by_role("group")
    expect(shots).to_have_count(2)
    panel.get_by_role("button", name="Later →").press("Enter")
    expect(panel.get_by_role("button", name="← Earlier")).to_be_enabled()
    assert not complaints
