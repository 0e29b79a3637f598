"""`Ledger`: claim, update and find rows."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from kling_nb._files import exists
from kling_nb.events import State
from kling_nb.ledger.database import Change, LedgerFile, SharedCommits
from kling_nb.ledger.limits import Grouping, Limit, Spending, check_limits, draw, release, reserve, spending
from kling_nb.ledger.owner import owner_of_this_process
from kling_nb.ledger.salvage import MediaRows, Row, insert, merge
from kling_nb.ledger.schema import EVERYTHING, GONE, UNFINISHED, Entry, Intent, Selection, Upload


class Ledger:
    """The ledger at `path`. The file is created with the first row. See `LedgerFile`.

    Raises:
        LedgerError: By every method, if the file cannot be read or written.
    """

    def __init__(self, path: Path, media_rows: MediaRows = tuple) -> None:
        self.path = path
        self._file = LedgerFile(path, media_rows)
        self._commits, self._pid = SharedCommits(self._write), os.getpid()

    def claim(self, intent: Intent) -> tuple[Entry, bool]:
        """Return the row that already pays, or may pay, for the request. If there is none, insert one.

        All of it is one transaction: if two kernels race, only one of them gets a new row, and its price
        counts towards the limits at once. The row is on the disk when the call returns.

        Returns:
            The row, and True if the caller must submit it: the row is new, or it was never sent.

        Raises:
            BudgetExceeded: A new row would exceed a limit. It is not inserted.
        """
        with self._file.transaction() as db:
            if intent.backend == "local":
                self._close_previews(db, intent.fingerprint)
            found = None if intent.new else self._find_same(db, intent)
            if found is None:
                self._pay(db, intent)
                return self._insert(db, intent), True
            if found.is_unsent:
                return self._take_over(db, found, intent), True
            return found, False

    def _find_same(self, db: sqlite3.Connection, intent: Intent) -> Entry | None:
        """Return the row that makes a submission needless, or one that was never sent."""
        found = _same(db, intent.backend, intent.fingerprint, intent.folder, intent.take)
        if intent.elsewhere and (found is None or found.is_unsent):
            found = next(_rows_elsewhere(db, intent.fingerprint, intent.folder, intent.take), found)
        return found

    def merge_rows(self, rows: list[Row]) -> None:
        """Insert rows of a second ledger, unless they are known here."""
        with self._file.transaction() as db:
            merge(db, rows)

    def adopt(self, request_id: str, intent: Intent) -> Entry:
        """Return the row of a request that this ledger did not submit. Insert it if there is none."""
        with self._file.transaction() as db:
            row = db.execute("SELECT * FROM jobs WHERE request_id = ?", (request_id,)).fetchone()
            if row is not None:
                return Entry.from_row(row)
            entry = self._insert(db, intent)
            self._set(db, entry.id, state=State.IN_QUEUE, request_id=request_id)
            return self._entry(db, entry.id)

    def _close_previews(self, db: sqlite3.Connection, fingerprint: str) -> None:
        """Mark previews of ended processes as failed: their local preview server has ended too."""
        query = f"SELECT * FROM jobs WHERE fingerprint = ? AND backend = 'local' AND {UNFINISHED}"
        for entry in map(Entry.from_row, db.execute(query, (fingerprint,)).fetchall()):
            if not entry.is_ours and not entry.owner_alive:
                error = "The local preview server of that kernel has ended."
                self._set(db, entry.id, state=State.FAILED, error=error)

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
            "take": None if intent.new else intent.take or 1,
            "owner": owner_of_this_process(),
            "key_fingerprint": intent.key_fingerprint,
            "notebook": intent.notebook,
            "reserved_usd": intent.cost,
            "made_from": intent.made_from,
        }
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(values.values()))
        return self._entry(db, values["id"])

    @staticmethod
    def _pay(db: sqlite3.Connection, intent: Intent) -> None:
        """Draw the price from the reservation of the sweep. If that is not possible, check the limits."""
        cost = intent.cost or 0.0
        if intent.reservation is None or not draw(db, intent.reservation, cost):
            check_limits(db, intent.limits, cost)

    def _take_over(self, db: sqlite3.Connection, entry: Entry, intent: Intent) -> Entry:
        """Make this process, with its key and limits, the owner of a row that was never sent."""
        self._set(db, entry.id, reserved_usd=None)  # Otherwise its price would count twice.
        self._pay(db, intent)
        self._set(
            db,
            entry.id,
            owner=owner_of_this_process(),
            created_at=time.time(),
            key_fingerprint=intent.key_fingerprint,
            reserved_usd=intent.cost,
        )
        return self._entry(db, entry.id)

    def take_over(self, job_id: str, intent: Intent) -> bool:
        """Make this process the owner of a row that was never sent. Return True if it may send the row.

        Raise `BudgetExceeded` if it would exceed a limit of the intent. The row is not changed then.
        """
        with self._file.transaction() as db:
            entry = self._entry(db, job_id)
            if entry.is_unsent:
                self._take_over(db, entry, intent)
            return entry.is_unsent

    def check_limits(self, limits: tuple[Limit, ...], cost: float, besides: Collection[str] = ()) -> None:
        """Raise `BudgetExceeded` unless a cost is within the limits now. See `reserve`, which reserves it."""
        with self._file.connection() as db:
            check_limits(db, limits, cost, besides=besides)

    def reserve(self, limits: tuple[Limit, ...], cost: float, besides: Collection[str] = ()) -> str:
        """Reserve the price of several submissions, all of it or nothing.

        Args:
            limits: The limits.
            cost: US dollars for all of them.
            besides: Ids of unsent rows that are among these submissions. Their price does not count twice.

        Returns:
            The id of the reservation, for `Intent.reservation` and `release`.

        Raises:
            BudgetExceeded: It would exceed a limit. Nothing is reserved.
        """
        with self._file.transaction() as db:
            check_limits(db, limits, cost, besides=besides)
            return reserve(db, cost)

    def release(self, reservation: str) -> None:
        """Release what is left of a reservation."""
        with self._file.transaction() as db:
            release(db, reservation)

    def mark_sending(self, job_id: str, urls: Mapping[str, str] | None = None) -> bool:
        """Record that the POST comes next, with the URL of each local file of the input, by parameter.

        Returns:
            True if the caller must send the request; only one caller gets it for a row, and only once. False
            if another process has taken over the row, for example during long uploads: it sends the request.
        """
        with self._file.transaction() as db:
            changed = db.execute(
                "UPDATE jobs SET sent_at = ?, addresses = ?"
                " WHERE id = ? AND owner = ? AND sent_at IS NULL AND state = 'SUBMITTING'",
                (
                    time.time(),
                    json.dumps(dict(urls)) if urls else None,
                    job_id,
                    owner_of_this_process(),
                ),
            )
            return changed.rowcount == 1

    def mark_unsent(self, job_id: str) -> bool:
        """Record that fal did not accept the request that was sent, so that it may be sent again.

        Returns:
            False if the row no longer belongs to this process, or has a request id. It is not changed.
        """
        with self._file.transaction() as db:
            return self._renew(db, job_id, "sent_at NOT NULL", ", sent_at = NULL, addresses = NULL")

    def renew(self, job_id: str) -> bool:
        """Keep other processes from taking over a row that this one holds and has not sent yet."""
        with self._file.transaction() as db:
            return self._renew(db, job_id, "sent_at IS NULL")

    @staticmethod
    def _renew(db: sqlite3.Connection, job_id: str, condition: str, changes: str = "") -> bool:
        changed = db.execute(
            f"UPDATE jobs SET created_at = ?{changes} WHERE id = ? AND owner = ?"
            f" AND state = 'SUBMITTING' AND request_id IS NULL AND {condition}",
            (time.time(), job_id, owner_of_this_process()),
        )
        return changed.rowcount == 1

    def drop_unsent(self, job_id: str) -> bool:
        """Mark a row that was never sent as failed: it cost nothing, and there is nothing to resume.

        Returns:
            False if it was sent, or a process is about to send it. The row is not changed.
        """
        with self._file.transaction() as db:
            entry = self._entry(db, job_id)
            if not entry.is_unsent:
                return False
            self._set(db, job_id, state=State.FAILED, error="It was never sent.", reserved_usd=0.0)
            return True

    def match(self, job_id: str, request_ids: Sequence[str]) -> tuple[Entry, list[str]]:
        """Set the request id of a submission without an answer, if only one of `request_ids` is possible.

        Returns:
            The row, with a request id if this call or another kernel found it; and those of `request_ids`
            that no row had.
        """
        with self._file.transaction() as db:
            query = "SELECT 1 FROM jobs WHERE request_id = ?"
            free = [one for one in request_ids if db.execute(query, (one,)).fetchone() is None]
            entry = self._entry(db, job_id)
            if entry.request_id is None and len(free) == 1 and not self._is_being_sent(db, entry):
                self._set(db, job_id, state=State.IN_QUEUE, request_id=free[0], error=None)
                entry = self._entry(db, job_id)
            return entry, free

    @staticmethod
    def _is_being_sent(db: sqlite3.Connection, entry: Entry) -> bool:
        """Return True if another row sends the same request now. fal may list the request of that row."""
        rows = db.execute(
            "SELECT * FROM jobs WHERE fingerprint = ? AND id != ? AND state = 'SUBMITTING'"
            " AND sent_at NOT NULL AND request_id IS NULL",
            (entry.fingerprint, entry.id),
        )
        return any(not Entry.from_row(row).is_abandoned for row in rows.fetchall())

    def knows(self, request_id: str, *, but: str) -> bool:
        """Return True if fal answered the submission of another row than `but` with this request id."""
        query = "SELECT 1 FROM jobs WHERE request_id = ? AND id != ? AND sent_at NOT NULL"
        return bool(self._read(query, request_id, but))

    def withdraw(self, job_id: str) -> None:
        """Delete a new row before anything was sent for it."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ? AND state = 'SUBMITTING'", (job_id,))

    def update(self, job_id: str, *, whole: Entry | None = None, **columns: Any) -> None:
        """Set columns of one row; a final state also sets `finished_at`. They are on the disk on return.

        If the row does not exist any more, because a user deleted the ledger while the job ran, `whole` is
        inserted.
        """
        if self._pid != os.getpid():  # In a forked child: the parent writes the changes that wait.
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
        """Set columns of a row. Return False if it does not exist."""
        state = columns.get("state")
        if isinstance(state, State) and state.finished and state is not State.UNCERTAIN:
            columns.setdefault("finished_at", time.time())
        names = ", ".join(f"{name} = ?" for name in columns)
        values = [value.value if isinstance(value, State) else value for value in columns.values()]
        return db.execute(f"UPDATE jobs SET {names} WHERE id = ?", (*values, job_id)).rowcount == 1

    def get(self, any_id: str) -> Entry | None:
        """Return the row of a job id, a request id, or the start of one if it is the only row that fits."""
        if not any_id:
            return None
        exact = self._read("SELECT * FROM jobs WHERE id = ? OR request_id = ?", any_id, any_id)
        # Ranges, because LIKE reads all rows. Ids are in lower case.
        query = (
            "SELECT * FROM jobs WHERE id BETWEEN ? AND ? OR request_id BETWEEN ? AND ?"
            " OR request_id BETWEEN ? AND ? LIMIT 2"
        )
        low, high = any_id.lower(), f"{any_id.lower()}\U0010ffff"
        rows = exact[:1] or self._read(query, low, high, low, high, any_id, f"{any_id}\U0010ffff")
        return Entry.from_row(rows[0]) if len(rows) == 1 else None

    def find_same(self, backend: str, fingerprint: str, folder: Path, take: int | None) -> Entry | None:
        """Return the row of this folder that `claim` would return now, or None. It may change until then.

        `backend`, `take` and the others are as in an `Intent`.
        """
        if not self.exists():
            return None
        with self._file.connection() as db:
            return _same(db, backend, fingerprint, folder, take)

    def find_elsewhere(self, fingerprint: str, folder: Path, take: int | None) -> list[Entry]:
        """Return fal's rows that paid, or may pay, for a take in another folder: first those with a file."""
        if not self.exists():
            return []
        with self._file.connection() as db:
            return list(_rows_elsewhere(db, fingerprint, folder, take))

    def fingerprints(self) -> set[str]:
        """Return the fingerprints of all requests that have a row."""
        return {row[0] for row in self._read("SELECT DISTINCT fingerprint FROM jobs")}

    def entries(self, selection: Selection = EVERYTHING, *, limit: int = 50, offset: int = 0) -> list[Entry]:
        """Return the newest `limit` rows, the newest first, without the first `offset` of them."""
        where, values = selection.where()
        query = f"SELECT * FROM jobs WHERE {where} ORDER BY created_at DESC, rowid DESC LIMIT ? OFFSET ?"
        return [Entry.from_row(row) for row in self._read(query, *values, limit, offset)]

    def page(self, selection: Selection, *, limit: int, offset: int) -> tuple[list[Entry], int]:
        """Return rows as `entries` does, and the number of all selected. A search reads the rows once."""
        if not selection.search:
            return self.entries(selection, limit=limit, offset=offset), self.count(selection)
        where, values = selection.where()
        # The + keeps SQLite from using the index by time. Reading in stored order is twice as fast.
        query = f"SELECT rowid FROM jobs WHERE {where} ORDER BY +created_at DESC, rowid DESC"
        found = [row[0] for row in self._read(query, *values)]
        query = "SELECT * FROM jobs WHERE rowid IN (SELECT value FROM json_each(?))"
        shown = json.dumps(found[offset : offset + limit])
        rows = self._read(f"{query} ORDER BY created_at DESC, rowid DESC", shown)
        return [Entry.from_row(row) for row in rows], len(found)

    def columns(self, *names: str) -> list[tuple[Any, ...]]:
        """Return columns of all rows, the newest first. This is ten times faster than `entries`."""
        query = f"SELECT {', '.join(names)} FROM jobs ORDER BY created_at DESC, rowid DESC"
        return list(map(tuple, self._read(query)))

    def count(self, selection: Selection = EVERYTHING) -> int:
        """Return the number of rows."""
        where, values = selection.where()
        return sum(row[0] for row in self._read(f"SELECT count(*) FROM jobs WHERE {where}", *values))

    def tally(self, column: Literal["endpoint", "state", "folder"]) -> dict[str, int]:
        """Return the number of rows for each endpoint, state or folder, the most frequent first."""
        query = f"SELECT {column}, count(*) FROM jobs GROUP BY {column} ORDER BY count(*) DESC, {column}"
        return dict(map(tuple, self._read(query)))

    def expected_seconds(self, endpoint: str, backend: str) -> float | None:
        """Return the median seconds from submission to result of an endpoint's last 20 jobs, or None.

        Only the last 500 rows of the endpoint are searched. It may have 100,000, and none of this backend.
        """
        rows = self._read(
            "SELECT finished_at - created_at FROM"
            " (SELECT * FROM jobs WHERE endpoint = ? ORDER BY created_at DESC LIMIT 500)"
            " WHERE backend = ? AND state = 'READY' ORDER BY created_at DESC LIMIT 20",
            endpoint,
            backend,
        )
        times = sorted(row[0] for row in rows if row[0] is not None)
        return times[len(times) // 2] if times else None

    def find_upload(self, upload: Upload) -> str | None:
        """Return the URL of an equal upload that can still be used, or None."""
        rows = self._read(f"SELECT url, uploaded_at FROM uploads WHERE {upload.WHERE}", *upload.key)
        return next((row["url"] for row in rows if upload.usable(row["uploaded_at"], time.time())), None)

    def may_have_upload(self, upload: Upload, size: int) -> bool:
        """Return True if a usable upload has this size and equals `upload` in all but its hash."""
        query, now = f"SELECT uploaded_at FROM uploads WHERE {upload.WHERE_OF_SIZE}", time.time()
        rows = self._read(query, *upload.key[1:], size)
        return any(upload.usable(row["uploaded_at"], now) for row in rows)

    def note_upload(self, upload: Upload, url: str, size: int | None = None) -> None:
        """Store the URL of a new upload, and delete those that cannot be used any more."""
        now = time.time()
        with self._file.transaction() as db:
            db.execute("DELETE FROM uploads WHERE uploaded_at < ?", (now - upload.DAY,))
            db.execute(
                "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*upload.key, url, upload.expires(now), now, size),
            )

    def forget_upload(self, url: str) -> None:
        """Delete an upload, so that its URL is not used again."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM uploads WHERE url = ?", (url,))

    def spending(self, by: Grouping) -> list[Spending]:
        """Return what fal's jobs cost, grouped."""
        if not self.exists():
            return []
        with self._file.connection() as db:
            return spending(db, by)

    def _read(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query; none if there is no file, because reading does not create it."""
        if not self.exists():
            return []
        with self._file.connection() as db:
            return db.execute(query, values).fetchall()

    def exists(self) -> bool:
        """Return True if the file exists. Reading does not create it."""
        return exists(self.path)

    def close(self) -> None:
        """Close the connection. The next use opens a new one."""
        self._file.close()

    @staticmethod
    def _entry(db: sqlite3.Connection, job_id: str) -> Entry:
        return Entry.from_row(db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone())


def _same(
    db: sqlite3.Connection, backend: str, fingerprint: str, folder: Path, take: int | None
) -> Entry | None:
    """Return an unfinished row of a request in a folder. If there is none, return one that was paid for.

    Paid rows are READY, or their result is lost. Of several rows, one whose folder has this very path comes
    first, then one of the first take, then the newest.
    """
    # The + keeps SQLite from using the index of states, because most rows of a long ledger are READY.
    rows = db.execute(
        "SELECT * FROM jobs WHERE fingerprint = :fingerprint AND backend = :backend"
        " AND (:take IS NULL OR take = :take)"
        f" AND ({UNFINISHED} OR backend = 'fal' AND"
        " (+state = 'READY' OR (+state = 'FAILED' AND error_type = :gone)))"
        f" ORDER BY NOT ({UNFINISHED}), folder IS NOT :folder, state = 'FAILED', take IS NOT 1,"
        " created_at DESC",
        {
            "fingerprint": fingerprint,
            "folder": str(folder),
            "backend": backend,
            "take": take,
            "gone": GONE,
        },
    )
    found = (entry for entry in map(Entry.from_row, rows.fetchall()) if entry.belongs_in(folder))
    return next((entry for entry in found if backend == "fal" or entry.is_ours), None)


def _rows_elsewhere(
    db: sqlite3.Connection, fingerprint: str, folder: Path, take: int | None
) -> Iterator[Entry]:
    """Yield rows of other folders: finished ones, those that fal may be working on, then moved ones.

    A moved row is finished, but its file is not where it was stored. The caller looks for its new name.
    """
    rows = db.execute(
        "SELECT * FROM jobs WHERE fingerprint = ? AND (? IS NULL OR take = ?) AND backend = 'fal'"
        f" AND (+state = 'READY' OR {UNFINISHED}) ORDER BY state != 'READY', take, created_at DESC",
        (fingerprint, take, take),
    )
    moved = []
    for entry in map(Entry.from_row, rows.fetchall()):
        if entry.belongs_in(folder) or entry.is_unsent:
            continue
        if entry.state is not State.READY or os.path.isfile(entry.media_path or ""):  # noqa: PTH113 -- any text
            yield entry
        else:
            moved.append(entry)
    yield from moved
