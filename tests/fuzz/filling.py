"""An independent reading of the filling rule of `docs/magic.md`, and prompts to compare it with the product.

It shares no code with `kling_nb.notebook.prompt`: fields are read and filled in by Python's own f-strings,
and brackets are removed from the inside out instead of counted.
"""

import ast
import keyword
import re
from random import Random
from typing import Any

from kling_nb.errors import UsageError
from kling_nb.notebook.prompt import Fields, escape_fields

VARIABLES: dict[str, Any] = {
    "animal": "fox",
    "price": 5,
    "ratio": 0.5,
    "n1": 1,
    "n2": 2,
    "café": "bar",
    "scenes": {"first": "a {animal} for $price", "a|b": "both", "}": "brace", "it's": "its"},
    "words": ["{price}", "$animal", "{{", "$$"],
    "up": str.upper,
}

PIECES = [
    *("{animal}", "{price:.2f}", "{ratio!r:>6}", "{price:>{n2}}", "{ price * 2 }", "{up(animal)}", "{café}"),
    *(
        "{scenes['first']}",
        '{scenes["a|b"]}',
        "{scenes['}']}",
        '{scenes["it\'s"]}',
        "{words[0]}",
        "{words[3]}",
    ),
    *(
        "$animal",
        "$café",
        "$price",
        "$5",
        "$5.50",
        "$$",
        "$$animal",
        "$",
        "$ ",
        "$if",
        "${price}",
        "$animal's",
    ),
    *(
        "{1}",
        "{}",
        "{ }",
        "{0.5}",
        '{"a": 1}',
        '{"a": {"b": "{animal}"}}',
        "{'animal'}",
        "{[price]}",
        "{a fox}",
    ),
    *("{{", "}}", "{{animal}}", "{{{animal}}}", "{", "}", "{x=}", "{True}", "{not animal}", "{price!x}"),
    *("{n1|n2}", "{red|blue}", "{fox's den|wolf's den}", "{up(animal|n1)}", "{'a|b'}", "{a (b|c) d}", "{|x}"),
    *("{plaza}", "$plaza", "{animal:d}", "{price / 0}", "{animal.size}", "{n1, n2}", "{n1 if n2 else price}"),
    *(
        " that's ",
        " isn't ",
        '6" of snow',
        "'tis ",
        " 'n' ",
        "\n",
        " a ",
        ": ",
        "fox",
        "!",
        "\\",
        "(",
        ")",
        "[",
        "é",
    ),
]


def draw(chance: Random) -> str:
    """Return a prompt made of such pieces, sometimes with a piece within braces or with letters lost."""
    text = "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 7)))
    if chance.random() < 0.15:
        text = f"{{{text}}}"
    if chance.random() < 0.2:
        at = chance.randrange(len(text))
        text = text[:at] + text[at + 1 :]
    return text


class Refused(Exception):
    """The cell fails."""


def read(text: str) -> str:
    """Return a text as the rule says it is sent.

    Raises:
        Refused: A field fails, or there are alternatives.
    """
    out = ""
    while text:
        if text[:2] in {"{{", "}}", "$$"}:
            out, text = out + text[0], text[2:]
        elif (size := variable_size(text)) > 0:
            out, text = out + filled(text[1:size], text[1:size]), text[size:]
        elif text[0] == "{" and (inner := inside(text)) is not None:
            out += meaning(inner)
            text = text[len(inner) + 2 :]
        else:
            out, text = out + text[0], text[1:]
    return out


def variable_size(text: str) -> int:
    """Return the length of `$name` at the start of a text, or 0."""
    if text[0] != "$":
        return 0
    sizes = [size for size in range(2, len(text) + 1) if text[1:size].isidentifier()]
    return max(sizes) if sizes and not keyword.iskeyword(text[1 : max(sizes)]) else 0


def masked(text: str) -> str:
    """Return a text with its strings blanked, so that only brackets that count are left."""
    prefix = r"(?<!\w)(?:(?i:[bfrtu]|[bft]r|r[bft])(?=['\"]))?"
    string = rf"{prefix}(['\"])(?:\\.|(?!\1)[^\\\n])*\1(?!\w)"
    return re.sub(string, lambda found: "_" * len(found[0]), text)


def inside(text: str) -> str | None:
    """Return what is between the brace at the start and the one that closes it."""
    hidden = masked(text)
    while (shorter := re.sub(r"(?<=.)\{([^{}]*)\}", r"(\1)", hidden, flags=re.DOTALL)) != hidden:
        hidden = shorter
    end = hidden.find("}")
    return text[1:end] if end > 0 and "{" not in hidden[1:end] else None


def meaning(inner: str) -> str:
    """Return what braces with this text become."""
    top = masked(inner)
    for pair in (r"\{[^{}]*\}", r"\([^()]*\)", r"\[[^][]*\]") * 4:
        top = re.sub(pair, lambda found: "_" * len(found[0]), top)
    if "|" in top:
        raise Refused("alternatives")
    return filled(inner, None) if is_field(inner, top) else f"{{{read(inner)}}}"


def is_field(inner: str, top: str) -> bool:
    name = re.match(r"\s*([^\W\d]\w*)(?!\w|['\"])", inner)
    if name is None or keyword.iskeyword(name[1]):
        return False
    end = re.search(r"![rsa](?=:|$)|:", top)
    try:
        ast.parse(inner[: end.start() if end else None].strip(), mode="eval")
    except SyntaxError:
        return False
    return True


def filled(inner: str, name: str | None) -> str:
    """Return the value of a field, as an f-string gives it."""
    try:
        if name is not None:
            return f"{VARIABLES[name]}"
        return str(eval(f"f'''{{{inner}}}'''", {**VARIABLES}))
    except Exception as fault:
        raise Refused(str(fault)) from fault


def compare(seed: int, number: int) -> int:
    """Compare so many prompts, filled in and escaped, with the independent reading; return their number.

    Raises:
        AssertionError: There is a difference.
    """
    chance = Random(seed)
    for _ in range(number):
        text = draw(chance)
        try:
            expected: str | None = read(text)
        except Refused:
            expected = None
        try:
            found: str | None = Fields(VARIABLES).fill(text)
        except UsageError:
            found = None
        assert found == expected, f"{text!r}: {found!r} instead of {expected!r}"
        assert Fields({}).fill(escape_fields(text)) == text
        assert read(escape_fields(text)) == text
    return number
