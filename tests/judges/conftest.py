"""The embedded engine, for fal's own clients to judge."""

from collections.abc import Iterator

import pytest
from local.running_engine import RunningEngine, running


@pytest.fixture(scope="session")
def engine() -> Iterator[RunningEngine]:
    with running("--speed", "inf") as engine:
        yield engine
