"""Two views of one panel in a real browser, with a model and a kernel that are simulated on the page."""

import pytest
from hostile import HOSTILE
from playwright.sync_api import expect

from views.window import ADDRESS

PAGE = """<!doctype html><html lang="en"><title>Panels</title><link rel="stylesheet" href="/panel.css">
<body><script type="module" src="/panel_page.js"></script>"""
FILES = {
    "/panel.js": "kling_nb/static/panel.js",
    "/panel.css": "kling_nb/static/panel.css",
    "/panel_page.js": "js/test/panel_page.js",
    "/fake_model.js": "js/test/fake_model.js",
}
DRAG = """(node, name) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(9)], name ?? "heron.png", { type: "image/png" }));
  const about = { bubbles: true, cancelable: true, dataTransfer: files };
  return ["dragover", "drop"].map((kind) => !node.dispatchEvent(new DragEvent(kind, about))) }"""
"""Drags a picture over a node and drops it there; gives which of both events the page took."""
DRAG_WORDS = """(node) => {
  const words = new DataTransfer();
  words.setData("text/plain", "a heron");
  const about = { bubbles: true, cancelable: true, dataTransfer: words };
  return ["dragover", "drop"].map((kind) => !node.dispatchEvent(new DragEvent(kind, about))) }"""

pytestmark = pytest.mark.browser


@pytest.fixture
def page(window, video):
    page = window.page
    page.set_viewport_size({"width": 900, "height": 900})
    window.serve(PAGE, FILES, clip_mp4=video)
    page.goto(ADDRESS)
    page.wait_for_function("window.view !== undefined")
    return page


def show(page):
    """Show one more view; returns it as a locator."""
    panels = page.get_by_role("region", name="Kling panel")
    panel = panels.nth(panels.count())
    page.evaluate("view()")
    expect(panel.get_by_role("option", name="a heron")).to_be_visible()
    return panel


def search_of(panel):
    return panel.get_by_role("searchbox", name="Search the library")


def opened_in(panel):
    return panel.get_by_role("region", name="Result")


def test_a_search_in_one_view_is_shown_by_the_other_whatever_was_typed_there(page):
    one, other = show(page), show(page)
    search_of(other).fill("zz")
    expect(one.get_by_text("No job matches.")).to_be_visible()
    expect(search_of(one)).to_have_value("zz")
    search_of(one).fill("boat")
    expect(other.get_by_text("2 jobs")).to_be_visible()
    expect(search_of(other)).to_have_value("boat")


def save(panel):
    opened_in(panel).get_by_role("button", name="Save").click()
    opened_in(panel).get_by_role("menuitem", name="Video").click()


def test_a_file_is_saved_from_where_the_server_has_it(page):
    page.evaluate("() => { fields.url = '/clip.mp4' }")
    panel = show(page)
    panel.get_by_role("option", name="a heron").click()
    with page.expect_download() as download:
        save(panel)
    assert download.value.url == "http://localhost/clip.mp4"
    assert page.evaluate("model.sent.includes('chunk')") is False


def test_save_waits_for_a_file_that_is_on_its_way_and_says_why_it_fails(page):
    page.evaluate("() => { model.held = 'chunk' }")
    panel = show(page)
    panel.get_by_role("option", name="a heron").click()
    with page.expect_download() as download:
        save(panel)
        page.wait_for_function("model.sent.includes('chunk')")
        page.evaluate("model.wake()")
    assert download.value.suggested_filename == "heron.mp4"
    page.evaluate("delete handlers.chunk")
    panel.get_by_role("option", name="a red boat").click()
    expect(opened_in(panel).get_by_role("img", name="a red boat")).to_be_visible()
    save(panel)
    expect(panel.get_by_role("alert").filter(has_text="not here").first).to_be_visible()


def test_a_log_says_how_many_lines_are_left_out(page):
    panel = show(page)
    panel.get_by_role("option", name="a heron").click()
    opened_in(panel).get_by_text("Details ·").click()
    expect(opened_in(panel).get_by_text("The first 200 lines are left out.")).to_be_visible()
    expect(opened_in(panel).get_by_role("log")).to_contain_text("the last line")


def test_an_image_may_be_dropped_anywhere_where_a_request_is_composed(page):
    panel = show(page)
    prompt = panel.get_by_role("textbox", name="Prompt", exact=True).first
    assert prompt.evaluate(DRAG_WORDS) == [False, False]
    assert prompt.evaluate(DRAG) == [True, True]
    expect(panel.get_by_role("button", name="Remove heron.png")).to_be_visible()


def test_a_table_of_differences_says_which_side_is_which(page):
    panel = show(page)
    for name in ("a red boat", "a blue boat"):
        panel.get_by_role("option", name=name).get_by_title("Mark to compare").click()
    table = opened_in(panel).get_by_role("table")
    expect(table.get_by_role("columnheader")).to_have_text(["Differences", "Take 1", "Take 2"])
    expect(table.get_by_role("row", name="Prompt")).to_contain_text("a red boata blue boat")
    expect(opened_in(panel).locator("video")).to_have_count(2)


def test_hostile_names_of_files_and_lines_of_a_log_do_nothing(page):
    panel = show(page)
    prompt = panel.get_by_role("textbox", name="Prompt", exact=True).first
    for nasty in HOSTILE:
        assert prompt.evaluate(DRAG, nasty) == [True, True]
        remove = panel.get_by_role("button", name="Remove")
        expect(remove).to_have_count(1)
        harmless(page, panel, nasty)
        remove.click()
        expect(remove).to_have_count(0)
    page.evaluate(
        """(texts) => Object.assign(fields, { lines: texts.map((text) => [text, text, text]), cost: texts[0],
          path: texts.at(-2), input: { prompt: texts[1], negative_prompt: texts[2] } })""",
        HOSTILE,
    )
    panel.get_by_role("option", name="a heron").click()
    opened_in(panel).get_by_text("Details ·").click()
    expect(opened_in(panel).get_by_text("javascript:window.hit=1").first).to_be_visible()
    harmless(page, panel, "in the log")


def harmless(page, panel, text):
    for width in (320, 900):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, text[:50]
    assert panel.locator("script, iframe, a, base, link, meta, form[action]").count() == 0, text[:50]
    assert page.evaluate("window.hit") is None, text[:50]


@pytest.mark.parametrize("width", [700, 1200])
def test_copy_as_cell_stays_where_it_is_when_another_take_is_offered(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    compose = show(page).get_by_role("region", name="Compose")
    copy = compose.get_by_role("button", name="Copy as cell")
    before = copy.bounding_box()
    page.evaluate(
        """() => { const { quote } = handlers.snapshot();
          const plan = { outcome: "REUSE", words: "Already made, free." };
          handlers.compose = () => ({ revision: 3, quote: { ...quote, ...plan } }) }"""
    )
    compose.get_by_role("textbox", name="Prompt").fill("a ship")
    expect(compose.get_by_role("button", name="Another take · free")).to_be_visible()
    hint = compose.get_by_role("status").filter(has_text="Already made").bounding_box()
    after = copy.bounding_box()
    assert (after["x"], after["y"]) == (before["x"], before["y"])
    assert after["y"] <= hint["y"] + hint["height"] / 2 <= after["y"] + after["height"]
