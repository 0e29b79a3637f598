"""Write `docs/faults.md` from the table that the tests read. `--print` prints the page instead."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "faults.md"

HEAD = """# What happens at each fault

`python scripts/fault_table.py` prints this page from [tests/faults/table.py](../tests/faults/table.py), which
the tests read too: `make test` tries every cell once, `make soak` draws {soaked} faulty exchanges from it
([soak.md](soak.md)). In every cell fal accepted at most one submission, the key went to no other host, and
everything ended within its deadline.

The second column is for a fault that occurs once, the third for one that lasts. Waits between tries grow from
0.5 s to 30 s, `Retry-After` included. The time limits are 30 s for an answer, 120 s for the answer to a
submission or an upload, 600 s for a reply that comes byte by byte, 45 s for the next byte of a stream and
60 s for its next status.

| word | what it means |
|---|---|
"""


def table() -> Any:
    """Import the module with the table. Its package is on the path of the tests."""
    sys.path.insert(0, str(ROOT / "tests"))
    from faults import table  # type: ignore[import-not-found]  # noqa: PLC0415

    return table


def page() -> str:
    """Return the whole page."""
    source = table()
    parts = [HEAD.format(soaked="10,000")]
    parts += [f"| {word} | {meaning} |\n" for word, meaning in source.MEANING.items()]
    for exchange, title in source.EXCHANGES.items():
        faults = source.TABLE[exchange]
        parts.append(f"\n## {title}\n\n| fault | once | as long as it lasts |\n|---|---|---|\n")
        for name in faults:
            once, lasting = (
                _format_outcome(source.cell(exchange, name, lasting=long)) for long in (False, True)
            )
            parts.append(f"| {name} | {once} | {lasting} |\n")
    return "".join(parts)


def _format_outcome(outcome: str) -> str:
    """Return the outcome with the name of its error as code."""
    word, _, error = outcome.rpartition(" ")
    return f"{word} `{error}`" if word and error[:1].isupper() and word != "READY or" else outcome


def main() -> None:
    """Write or print the page."""
    if "--print" in sys.argv[1:]:
        print(page(), end="")
    else:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
