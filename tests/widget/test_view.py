"""The job's view in a real browser, with a model whose kernel is on the page too."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PAGE = '<!doctype html><link rel="stylesheet" href="/job.css"><script type="module" src="/page.js"></script>'
FILES = {
    "/job.js": ROOT / "kling_nb/static/job.js",
    "/job.css": ROOT / "kling_nb/static/job.css",
    "/page.js": ROOT / "js/test/page.js",
    "/fake_model.js": ROOT / "js/test/fake_model.js",
}
TYPES = {".js": "text/javascript", ".css": "text/css"}
DONE = {"state": "READY", "finished_at": 1_900_000_000, "width": 64, "height": 36, "duration": 1}

pytestmark = pytest.mark.browser


def clip():
    """A second of video, in a codec that every Chromium has."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libvpx-vp9", rate=8, options={"cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for shade in range(0, 256, 32):
            picture = np.full((36, 64, 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def browser(chromium_path, chromium_args):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=chromium_args)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def video():
    return clip()


@pytest.fixture
def complaints():
    """Errors of the page. Any that is left in the end fails the test."""
    found = []
    yield found
    assert found == []


@pytest.fixture
def page(browser, video, complaints):
    """A page that stands on nothing but files."""
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)

    def serve(route):
        path = "/" + route.request.url.split("/", 3)[3]
        if path in FILES:
            route.fulfill(body=FILES[path].read_bytes(), content_type=TYPES[FILES[path].suffix])
        elif path == "/clip.mp4":
            route.fulfill(body=video, content_type="video/mp4")
        else:
            route.fulfill(body=PAGE if path == "/" else "", content_type="text/html")

    page.route("http://localhost/**", serve)
    page.clock.install()
    page.goto("http://localhost/")
    page.wait_for_function("window.view !== undefined")
    yield page
    page.close()


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


def test_text_from_outside_is_text(page):
    nasty = '<img src=x onerror="window.hit = 1"><b>bold</b>'
    job = show(page, {"prompt": nasty, "title": nasty, "message": nasty, "state": "FAILED"})
    update(page, revision=9, state="FAILED", message=nasty, lines=[[nasty, nasty, nasty]])
    expect(job.locator(".kling-prompt")).to_have_text(nasty)
    expect(job.locator(".kling-title")).to_have_text(nasty)
    expect(job.locator(".kling-why")).to_have_text(nasty)
    expect(job.locator(".kling-line")).to_have_text(nasty)
    assert job.locator("img, b").count() == 0
    assert page.evaluate("window.hit") is None


def test_queue_progress_and_local_preview_are_said(page):
    job = show(page, {"backend": "local"})
    expect(job.locator(".kling-chip")).to_have_text("In queue")
    expect(job.get_by_role("status").first).to_have_text("In queue, 2 ahead in the queue")
    expect(job.locator(".kling-badge")).to_have_text("LOCAL PREVIEW")
    bar = job.get_by_role("progressbar", name="Progress")
    assert bar.get_attribute("aria-valuenow") is None
    update(page, revision=2, state="DOWNLOADING", received=250, total=1000)
    expect(bar).to_have_attribute("aria-valuenow", "25")
    expect(job.get_by_role("button", name="Cancel")).to_be_hidden()
    update(page, revision=3, state="FAILED", message="out of memory")
    expect(bar).to_be_hidden()
    expect(job.locator(".kling-why")).to_have_text("out of memory")


def test_elapsed_time_ticks_and_stops(page):
    job = show(page)
    timer = job.get_by_role("timer")
    expect(timer).to_have_text("0:00")
    page.clock.run_for(65_000)
    expect(timer).to_have_text("1:05")
    end = page.evaluate("model.traits.created_at + 70")
    update(page, revision=2, state="CANCELLED", finished_at=end)
    page.clock.run_for(60_000)
    expect(timer).to_have_text("after 1:10")


def test_log_follows_the_newest_line_until_the_reader_scrolls_up(page):
    job = show(page, lines=lines(0, 100))
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
    update(page, first_line=1500, lines=lines(1500, 2500))
    rows = job.locator(".kling-row")
    expect(rows).to_have_count(2000)
    expect(rows.first).to_contain_text("line 500")
    expect(rows.last).to_contain_text("line 2499")
    expect(job.locator(".kling-omitted")).to_have_text("The first 500 lines are left out.")
    expect(job.locator(".kling-summary").last).to_have_text("Log · 2500 lines")


def test_cancel_from_the_keyboard_and_a_busy_kernel(page):
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
    assert page.evaluate("model.asked().filter((kind) => kind === 'cancel').length") == 1


def test_a_kernel_that_is_gone_says_how_to_get_the_job_back(page):
    job = show(page)
    page.evaluate("model.gone = true; model.trigger('comm_live_update')")
    expect(job.locator(".kling-note")).to_contain_text("kling_nb.resume()")
    expect(job.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(job.get_by_role("progressbar")).to_be_hidden()


def test_video_is_fetched_when_it_comes_into_sight(page):
    page.add_style_tag(content=".jp-OutputArea { padding-top: 3000px }")
    job = show(page, DONE)
    expect(job.locator(".kling-chip")).to_have_text("Ready")
    assert "chunk" not in page.evaluate("model.asked()")
    job.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('video')?.readyState >= 2")
    player = job.locator("video")
    assert player.evaluate("(v) => [v.controls, v.loop, v.muted, v.playsInline]") == [True] * 4
    assert player.evaluate("(v) => [v.videoWidth, v.videoHeight, v.paused]") == [64, 36, True]
    save = job.get_by_role("link", name="Save")
    expect(save).to_have_attribute("download", "heron.mp4")
    expect(job.locator(".kling-where")).to_have_text("64 × 36 · 1 s")
    expect(page.locator("#card")).to_be_hidden()


def test_log_and_parameters_fold_and_stay_as_the_reader_left_them(page):
    job = show(page, lines=lines(0, 3))
    log = job.locator("details").last
    expect(log).to_have_attribute("open", "")
    update(page, revision=2, **DONE)
    expect(log).not_to_have_attribute("open", "")
    job.get_by_text("Parameters · 2").click()
    expect(job.locator("dd").last).to_have_text("5")
    update(page, revision=3, **DONE)
    page.evaluate("leave()")
    expect(show(page).locator("dd").last).to_be_visible()


def test_views_of_one_job_agree_and_playback_goes_on_in_the_next(page):
    first = show(page, DONE)
    page.wait_for_function("document.querySelector('video')?.readyState >= 2")
    first.locator("video").evaluate("(v) => { v.currentTime = 0.5 }")
    page.wait_for_function("!document.querySelector('video').seeking")
    second = show(page)
    expect(second.locator(".kling-chip")).to_have_text("Ready")
    page.wait_for_function("document.querySelectorAll('video')[1]?.readyState >= 2")
    assert second.locator("video").evaluate("(v) => v.currentTime") == 0.5
    assert page.evaluate("model.asked().filter((kind) => kind === 'chunk').length") == 1


def test_clean_up_leaves_nothing(page, complaints):
    job = show(page, DONE)
    page.wait_for_function("document.querySelector('video')?.readyState >= 2")
    url = job.locator("video").get_attribute("src")
    expect(page.locator("#card")).to_be_hidden()
    page.evaluate("leave()")
    expect(page.locator("#card")).to_be_visible()
    assert page.locator("[data-kling-job]").count() == 0
    gone = page.evaluate(
        "(url) => new Promise((told) => { const v = document.createElement('video');"
        " v.onerror = () => told(true); v.onloadeddata = () => told(false); v.src = url })",
        url,
    )
    assert gone is True
    assert complaints.pop().endswith("ERR_FILE_NOT_FOUND")
    update(page, revision=50, state="FAILED")


def test_card_shows_where_the_video_cannot_be_had(page):
    page.evaluate("model.kept = model.handlers.chunk; model.handlers.chunk = undefined")
    job = show(page, DONE)
    expect(job.locator(".kling-waiting")).to_contain_text("not here")
    expect(page.locator("#card")).to_be_visible()
    page.evaluate("void (model.handlers.chunk = model.kept)")
    job.get_by_role("button", name="Try again").click()
    expect(page.locator("#card")).to_be_hidden()
    page.wait_for_function("document.querySelector('video')?.readyState >= 2")


def test_card_shows_while_a_busy_kernel_keeps_the_video(page):
    job = show(page)
    page.evaluate("model.silent = true")
    update(page, revision=2, **DONE)
    page.wait_for_function("model.asked().includes('chunk')")
    expect(page.locator("#card")).to_be_hidden()
    page.clock.run_for(1000)
    expect(page.locator("#card")).to_be_visible()
    page.evaluate("model.wake()")
    page.wait_for_function("document.querySelector('video')?.readyState >= 2")
    expect(page.locator("#card")).to_be_hidden()
    expect(job.locator(".kling-note")).to_be_hidden()


def test_a_result_that_is_no_video_leaves_the_card(page):
    job = show(page, {**DONE, "width": None, "height": None, "duration": None})
    expect(job.locator(".kling-why")).to_contain_text("not a video")
    expect(page.locator("#card")).to_be_visible()
    assert "chunk" not in page.evaluate("model.asked()")


@pytest.mark.parametrize("width", [320, 900])
def test_nothing_sticks_out(page, width):
    page.set_viewport_size({"width": width, "height": 700})
    words = "x" * 400
    job = show(page, {"prompt": words, "title": words, "backend": "local"}, lines=[[None, words, None]])
    update(page, revision=2, request_id=words, lines=[[None, words, None]])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(job.get_by_role("button", name="Cancel")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_motion_is_as_the_reader_wants_it(page, motion):
    page.emulate_media(reduced_motion=motion)
    job = show(page)
    running = job.locator(".kling-fill").first.evaluate("(fill) => fill.getAnimations().length")
    assert running == (0 if motion == "reduce" else 1)
