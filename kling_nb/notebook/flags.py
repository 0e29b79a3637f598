"""The flags of `%%kling` and `kling-nb generate`, and the cell text of a request.

`FIXED_FLAGS` is the table of the flags that every endpoint has. The parser, the help, completion, grids and
the arguments of `submit` come from it. The schema of an endpoint adds one flag for each of its parameters.
`as_cell` writes a request as the cell that makes it again.
"""

from __future__ import annotations

import argparse
import json
import keyword
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NoReturn

from kling_nb.api import endpoint
from kling_nb.catalog import Control, Endpoint
from kling_nb.catalog.endpoint import number_of
from kling_nb.catalog.problem import nearest
from kling_nb.catalog.shipped import endpoints
from kling_nb.errors import InputError, UsageError
from kling_nb.fal.options import OPTIONS, PRIORITIES
from kling_nb.notebook.prompt import FILLED_IN, escape_fields
from kling_nb.request.limits import FITS
from kling_nb.request.request import PROMPTS, image_argument, image_endpoint, is_recorded_file

IMAGES = frozenset({"image", "end_image"})
"""Arguments of `submit` that are images. Their flags may name a variable."""

MAGIC, COMMAND = "%%kling", "kling-nb generate"
BATCH, BATCH_LINE = "kling-nb batch", "%kling batch"
TAKES = "%kling takes"
_HELP = {
    MAGIC: "%%kling? shows all flags of the endpoint in use.",
    COMMAND: "kling-nb generate --help shows all flags of the endpoint in use.",
    BATCH: "kling-nb batch --help shows all flags of the endpoint in use.",
    BATCH_LINE: "%%kling? shows all flags of the endpoint in use.",
    TAKES: "Available: --rating N, --tag TAG, --endpoint NAME, --chosen.",
}
_NAMED = {
    MAGIC: ("NAME", "variable that receives the video"),
    COMMAND: ("PROMPT", 'the prompt, or "-" for standard input'),
    **dict.fromkeys((BATCH, BATCH_LINE), ("TABLE", "a CSV, TSV, JSONL or JSON file: one row, one video")),
}
_PLACE = {
    MAGIC: "Write one NAME and flags on the line, and the prompt below it. Nothing was sent.",
    COMMAND: "Put the prompt in quotes. Nothing was sent.",
    **dict.fromkeys(
        (BATCH, BATCH_LINE),
        'Give one table, and the prompt in quotes after it: --prompt "{column} runs". Nothing was sent.',
    ),
}


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if equals:
        return name, value
    raise argparse.ArgumentTypeError(f"{text!r} has no value: write NAME=VALUE")


def count(text: str) -> int:
    """Return a whole number from 1, as the `type` of a flag."""
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")


def _seconds(text: str) -> float:
    number = number_of(text)
    if number is None or not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag that every endpoint has.

    Attributes:
        name: The flag, such as `--end-image`.
        help: What it does.
        argument: The argument of `submit` that it sets; None for a flag about the cell itself.
        varies: True if `--grid` can vary that argument.
        cell_only: True if `kling-nb generate`, which prints the name of one file, does not have it.
        value: Arguments of `add_argument` for its value.
    """

    name: str
    help: str
    argument: str | None = None
    varies: bool = False
    cell_only: bool = False
    value: Mapping[str, Any] = field(default_factory=dict)

    @property
    def repeatable(self) -> bool:
        """True if a line may have the flag several times."""
        return self.value.get("action") == "append"

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Add the flag to a parser."""
        parser.add_argument(
            self.name, dest=self.argument or _parameter(self.name), help=self.help, **self.value
        )


def _switch(value: bool = True) -> dict[str, Any]:
    return {"action": "store_const", "const": value}


def _many(metavar: str, **value: Any) -> dict[str, Any]:
    return {"action": "append", "metavar": metavar, **value}


_FLAGS = (
    Flag("--endpoint", "id or short name of the endpoint", "endpoint", varies=True),
    Flag("--image", "start image: a path or URL, in a cell a variable too", "image", varies=True),
    Flag("--end-image", "end image, if the endpoint has one", "end_image", varies=True),
    Flag(
        "--fit",
        'make an image or a clip that breaks a limit conform: "crop", "pad" with black bars, or "scale"',
        "fit",
        value={"choices": FITS},
    ),
    Flag(
        "--take",
        "show take N; if it does not exist, make it, which costs money",
        "take",
        varies=True,
        value={"type": count, "metavar": "N"},
    ),
    Flag("--new", "make another take, even if one exists; this costs money", "new", value=_switch()),
    Flag("--no-wait", "do not wait; NAME receives the Job", value=_switch()),
    Flag(
        "--timeout",
        "seconds to wait at most; after that, the job goes on",
        value={"type": _seconds, "metavar": "SECONDS"},
    ),
    Flag("--set", "KEY=JSON for a nested parameter; may be repeated", value=_many("KEY=JSON")),
    Flag(
        "--webhook",
        "URL to which fal also sends the result",
        "webhook_url",
        value={"metavar": "URL"},
    ),
    Flag(
        "--max-cost",
        'highest cost in US dollars; "none" turns all limits off for this cell',
        "max_cost",
        value={"metavar": "USD"},
    ),
    Flag("--priority", '"low" lets other requests go first', "priority", value={"choices": PRIORITIES}),
    Flag(
        "--start-timeout",
        "seconds until the job must have started; otherwise fal ends it at no cost",
        "start_timeout",
        value={"type": _seconds, "metavar": "SECONDS"},
    ),
    Flag(
        "--tag",
        "NAME=VALUE for fal's billing; may be repeated",
        "tags",
        value=_many("NAME=VALUE", type=_tag),
    ),
    Flag("--hint", "fal sends requests with the same hint to the same runner, if possible", "hint"),
    Flag("--no-retry", "fal does not try again if a runner fails", "no_retry", value=_switch()),
    Flag(
        "--no-store",
        "fal stores neither input nor output for its dashboard, and keeps the result for minutes only",
        "store_io",
        value=_switch(False),
    ),
    Flag(
        "--grid",
        "NAME=VALUE,VALUE: one video for each value; may be repeated. Also {a|b|c} in the prompt",
        cell_only=True,
        value=_many("NAME=VALUES", nargs="?", const=""),
    ),
    Flag(
        "--table",
        "one video for each row of a CSV, TSV, JSONL or JSON file. {column} in the prompt is its value",
        cell_only=True,
        value={"metavar": "FILE"},
    ),
    Flag(
        "--concurrency",
        "number of jobs of a grid or table that run at once",
        cell_only=True,
        value={"type": count, "metavar": "N"},
    ),
    Flag("--raw", "send the text as it is written: nothing is filled in", cell_only=True, value=_switch()),
    Flag("--frozen", "show an existing take, or fail; send nothing", "frozen", value=_switch()),
    Flag("--dry-run", "show the request and what would happen; send nothing", value=_switch()),
    Flag("--quiet", "show only errors", value=_switch()),
)
_BATCH_FLAGS = {flag.name for flag in _FLAGS if not flag.cell_only} - {"--no-wait"} | {"--concurrency"}
FIXED_FLAGS: Mapping[str, Flag] = {flag.name: flag for flag in _FLAGS}
"""The flags of every endpoint, by name."""

VARYING = frozenset(flag.argument for flag in _FLAGS if flag.varies)
"""What `--grid` can vary besides the parameters of the endpoint."""

_FLAG_OF = {flag.argument: flag.name for flag in _FLAGS if flag.argument}


@dataclass(frozen=True, slots=True)
class CellCall:
    """A parsed `%%kling` line.

    Attributes:
        name: The variable that receives the result, or None.
        arguments: Values of the fixed flags by argument of `submit`; images as the words of the line.
        parameters: Values for the endpoint's parameters, not validated yet.
        wait: True if the cell waits.
        timeout: Seconds, or None.
        dry_run: True to show what would be sent, and send nothing.
        quiet: True to show only errors.
        raw: True to fill in nothing.
        grid: The word after each `--grid`; None without that flag.
        table: The file after `--table`, or None.
        prompt: The prompt after `--prompt` of `kling-nb batch`, or None.
        concurrency: Number of jobs of a grid or table that run at once, or None.
    """

    name: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    wait: bool = True
    timeout: float | None = None
    dry_run: bool = False
    quiet: bool = False
    raw: bool = False
    grid: tuple[str, ...] | None = None
    table: str | None = None
    prompt: str | None = None
    concurrency: int | None = None

    @property
    def varied(self) -> set[str]:
        """The names that `--grid` varies."""
        return {word.partition("=")[0].strip().replace("-", "_") for word in self.grid or ()}

    def submit_arguments(self, image: Callable[[str, str], Any] | None = None) -> dict[str, Any]:
        """Return the arguments of `submit` and `plan`, without the prompt.

        Args:
            image: Returns the image of a word; its second argument is the flag. By default the word.
        """
        words = {name: word for name, word in self.arguments.items() if name in IMAGES}
        images = {name: image(word, flag_of(name)) if image else word for name, word in words.items()}
        return {**self.arguments, **images, **self.parameters}


class _Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError` instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"{self.prog}: {message}",
            remedy=f"{_HELP[self.prog]} Nothing was sent.",
        )


def parse_line(
    line: str,
    *,
    default_endpoint: str,
    fill: Callable[[str], str] = str,
    fill_image: FillImage | None = None,
    split: Callable[[str], list[str]] | None = None,
) -> CellCall:
    """Parse the line of a cell.

    Args:
        line: The text after `%%kling`.
        default_endpoint: The endpoint if the line names none.
        fill: Fills variables into one word.
        fill_image: Fills variables into one image, or into several that `--grid` varies; by default `fill`.
        split: Returns the words of the line, by default `split_words`.

    Raises:
        UsageError: A flag does not exist, has no value, or contradicts another.
        UnknownEndpoint: The endpoint does not exist.
    """
    words = (split or split_words)(line)
    images = fill_image or (lambda word, _several: fill(word))
    filled = words if "--raw" in words else _fill_words(words, fill, images)
    name, call = _parse(filled, MAGIC, default_endpoint)
    return replace(call, name=_variable(name))


def parse_words(words: Sequence[str], *, default_endpoint: str) -> tuple[str | None, CellCall]:
    """Parse the words of a command line, as `parse_line`. Return the prompt, or None, and the rest."""
    return _parse(list(words), COMMAND, default_endpoint)


def parse_batch(words: Sequence[str], *, default_endpoint: str, prog: str = BATCH) -> CellCall:
    """Parse the words after `prog`, `kling-nb batch` or `%kling batch`. A table must be there."""
    table, call = _parse(list(words), prog, default_endpoint)
    if table is None:
        raise UsageError(f"{prog} needs a table. Nothing was sent.", remedy=f"Write {prog} shots.csv.")
    return replace(call, table=table)


def command_help(words: Sequence[str], *, default_endpoint: str, prog: str = COMMAND) -> str:
    """Return the text of `kling-nb generate --help` for the endpoint in `words`."""
    return build_parser(_endpoint_of(words, default_endpoint), prog).format_help()


def _parse(tokens: list[str], prog: str, default_endpoint: str) -> tuple[str | None, CellCall]:
    """Return the word that is no flag, or None, and the values of the flags."""
    chosen = _endpoint_of(tokens, default_endpoint)
    parser = build_parser(chosen, prog)
    parsed, unknown = parser.parse_known_args(tokens)
    if unknown:
        _refuse_word(unknown, parser, chosen)
    flags = {name: value for name, value in vars(parsed).items() if value is not None}
    _refuse_contradictions(flags)
    grid = _grid(flags, prog)
    arguments = {name: value for name, value in flags.items() if name in _FLAG_OF}
    if "tags" in arguments:
        arguments["tags"] = dict(arguments["tags"])
    values = {name[2:]: value for name, value in flags.items() if name.startswith(_PREFIX)}
    own = ("timeout", "dry_run", "quiet", "raw", "table", "prompt", "concurrency")
    return flags.get("name"), CellCall(
        arguments=arguments,
        parameters={**values, **_set_values(flags.get("set", []), values, chosen, prog)},
        wait="no_wait" not in flags,
        grid=grid,
        **{name: flags[name] for name in own if name in flags},
    )


def _refuse_contradictions(flags: Mapping[str, Any]) -> None:
    for one, other in (("take", "new"), ("timeout", "no_wait"), ("table", "grid")):
        if one in flags and other in flags:
            raise UsageError(
                f"{flag_of(one)} and {flag_of(other)} contradict each other.",
                remedy="Give one of them. Nothing was sent.",
            )


def _grid(flags: dict[str, Any], prog: str) -> tuple[str, ...] | None:
    """Return the words after each `--grid`; in `--grid fox`, a word without "=" is NAME."""
    words: list[str] | None = flags.get("grid")
    if words is None:
        if "concurrency" in flags and prog not in {BATCH, BATCH_LINE} and "table" not in flags:
            raise UsageError(
                "--concurrency needs --grid or --table.",
                remedy="Add --grid NAME=VALUE,VALUE. Nothing was sent.",
            )
        return None
    for at, word in enumerate(words):
        if word.isidentifier() and "name" not in flags:
            words[at], flags["name"] = "", word
    return tuple(words)


_PREFIX = "p_"
"""Prefix of parameter names in argparse's namespace, so that none has the name of a fixed flag."""


@lru_cache(maxsize=16)  # building one takes a quarter of the time before a cell's request is sent
def build_parser(chosen: Endpoint, prog: str) -> argparse.ArgumentParser:
    """Return the parser for an endpoint, with a flag for each parameter. `prog` is `MAGIC` or `COMMAND`."""
    parser = _Parser(prog=prog, add_help=False, allow_abbrev=False, prefix_chars="-")
    metavar, meaning = _NAMED[prog]
    parser.add_argument("name", nargs="?", metavar=metavar, help=meaning)
    for flag in _flags_for(prog):
        flag.add_to(parser)
    if prog in {BATCH, BATCH_LINE}:
        parser.add_argument("--prompt", metavar="TEXT", help="prompt of all rows, with columns as {column}")
    for control in _controls_with_flags(chosen):
        meaning = control.description.replace("%", "%%")
        dest = _PREFIX + control.name
        names = sorted({flag_of(control.name), f"--{control.name}"}, key=lambda name: "_" in name)
        if control.kind == "switch":
            parser.add_argument(
                *names, dest=dest, metavar="true|false", nargs="?", const="true", help=meaning
            )
            parser.add_argument(_negative_flag(control.name), dest=dest, action="store_const", const="false")
        else:
            parser.add_argument(*names, dest=dest, metavar=control.name.upper(), help=meaning)
    return parser


def _flags_for(prog: str) -> list[Flag]:
    """Return the fixed flags that a program has."""
    if prog in {BATCH, BATCH_LINE}:
        return [flag for flag in _FLAGS if flag.name in _BATCH_FLAGS]
    return [flag for flag in _FLAGS if prog == MAGIC or not flag.cell_only]


def flag_of(parameter: str) -> str:
    """Return the flag of a parameter: `aspect_ratio` is `--aspect-ratio`."""
    return "--" + parameter.replace("_", "-")


def with_flag_name(fault: InputError, call: CellCall) -> InputError:
    """Return the error with the names of flags in place of parameters, as the user typed them."""

    def with_flag(line: str, name: str) -> str:
        # A parameter within JSON has no flag, and the prompt needs none.
        if not name or "." in name or name in PROMPTS or "--" in line:
            return line
        image = image_argument(name)
        given = image in {*call.arguments, *call.varied} and name not in call.parameters
        flag = flag_of(image if given else name)
        return re.sub(rf"\b{re.escape(name)}\b", flag, line, count=1)

    first, *others = fault.message.split("\n")  # a line for each problem, which begins with its parameter
    named = [(line, re.match(r"(\w+)(?:: | (?:is|must|takes|has) )", line)) for line in others]
    lines = [with_flag(line, name[1]) if name else line for line, name in named]
    fault.message = "\n".join([with_flag(first, fault.parameter or ""), *lines])
    return fault


def _negative_flag(parameter: str) -> str:
    return flag_of(f"no_{parameter}")


def _parameter(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def flags_of(chosen: Endpoint, prog: str = MAGIC) -> tuple[str, ...]:
    """Return the names of all flags for an endpoint, fixed ones first."""
    fixed = [flag.name for flag in _flags_for(prog)]
    own = [flag_of(control.name) for control in _controls_with_flags(chosen)]
    own += [
        _negative_flag(control.name) for control in _controls_with_flags(chosen) if control.kind == "switch"
    ]
    return (*fixed, *own)


def _controls_with_flags(chosen: Endpoint) -> list[Control]:
    reserved = {*PROMPTS, *map(_parameter, FIXED_FLAGS)}
    return [control for control in chosen.parameters if control.name not in reserved]


_PIECE = re.compile(r"""([ \t\r\n]+)|\\([\s'"])|'([^']*)'|"((?:\\.|[^"\\])*)"|(['"])|(.)""", re.DOTALL)
_TYPOGRAPHY = {**dict.fromkeys("“”„‟«»", '"'), **dict.fromkeys("‘’‚‛", "'")}
_DASHES = "‒–—―−"


def split_words(line: str) -> list[str]:
    r"""Return the words of a line.

    Quotes work as in a shell. A backslash counts only before a quote or a space, so `C:\cats\a.png` is a
    word. `#` begins a comment, except in a word that follows a flag directly, as in `--hint #7`.

    Raises:
        UsageError: A quote is not closed, or is a typographic one.
    """
    return list(_words(line)[0])


def continue_line(line: str, body: str) -> tuple[str, str]:
    r"""Return line and text of a cell whose line goes on after each `\` at its end."""
    while line.rstrip().endswith("\\") and not _words(line.rstrip()[:-1], strict=False)[1]:
        more, _, body = body.partition("\n")
        line = f"{line.rstrip()[:-1]} {more}"
    return line, body


def _words(line: str, *, strict: bool = True) -> tuple[list[str], bool]:
    """Return the words of a line, and True if a comment follows them."""
    words: list[str] = []
    word: str | None = None
    for piece in _PIECE.finditer(line):
        kind, text = piece.lastindex, piece[piece.lastindex or 0]
        if kind == _SPACE:
            words += [] if word is None else [word]
            word = None
        elif kind == _PLAIN and text == "#" and word is None and _begins_comment(line, piece.end(), words):
            return words, True
        else:
            if strict and kind in {_UNCLOSED, _PLAIN}:
                _check_typing(line, piece, word)
            text = re.sub(r'\\(["\\])', r"\1", text) if kind == _DOUBLE else text
            word = (word or "") + text
    return words if word is None else [*words, word], False


_SPACE, _DOUBLE, _UNCLOSED, _PLAIN = 1, 4, 5, 6  # groups of `_PIECE`


def _begins_comment(line: str, at: int, words: Sequence[str]) -> bool:
    return not line[at : at + 1].strip() or not words or not words[-1].startswith("--")


def _check_typing(line: str, piece: re.Match[str], word: str | None) -> None:
    """Raise for a quote without its partner, and for quotes and dashes of a word processor."""
    letter, rest = piece[0], line[piece.start() :]
    shown = rest[:80].partition(" ")[0]
    if piece.lastindex == _UNCLOSED:
        raise UsageError(
            f"%%kling: the quote {letter} on the line is not closed: {rest[:80].rstrip()}",
            remedy='Write --negative-prompt "a, b". Nothing was sent.',
        )
    if letter in _TYPOGRAPHY and (word is None or word.endswith("=")):
        plain = _TYPOGRAPHY[letter]
        raise UsageError(
            f"%%kling: {shown} begins with the typographic quote {letter}. Nothing was sent.",
            remedy=f"Write {plain} on both sides: --negative-prompt {plain}a, b{plain}",
        )
    flag = shown.lstrip(_DASHES + "-")
    if word is None and letter in _DASHES and flag[:1].isalpha():
        raise UsageError(
            f"%%kling: {shown} begins with the long dash {letter}. Nothing was sent.",
            remedy=f"Write two short ones: --{flag}",
        )


FillImage = Callable[[str, bool], str]
"""Fills variables into an image of a line. True: into a list of images, as `--grid` takes them."""


def _fill_words(words: list[str], fill: Callable[[str], str], fill_image: FillImage) -> list[str]:
    """Fill in variables, but not in `--set`, because JSON has braces."""
    result, before = [], ""
    for word in words:
        start, equals, value = word.partition("=")
        joined = bool(equals) and start.startswith("--")
        flag, text = (start, value) if joined else (before, word)
        several = flag == "--grid"
        name = text.partition("=")[0].strip() if several else flag if flag.startswith("--") else ""
        if flag == "--set":
            filled = word
        elif _parameter(name) in IMAGES:
            filled = (f"{start}=" if joined else "") + fill_image(text, several)
        else:
            filled = fill(word)
        result.append(filled)
        before = word
    return result


def _endpoint_of(words: Sequence[str], default_endpoint: str) -> Endpoint:
    """Return the endpoint whose flags apply: with an image, its image-to-video counterpart."""
    named = endpoint(endpoint_in(words) or default_endpoint)
    return image_endpoint(named, endpoint) if any(map(_gives_image, words)) else named


def _gives_image(word: str) -> bool:
    """Return True for `--image`, `--image=cat.png`, and `image=a.png,b.png` after `--grid`."""
    name, equals, _ = word.partition("=")
    return _parameter(name) in IMAGES and (bool(equals) or name.startswith("--"))


def endpoint_in(words: Sequence[str]) -> str | None:
    """Return the endpoint that `--endpoint` names among words of a line, or None."""
    for at, word in enumerate(words):
        if word == "--endpoint" and at + 1 < len(words):
            return words[at + 1]
        if word.startswith("--endpoint="):
            return word.partition("=")[2]
    return None


def _refuse_word(unknown: list[str], parser: argparse.ArgumentParser, chosen: Endpoint) -> NoReturn:
    word = unknown[0]
    if not word.startswith("-"):
        raise UsageError(f"{parser.prog}: {word!r} does not belong on the line.", remedy=_PLACE[parser.prog])
    flag = word.partition("=")[0]
    if flag in {"-h", "--help"}:
        raise UsageError(f"{parser.prog} has no flag {flag}.", remedy=_HELP[parser.prog])
    fixed = [one.name for one in _flags_for(parser.prog)]
    own = [one for one in flags_of(chosen, parser.prog) if one not in fixed]
    near = nearest(flag, own, 1) or nearest(flag, fixed, 1)
    hint = (
        _place_of(flag, parser.prog)
        or _endpoints_with(flag, chosen)
        or (f" Did you mean {near[0]}?" if near else "")
    )
    raise UsageError(
        f"{parser.prog}: {chosen.short_name} has no flag {flag}.{hint}",
        remedy=f"Its flags: {' '.join([*own, *fixed])}\nNothing was sent.",
    )


def _place_of(flag: str, prog: str) -> str:
    """Return a sentence about where a flag belongs that no endpoint has in this place."""
    if _parameter(flag) in PROMPTS and prog in {MAGIC, COMMAND}:
        place = "below the line" if prog == MAGIC else "in quotes, without a flag"
        return f" Write the {_parameter(flag)} {place}."
    if flag not in FIXED_FLAGS:
        return ""
    if not FIXED_FLAGS[flag].cell_only:
        return f" {prog} always waits."
    others = f" and {BATCH}" if flag == "--concurrency" else ""
    instead = f" In a shell, write {BATCH} FILE." if flag == "--table" and prog == COMMAND else ""
    return f" Only {MAGIC} cells{others} have it.{instead}"


def _endpoints_with(flag: str, chosen: Endpoint) -> str:
    """Return a sentence about other endpoints of the package that have a flag, the most similar first."""
    found = [one for one in endpoints() if flag.replace("_", "-") in flags_of(one)]
    found.sort(key=lambda one: (one.category != chosen.category, one.generation != chosen.generation))
    if not found:
        return ""
    more = f" and {len(found) - 1} more have it" if len(found) > 1 else " has it"
    return f" {found[0].short_name}{more}: --endpoint {found[0].short_name}."


def _variable(name: str | None) -> str | None:
    if name is None or (name.isidentifier() and not keyword.iskeyword(name)):
        return name
    raise UsageError(
        f"%%kling: {name!r} is not a valid variable name.",
        remedy=_PLACE[MAGIC],
    )


def _set_values(pairs: list[str], flags: Mapping[str, Any], chosen: Endpoint, prog: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise UsageError(
                f"--set {pair[:80]!r} has no name or no value.",
                remedy="Write --set KEY=JSON. Nothing was sent.",
            )
        if key in PROMPTS:
            raise UsageError(f"--set cannot set the {key}.", remedy=_PLACE[prog])
        chosen.parameter(key)
        if key in OPTIONS:
            raise UsageError(
                f"--set cannot set {key}, because an option of the submission has the same name.",
                remedy="Use Session.client.submit(endpoint_id, input). Nothing was sent.",
            )
        if key in flags or key in values:
            raise UsageError(f"{key} is given twice.", remedy="Give it once. Nothing was sent.")
        try:
            values[key] = json.loads(text)
        except ValueError as fault:
            raise UsageError(
                f"--set {key}=… is not JSON: {fault}",
                remedy=f'Quote it: --set \'{key}=[{{"prompt": "…"}}]\'. Nothing was sent.',
            ) from fault
    return values


def take_filters(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the flags of `%kling takes` and `kling-nb takes` to a parser, and return it."""
    parser.add_argument("--rating", type=int, metavar="N", help="takes with N stars or more (1 to 5)")
    parser.add_argument("--tag", action="append", metavar="TAG", help="takes with this tag; may be repeated")
    parser.add_argument("--endpoint", metavar="NAME", help="takes of this endpoint")
    parser.add_argument(
        "--chosen", action="store_const", const=True, help="takes that were chosen for a cell"
    )
    return parser


def parse_takes(words: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of `Session.takes` for the words after `%kling takes`.

    Raises:
        UsageError: A flag does not exist or has no value.
    """
    return vars(take_filters(_Parser(prog=TAKES, add_help=False, allow_abbrev=False)).parse_args(list(words)))


def as_cell(
    endpoint: Endpoint,
    inputs: Mapping[str, Any],
    *,
    take: int | None = None,
    name: str | None = None,
    usual: str | None = None,
) -> str:
    """Return the `%%kling` cell that makes a request again. It is the inverse of `parse_line`.

    Args:
        endpoint: The endpoint of the request.
        inputs: The input, as `VideoRequest.input`.
        take: Number of the take; 1 and None need no flag.
        name: The variable that receives the result, or None.
        usual: Id or short name of the endpoint that cells use if they name none.

    Returns:
        The text of the cell: the line with the flags, then the prompt.

    Raises:
        UsageError: A cell cannot have the input: bytes, or a prompt that begins or ends with spaces.
    """
    words = [MAGIC, name] if name else [MAGIC]
    if usual not in {endpoint.id, endpoint.short_name}:
        words += [_FLAG_OF["endpoint"], endpoint.short_name]
    prompt = ""
    for parameter, value in inputs.items():
        _check(parameter, value)
        if parameter in PROMPTS:
            prompt = _body(value)
        else:
            words += _flag(endpoint.parameter(parameter), value)
    if take is not None and take > 1:
        words += [_FLAG_OF["take"], str(take)]
    return f"{' '.join(words)}\n{prompt}"


def _flag(control: Control, value: Any) -> list[str]:
    flag = flag_of(control.name)
    if flag in FIXED_FLAGS or isinstance(value, (list, dict)):
        return _set(control.name, value)
    if isinstance(value, bool):
        return (
            [flag if value else _negative_flag(control.name)]
            if control.kind == "switch"
            else _set(control.name, value)
        )
    word = value if isinstance(value, str) else json.dumps(value)
    # `--set` has no variables, and JSON escapes line ends.
    if word.startswith("-") or FILLED_IN & set(word) or len(word.splitlines()) > 1 or not word.isprintable():
        return _set(control.name, value)
    return [flag, shlex.quote(word)]


def _set(name: str, value: Any) -> list[str]:
    return ["--set", shlex.quote(f"{name}={json.dumps(value)}")]


def _body(prompt: str) -> str:
    """Return the body of a cell whose prompt is `prompt` after variables are filled in."""
    if prompt != prompt.strip() or "\r" in prompt:
        raise UsageError(
            "A cell cannot have a prompt that begins or ends with a space, or has a carriage return.",
            remedy="Use generate().",
        )
    return escape_fields(prompt)


def _check(name: str, value: Any) -> None:
    """Raise for a value whose bytes a cell cannot have."""
    if isinstance(value, str) and value.startswith("sha256:"):
        raise UsageError(f"A cell cannot have {name}, which was bytes.", remedy="Save it as a file.")
    if isinstance(value, Mapping):
        if is_recorded_file(value):
            raise UsageError(
                f"{name} was the file {value['name']}. Its path is not known.",
                remedy="Choose the file again.",
            )
        for part in value.values():
            _check(name, part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check(name, part)
