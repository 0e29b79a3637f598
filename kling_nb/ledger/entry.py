"""What goes into the ledger (`Intent`), and what comes out (`Entry`)."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kling_nb.events import State
from kling_nb.ledger.limit import Limit
from kling_nb.ledger.owner import is_alive, owner_of_this_process

SUBMIT_LEASE_SECONDS = 180.0
"""A SUBMITTING row older than this has no living submission behind it, whatever its owner's pid says."""

START_SECONDS = 3.0
"""How long after its claim a row of this process may still be about to start."""

GONE = "result_gone"
"""`error_type` of a failed row whose result fal keeps no longer: paid for, and not bought again unasked."""

_at_work: Counter[str] = Counter()


@contextmanager
def at_work(job_id: str) -> Iterator[None]:
    """Inside the block this process is submitting that row; another one that it claimed was interrupted."""
    _at_work[job_id] += 1
    try:
        yield
    finally:
        _at_work[job_id] -= 1
        if not _at_work[job_id]:
            del _at_work[job_id]


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be submitted.

    Attributes:
        take: The take wanted (1 is the usual one); None asks for another one, whatever exists.
        cost: Expected cost in US dollars, held against the limits; None where it is not known.
        limits: What may be spent.
        any_take: Whether a job for another take does as well, where there is none for this one.
        hold: Of the sweep that it is part of: see `Ledger.reserve`.
    """

    backend: str
    endpoint: str
    input: Mapping[str, Any]
    prompt: str
    fingerprint: str
    folder: Path
    take: int | None = 1
    key_fingerprint: str | None = None
    notebook: str | None = None
    cost: float | None = None
    limits: tuple[Limit, ...] = ()
    any_take: bool = False
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. Times are unix seconds; see the schema for the rest."""

    id: str
    created_at: float
    state: State
    backend: str
    endpoint: str
    input: Mapping[str, Any]
    prompt: str
    fingerprint: str
    folder: str
    take: int | None
    owner: str
    key_fingerprint: str | None
    notebook: str | None
    sent_at: float | None
    request_id: str | None
    status_url: str | None
    response_url: str | None
    cancel_url: str | None
    finished_at: float | None
    result: str | None
    units: str | None
    error: str | None
    error_type: str | None
    media_path: str | None
    reserved_usd: float | None
    addresses: str | None

    @property
    def ours(self) -> bool:
        """Whether this very process made it."""
        return self.owner == owner_of_this_process()

    @property
    def abandoned(self) -> bool:
        """Whether it is SUBMITTING and nobody is at it any more."""
        if self.state is not State.SUBMITTING:
            return False
        age = abs(time.time() - self.created_at)  # a row of the future is of a clock that was set back since
        if self.ours:
            return self.id not in _at_work and age > START_SECONDS
        return age > SUBMIT_LEASE_SECONDS or not self.owner_alive

    @property
    def never_sent(self) -> bool:
        """Whether it ended before its POST: nobody is at it, and no byte of it has left."""
        return self.abandoned and self.sent_at is None

    @property
    def unfiled(self) -> bool:
        """Whether it is READY by `Client.result`, which keeps what the model returned and fetches no file."""
        return self.state is State.READY and self.media_path is None and self.result is not None

    @property
    def gone(self) -> bool:
        """Whether fal took it and keeps its result no longer, as far as was known when it was last asked."""
        return (self.state, self.error_type, self.backend) == (State.FAILED, GONE, "fal")

    def belongs_in(self, folder: Path) -> bool:
        """Whether it is of that media folder, or of one that was moved away with all that was around it."""
        own = Path(self.folder)
        return own == folder or os.path.realpath(own) == os.path.realpath(folder) or not own.parent.exists()

    @property
    def owner_alive(self) -> bool:
        """Whether the process that made it may still run. Unknown counts as alive."""
        return is_alive(self.owner)

    def to_row(self) -> dict[str, Any]:
        """Its columns, as `from_row` reads them."""
        row = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**row, "state": self.state.value, "input": json.dumps(dict(self.input), ensure_ascii=False)}

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Entry:
        """The entry of a row with all columns.

        A state that this version does not know, or an input that does not read, keeps nobody from the
        rest of the row: it may be paid for.
        """
        values = {name: row[name] for name in cls.__dataclass_fields__}
        read = {"state": _state(values["state"]), "input": _json_object(values["input"]) or {}}
        return cls(**{**values, **read})


def _state(word: str) -> State:
    return State(word) if word in set(State) else State.UNCERTAIN


def _json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a column, or None where it holds anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
