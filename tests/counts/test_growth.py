"""What a look into the ledger costs does not grow with it: the steps of SQLite's machine are counted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.rows_ledger import fill, fingerprint
from kling_nb.ledger import Ledger, Selection


def steps(ledger: Ledger, work: Callable[[], object]) -> int:
    """Instructions of SQLite's machine that `work` takes."""
    taken = [0]

    def count() -> int:
        taken[0] += 1
        return 0

    with ledger._file.reading() as db:
        db.set_progress_handler(count, 1)
        work()
        db.set_progress_handler(None, 1)
    return taken[0]


@pytest.mark.parametrize("look", ["page", "fingerprint", "paid", "request", "unfinished", "expected"])
def test_a_look_into_a_large_ledger_takes_the_same_steps(tmp_path: Path, look: str) -> None:
    taken = []
    for rows in (500, 8_000):
        ledger = Ledger(tmp_path / f"{rows}.sqlite3")
        fill(ledger, rows, tmp_path)
        works: dict[str, Callable[[], object]] = {
            "page": ledger.entries,
            "fingerprint": lambda ledger=ledger: ledger.entries(
                Selection(folder=tmp_path, fingerprint=fingerprint(77), unfinished=True)
            ),
            "paid": lambda ledger=ledger: ledger.ready_like(fingerprint(77), tmp_path, 1),
            "expected": lambda ledger=ledger: ledger.expected_seconds("fal-ai/another", "fal"),
            "request": lambda ledger=ledger: ledger.get("request-77"),
            "unfinished": lambda ledger=ledger: ledger.entries(Selection(folder=tmp_path, unfinished=True)),
        }
        taken.append(steps(ledger, works[look]))
        ledger.close()
    assert taken[1] <= taken[0] * 1.1
