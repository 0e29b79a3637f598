"""Write the reference in `docs/magic.md` from the flags' parser, the line magic and the catalogue.

The text above `MARK` is written by hand and stays. `--print` prints the page instead.
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

from kling_nb.catalog import DEFAULT_ENDPOINT, Endpoint
from kling_nb.catalog.shipped import endpoint, endpoints, short_name
from kling_nb.notebook.flags import FIXED_FLAGS, MAGIC, build_parser
from kling_nb.notebook.line import COMMANDS
from kling_nb.notebook.magics import KlingMagics
from kling_nb.notebook.tables import price_and_date

PAGE = Path(__file__).resolve().parent.parent / "docs" / "magic.md"
MARK = "<!-- From here on the page is printed by scripts/magic_page.py. -->\n"


SHELL = (
    "\n{flags}: cells only. `kling-nb generate` in a shell takes all others, with the prompt in place of"
    " NAME.\n"
)
PRICES = (
    "The package contains {count} endpoints, in {groups} groups with the same parameters. The default is"
    " `{default}`. Prices are estimates in US dollars for the default settings, with the day on which they"
    " were read. `%kling price NAME` shows details, and with a key fal's current price.\n\n"
)
NESTED = (
    'They are given as JSON: `--set multi_prompt=\'[{"prompt": "…"}]\'`, or in Python as lists and dicts.'
    " Bold names are required.\n\n"
)


def page() -> str:
    """Return the whole page."""
    groups = alike(endpoints())
    cells = ", ".join(f"`{flag.name}`" for flag in FIXED_FLAGS.values() if flag.cell_only)
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
    """Return the part that is written by hand, with the mark."""
    written, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"{PAGE.name} has no line with the mark: {MARK}")
    return written + mark


# -- Flags and lines


def fixed_flags() -> list[Action]:
    """Return the parser's flags that do not depend on the endpoint."""
    actions: Iterable[Action] = build_parser(endpoint(DEFAULT_ENDPOINT), MAGIC)._actions  # noqa: SLF001 -- argparse has no other way
    return [action for action in actions if set(action.option_strings) & set(FIXED_FLAGS)]


def fixed_row(action: Action) -> tuple[str, str]:
    """Return one flag with its value, and its help."""
    name = action.option_strings[0]
    if action.nargs == 0:
        return f"`{name}`", text(action.help or "")
    word = action.metavar or "|".join(map(str, action.choices or ())) or name[2:].upper().replace("-", "_")
    shown = f"[{word}]" if action.nargs == "?" else word
    return f"`{text(f'{name} {shown}')}`", text(action.help or "")


def lines() -> Iterator[tuple[str, str]]:
    """Yield every form of `%kling` with its help.

    Raises:
        SystemExit: The help lacks a subcommand.
    """
    forms = re.findall(r"^ *(%kling.*?)  +(\S.*)$", inspect.getdoc(KlingMagics.line) or "", re.MULTILINE)
    words = {word for form, _ in forms for word in re.findall(r"\w+", form)}
    missing = [word for word in COMMANDS if word not in words | {"status"}]
    if missing:
        raise SystemExit(f"The help of %kling lacks: {', '.join(missing)}.")
    for form, what in forms:
        yield f"`{text(form)}`", text(what)


# -- Endpoints


def alike(all_of_them: Sequence[Endpoint]) -> list[list[Endpoint]]:
    """Group endpoints with the same parameters. The default's group is first, then the newest."""
    groups: dict[tuple[Any, ...], list[Endpoint]] = {}
    for one in all_of_them:
        groups.setdefault((one.category, rule(one), *rows(one)), []).append(one)
    return sorted(groups.values(), key=lambda members: members[0].id != DEFAULT_ENDPOINT)


def index(groups: Sequence[Sequence[Endpoint]]) -> Iterator[tuple[str, str]]:
    """Yield the kinds of endpoint, with links to their groups."""
    kinds = dict.fromkeys(members[0].category for members in groups)
    for kind in kinds:
        links = [f"[{names(one)}](#{anchor(one)})" for one in groups if one[0].category == kind]
        yield kind, "; ".join(links)


def names(members: Sequence[Endpoint]) -> str:
    """Return the heading of a group."""
    return ", ".join(one.short_name for one in members)


def anchor(members: Sequence[Endpoint]) -> str:
    """Return GitHub's anchor for that heading."""
    return re.sub(r"[^\w\- ]", "", names(members).lower()).replace(" ", "-")


def section(members: Sequence[Endpoint]) -> Iterator[str]:
    """Yield the section of a group: its endpoints with prices, and their parameters."""
    yield f"\n### {names(members)}\n\n"
    yield from table(("name", "id", "price"), map(price_row, members))
    yield "\n"
    if not members[0].has_schema:
        yield "Parameters: see fal. The schema is fetched at the first use; there is no local preview.\n"
        return
    yield from table(("flag", "values", "default"), rows(members[0]))
    if rule(members[0]):
        yield f"\n{rule(members[0])}\n"


def price_row(one: Endpoint) -> tuple[str, str, str]:
    """Return name, id and price of an endpoint."""
    variants = one.price.variants if one.price else {}
    rates = ", ".join(f"{name.replace('_', ' ')} ${usd:g}" for name, usd in variants.items())
    return f"`{one.short_name}`", f"`{one.id}`", price_and_date(one) + (f"; {rates}" if rates else "")


def rows(one: Endpoint) -> list[tuple[str, str, str]]:
    """Return the rows of an endpoint's parameters."""
    return [(flag(control), values(control), default(control)) for control in one.parameters]


# -- Parameters


def meanings() -> Iterator[tuple[str, str]]:
    """Yield each parameter with the descriptions of the schemas, the most frequent one first."""
    found: dict[str, dict[str, list[str]]] = {}
    for one in endpoints():
        for control in one.parameters:
            found.setdefault(control.name, {}).setdefault(control.description, []).append(one.short_name)
    for name, users in found.items():
        usual, *others = sorted(users, key=lambda description: -len(users[description]))
        rest = [f"Of {', '.join(users[description])}: {text(description)}" for description in others]
        yield f"`{name}`", "<br>".join([text(usual), *rest])


def nested() -> Iterator[tuple[str, str]]:
    """Yield each form of a parameter that is a list or an object."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in endpoints():
        for control in one.parameters:
            if control.kind == "json":
                form = shape(one.input_schema["properties"][control.name])
                found.setdefault((control.name, form), []).append(one.short_name)
    for (name, form), users in found.items():
        yield f"`{name}`<br>of {', '.join(users)}", text(form)


def long_lists() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the lists that are too long for a table."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for one in endpoints():
        for control in one.parameters:
            given = tuple(str(option) for option in control.options or ())
            if "see [long lists]" in values(control):
                found[(control.name, given)] = None
    yield from found


# -- Markdown


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n"
    for row in body:
        yield f"| {' | '.join(row)} |\n"


def main() -> None:
    """Write or print the page."""
    if "--print" in sys.argv[1:]:
        print(page(), end="")
    else:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
