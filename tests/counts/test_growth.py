"""What a look into the ledger costs does not grow with it: the steps of SQLite's machine are counted."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.rows_ledger import fill, fingerprint
from kling_nb.ledger import Intent, Ledger, Limit, Selection, session_of_this_process


def steps(ledger: Ledger, work: Callable[[], object]) -> int:
    """Instructions of SQLite's machine that `work` takes."""
    taken = [0]

    def count() -> int:
        taken[0] += 1
        return 0

    with ledger._file.connection() as db:
        db.set_progress_handler(count, 1)
        work()
        db.set_progress_handler(None, 1)
    return taken[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def ledgers(folder: Path) -> Iterator[list[Ledger]]:
    """A short one and a long one."""
    made = []
    for rows in (500, 8_000):
        made.append(Ledger(folder / f"{rows}.sqlite3"))
        fill(made[-1], rows, folder)
    yield made
    for ledger in made:
        ledger.close()


def looks(ledger: Ledger, folder: Path) -> dict[str, Callable[[], object]]:
    alike = Selection(folder=folder, fingerprint=fingerprint(77), unfinished=True)
    budget = Limit("the budget of this session", 5.0, session=session_of_this_process())
    today = Limit("the budget of today", 5.0, since=2e9)
    intent = Intent("fal", "fal-ai/x", {}, "a cat", fingerprint("another"), folder, cost=0.1)
    return {
        "page": ledger.entries,
        "fingerprint": lambda: ledger.entries(alike),
        "paid": lambda: ledger.find_paid(fingerprint(77), folder, 1, any_take=True),
        "expected": lambda: ledger.expected_seconds("fal-ai/another", "fal"),
        "request": lambda: ledger.get("request-77"),
        "start of an id": lambda: ledger.get(f"{77:012x}"[:-1]),
        "mark of a take": lambda: ledger.get("take-0123abcd-1"),
        "unfinished": lambda: ledger.entries(Selection(folder=folder, unfinished=True)),
        "limits": lambda: ledger.check_limits((budget, today), 0.1),
        "claim": lambda: ledger.claim(replace(intent, limits=(budget, today), any_take=True)),
        "answer": lambda: ledger.knows("request-77", but="0"),
        "match": lambda: ledger.match(f"{77:012x}", ["request-77", "request-78", "request-79"]),
    }


@pytest.mark.parametrize("look", looks(Ledger(Path("nowhere")), Path("nowhere")))
def test_a_look_into_a_large_ledger_takes_the_same_steps(
    ledgers: list[Ledger], folder: Path, look: str
) -> None:
    short, long = (steps(ledger, looks(ledger, folder)[look]) for ledger in ledgers)
    assert long <= short * 1.1
