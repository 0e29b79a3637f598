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
    expect(opened.get_by_role("button", name="Generate")).to_be_visible()
    for width in (320, 1200):
        page.set_viewport_size({"width": width, "height": 1400})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert serious_faults(page, ".kling-sweep") == []
    grid.get_by_role("button", name="Close").click()
    expect(opened).to_be_hidden()


CHANGED = """async (change) => { const { snapshot } = handlers;
  handlers.snapshot = () => { const all = snapshot();
    return { ...all, ...change, cells: all.cells.map((one, cell) => ({ ...one, ...change.cell, cell })) } };
  await again(); await view() }"""
"""Shows one more view, in which the whole and every cell have other fields."""


SILENT = "async () => { model.send = () => {}; await again(); await view() }"
"""Shows one more view, whose kernel answers nothing, as ipykernel 6 while a cell waits."""


def test_a_grid_is_drawn_from_an_update_while_the_kernel_answers_nothing(page, grid):
    page.evaluate(SILENT)
    silent = page.get_by_label("Kling videos").last
    expect(silent).to_contain_text("0 of 2 ready")
    page.evaluate("tell({ kind: 'update', msg: handlers.snapshot() })")
    expect(silent.get_by_role("button", name="Open 5 s")).to_be_visible()
    expect(silent).to_contain_text("1 of 2 ready")


def commands_of(page):
    return page.evaluate(
        "model.sent.map(({ kind, msg }) => [kind, msg]).filter(([kind]) => "
        "kind === 'start' || kind === 'retry' || kind === 'resume')"
    )


def test_a_plan_says_what_it_would_do_and_is_started_by_one_click(page, grid):
    waiting = {"state": "WAITING", "width": None, "created_at": None, "shape": 9 / 16}
    plan = {"started": False, "price": "2 cells · 2 to make, about $1.40", "cell": waiting}
    page.evaluate(CHANGED, plan)
    board = page.get_by_label("Kling videos").last
    expect(board.locator(".kling-chip")).to_have_text(["Not started"] * 3)  # the whole, and each cell
    expect(board.get_by_text("About $0.70")).to_have_count(2)
    expect(board.locator(".kling-sw-head")).to_contain_text("2 to make, about $1.40")
    expect(board.get_by_role("button", name="Open")).to_have_count(0)
    width, height = board.locator(".kling-sw-picture").first.evaluate(
        "(node) => [node.offsetWidth, node.offsetHeight]"
    )
    assert width / height == pytest.approx(9 / 16, abs=0.02)  # the place of a portrait video
    expect(board.get_by_role("button", name="Cancel all")).to_be_hidden()
    assert serious_faults(page, ".kling-sweep") == []
    board.get_by_role("button", name="Start · about $1.40").dblclick()
    page.wait_for_function("model.sent.some(({ kind }) => kind === 'start')")
    assert commands_of(page) == [["start", {}]]


FAILED = {"state": "FAILED", "width": None, "steps": ["retry", "edit"]}


def test_a_failed_cell_has_a_retry_with_its_price(page, grid):
    page.evaluate(CHANGED, {"cell": FAILED})
    board = page.get_by_label("Kling videos").last
    board.get_by_role("button", name="Details 10 s").click()
    opened = board.get_by_role("region", name="Opened cell")
    expect(opened.get_by_role("textbox", name="Prompt")).to_be_visible()
    retry = board.get_by_role("button", name="Retry · about $0.70, 10 s")
    expect(retry).to_have_text("Retry · about $0.70")
    retry.focus()
    retry.dblclick()
    page.wait_for_function("model.sent.some(({ kind }) => kind === 'retry')")
    assert commands_of(page) == [["retry", {"cell": 1}]]
    expect(opened.get_by_role("textbox", name="Prompt")).to_be_hidden()  # it showed the job that failed
    page.evaluate(RUNS)
    expect(opened.get_by_role("textbox", name="Prompt")).to_be_visible()


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (["start"], ["Start · about $0.70"]),
        (["retry", "edit"], ["Retry · about $0.70", "Edit"]),
        (["resume", "edit"], ["Resume", "Edit"]),
        (["edit"], ["Edit"]),
    ],
)
def test_a_cell_without_a_result_has_the_next_steps_of_the_kernels_table(page, grid, steps, words):
    page.evaluate(CHANGED, {"cell": {**FAILED, "message": "It broke.", "steps": steps}})
    board = page.get_by_label("Kling videos").last
    tile = board.get_by_role("group", name="10 s", exact=True)
    expect(tile.locator(".kling-steps").get_by_role("button")).to_have_text(words)
    if "resume" in steps:
        tile.get_by_role("button", name="Resume").click()
        page.wait_for_function("model.sent.some(({ kind }) => kind === 'resume')")
        assert commands_of(page) == [["resume", {"cell": 1}]]
    elif "edit" in steps:
        tile.get_by_role("button", name="Edit").click()
        opened = board.get_by_role("region", name="Opened cell")
        expect(opened.get_by_role("textbox", name="Prompt")).to_be_focused()
    else:
        board.get_by_role("button", name="Details 10 s").click()
        page.evaluate("""() => tell({ kind: "update", msg: { revision: 3,
          cells: [{ ...handlers.snapshot().cells[1], created_at: null }] } })""")
        tile.get_by_role("button", name="Start").click()
        page.wait_for_function("model.sent.some(({ kind }) => kind === 'retry')")


def test_a_try_that_is_refused_says_why_where_its_button_is(page, grid):
    page.evaluate(CHANGED, {"cell": {**FAILED, "message": "It broke."}})
    page.evaluate("handlers.retry = () => ({ error: 'Over --max-cost 1. Nothing was sent.' })")
    board = page.get_by_label("Kling videos").last
    tile = board.get_by_role("group", name="10 s", exact=True)
    tile.get_by_role("button", name="Retry").click()
    expect(tile.locator(".kling-sw-words")).to_have_text("It broke.\nOver --max-cost 1. Nothing was sent.")


RUNS = """() => { const all = handlers.snapshot();
  tell({ kind: "update", msg: { ...all, revision: 2,
    cells: all.cells.map((one) => ({ ...one, state: "IN_PROGRESS", steps: [] })) } }) }"""
"""Tells that all cells run."""


def test_a_button_that_goes_leaves_the_focus_near_it(page, grid):
    page.evaluate(CHANGED, {"cell": FAILED})
    board = page.get_by_label("Kling videos").last
    board.get_by_role("button", name="Retry · about $0.70, 10 s").focus()
    page.evaluate(RUNS)
    expect(board.get_by_role("button", name="Retry")).to_have_count(0)
    expect(board.get_by_role("group", name="10 s")).to_be_focused()


SIX = """async () => { const { snapshot } = handlers;
  const states = [{}, { state: "IN_PROGRESS", width: null },
    { state: "IN_QUEUE", width: null, queue_position: 3 },
    { state: "DOWNLOADING", width: null, received: 3_400_000, total: 8_100_000 },
    { state: "FAILED", width: null, message: "Refused.", steps: ["edit"], cost: "not charged" },
    { reused: true, cost: "already made, free (2026-11-03)" }];
  handlers.snapshot = () => { const all = snapshot();
    return { ...all, rows: ["calm", "stormy"], columns: ["16:9", "1:1", "9:16"], row_axis: "prompt",
      column_axis: "aspect ratio", captions: states.map((_, at) => `cell ${at}`),
      places: states.map((_, at) => [at < 3 ? 0 : 1, at % 3]),
      cells: states.map((more, cell) => ({ ...all.cells[0], ...more, cell })) } };
  await again(); await view() }"""
"""Shows a table of six cells in different states."""


@pytest.mark.parametrize("width", [320, 700, 1200])
def test_a_table_of_cells_is_in_order_at_every_width(page, grid, width):
    page.set_viewport_size({"width": width, "height": 1400})
    page.evaluate(SIX)
    board = page.get_by_label("Kling videos").last
    expect(board.locator(".kling-sw-corner")).to_have_text("Prompt ↓Aspect ratio →")
    expect(board.get_by_text("3 ahead in the queue")).to_be_visible()
    words = ["Ready", "Generating", "In queue", "Downloading", "Failed", "Ready"]
    expect(board.locator(".kling-sw-foot > .kling-chip")).to_have_text(words)
    expect(board.locator(".kling-sw-head .kling-chip")).to_have_text("Generating")
    expect(board.get_by_text("Already made, free (2026-11-03)")).to_be_visible()
    expect(board.get_by_text("Not charged")).to_be_visible()
    stick_out = "(nodes) => nodes.filter((node) => node.scrollWidth > node.clientWidth).length"
    assert board.locator(".kling-sw-foot, .kling-sw-acts, .kling-sw-picture").evaluate_all(stick_out) == 0
    table = board.get_by_role("region", name="Cells of the sweep")
    more = "(node) => [node.hasAttribute('data-before'), node.hasAttribute('data-after')]"
    assert table.evaluate(more) == [False, False]
    lefts = {round(one.bounding_box()["x"]) for one in board.locator(".kling-sw-tile").all()}
    assert len(lefts) == (1 if width == 320 else 3)  # one below the other, or in their columns
    expect(board.get_by_text("1:1", exact=True).locator("visible=true")).to_have_count(
        2 if width == 320 else 1
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_faults(page, ".kling-sweep") == []


def test_two_cells_are_compared_and_one_is_the_start_of_another_take(page, grid):
    page.evaluate(CHANGED, {"cell": {"state": "READY", "width": 64}})
    board = page.get_by_label("Kling videos").last
    board.get_by_role("button", name="More of 5 s").press("Enter")
    page.keyboard.press("Enter")
    expect(board.get_by_text("Choose Compare on another video.")).to_be_visible()
    expect(board.get_by_role("button", name="Cancel 5 s")).to_be_visible()
    board.get_by_role("button", name="Compare 10 s").press("Enter")
    expect(board.get_by_text("Choose Compare on another video.")).to_be_hidden()
    opened = board.get_by_role("region", name="Opened cell")
    expect(opened.get_by_role("slider", name="Frame of all")).to_be_visible()
    expect(opened.locator(".kling-sw-title")).to_have_text("5 s | 10 s")
    expect(opened).to_be_focused()
    opened.get_by_role("button", name="Close").press("Enter")
    expect(board.get_by_role("button", name="Open 10 s")).to_be_focused()
    board.get_by_role("button", name="More of 10 s").click()
    board.get_by_role("menuitem", name="More like this").click()
    expect(opened.get_by_role("textbox", name="Prompt")).to_be_focused()
    board.get_by_role("button", name="More of 5 s").click()
    with page.expect_download() as saved:
        board.get_by_role("menuitem", name="Save").click()
    assert saved.value.suggested_filename == "heron.mp4"


def test_all_videos_fill_the_screen(page, grid):
    grid.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement?.matches('.kling-sweep')")
    page.keyboard.press("f")
    page.wait_for_function("!document.fullscreenElement")


@pytest.mark.parametrize("width", [320, 700, 1200])
@pytest.mark.parametrize("table", [False, True])
def test_the_videos_are_as_large_as_the_reader_wants(page, grid, width, table):
    page.set_viewport_size({"width": width, "height": 1400})
    if table:
        page.evaluate(SIX)
    board = page.get_by_label("Kling videos").last
    screen, size = board.locator(".kling-sw-picture").first, board.get_by_role("slider", name="Size")
    measure = "(node) => node.offsetWidth"
    expect(screen).to_be_visible()
    first = screen.evaluate(measure)
    size.press("ArrowRight")
    expect(size).to_have_value("1.1")
    size.press("ArrowLeft")
    assert screen.evaluate(measure) == first  # it begins with the size that is shown
    size.fill("0.5")
    assert screen.evaluate(measure) < first
    size.fill("3")
    assert screen.evaluate(measure) > first or width == 320
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_all_play_between_two_frames_and_stop_at_the_end_where_they_do_not_loop(page, grid):
    page.evaluate(CHANGED, {"cell": {"state": "READY", "width": 64}})
    board = page.get_by_label("Kling videos").last
    frame, where = board.get_by_role("slider", name="Frame of all"), board.locator(".kling-where").first
    frame.fill("2")
    expect(where).to_have_text("0:00.25 · 3 / 8")
    frame.press("ArrowRight")  # a step, as in the player of a job
    expect(where).to_have_text("0:00.38 · 4 / 8")
    frame.press("a")
    frame.fill("5")
    frame.press("a")
    expect(board.get_by_role("button", name="4–6: clear loop")).to_be_visible()
    board.get_by_role("button", name="Play all").click()
    page.wait_for_function("(node) => node.textContent.endsWith('· 6 / 8')", arg=where.element_handle())
    page.wait_for_function("(node) => node.textContent.endsWith('· 4 / 8')", arg=where.element_handle())
    board.get_by_role("button", name="Pause all").click()
    board.get_by_role("button", name="4–6: clear loop").click()
    loop = board.get_by_role("button", name="Loop", exact=True)
    expect(loop).to_have_attribute("aria-pressed", "true")
    loop.click()
    board.get_by_role("button", name="Play all").click()
    expect(where).to_have_text("0:00.88 · 8 / 8")
    expect(board.get_by_role("button", name="Play all")).to_be_visible()  # it has stopped


BOARD = """async () => { const { snapshot } = handlers;
  handlers.snapshot = () => { const all = snapshot();
    const shots = [0, 1].map((cell) => ({ cell, in: null, out: null }));
    return { ...all, mode: "sequence", done: true, board: { shots, document: "", film: {} },
      cells: all.cells.map((one, cell) => ({ ...all.cells[0], cell })) } };
  await again(); await view() }"""
"""Shows a storyboard of two shots."""


def test_a_storyboard_plays_on_one_stage_and_a_shot_can_be_gone_to(page, grid):
    page.evaluate(BOARD)
    board = page.get_by_label("Kling videos").last
    on = board.locator(".kling-sw-on")
    expect(on).to_have_count(1)
    board.get_by_role("button", name="Go to shot 2").press("Enter")
    expect(board.locator("[aria-current=true]")).to_have_attribute("aria-label", "2 · a heron")
    expect(board.get_by_text("0:01.00 · 9 / 16")).to_be_visible()
    board.get_by_role("button", name="Play the shots").click()
    page.wait_for_function("document.querySelector('.kling-sw-on video').currentTime > 0")
    assert serious_faults(page, ".kling-sweep") == []
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement?.matches('.kling-sw-player')")
    stage = "() => document.querySelector('.kling-sw-player:fullscreen > .kling-sw-monitor').offsetHeight"
    assert page.evaluate(stage) > 420  # the stage fills the screen
    page.keyboard.press("f")
    page.wait_for_function("!document.fullscreenElement")


def tops(view, *selectors):
    """Where the first node of each selector begins."""
    return [view.locator(one).first.bounding_box()["y"] for one in selectors]


@pytest.mark.parametrize("width", [320, 700, 1200])
def test_a_storyboard_has_the_parts_of_a_result_in_its_order(page, grid, width):
    page.set_viewport_size({"width": width, "height": 1400})
    page.evaluate(BOARD)
    board = page.get_by_label("Kling videos").last
    expect(board.get_by_role("textbox", name="Prompt")).to_be_visible()
    shot = board.locator(".kling-sw-shot-head")
    expect(shot).to_contain_text("Shot 1")
    expect(shot.locator(".kling-chip")).to_have_text("Ready")
    order = tops(
        board,
        *(".kling-sw-head", ".kling-sw-shot-head .kling-chip", ".kling-sw-monitor", ".kling-tools"),
        *(".kling-sw-shot .kling-actions", ".kling-sw-strip", ".kling-fold"),
    )
    assert order == sorted(set(order))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    board.get_by_role("button", name="Go to shot 2").click()
    expect(shot).to_contain_text("Shot 2")
    assert serious_faults(page, ".kling-sweep") == []
    page.set_viewport_size({"width": width + 16, "height": 1400})  # a view of this width
    expect(board.get_by_label("Size of the videos")).to_be_visible()
    assert board.locator(".kling-tools").first.bounding_box()["height"] < 62  # two lines at most


def test_a_grid_whose_kernel_says_nothing_any_more_is_not_shown_at_work(page, grid):
    """As a job: a kernel that lives sends a beat while a cell runs."""
    page.clock.install()
    page.evaluate(CHANGED, {"beat": 15})
    board = page.get_by_label("Kling videos").last
    chips = board.locator(".kling-chip")
    for _ in range(3):
        page.clock.run_for(40_000)
        expect(chips).to_have_text(["Generating", "Ready", "Generating"])
        page.evaluate("tell({ kind: 'beat' })")
    page.clock.run_for(45_000)
    expect(chips).to_have_text(["Not connected", "Ready", "Not connected"])
    expect(board.get_by_role("button", name="Cancel all")).to_be_hidden()
    page.evaluate("tell({ kind: 'beat' })")
    expect(chips).to_have_text(["Generating", "Ready", "Generating"])


FAULTS = """async ([message, created_at]) => { const { snapshot } = handlers;
  handlers.snapshot = () => { const all = snapshot(), columns = ["a", "b", "c"];
    return { ...all, rows: ["calm"], columns, row_axis: "prompt", column_axis: "seed", captions: columns,
      places: columns.map((_, at) => [0, at]), done: true,
      cells: columns.map((_, cell) => ({ ...all.cells[1], cell, created_at, message, state: "FAILED",
        steps: ["retry", "edit"], price: "about $0.35" })) } };
  await again(); await view() }"""
"""Shows a table of three cells that failed."""
SHORT = "The sweep would cost about $2.10, and max_cost is $1.00.\nRaise max_cost."
LONG = "fal refused the input. " * 30


@pytest.mark.parametrize("width", [320, 700, 1200])
def test_why_a_cell_failed_is_on_its_stage_and_what_is_long_is_in_its_details(page, grid, width):
    page.set_viewport_size({"width": width, "height": 1400})
    page.evaluate(FAULTS, [SHORT, None])
    board = page.get_by_label("Kling videos").last
    picture, words = board.locator(".kling-sw-picture").first, board.locator(".kling-sw-words").first
    expect(words).to_have_text(SHORT)
    # The stage grows, and nothing is cut.
    cut = "(node) => node.scrollHeight > node.clientHeight + 1 || node.scrollWidth > node.clientWidth"
    for part in (words, picture, picture.locator(".kling-why")):
        assert part.evaluate(cut) is False
    stage, text = picture.bounding_box(), words.bounding_box()
    assert stage["y"] <= text["y"]
    assert text["y"] + text["height"] <= stage["y"] + stage["height"]
    retry = board.get_by_role("button", name="Retry · about $0.35, a").bounding_box()
    assert retry["y"] + retry["height"] <= stage["y"] + stage["height"]
    if width == 1200:
        middle = stage["y"] + stage["height"] / 2
        assert text["y"] < middle < retry["y"] + retry["height"]
    # Without a job, its details are the words.
    board.get_by_role("button", name="Details a").click()
    opened = board.get_by_role("region", name="Opened cell")
    expect(opened.get_by_text("Raise max_cost.")).to_be_visible()

    page.evaluate(FAULTS, [LONG, 0])
    board = page.get_by_label("Kling videos").last
    words = board.locator(".kling-sw-words").first
    expect(words).to_contain_text("fal refused")
    assert words.evaluate("(node) => getComputedStyle(node).webkitLineClamp") != "none"
    expect(board.get_by_role("button", name="Details a")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_faults(page, ".kling-sweep") == []


def test_a_cell_that_waits_for_its_turn_is_not_said_to_be_sent(page, grid):
    page.evaluate(CHANGED, {"cell": {"state": "SUBMITTING", "held": True, "width": None}})
    board = page.get_by_label("Kling videos").last
    expect(board.locator(".kling-chip")).to_have_text(["Waiting"] * 3)
    expect(board.get_by_text("Waiting: the account runs its maximum of requests").first).to_be_visible()


GONE = """async (change) => { const { snapshot } = handlers, first = snapshot();
  handlers.snapshot = () => ({ ...first, ...change, cells: first.cells.map((one, cell) =>
    ({ ...one, ...change.cell, cell })) });
  await again(); await view();
  model.send = () => { throw new Error("no kernel") };
  window.lose() }"""
"""Shows one more view, whose kernel goes away."""
PLAN = {"started": False, "cell": {"state": "WAITING", "width": None, "created_at": None}}


@pytest.mark.parametrize(
    ("change", "said", "chips"),
    [
        ({"local": False}, "jobs back, which go on at fal", ["Not connected", "Ready", "Not connected"]),
        ({"local": True}, "make the others again", ["Not connected", "Ready", "Not connected"]),
        (PLAN, "nothing was sent", ["Not started"] * 3),
        ({"done": True, "cell": {"state": "READY", "width": 64}}, "to open cells", ["Ready"] * 3),
    ],
)
def test_what_is_said_of_a_kernel_that_is_gone_stands_below_the_header_and_is_true(
    page, grid, change, said, chips
):
    page.evaluate(GONE, change)
    board = page.get_by_label("Kling videos").last
    note = board.locator(".kling-why[role=status]")
    expect(note).to_contain_text(said)
    expect(board.locator(".kling-chip")).to_have_text(chips)
    order = tops(board, ".kling-sw-head", ".kling-why[role=status]", ".kling-sw-player")
    assert order == sorted(order)
    for name in ("Start", "Cancel all", "Open", "Retry"):
        expect(board.get_by_role("button", name=name)).to_have_count(0)
    expect(board.locator(".kling-phase")).to_have_text(["", ""])  # their progress is not known
