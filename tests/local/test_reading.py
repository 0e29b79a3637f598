"""What the preview reads from a prompt: mood, weather, camera, where lines break."""

import re

import pytest

from kling_nb.catalog import endpoints
from kling_nb.local.order import take_order
from kling_nb.local.preview.camera import choose_move
from kling_nb.local.preview.land import _RECIPES as LANDS
from kling_nb.local.preview.mood import moods, read_mood, spoken_weather
from kling_nb.local.preview.typeface import own_font, typeset
from kling_nb.local.preview.weather import _KINDS as KINDS
from kling_nb.local.preview.wrapping import clip, even_out, split_title, wrap

OWN_SKY = {"curtain", "rays"}


@pytest.mark.parametrize(
    ("prompt", "mood"),
    [
        ("A woman walks down a Tokyo street of neon signage", "neon"),
        ("Waves roll toward the shore", "sea"),
        ("Dragons asleep in a volcano", "fire"),
        ("An astronaut among the stars", "space"),
        ("海边的日落", "sea"),
        ("northern lights above a fjord", "aurora"),
    ],
)
def test_words_call_for_moods(prompt, mood):
    assert read_mood(prompt).name == mood


def test_a_prompt_without_such_words_has_one_of_the_quiet_moods():
    names = {read_mood(f"A cup turns, take {number}").name for number in range(40)}
    assert 3 < len(names) <= 6


def test_weather_is_taken_at_its_word():
    assert spoken_weather("Snow falls on a desert") == ("snow",)
    assert read_mood("Snow falls on a desert, dunes, sand").weather == ("snow",)


@pytest.mark.parametrize("mood", moods().values(), ids=lambda mood: mood.name)
def test_moods_are_complete(mood):
    colours = [*mood.sky, *mood.glows, *mood.disc_colours, *mood.ridges, mood.mist, mood.accent]
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in colours)
    assert mood.land in {"", *LANDS}
    assert set(mood.weather) <= set(KINDS) | OWN_SKY
    assert mood.disc in {"", "sun", "moon"}


@pytest.mark.parametrize(
    ("prompt", "axis", "sign"),
    [
        ("the camera pans right", 0, 1),
        ("pan to the left", 0, -1),
        ("zoom out slowly", 2, -1),
        ("push in", 2, 1),
    ],
)
def test_the_camera_does_what_the_prompt_says(prompt, axis, sign):
    move = choose_move(prompt)
    assert (move.end[axis] - move.start[axis]) * sign > 0
    assert move.at(0) == move.start
    assert move.at(1) == pytest.approx(move.end)


def test_a_short_prompt_is_all_title():
    assert split_title("A quiet forest\nat dawn") == ("A quiet forest at dawn", "")


def test_a_long_one_is_cut_where_a_reader_would_pause():
    prompt = "A stylish woman walks down a Tokyo street filled with warm glowing neon and animated signs."
    assert split_title(prompt)[0] == "A stylish woman walks down a Tokyo street"
    assert split_title("The sea is calm. " + "Far out a boat turns slowly " * 4)[0] == "The sea is calm."
    assert split_title("x" * 200)[0]


def test_no_line_is_too_long():
    face = own_font(40)
    text = "a long walk through the rain and further on into the hills beyond the river"
    lines = wrap(text, face, 300)
    assert " ".join(lines) == text
    assert all(face.getlength(line) <= 300 for line in lines)
    evened = even_out(text, face, 300, len(lines))
    assert len(evened) == len(lines)
    assert max(map(face.getlength, evened)) <= max(map(face.getlength, lines))
    assert clip(lines, 2, face, 300)[-1].endswith("…")


def test_letters_that_cannot_be_drawn_are_left_out():
    assert typeset("🎬 A tiny robot 🤖 waves") == ("A tiny robot waves", None)
    assert typeset("🎬✨")[0] == ""


@pytest.mark.parametrize("entry", endpoints(), ids=lambda entry: entry.id)
def test_every_endpoint_can_be_ordered(entry):
    order = take_order(entry, {}, [])
    assert order.prompt
    properties = entry.output_schema["properties"]
    assert all("url" in properties[name]["properties"] for name in order.outputs)
