"""The job widget in Chromium, with a real job behind it, local or at a scripted fal, and no notebook."""

import re

import numpy as np
import pytest
from accessibility import serious_faults
from PIL import Image
from playwright.sync_api import expect
from scripted import Done, Fail, Hold, Log, Queue, Run, Script
from scripted.script import instant

from kling_nb import Panel
from kling_nb.errors import SubmissionUncertain, UsageError
from kling_nb.notebook.cell import NamedCell
from kling_nb.notebook.widgets.job import JobWidget
from kling_nb.notebook.widgets.takes import submit
from kling_nb.video.decisions import LOCK
from views.live import opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
REFUSED = {"loc": ["body", "prompt"], "msg": "The prompt names a brand", "type": "content_policy_violation"}
LOOPED = """(video) => new Promise((reported) => {
  const seen = [];
  const look = (_, { mediaTime }) => {
    const frame = Math.floor(mediaTime * 24 + 0.01);
    if (seen.length || frame) seen.push(frame); // the first frame of the clip may still come after a seek
    if (seen.at(-1) < seen.at(-2)) reported(seen);
    else video.requestVideoFrameCallback(look) };
  video.requestVideoFrameCallback(look) })"""
"""The frames that are shown until the first step back."""
DROP = """async (node) => {
  const canvas = new OffscreenCanvas(400, 400);
  canvas.getContext("2d").fillRect(0, 0, 400, 400);
  const dataTransfer = new DataTransfer();
  const blob = await canvas.convertToBlob({ type: "image/png" });
  dataTransfer.items.add(new File([blob], "day.png", { type: "image/png" }));
  node.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer })) }"""
"""Drops an image, as the browser hands it to a page."""

DROP_URL = """(node, url) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.setData("text/uri-list", url);
  node.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer })) }"""
"""Drops the address of an image."""
URL = "https://images.invalid/day.png"

COPIED = """async () => {
  const [item] = await navigator.clipboard.read();
  return item?.types.includes("image/png") }"""
"""Whether an image is on the clipboard."""


@pytest.fixture
def paying(fal, home, tmp_cwd):
    """A session that takes the scripted server for fal."""
    urls = dict.fromkeys(("queue_url", "rest_url", "api_url"), fal.url)
    with opened(backend="fal", credentials=fal.key, **urls) as made:
        yield made


def player_of(job):
    return job.get_by_role("group", name="Video player")


def test_the_player_the_log_and_the_cell_of_a_take(page, live, session, tmp_cwd):
    live.allow_clipboard()
    job = live.job(JobWidget(session.submit("a paper boat", endpoint="v3-pro", duration=3)))
    expect(player_of(job)).to_be_visible()

    frame = job.get_by_role("slider", name="Frame")
    frame.fill("10")
    job.get_by_role("button", name="loop from here").click()
    frame.fill("20")
    job.get_by_role("button", name="loop to here").click()
    expect(job.get_by_role("button", name="11–21: clear loop")).to_be_visible()
    job.get_by_role("combobox", name="Speed").select_option("2×")
    job.get_by_role("button", name="Play").click()
    video = job.locator("video")
    seen = video.evaluate(LOOPED)
    assert min(seen) >= 10
    assert max(seen) <= 24  # a player shows a frame or two more before it turns back
    assert video.evaluate("(video) => video.playbackRate") == 2
    job.get_by_role("button", name="Pause").click()
    with page.expect_download() as download:
        job.get_by_role("button", name="Save").click()
        job.get_by_role("menuitem", name="Video").click()
    (made,) = (tmp_cwd / "kling_media").glob("*.mp4")
    assert download.value.suggested_filename == made.name
    assert download.value.path().read_bytes() == made.read_bytes()

    job.get_by_text("Details ·").click()
    rows = job.get_by_role("log").locator("div")
    expect(rows.first).to_be_visible()
    every = rows.count()
    job.get_by_role("searchbox", name="Filter the log").fill("SAMPLING")
    expect(rows.filter(has_text="Sampling", visible=True).first).to_be_visible()
    expect(rows.filter(has_not_text="Sampling", visible=True)).to_have_count(0)
    job.get_by_role("button", name="Copy log").click()
    expect(job.get_by_role("button", name="Copied")).to_be_visible()
    lines = live.clipboard().splitlines()
    assert 0 < len(lines) < every
    assert all("Sampling" in line for line in lines)
    job.get_by_role("button", name="Copy as cell").click()
    live.until(lambda: live.clipboard().startswith("%%kling"))
    assert live.clipboard() == "%%kling --endpoint v3-pro --duration 3\na paper boat"


def test_what_is_refused_is_shown_and_nothing_stands_in_the_way_of_a_screen_reader(page, live, session):
    job = live.job(JobWidget(session.submit("a paper boat", endpoint="v3-pro", duration=3)))
    expect(player_of(job)).to_be_visible()
    job.get_by_text("More", exact=True).click()
    job.get_by_text("Details ·").click()
    expect(job.get_by_role("log")).to_be_visible()
    assert serious_faults(page, ".kling-job") == []
    job.get_by_role("button", name="Add to Shots").click()
    job.locator(".kling-list-item").get_by_role("textbox", name="Prompt").fill("rain on a window")
    expect(job.get_by_role("alert").filter(has_text="multi_prompt")).to_be_visible()
    expect(job.get_by_role("button", name="Generate")).to_have_attribute("aria-disabled", "true")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert serious_faults(page, ".kling-job") == []
    job.get_by_role("button", name="Undo the change of Shots").click()
    expect(job.get_by_role("button", name="Generate")).to_have_attribute("aria-disabled", "false")


class Shell:
    """What a cell needs of IPython."""

    def __init__(self):
        self.values = {}

    def push(self, values):
        self.values.update(values)


def of_cell(live, session, **arguments):
    """The finished job of a cell "%%kling kite", and its shell."""
    plan = session.plan("a kite", cell="kite", **arguments)
    job = live.finish(session._launch(plan))
    shell = Shell()
    job.cell = NamedCell("kite", plan.made_from, session, shell, "kling_media")
    return job, shell


def test_a_take_is_used_for_the_name_of_its_cell(page, live, session):
    first, shell = of_cell(live, session)
    job = live.job(JobWidget(first))
    use = job.get_by_role("button", name="Use this take")
    expect(use).to_have_attribute("title", "Let kite be this take, in all notebooks with kling_media")
    job.get_by_role("radio", name="10").check()
    job.get_by_role("button", name="Generate").click()
    expect(job.get_by_role("button", name="Take 2, 2 · 10 s, ")).to_have_attribute("aria-pressed", "true")
    expect(job.locator(".kling-chip").first).to_have_text("Ready")
    use.press("Enter")
    expect(job.get_by_role("button", name="✓ Used as kite")).to_have_attribute("aria-pressed", "true")
    expect(job.get_by_text("kite is this preview. It never replaces a video of fal.")).to_be_visible()
    assert shell.values["kite"].request["input"]["duration"] == "10"
    assert serious_faults(page, ".kling-job") == []
    job.get_by_role("button", name="Take 1,").click()
    expect(use).to_have_attribute("aria-pressed", "false")

    again, _ = of_cell(live, session)
    assert again.file == shell.values["kite"].path
    job = live.job(JobWidget(again))
    expect(job.get_by_role("button", name="✓ Used as kite")).to_be_visible()
    expect(job.get_by_role("button", name=", used")).to_have_count(1)


def test_a_preview_is_made_with_kling_at_the_price_that_is_shown_and_only_by_a_click(
    page, live, fal, home, tmp_cwd
):
    urls = dict.fromkeys(("queue_url", "rest_url", "api_url"), fal.url)
    with opened(backend="local", credentials=fal.key, local_speed=float("inf"), **urls) as session:
        preview = live.finish(session.submit("a kite", endpoint="v3-pro", duration=3))
        job = live.job(JobWidget(preview))
        final = job.get_by_role("button", name="Make it with Kling · about $0.50")
        expect(final).to_be_visible()
        assert serious_faults(page, ".kling-job") == []
        assert not fal.accepted
        final.dblclick()
        expect(job.get_by_role("button", name="Take 2,")).to_have_attribute("aria-pressed", "true")
        expect(job.get_by_role("button", name="Take 1, 1 · preview,")).to_be_visible()
        expect(job.get_by_text("LOCAL PREVIEW")).to_be_hidden()
        live.until(lambda: fal.accepted)
        (sent,) = fal.accepted
        assert sent.input == {"prompt": "a kite", "duration": "3"}
        assert sent.endpoint_id == "fal-ai/kling-video/v3/pro/text-to-video"
        expect(job.locator(".kling-chip").first).to_have_text("Ready")
        expect(job.get_by_role("button", name="Make it with Kling")).to_have_count(0)
        job.get_by_role("button", name="Take 1,").click()
        expect(job.get_by_role("button", name="Make it with Kling · already made, free")).to_be_visible()
        assert len(fal.accepted) == 1


def test_what_standard_made_is_made_on_pro_within_the_limits(live, paying, fal):
    draft = live.finish(paying.submit("a kite", endpoint="v1.6-standard", duration=10))
    job = live.job(JobWidget(draft))
    pro = job.get_by_role("button", name="Same on pro · about $0.98")
    expect(pro).to_be_enabled()
    pro.press("Enter")
    expect(job.get_by_role("button", name="Take 2, 2 · pro,")).to_have_attribute("aria-pressed", "true")
    live.until(lambda: len(fal.accepted) == 2)
    standard, sent = fal.accepted
    assert sent.input == standard.input
    assert sent.endpoint_id == "fal-ai/kling-video/v1.6/pro/text-to-video"
    expect(job.get_by_role("button", name="Generate")).to_be_enabled()
    with opened(backend="fal", credentials=fal.key, max_cost=0.9, home=paying.settings().home) as careful:
        draft.maker = careful
        job = live.job(JobWidget(draft))
        expect(job.get_by_role("button", name="Same on pro · already made, free")).to_be_enabled()
        draft = live.finish(paying.submit("a boat", endpoint="v1.6-standard", duration=10))
        draft.maker = careful
        job = live.job(JobWidget(draft))
        job.get_by_role("button", name="Save").scroll_into_view_if_needed()
        refused = job.get_by_role("button", name="Same on pro · about $0.98")
        expect(refused).to_be_disabled()
        expect(refused).to_have_attribute("title", re.compile("over --max-cost 0.9. Nothing was sent."))
    assert len(fal.accepted) == 3


def test_python_sees_and_sets_the_take(live, session):
    for new in (False, True):
        live.finish(session.submit("a kite", new=new))
    widget = JobWidget(session.submit("a kite"))
    seen = []
    widget.observe(lambda change: seen.append(change.new), "value")
    job = live.job(widget)
    one, two = (job.get_by_role("button", name=f"Take {number},") for number in (1, 2))
    expect(one).to_have_attribute("aria-pressed", "true")
    two.click()
    live.until(lambda: seen)
    assert (widget.take, seen) == (2, [widget.value])
    widget.take = 1
    expect(one).to_have_attribute("aria-pressed", "true")
    assert seen[1:] == [widget.value]

    def broken(change):
        raise ValueError("not mine")

    widget.observe(broken, "value")
    two.click()
    expect(job.get_by_text("An observer of `value` raised ValueError: not mine")).to_be_visible()


def test_what_failed_says_why_and_can_be_tried_again(live, paying, fal):
    fal.script = Script([Queue(0), Run(), Log("Checking"), Fail.refused(REFUSED, units="0")])
    job = live.job(JobWidget(paying.submit("a soft drink")))
    expect(job.get_by_text("The prompt names a brand")).to_be_visible()
    expect(job.get_by_text("not charged", exact=True)).to_be_visible()
    expect(job.get_by_text("Not charged: change the prompt or image.")).to_be_visible()
    expect(job.get_by_text("Failed").first).to_be_visible()
    expect(job.get_by_role("button", name="Retry")).to_be_hidden()  # fal would refuse it again
    fal.script = Script(instant())
    job.get_by_role("button", name="Generate · no price on record for v1-pro").click()
    expect(player_of(job)).to_be_visible()
    expect(job.get_by_role("button", name="Take 1, Failed")).to_be_visible()
    expect(job.get_by_text("5 billable units")).to_be_visible()
    assert len(fal.accepted) == 2


def test_what_was_quoted_as_running_is_quoted_again_at_its_end_and_bought_only_then(live, paying, fal):
    fal.script = Script([Queue(0), Run(), Hold(), Done()])
    running = paying.submit("a lighthouse")
    widget = JobWidget(running)
    job = live.job(widget)
    expect(job.get_by_text("Already running. No extra charge.")).to_be_visible()
    fal.release()
    expect(player_of(job)).to_be_visible()
    expect(job.get_by_role("button", name="Generate · no price on record for v1-pro")).to_be_visible()
    with pytest.raises(UsageError, match=r"A new take would be made now.* Nothing was sent\."):
        submit(running, {}, quoted="FOLLOW")
    assert fal.count("submit") == 1


def test_what_was_never_answered_is_asked_for_and_not_sent_twice(live, paying, fal):
    fal.fault("submit", "reset", handled=True)
    fal.fault("lookup", "no_items")
    made = live.finish(paying.submit("a lighthouse"))
    assert isinstance(made.error, SubmissionUncertain)
    job = live.job(JobWidget(made))
    expect(job.get_by_text("Uncertain").first).to_be_visible()
    ask = job.get_by_role("button", name="Resume")
    ask.click()
    expect(job.get_by_text("lists no such request yet")).to_be_visible()
    ask.click()
    expect(player_of(job)).to_be_visible()
    expect(job.get_by_text("resumed, no extra charge")).to_be_visible()
    assert fal.count("submit") == 1


def test_an_image_of_a_result_is_removed_and_another_one_dropped(page, live, session, tmp_cwd):
    Image.new("RGB", (400, 400), "teal").save("night.png")
    job = live.job(JobWidget(session.submit("the sky turns", endpoint="v1-pro-image", image="night.png")))
    expect(player_of(job)).to_be_visible()
    assert job.locator(".kling-screen").evaluate("(node) => node.clientWidth / node.clientHeight") < 1.05
    thumbnail = job.get_by_role("img", name="night.png")
    page.wait_for_function("(canvas) => canvas.width > 50", arg=thumbnail.element_handle())
    job.get_by_role("button", name="Remove night.png").click()
    expect(job.get_by_role("alert").filter(has_text="image", visible=True)).to_be_visible()
    page.evaluate(DROP, job.get_by_role("textbox", name="Image", exact=True).element_handle())
    expect(job.get_by_role("img", name="day.png")).to_be_visible()
    generate = job.get_by_role("button", name="Generate")
    expect(generate).to_have_attribute("aria-disabled", "false")
    generate.click()
    expect(job.get_by_role("button", name="Take 2,")).to_have_attribute("data-state", "READY")


def drop(page, field, name="day.png"):
    """Drop an image on a field of a form."""
    page.evaluate(DROP, field.element_handle())
    expect(page.get_by_role("img", name=name).last).to_be_visible()


def test_a_dropped_file_goes_to_fal_only_with_the_request_and_a_dropped_url_never_by_the_page(
    page, live, paying, fal
):
    fal.script = Script(instant())
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    panel = live.panel(Panel(paying, "v1-pro-image"))
    compose = panel.get_by_role("region", name="Compose")
    compose.get_by_role("textbox", name="Prompt", exact=True).fill("the sky turns")
    drop(page, compose.get_by_role("textbox", name="Image", exact=True))
    generate = compose.get_by_role("button", name="Generate")
    expect(generate).to_have_attribute("aria-disabled", "false")  # it has its price
    assert fal.requests == ()
    generate.click()
    fal.wait_for("submit")
    expect(panel.get_by_role("listbox", name="Library").get_by_text("Ready")).to_be_visible()
    assert (fal.count("upload_initiate"), fal.count("upload"), fal.count("submit")) == (1, 1, 1)

    job = live.job(JobWidget(live.finish(paying.submit("the sea", endpoint="v1-pro-image", image=URL))))
    form = job.get_by_role("region", name="Make another")
    form.get_by_role("button", name=f"Remove {URL}").click()
    drop(page, form.get_by_role("textbox", name="Image", exact=True))
    generate = form.get_by_role("button", name="Generate")
    expect(generate).to_have_attribute("aria-disabled", "false")
    form.get_by_role("button", name="Remove day.png").click()
    form.get_by_role("textbox", name="Image", exact=True).evaluate(DROP_URL, URL)
    form.get_by_role("radio", name="10 s").check(force=True)
    expect(generate).to_have_attribute("aria-disabled", "false")
    assert (fal.count("upload_initiate"), fal.count("submit")) == (1, 2)
    generate.click()
    expect(job.get_by_role("button", name="Take 2,")).to_have_attribute("data-state", "READY")
    assert (fal.count("upload_initiate"), fal.count("submit")) == (1, 3)
    assert fal.last("submit").json["image_url"] == URL
    assert not [url for url in asked if "images.invalid" in url]


def test_a_take_is_rated_by_keys_and_the_mouse_and_has_a_note(page, live, session, tmp_cwd):
    made = live.finish(session.submit("a paper boat"))
    job = live.job(JobWidget(made))
    stars = job.get_by_role("radiogroup", name="Rating of take 1")
    player_of(job).focus()
    page.keyboard.press("4")
    expect(stars.get_by_role("radio", name="Rate 4")).to_be_checked()
    live.until(lambda: made.video.rating == 4)
    note = job.get_by_role("textbox", name="Note")
    note.press_sequentially("5 gulls, warm light")  # digits in a text are text
    note.press("Enter")
    live.until(lambda: made.video.note == "5 gulls, warm light")
    assert made.video.rating == 4
    stars.get_by_title("2 stars").click()
    live.until(lambda: made.video.rating == 2)
    expect(stars.get_by_role("radio", name="Rate 2")).to_be_checked()
    page.keyboard.press("0")
    live.until(lambda: made.video.rating is None)
    expect(stars.get_by_role("radio", checked=True)).to_have_count(0)
    made.video.sidecar.with_name(LOCK).unlink()
    made.video.sidecar.with_name(LOCK).mkdir()  # nothing in the folder can be changed now
    page.keyboard.press("5")
    expect(job.get_by_role("alert").filter(has_text="cannot be written to")).to_be_visible()
    expect(stars.get_by_role("radio", checked=True)).to_have_count(0)
    assert serious_faults(page, ".kling-job") == []


def test_what_is_typed_for_another_take_stays_whatever_comes(page, live, paying, fal):
    fal.script = Script(instant())
    made = live.finish(paying.submit("a boat", endpoint="v1.6-pro", negative_prompt="fog"))
    job = live.job(JobWidget(made))
    form = job.get_by_role("region", name="Make another")
    prompt = form.get_by_role("textbox", name="Prompt", exact=True)
    generate = form.get_by_role("button", name="Generate")
    form.get_by_role("radio", name="10 s").check(force=True)
    expect(generate).to_have_attribute("aria-disabled", "false")
    with live.holding("generate"):
        generate.click()
        prompt.click()
        page.keyboard.press("End")
        page.keyboard.type(" at night")
        page.keyboard.press("Shift+ArrowLeft")
    expect(job.get_by_role("button", name="Take 2,")).to_have_attribute("data-state", "READY")
    expect(prompt).to_be_focused()
    page.keyboard.type("T, calm")  # over what was selected
    expect(prompt).to_have_value("a boat at nighT, calm")
    expect(form.get_by_role("radio", name="10 s")).to_be_checked()

    live.draw_again()  # as an output is at the end of its job
    job = live.page.get_by_label("Kling job").last
    form = job.get_by_role("region", name="Make another")
    prompt = form.get_by_role("textbox", name="Prompt", exact=True)
    expect(prompt).to_have_value("a boat at nighT, calm")
    expect(prompt).to_be_focused()
    page.keyboard.type("!")
    expect(prompt).to_have_value("a boat at nighT, calm!")
    job.get_by_role("button", name="Take 1").click()
    expect(form.get_by_role("radio", name="5 s")).to_be_checked()  # it was not touched since
    expect(prompt).to_have_value("a boat at nighT, calm!")
    form.get_by_role("button", name="Undo the change of Prompt").click()
    expect(prompt).to_have_value("a boat")
    job.get_by_role("button", name="Take 2").click()
    expect(form.get_by_role("radio", name="10 s")).to_be_checked()


def test_a_note_that_cannot_be_stored_is_kept(page, live, session):
    made = live.finish(session.submit("a paper boat"))
    job = live.job(JobWidget(made))
    note = job.get_by_role("textbox", name="Note")
    with live.holding("decide"):
        note.press_sequentially("warm light")
        player_of(job).focus()
        note.click()
        page.keyboard.press("End")
        page.keyboard.type(", gulls")
    live.until(lambda: made.video.note == "warm light")
    expect(note).to_have_value("warm light, gulls")
    lock = made.video.sidecar.with_name(LOCK)
    lock.unlink()
    lock.mkdir()  # nothing in the folder can be changed now
    player_of(job).focus()
    expect(job.get_by_role("alert").filter(has_text="cannot be written to")).to_be_visible()
    expect(note).to_have_value("warm light, gulls")
    lock.rmdir()
    note.press("End")
    note.press_sequentially("!")
    live.draw_again()
    live.until(lambda: made.video.note == "warm light, gulls!")


def test_the_frame_that_is_shown_begins_a_new_cell(page, live, session, tmp_cwd):
    live.allow_clipboard()
    made = session.submit("a paper boat", duration=5)
    made.variable = "boat"
    job = live.job(JobWidget(live.finish(made)))
    job.get_by_role("slider", name="Frame").fill("30")
    job.get_by_role("button", name="Continue from this frame").click()
    live.until(lambda: live.clipboard().startswith("%%kling boat_2"))
    name = f"{made.file.stem}-frame-31.png"
    assert (
        live.clipboard()
        == f"%%kling boat_2 --endpoint v1-pro-image --image-url kling_media/{name} --duration 5\n"
    )
    stored = np.asarray(Image.open(made.file.with_name(name)))
    assert np.array_equal(stored, np.asarray(made.video.frame(30.5 / 24)))


def test_a_frame_of_another_take_is_dragged_into_an_image_input(page, live, session, tmp_cwd):
    Image.new("RGB", (400, 400), "teal").save("night.png")
    live.job(JobWidget(session.submit("the sky turns", endpoint="v1-pro-image", image="night.png")))
    sky = page.get_by_label("Kling job").first
    boat = live.finish(session.submit("a paper boat"))
    other = live.job(JobWidget(boat))
    other.get_by_role("slider", name="Frame").fill("3")
    sky.get_by_role("button", name="Remove night.png").click()
    field = sky.get_by_role("textbox", name="Image", exact=True)
    other.locator(".kling-screen").drag_to(field)
    dragged = f"{boat.file.stem}-frame-4.png"
    expect(sky.get_by_role("img", name=dragged)).to_be_visible()
    sky.get_by_role("button", name=f"Remove {dragged}").click()
    live.allow_clipboard()
    other.get_by_role("button", name="Save").click()  # and the same by keyboard
    other.get_by_role("menuitem", name="Copy this frame").press("Enter")
    live.until(lambda: page.evaluate(COPIED))
    field.press("Control+V")
    expect(sky.get_by_role("img", name="image.png")).to_be_visible()
    expect(sky.get_by_role("button", name="Generate")).to_have_attribute("aria-disabled", "false")
