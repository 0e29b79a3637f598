"""Faulty exchanges drawn at random from the table, and what came of them counted.

`python -m faults.drawn SEED EXCHANGES` prints the counts.
"""

import json
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from . import official
from .bench import Bench
from .fault import FAULTS_OF, Fault
from .table import cell
from .trial import Hang, Unmet, attempt

TRIALS_OF_A_BENCH = 60
COMPARED = {"script", "clock", "refused", "private"}
"""Kinds that the official client's trial does not know."""


@dataclass
class Counts:
    """What was counted; `theirs` is of the official client, on the same faults."""

    trials: int = 0
    struck: int = 0
    unmet: int = 0
    accepted: int = 0
    duplicates: int = 0
    hangs: int = 0
    unlike_the_table: int = 0
    longest: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    same: int = 0
    our_duplicates_of_same: int = 0
    their_duplicates: int = 0
    their_duplicated_jobs: int = 0
    their_undelivered: int = 0
    their_leaks: int = 0
    their_hangs: int = 0


def draw(seed: int, exchanges: int, folder: Path) -> Counts:
    """Trials until the faults have met so many exchanges."""
    chance = random.Random(seed)
    cells = [(exchange, name) for exchange, faults in FAULTS_OF.items() for name in faults]
    counts = Counts()
    while counts.struck < exchanges:
        with Bench(folder / str(counts.trials)) as bench:
            while bench.trials < TRIALS_OF_A_BENCH and counts.struck < exchanges:
                exchange, name = chance.choice(cells)
                if not _trial(counts, bench, exchange, name, lasting=chance.random() < 0.3):
                    break  # the bench may have a job that hangs
    return counts


def _trial(counts: Counts, bench: Bench, exchange: str, name: str, *, lasting: bool) -> bool:
    fault = FAULTS_OF[exchange][name]
    counts.trials += 1
    try:
        trial = attempt(bench, exchange, fault, lasting=lasting)
    except Unmet as unmet:
        counts.duplicates += max(0, unmet.trial.accepted - 1)
        # On a busy machine, a client that is in a hurry gives up before it has sent what the fault waits for.
        counts.unmet += 1
        return True
    except Hang as hang:
        counts.hangs += 1
        counts.faults.append(f"{exchange}: {name}: {hang}")
        return False
    counts.struck += trial.struck
    counts.accepted += trial.accepted
    counts.duplicates += max(0, trial.accepted - 1)
    counts.longest = max(counts.longest, trial.seconds)
    counts.outcomes[trial.outcome] += 1
    expected = cell(exchange, name, lasting=lasting)
    if trial.outcome != expected:
        counts.unlike_the_table += 1
        counts.faults.append(f"{exchange}: {name}: {trial.outcome} instead of {expected}")
    if exchange in official.EXCHANGES and fault.kind not in COMPARED:
        counts.our_duplicates_of_same += max(0, trial.accepted - 1)
        _compare(counts, bench, exchange, fault, lasting=lasting)
    return True


def _compare(counts: Counts, bench: Bench, exchange: str, fault: Fault, *, lasting: bool) -> None:
    theirs = official.attempt(bench.fal, exchange, fault, lasting=lasting)
    counts.same += 1
    counts.their_duplicates += max(0, theirs.accepted - 1)
    counts.their_duplicated_jobs += theirs.accepted > 1
    counts.their_undelivered += theirs.accepted > 0 and not theirs.delivered
    counts.their_leaks += theirs.leaked
    counts.their_hangs += theirs.hung


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kling_nb-drawn-") as folder:
        counts = draw(int(sys.argv[1]), int(sys.argv[2]), Path(folder))
    print(json.dumps(vars(counts)))


if __name__ == "__main__":
    main()
