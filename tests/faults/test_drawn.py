"""A short draw of faulty exchanges, and the official client on some of the same; `make soak` has 10,000."""

from pathlib import Path

import pytest
from scripted import ScriptedFal

from . import official
from .bench import Bench
from .drawn import draw
from .fault import FAULTS_OF
from .trial import attempt

PAID_AGAIN = ("accepted, then silent", "502, nginx page although it was done")
"""Faults of a submission that fal has taken, after which the official client sends it again."""


@pytest.mark.slow
def test_faults_drawn_at_random_end_as_the_table_says(tmp_path: Path) -> None:
    counts = draw(21, 60, tmp_path)
    assert counts.faults == []
    assert counts.struck >= 60
    assert (counts.duplicates, counts.hangs, counts.our_duplicates_of_same) == (0, 0, 0)
    assert sum(counts.outcomes.values()) == counts.trials


@pytest.mark.parametrize("name", PAID_AGAIN)
def test_where_the_official_client_pays_again_this_one_does_not(
    fal: ScriptedFal, tmp_path: Path, name: str
) -> None:
    fault = FAULTS_OF["submit"][name]
    theirs = official.attempt(fal, "submit", fault, lasting=True)
    with Bench(tmp_path / "bench") as bench:
        ours = attempt(bench, "submit", fault, lasting=True)
    assert (theirs.accepted, theirs.hung) == (10, False)
    assert ours.accepted == 1


def test_the_official_client_sends_the_key_where_a_reply_says(fal: ScriptedFal) -> None:
    theirs = official.attempt(fal, "submit", FAULTS_OF["submit"]["URLs on another host"], lasting=False)
    assert theirs.leaked


def test_the_official_client_waits_for_a_silent_result_without_end(fal: ScriptedFal) -> None:
    theirs = official.attempt(fal, "result", FAULTS_OF["result"]["accepted, then silent"], lasting=False)
    assert theirs.hung
