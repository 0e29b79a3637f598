"""Fields and alternatives in the text of a cell: the filling rule of `docs/magic.md`.

The text is read once, from left to right. Values that were filled in are not read again.

- `{{`, `}}` and `$$` are the characters `{`, `}` and `$`.
- `$name` is a field if a Python identifier follows.
- Braces with a `|` that is not in quotes or inner brackets hold alternatives: `a {red|blue} fox`.
- Other braces are a field if an expression that begins with a name comes before `!r`, `!s`, `!a`, `:` or the
  end. Conversion and format work as in f-strings.
- All other braces stay as they are, and the text between them is read like any other.

A quote within braces that cannot begin or end a string is an apostrophe: `{fox's den|wolf's den}`.

A field that fails raises `UsageError`, and so do alternatives where there is no place for them.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import Formatter
from typing import Any

from kling_nb.errors import KlingError, UsageError
from kling_nb.sweeps.axes import Axis, label

FILLED_IN = frozenset("{}$")
"""The characters that the rule changes."""

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_STRING = re.compile(r"""'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*\"""", re.DOTALL)
_PREFIX = re.compile(r"(?<!\w)(?:[bfrtu]|[bft]r|r[bft])$", re.IGNORECASE)
_CLOSING = {"(": ")", "[": "]"}


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A place in a text into which a value is filled.

    Attributes:
        source: The field as written, such as `{price:.2f}` or `$name`.
        code: Its expression.
        conversion: "r", "s", "a", or empty.
        form: The format, which may have fields itself.
    """

    source: str
    code: str
    conversion: str = ""
    form: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Alternatives in a text.

    Attributes:
        source: The braces as written.
        texts: The alternatives as written.
    """

    source: str
    texts: tuple[str, ...]


Part = str | Field | Choice
Evaluate = Callable[[Field], Any]
"""Returns the value of a field, or raises `UsageError`."""


def parts_of(text: str) -> tuple[Part, ...]:
    """Split a text into plain texts, fields and alternatives."""
    parts: list[Part] = []
    plain: list[str] = []
    pairs: dict[int, int | None] = {}
    limits = [len(text)]  # the closing braces that stay with their opening ones, from the outside in
    part: Part
    at = 0
    while at < len(text):
        end = _closing(text, at, pairs) if text[at] == "{" else None
        end = end if end is not None and end < limits[-1] else None
        if at == limits[-1]:
            limits.pop()
            part, after = text[at], at + 1
        elif at + 1 == limits[-1] and text[at] == "}":  # no pair with a brace that stays
            part, after = text[at], at + 1
        else:
            part, after = _part_at(text, at, end, pairs)
        if not isinstance(part, str):
            parts += ["".join(plain), part] if plain else [part]
            plain = []
        else:
            plain.append(part)
            if end is not None and after == at + 1:
                limits.append(end)
        at = after
    return (*parts, "".join(plain)) if plain else tuple(parts)


def _part_at(text: str, at: int, end: int | None, pairs: dict[int, int | None]) -> tuple[Part, int]:
    """Return what stands at a place, and the place after it. `end` closes a brace there."""
    letter = text[at]
    if letter not in FILLED_IN:
        return letter, at + 1
    if text[at + 1 : at + 2] == letter:
        return letter, at + 2
    if letter == "$":
        found = _name_at(text, at + 1)
        return (Field(f"${found}", found), at + 1 + len(found)) if found else (letter, at + 1)
    if end is not None and (part := _braces(text, at + 1, end, pairs)) is not None:
        return part, end + 1
    return letter, at + 1


def _name_at(text: str, at: int) -> str:
    """Return the variable that begins at a place, or an empty text."""
    found = _IDENTIFIER.match(text, at)
    name = found[0] if found else ""
    while name and not name.isidentifier():  # `\w` has a few more characters
        name = name[:-1]
    return "" if keyword.iskeyword(name) else name


def _closing(text: str, opening: int, pairs: dict[int, int | None]) -> int | None:
    """Return the place of the brace that closes the one at `opening`, or None. `pairs` remembers them."""
    if opening not in pairs:
        stack: list[int] = []
        at = opening
        while at < len(text) and (at == opening or stack):
            if text[at] == "{":
                stack.append(at)
            elif text[at] == "}":
                pairs[stack.pop()] = at
            elif text[at] in "'\"":
                at = _string_end(text, at) - 1
            at += 1
        pairs |= dict.fromkeys(stack)
    return pairs[opening]


def _string_end(text: str, at: int) -> int:
    """Return the place after the string whose quote is at `at`, or after the quote if it is an apostrophe."""
    begins = not _is_letter(text[at - 1 : at]) or _PREFIX.search(text, max(0, at - 3), at)
    found = _STRING.match(text, at) if begins else None
    return found.end() if found and not _is_letter(text[found.end() : found.end() + 1]) else at + 1


def _is_letter(text: str) -> bool:
    return text.isalnum() or text == "_"


def _braces(
    text: str, start: int, end: int, pairs: dict[int, int | None], *, in_form: bool = False
) -> Field | Choice | None:
    """Return what braces around a part of a text mean, or None if they stay as they are."""
    inner = text[start:end]
    if "|" not in inner and not in_form and not _IDENTIFIER.match(inner.lstrip()):
        return None
    marks = [at - start for at in _top_level(text, start, end, pairs)]
    edges = [-1, *(at for at in marks if inner[at] == "|"), len(inner)]
    if len(edges) > 2 and not in_form:
        return Choice(f"{{{inner}}}", tuple(inner[one + 1 : then] for one, then in pairwise(edges)))
    conversion, stop, form = "", len(inner), ""
    for at in marks:
        if inner[at] == ":":
            stop, form = at, inner[at + 1 :]
            break
        if re.match(r"![rsa](:|$)", inner[at : at + 3]):
            conversion, stop, form = inner[at + 1], at, inner[at + 3 :]
            break
    code = inner[:stop].strip()
    name = _name_at(code, 0)
    begins_with_name = name and not code[len(name) :].startswith(("'", '"'))
    if not (in_form or begins_with_name) or _parse(code) is None:
        return None
    return Field(f"{{{inner}}}", code, conversion, _parts_of_form(form))


def _parts_of_form(form: str) -> tuple[Part, ...]:
    """Split a format into its letters and fields, which may be any expression, as in f-strings."""
    parts: list[Part] = []
    pairs: dict[int, int | None] = {}
    at = 0
    while at < len(form):
        end = _closing(form, at, pairs) if form[at] == "{" else None
        part = _braces(form, at + 1, end, pairs, in_form=True) if end is not None else None
        parts.append(form[at] if part is None else part)
        at = at + 1 if part is None or end is None else end + 1
    return tuple(parts)


def _parse(code: str) -> ast.Expression | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _top_level(text: str, start: int, end: int, pairs: dict[int, int | None]) -> list[int]:
    """Return the places of `|`, `:` and `!` outside quotes and brackets. An odd bracket is a letter."""
    found: list[int] = []
    opened: list[tuple[int, str]] = []  # number of marks at each open bracket, and what closes it
    at = start
    while at < end:
        letter = text[at]
        if letter == "{":
            at = pairs.get(at) or at
        elif letter in "([":
            opened.append((len(found), _CLOSING[letter]))
        elif letter in ")]":
            while any(closing == letter for _, closing in opened):
                count, closing = opened.pop()
                if closing == letter:
                    del found[count:]
                    break
        elif letter in "'\"":
            at = _string_end(text, at) - 1
        elif letter in "|:!":
            found.append(at)
        at += 1
    return found


class Fields:
    """The values of the fields of one cell.

    Attributes:
        unread: True if the rule of an earlier version would have needed a value that is not known here.
    """

    unread = False

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._known: defaultdict[str, list[Any]] = defaultdict(list)  # for the rule of an earlier version

    def value(self, field: Field) -> Any:
        """Evaluate a field."""
        try:
            value = self._evaluate(field.code)
        except Exception as fault:
            self._known[field.code].append(fault)
            raise _field_error(field, fault) from fault
        self._known[field.code].append(value)
        return value

    def fill(self, text: str) -> str:
        """Return a text with its fields filled in. See `fill_in`."""
        return fill_in(text, self.value)

    def image(self, field: Field) -> Any:
        """Evaluate a field that stands for an image."""
        return self.value(field)

    def image_as_shell(self, word: str) -> Any:
        """Return the image of a word in braces as version 0.1.0 read it."""
        value = look_up(word.strip("{}"), self._variables)
        return self.fill_as_shell(word) if value is None else value

    def fill_as_shell(self, text: str) -> str:
        """Return a text as the rule of version 0.1.0 up to commit 21fcdc9 filled it in.

        That was IPython's rule for shell commands. One field that failed left the whole text unchanged.
        """
        try:
            return "".join(self._pieces_as_shell(text))
        except Exception:  # noqa: BLE001 -- a field is an expression, which may raise anything
            return text

    def _pieces_as_shell(self, text: str) -> Iterator[str]:
        for literal, field, form, conversion in Formatter().parse(text):
            at = 0
            for name in _NAME_AS_SHELL.finditer(literal):
                value = name[1] if name[1].startswith("$") else format(self._known_value(name[1]), "")
                yield literal[at : name.start()] + value
                at = name.end()
            yield literal[at:]
            if field is not None:
                found = self._known_value(f"{field}:{form}" if form else field)
                yield format(Formatter().convert_field(found, conversion), "")

    def _known_value(self, code: str) -> Any:
        """Return the value that the same expression had in a field, else evaluate it."""
        values = self._known[code.strip()]
        if not values:
            try:
                values.append(self._evaluate(code))
            except Exception as fault:  # noqa: BLE001 -- an expression may raise anything
                values.append(fault)
        value = values.pop(0) if len(values) > 1 else values[0]
        if isinstance(value, Exception):
            raise value
        return value

    def _evaluate(self, code: str) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            compiled = compile(code.lstrip(" \t"), "<kling>", "eval")
        return eval(compiled, dict(self._variables))  # noqa: S307 -- the user's own cell


def look_up(word: str, variables: Mapping[str, Any]) -> Any:
    """Return the value of a dotted name, or None. Nothing is called."""
    first, *attributes = word.split(".")
    value = variables.get(first)
    for name in attributes:
        value = getattr(value, name, None) if name.isidentifier() else None
    return value


def value_of_name(variables: Mapping[str, Any]) -> Evaluate:
    """Return a function that gives the values of names, and evaluates nothing else."""

    def value(field: Field) -> Any:
        if field.code in variables:
            return variables[field.code]
        is_name = field.code.isidentifier()
        reason = f"name {field.code!r} is not defined" if is_name else "only names are filled in here"
        raise UsageError(f"{_short(field.source)}: {reason}. Nothing was sent.")

    return value


_NAME_AS_SHELL = re.compile(r"\$(\$?[\w.]+)(?=(?:[^']*'[^']*')*[^']*$)")
"""`$name`, or `$$name`, which stood for the text `$name`; not between single quotes."""


def fill_in(text: str, value: Evaluate) -> str:
    """Return a text with its fields filled in."""
    return "".join(text_of(part, value) for part in parts_of(text))


def text_of(part: Part, value: Evaluate) -> str:
    """Return the text of a part."""
    if isinstance(part, str):
        return part
    if isinstance(part, Choice):
        raise UsageError(
            f"{_short(part.source)} has alternatives, which need --grid. Nothing was sent.",
            remedy="Add --grid to make one video of each, or write {{ and }} for braces in the text.",
        )
    found = value(part)
    form = "".join(text_of(one, value) for one in part.form)
    try:
        if part.conversion:
            found = Formatter().convert_field(found, part.conversion)
        return format(found, form)
    except Exception as fault:
        raise _field_error(part, fault) from fault


def _field_error(field: Field, fault: Exception) -> KlingError:
    reason = str(fault) if isinstance(fault, NameError) else f"{type(fault).__name__}: {fault}"
    reason = " ".join(reason.split())[:200]
    literal = f"${field.source}" if field.source.startswith("$") else f"{{{field.source}}}"
    return UsageError(
        f"{_short(field.source)}: {reason}. Nothing was sent.",
        remedy=f"Define it, or write {_short(literal)} for the text itself. --raw sends the text untouched.",
    )


def _short(source: str) -> str:
    return source if len(source) <= 80 else f"{source[:78]}…{source[-1]}"


def escape_fields(text: str) -> str:
    """Return the text that `fill_in` turns into `text` with any variables."""
    doubled = text.replace("{", "{{").replace("}", "}}")
    return re.sub(r"\$+(?=[^\W\d])|\${2,}", lambda run: 2 * run[0], doubled)


# -- Alternatives


Prompt = Callable[[Mapping[str, Any]], str]
"""Returns the prompt for a choice among alternatives, by the names of their axes."""


def axes_of(body: str, value: Evaluate) -> tuple[tuple[Axis, ...], Prompt]:
    """Return the axes in a prompt, and a function that gives the prompt for a choice among them.

    Every field is evaluated here, once.
    """
    filled: dict[str, str] = {}
    pieces: list[str | tuple[str, ...]] = []
    for part in parts_of(body):
        if isinstance(part, Choice):
            filled |= {text: fill_in(text, value) for text in part.texts if text not in filled}
        pieces.append(part.texts if isinstance(part, Choice) else text_of(part, value))
    axes = _axes(pieces, filled.__getitem__)

    def prompt(values: Mapping[str, Any]) -> str:
        chosen = iter(axes)
        return "".join(
            piece if isinstance(piece, str) else filled[values[next(chosen).name]] for piece in pieces
        )

    return axes, prompt


def axes_as_shell(body: str, fill: Callable[[str], str]) -> tuple[tuple[Axis, ...], Prompt]:
    """Return what `axes_of` returned in version 0.1.0 up to commit 21fcdc9, where quotes did not count."""
    pieces: list[str | tuple[str, ...]] = []
    at = start = 0
    while at < len(body):
        if body[at : at + 2] in {"{{", "}}"}:
            at += 2
            continue
        edges, depth = [at], 0
        for here in range(at, len(body) if body[at] == "{" else at):
            depth += (body[here] == "{") - (body[here] == "}")
            if (depth == 1 and body[here] == "|") or depth == 0:
                edges.append(here)
            if depth == 0:
                break
        closed = depth == 0 and len(edges) > 1
        if closed and len(edges) > 2:
            pieces += [body[start:at], tuple(body[a + 1 : b] for a, b in pairwise(edges))]
            start = edges[-1] + 1
        at = edges[-1] + 1 if closed else at + 1
    pieces.append(body[start:])
    axes = _axes(pieces, fill)

    def prompt(values: Mapping[str, Any]) -> str:
        chosen = iter(axes)
        return fill("".join(one if isinstance(one, str) else values[next(chosen).name] for one in pieces))

    return axes, prompt


def _axes(pieces: Sequence[str | tuple[str, ...]], fill: Callable[[str], str]) -> tuple[Axis, ...]:
    """Return an axis for each tuple of alternatives."""
    several = sum(isinstance(piece, tuple) for piece in pieces) > 1
    axes: list[Axis] = []
    for piece in pieces:
        if isinstance(piece, tuple):
            name = f"choice {len(axes) + 1}" if several else "choice"
            labels = tuple(label(fill(one).strip()) for one in piece)
            axes.append(Axis(name, piece, labels, argument=False))
    return tuple(axes)
