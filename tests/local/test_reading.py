"""What the preview reads from a prompt: scenery, camera, where lines break."""

import re

import numpy as np
import pytest

from kling_nb._typesetting import font, shorten, typeset, wrap
from kling_nb.catalog.shipped import endpoints
from kling_nb.local.order import make_order
from kling_nb.local.preview.render import choose_move, set_title
from kling_nb.local.preview.scenery import LAYERS, THEMES, choose_scenery


@pytest.mark.parametrize(
    ("prompt", "theme"),
    [
        ("A woman walks down a Tokyo street of neon signage", "neon"),
        ("Waves roll toward the shore", "sea"),
        ("Dragons asleep in a volcano", "fire"),
        ("An astronaut among the stars", "space"),
        ("海边的日落", "sea"),
        ("northern lights above a fjord", "aurora"),
    ],
)
def test_words_pick_the_theme(prompt, theme):
    assert choose_scenery(prompt).name == theme


def test_a_prompt_without_such_words_has_one_of_the_quiet_themes():
    names = {choose_scenery(f"A cup turns, take {number}").name for number in range(40)}
    assert names == {name for name, theme in THEMES.items() if not theme.words}


def test_a_colour_that_the_prompt_names_is_the_accent():
    red, blue = (choose_scenery(f"A {colour} cup on the table") for colour in ("red", "blue"))
    assert np.argmax(red.lights[0]) == 0
    assert np.argmax(blue.lights[0]) == 2


def test_parameters_change_the_places_and_keep_the_look():
    one, other = (choose_scenery("A red kite over the sea", salt) for salt in ("5 s", "10 s"))
    assert (one.name, one.seed != other.seed) == (other.name, True)
    assert np.array_equal(one.sky, other.sky)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_themes_are_complete(theme):
    assert [len(row.split()) for row in (theme.sky, theme.lights)] == [4, 3]
    assert all(re.fullmatch(r"[0-9a-f]{6}", code) for code in f"{theme.sky} {theme.lights}".split())
    assert {name for layers in theme.layers for name in layers.split()} <= set(LAYERS)


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
    first, last = choose_move(prompt)
    assert (last[axis] - first[axis]) * sign > 0


def test_a_short_prompt_is_set_large_and_a_long_one_is_cut():
    room = {"width": 480, "height": 150, "sizes": (48, 23), "lines": 3}
    face, lines = set_title("A quiet forest\nat dawn", **room)
    assert (face.size, " ".join(lines)) == (48, "A quiet forest at dawn")
    face, lines = set_title("A stylish woman walks down a street " * 9, **room)
    assert (face.size, len(lines), lines[-1][-1]) == (23, 3, "…")
    assert set_title("x" * 200, **room)[1][0].endswith("…")


def test_lines_are_no_longer_than_there_is_room_and_of_about_equal_length():
    face = font(None, 40)
    text = "a long walk through the rain and further on into the hills beyond the river"
    lines = wrap(text, face, 300)
    assert " ".join(lines) == text
    assert all(face.getlength(line) <= 300 for line in lines)
    assert shorten(lines, 2, face, 300)[-1].endswith("…")
    face, lines = set_title("one two three four five six seven", 400, 200, (40, 20), 3)
    lengths = [face.getlength(line) for line in lines]
    assert len(lines) > 1
    assert max(lengths) < 1.5 * min(lengths)


def test_letters_that_cannot_be_drawn_are_left_out():
    assert typeset("🎬 A tiny robot 🤖 waves") == ("A tiny robot waves", None)
    assert typeset("🎬✨")[0] == ""


@pytest.mark.parametrize("entry", [one for one in endpoints() if one.has_schema], ids=lambda entry: entry.id)
def test_every_endpoint_can_be_ordered(entry):
    order = make_order(entry, {}, [])
    assert order.prompt
    properties = entry.output_schema["properties"]
    parts = [properties[name].get("items", properties[name]) for name in order.outputs]
    assert all("url" in part["properties"] for part in parts)
