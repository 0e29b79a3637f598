"""The panel in Chromium, with a session, a ledger and local previews behind it, and no notebook around it."""

import io
import re
from pathlib import Path

import pytest
from accessibility import serious_faults
from hostile import HOSTILE
from PIL import Image
from playwright.sync_api import expect

from kling_nb import Panel, Video
from kling_nb.events import State
from kling_nb.ledger import Intent
from kling_nb.library import Library
from kling_nb.notebook.widgets.job import JobWidget
from views.live import LivePage, opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
TEXT = "fal-ai/kling-video/v1/pro/text-to-video"
IMAGE = "fal-ai/kling-video/v1/pro/image-to-video"
GENERATE = re.compile(r"^Generate\b")
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


def note(session, prompt, endpoint=TEXT, **columns):
    """A submission in the ledger, as an earlier kernel left it."""
    intent = Intent(
        backend="fal",
        endpoint=endpoint,
        input={"prompt": prompt},
        prompt=prompt,
        fingerprint=prompt[:60],
        folder=Path("kling_media").absolute(),
        new=True,
    )
    entry, _ = session.ledger.claim(intent)
    session.ledger.update(entry.id, **columns)


def prompt_of(panel):
    return panel.get_by_role("region", name="Compose").get_by_role("textbox", name="Prompt", exact=True)


def generate_of(panel):
    compose = panel.get_by_role("region", name="Compose")
    return compose.get_by_role("button", name=GENERATE)


def running_in(panel):
    return panel.get_by_role("list", name="Running").get_by_role("listitem")


def opened_in(panel):
    return panel.get_by_role("region", name="Result")


def player_in(panel):
    return opened_in(panel).get_by_role("group", name="Video player")


def rows_of(panel):
    return panel.get_by_role("listbox", name="Library").get_by_role("option")


def generate(panel, prompt):
    prompt_of(panel).fill(prompt)
    generate_of(panel).click()


def wait_until_playing(page):
    page.wait_for_function(
        "() => [...document.querySelectorAll('[aria-label=\"Kling panel\"] video')].some("
        "(v) => !v.paused && v.currentTime > 0.1)"
    )


def test_an_image_is_pasted_dropped_or_picked_and_used(page, live, session):
    panel = live.panel(Panel(session, "v1-pro-image"))
    field = panel.get_by_role("region", name="Compose").get_by_role("textbox", name="Image", exact=True)
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
    expect(player_in(panel)).to_be_visible()
    panel.get_by_role("button", name="Remove night.png").click()
    expect(field).to_be_focused()
    expect(panel.get_by_role("region", name="Compose")).to_contain_text("Image is missing")


def test_every_kind_of_control_reaches_python_and_python_the_panel(page, live, session):
    made = Panel(session)
    panel = live.panel(made)
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
    panel.get_by_role("button", name="Add to Elements").click()
    panel.get_by_role("textbox", name="Frontal image").fill("https://images.invalid/1.png")
    expect(generate_of(panel)).to_have_attribute("aria-disabled", "false")
    live.until(lambda: "elements" in made.request.input)
    request = made.request.input
    assert request["elements"] == [{"frontal_image_url": "https://images.invalid/1.png"}]
    assert set(request) == {
        "cfg_scale",
        "duration",
        "elements",
        "generate_audio",
        "prompt",
        "shot_type",
        "start_image_url",
    }
    assert (request["duration"], request["cfg_scale"]) == ("7", 0.7)
    endpoint.click()
    endpoint.fill("video to audio")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("group", name="Elements")).to_be_hidden()
    panel.get_by_text("More", exact=True).click()
    expect(panel.get_by_role("textbox", name="Sound effect prompt")).to_be_visible()
    live.until(lambda: made.request is None)

    seen = []
    made.observe(lambda change: seen.append(change.new.take), "value")
    made.submit(endpoint="v1-pro", prompt="a heron lands")
    expect(rows_of(panel).filter(has_text="a heron lands")).to_contain_text("Ready")
    live.until(lambda: seen)
    assert made.value.request["input"] == {"prompt": "a heron lands"}
    assert seen == [1]

    def broken(change):
        raise ValueError("not mine")

    made.observe(broken, "request")
    endpoint.click()
    endpoint.fill("v1-pro")
    page.keyboard.press("Enter")
    prompt_of(panel).fill("a heron flies off")
    fault = panel.get_by_role("alert").filter(has_text="An observer of `request` raised ValueError: not mine")
    expect(fault).to_be_visible()
    fault.get_by_role("button", name="Dismiss").click()
    expect(fault).to_be_hidden()


def test_nothing_typed_is_lost_when_the_controls_of_another_endpoint_arrive(page, live, session):
    made = Panel(session, "v3-pro")
    panel = live.panel(made)
    panel.get_by_text("More", exact=True).click()
    panel.get_by_role("textbox", name="Negative prompt").fill("fog")
    panel.get_by_role("slider", name="CFG scale").fill("0.7")
    endpoint = panel.get_by_role("combobox", name="Endpoint", exact=True)
    prompt = prompt_of(panel)
    with live.holding("controls"):
        endpoint.click()
        endpoint.fill("3.0 pro image")
        page.keyboard.press("Enter")
        prompt.click()
        page.keyboard.type("a gray heron")
        page.keyboard.press("Shift+ArrowLeft")  # the "n" is selected
    start = panel.get_by_role("textbox", name="Start image", exact=True)
    expect(start).to_be_visible()
    expect(prompt).to_be_focused()
    page.keyboard.type("N!")
    expect(prompt).to_have_value("a gray heroN!")
    live.until(lambda: made._desk.draft.values.get("prompt") == "a gray heroN!")
    assert made._desk.draft.values["cfg_scale"] == 0.7

    with live.holding("controls"):
        endpoint.click()
        endpoint.fill("video to audio")
        page.keyboard.press("Enter")
        start.click()
        page.keyboard.type("https://images.invalid/her")
    expect(start).to_be_hidden()  # this endpoint has no such field, nor a prompt
    endpoint.click()
    endpoint.fill("3.0 pro image")
    page.keyboard.press("Enter")
    expect(prompt).to_have_value("a gray heroN!")
    live.until(lambda: made._desk.draft.values.get("start_image_url") == "https://images.invalid/her")
    endpoint.click()
    endpoint.fill("v2-master")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("textbox", name="Negative prompt")).to_have_value("fog")


def test_what_is_typed_while_parameters_are_fetched_is_kept(page, live, session):
    note(session, "an old boat", state=State.READY)
    made = Panel(session)
    panel = live.panel(made)
    rows_of(panel).first.click()
    with live.holding("reuse"):
        panel.get_by_role("button", name="Edit in Compose").click()
        prompt_of(panel).click()
        page.keyboard.type("a new boat")
    live.until(lambda: made._desk.draft.revision and made._desk.draft.values["prompt"] == "a new boat")
    expect(prompt_of(panel)).to_have_value("a new boat")
    expect(prompt_of(panel)).to_be_focused()


def test_a_result_has_one_head(page, live, session):
    panel = live.panel(Panel(session))
    generate(panel, "a boat")
    expect(player_in(panel)).to_be_visible()
    rows_of(panel).first.click()
    expect(player_in(panel)).to_be_visible()
    expect(opened_in(panel).locator(".kling-chip:visible")).to_have_text(["Ready"])


def test_there_is_one_form_and_a_result_hands_its_request_to_it(page, live, session):
    made = Panel(session, "v3-pro")
    panel = live.panel(made)
    generate(panel, "a boat")
    expect(player_in(panel)).to_be_visible()
    expect(panel.get_by_role("button", name=GENERATE)).to_have_count(1)
    expect(panel.get_by_role("textbox", name="Prompt", exact=True)).to_have_count(1)
    prompt_of(panel).fill("something else")
    opened_in(panel).get_by_role("button", name="Edit in Compose").click()
    expect(prompt_of(panel)).to_have_value("a boat")
    expect(prompt_of(panel)).to_be_focused()
    page.keyboard.type("!")
    expect(prompt_of(panel)).to_have_value("a boat!")


def test_several_takes_are_made_at_once(page, live, session):
    panel = live.panel(Panel(session))
    compose = panel.get_by_role("region", name="Compose")
    prompt_of(panel).fill("a boat")
    compose.get_by_role("combobox", name="How many takes").select_option("×2")
    compose.get_by_role("button", name="Generate 2 · free").click()
    expect(rows_of(panel).filter(has_text="a boat")).to_have_count(2)
    expect(generate_of(panel)).to_be_visible()  # what is there already
    more = compose.get_by_role("button", name="2 more takes · free")
    expect(more).to_be_visible()
    more.click()
    expect(rows_of(panel).filter(has_text="a boat")).to_have_count(4)


def test_a_file_that_arrives_after_another_endpoint_was_chosen_is_not_lost(page, live, session):
    panel = live.panel(Panel(session, "v1-pro-image"))
    compose = panel.get_by_role("region", name="Compose")
    endpoint = panel.get_by_role("combobox", name="Endpoint", exact=True)
    with live.holding("attach"):
        field = compose.get_by_role("textbox", name="Image", exact=True)
        page.evaluate(HAND_OVER, [field.element_handle(), "drop", "night.png"])
        endpoint.click()
        endpoint.fill("3.0 pro image")
        page.keyboard.press("Enter")
        expect(compose.get_by_role("textbox", name="Start image", exact=True)).to_be_visible()
    expect(panel.get_by_role("img", name="night.png")).to_be_visible()


def test_the_chooser_recommends_filters_and_says_what_this_request_costs(page, live, session):
    panel = live.panel(Panel(session, "v1.6-pro"))
    panel.get_by_role("radio", name="10 s").check(force=True)
    endpoint = panel.get_by_role("combobox", name="Endpoint", exact=True)
    endpoint.click()
    first = panel.get_by_role("group", name="Recommended").get_by_role("option")
    expect(first).to_have_count(6)
    expect(first.first).to_contain_text("Text to video · audio · shots")
    expect(first.first).to_contain_text("about $1.68")
    assert serious_faults(page, ".kling-panel") == []
    panel.get_by_role("combobox", name="Kind of endpoint").select_option("Image to video")
    options = panel.get_by_role("listbox", name="Endpoints").get_by_role("option")
    expect(options.filter(has_text="Text to Video")).to_have_count(0)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(endpoint).to_have_value("Kling 3.0 (pro) Image to Video")


def test_takes_of_the_studio_are_listed_and_stored_when_they_are_opened(live, tmp_path, home, tmp_cwd):
    (tmp_path / "studio").mkdir()
    studio = Library(str(tmp_path / "studio"))
    shared = {"backend": "local", "local_speed": float("inf"), "library": str(tmp_path / "studio")}
    with opened(**shared, media=str(tmp_path / "colleague")) as other:
        for prompt in ("a heron lands", "a wolf runs"):
            live.finish(other.submit(prompt))
    live.until(lambda: studio.page(0, 5)[1] == 2)
    with opened(**shared, media=str(tmp_path / "own"), home=str(tmp_path / "own-home")) as session:
        panel = live.panel(Panel(session))
        panel.get_by_label("Rating of the library").select_option("The studio's")
        expect(panel.get_by_role("option", name="a wolf runs")).to_be_visible()
        expect(panel.get_by_role("searchbox")).to_be_disabled()
        assert not (tmp_path / "own").exists()
        panel.get_by_role("option", name="a heron lands").click()
        expect(panel.get_by_role("group", name="Video player")).to_be_visible()
        for _ in range(2):  # it is stored once
            panel.get_by_role("option", name="a wolf runs").click()
            expect(panel.get_by_role("img", name="a wolf runs")).to_be_visible()
            panel.get_by_role("option", name="a heron lands").click()
            expect(panel.get_by_role("img", name="a heron lands")).to_be_visible()
        assert len(list((tmp_path / "own").glob("*.mp4"))) == 2


def test_shots_and_elements_are_rows(page, live, session):
    made = Panel(session, "v3-pro")
    panel = live.panel(made)
    for prompt, seconds in (("rain on a window", 3), ("the street below", 4)):
        panel.get_by_role("button", name="Add to Shots").click()
        shot = panel.locator(".kling-list-item").last
        expect(shot.get_by_role("textbox", name="Prompt")).to_be_focused()
        page.keyboard.type(prompt)
        shot.get_by_role("slider", name="Duration").fill(f"{seconds - 1}")
    expect(panel.get_by_text("2 shots · 7 s in all")).to_be_visible()
    shots = [
        {"prompt": "rain on a window", "duration": "3"},
        {"prompt": "the street below", "duration": "4"},
    ]
    live.until(lambda: made.request is not None and made.request.input["multi_prompt"] == shots)
    assert serious_faults(page, ".kling-panel") == []
    panel.get_by_role("button", name="Remove from Shots").first.click()
    live.until(lambda: len(made.request.input["multi_prompt"]) == 1)


def test_an_element_is_named_in_the_prompt_and_a_dropped_url_is_not_fetched(page, live, session):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    made = Panel(session, "o1-reference")
    panel = live.panel(made)
    prompt_of(panel).fill("a walk of")
    panel.get_by_role("button", name="Add to Elements").click()
    front = panel.get_by_role("textbox", name="Frontal image")
    front.evaluate(
        """(node) => { const data = new DataTransfer();
          data.setData("text/uri-list", "https://images.invalid/heron.png");
          const about = { bubbles: true, cancelable: true, dataTransfer: data };
          node.dispatchEvent(new DragEvent("drop", about)) }"""
    )
    expect(panel.get_by_title("https://images.invalid/heron.png")).to_be_visible()
    prompt_of(panel).press("End")
    panel.get_by_role("button", name="@Element1").click()
    expect(prompt_of(panel)).to_have_value("a walk of @Element1 ")
    live.until(lambda: made.request is not None and "elements" in made.request.input)
    assert made.request.input["elements"][0]["frontal_image_url"] == "https://images.invalid/heron.png"
    assert not [url for url in asked if "images.invalid" in url]


def test_two_views_agree_and_a_page_that_is_loaded_again_finds_everything(page, live, session):
    made = Panel(session)
    one, other = live.panel(made), live.panel(made)
    one = page.get_by_role("region", name="Kling panel").first
    prompt_of(one).fill("a lighthouse in a storm")
    expect(prompt_of(other)).to_have_value("a lighthouse in a storm")
    other.get_by_role("radio", name="1:1").check(force=True)
    expect(one.get_by_role("radio", name="1:1")).to_be_checked()
    expect(prompt_of(one)).to_have_value("a lighthouse in a storm")
    generate_of(other).click()
    for panel in (one, other):
        expect(rows_of(panel)).to_contain_text("Ready")
        expect(panel.get_by_text("Already made, free.")).to_be_visible()
    prompt_of(one).fill("a lighthouse at noon")
    expect(generate_of(one)).to_have_attribute("aria-disabled", "false")
    live.open()
    expect(prompt_of(one)).to_have_value("a lighthouse at noon")
    expect(rows_of(one)).to_contain_text("a lighthouse in a storm")
    rows_of(one).click()
    opened_in(one).get_by_role("button", name="Play").click()
    wait_until_playing(page)


def test_a_thousand_entries_are_searched_filtered_compared_and_reused(page, live, session):
    live.allow_clipboard()
    for number in range(1000):
        one = TEXT if number % 2 else IMAGE
        note(session, f"fox number {number}", one, state=State.READY if number % 10 else State.FAILED)
    panel = live.panel(Panel(session))
    expect(panel.get_by_text("1,000 jobs")).to_be_visible()
    expect(rows_of(panel).first).to_contain_text("fox number 999")
    assert rows_of(panel).count() < 30
    history = panel.get_by_role("listbox", name="Library")
    history.focus()
    page.keyboard.press("End")
    expect(panel.get_by_role("option", name="fox number 0 ")).to_be_visible()
    page.keyboard.press("Enter")
    opened = opened_in(panel)
    opened.get_by_text("Details").click()
    expect(opened.get_by_role("definition").filter(has_text="fox number 0")).to_be_visible()
    panel.get_by_role("searchbox", name="Search the library").fill("NUMBER 77")
    expect(panel.get_by_text("19 jobs")).to_be_visible()  # 77 is also in 177, 277 …
    panel.get_by_role("combobox", name="State of the library").select_option("FAILED")
    expect(panel.get_by_text("1 job", exact=True)).to_be_visible()
    expect(rows_of(panel)).to_contain_text(["fox number 770"])
    panel.get_by_role("combobox", name="State of the library").select_option("")
    panel.get_by_role("combobox", name="Endpoint of the library").select_option(TEXT)
    expect(panel.get_by_text("14 jobs")).to_be_visible()
    expect(rows_of(panel).nth(1)).to_contain_text("fox number 877")
    history.focus()
    for key in ("Home", "Space", "ArrowDown", "Space"):
        page.keyboard.press(key)
    expect(opened.get_by_role("heading", name="Compare")).to_be_visible()
    opened.get_by_role("button", name="Edit in Compose").click()
    expect(prompt_of(panel)).to_have_value("fox number 977")
    compose = panel.get_by_role("region", name="Compose")
    compose.get_by_role("radio", name="9:16").check(force=True)
    compose.get_by_role("button", name="Copy as cell").click()
    expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    assert live.clipboard() == "%%kling --aspect-ratio 9:16\nfox number 977"


COUNT = """addEventListener("click", ({ detail, target }) => {
  if (detail) window.clicks = [...(window.clicks ?? []), target.textContent || target.tagName] }, true)"""
"""Notes what is clicked with the mouse."""


def test_a_film_of_three_shots_takes_eight_clicks(page, live, session, tmp_cwd):
    page.evaluate(COUNT)
    made = Panel(session, "v3-pro")
    panel = live.panel(made)
    prompts = ["a harbour", "a storm", "a lighthouse"]
    for prompt in prompts:
        prompt_of(panel).click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(prompt)
        expect(generate_of(panel)).to_have_attribute("aria-disabled", "false")
        generate_of(panel).click()
        expect(player_in(panel).get_by_role("img", name=prompt, exact=True)).to_be_visible()
    panel.get_by_role("button", name="Storyboard", exact=True).click()
    board = panel.get_by_role("region", name="Storyboard")
    expect(board.get_by_role("region", name="Shots in order").get_by_role("group")).to_have_count(3)
    board.get_by_role("button", name="Join").click()
    expect(board.get_by_role("region", name="Film").get_by_role("group", name="Video player")).to_be_visible()
    assert len(page.evaluate("window.clicks")) == 8, page.evaluate("window.clicks")
    assert [shot.request["input"]["prompt"] for shot in made.storyboard] == [
        "a harbour",
        "a storm",
        "a lighthouse",
    ]
    (film,) = (tmp_cwd / "kling_media").glob("film-*.mp4")
    assert Video.from_file(film).duration == pytest.approx(15)
    assert serious_faults(page, "[aria-label='Kling panel']") == []


def test_the_library_keeps_to_stars_and_a_frame_begins_the_next_composition(page, live, session, tmp_cwd):
    for prompt, stars in (("a harbour", 4), ("a storm", 2)):
        live.finish(session.submit(prompt)).video.rating = stars
    made = Panel(session)
    panel = live.panel(made)
    expect(rows_of(panel)).to_have_count(2)
    panel.get_by_role("combobox", name="Rating of the library").select_option("4 stars and up")
    expect(rows_of(panel)).to_have_count(1)
    expect(rows_of(panel)).to_contain_text("★ 4")
    rows_of(panel).click()
    expect(player_in(panel)).to_be_visible()
    player_in(panel).get_by_role("slider", name="Frame").fill("30")
    opened_in(panel).get_by_role("button", name="Continue from this frame").click()
    compose = panel.get_by_role("region", name="Compose")
    expect(compose.get_by_role("img", name="frame-31.png")).to_be_visible()
    expect(prompt_of(panel)).to_be_focused()
    expect(compose.get_by_role("combobox", name="Endpoint", exact=True)).to_have_value(
        "Kling 1.0 Image to Video"
    )
    page.keyboard.insert_text("the boats leave")
    page.keyboard.press("Control+Enter")
    live.until(lambda: made.value is not None)
    opened_in(panel).get_by_role("button", name="Close").click()
    compose.get_by_role("button", name="Remove").click()
    panel.get_by_role("combobox", name="Rating of the library").select_option("All ratings")
    expect(rows_of(panel)).to_have_count(3)
    expect(compose.get_by_text("Image is missing")).to_be_visible()  # nothing moves while it is dragged
    rows_of(panel).last.locator("canvas").drag_to(compose.get_by_role("textbox", name="Image", exact=True))
    expect(compose.get_by_role("img", name="poster.png")).to_be_visible()


def test_hostile_text_stays_text_and_breaks_no_layout(page, live, session):
    for text in HOSTILE:
        note(session, text, text[:200], state=State.FAILED, error=text, request_id=text[:300])
    panel = live.panel(Panel(session))
    panel.get_by_role("listbox", name="Library").focus()
    opened = opened_in(panel)
    for number, text in enumerate(reversed(HOSTILE)):
        page.keyboard.press("Home" if number == 0 else "ArrowDown")
        page.keyboard.press("Enter")
        expect(opened.get_by_text("Failed").first).to_be_visible()
        expect(opened.locator(".kling-title:visible").first).to_contain_text(
            text.split("\n")[0][:8].strip("\0")
        )
        wide = panel.evaluate("(node) => node.scrollWidth - node.clientWidth")
        assert wide <= 0, text[:40]
    generate(panel, HOSTILE[0])
    expect(player_in(panel)).to_be_visible()
    assert page.evaluate("window.hit") is None
    assert panel.locator("script, b, h1").count() == 0


def test_an_empty_panel_offers_examples(page, live, session):
    panel = live.panel(Panel(session))
    expect(panel.get_by_text("Nothing was made yet.")).to_be_visible()
    example = panel.get_by_role(
        "button", name="A paper boat on a pond in the rain, seen from above", exact=True
    )
    prompt = example.text_content()
    example.click()
    expect(prompt_of(panel)).to_have_value(prompt)
    expect(generate_of(panel)).to_have_attribute("aria-disabled", "false")
    generate_of(panel).click()
    expect(player_in(panel)).to_be_visible()
    expect(example).to_be_hidden()


def test_examples_fit_the_kind_of_endpoint(page, live, session):
    panel = live.panel(Panel(session, "v1-pro-image"))
    result = opened_in(panel)
    expect(result.get_by_role("button", name="A light wind moves leaves, cloth and hair")).to_be_visible()
    expect(result.get_by_role("button", name="A paper boat")).to_have_count(0)
    endpoint = panel.get_by_role("combobox", name="Endpoint", exact=True)
    for name, example in (("lipsync text", None), ("v1-pro", "A paper boat on a pond")):
        endpoint.click()
        endpoint.fill(name)
        page.keyboard.press("Enter")
        if example:
            expect(result.get_by_role("button", name=example)).to_be_visible()
        else:
            expect(result.get_by_role("button")).to_have_count(0)


@pytest.mark.parametrize("width", [320, 700, 1200])
def test_the_library_has_one_line_of_what_it_is_and_one_or_two_of_what_it_keeps_to(
    page, live, session, width
):
    page.set_viewport_size({"width": width + 16, "height": 900})
    for number in range(2):
        note(session, f"fox number {number}", state=State.READY)
    panel = live.panel(Panel(session))
    for option in panel.get_by_title("Mark to compare").all():
        option.click()  # a longer line: with Storyboard
    expect(panel.get_by_role("heading", name="Compare")).to_be_visible()
    search = panel.get_by_role("search")
    expect(search.get_by_role("button", name="Storyboard")).to_be_visible()
    boxes = search.evaluate(
        """(node) => ["h4, button", "input, select"].map((kind) =>
          [...node.querySelectorAll(kind)].map((one) => one.getBoundingClientRect())
            .map(({ top, bottom, right }) => [(top + bottom) / 2, right]))"""
    )
    heads, filters = ({round(middle / 4) for middle, _ in group} for group in boxes)
    assert (len(heads), len(filters)) == (1, 2 if width == 320 else 1)
    assert max(right for group in boxes for _, right in group) <= width


def test_what_runs_in_a_panel_is_not_shown_at_work_once_its_kernel_is_gone(page, live, home, tmp_cwd):
    with opened(backend="local", local_speed=0.05) as slow:
        made = Panel(slow)
        panel = live.panel(made)
        generate(panel, "a slow snail")
        row = running_in(panel)
        expect(row.get_by_role("progressbar")).to_be_visible()
        expect(panel.get_by_text("Already running.")).to_be_visible()
        page.evaluate("() => gone()")
        expect(panel.get_by_text("Run the cell again for a new panel.")).to_be_visible()
        expect(opened_in(panel)).to_contain_text("The preview ended with its kernel.")
        for other in ("goes on at fal", "went away"):  # it has one kernel, and one thing to do
            expect(panel.get_by_text(other).locator("visible=true")).to_have_count(0)
        for stale in ("Already running.", "Another take", "Edit in Compose", "Notify me"):
            expect(panel.get_by_text(stale).locator("visible=true")).to_have_count(0)
        for name in ("Generate", "Copy as cell"):
            expect(
                panel.get_by_role("region", name="Compose").get_by_role("button", name=name)
            ).to_be_disabled()
        expect(panel.get_by_role("region", name="Library").get_by_text("a slow snail")).to_have_count(1)
        for part in (row, opened_in(panel)):
            expect(part.locator(".kling-chip:not([hidden])").first).to_have_text("Not connected")
            expect(part.get_by_role("progressbar")).to_be_hidden()
            expect(part.get_by_role("button", name="Cancel")).to_be_hidden()
        made._desk.queue.running[0].cancel_soon()


def test_jobs_run_side_by_side_and_each_can_be_cancelled(page, live, home, tmp_cwd):
    with opened(backend="local", local_speed=0.05) as slow:
        panel = live.panel(Panel(slow))
        for prompt in ("a slow snail", "a slower sloth"):
            generate(panel, prompt)
            expect(running_in(panel).filter(has_text=prompt)).to_contain_text("5 s · 16:9")
        expect(running_in(panel).get_by_role("progressbar")).to_have_count(2)
        expect(rows_of(panel)).to_have_count(0)  # a job is listed once
        expect(panel.get_by_text("2 jobs", exact=True)).to_be_visible()
        panel.get_by_role("button", name="Cancel a slower sloth").click()
        expect(rows_of(panel)).to_contain_text("a slower sloth")
        expect(rows_of(panel)).to_contain_text("Cancelled")
        expect(running_in(panel)).to_have_count(1)
        running_in(panel).get_by_role("button", name="Open a slow snail").click()
        running_in(panel).get_by_role("button", name="Cancel a slow snail").click()
        expect(rows_of(panel)).to_have_count(2)
        expect(running_in(panel)).to_have_count(0)


@pytest.mark.parametrize("styles", [("panel", "job"), ("job", "panel")], ids="-".join)
def test_a_panel_and_a_job_on_one_page_leave_each_other_alone(page, window, session, styles):
    live = LivePage(window, styles)
    made = live.finish(session.submit("a paper boat"))
    panel, job = live.panel(Panel(session)), live.job(JobWidget(made))
    expect(job.get_by_role("group", name="Video player")).to_be_visible()
    rows_of(panel).first.click()
    expect(player_in(panel)).to_be_visible()
    page.wait_for_function(
        "(screen) => screen.offsetWidth > 200 && screen.offsetHeight > 100",
        arg=opened_in(panel).locator(".kling-screen").element_handle(),
    )
    for name in ("Play", "Full screen"):
        expect(job.get_by_role("button", name=name)).to_have_css("border-top-color", "rgba(0, 0, 0, 0)")
        expect(job.get_by_role("button", name=name)).to_have_css("padding-left", "5px")
    expect(job.locator("video")).to_have_css("position", "absolute")
    expect(job.get_by_role("slider", name="Frame")).to_have_css("min-width", "0px")
    for one in (job, opened_in(panel)):
        expect(one.locator(".kling-fold").first).to_have_css("border-top-width", "1px")


def test_desktop_notices_come_only_when_asked_for(page, live, session):
    page.evaluate(f"() => {{ {NOTICES} }}")
    panel = live.panel(Panel(session))
    notify = panel.get_by_role("switch", name="Notify me")
    expect(notify).not_to_be_checked()
    generate(panel, "a silent owl")
    expect(rows_of(panel)).to_contain_text("Ready")
    notify.check()
    generate(panel, "a loud owl")
    page.wait_for_function("window.shown.length > 0")
    assert page.evaluate("window.shown") == ["Ready: Kling 1.0 Text to Video"]


def test_axe_finds_no_serious_violation(page, live, session):
    for number in range(60):
        note(session, f"fox number {number}", state=list(State)[number % 8])
    panel = live.panel(Panel(session, "v3-pro-image"))
    endpoint = panel.get_by_role("combobox", name="Endpoint", exact=True)
    endpoint.click()
    assert serious_faults(page, "[aria-label='Kling panel']") == []
    page.keyboard.press("Escape")
    prompt_of(panel).fill("a fox without its picture")
    expect(panel.get_by_text("Start image is missing.")).to_be_visible()
    endpoint.fill("v1-pro")
    page.keyboard.press("Enter")
    generate_of(panel).click()
    expect(player_in(panel)).to_be_visible()
    opened_in(panel).get_by_text("Details").click()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert serious_faults(page, "[aria-label='Kling panel']") == []
