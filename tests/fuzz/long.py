"""Many inputs for every edge: `python -m fuzz.long SEED INPUTS` counts them.

Most are drawn by `drawn.py`; one in `SEARCHED` is hypothesis's, which also finds the smallest that fails.
"""

import json
import sys
import traceback
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from . import edges
from .drawn import DRAWN
from .filling import compare

SEARCHED = 25


def search(name: str, number: int, seed_of_it: int) -> int:
    """Give an edge so many inputs of hypothesis; how many it was given.

    Raises:
        Exception: whatever an input brought about that is no typed error.
    """
    edge, count = edges.EDGES[name], 0

    def check(value: Any) -> None:
        nonlocal count
        count += 1
        edge.check(value)

    plan = settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    seed(seed_of_it)(plan(given(edge.inputs)(check)))()
    return count


def draw(name: str, number: int, seed_of_it: int) -> int:
    """Give an edge so many drawn inputs; how many it was given.

    Raises:
        Exception: as for `search`, with the input in its notes.
    """
    chance = Random(f"{name} {seed_of_it}")
    for _ in range(number):
        value = DRAWN[name](chance)
        try:
            edges.EDGES[name].check(value)
        except BaseException as fault:
            fault.add_note(f"the input: {value!r}"[:2000])
            raise
    return number


def main() -> None:
    first, number = int(sys.argv[1]), int(sys.argv[2])
    counts: dict[str, int] = {}
    faults: list[str] = []
    each = -(-number // len(edges.EDGES))
    for name in edges.EDGES:
        try:
            counts[name] = search(name, each // SEARCHED, first)
            counts[name] += draw(name, each - counts[name], first)
        except Exception:  # noqa: BLE001 - it is what is looked for
            faults.append(f"{name}: {traceback.format_exc()[-2000:]}")
    try:
        counts["filling of prompts, against an independent reading"] = compare(first, number)
    except AssertionError as difference:
        faults.append(f"filling of prompts: {difference}")
    edges.close()
    print(json.dumps({"inputs": counts, "faults": faults}))


if __name__ == "__main__":
    main()
