"""The ledger file: claims, updates and look-ups."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from kling_nb.events import State
from kling_nb.ledger import hold
from kling_nb.ledger.bringing import bring
from kling_nb.ledger.commits import Change, SharedCommits
from kling_nb.ledger.entry import GONE, Entry, Intent
from kling_nb.ledger.file import LedgerFile
from kling_nb.ledger.limit import Limit, check
from kling_nb.ledger.mending import Filed, Row, insert
from kling_nb.ledger.owner import owner_of_this_process
from kling_nb.ledger.selection import EVERYTHING, UNFINISHED, Selection
from kling_nb.ledger.spending import Grouping, Spending, spending
from kling_nb.ledger.upload import Upload


class Ledger:
    """The ledger file at `path`; made with the first row.

    Args:
        path: The file.
        filed: Rows of what is in media folders, for a new file in the place of a damaged one.

    Raises:
        LedgerError: From every method, where the file cannot be read or written.
    """

    def __init__(self, path: Path, filed: Filed = tuple) -> None:
        self.path = path
        self._file = LedgerFile(path, filed)
        self._commits, self._pid = SharedCommits(self._write), os.getpid()

    def claim(self, intent: Intent) -> tuple[Entry, bool]:
        """The row by which the same request is paid for, or may be; else a new one, durable on return.

        One immediate transaction, so of two kernels that race only one gets a new row, and a
        spending limit is reserved with it.

        Returns:
            The row, and whether it is new: then, and only then, the caller submits.

        Raises:
            BudgetExceeded: A new row would go over a limit; there is none then.
        """
        with self._file.transaction() as db:
            found = None if intent.take is None else self._like(db, intent)
            if found is None:
                self._afford(db, intent)
                return self._insert(db, intent), True
            if found.never_sent:
                return self._take_over(db, found, intent), True
            return found, False

    def _like(self, db: sqlite3.Connection, intent: Intent) -> Entry | None:
        """The row of the same request that is under way, else one that was paid for."""
        found = self._unfinished_like(db, intent)
        if found is None and intent.backend == "fal":
            paid = _paid(db, intent.fingerprint, intent.folder, intent.take, intent.any_take)
            found = next(paid, None)
        return found

    def bring(self, rows: list[Row]) -> None:
        """Take in rows that were kept elsewhere for a while."""
        with self._file.transaction() as db:
            bring(db, rows)

    def adopt(self, request_id: str, intent: Intent) -> Entry:
        """The row of a request that was made elsewhere; a new one where there is none."""
        with self._file.transaction() as db:
            row = db.execute("SELECT * FROM jobs WHERE request_id = ?", (request_id,)).fetchone()
            if row is not None:
                return Entry.from_row(row)
            entry = self._insert(db, intent)
            self._set(db, entry.id, state=State.IN_QUEUE, request_id=request_id)
            return self._one(db, "id = ?", entry.id)

    def _unfinished_like(self, db: sqlite3.Connection, intent: Intent) -> Entry | None:
        rows = db.execute(
            "SELECT * FROM jobs WHERE fingerprint = ?1 AND backend = ?3 AND (?5 OR take IS ?4)"
            f" AND {UNFINISHED} ORDER BY folder IS NOT ?2, take IS NOT ?4, created_at DESC",
            (intent.fingerprint, str(intent.folder), intent.backend, intent.take, intent.any_take),
        )
        for entry in map(Entry.from_row, rows.fetchall()):
            if not entry.belongs_in(intent.folder):
                continue
            if entry.backend != "local" or entry.ours:
                return entry
            # An embedded engine ends with its process, and its jobs cost nothing.
            if not entry.owner_alive:
                self._set(
                    db, entry.id, state=State.FAILED, error="The embedded engine of that kernel has ended."
                )
        return None

    def _insert(self, db: sqlite3.Connection, intent: Intent) -> Entry:
        values: dict[str, Any] = {
            "id": secrets.token_hex(6),
            "created_at": time.time(),
            "state": State.SUBMITTING.value,
            "backend": intent.backend,
            "endpoint": intent.endpoint,
            "input": json.dumps(intent.input, ensure_ascii=False),
            "prompt": intent.prompt,
            "fingerprint": intent.fingerprint,
            "folder": str(intent.folder),
            "take": intent.take,
            "owner": owner_of_this_process(),
            "key_fingerprint": intent.key_fingerprint,
            "notebook": intent.notebook,
            "reserved_usd": intent.cost,
        }
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(values.values()))
        return self._one(db, "id = ?", values["id"])

    @staticmethod
    def _afford(db: sqlite3.Connection, intent: Intent) -> None:
        """Take its price from the hold of its sweep, or see that the limits let it through."""
        cost = intent.cost or 0.0
        if intent.hold is None or not hold.draw(db, intent.hold, cost):
            check(db, intent.limits, cost)

    def _take_over(self, db: sqlite3.Connection, entry: Entry, intent: Intent) -> Entry:
        """A row that was never sent, as this process's, which sends it with its own key and limits."""
        self._set(db, entry.id, reserved_usd=None)  # it must not stand in its own way
        self._afford(db, intent)
        self._set(
            db,
            entry.id,
            owner=owner_of_this_process(),
            created_at=time.time(),
            key_fingerprint=intent.key_fingerprint,
            reserved_usd=intent.cost,
        )
        return self._one(db, "id = ?", entry.id)

    def take_over(self, job_id: str, intent: Intent) -> bool:
        """Make a row that was never sent this process's, to send it.

        Raises:
            BudgetExceeded: It would go over a limit of the intent. The row stays as it is.
        """
        with self._file.transaction() as db:
            entry = self._one(db, "id = ?", job_id)
            if entry.never_sent:
                self._take_over(db, entry, intent)
            return entry.never_sent

    def check_limits(self, limits: tuple[Limit, ...], cost: float, besides: Collection[str] = ()) -> None:
        """See that a cost is within the limits now. Nothing is reserved. See `reserve`.

        Raises:
            BudgetExceeded: It is not.
        """
        with self._file.transaction() as db:
            check(db, limits, cost, besides=besides)

    def reserve(self, limits: tuple[Limit, ...], cost: float, besides: Collection[str] = ()) -> str:
        """Hold the price of several submissions, all of it or nothing.

        Args:
            limits: What may be spent.
            cost: Of all of them, in US dollars.
            besides: Rows that were never sent, and are among them.

        Returns:
            Names the hold for `Intent.hold` and `release`.

        Raises:
            BudgetExceeded: It would go over a limit.
        """
        with self._file.transaction() as db:
            check(db, limits, cost, besides=besides)
            return hold.hold(db, cost)

    def release(self, hold_id: str) -> None:
        """Give back what is left of a hold."""
        with self._file.transaction() as db:
            hold.release(db, hold_id)

    def sending(self, job_id: str, addresses: Mapping[str, str] | None = None) -> bool:
        """The POST is next. Of all that may want to send this row, one gets True, once.

        Args:
            job_id: The row.
            addresses: Where fal finds each local file, by parameter.

        Returns:
            Whether to send it. Where the uploads took long, another process may have taken it over, and
            sends the request itself.
        """
        with self._file.transaction() as db:
            changed = db.execute(
                "UPDATE jobs SET sent_at = ?, addresses = ?"
                " WHERE id = ? AND owner = ? AND sent_at IS NULL AND state = 'SUBMITTING'",
                (
                    time.time(),
                    json.dumps(dict(addresses)) if addresses else None,
                    job_id,
                    owner_of_this_process(),
                ),
            )
            return changed.rowcount == 1

    def drop_unsent(self, job_id: str) -> bool:
        """End a row that was never sent: nothing was paid, and nothing is to be resumed.

        Returns:
            Whether it was one.
        """
        with self._file.transaction() as db:
            entry = self._one(db, "id = ?", job_id)
            if not entry.never_sent:
                return False
            self._set(db, job_id, state=State.FAILED, error="It was never sent.", reserved_usd=0.0)
            return True

    def match(self, job_id: str, request_ids: Sequence[str]) -> tuple[Entry, list[str]]:
        """Give an unanswered row its request, where exactly one of `request_ids` can be it.

        Returns:
            The row, with a request id where one was found, now or by another kernel; and those of
            `request_ids` that no row has.
        """
        with self._file.transaction() as db:
            free = [request_id for request_id in request_ids if not _known(db, request_id)]
            entry = self._one(db, "id = ?", job_id)
            if entry.request_id is None and len(free) == 1 and not self._being_sent(db, entry):
                self._set(db, job_id, state=State.IN_QUEUE, request_id=free[0], error=None)
                entry = self._one(db, "id = ?", job_id)
            return entry, free

    @staticmethod
    def _being_sent(db: sqlite3.Connection, entry: Entry) -> bool:
        """Whether the same request is on its way once more: what fal lists may be that one."""
        rows = db.execute(
            "SELECT * FROM jobs WHERE fingerprint = ? AND id != ? AND state = 'SUBMITTING'"
            " AND sent_at NOT NULL AND request_id IS NULL",
            (entry.fingerprint, entry.id),
        )
        return any(not Entry.from_row(row).abandoned for row in rows.fetchall())

    def knows(self, request_id: str, *, but: str) -> bool:
        """Whether that request was the answer to the submission of another row than `but`."""
        with self._file.reading() as db:
            query = "SELECT 1 FROM jobs WHERE request_id = ? AND id != ? AND sent_at NOT NULL"
            return db.execute(query, (request_id, but)).fetchone() is not None

    def withdraw(self, job_id: str) -> None:
        """Take back a new row before anything was sent for it."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ? AND state = 'SUBMITTING'", (job_id,))

    def update(self, job_id: str, *, whole: Entry | None = None, **columns: Any) -> None:
        """Set columns of one row; a final state also sets `finished_at`. Durable on return.

        Args:
            job_id: The row.
            whole: All of it, to be written again where it is not there any more: somebody may have deleted
                the ledger while the job ran.
            **columns: What is new.
        """
        if self._pid != os.getpid():  # what waits in the parent is the parent's to write
            self._commits, self._pid = SharedCommits(self._write), os.getpid()
        self._commits.make(Change(job_id, columns, whole))

    def _write(self, changes: Sequence[Change]) -> None:
        with self._file.transaction() as db:
            for change in changes:
                if not self._set(db, change.job_id, **change.columns) and change.whole is not None:
                    insert(db, change.whole.to_row())
                    self._set(db, change.job_id, **change.columns)

    @staticmethod
    def _set(db: sqlite3.Connection, job_id: str, **columns: Any) -> bool:
        """Whether there is such a row."""
        state = columns.get("state")
        if isinstance(state, State) and state.finished and state is not State.UNCERTAIN:
            columns.setdefault("finished_at", time.time())
        names = ", ".join(f"{name} = ?" for name in columns)
        values = [value.value if isinstance(value, State) else value for value in columns.values()]
        return db.execute(f"UPDATE jobs SET {names} WHERE id = ?", (*values, job_id)).rowcount == 1

    def get(self, any_id: str) -> Entry | None:
        """The row of a job id, a request id, or the start of either where only one fits."""
        if not self.exists() or not any_id:
            return None
        pattern = any_id.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        with self._file.reading() as db:
            exact = db.execute("SELECT * FROM jobs WHERE id = ?1 OR request_id = ?1", (any_id,)).fetchall()
            query = (
                "SELECT * FROM jobs WHERE id LIKE ?1 ESCAPE '\\' OR request_id LIKE ?1 ESCAPE '\\' LIMIT 2"
            )
            rows = exact[:1] or db.execute(query, (pattern,)).fetchall()
        return Entry.from_row(rows[0]) if len(rows) == 1 else None

    def paid_like(self, fingerprint: str, folder: Path, take: int, *, any_take: bool = False) -> list[Entry]:
        """Rows of fal by which a take of a request was paid for: those that are READY, then those gone.

        Args:
            fingerprint: Of the request.
            folder: Its media folder.
            take: Which take.
            any_take: Those of its other takes, too, behind them.
        """
        if not self.exists():
            return []
        with self._file.reading() as db:
            return list(_paid(db, fingerprint, folder, take, any_take))

    def entries(self, selection: Selection = EVERYTHING, *, limit: int = 50, offset: int = 0) -> list[Entry]:
        """Newest first. `offset` leaves out as many of the newest."""
        if not self.exists():
            return []
        where, values = selection.where()
        with self._file.reading() as db:
            query = f"SELECT * FROM jobs WHERE {where} ORDER BY created_at DESC, rowid DESC LIMIT ? OFFSET ?"
            return [Entry.from_row(row) for row in db.execute(query, (*values, limit, offset)).fetchall()]

    def count(self, selection: Selection = EVERYTHING) -> int:
        """How many rows there are."""
        if not self.exists():
            return 0
        where, values = selection.where()
        with self._file.reading() as db:
            return int(db.execute(f"SELECT count(*) FROM jobs WHERE {where}", values).fetchone()[0])

    def tally(self, column: Literal["endpoint", "state"]) -> dict[str, int]:
        """How many rows there are of each endpoint, or in each state; the most frequent first."""
        if not self.exists():
            return {}
        with self._file.reading() as db:
            query = f"SELECT {column}, count(*) FROM jobs GROUP BY {column} ORDER BY count(*) DESC, {column}"
            return dict(map(tuple, db.execute(query).fetchall()))

    def expected_seconds(self, endpoint: str, backend: str) -> float | None:
        """Median time from submission to result of the last 20 jobs of an endpoint, or None."""
        if not self.exists():
            return None
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT finished_at - created_at FROM jobs"
                " WHERE endpoint = ? AND backend = ? AND +state = 'READY' ORDER BY created_at DESC LIMIT 20",
                (endpoint, backend),
            ).fetchall()
        times = sorted(row[0] for row in rows if row[0] is not None)
        return times[len(times) // 2] if times else None

    def uploaded(self, upload: Upload) -> str | None:
        """Address of an earlier upload like this one that can still be used, or None."""
        if not self.exists():
            return None
        with self._file.reading() as db:
            row = db.execute(
                f"SELECT url, uploaded_at FROM uploads WHERE {upload.WHERE}", upload.key
            ).fetchone()
        return row["url"] if row and upload.usable(row["uploaded_at"], time.time()) else None

    def may_know(self, upload: Upload, size: int) -> bool:
        """Whether an earlier upload like this one, whatever its hash, has that size and can still be used."""
        if not self.exists():
            return False
        with self._file.reading() as db:
            query = f"SELECT uploaded_at FROM uploads WHERE {upload.ALIKE}"
            rows = db.execute(query, (*upload.key[1:], size)).fetchall()
        now = time.time()
        return any(upload.usable(row["uploaded_at"], now) for row in rows)

    def note_upload(self, upload: Upload, url: str, size: int | None = None) -> None:
        """Keep the address of an upload that was just made, and forget those past use."""
        now = time.time()
        with self._file.transaction() as db:
            db.execute("DELETE FROM uploads WHERE uploaded_at < ?", (now - upload.DAY,))
            db.execute(
                "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*upload.key, url, upload.expires(now), now, size),
            )

    def forget_upload(self, url: str) -> None:
        """Not use that address again."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM uploads WHERE url = ?", (url,))

    def spending(self, by: Grouping) -> list[Spending]:
        """What fal's jobs cost, grouped."""
        if not self.exists():
            return []
        with self._file.reading() as db:
            return spending(db, by)

    def exists(self) -> bool:
        """Whether there is a ledger yet. Reading never makes one."""
        return self.path.exists()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @staticmethod
    def _one(db: sqlite3.Connection, where: str, value: Any) -> Entry:
        return Entry.from_row(db.execute(f"SELECT * FROM jobs WHERE {where}", (value,)).fetchone())


def _paid(
    db: sqlite3.Connection, fingerprint: str, folder: Path, take: int | None, any_take: bool
) -> Iterator[Entry]:
    # The + keeps SQLite from walking all that is READY, which a long ledger mostly is.
    rows = db.execute(
        "SELECT * FROM jobs WHERE fingerprint = ?1 AND (?4 OR take = ?3)"
        " AND backend = 'fal' AND (+state = 'READY' OR (+state = 'FAILED' AND error_type = ?5))"
        " ORDER BY folder IS NOT ?2, state != 'READY', take IS NOT ?3, created_at DESC",
        (fingerprint, str(folder), take, any_take, GONE),
    )
    yield from (entry for entry in map(Entry.from_row, rows.fetchall()) if entry.belongs_in(folder))


def _known(db: sqlite3.Connection, request_id: str) -> bool:
    return db.execute("SELECT 1 FROM jobs WHERE request_id = ?", (request_id,)).fetchone() is not None
