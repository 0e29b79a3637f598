"""A short run of every edge; `make soak` has the long one."""

from collections.abc import Iterator

import pytest

from . import edges
from .long import run


@pytest.fixture(autouse=True, scope="module")
def closed() -> Iterator[None]:
    yield
    edges.close()


@pytest.mark.parametrize("name", edges.EDGES)
def test_any_input_brings_typed_errors_only(name: str) -> None:
    assert run(name, 150, 11) >= 100
