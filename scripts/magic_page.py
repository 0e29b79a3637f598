"""Write the reference in `docs/magic.md` from the flags' parser, the line magic and the catalogue.

What stands above `MARK` in the page is written by hand and stays. `--print` shows the page instead.
"""

from __future__ import annotations

import inspect
import re
import sys
from argparse import Action
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from parameter_words import default, flag, rule, shape, text, values

from kling_nb.catalog import DEFAULT_ENDPOINT, Endpoint, endpoint, endpoints
from kling_nb.catalog.short_name import short_name
from kling_nb.notebook.endpoint_table import price_and_date
from kling_nb.notebook.flags import CELL_ONLY, FIXED_FLAGS, MAGIC, build_parser
from kling_nb.notebook.line import SUBCOMMANDS
from kling_nb.notebook.magic import KlingMagics

PAGE = Path(__file__).resolve().parent.parent / "docs" / "magic.md"
MARK = "<!-- From here on the page is printed by scripts/magic_page.py. -->\n"


SHELL = (
    "\n{flags}: cells only. `kling-nb generate` in a shell takes all others, with the prompt in the place of"
    " NAME.\n"
)
PRICES = (
    "{count} endpoints come with the package, in {groups} groups that take the same parameters. The default"
    " is `{default}`. Prices are a rough guard, not a quote: each is in US dollars, with the day on which it"
    " was read, and covers the default settings. `%kling price NAME` says more, and with a key asks fal.\n\n"
)
NESTED = (
    'They are given as JSON: `--set multi_prompt=\'[{"prompt": "…"}]\'`, or in Python as lists and dicts.'
    " What is in bold is required.\n\n"
)


def page() -> str:
    """The whole page."""
    groups = alike(endpoints())
    cells = ", ".join(f"`{one}`" for one in sorted(CELL_ONLY))
    default_name = short_name(DEFAULT_ENDPOINT)
    parts = [
        introduction(),
        "\n## Flags of every cell\n\n",
        *table(("flag", ""), map(fixed_row, fixed_flags())),
        SHELL.format(flags=cells),
        "\n## Lines\n\n",
        *table(("line", ""), lines()),
        "\n## Endpoints\n\n",
        PRICES.format(count=len(endpoints()), groups=len(groups), default=default_name),
        *table(("kind", "endpoints"), index(groups)),
        "\n## What the parameters mean\n\n",
        *table(("parameter", ""), meanings()),
        "\n## Nested parameters\n\n",
        NESTED,
        *table(("parameter", "is"), nested()),
        "\n## Long lists\n\n",
        *(f"`{name}`: {', '.join(f'`{word}`' for word in words)}\n\n" for name, words in long_lists()),
        "## Parameters of each endpoint\n",
    ]
    for members in groups:
        parts += section(members)
    return "".join(parts)


def introduction() -> str:
    """What is written by hand, with the mark."""
    written, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"{PAGE.name} has lost its mark: {MARK}")
    return written + mark


# -- flags and lines -------------------------------------------------------------


def fixed_flags() -> list[Action]:
    """The flags that do not depend on the endpoint, as the parser has them."""
    actions: Iterable[Action] = build_parser(endpoint(DEFAULT_ENDPOINT), MAGIC)._actions  # noqa: SLF001 -- argparse has no other way
    return [action for action in actions if set(action.option_strings) & set(FIXED_FLAGS)]


def fixed_row(action: Action) -> tuple[str, str]:
    """One flag with its value, and its help."""
    name = action.option_strings[0]
    if action.nargs == 0:
        return f"`{name}`", text(action.help or "")
    word = action.metavar or "|".join(map(str, action.choices or ())) or name[2:].upper().replace("-", "_")
    shown = f"[{word}]" if action.nargs == "?" else word
    return f"`{text(f'{name} {shown}')}`", text(action.help or "")


def lines() -> Iterator[tuple[str, str]]:
    """Every form of `%kling`, as its help has it.

    Raises:
        SystemExit: A subcommand is missing there.
    """
    told = re.findall(r"^ *(%kling.*?)  +(\S.*)$", inspect.getdoc(KlingMagics.line) or "", re.MULTILINE)
    words = {word for form, _ in told for word in re.findall(r"\w+", form)}
    missing = [word for word in SUBCOMMANDS if word not in words | {"status"}]
    if missing:
        raise SystemExit(f"The help of %kling lacks: {', '.join(missing)}.")
    for form, what in told:
        yield f"`{text(form)}`", text(what)


# -- endpoints ---------------------------------------------------------------------


def alike(all_of_them: Sequence[Endpoint]) -> list[list[Endpoint]]:
    """Endpoints that take the same, together; the default's group first, then newest first."""
    groups: dict[tuple[Any, ...], list[Endpoint]] = {}
    for one in all_of_them:
        groups.setdefault((one.category, rule(one), *rows(one)), []).append(one)
    return sorted(groups.values(), key=lambda members: members[0].id != DEFAULT_ENDPOINT)


def index(groups: Sequence[Sequence[Endpoint]]) -> Iterator[tuple[str, str]]:
    """Kinds of endpoint, with links to their groups."""
    kinds = dict.fromkeys(members[0].category for members in groups)
    for kind in kinds:
        links = [f"[{names(one)}](#{anchor(one)})" for one in groups if one[0].category == kind]
        yield kind, "; ".join(links)


def names(members: Sequence[Endpoint]) -> str:
    """The heading of a group."""
    return ", ".join(one.short_name for one in members)


def anchor(members: Sequence[Endpoint]) -> str:
    """GitHub's name for that heading."""
    return re.sub(r"[^\w\- ]", "", names(members).lower()).replace(" ", "-")


def section(members: Sequence[Endpoint]) -> Iterator[str]:
    """A group: its endpoints with prices, then what they take."""
    yield f"\n### {names(members)}\n\n"
    yield from table(("name", "id", "price"), map(priced, members))
    yield "\n"
    yield from table(("flag", "values", "default"), rows(members[0]))
    if rule(members[0]):
        yield f"\n{rule(members[0])}\n"


def priced(one: Endpoint) -> tuple[str, str, str]:
    """Name, id and price of an endpoint."""
    variants = one.price.variants if one.price else {}
    rates = ", ".join(f"{name.replace('_', ' ')} ${usd:g}" for name, usd in variants.items())
    return f"`{one.short_name}`", f"`{one.id}`", price_and_date(one) + (f"; {rates}" if rates else "")


def rows(one: Endpoint) -> list[tuple[str, str, str]]:
    """The parameters of an endpoint."""
    return [(flag(control), values(control), default(control)) for control in one.parameters]


# -- what parameters are ------------------------------------------------------------


def meanings() -> Iterator[tuple[str, str]]:
    """Each parameter in the schema's own words: the most frequent ones, then those of other endpoints."""
    found: dict[str, dict[str, list[str]]] = {}
    for one in endpoints():
        for control in one.parameters:
            found.setdefault(control.name, {}).setdefault(control.description, []).append(one.short_name)
    for name, told in found.items():
        usual, *others = sorted(told, key=lambda words: -len(told[words]))
        rest = [f"Of {', '.join(told[words])}: {text(words)}" for words in others]
        yield f"`{name}`", "<br>".join([text(usual), *rest])


def nested() -> Iterator[tuple[str, str]]:
    """Each form of a parameter that is a list or an object."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in endpoints():
        for control in one.parameters:
            if control.kind == "json":
                form = shape(one.input_schema["properties"][control.name])
                found.setdefault((control.name, form), []).append(one.short_name)
    for (name, form), users in found.items():
        yield f"`{name}`<br>of {', '.join(users)}", text(form)


def long_lists() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The lists that are too long for a table."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for one in endpoints():
        for control in one.parameters:
            given = tuple(str(option) for option in control.options or ())
            if "see [long lists]" in values(control):
                found[(control.name, given)] = None
    yield from found


# -- Markdown ------------------------------------------------------------------------


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table, line by line."""
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n"
    for row in body:
        yield f"| {' | '.join(row)} |\n"


def main() -> None:
    """Write or print it."""
    if "--print" in sys.argv[1:]:
        print(page(), end="")
    else:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
