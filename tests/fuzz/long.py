"""Many inputs for every edge: `python -m fuzz.long SEED INPUTS` counts them."""

import json
import sys
import traceback
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from . import edges


def run(name: str, number: int, seed_of_it: int) -> int:
    """Give an edge so many inputs; how many it was given.

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


def main() -> None:
    first, number = int(sys.argv[1]), int(sys.argv[2])
    counts: dict[str, int] = {}
    faults: list[str] = []
    for name in edges.EDGES:
        try:
            counts[name] = run(name, number // len(edges.EDGES), first)
        except Exception:  # noqa: BLE001 - it is what is looked for
            faults.append(f"{name}: {traceback.format_exc()[-2000:]}")
    edges.close()
    print(json.dumps({"inputs": counts, "faults": faults}))


if __name__ == "__main__":
    main()
