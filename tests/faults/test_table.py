"""Every cell of the table once: any exchange, any fault, once and for as long as it lasts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .bench import Bench
from .fault import FAULTS_OF
from .table import EXCHANGES, MEANING, TABLE, cell
from .trial import Unmet, attempt
from .webhook import FORGERIES, judged

CELLS = [
    pytest.param(exchange, name, lasting, id=f"{exchange}: {name}{', lasting' if lasting else ''}")
    for exchange, faults in FAULTS_OF.items()
    for name in faults
    for lasting in (False, True)
    if not lasting or cell(exchange, name, lasting=True) != cell(exchange, name, lasting=False)
]
"""One that lasts is a cell of its own where it ends otherwise; `make soak` has the others."""


class Benches:
    """One bench after the other: a trial that fails leaves its own behind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bench: Bench | None = None
        self._made = 0

    def get(self) -> Bench:
        if self._bench is None:
            self._made += 1
            self._bench = Bench(self._folder / str(self._made)).__enter__()
        return self._bench

    def leave(self, error: BaseException | None = None) -> None:
        bench, self._bench = self._bench, None
        if bench is not None:
            bench.__exit__(type(error) if error else None, error, None)


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benches]:
    benches = Benches(tmp_path_factory.mktemp("benches"))
    yield benches
    benches.leave()


@pytest.mark.parametrize(("exchange", "name", "lasting"), CELLS)
def test_cell(benches: Benches, exchange: str, name: str, lasting: bool) -> None:
    bench = benches.get()
    fault = FAULTS_OF[exchange][name]
    try:
        try:
            trial = attempt(bench, exchange, fault, lasting=lasting)
        except Unmet:  # on a busy machine, a client in a hurry gave up before what the fault waits for
            trial = attempt(bench, exchange, fault, lasting=lasting)
    except BaseException as error:
        benches.leave(error)
        raise
    if bench.trials >= 60:
        benches.leave()  # or its list of requests grows long
    assert trial.outcome == cell(exchange, name, lasting=lasting)
    assert trial.accepted <= 1


@pytest.mark.parametrize("name", FORGERIES)
def test_webhook_cell(name: str) -> None:
    assert judged(FORGERIES[name]) == cell("webhook", name, lasting=False)


def test_the_table_has_a_cell_for_every_fault_and_no_other() -> None:
    wanted = {exchange: list(faults) for exchange, faults in FAULTS_OF.items()} | {"webhook": list(FORGERIES)}
    assert {exchange: list(row) for exchange, row in TABLE.items()} == wanted
    assert list(TABLE) == list(EXCHANGES)


def test_every_word_of_the_table_is_explained() -> None:
    for row in TABLE.values():
        for text in row.values():
            for outcome in text.split("; "):
                assert any(outcome == word or outcome.startswith(f"{word} ") for word in MEANING), outcome
