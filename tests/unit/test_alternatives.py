"""Alternatives in a prompt, beside IPython's own braces; and the words of --grid."""

import pytest

from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import InputError, UsageError
from kling_nb.notebook.cell import grid_axes, values_of
from kling_nb.notebook.flags import parse_line, parse_words
from kling_nb.notebook.prompt import axes_of, fill_in, parts_of

NAMES = {"colour": "red", "city": "Tokyo", "lengths": [5, 10], "words": ["a, b", "c"]}


def fill(text):
    return fill_in(text, NAMES)


def prompts(body):
    axes, prompt = axes_of(body, fill)
    found = [{}]
    for axis in axes:
        found = [{**values, axis.name: value} for values in found for value in axis.values]
    return [prompt(values) for values in found]


def test_alternatives_and_variables_stand_side_by_side():
    assert prompts("a {fox|wolf} in {city}") == ["a fox in Tokyo", "a wolf in Tokyo"]
    assert prompts("a $colour {fox|wolf}") == ["a red fox", "a red wolf"]


def test_a_variable_within_an_alternative():
    axes, _ = axes_of("a {{colour} fox|wolf}", fill)
    assert prompts("a { {colour} fox|wolf}") == ["a  red fox", "a wolf"]
    assert axes == ()  # two braces are a brace itself, as everywhere in IPython


def test_several_groups_are_several_axes():
    axes, _ = axes_of("a {red|blue} fox in {snow|rain|fog}", fill)
    assert [(axis.name, axis.labels) for axis in axes] == [
        ("choice 1", ("red", "blue")),
        ("choice 2", ("snow", "rain", "fog")),
    ]
    assert prompts("a {red|blue} fox in {snow|rain}")[1] == "a red fox in rain"


@pytest.mark.parametrize("body", ["a fox", "{city}", "a {{b|c}} d", "{a|b", "a|b", "{1 + 1}"])
def test_what_is_no_alternative(body):
    assert axes_of(body, fill)[0] == ()
    assert prompts(body) == [fill(body).strip()]


def test_an_empty_alternative_leaves_the_word_out():
    assert prompts("a {|very }large fox") == ["a large fox", "a very large fox"]
    assert axes_of("a {|very }fox", fill)[0][0].labels == ("(empty)", "very")


def test_parts_keep_all_of_the_text():
    assert parts_of("x {a|b} y {c} z") == ["x ", ("a", "b"), " y {c} z"]


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
    axes = grid_axes(words, endpoint("v1-pro"), flags, lambda word: f"<{word}>")
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
    for words, said in [
        (("duration",), "has no name"),
        (("duration=",), "has no name or no values"),
        (("duration=5", "duration=10"), "given twice"),
        (("lenght=5",), "lenght"),
    ]:
        with pytest.raises(InputError, match=said):
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
    assert call("--image {fox.last_frame} x").arguments == {"image": "{fox.last_frame}"}
    with pytest.raises(UsageError, match="--concurrency needs --grid"):
        call("fox --concurrency 3")


def test_the_command_line_has_no_grid():
    with pytest.raises(UsageError, match="has no flag --grid") as caught:
        parse_words(["a fox", "--grid", "duration=5,10"], default_endpoint="v1-pro")
    assert "Did you mean --grid" not in str(caught.value)
    assert "--grid" not in caught.value.remedy
