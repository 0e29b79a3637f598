"""Alternatives in a prompt, next to fields; and the words of --grid."""

import pytest

from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import InputError, UsageError
from kling_nb.notebook.cell import Images, grid_axes, read_cell, values_of
from kling_nb.notebook.flags import parse_line, parse_words
from kling_nb.notebook.prompt import Choice, Field, Fields, axes_as_shell, axes_of, parts_of

NAMES = {"colour": "red", "city": "Tokyo", "lengths": [5, 10], "words": ["a, b", "c"]}


def fill(text):
    return Fields(NAMES).fill(text)


def axes_in(body):
    return axes_of(body, Fields(NAMES).value)[0]


def prompts(body):
    return all_of(*axes_of(body, Fields(NAMES).value))


def all_of(axes, prompt):
    found = [{}]
    for axis in axes:
        found = [{**values, axis.name: value} for values in found for value in axis.values]
    return [prompt(values) for values in found]


def test_alternatives_and_variables_stand_side_by_side():
    assert prompts("a {fox|wolf} in {city}") == ["a fox in Tokyo", "a wolf in Tokyo"]
    assert prompts("a $colour {fox|wolf}") == ["a red fox", "a red wolf"]


def test_a_variable_within_an_alternative():
    assert prompts("a { {colour} fox|wolf}") == ["a  red fox", "a wolf"]
    assert axes_in("a {{colour} fox|wolf}") == ()  # two braces are the character


def test_several_groups_are_several_axes():
    assert [(axis.name, axis.labels) for axis in axes_in("a {red|blue} fox in {snow|rain|fog}")] == [
        ("choice 1", ("red", "blue")),
        ("choice 2", ("snow", "rain", "fog")),
    ]
    assert prompts("a {red|blue} fox in {snow|rain}")[1] == "a red fox in rain"


@pytest.mark.parametrize("body", ["a fox", "{city}", "a {{b|c}} d", "{a|b", "a|b", "{1 + 1}"])
def test_what_is_no_alternative(body):
    assert axes_in(body) == ()
    assert prompts(body) == [fill(body)]


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ("{fox's den|wolf's den}", ("fox's den", "wolf's den")),
        ("{a (b|c) d|e}", ("a (b|c) d", "e")),
        ("{a :(|b}", ("a :(", "b")),
        ("{the 'a|b' sign|none}", ("the 'a|b' sign", "none")),
        ("{Title: {x|y}|z}", ("Title: {x|y}", "z")),
        ("{colour|city}", ("colour", "city")),
    ],
)
def test_which_bars_separate_alternatives(body, texts):
    assert [part.texts for part in parts_of(body)] == [texts]


def test_alternatives_within_alternatives_are_refused():
    with pytest.raises(UsageError, match=r"\{x\|y\} has alternatives"):
        axes_in("{a {x|y}|b}")


def test_each_field_is_evaluated_once_for_all_cells():
    count = iter(range(100))
    fields = Fields({"next": next, "count": count})
    axes, prompt = axes_of("{next(count)} {a {next(count)}|b} {next(count)} {x|y}", fields.value)
    assert all_of(axes, prompt) == ["0 a 1 2 x", "0 a 1 2 y", "0 b 2 x", "0 b 2 y"]
    assert axes[0].labels == ("a 1", "b")
    assert next(count) == 3


def test_the_earlier_reading_uses_the_values_that_fields_have():
    count = iter(range(100))
    fields = Fields({"next": next, "count": count})
    body = "{next(count)} {a|b} {next(count)} for $5"
    assert all_of(*axes_of(body, fields.value)) == ["0 a 1 for $5", "0 b 1 for $5"]
    assert all_of(*axes_as_shell(body, fields.fill_as_shell))[0] == "0 a 1 for 5"
    assert next(count) == 2


def test_an_empty_alternative_leaves_the_word_out():
    assert prompts("a {|very }large fox") == ["a large fox", "a very large fox"]
    assert axes_in("a {|very }fox")[0].labels == ("(empty)", "very")


def test_parts_keep_all_of_the_text():
    parts = parts_of("x {a|b} y {c} $d {1} z")
    assert [type(part) for part in parts] == [str, Choice, str, Field, str, Field, str]
    assert "".join(part if isinstance(part, str) else part.source for part in parts) == (
        "x {a|b} y {c} $d {1} z"
    )


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("5,10", ["5", "10"]),
        ("16:9, 1:1", ["16:9", "1:1"]),
        ('"a, b",c', ["a, b", "c"]),
        ("[5, 10]", [5, 10]),
        ("['a, b', 'c']", ["a, b", "c"]),
        ("", []),
        ("5,", ["5"]),
    ],
)
def test_values_of_a_grid_flag(text, values):
    assert values_of(text) == values


def grid(*words, **flags):
    images = Images(Fields({}), lambda word, flag: f"<{word}>")
    axes = grid_axes(words, endpoint("v1-pro"), flags, images)
    return {axis.name: axis.values for axis in axes}


def test_grid_axes():
    assert grid("duration=5,10", "aspect-ratio=16:9,1:1") == {
        "duration": ("5", "10"),
        "aspect_ratio": ("16:9", "1:1"),
    }
    assert grid("take=1,2", "") == {"take": (1, 2)}
    assert grid("image=a.png,b.png") == {"image": ("<a.png>", "<b.png>")}
    assert grid("endpoint=v1-pro,v3-pro") == {"endpoint": ("v1-pro", "v3-pro")}


def test_grid_axes_that_make_no_sense():
    for words, shown in [
        (("duration",), "has no name"),
        (("duration=",), "has no name or no values"),
        (("duration=5", "duration=10"), "given twice"),
        (("lenght=5",), "lenght"),
    ]:
        with pytest.raises(InputError, match=shown):
            grid(*words)
    with pytest.raises(UsageError, match="given twice"):
        grid("duration=5,10", duration="5")


def test_the_line():
    def call(line):
        return parse_line(line, default_endpoint="v1-pro", fill=fill)

    assert call("fox --grid duration=5,10 --grid aspect_ratio=1:1").grid == (
        "duration=5,10",
        "aspect_ratio=1:1",
    )
    assert (call("--grid fox").grid, call("--grid fox").name) == (("",), "fox")
    assert call("fox --grid").grid == ("",)
    assert call("fox").grid is None
    assert call("--grid duration={lengths} --concurrency 3").grid == ("duration=[5, 10]",)
    assert call("--grid duration=5 --concurrency 3").concurrency == 3
    with pytest.raises(UsageError, match="--concurrency needs --grid"):
        call("fox --concurrency 3")


class Thing:
    """As a video is: its text is no path."""


def test_images_may_be_values_and_what_is_filled_in_is_not_read_again():
    cat, dog = Thing(), Thing()
    known = {"cat": cat, "dog": dog, "odd": "a{cat}.png", "two": "a.png,b.png", "none": None, "n": 3}

    def read(line):
        reading = read_cell(line, "x", Fields(known), lambda word, flag: word, default_endpoint="v1-pro")
        return reading.used

    def image(line):
        return read(line).arguments()["image"]

    def axis(line):
        used = read(line)
        (found,) = grid_axes(used.call.grid, endpoint("v1-pro"), {}, used.images)
        return found.values, found.labels

    assert image("--image {cat}") is image("--image $cat") is image("--image={cat}") is cat
    assert image("--image {odd}") == image("--end-image x --image $odd") == "a{cat}.png"
    assert image("--image shots/{odd}") == "shots/a{cat}.png"
    assert image("--image {{cat}}{n}.png") == "{cat}3.png"
    assert image("--raw --image {cat}") == "{cat}"
    assert axis("--grid image={cat},x{n}.png,$dog") == ((cat, "x3.png", dog), ("{cat}", "x3.png", "$dog"))
    assert axis('--grid \'image=["{cat}", "b.png"]\'') == ((cat, "b.png"), ("{cat}", "b.png"))
    assert axis("--grid image={two}") == (("a.png", "b.png"), ("a.png", "b.png"))
    assert axis("--grid=image={cat},{dog}")[0] == (cat, dog)
    with pytest.raises(UsageError, match="is None, not an image"):
        image("--image {none}")


def test_a_cell_that_is_read_as_before_has_no_earlier_call():
    for body, earlier in (("{a|b} fox", None), ("{a|b} fox for $5", "a fox for 5")):
        found = read_cell("--grid", body, Fields({}), lambda word, flag: word, default_endpoint="v1-pro")
        call = found.earlier()({"choice": "a"})
        assert (call and call.prompt) == earlier


def test_the_command_line_has_no_grid():
    with pytest.raises(UsageError, match="has no flag --grid") as caught:
        parse_words(["a fox", "--grid", "duration=5,10"], default_endpoint="v1-pro")
    assert "Only %%kling cells have it." in caught.value.message
    assert "Did you mean --grid" not in str(caught.value)
    assert "--grid" not in caught.value.remedy
