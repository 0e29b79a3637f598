"""A short run of every edge; `make soak` has the long one."""

from collections.abc import Iterator

import pytest

from . import edges
from .drawn import DRAWN
from .long import draw, search


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
    assert search(name, 60, 11) >= 40
    assert draw(name, 600, 11) == 600


def test_every_edge_has_inputs_of_both_kinds() -> None:
    assert list(DRAWN) == list(edges.EDGES)
