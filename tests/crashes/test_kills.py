"""A few kills of a real kernel; `make soak` has two hundred."""

import random
from pathlib import Path

import pytest

from .point import POINTS
from .series import Counts, series

KILLS = (
    "submission accepted, not answered",
    "refused, waits for its turn",
    "id known",
    "streaming",
    "file half received",
    "file written, ledger not",
)
pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]


def killed(folder: Path, *points: str) -> Counts:
    """What came of kills at these points: nothing paid is lost, and nothing is paid twice."""
    chance = random.Random(5)
    with series(folder) as one:
        for name in points:
            one.kill(name, chance)
    counts: Counts = one.counts
    assert counts.complaints == []
    assert (counts.kills, counts.duplicates, counts.lost, counts.half_files) == (len(points), 0, 0, 0)
    assert counts.recovered + counts.unaccepted == counts.jobs == counts.rows
    assert counts.recovered == counts.files == counts.sidecars == counts.accepted
    return counts


def test_after_a_kill_nothing_paid_is_lost_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    counts = killed(tmp_path, *KILLS)
    assert counts.recovered >= len(KILLS)
    assert counts.accepted == len(KILLS)
    assert counts.looked_up >= 1


@pytest.mark.slow
def test_nor_after_kills_at_random(tmp_path: Path) -> None:
    killed(tmp_path, *["at random"] * 8)


def test_every_named_point_of_a_kill_is_known() -> None:
    assert set(KILLS) <= set(POINTS)
