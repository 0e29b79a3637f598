"""The local preview server, for fal's own clients to judge."""

from collections.abc import Iterator

import pytest
from local.running_server import RunningServer, running


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    with running("--speed", "inf") as server:
        yield server
