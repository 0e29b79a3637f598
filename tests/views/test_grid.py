"""The view of a sweep in a real browser, with a model and a kernel that are simulated on the page."""

import io

import pytest
from accessibility import serious_faults
from PIL import Image
from playwright.sync_api import expect

from views.window import ADDRESS

PAGE = """<!doctype html><html lang="en"><title>Grids</title><link rel="stylesheet" href="/grid.css">
<body><script type="module" src="/page.js"></script>"""
FILES = {
    "/grid.js": "kling_nb/static/grid.js",
    "/grid.css": "kling_nb/static/grid.css",
    "/page.js": "js/test/grid_page.js",
    "/fake_model.js": "js/test/fake_model.js",
}

pytestmark = pytest.mark.browser


@pytest.fixture
def grid(window, video):
    poster = io.BytesIO()
    Image.new("RGB", (64, 36), "teal").save(poster, "JPEG")
    window.serve(PAGE, FILES, clip_mp4=video, poster_jpg=poster.getvalue())
    window.page.goto(ADDRESS)
    window.page.wait_for_function("window.view !== undefined")
    window.page.evaluate("async () => { window.leave = await view() }")
    return window.page.get_by_label("Kling videos")


def test_an_opened_cell_has_the_view_of_a_job(page, grid):
    opened = grid.get_by_role("region", name="Opened cell")
    expect(opened).to_be_hidden()
    grid.get_by_role("button", name="Open 5 s").click()
    player = opened.get_by_role("group", name="Video player")
    expect(player).to_be_visible()
    opened.get_by_role("slider", name="Frame").fill("3")
    expect(opened.locator(".kling-where")).to_contain_text("4 / 8")
    prompt = opened.get_by_role("textbox", name="Prompt")
    prompt.press("End")
    page.keyboard.type(" k")  # in the grid this key plays all
    expect(prompt).to_have_value("a heron k")
    expect(grid.get_by_role("button", name="Play all")).to_be_visible()
    expect(opened.get_by_role("button", name="Generate", exact=True)).to_be_visible()
    for width in (320, 1200):
        page.set_viewport_size({"width": width, "height": 1400})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert serious_faults(page, ".kling-sweep") == []
    grid.get_by_role("button", name="Close").click()
    expect(opened).to_be_hidden()


def test_the_videos_are_as_large_as_the_reader_wants(page, grid):
    screen = grid.locator(".kling-sw-picture").first
    expect(screen).to_be_visible()
    grid.get_by_role("slider", name="Size of the videos").fill("120")
    page.wait_for_function("(node) => node.offsetHeight <= 120", arg=screen.element_handle())
    grid.get_by_role("slider", name="Size of the videos").fill("400")
    page.wait_for_function("(node) => node.offsetHeight > 200", arg=screen.element_handle())


def test_a_storyboard_plays_on_one_stage_and_a_shot_can_be_gone_to(page, window, video):
    poster = io.BytesIO()
    Image.new("RGB", (64, 36), "teal").save(poster, "JPEG")
    window.serve(PAGE, FILES, clip_mp4=video, poster_jpg=poster.getvalue())
    page.goto(ADDRESS)
    page.wait_for_function("window.view !== undefined")
    page.evaluate(
        """async () => { const { snapshot } = handlers;
          handlers.snapshot = () => { const all = snapshot();
            return { ...all, mode: "sequence", done: true, cells: all.cells.map((one, cell) =>
              ({ ...all.cells[0], cell })) } };
          await again(); await view() }"""
    )
    board = page.get_by_label("Kling videos")
    on = board.locator(".kling-sw-on")
    expect(on).to_have_count(1)
    board.get_by_role("button", name="Go to 10 s").press("Enter")
    expect(board.locator("[aria-current=true]")).to_have_attribute("aria-label", "10 s")
    expect(board.get_by_text("0:01.00 / 0:02.00")).to_be_visible()
    board.get_by_role("button", name="Play the shots").click()
    page.wait_for_function("document.querySelector('.kling-sw-on video').currentTime > 0")
    assert serious_faults(page, ".kling-sweep") == []
