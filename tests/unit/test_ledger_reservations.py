"""Reservations for sweeps: all or nothing, drawn row by row, void when the process ends."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kling_nb.errors import BudgetExceeded
from kling_nb.ledger import Intent, Ledger, Limit
from kling_nb.ledger.limits import LONGEST_SECONDS
from kling_nb.ledger.owner import owner_of_this_process, session_of_this_process

TODAY = (Limit("the budget of today", 10.0),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def intent(fingerprint: str, cost: float, reservation: str | None = None, **more: Any) -> Intent:
    asked = {"backend": "fal", "endpoint": "e", "input": {}, "prompt": "p", "folder": Path("/media")}
    return Intent(**asked, fingerprint=fingerprint, cost=cost, reservation=reservation, limits=TODAY, **more)


def alter(path: Path, query: str, *values: Any) -> None:
    with sqlite3.connect(path) as db:
        db.execute(query, values)
    db.close()


def test_a_reservation_is_drawn_row_by_row_and_not_by_others(path: Path) -> None:
    ledger = Ledger(path)
    reservation = ledger.reserve(TODAY, 9.0)
    with pytest.raises(BudgetExceeded, match=r"\$2\.00.*leaves \$1\.00 of \$10\.00 \(\$9\.00 of it reserved"):
        ledger.claim(intent("other", 2.0))
    for number in range(3):
        _, fresh = ledger.claim(intent(f"part {number}", 3.0, reservation))
        assert fresh
    with pytest.raises(BudgetExceeded, match=r"leaves \$1\.00 of \$10\.00\. Nothing was sent"):
        ledger.claim(intent("one more", 3.0, reservation))  # The reservation is used up.
    ledger.claim(intent("other", 1.0))
    ledger.close()


def test_release_frees_what_is_left(path: Path) -> None:
    ledger = Ledger(path)
    reservation = ledger.reserve(TODAY, 9.0)
    ledger.claim(intent("part", 3.0, reservation))
    ledger.release(reservation)
    ledger.claim(intent("other", 7.0))
    ledger.close()


def test_reservations_at_once_do_not_exceed_the_limit(path: Path) -> None:
    ledgers = [Ledger(path) for _ in range(8)]

    def ask(ledger: Ledger) -> bool:
        try:
            ledger.reserve(TODAY, 3.0)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(len(ledgers)) as threads:
        assert sum(threads.map(ask, ledgers)) == 3
    for ledger in ledgers:
        ledger.close()


def test_a_reservation_is_void_when_its_process_has_ended_or_a_day_has_passed(path: Path) -> None:
    ledger = Ledger(path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host, _, token = owner_of_this_process().rsplit(":", 2)
    for query, value in (
        ("UPDATE holds SET owner = ?", f"{host}:{ended.pid}:{token}"),
        ("UPDATE holds SET held_at = held_at - ?", LONGEST_SECONDS),
    ):
        reservation = ledger.reserve(TODAY, 9.0)
        with pytest.raises(BudgetExceeded):
            ledger.reserve(TODAY, 9.0)
        alter(path, query, value)
        ledger.release(ledger.reserve(TODAY, 9.0))
        ledger.release(reservation)
    ledger.close()


def test_a_limit_of_one_session_ignores_reservations_of_others(path: Path) -> None:
    ledger = Ledger(path)
    mine = (Limit("the budget of this session", 10.0, session=session_of_this_process()),)
    ledger.reserve(mine, 9.0)
    alter(path, "UPDATE holds SET owner = 'elsewhere:1:cafe0000'")
    ledger.reserve(mine, 9.0)
    with pytest.raises(BudgetExceeded):
        ledger.reserve(mine, 9.0)
    ledger.close()


def test_an_unsent_row_counts_for_the_limits_of_the_process_that_sends_it(path: Path) -> None:
    ledger = Ledger(path)
    left, _ = ledger.claim(intent("left", 6.0))
    alter(path, "UPDATE jobs SET created_at = created_at - 200")
    assert (entry := ledger.get(left.id)) is not None
    assert entry.is_unsent
    with pytest.raises(BudgetExceeded):
        ledger.claim(replace(intent("left", 6.0), limits=(Limit("a smaller budget", 5.0),)))
    reservation = ledger.reserve(TODAY, 10.0, besides=[left.id])  # Its price does not count twice.
    found, fresh = ledger.claim(intent("left", 6.0, reservation))
    assert fresh
    assert found.id == left.id
    ledger.close()
