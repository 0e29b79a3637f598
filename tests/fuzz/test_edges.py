"""A short run of every edge; `make soak` has the long one."""

from collections.abc import Iterator

import pytest

from . import edges
from .long import run


@pytest.fixture(autouse=True, scope="module")
def closed() -> Iterator[None]:
    yield
    edges.close()


@pytest.mark.parametrize("name", ["status reply", "result reply", "cancel reply", "submit reply"])
def test_replies_that_once_brought_others(name: str) -> None:
    edges.EDGES[name].check((200, {}, b'{"status": []}'))
    edges.EDGES[name].check((301, {"location": "A:0"}, b"{}"))


@pytest.mark.parametrize("name", edges.EDGES)
def test_any_input_brings_typed_errors_only(name: str) -> None:
    assert run(name, 150, 11) >= 100
