"""Faults of a submission that several tests need."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any


def renamed(request_id: str) -> Callable[[Any], Any]:
    """The answer to a submission, with another request's id."""

    def edit(reply: Any) -> Any:
        shown = json.loads(reply.body)
        text = reply.body.decode().replace(shown["request_id"], request_id)
        return replace(reply, body=text.encode())

    return edit


@contextmanager
def full(path: Path) -> Iterator[None]:
    """Nothing can be written to the ledger inside the block, as on a full disk."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("CREATE TRIGGER full BEFORE UPDATE ON jobs BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
        yield
        db.execute("DROP TRIGGER full")
    finally:
        db.close()


class BreaksOnce(float):
    """Seconds that cannot be added to a clock the first time.

    As `Patience.whole` it raises an error that is none of httpx's, right after a request was sent.
    """

    broken = False

    def __radd__(self, clock: float) -> float:
        if not self.broken:
            self.broken = True
            raise RuntimeError("out of order")
        return clock + float(self)
