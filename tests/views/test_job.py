"""The job's view in a real browser, with a model and a kernel that are simulated on the page."""

import io
import re

import pytest
from accessibility import serious_faults
from hostile import HOSTILE
from PIL import Image
from playwright.sync_api import expect

from views.window import ADDRESS, Window

PAGE = """<!doctype html><html lang="en"><title>Jobs</title><link rel="stylesheet" href="/job.css">
<body><main></main><script type="module" src="/page.js"></script>"""
FILES = {
    "/job.js": "kling_nb/static/job.js",
    "/job.css": "kling_nb/static/job.css",
    "/page.js": "js/test/page.js",
    "/fake_model.js": "js/test/fake_model.js",
}
DONE = {"state": "READY", "finished_at": 1_900_000_000, "width": 64, "height": 36, "duration": 1}
FILM = {"fps": 8, "frame_count": 8, "number": 1, "request_id": "r-1"}

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def poster():
    buffer = io.BytesIO()
    Image.new("RGB", (64, 36), "teal").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def timed_window(browser):
    """A window with a clock that tests may move, which goes on by itself until they stop it."""
    window = Window(browser)
    window.page.clock.install()
    return window


@pytest.fixture
def window(timed_window):
    timed_window.renew(900, 700)
    timed_window.strict = True
    yield timed_window
    timed_window.page.clock.resume()
    assert timed_window.complaints == []


@pytest.fixture
def page(window, video, poster):
    """A page that stands on nothing but files."""
    page = window.page
    window.serve(PAGE, FILES, clip_mp4=video, poster_jpg=poster)
    page.goto(ADDRESS)
    page.wait_for_function("window.view !== undefined")
    return page


def stop_clock(page):
    """From now on, when the job begins, time passes as the test says, however long the machine takes."""
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    page.evaluate("model.traits.created_at = model.takes[0].created_at = Date.now() / 1000")


def show(page, traits=None, **fields):
    """Show a view; returns it as a locator."""
    page.evaluate(
        "async ([traits, fields]) => { window.leave = await view(traits, fields) }", [traits or {}, fields]
    )
    return page.locator(".kling-job").last


def lines(first, end):
    return [["2026-01-01T00:00:00Z", f"line {number}", "INFO"] for number in range(first, end)]


def update(page, **fields):
    page.evaluate("(fields) => model.update(fields)", fields)


def finish(page, job, **fields):
    """A finished job whose poster is there."""
    update(page, revision=2, **DONE, **FILM, **fields)
    expect(job.get_by_role("group", name="Video player")).to_be_visible()


def at_frame(job, number):
    """Whether the player stands at a frame, 1 being the first, and the video shows just that."""
    expect(job.locator(".kling-where")).to_contain_text(f"· {number} / 8")
    # The picture may follow the `seeked` event by some frames on a loaded machine.
    job.page.wait_for_function(
        """([video, index]) => { const d = new OffscreenCanvas(1, 1).getContext('2d');
          d.drawImage(video, 0, 0, 1, 1);
          return Math.round(d.getImageData(0, 0, 1, 1).data[0] / 32) === index }""",
        arg=[job.locator("video").first.element_handle(), number - 1],
    )


def asked(page, kind):
    return page.evaluate("(kind) => model.asked().filter((one) => one === kind).length", kind)


def test_text_from_outside_is_text(page):
    nasty = '<img src=x onerror="window.hit = 1"><b>bold</b>'
    job = show(page, {"prompt": nasty, "title": nasty, "message": nasty, "state": "FAILED"})
    job.get_by_text("Details").click()
    update(page, revision=9, state="FAILED", message=nasty, lines=[[nasty, nasty, nasty]])
    for part in (".kling-title", ".kling-why > span", ".kling-row"):
        expect(job.locator(part).first).to_have_text(nasty)
    assert job.locator("img, b").count() == 0
    assert page.evaluate("window.hit") is None


@pytest.mark.parametrize("width", [320, 900])
def test_hostile_texts_do_nothing_wherever_they_stand(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert len(HOSTILE) == 40
    job = show(page, lines=[])
    job.get_by_text("Details").click()
    page.evaluate(
        "model.handlers.quote = () => ({ msg: { ...quoted, price: window.nasty, notices: window.nasty } })"
    )
    for number, nasty in enumerate(HOSTILE):
        fields = dict.fromkeys(("message", "request_id", "cost", "cell"), nasty)
        fields["lines"] = [[nasty, nasty, nasty]]
        page.evaluate("(nasty) => { window.nasty = nasty }", nasty)
        page.evaluate(
            """([nasty, number]) => model.arrange([entry(1, { prompt: nasty, title: nasty, endpoint: nasty,
              input: { prompt: nasty, multi_prompt: nasty }, revision: 3 * number + 2 })], 1)""",
            [nasty, number],
        )
        update(page, first_line=number, revision=3 * number + 3, state="FAILED", **fields)
        page.clock.run_for(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, nasty[:50]
        assert job.locator("img, script, iframe, a, base, link, meta").count() == 0
    expect(job.locator(".kling-row")).to_have_count(40)
    assert page.evaluate("window.hit") is None
    finish(page, job)  # the player's icons are the only pictures
    assert page.evaluate("window.hit") is None


@pytest.mark.parametrize("state", ["IN_QUEUE", "IN_PROGRESS", "READY", "FAILED", "UNCERTAIN"])
def test_no_state_shuts_anybody_out(page, state):
    page.add_style_tag(content=":root { color-scheme: light dark }")
    message = "It was refused." if state in {"FAILED", "UNCERTAIN"} else ""
    job = show(page, {"state": state, "message": message}, lines=lines(0, 30), steps=["resume", "edit"])
    if state == "READY":
        finish(page, job)
        add = "([d, f]) => model.arrange([model.takes[0], entry(2, { ...d, ...f, job_id: 'two' })], 1)"
        page.evaluate(add, [DONE, FILM])
        job.get_by_role("button", name="Compare").click()
    for summary in job.locator("summary:visible").all():
        if not summary.evaluate("(node) => node.parentElement.open"):
            summary.click()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert serious_faults(page, ".kling-job") == []


def test_queue_progress_and_local_preview_are_shown(page):
    job = show(page, {"backend": "local"})
    expect(job.locator(".kling-chip")).to_have_text("In queue")
    expect(job.get_by_role("status").first).to_have_text("In queue, 2 ahead in the queue")
    expect(job.get_by_text("LOCAL PREVIEW")).to_be_visible()
    bar = job.get_by_role("progressbar", name="Progress")
    assert bar.get_attribute("aria-valuenow") is None
    update(page, revision=2, state="SUBMITTING", held=True)
    expect(job.locator(".kling-chip")).to_have_text("Waiting")  # as the stage says it
    expect(job.locator(".kling-phase")).to_have_text("Waiting: the account runs its maximum of requests")
    update(page, revision=3, state="DOWNLOADING", held=False, received=250, total=1000)
    expect(bar).to_have_attribute("aria-valuenow", "25")
    expect(job.get_by_role("button", name="Cancel")).to_be_hidden()
    update(page, revision=5, state="FAILED", message="out of memory")
    expect(bar).to_be_hidden()
    expect(job.locator(".kling-why > span")).to_have_text("out of memory")


@pytest.mark.parametrize("width", [320, 580, 620, 700])
def test_with_the_mark_of_a_preview_the_title_is_whole(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    job = show(page, {"backend": "local", "title": "Kling 2.5 Turbo (pro) Text to Video"})
    finish(page, job, cost="free preview")
    update(page, revision=3, finished_at=page.evaluate("model.traits.created_at + 72"))
    expect(job.get_by_text("took 1:12")).to_be_visible()
    title = job.locator(".kling-names > .kling-title")
    expect(title).to_have_text("Kling 2.5 Turbo (pro) Text to Video")
    assert title.evaluate("(node) => node.scrollWidth <= node.clientWidth")


def test_the_header_has_the_price_and_the_details_its_sum(page):
    job = show(page)
    finish(page, job, cost="5 billable units × $0.07 = $0.35 · resumed, no extra charge")
    expect(job.locator(".kling-bar")).to_contain_text("$0.35 · resumed, no extra charge")
    expect(job.locator(".kling-bar")).not_to_contain_text("billable")
    job.get_by_text("Details").click()
    expect(job.locator("dd", has_text="5 billable units × $0.07 = $0.35")).to_be_visible()


STILL_BAR = """(fill) => { const { borderTopStyle, width } = getComputedStyle(fill);
  return [borderTopStyle, parseFloat(width) === fill.parentElement.clientWidth] }"""
"""How a screenshot shows a bar."""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_what_waits_says_in_words_where_it_stands_and_names_no_share(page, motion):
    page.emulate_media(reduced_motion=motion)
    job = show(page, {}, lines=lines(0, 3), received=8_100_000, total=8_100_000)
    stage = job.locator(".kling-phase")
    expect(stage).to_have_text("2 ahead in the queue")
    expect(job.locator(".kling-over").get_by_text("line 2")).to_have_count(0)
    bar = job.get_by_role("progressbar", name="Progress")
    assert bar.get_attribute("aria-valuenow") is None  # what was uploaded is no share of it
    assert bar.locator(".kling-fill").evaluate(STILL_BAR) == ["dotted", True]
    form = job.get_by_role("region", name="Make another")
    for control in form.get_by_role("textbox").or_(form.get_by_role("slider")).all():
        expect(control).to_be_enabled()
    below = [".kling-tools", ".kling-rating"]  # what cannot be used yet is in its place, and pale
    for part in below:
        expect(job.locator(part)).to_be_visible()
        expect(job.locator(part)).to_have_attribute("inert", "")
    expect(job.get_by_role("button", name="Save")).to_be_disabled()
    expect(job.get_by_role("button", name="Copy as cell")).to_be_enabled()
    for number, (words, fields) in enumerate(
        {
            "Next in the queue": {"queue_position": 0},
            "In the queue": {"queue_position": None},
            "Generating": {"state": "IN_PROGRESS", "received": 0, "total": None},
            "Generating, 62 %": {"progress": 0.62},
            "Downloading 3.4 MB of 8.1 MB": {
                "state": "DOWNLOADING",
                "received": 3_400_000,
                "total": 8_100_000,
            },
        }.items(),
        2,
    ):
        update(page, revision=number, **fields)
        expect(stage).to_have_text(words)
    job.get_by_text("Details ·").click()
    expect(job.get_by_role("log")).to_contain_text("line 2")
    finish(page, job)
    for part in below:
        expect(job.locator(part)).not_to_have_attribute("inert", "")
    expect(job.get_by_role("button", name="Save")).to_be_enabled()


def test_what_is_special_about_the_request_is_said(page):
    job = show(page, {}, notices="The video has the shape of the image.")
    expect(job.get_by_role("note")).to_have_text("The video has the shape of the image.")


def test_elapsed_time_ticks_and_stops(page):
    stop_clock(page)
    job = show(page)
    timer = job.get_by_role("timer")
    expect(timer).to_have_text("0:00")
    page.clock.run_for(65_000)
    expect(timer).to_have_text("1:05")
    end = page.evaluate("model.traits.created_at + 70")
    update(page, revision=2, state="CANCELLED", finished_at=end)
    page.clock.run_for(60_000)
    expect(timer).to_have_text("after 1:10")


def test_time_and_progress_are_measured_against_what_is_usual(page):
    stop_clock(page)
    job = show(page, expected=100)
    page.clock.run_for(20_000)
    bar = job.get_by_role("progressbar", name="Progress").first
    assert bar.get_attribute("aria-valuenow") is None  # what waits in a queue has not started
    update(page, revision=2, state="IN_PROGRESS")
    page.clock.run_for(5_000)
    expect(job.get_by_role("timer")).to_have_text("0:25 · usually 1:40")
    expect(bar).to_have_attribute("aria-valuenow", "25")
    page.clock.run_for(80_000)
    expect(bar).not_to_have_attribute("aria-valuenow", "100")  # longer than usual: no one knows
    update(page, revision=3, progress=0.62)
    expect(bar).to_have_attribute("aria-valuenow", "62")


def test_log_follows_the_newest_line_until_the_reader_scrolls_up(page):
    job = show(page, lines=lines(0, 100))
    job.get_by_text("Details").click()
    rows = job.get_by_role("log")
    at_end = "(rows) => rows.scrollHeight - rows.scrollTop - rows.clientHeight < 2"
    expect(rows.locator(".kling-row")).to_have_count(100)
    assert rows.evaluate(at_end)
    update(page, first_line=100, lines=lines(100, 150))
    assert rows.evaluate(at_end)
    rows.evaluate("(rows) => { rows.scrollTop = 40 }")
    newest = job.get_by_role("button", name="Newest")
    expect(newest).to_be_visible()
    update(page, first_line=150, lines=lines(150, 200))
    assert rows.evaluate("(rows) => rows.scrollTop") == 40
    newest.click()
    assert rows.evaluate(at_end)
    expect(newest).to_be_hidden()


def test_log_keeps_two_thousand_rows(page):
    job = show(page, lines=lines(0, 1500))
    job.get_by_text("Details").click()
    update(page, first_line=1500, lines=lines(1500, 2500))
    rows = job.locator(".kling-row")
    expect(rows).to_have_count(2000)
    expect(rows.first).to_contain_text("line 500")
    expect(rows.last).to_contain_text("line 2499")
    expect(job.locator(".kling-rows > :empty")).to_have_count(0)
    expect(job.get_by_text("The first 500 lines are left out.")).to_be_visible()
    expect(job.get_by_text("Log · 2500 lines")).to_be_visible()


def test_log_can_be_filtered_and_copied(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin="http://localhost")
    job = show(page, lines=lines(0, 30))
    job.get_by_text("Details").click()
    stop_clock(page)
    job.get_by_role("searchbox", name="Filter the log").fill("LINE 2")
    expect(job.locator(".kling-row:visible")).to_have_count(11)
    update(page, first_line=30, lines=[[None, "no", None], [None, "line 29b", None]])
    expect(job.locator(".kling-row:visible")).to_have_count(12)
    job.get_by_role("button", name="Copy log").click()
    expect(job.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert len(copied) == 12
    assert copied[0].endswith("line 2")
    page.clock.run_for(2000)
    expect(job.get_by_role("button", name="Copy log")).to_be_visible()


def test_cancel_from_the_keyboard_and_a_busy_kernel(page):
    stop_clock(page)
    job = show(page)
    page.evaluate("model.silent = true")
    job.get_by_role("button", name="Cancel").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(job.get_by_role("button", name="Cancelling…")).to_be_focused()
    note = job.locator(".kling-note")
    expect(note).to_be_hidden()
    page.clock.run_for(1000)
    expect(note).to_contain_text("The kernel is busy")
    expect(note).to_contain_text("■")
    page.evaluate("model.wake()")
    expect(note).to_have_text("fal was asked; it may still finish.")
    assert asked(page, "cancel") == 1
    update(page, revision=2, state="CANCELLED", finished_at=1_900_000_000)
    expect(job.get_by_role("button", name="Cancelling…")).to_be_hidden()
    assert job.evaluate("(node) => node.contains(document.activeElement)")  # Tab goes on from here


def test_on_a_page_without_a_kernel_the_card_replaces_the_view(page):
    """As nbconvert makes it of a notebook with saved widgets."""
    stop_clock(page)
    page.evaluate("model.silent = true; model.widget_manager = {}")
    job = show(page, DONE, **FILM)
    page.clock.run_for(1000)
    expect(job).to_be_visible()  # a kernel may only be busy
    page.clock.run_for(20_000)
    expect(page.locator("#card")).to_be_visible()
    expect(job).to_be_hidden()
    page.evaluate("document.querySelector('#card').remove(); model.trigger('change:state')")
    expect(job).to_be_visible()  # without a card it shows what was saved, and waits for no kernel
    expect(job.locator(".kling-note")).to_be_hidden()
    page.evaluate("model.wake()")  # a kernel after all
    expect(job.get_by_role("group", name="Video player")).to_be_visible()


def says_lost(job, beginning):
    """Whether it says that no kernel follows the job, and neither moves nor offers what cannot be done."""
    expect(job.locator(".kling-chip").first).to_have_text("Not connected")
    expect(job.locator(".kling-middle .kling-why > span")).to_have_text(
        f"{beginning} The job goes on at fal: run the cell again to follow it, free."
    )
    expect(job.locator(".kling-phase")).to_be_hidden()
    expect(job.get_by_role("timer")).to_be_hidden()
    expect(job.get_by_role("progressbar")).to_be_hidden()
    for name in ("Cancel", "Retry", "Edit", "Play", "Save"):
        expect(job.get_by_role("button", name=name)).to_be_hidden()
    expect(job.get_by_role("button", name="Copy as cell")).to_be_enabled()


def test_a_kernel_that_is_gone_says_how_to_get_the_job_back(page):
    job = show(page)
    page.evaluate("model.gone = true; model.trigger('comm_live_update')")
    says_lost(job, "The kernel was restarted or shut down.")


def test_a_kernel_that_says_nothing_any_more_is_not_shown_at_work(page):
    """Not every front end reports that a kernel has ended. One that lives sends a beat while a job runs."""
    stop_clock(page)
    page.evaluate("model.beat = 15")
    job = show(page)
    update(page, revision=2, state="IN_PROGRESS", progress=0.4)
    for _ in range(3):
        page.clock.run_for(40_000)
        expect(job.locator(".kling-chip")).to_have_text("Generating")
        page.evaluate("model.trigger('msg:custom', { kind: 'beat' }, [])")
    page.clock.run_for(45_000)
    says_lost(job, "The kernel does not answer.")
    page.evaluate("model.trigger('msg:custom', { kind: 'beat' }, [])")
    expect(job.locator(".kling-phase")).to_have_text("Generating, 40 %")
    finish(page, job)
    page.clock.run_for(60_000)
    expect(job.locator(".kling-chip")).to_have_text("Ready")  # nothing more is to come


FINAL = """void (model.handlers.finals = ({ key }) => {
  const retry = { label: "Retry", words: "about $0.49", endpoint: null, backend: "fal", outcome: "SUBMIT" };
  const failed = model.takes[key - 1].state === "FAILED";
  return { msg: { finals: failed ? [{ ...retry, refusal: "" }] : [] } } })"""


def test_what_failed_has_the_next_step_in_the_place_of_actions_that_have_nothing_to_act_on(page):
    page.evaluate(FINAL)
    job = show(page)
    update(page, revision=2, state="FAILED", message="The runner failed.", steps=["retry", "edit"])
    expect(job.locator(".kling-actions").get_by_role("button")).to_have_count(0)
    expect(job.locator(".kling-tools")).to_be_hidden()
    steps = job.locator(".kling-steps")
    expect(steps.get_by_role("button")).to_have_text(["Retry · about $0.49", "Edit", "Copy as cell"])
    steps.get_by_role("button", name="Edit").click()
    expect(job.get_by_role("textbox", name="Prompt")).to_be_focused()
    steps.get_by_role("button", name="Retry").dblclick()  # a double click is one wish
    expect(job.get_by_role("button", name="Take 2,")).to_have_attribute("aria-pressed", "true")
    assert asked(page, "generate") == 1


def test_in_a_narrow_strip_the_take_that_is_shown_is_seen_with_its_state_and_mark(page):
    page.set_viewport_size({"width": 320, "height": 900})
    job = show(page)
    finish(page, job)
    page.evaluate(
        """([done, film]) => { const made = { ...done, ...film };
          model.arrange([model.takes[0], entry(2, { state: "FAILED", message: "It broke." }), entry(3),
            entry(4, { ...made, job_id: "four", chosen: true })], 4) }""",
        [DONE, FILM],
    )
    strip = job.get_by_role("group", name="Takes")
    expect(strip.locator(".kling-chip:visible")).to_have_text(["Failed", "In queue"])
    expect(strip.get_by_text("✓ Used")).to_be_visible()
    page.wait_for_function(
        """(strip) => strip.lastElementChild.getBoundingClientRect().right
          <= strip.getBoundingClientRect().right + 1""",
        arg=strip.element_handle(),
    )
    expect(strip).not_to_have_attribute("data-after", re.compile(""))  # nor does it fade there
    page.evaluate("model.set('take', 2)")
    page.wait_for_function(
        """(strip) => { const [all, one] = [strip, strip.children[1]].map((n) => n.getBoundingClientRect());
          return one.left >= all.left + 30 && one.right <= all.right - 30 }""",
        arg=strip.element_handle(),
    )
    assert page.evaluate("scrollY") == 0


BROKE = "{ state: 'FAILED', message: 'It broke.', steps: ['retry', 'edit'] }"


def test_below_the_takes_no_place_is_empty_when_the_one_on_the_stage_has_failed(page):
    job = show(page)
    update(page, revision=2, state="FAILED", message="It broke.", steps=["retry", "edit"])
    page.evaluate("model.arrange([model.takes[0], entry(2)], 1)")
    expect(job.get_by_role("group", name="Takes")).to_be_visible()
    expect(job.get_by_text("It broke.")).to_be_visible()
    actions = job.locator(".kling-actions")
    expect(actions).to_have_attribute("inert", "")
    expect(actions.get_by_text("Continue from this frame")).to_be_visible()
    assert actions.locator("button:enabled").evaluate_all(
        "(nodes) => nodes.every((node) => getComputedStyle(node).opacity < 1)"
    )


def test_a_take_that_failed_says_so_over_the_one_that_plays(page):
    page.evaluate(FINAL)
    job = show(page)
    finish(page, job)
    page.evaluate("model.arrange([model.takes[0], entry(2)], 2)")
    below = job.locator(".kling-tools, .kling-strip, .kling-actions, .kling-another")
    before = below.evaluate_all("(nodes) => nodes.map((node) => node.getBoundingClientRect().top)")
    page.evaluate("model.update({ key: 2, revision: 3, ...FAILED })".replace("FAILED", BROKE))
    stage = job.locator(".kling-screens").bounding_box()
    why = job.locator(".kling-why").filter(has_text="It broke.").bounding_box()
    assert why["y"] + why["height"] == pytest.approx(stage["y"] + stage["height"], abs=1)
    after = below.evaluate_all("(nodes) => nodes.map((node) => node.getBoundingClientRect().top)")
    assert after == before
    expect(job.get_by_role("button", name="Retry · about $0.49")).to_be_visible()
    expect(job.get_by_role("button", name="Save")).to_be_enabled()  # of the take on the stage


@pytest.mark.parametrize("width", [320, 700])
def test_a_long_message_is_shown_whole(page, width):
    page.set_viewport_size({"width": width, "height": 700})
    words = "fal refused the input: the prompt was flagged by a content checker. " * 12
    for seen in (True, False):  # its place for a video is there, or not
        job = show(page)
        update(page, revision=2 if seen else 3, state="FAILED", message=words + "x" * 200)
        if not seen:
            page.evaluate("leave()")
            job = show(page)
        why = job.locator(".kling-why").filter(has_text="content checker")
        expect(why).to_be_visible()
        cut = """(node) => { for (; node && !node.matches('.kling-job'); node = node.parentElement)
          if (node.scrollHeight > node.clientHeight + 1 && getComputedStyle(node).overflow !== 'visible')
            return node.className }"""
        assert why.evaluate(cut) is None
        place, stage = why.bounding_box(), job.locator(".kling-stage").bounding_box()
        assert place["y"] + place["height"] <= stage["y"] + stage["height"]
        assert place["x"] + place["width"] <= width


def test_after_a_restart_a_finished_job_says_how_to_make_another_take(page):
    job = show(page, DONE, **FILM)
    expect(job.get_by_role("button", name="Generate · about $0.49")).to_be_visible()
    page.evaluate("model.gone = true; model.trigger('comm_live_update')")
    expect(job.get_by_text("Run the cell again to make another take.")).to_be_visible()
    expect(job.get_by_role("button", name="Generate")).to_have_attribute("aria-disabled", "true")


def test_a_poster_comes_when_it_is_seen_and_the_file_when_it_is_played(page):
    page.add_style_tag(content=".jp-OutputArea { padding-top: 3000px }")
    job = show(page, DONE, **FILM)
    expect(job.locator(".kling-chip")).to_have_text("Ready")
    assert asked(page, "poster") == 0
    job.scroll_into_view_if_needed()
    page.wait_for_function("model.asked().includes('poster')")
    assert asked(page, "chunk") == 0
    assert job.locator("video").get_attribute("src") is None
    job.get_by_role("button", name="Play").click()
    expect(job.get_by_role("button", name="Pause")).to_be_visible()
    page.wait_for_function("document.querySelector('video').currentTime > 0")
    assert job.locator("video").evaluate("(v) => [v.videoWidth, v.videoHeight]") == [64, 36]
    expect(job.get_by_text("64 × 36 · 1 s", exact=True)).to_be_visible()
    expect(page.locator("#card")).to_be_hidden()


def test_frames_are_stepped_scrubbed_and_looped_from_the_keyboard(page):
    job = show(page)
    finish(page, job)
    player = job.get_by_role("group", name="Video player")
    player.focus()
    page.keyboard.press("End")
    at_frame(job, 8)
    page.keyboard.press("ArrowLeft")
    at_frame(job, 7)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    at_frame(job, 2)
    page.keyboard.press("a")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    at_frame(job, 4)
    page.keyboard.press("a")
    loop = job.get_by_role("button", name="Clear loop")
    expect(loop).to_have_text("2–4")
    job.get_by_role("combobox", name="Speed").select_option("2×")
    player.focus()
    page.keyboard.press(" ")
    seen = page.evaluate(
        """() => new Promise((done) => { const seen = new Set(); const v = document.querySelector('video');
          const look = (_, { mediaTime }) => { seen.add(Math.floor(mediaTime * 8 + 0.01));
            seen.size >= 3 && performance.now() > end ? done([...seen]) : v.requestVideoFrameCallback(look) };
          const end = performance.now() + 1500; v.requestVideoFrameCallback(look) })"""
    )
    # In that time all of the clip would have gone by more than once, its first frame too. How far it runs on
    # before it turns back is a matter of how busy the machine is.
    assert min(seen) >= 1
    assert job.locator("video").evaluate("(v) => v.playbackRate") == 2
    page.keyboard.press(" ")
    page.keyboard.press("a")
    expect(job.get_by_role("button", name="Loop from here")).to_be_visible()
    slider = job.get_by_role("slider", name="Frame")
    slider.fill("2")
    at_frame(job, 3)
    expect(slider).to_have_attribute("aria-valuetext", "0:00.25 · 3 / 8")


def test_a_speed_holds_for_every_source_of_the_video(page):
    job = show(page)
    finish(page, job)
    page.add_style_tag(content="main, .jp-OutputArea { padding-bottom: 5000px }")
    job.get_by_role("combobox", name="Speed").select_option("0.25×")
    rate = "document.querySelector('video').playbackRate"
    for _ in range(2):
        job.get_by_role("button", name="Play").click()
        page.wait_for_function("document.querySelector('video').currentTime > 0")
        assert page.evaluate(rate) == 0.25
        job.get_by_role("button", name="Pause").click()
        page.evaluate("scrollTo(0, 4000)")
        page.wait_for_function("!document.querySelector('video').hasAttribute('src')")
        page.evaluate("scrollTo(0, 0)")
    expect(job.get_by_role("combobox", name="Speed")).to_have_value("0.25×")


def test_a_loop_is_painted_under_the_slider(page):
    job = show(page)
    finish(page, job)
    slider = job.get_by_role("slider", name="Frame")
    for frame, press in ((2, "loop from here"), (6, "loop to here")):
        slider.fill(str(frame))
        job.get_by_role("button", name=press).click()
    box = slider.locator("..").bounding_box()
    picture = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
    amber = (0xA6, 0x5F, 0x00)
    (found,) = {
        (columns[0], columns[-1])
        for row in range(picture.height)
        if (columns := [x for x in range(picture.width) if picture.getpixel((x, row)) == amber])
    }
    way = picture.width - 16  # of the middle of the thumb
    assert found == pytest.approx((8 + way * 2 / 7, 8 + way * 6 / 7), abs=2)


def test_loop_audio_and_full_screen(page):
    job = show(page)
    finish(page, job)
    loop = job.get_by_role("button", name="Loop", exact=True)
    expect(loop).to_have_attribute("aria-pressed", "true")
    loop.click()
    expect(loop).to_have_attribute("aria-pressed", "false")
    job.get_by_role("slider", name="Frame").fill("1")
    at_frame(job, 2)
    expect(job.get_by_role("button", name="Mute")).to_be_hidden()  # the clip has none
    job.get_by_role("group", name="Video player").focus()
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement?.ariaLabel === 'Video player'")


def save(job, what):
    job.get_by_role("button", name="Save").click()
    job.get_by_role("menuitem", name=what, exact=True).click()


def wait_for_copy(page, begins):
    """`wait_for_function` would not wait for a promise."""
    while not page.evaluate("navigator.clipboard.readText()").startswith(begins):
        page.wait_for_timeout(20)


def test_save_and_copy(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin="http://localhost")
    job = show(page)
    finish(page, job)
    with page.expect_download() as download:
        save(job, "Video")
    assert download.value.suggested_filename == "heron.mp4"
    job.get_by_role("slider", name="Frame").fill("2")
    at_frame(job, 3)
    with page.expect_download() as download:
        save(job, "This frame")
    assert download.value.suggested_filename == "heron-3.png"
    with Image.open(download.value.path()) as frame:
        assert frame.size == (64, 36)
    job.get_by_role("button", name="Copy as cell").click()
    wait_for_copy(page, "%%kling")
    job.get_by_role("button", name="More").press("Enter")
    expect(job.get_by_role("menuitem", name="Copy request id")).to_be_focused()
    page.keyboard.press("Enter")
    expect(job.get_by_role("button", name="More")).to_be_focused()
    wait_for_copy(page, "r-1")


def test_what_cannot_be_saved_says_why_and_what_is_on_its_way_is_waited_for(page):
    page.evaluate("model.kept = model.handlers.chunk; model.handlers.chunk = undefined")
    job = show(page)
    finish(page, job)
    problem = job.get_by_role("alert").filter(has_text="not here", visible=True)
    save(job, "Video")
    expect(problem).to_be_visible()
    page.evaluate("void (model.handlers.chunk = model.kept, model.silent = true)")
    job.get_by_role("button", name="Play").click()
    page.wait_for_function("model.unanswered.some(({ kind }) => kind === 'chunk')")
    expect(problem).to_be_hidden()
    with page.expect_download() as download:
        save(job, "Video")
        page.evaluate("model.wake()")
    assert download.value.suggested_filename == "heron.mp4"
    assert asked(page, "chunk") == 2


def test_where_there_is_no_cell_it_is_shown_why(page):
    job = show(page, cell="", no_cell="A flag of %%kling cannot say this.")
    finish(page, job)
    copy = job.get_by_role("button", name="Copy as cell")
    expect(copy).to_be_disabled()
    expect(copy).to_have_attribute("title", "A flag of %%kling cannot say this.")
    update(page, revision=3, cell="%%kling\na heron", no_cell="")
    expect(copy).to_be_enabled()
    expect(copy).to_have_attribute("title", "")


def test_twenty_finished_widgets_hold_at_most_two_sources(page):
    page.add_style_tag(content=".jp-OutputArea { zoom: 0.03 }")  # all of them in sight
    page.evaluate(
        """async ([done, film]) => { window.models = [];
          for (let i = 0; i < 20; i++) { const one = makeModel(); models.push(one);
            Object.assign(one.takes[0], done, film); await view(done, film, one) } }""",
        [DONE, FILM],
    )
    sources = "[...document.querySelectorAll('video')].filter((v) => v.hasAttribute('src')).length"
    page.wait_for_function("models.every((one) => one.asked().includes('poster'))")
    assert page.evaluate(sources) == 0
    for at in range(20):
        page.get_by_role("slider", name="Frame").nth(at).fill("3")
        page.wait_for_function(
            f"document.querySelectorAll('.kling-where')[{at}].textContent.includes(' 4 /')"
        )
    page.wait_for_function(f"models.every((one) => one.asked().includes('chunk')) && {sources} <= 2")


def test_a_video_that_leaves_sight_gives_its_source_back_and_keeps_its_place(page):
    job = show(page)
    finish(page, job)
    page.add_style_tag(content="main, .jp-OutputArea { padding-bottom: 5000px }")
    job.get_by_role("slider", name="Frame").fill("5")
    at_frame(job, 6)
    page.evaluate("scrollTo(0, 4000)")
    page.wait_for_function("!document.querySelector('video').hasAttribute('src')")
    page.evaluate("scrollTo(0, 0)")
    job.get_by_role("group", name="Video player").focus()
    page.keyboard.press("ArrowRight")
    at_frame(job, 7)


def test_parameters_are_controls_and_what_is_changed_is_marked(page):
    job = show(page, input={"prompt": "a heron", "duration": "10"})
    finish(page, job)
    expect(job.get_by_role("textbox", name="Prompt")).to_have_value("a heron")
    expect(job.get_by_role("textbox", name="Prompt")).to_have_attribute("aria-required", "true")
    expect(job.get_by_role("radio", name="10 s")).to_be_checked()
    job.get_by_role("radio", name="9:16").check(force=True)
    job.get_by_role("slider", name="CFG scale").fill("0.7")
    job.get_by_role("switch", name="Generate audio").check()
    expect(job.locator("[data-changed]")).to_have_count(3)
    job.get_by_role("button", name="Undo the change of CFG scale").click()
    expect(job.locator("[data-changed]")).to_have_count(2)
    page.clock.run_for(300)
    generate = job.get_by_role("button", name="Generate · about $0.49", exact=True)
    generate.press("Enter")
    second = job.get_by_role("button", name="Take 2,")
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(generate).to_be_focused()  # Tab goes on from here
    assert page.evaluate("model.takes[1].input") == {
        "prompt": "a heron",
        "duration": "10",
        "aspect_ratio": "9:16",
        "generate_audio": True,
    }
    expect(second).to_have_attribute("aria-label", "Take 2, 2 · 9:16 · Generate audio on, In queue")
    expect(second).to_have_attribute("title", "Take 2\nAspect ratio: 9:16\nGenerate audio: on")
    job.get_by_role("button", name="Take 1,").click()
    expect(job.locator("[data-changed]")).to_have_count(0)
    expect(job.get_by_role("radio", name="16:9")).to_be_checked()


def test_the_price_is_asked_again_when_the_job_has_ended(page):
    words = "({ msg: { ...quoted, estimate: null, price: `${model.takes[0].state}, so it costs this` } })"
    page.evaluate(f"model.handlers.quote = () => {words}")
    job = show(page)
    page.clock.run_for(300)
    expect(job.get_by_text("IN_QUEUE, so it costs this")).to_be_visible()
    finish(page, job)
    page.clock.run_for(300)
    expect(job.get_by_text("READY, so it costs this")).to_be_visible()


def test_generating_takes_nothing_away(page):
    job = show(page)
    finish(page, job)
    job.get_by_role("slider", name="Frame").fill("4")
    at_frame(job, 5)
    page.clock.run_for(300)
    job.get_by_role("button", name="Generate").dblclick()
    expect(job.get_by_role("button", name="Take 2,")).to_have_attribute("aria-pressed", "true")
    assert asked(page, "generate") == 1  # a double click is one wish
    at_frame(job, 5)
    expect(job.locator(".kling-chip").first).to_have_text("In queue")
    expect(job.get_by_role("button", name="Cancel")).to_be_visible()
    job.get_by_role("group", name="Video player").focus()
    page.keyboard.press("ArrowRight")
    at_frame(job, 6)
    page.clock.run_for(300)
    job.get_by_role("combobox", name="How many takes").select_option("×4")
    page.clock.run_for(300)
    expect(job.get_by_role("button", name="Generate")).to_have_attribute("aria-disabled", "false")
    update(page, key=2, revision=9, **DONE, **FILM)
    expect(job.locator(".kling-chip").first).to_have_text("Ready")
    expect(job.locator(".kling-where")).to_contain_text("· 1 / 8")


def test_what_is_started_is_what_the_form_shows(page):
    page.evaluate(
        """() => { model.handlers.generate = () => ({ msg: {} }); // the take is shown already
          const { quote } = model.handlers;
          model.handlers.quote = (asked) => { window.asked = asked; return quote(asked) } }"""
    )
    job = show(page)
    finish(page, job)
    job.get_by_role("radio", name="10 s").check(force=True)
    page.clock.run_for(300)
    generate = job.get_by_role("button", name="Generate")
    expect(generate).to_have_attribute("aria-disabled", "false")
    assert page.evaluate("asked.changes") == {"duration": "10"}
    generate.click()
    expect(job.get_by_role("radio", name="5 s")).to_be_checked()
    page.clock.run_for(300)
    expect(generate).to_have_attribute("aria-disabled", "false")
    assert page.evaluate("asked.changes") == {}


def test_the_place_of_the_video_is_there_from_the_beginning_and_stays(page):
    page.evaluate(
        "() => { window.shifts = []; new PerformanceObserver((list) => shifts.push(...list.getEntries()"
        ".filter((one) => !one.hadRecentInput).map((one) => one.value)))"
        ".observe({ type: 'layout-shift', buffered: true }) }"
    )
    job = show(page, {"shape": 16 / 9}, shape=16 / 9)
    below = page.evaluate("document.querySelector('.kling-job').getBoundingClientRect().bottom")
    update(page, revision=2, state="IN_PROGRESS", progress=0.4, lines=lines(0, 3))
    update(page, revision=3, state="DOWNLOADING", received=5, total=10)
    finish(page, job)
    job.get_by_role("slider", name="Frame").fill("4")
    at_frame(job, 5)
    assert page.evaluate("document.querySelector('.kling-job').getBoundingClientRect().bottom") == below
    assert page.evaluate("shifts.reduce((sum, one) => sum + one, 0)") <= 0.01


@pytest.mark.parametrize("width", [320, 700])
def test_a_failure_moves_nothing(page, width):
    page.set_viewport_size({"width": width, "height": 1000})
    page.evaluate(
        "() => { window.shifts = []; new PerformanceObserver((list) => shifts.push(...list.getEntries()"
        ".filter((one) => !one.hadRecentInput).map((one) => one.value)))"
        ".observe({ type: 'layout-shift', buffered: true }) }"
    )
    job = show(page, {"shape": 16 / 9}, shape=16 / 9)
    expect(job.get_by_role("textbox", name="Prompt")).to_be_visible()
    top = "document.querySelector('.kling-another').getBoundingClientRect().top"
    before = page.evaluate(top)
    update(page, revision=2, state="FAILED", message="The runner failed.", shape=16 / 9)
    expect(job.get_by_text("The runner failed.")).to_be_visible()
    assert page.evaluate(top) == before
    assert page.evaluate("shifts.reduce((sum, one) => sum + one, 0)") <= 0.01
    page.evaluate("leave()")  # a page that is loaded later shows the same
    expect(show(page).get_by_text("The runner failed.")).to_be_visible()
    assert page.evaluate(top) == before


@pytest.mark.parametrize("width", [320, 700])
def test_a_result_moves_nothing(page, width):
    page.set_viewport_size({"width": width, "height": 1000})
    job = show(page, {"shape": 16 / 9}, shape=16 / 9)
    expect(job.get_by_role("textbox", name="Prompt")).to_be_visible()
    top = "document.querySelector('.kling-another').getBoundingClientRect().top"
    before = page.evaluate(top)
    finish(page, job, cost="5 billable units × $0.098 = $0.49")
    expect(job.get_by_text("64 × 36 · 1 s", exact=True)).to_be_visible()
    assert page.evaluate(top) == before


@pytest.mark.parametrize(("shape", "wide"), [(16 / 9, 800), (9 / 16, 420 * 9 / 16), (1, 420)])
def test_a_stage_is_at_most_420_pixels_high_and_in_the_middle(page, shape, wide):
    job = show(page, {"shape": shape}, shape=shape)
    box = job.locator(".kling-screen").bounding_box()
    stage = job.locator(".kling-screens").bounding_box()
    assert box["height"] <= 420.5
    assert box["width"] <= wide + 0.5
    assert box["width"] / box["height"] == pytest.approx(shape, rel=0.01)
    middle = stage["x"] + stage["width"] / 2
    assert box["x"] + box["width"] / 2 == pytest.approx(middle, abs=1)


def test_a_value_that_is_refused_says_why(page):
    page.evaluate("model.handlers.quote = undefined")
    job = show(page)
    finish(page, job)
    page.clock.run_for(300)
    expect(job.get_by_role("alert").filter(has_text="not here")).to_be_visible()
    generate = job.get_by_role("button", name="Generate")
    expect(generate).to_have_attribute("aria-disabled", "true")
    generate.click(force=True)
    assert asked(page, "generate") == 0


def test_two_takes_play_in_step_and_what_differs_is_listed(page):
    job = show(page)
    finish(page, job)
    page.evaluate(
        """([done, film]) => model.arrange([model.takes[0], entry(2, { ...done, ...film, job_id: 'two',
          input: { prompt: 'a heron', duration: '10' } })], 1)""",
        [DONE, FILM],
    )
    expect(job.get_by_text("64 × 36 · 1 s", exact=True)).to_be_visible()  # the strip has the takes' numbers
    job.get_by_role("combobox", name="Speed").select_option("0.5×")
    job.get_by_role("button", name="Loop", exact=True).click()
    job.get_by_role("button", name="Compare").click()
    expect(job.locator("video")).to_have_count(2)
    expect(job.get_by_role("combobox", name="Speed")).to_have_value("0.5×")
    assert page.evaluate("[...document.querySelectorAll('video')].map((v) => v.playbackRate)") == [0.5, 0.5]
    expect(job.get_by_role("button", name="Loop", exact=True)).to_have_attribute("aria-pressed", "false")
    page.wait_for_function("[...document.querySelectorAll('video')].every((v) => v.currentTime > 0)")
    assert job.locator(".kling-named").all_text_contents() == ["Take 1", "Take 2"]
    expect(job.get_by_role("row", name="Duration 5 s 10 s")).to_be_visible()
    expect(job.get_by_role("row", name="Differences Take 1 Take 2")).to_be_visible()
    expect(job.get_by_role("row")).to_have_count(2)
    job.get_by_role("slider", name="Frame of all").fill("5")
    at_frame(job, 6)
    times = "[...document.querySelectorAll('video')].map((v) => Math.floor(v.currentTime * 8))"
    page.wait_for_function(f"String({times}) === '5,5'")
    tools = [job.get_by_role("button", name=name).bounding_box() for name in ("Compare", "Wipe")]
    assert tools[0]["y"] == tools[1]["y"]  # in one row
    job.get_by_role("button", name="Wipe").click()
    edge = job.get_by_role("slider", name="Edge between the two")
    edge.fill("25")
    expect(job.locator(".kling-wiped")).to_have_attribute("style", "--kling-edge-at: 25%;")
    job.get_by_role("button", name="Compare").click()
    expect(job.locator("video")).to_have_count(1)


def test_of_takes_that_are_compared_one_is_selected_and_rated(page):
    page.evaluate("model.handlers.decide = (asked) => { window.decided = asked; return { msg: {} } }")
    job = show(page)
    finish(page, job, rating=2)
    page.evaluate(
        """([done, film]) => model.arrange([model.takes[0],
          entry(2, { ...done, ...film, job_id: 'two', rating: 4, note: 'warm' }), entry(3)], 3)""",
        [DONE, FILM],
    )
    job.get_by_role("button", name="Compare").click()  # the take that is shown runs
    page.evaluate("model.update({ key: 3, revision: 3, state: 'IN_PROGRESS' })")
    one, two = (job.locator(".kling-named").get_by_role("button", name=f"Take {at}") for at in (1, 2))
    expect(one).to_have_attribute("aria-pressed", "true")
    for name in (one, two):
        ink, ground = (
            name.evaluate("(node, part) => getComputedStyle(node)[part]", part)
            for part in ("color", "backgroundColor")
        )
        assert ink != ground
    stars = job.get_by_role("radiogroup", name="Rating of take 1")
    expect(stars.get_by_role("radio", name="Rate 2")).to_be_checked()
    expect(stars).to_have_text("★★☆☆☆")
    two.click()
    expect(two).to_have_attribute("aria-pressed", "true")
    expect(job.locator(".kling-actions .kling-title")).to_have_text("Take 2")
    expect(job.get_by_role("textbox", name="Note")).to_have_value("warm")
    stars = job.get_by_role("radiogroup", name="Rating of take 2")
    expect(stars.get_by_role("radio", name="Rate 4")).to_be_checked()
    expect(job.locator("video")).to_have_count(2)
    page.keyboard.press("5")
    page.wait_for_function("window.decided?.rating === 5")
    assert page.evaluate("decided.key") == 2


@pytest.mark.parametrize("width", [320, 700])
def test_a_flag_in_a_message_is_on_one_line(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    message = "x To generate another take, at a new charge: --new (API: new=True), or see %kling show. " * 6
    job = show(page, {"state": "FAILED", "message": message})
    expect(job.get_by_text(message.strip())).to_be_visible()
    heights = job.locator(".kling-code").evaluate_all("(all) => all.map((node) => node.offsetHeight)")
    assert len(heights) == 12
    assert max(heights) < 30


def test_a_result_that_may_still_exist_can_be_asked_for(page):
    job = show(page, {"state": "UNCERTAIN", "message": "No answer came."}, steps=["resume", "edit"])
    job.get_by_role("button", name="Resume").click()
    assert asked(page, "resume") == 1
    update(page, revision=9, state="FAILED", steps=["retry", "edit"], cost="not charged", message="refused")
    expect(job.get_by_role("button", name="Resume")).to_be_hidden()
    expect(job.get_by_text("not charged")).to_be_visible()


def test_details_stay_as_the_reader_left_them(page):
    job = show(page, lines=lines(0, 3))
    finish(page, job, path="/media/heron.mp4")
    expect(job.get_by_role("log")).to_be_hidden()
    job.get_by_text("Details").click()
    expect(job.locator("dd", has_text="/media/heron.mp4")).to_be_visible()
    expect(job.locator("dd", has_text="5 s")).to_be_visible()
    update(page, revision=3, **DONE)
    page.evaluate("leave()")
    expect(show(page).get_by_role("log")).to_be_visible()


def test_views_of_one_job_agree_and_the_next_one_goes_on_where_it_was(page):
    first = show(page)
    finish(page, first)
    first.get_by_role("slider", name="Frame").fill("4")
    at_frame(first, 5)
    second = show(page)
    expect(second.locator(".kling-where")).to_contain_text("5 / 8")
    second.get_by_role("group", name="Video player").focus()
    page.keyboard.press("ArrowRight")
    at_frame(second, 6)
    assert asked(page, "chunk") == 1


def test_clean_up_leaves_nothing(page, window):
    job = show(page)
    finish(page, job)
    job.get_by_role("slider", name="Frame").fill("1")
    at_frame(job, 2)
    url = job.locator("video").get_attribute("src")
    expect(page.locator("#card")).to_be_hidden()
    page.evaluate("leave()")
    expect(page.locator("#card")).to_be_visible()
    assert page.locator("[data-kling-job]").count() == 0
    gone = page.evaluate(
        "(url) => new Promise((done) => { const v = document.createElement('video');"
        " v.onerror = () => done(true); v.onloadeddata = () => done(false); v.src = url })",
        url,
    )
    assert gone is True
    assert window.complaints.pop().endswith("ERR_FILE_NOT_FOUND")
    update(page, revision=50, state="FAILED")


def test_the_card_is_shown_where_the_video_cannot_be_fetched(page):
    page.evaluate("model.kept = model.handlers.chunk; model.handlers.chunk = undefined")
    job = show(page)
    finish(page, job)
    job.get_by_role("button", name="Play").click()
    expect(job.get_by_role("alert").filter(has_text="not here")).to_be_visible()
    update(page, revision=3)
    expect(page.locator("#card")).to_be_visible()
    page.evaluate("void (model.handlers.chunk = model.kept)")
    job.get_by_role("button", name="Play").click()
    expect(job.get_by_role("button", name="Pause")).to_be_visible()
    update(page, revision=4)
    expect(page.locator("#card")).to_be_hidden()


def test_a_result_that_is_no_video_leaves_the_card(page):
    failure = {"message": "The result is not a video."}
    job = show(page, {**DONE, **failure, "width": None, "height": None, "duration": None})
    expect(job.locator(".kling-why > span")).to_contain_text("not a video")
    expect(page.locator("#card")).to_be_visible()
    assert asked(page, "chunk") == asked(page, "poster") == 0


@pytest.mark.parametrize("width", [320, 900])
def test_nothing_sticks_out(page, width):
    page.set_viewport_size({"width": width, "height": 700})
    words = "x" * 400
    job = show(page, {"prompt": words, "title": words, "backend": "local"}, lines=[[None, words, None]])
    update(page, revision=2, request_id=words, lines=[[None, words, None]])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(job.get_by_role("button", name="Cancel")).to_be_in_viewport(ratio=1)
    finish(page, job, cost=words)
    job.get_by_text("Details").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_motion_is_as_the_reader_wants_it(page, motion):
    page.emulate_media(reduced_motion=motion)
    job = show(page)
    running = job.locator(".kling-fill").first.evaluate("(fill) => fill.getAnimations().length")
    assert running == (0 if motion == "reduce" else 1)


def test_in_forced_colours_pressed_focused_and_running_differ(page):
    page.emulate_media(forced_colors="active")
    job = show(page)
    finish(page, job)
    edge = "(node) => getComputedStyle(node).borderTopColor"
    looped, other = (job.get_by_role("button", name=name, exact=True) for name in ("Loop", "Full screen"))
    expect(looped).to_have_attribute("aria-pressed", "true")
    assert looped.evaluate(edge) != other.evaluate(edge)
    job.get_by_role("button", name="Play").focus()
    page.keyboard.press("Tab")
    ring = page.evaluate(
        "(({ outlineStyle, outlineWidth }) => [outlineStyle, outlineWidth])"
        "(getComputedStyle(document.activeElement))"
    )
    assert ring[0] != "none"
    assert float(ring[1].removesuffix("px")) > 0
    chip = job.locator(".kling-chip")
    dot = chip.evaluate("(chip) => getComputedStyle(chip, '::before').borderTopColor")
    assert dot != chip.evaluate("(chip) => getComputedStyle(chip).backgroundColor")
