"""The line of `%%kling`: fixed flags, and one flag for every parameter of the endpoint.

`kling-nb generate` takes the same flags, with the prompt in the place of NAME.
"""

from __future__ import annotations

import argparse
import difflib
import json
import keyword
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NoReturn

from kling_nb._arguments import with_picture
from kling_nb._default import endpoint
from kling_nb.catalog import Control, Endpoint
from kling_nb.errors import UsageError
from kling_nb.fal.options import OPTIONS, PRIORITIES

BODY_PARAMETERS = frozenset({"prompt", "text"})
"""What the cell's body holds, so that it has no flag."""

MAGIC, COMMAND = "%%kling", "kling-nb generate"
_HELP = {MAGIC: "%%kling? shows", COMMAND: "kling-nb generate --help shows"}
_NAMED = {MAGIC: ("NAME", "variable that receives the video"), COMMAND: ("PROMPT", "what to show, or -")}
_PLACE = {
    MAGIC: "The line takes one NAME and flags; the prompt goes on the lines below. Nothing was sent.",
    COMMAND: "The prompt is one word for the shell: put it in quotes. Nothing was sent.",
}


@dataclass(frozen=True, slots=True)
class CellCall:
    """A `%%kling` line, understood.

    Attributes:
        name: The variable that receives the result, or None.
        endpoint: Id or short name, or None for the one set elsewhere.
        parameters: Values for the endpoint's parameters, still unchecked.
        image: A picture to start from, or None.
        end_image: A picture to end on, or None.
        take: The take wanted, or None.
        new: Another take, whatever exists.
        wait: Whether the cell waits.
        timeout: Seconds, or None.
        max_cost: US dollars, or "none", or None.
        frozen: Submit nothing.
        dry_run: Show what would be sent, and send nothing.
        quiet: No output but errors.
        webhook: Address that the result is delivered to as well, or None.
        options: How fal's queue is to treat it: arguments of `SubmitOptions`.
        grid: What followed each `--grid`; None where there is none.
        concurrency: Cells of a grid under way at once, or None.
    """

    name: str | None = None
    endpoint: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    image: str | None = None
    end_image: str | None = None
    take: int | None = None
    new: bool = False
    wait: bool = True
    timeout: float | None = None
    max_cost: str | None = None
    frozen: bool = False
    dry_run: bool = False
    quiet: bool = False
    webhook: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    grid: tuple[str, ...] | None = None
    concurrency: int | None = None


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the process, and knows the nearest flag."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"{self.prog}: {message}",
            remedy=f"{_HELP[self.prog]} all flags of the endpoint in use. Nothing was sent.",
        )


FIXED_FLAGS: dict[str, str] = {
    "--endpoint": "id or short name of the endpoint",
    "--image": "picture to start from: a path or an address",
    "--end-image": "picture to end on, where the endpoint takes one",
    "--take": "number of the take wanted",
    "--new": "make another take, whatever exists",
    "--no-wait": "do not wait; NAME receives the Job",
    "--timeout": "seconds to wait at most; the job goes on after that",
    "--set": "KEY=JSON for a nested parameter; may be repeated",
    "--webhook": "address that fal delivers the result to as well",
    "--max-cost": 'US dollars that it may cost at most; "none" lifts every limit',
    "--priority": '"low" lets other requests go first',
    "--start-timeout": "seconds in which the work must have begun; fal gives it up then, at no cost",
    "--tag": "NAME=VALUE to find it by in fal's billing; may be repeated",
    "--hint": "send requests with the same hint to the same runner where possible",
    "--no-retry": "no second attempt by fal itself where a runner fails",
    "--no-store": "fal keeps neither input nor output for its dashboard",
    "--grid": "NAME=VALUE,VALUE: make one video for each; may be repeated. Also {a|b|c} in the prompt",
    "--concurrency": "cells of a grid under way at once",
    "--frozen": "show the take that is here, or fail; send nothing",
    "--dry-run": "show the request and what would happen; send nothing",
    "--quiet": "no output but errors",
}

CELL_ONLY = frozenset({"--grid", "--concurrency"})
"""Flags of the cell magic that `kling-nb generate`, which prints one file's name, does not have."""


def parse_line(line: str, *, default_endpoint: str, fill: Callable[[str], str] = str) -> CellCall:
    """Understand the line of a cell.

    Args:
        line: What follows `%%kling`.
        default_endpoint: Used where the line names none.
        fill: Fills variables into one word.

    Raises:
        UsageError: A flag that does not exist, lacks its value, or contradicts another.
        UnknownEndpoint: `--endpoint` names none.
    """
    name, call = _parse(_filled(_split(line), fill), MAGIC, default_endpoint)
    return replace(call, name=_variable(name))


def parse_words(words: Sequence[str], *, default_endpoint: str) -> tuple[str | None, CellCall]:
    """Understand the words of a shell's command line; gives the prompt, or None, and the rest.

    Raises:
        UsageError: A flag that does not exist, lacks its value, or contradicts another.
        UnknownEndpoint: `--endpoint` names none.
    """
    return _parse(list(words), COMMAND, default_endpoint)


def command_help(words: Sequence[str], *, default_endpoint: str) -> str:
    """What `kling-nb generate --help` shows, for the endpoint that `words` name."""
    return build_parser(_chosen(list(words), default_endpoint), COMMAND).format_help()


def _parse(tokens: list[str], prog: str, default_endpoint: str) -> tuple[str | None, CellCall]:
    """The one word that is no flag, and what the flags say."""
    chosen = _chosen(tokens, default_endpoint)
    parser = build_parser(chosen, prog)
    parsed, unknown = parser.parse_known_args(tokens)
    if unknown:
        _refuse(unknown, parser, chosen)
    if parsed.new and parsed.take is not None:
        raise UsageError(
            "--take and --new contradict each other.", remedy="Give one of them. Nothing was sent."
        )
    if parsed.no_wait and parsed.timeout is not None:
        raise UsageError(
            "--timeout and --no-wait contradict each other.", remedy="Give one of them. Nothing was sent."
        )
    _free_name(parsed)
    values = {
        control.name: getattr(parsed, f"p_{control.name}")
        for control in _flagged(chosen)
        if getattr(parsed, f"p_{control.name}") is not None
    }
    return parsed.name, CellCall(
        endpoint=parsed.endpoint,
        parameters={**values, **_set_values(parsed.set, values, chosen)},
        image=parsed.image,
        end_image=parsed.end_image,
        take=parsed.take,
        new=parsed.new,
        wait=not parsed.no_wait,
        timeout=parsed.timeout,
        max_cost=parsed.max_cost,
        frozen=parsed.frozen,
        dry_run=parsed.dry_run,
        quiet=parsed.quiet,
        webhook=parsed.webhook,
        options=_options(parsed),
        grid=_grid(parsed),
        concurrency=getattr(parsed, "concurrency", None),
    )


def _free_name(parsed: argparse.Namespace) -> None:
    """`--grid fox`: a word without "=" is NAME, and the flag stands alone."""
    given = getattr(parsed, "grid", None) or []
    for at, word in enumerate(given):
        if word.isidentifier() and parsed.name is None:
            given[at], parsed.name = "", word


def _grid(parsed: argparse.Namespace) -> tuple[str, ...] | None:
    given = getattr(parsed, "grid", None)
    if given is None and getattr(parsed, "concurrency", None) is not None:
        raise UsageError(
            "--concurrency is for grids.", remedy="Add --grid NAME=VALUE,VALUE. Nothing was sent."
        )
    return None if given is None else tuple(given)


def _options(parsed: argparse.Namespace) -> dict[str, Any]:
    """Those that were given."""
    options = {
        "priority": parsed.priority,
        "start_timeout": parsed.start_timeout,
        "tags": dict(parsed.tag) or None,
        "hint": parsed.hint,
        "no_retry": parsed.no_retry or None,
        "store_io": False if parsed.no_store else None,
    }
    return {name: value for name, value in options.items() if value is not None}


@lru_cache(maxsize=16)  # a quarter of what a cell costs before it is sent
def build_parser(chosen: Endpoint, prog: str) -> argparse.ArgumentParser:
    """The parser for an endpoint: its schema gives the flags. `prog` is `MAGIC` or `COMMAND`."""
    parser = _Parser(prog=prog, add_help=False, allow_abbrev=False, prefix_chars="-")
    metavar, told = _NAMED[prog]
    parser.add_argument("name", nargs="?", metavar=metavar, help=told)
    add = parser.add_argument
    add("--endpoint", help=FIXED_FLAGS["--endpoint"])
    add("--image", help=FIXED_FLAGS["--image"])
    add("--end-image", help=FIXED_FLAGS["--end-image"])
    add("--take", type=_count, metavar="N", help=FIXED_FLAGS["--take"])
    add("--new", action="store_true", help=FIXED_FLAGS["--new"])
    add("--no-wait", action="store_true", help=FIXED_FLAGS["--no-wait"])
    add("--timeout", type=_seconds, metavar="SECONDS", help=FIXED_FLAGS["--timeout"])
    add("--set", action="append", default=[], metavar="KEY=JSON", help=FIXED_FLAGS["--set"])
    add("--webhook", metavar="URL", help=FIXED_FLAGS["--webhook"])
    add("--max-cost", metavar="USD", help=FIXED_FLAGS["--max-cost"])
    add("--priority", choices=PRIORITIES, help=FIXED_FLAGS["--priority"])
    add("--start-timeout", type=_seconds, metavar="SECONDS", help=FIXED_FLAGS["--start-timeout"])
    add("--tag", type=_tag, action="append", default=[], metavar="NAME=VALUE", help=FIXED_FLAGS["--tag"])
    add("--hint", help=FIXED_FLAGS["--hint"])
    add("--no-retry", action="store_true", help=FIXED_FLAGS["--no-retry"])
    add("--no-store", action="store_true", help=FIXED_FLAGS["--no-store"])
    if prog == MAGIC:
        add("--grid", action="append", nargs="?", const="", metavar="NAME=VALUES", help=FIXED_FLAGS["--grid"])
        add("--concurrency", type=_count, metavar="N", help=FIXED_FLAGS["--concurrency"])
    add("--frozen", action="store_true", help=FIXED_FLAGS["--frozen"])
    add("--dry-run", action="store_true", help=FIXED_FLAGS["--dry-run"])
    add("--quiet", action="store_true", help=FIXED_FLAGS["--quiet"])
    for control in _flagged(chosen):
        told = control.description.replace("%", "%%")
        names = sorted({flag_of(control.name), f"--{control.name}"}, key=lambda name: "_" in name)
        if control.kind == "switch":
            parser.add_argument(*names, dest=f"p_{control.name}", nargs="?", const="true", help=told)
            parser.add_argument(
                f"--no-{names[0][2:]}", dest=f"p_{control.name}", action="store_const", const="false"
            )
        else:
            parser.add_argument(*names, dest=f"p_{control.name}", help=told)
    return parser


def flag_of(parameter: str) -> str:
    """The flag of a parameter: `aspect_ratio` is `--aspect-ratio`."""
    return "--" + parameter.replace("_", "-")


def flags_of(chosen: Endpoint) -> tuple[str, ...]:
    """All flags for an endpoint, fixed ones first; for completion and messages."""
    own = [flag_of(control.name) for control in _flagged(chosen)]
    own += [
        f"--no-{control.name.replace('_', '-')}" for control in _flagged(chosen) if control.kind == "switch"
    ]
    return (*FIXED_FLAGS, *own)


def _flagged(chosen: Endpoint) -> list[Control]:
    fixed = {name[2:].replace("-", "_") for name in FIXED_FLAGS}
    return [
        control
        for control in chosen.parameters
        if control.name not in fixed and control.name not in BODY_PARAMETERS
    ]


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as fault:
        raise UsageError(
            f"%%kling: the line has an open quote ({fault}): {line[:120]}",
            remedy='Close it, or leave it out: --negative-prompt "a, b". Nothing was sent.',
        ) from fault


def _filled(tokens: list[str], fill: Callable[[str], str]) -> list[str]:
    """Variables filled in, save in `--set`: the braces of its JSON are not ours."""
    result = []
    previous = ""
    for token in tokens:
        keep = previous == "--set" or token.startswith("--set=") or _is_picture(previous, token)
        result.append(token if keep else fill(token))
        previous = token
    return result


def _is_picture(flag: str, word: str) -> bool:
    """Whether a word in braces names a picture: filled in, it would be the text of an object."""
    return flag in {"--image", "--end-image"} and word.startswith("{") and word.endswith("}")


def _chosen(words: list[str], default_endpoint: str) -> Endpoint:
    """The endpoint whose flags count: with a picture, the sister that takes one."""
    named = endpoint(_endpoint_in(words) or default_endpoint)
    pictured = any(
        word.partition("=")[0] in {"--image", "--end-image"}
        or word.startswith(("image=", "end_image=", "end-image="))
        for word in words
    )
    return with_picture(named, endpoint) if pictured else named


def _endpoint_in(words: list[str]) -> str | None:
    for at, word in enumerate(words):
        if word == "--endpoint" and at + 1 < len(words):
            return words[at + 1]
        if word.startswith("--endpoint="):
            return word.partition("=")[2]
    return None


def _refuse(unknown: list[str], parser: argparse.ArgumentParser, chosen: Endpoint) -> NoReturn:
    word = unknown[0]
    if not word.startswith("-"):
        raise UsageError(
            f"{parser.prog}: {word!r} is one word too many on the line.", remedy=_PLACE[parser.prog]
        )
    flag = word.partition("=")[0]
    known = [one for one in flags_of(chosen) if parser.prog == MAGIC or one not in CELL_ONLY]
    near = difflib.get_close_matches(flag.replace("_", "-"), known, 1, 0.6)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(
        f"{parser.prog}: {chosen.short_name} has no flag {flag}.{hint}",
        remedy=f"Its flags: {' '.join(known)}\nNothing was sent.",
    )


def _variable(name: str | None) -> str | None:
    if name is None or (name.isidentifier() and not keyword.iskeyword(name)):
        return name
    raise UsageError(
        f"%%kling: {name!r} cannot be a variable's name.",
        remedy=_PLACE[MAGIC],
    )


def _set_values(pairs: list[str], flags: Mapping[str, Any], chosen: Endpoint) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise UsageError(
                f"--set {pair[:80]!r} lacks a name or a value.",
                remedy="Write --set KEY=JSON. Nothing was sent.",
            )
        if key in BODY_PARAMETERS:
            raise UsageError(f"--set {key}: the {key} is not set by a flag.", remedy=_PLACE[MAGIC])
        chosen.parameter(key)
        if key in OPTIONS:
            raise UsageError(
                f"--set {key}: that name is taken by an option of the submission.",
                remedy="Send it by Session.client.submit(endpoint_id, input). Nothing was sent.",
            )
        if key in flags or key in values:
            raise UsageError(f"{key} is given twice.", remedy="Give it once. Nothing was sent.")
        try:
            values[key] = json.loads(text)
        except ValueError as fault:
            raise UsageError(
                f"--set {key}=… is not JSON: {fault}",
                remedy=f'Quote it for the line, e.g. --set \'{key}=[{{"prompt": "…"}}]\'. Nothing was sent.',
            ) from fault
    return values


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if equals:
        return name, value
    raise argparse.ArgumentTypeError(f"{text!r} lacks a value: write NAME=VALUE")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number
