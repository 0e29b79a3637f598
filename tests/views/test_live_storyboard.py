"""The storyboard in Chromium, with real takes and a real film behind it, and no notebook around it."""

import json

import pytest
from accessibility import serious_faults
from playwright.sync_api import expect

from kling_nb import Storyboard
from kling_nb.notebook.widgets.grid import live_view

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
PROMPTS = ("a harbour", "a storm", "a lighthouse")


@pytest.fixture
def board(live, session):
    jobs = [session.submit(prompt, endpoint="v3-pro", duration=3) for prompt in PROMPTS]
    shots = [live.finish(job) for job in jobs]
    live.finish(session.submit(PROMPTS[1], endpoint="v3-pro", duration=3, new=True))  # its take 2
    return Storyboard(shots)


def shown_in(view):
    return view.get_by_role("region", name="Shots in order").get_by_role("group")


def prompts_of(board):
    return [shot.request["input"]["prompt"] for shot in board]


def test_shots_are_arranged_trimmed_replaced_and_stored(page, live, board, tmp_cwd):
    view = live.grid(live_view(board))
    shots = shown_in(view)
    expect(shots).to_have_count(3)
    name = view.get_by_role("textbox", name="Storyboard name")
    name.press("End")
    name.press_sequentially(" mk")  # outside of a text these keys play and switch the audio
    expect(name).to_have_value("film mk")
    name.fill("film")
    view.get_by_role("button", name="Save storyboard").click()
    live.until((tmp_cwd / "film.storyboard.json").exists)
    expect(view.get_by_text("Saved in film.storyboard.json")).to_be_visible()

    shots.nth(2).drag_to(shots.nth(0))
    live.until(lambda: prompts_of(board) == ["a lighthouse", "a harbour", "a storm"])
    expect(shots.nth(0)).to_contain_text("1 · a lighthouse")
    view.get_by_role("button", name="Go to shot 3").click()
    expect(shots.nth(2)).to_have_attribute("aria-current", "true")
    view.get_by_role("button", name="← Earlier").press("Enter")  # by keyboard
    live.until(lambda: prompts_of(board) == ["a lighthouse", "a storm", "a harbour"])
    expect(shots.nth(1)).to_contain_text("2 · a storm")
    expect(shots.nth(1)).to_have_attribute("aria-current", "true")

    view.get_by_role("slider", name="Frame of the shots").press("ArrowRight")
    view.get_by_role("slider", name="Frame of the shots").press("Shift+ArrowRight")
    page.keyboard.press("i")
    live.until(lambda: board.trims[1] is not None)
    assert board.trims == (None, (pytest.approx(25 / 24, abs=1e-4), None), None)
    expect(shots.nth(1)).to_contain_text("1.04–3 s")
    expect(view.get_by_text("/ 191")).to_be_visible()

    old = board[1].path
    view.get_by_role("button", name="Take 2,").click()
    live.until(lambda: board[1].path != old)
    assert (prompts_of(board)[1], board.trims) == ("a storm", (None, None, None))
    expect(view.get_by_role("button", name="Take 2,")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("4")
    live.until(lambda: board[1].rating == 4)

    view.get_by_role("button", name="Remove").click()
    live.until(lambda: len(board) == 2)
    expect(shots).to_have_count(2)
    stored = json.loads((tmp_cwd / "film.storyboard.json").read_text())["shots"]
    assert [one["take"] for one in stored] == [shot.take for shot in board]
    assert Storyboard.load("film").trims == board.trims
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert serious_faults(page, ".kling-sweep") == []
    for width in (320, 1200):
        page.set_viewport_size({"width": width, "height": 1400})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_shot_has_all_that_a_result_has_and_what_is_typed_about_it_stays(page, live, board):
    view = live.grid(live_view(board))
    expect(shown_in(view)).to_have_count(3)
    shot = view.get_by_role("region", name="Shot", exact=True)
    head = view.locator("header", has=page.get_by_role("button", name="More", exact=True))
    expect(head.get_by_text("Shot 1")).to_be_visible()
    form = view.get_by_role("region", name="Make another")
    prompt = form.get_by_role("textbox", name="Prompt", exact=True)
    expect(prompt).to_have_value("a harbour")
    view.get_by_text("Details").click()
    expect(view.get_by_role("log")).to_be_visible()
    first = board[0].path
    generate = form.get_by_role("button", name="Generate")
    form.get_by_role("slider", name="Duration").fill("1")
    expect(generate).to_have_attribute("aria-disabled", "false")
    generate.click()
    made = shot.get_by_role("button", name="Take 2,")
    expect(made).to_have_attribute("data-state", "READY")
    assert board[0].path == first  # the shot is what it was until another take is chosen
    made.click()
    live.until(lambda: board[0].path != first)

    note = shot.get_by_role("textbox", name="Note")
    expect(note).to_be_enabled()
    note.press_sequentially("warm")
    view.get_by_role("slider", name="Frame of the shots").evaluate(
        "(node) => { node.value = node.max; node.dispatchEvent(new Event('input', { bubbles: true })) }"
    )
    expect(shown_in(view).nth(2)).to_have_attribute("aria-current", "true")
    page.keyboard.type(" light")
    expect(note).to_have_value("warm light")
    expect(head.get_by_text("Shot 1")).to_be_visible()  # it stays until its note is written
    view.get_by_role("slider", name="Frame of the shots").focus()
    live.until(lambda: board[0].note == "warm light")
    expect(head.get_by_text("Shot 3")).to_be_visible()
    assert serious_faults(page, ".kling-sweep") == []


def test_the_parts_of_a_shot_have_the_order_of_a_result(page, live, board):
    view = live.grid(live_view(board))
    shown_in(view).nth(1).get_by_role("button", name="Go to shot 2").click()
    expect(view.get_by_role("button", name="Take 2,")).to_be_visible()
    parts = {
        "whole": view.get_by_text("Storyboard", exact=True),
        "header": view.get_by_role("button", name="More", exact=True),
        "transport": view.get_by_role("slider", name="Frame of the shots"),
        "takes": view.get_by_role("button", name="Take 2,"),
        "actions": view.get_by_role("radiogroup", name="Rating of take"),
        "points": view.get_by_role("button", name="Start here"),
        "shots": view.get_by_role("region", name="Shots in order"),
        "film": view.get_by_role("button", name="Join"),
        "form": view.get_by_role("region", name="Make another"),
        "details": view.locator("summary", has_text="Details"),
    }
    for width in (320, 700, 1200):
        page.set_viewport_size({"width": width, "height": 1400})
        tops = {name: part.first.bounding_box()["y"] for name, part in parts.items()}
        form = tops.pop("form")
        assert [*tops.values()] == sorted(tops.values()), (width, tops)
        if width < 860:
            assert tops["film"] < form < tops["details"]
        else:  # next to the stage
            assert tops["header"] < form < tops["transport"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(view.locator("header").first).to_contain_text("Ready")


def test_the_film_is_joined_in_the_view_and_a_sheet_is_saved(page, live, board, tmp_cwd):
    view = live.grid(live_view(board))
    view.get_by_role("combobox", name="Between the shots").select_option("fade")
    view.get_by_role("button", name="Join").click()
    film = view.get_by_role("region", name="Film")
    expect(film.get_by_role("group", name="Video player")).to_be_visible()
    expect(film).to_contain_text("encoded again: shots fade")
    (made,) = (tmp_cwd / "kling_media").glob("film-*.mp4")
    with page.expect_download() as download:
        film.get_by_role("button", name="Save film").click()
    assert download.value.path().read_bytes() == made.read_bytes()
    with page.expect_download() as download:
        view.get_by_role("button", name="Contact sheet").click()
        view.get_by_role("menuitem", name="HTML").click()
    assert download.value.suggested_filename == "contact-sheet.html"
    assert all(prompt in download.value.path().read_text() for prompt in PROMPTS)
