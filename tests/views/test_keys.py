"""Keys that are pressed in a widget stay in it: VS Code and Colab would delete the cell."""

import io

import pytest
from PIL import Image

PAGE = """<!doctype html><html lang="en"><title>Keys</title><link rel="stylesheet" href="/{name}.css">
<body><button id="outside">outside</button><main></main><script type="module" src="/page.js"></script>"""
SCRIPTS = {"job": "page", "panel": "panel_page", "grid": "grid_page"}
ROOTS = {"job": ".kling-job", "panel": ".kling-panel", "grid": ".kling-sweep"}
CONTROLS = "button, input, select, textarea, summary, video[controls], [tabindex]"
HELD = ["d", "x", "z", "b", "Delete", "ArrowDown"]
FREE = [{"key": "s", "ctrlKey": True}, {"key": "z", "metaKey": True}, {"key": "ArrowUp", "altKey": True}]
PRESS = """(node, keys) => {
  const reached = [];
  const listen = ({ key, target }) =>
    reached.push([key, target.hasAttribute("data-lm-suppress-shortcuts")]);
  window.addEventListener("keydown", listen);
  const about = { bubbles: true, cancelable: true };
  for (const key of keys)
    node.dispatchEvent(new KeyboardEvent("keydown", { ...about, ...(key.key ? key : { key }) }));
  window.removeEventListener("keydown", listen);
  return reached }"""
"""Press keys on a node; return those that reach the page, and whether JupyterLab would pass over each."""

pytestmark = pytest.mark.browser


@pytest.fixture
def show(window, video):
    """Return a page that shows a widget, and the widget."""
    poster = io.BytesIO()
    Image.new("RGB", (64, 36), "teal").save(poster, "JPEG")

    def of(name):
        page = window.page
        files = {f"/{name}.{kind}": f"kling_nb/static/{name}.{kind}" for kind in ("js", "css")}
        files |= {"/page.js": f"js/test/{SCRIPTS[name]}.js", "/fake_model.js": "js/test/fake_model.js"}
        window.serve(PAGE.format(name=name), files, clip_mp4=video, poster_jpg=poster.getvalue())
        page.goto("http://localhost/")
        page.wait_for_function("window.view !== undefined")
        page.evaluate("async () => { window.leave = await view() }")
        return page, page.locator(ROOTS[name])

    return of


def fill(page, widget, name):
    """Bring as many kinds of control onto the page as there are."""
    if name == "job":
        page.evaluate(
            """() => model.update({ revision: 2, state: "READY", finished_at: 2000, width: 64, height: 36,
              duration: 1, fps: 8, frame_count: 8, lines: [[null, "a line", null]] })"""
        )
        widget.get_by_role("button", name="Play", exact=False).first.wait_for()
        widget.get_by_text("Details").click()
        widget.get_by_role("slider", name="CFG scale").wait_for()
    if name == "panel":
        widget.get_by_role("option", name="a heron").click()
        widget.get_by_role("button", name="Edit in Compose").wait_for()
    if name == "grid":
        widget.get_by_role("button", name="Play all").wait_for()


@pytest.mark.parametrize("name", ROOTS)
def test_a_plain_key_on_any_control_does_not_reach_the_notebook(show, name):
    page, widget = show(name)
    fill(page, widget, name)
    controls = widget.locator(CONTROLS).all()
    assert len(controls) >= 5
    for control in controls:
        assert control.evaluate(PRESS, HELD) == [], control.evaluate("(node) => node.outerHTML")[:200]


@pytest.mark.parametrize("name", ROOTS)
def test_keys_with_ctrl_meta_or_alt_and_escape_go_on_to_the_notebook(show, name):
    page, widget = show(name)
    fill(page, widget, name)
    free = [*FREE, {"key": "Escape"}]
    button = widget.locator("button:visible").first
    assert button.evaluate(PRESS, free) == [[one["key"], False] for one in free]
    assert button.evaluate(PRESS, [{"key": "Enter", "ctrlKey": True}]) == [], "it would run the cell"


@pytest.mark.parametrize("name", ROOTS)
def test_keys_outside_of_a_widget_are_the_notebook_s(show, name):
    page, _ = show(name)
    assert page.locator("#outside").evaluate(PRESS, HELD) == [[key, False] for key in HELD]


@pytest.mark.parametrize("name", ROOTS)
def test_jupyterlab_passes_over_keys_of_the_element_that_has_the_focus(show, name):
    page, widget = show(name)
    fill(page, widget, name)
    button = widget.locator("button:visible").first
    button.evaluate(PRESS, ["d"])
    assert button.get_attribute("data-lm-suppress-shortcuts") is not None
    button.evaluate(PRESS, [{"key": "s", "ctrlKey": True}])
    assert button.get_attribute("data-lm-suppress-shortcuts") is None


def test_undo_in_a_text_field_is_not_jupyterlab_s(show):
    page, widget = show("panel")
    fill(page, widget, "panel")
    undo = {"key": "z", "ctrlKey": True}
    prompt = widget.get_by_role("textbox", name="Prompt", exact=True).first
    assert prompt.evaluate(PRESS, [undo]) == [["z", True]]
    assert widget.locator("button:visible").first.evaluate(PRESS, [undo]) == [["z", False]]
