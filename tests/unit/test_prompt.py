"""The filling rule, by the examples of its page and of bug reports about other programs."""

import pytest

from kling_nb.errors import UsageError
from kling_nb.notebook.prompt import Fields, escape_fields, fill_in, value_of_name

VARIABLES = {
    "animal": "fox",
    "price": 5,
    "ratio": 0.5,
    "width": 8,
    "odd": "{price} $animal {{",
    "table": {"}": "}"},
}


def fill(text):
    return Fields(VARIABLES).fill(text)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("A cafe sign: coffee $5", "A cafe sign: coffee $5"),
        ("A $animal that's running, $animal's friend", "A fox that's running, fox's friend"),
        ("{price:.2f}, {ratio!r:>{width}}", "5.00,      0.5"),
        ("scene {1}: {} {0.5} {'x'} {a fox}", "scene {1}: {} {0.5} {'x'} {a fox}"),
        ('{"who": {"name": "{animal}"}}', '{"who": {"name": "fox"}}'),
        ("{{animal}} $$animal {{{animal}}} $$5", "{animal} $animal {fox} $5"),
        ("${price} {price * 2} { animal } {table['}']}", "$5 10 fox }"),
        ("half a {brace of {animal} } or so", "half a {brace of fox } or so"),
        ("one\ntwo $animal\nthree", "one\ntwo fox\nthree"),
        ("{odd}", "{price} $animal {{"),  # what was filled in is not read again
        ("$animal.path and $if and $", "fox.path and $if and $"),
        ("{animal's} den", "{animal's} den"),
        ("{a {{animal}}}}", "{a {animal}}}"),
        ("{ratio:>{2 | 5}}", "    0.5"),
        ("{a {{animal}}} {animal}", "{a {animal}} fox"),
        ("{$animal {{animal} {{{animal}}}}}", "{fox {animal} {fox}}}"),
        ("{not animal} {True} {lambda: 1}", "{not animal} {True} {lambda: 1}"),
    ],
)
def test_what_is_sent(text, sent):
    assert fill(text) == sent


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("in {plaza} with {animal}", "{plaza}: name 'plaza' is not defined. Nothing was sent."),
        ("in $plaza", "$plaza: name 'plaza' is not defined. Nothing was sent."),
        ("{animal:.2f}", "{animal:.2f}: ValueError: Unknown format code 'f'"),
        ("{price / 0}", "{price / 0}: ZeroDivisionError: division by zero. Nothing was sent."),
        ("{red|blue} fox", "{red|blue} has alternatives, which need --grid. Nothing was sent."),
        ("{price|width}", "{price|width} has alternatives"),
    ],
)
def test_what_fails_the_cell(text, words):
    with pytest.raises(UsageError) as caught:
        fill(text)
    assert words in caught.value.message
    assert "{{" in caught.value.remedy or "$$" in caught.value.remedy


def test_a_field_that_fails_leaves_no_other_one_out():
    evaluated = []
    fields = Fields({"note": lambda word: evaluated.append(word) or word})
    assert fields.fill("{note('a')} {note('b')}") == "a b"
    assert evaluated == ["a", "b"]


def test_where_only_names_are_filled_in_nothing_else_is_evaluated():
    assert fill_in("{animal} {price:.1f} $animal", value_of_name(VARIABLES)) == "fox 5.0 fox"
    for text in ("{animal.upper()}", "{price * 2}", "{plaza}"):
        with pytest.raises(UsageError):
            fill_in(text, value_of_name(VARIABLES))


@pytest.mark.parametrize(
    "text",
    ["$5", "$$", "$animal", "$$animal", "{x}", "{{x}}", "}{", "${x}", "$$$", "a $", "{a|b}", "it's {'"],
)
def test_escaping_is_the_inverse(text):
    assert fill(escape_fields(text)) == text
    assert Fields({}).fill(escape_fields(text)) == text


@pytest.mark.parametrize("escaped", ["{{animal}} $$animal $$5 5", "{{{{}}}} it's", "$ {{x|y}}"])
def test_cells_that_an_earlier_version_escaped_keep_their_text(escaped):
    assert fill(escaped) == Fields(VARIABLES).fill_as_shell(escaped)


def test_the_earlier_rule_is_reproduced():
    def was(text):
        return Fields(VARIABLES).fill_as_shell(text)

    assert was("coffee $5, {price * 2} and $$5 {{x}} {animal!r}") == "coffee 5, 10 and $5 {x} 'fox'"
    assert was("The fox's $animal, isn't it? $animal's") == "The fox's fox, isn't it? $animal's"
    assert was("{animal} in {plaza} for $5") == "{animal} in {plaza} for $5"
    assert was("{price:.2f} {animal}") == "{price:.2f} {animal}"


def test_long_prompts_of_odd_braces_are_read_quickly():
    for text in ("{" * 3000, "{" * 2000 + "}" * 2000, "{'" * 2000, "{a(" * 2000, "{x|" * 500 + "}" * 500):
        try:
            assert fill(text)
        except UsageError:
            assert "|" in text
