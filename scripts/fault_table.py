"""Write `docs/faults.md` from the table that the tests read; `--print` shows it instead."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "faults.md"

HEAD = """# What comes of each fault

Printed by `python scripts/fault_table.py` from [tests/faults/table.py](../tests/faults/table.py), which
is also what the tests read: `make test` tries every cell once, `make soak` draws {soaked} faulty exchanges
from it ([soak.md](soak.md)). In every cell at most one submission was accepted, the key went to no other
host, and everything ended by its deadline.

A fault strikes once or it lasts. Where both end alike, the cells of a row are the same. Waits between tries
are 0.5 s growing to 30 s, `Retry-After` included. An answer is waited for 30 s, that of a submission and of
an upload 120 s; one that comes byte by byte 600 s; a stream's next byte 45 s, its next status 60 s.

| word | what it means |
|---|---|
"""


def table() -> Any:
    """The module with the table. It stands with the tests, on whose path its package is."""
    sys.path.insert(0, str(ROOT / "tests"))
    from faults import table  # type: ignore[import-not-found]  # noqa: PLC0415

    return table


def page() -> str:
    """The whole page."""
    source = table()
    parts = [HEAD.format(soaked="10,000")]
    parts += [f"| {word} | {meaning} |\n" for word, meaning in source.MEANING.items()]
    for exchange, title in source.EXCHANGES.items():
        faults = source.TABLE[exchange]
        parts.append(f"\n## {title}\n\n| fault | once | as long as it lasts |\n|---|---|---|\n")
        for name in faults:
            once, lasting = (_shown(source.cell(exchange, name, lasting=long)) for long in (False, True))
            parts.append(f"| {name} | {once} | {lasting} |\n")
    return "".join(parts)


def _shown(outcome: str) -> str:
    """The word plain, the name of an error as code."""
    word, _, error = outcome.rpartition(" ")
    return f"{word} `{error}`" if word and error[:1].isupper() and word != "READY or" else outcome


def main() -> None:
    """Write or print it."""
    if "--print" in sys.argv[1:]:
        print(page(), end="")
    else:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
