"""Changes that several threads want at once go to the disk together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kling_nb.errors import LedgerError
from kling_nb.ledger.entry import Entry


@dataclass(eq=False, slots=True)
class Change:
    """Columns of one row to be set.

    Attributes:
        job_id: Of the row.
        columns: New values by name.
        whole: The row, where it is to be written again if it is not there.
        done: Whether the disk has them, or `fault` says why not.
        fault: Why not.
    """

    job_id: str
    columns: dict[str, Any]
    whole: Entry | None = None
    done: bool = field(default=False, init=False)
    fault: LedgerError | None = field(default=None, init=False)


class SharedCommits:
    """Makes one commit of all changes that came while the one before was being written.

    A durable commit waits for the disk, so that a hundred jobs that end together would wait in a row.

    Threads: any.

    Args:
        write: Writes changes in one transaction, which is on the disk when it returns.
    """

    def __init__(self, write: Callable[[Sequence[Change]], None]) -> None:
        self._lock = threading.RLock()
        self._write = write
        self._waiting: list[Change] = []

    def make(self, change: Change) -> None:
        """Write a change, with those of others that wait; durable on return.

        Raises:
            LedgerError: The file cannot be written.
        """
        self._waiting.append(change)
        with self._lock:
            if not change.done:
                self._write_all()
        if change.fault is not None:
            raise change.fault

    def _write_all(self) -> None:
        changes = self._waiting[:]
        del self._waiting[: len(changes)]  # what others append meanwhile is behind
        try:
            self._write(changes)
        except LedgerError as fault:
            for change in changes:
                change.fault = fault
        except BaseException:  # an interrupt is this caller's alone: the others write theirs themselves
            self._waiting[:0] = changes
            raise
        for change in changes:
            change.done = True
