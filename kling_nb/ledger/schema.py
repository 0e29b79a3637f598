"""The tables of the ledger with the steps from each version to the next, and their rows as values.

An `Intent` goes in, an `Entry` comes out. A `Selection` chooses entries.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from kling_nb._files import parse_object
from kling_nb.events import State
from kling_nb.ledger.limits import Limit
from kling_nb.ledger.owner import is_alive, owner_of_this_process

_FIRST = """
CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  created_at REAL NOT NULL,          -- unix seconds, as all times
  state TEXT NOT NULL,               -- events.State
  backend TEXT NOT NULL,             -- fal | local
  endpoint TEXT NOT NULL,
  input TEXT NOT NULL,               -- JSON; a local file as {"sha256", "name"}
  prompt TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  folder TEXT NOT NULL,              -- media folder, absolute
  take INTEGER,                      -- number of the take; NULL for one more
  owner TEXT NOT NULL,               -- host:pid:token of the process that submits
  key_fingerprint TEXT,
  notebook TEXT,
  sent_at REAL,                      -- set before the first byte of the POST
  request_id TEXT,
  status_url TEXT, response_url TEXT, cancel_url TEXT,
  finished_at REAL,
  result TEXT,                       -- the model's output, JSON; fal deletes its copy
  units TEXT,                        -- x-fal-billable-units
  error TEXT, error_type TEXT,
  media_path TEXT,
  reserved_usd REAL                  -- expected cost, counted for the limits
) STRICT;
CREATE INDEX jobs_by_fingerprint ON jobs (fingerprint, folder);
CREATE INDEX jobs_by_time ON jobs (created_at);
CREATE INDEX jobs_by_request ON jobs (request_id);
CREATE INDEX jobs_unfinished ON jobs (folder)
  WHERE state IN ('SUBMITTING', 'IN_QUEUE', 'IN_PROGRESS', 'DOWNLOADING', 'UNCERTAIN');
"""

_SECOND = """
CREATE TABLE uploads (
  sha256 TEXT NOT NULL,              -- of the content
  content_type TEXT NOT NULL,
  host TEXT NOT NULL,                -- REST host that has it
  account TEXT NOT NULL,             -- fingerprint of the key; empty without one
  lifecycle INTEGER NOT NULL,        -- seconds it is to be kept; 0 leaves that to the account
  url TEXT NOT NULL,
  expires REAL,                      -- NULL if only the account knows
  uploaded_at REAL NOT NULL,
  PRIMARY KEY (sha256, content_type, host, account, lifecycle)
) STRICT;
"""

_THIRD = """
CREATE INDEX jobs_by_endpoint ON jobs (endpoint, created_at);
CREATE INDEX jobs_by_state ON jobs (state, created_at);
"""

_FOURTH = """
ALTER TABLE jobs ADD COLUMN addresses TEXT;  -- JSON: URL of each local file of the input
ALTER TABLE uploads ADD COLUMN size INTEGER; -- bytes; NULL if not known
"""

_FIFTH = """
CREATE INDEX jobs_by_session ON jobs (substr(owner, -8));
CREATE TABLE holds (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,               -- as in jobs
  held_at REAL NOT NULL,
  usd REAL NOT NULL                  -- what is left
) STRICT;
"""

_STEPS = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH)
"""Each brings a file of one version to the next. A published step is never changed."""

SCHEMA_VERSION = len(_STEPS)

_LATER_COLUMNS = {"made_from": "TEXT"}  # fingerprint of the request of its cell
"""Columns of `jobs` that do not count as a version. Earlier versions, which read and write the columns that
they know, can go on using the file."""


class NewerSchema(sqlite3.DatabaseError):
    """The file was written by a newer kling_nb."""


def prepare(db: sqlite3.Connection, *, wal: bool = True) -> None:
    """Set the modes of a new connection, and bring the file, or a new one, to this version.

    Without `wal` it uses a rollback journal, which works on network file systems too.

    Raises:
        NewerSchema: The file is of a later version. It is not changed.
    """
    version = _version(db)
    if version > SCHEMA_VERSION:
        raise NewerSchema(
            f"it needs a newer kling_nb (it has version {version}, this one reads up to {SCHEMA_VERSION})"
        )
    db.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
    db.execute("PRAGMA synchronous = FULL")
    if version == SCHEMA_VERSION and not _missing_columns(db):
        return
    db.execute("BEGIN IMMEDIATE")
    version = _version(db)  # Another kernel may have done it meanwhile.
    for step in _STEPS[version:]:
        for statement in _statements(step):
            db.execute(statement)
    for name in _missing_columns(db):
        db.execute(f"ALTER TABLE jobs ADD COLUMN {name} {_LATER_COLUMNS[name]}")
    db.execute(f"PRAGMA user_version = {max(version, SCHEMA_VERSION)}")
    db.execute("COMMIT")


def _missing_columns(db: sqlite3.Connection) -> set[str]:
    return _LATER_COLUMNS.keys() - {row[1] for row in db.execute("PRAGMA table_info(jobs)")}


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> list[str]:
    """Return the single statements, because `executescript` would commit the transaction around them."""
    plain = "\n".join(line.split("--")[0] for line in script.splitlines())
    return [statement for statement in map(str.strip, plain.split(";")) if statement]


# -- rows ------------------------------------------------------------------------------

SUBMIT_LEASE_SECONDS = 180.0
"""A SUBMITTING row older than this is abandoned, even if a process with its owner's process id runs."""

START_SECONDS = 3.0
"""Seconds after its claim in which a row of this process counts as about to be submitted."""

GONE = "result_gone"
"""`error_type` of a failed row whose result fal keeps no longer. It was paid for, so it is not submitted
again unless the user asks for that."""

_at_work: Counter[str] = Counter()


@contextmanager
def at_work(job_id: str) -> Iterator[None]:
    """Mark the row as being submitted by this process. Claimed rows without the mark were interrupted."""
    _at_work[job_id] += 1
    try:
        yield
    finally:
        _at_work[job_id] -= 1
        if not _at_work[job_id]:
            del _at_work[job_id]


@dataclass(frozen=True, slots=True)
class Intent:
    """A request that is about to be submitted.

    Attributes:
        take: Number of the take that is wanted; None for any, the first one before others.
        new: True to make one more, whatever exists.
        cost: Expected cost in US dollars, which counts for the limits; None if it is not known.
        limits: Limits of what may be spent.
        reservation: That of its sweep: see `Ledger.reserve`.
        elsewhere: If there is no job in this folder, use one of another folder.
        made_from: Fingerprint of the request of its cell, or None.
    """

    backend: str
    endpoint: str
    input: Mapping[str, Any]
    prompt: str
    fingerprint: str
    folder: Path
    take: int | None = None
    new: bool = False
    key_fingerprint: str | None = None
    notebook: str | None = None
    cost: float | None = None
    limits: tuple[Limit, ...] = ()
    reservation: str | None = None
    elsewhere: bool = False
    made_from: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. Times are unix seconds. `_FIRST` describes the columns."""

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
    made_from: str | None

    @property
    def urls(self) -> dict[str, str | None]:
        """The URLs of the request, as fal's reply has them."""
        return {name: getattr(self, name) for name in ("status_url", "response_url", "cancel_url")}

    @property
    def is_ours(self) -> bool:
        """True if it belongs to this process."""
        return self.owner == owner_of_this_process()

    @property
    def is_abandoned(self) -> bool:
        """True if it is SUBMITTING, but no process is submitting it any more."""
        if self.state is not State.SUBMITTING:
            return False
        age = abs(time.time() - self.created_at)  # A clock that was set back leaves rows of the future.
        if self.is_ours:
            return self.id not in _at_work and age > START_SECONDS
        return age > SUBMIT_LEASE_SECONDS or not self.owner_alive

    @property
    def is_unsent(self) -> bool:
        """True if its process stopped before the POST, so that nothing was sent."""
        return self.is_abandoned and self.sent_at is None

    @property
    def has_no_file(self) -> bool:
        """True if it is READY by `Client.result`, which stores the model's output and downloads no file."""
        return self.state is State.READY and self.media_path is None and self.result is not None

    @property
    def is_result_gone(self) -> bool:
        """True if fal accepted it, and at the last request did not have its result any more."""
        return (self.state, self.error_type, self.backend) == (State.FAILED, GONE, "fal")

    def belongs_in(self, folder: Path) -> bool:
        """Return True if it is of that media folder, or of one that was moved together with its parent."""
        own = Path(self.folder)
        return own == folder or os.path.realpath(own) == os.path.realpath(folder) or not own.parent.exists()

    @property
    def owner_alive(self) -> bool:
        """False if the process that owns it has ended. True if that cannot be known."""
        return is_alive(self.owner)

    def to_row(self) -> dict[str, Any]:
        """Return its columns, as `from_row` reads them."""
        row = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**row, "state": self.state.value, "input": json.dumps(dict(self.input), ensure_ascii=False)}

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Entry:
        """Return the entry of a row with all columns.

        An unknown state or a damaged input is not an error, because the job may be paid for.
        """
        values = {name: row[name] for name in cls.__dataclass_fields__}
        state = State(values["state"]) if values["state"] in set(State) else State.UNCERTAIN
        parsed = {"state": state, "input": parse_object(values["input"]) or {}}
        return cls(**{**values, **parsed})


# -- Which rows to list.


UNFINISHED = "state IN ('SUBMITTING', 'IN_QUEUE', 'IN_PROGRESS', 'DOWNLOADING', 'UNCERTAIN')"

_PART_OF_ID = 6
"""Shorter words occur in too many ids by chance."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that meet every condition given.

    Attributes:
        search: Words, in any case and order. The prompt or the endpoint's id must contain each of them;
            a word of six characters or more may also be part of the job's id or the request id.
        endpoint: Full id of an endpoint.
        state: State of the job.
        folder: Media folder of the job.
        fingerprint: Fingerprint of the request.
        unfinished: Only jobs that are not finished.
        without: Ids of jobs to leave out.
        requests: Only jobs with one of these request ids; None for all jobs.
    """

    search: str = ""
    endpoint: str | None = None
    state: State | None = None
    folder: Path | None = None
    fingerprint: str | None = None
    unfinished: bool = False
    without: tuple[str, ...] = ()
    requests: tuple[str, ...] | None = None

    def where(self) -> tuple[str, list[str]]:
        """Return the condition as SQL, and the values of its placeholders."""
        conditions, values = ["1"], []
        for column in ("endpoint", "state", "folder", "fingerprint"):
            value = getattr(self, column)
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(str(value))
        if self.unfinished:
            conditions.append(UNFINISHED)
        if self.without:
            conditions.append(f"id NOT IN ({', '.join('?' * len(self.without))})")
            values += self.without
        if self.requests is not None:
            conditions.append("request_id IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(self.requests))
        for word in sorted(self.search.casefold().split(), key=len, reverse=True):  # A long word is rare.
            # SQLite's LIKE is ten times faster, but ignores the case of ASCII letters only.
            condition = "(length(prompt) != length(CAST(prompt AS BLOB)) AND instr(casefold(prompt), ?))"
            values.append(word)
            if word.isascii():
                like = "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"
                condition = f"(prompt LIKE ? ESCAPE '\\' OR endpoint LIKE ? ESCAPE '\\' OR {condition})"
                values[-1:] = [like, like, word]
            if len(word) >= _PART_OF_ID:
                condition = f"({condition} OR instr(id || ' ' || ifnull(request_id, ''), ?))"
                values.append(word)
            conditions.append(condition)
        return " AND ".join(conditions), values


EVERYTHING = Selection()
"""All rows."""


# -- Uploaded files.


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload. Equal uploads have the same URL, for a while.

    Attributes:
        sha256: SHA-256 of the content; empty if it is not known yet.
        content_type: Its MIME type, as declared.
        host: REST host that has it.
        account: Fingerprint of the key, or an empty text. For the local preview server it differs with each
            start, because a server's files go when it ends.
        lifecycle: Seconds for which it is to be kept; 0 leaves that to the account.
    """

    sha256: str
    content_type: str
    host: str
    account: str
    lifecycle: int = 0

    DAY: ClassVar[float] = 86_400.0
    """Longest use of a URL in seconds. How long an account keeps files is not known (FAL-PROTOCOL §9.5)."""

    WHERE: ClassVar[str] = "sha256 = ? AND content_type = ? AND host = ? AND account = ? AND lifecycle = ?"

    WHERE_OF_SIZE: ClassVar[str] = (
        "content_type = ? AND host = ? AND account = ? AND lifecycle = ? AND (size = ? OR size IS NULL)"
    )

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """Values for `WHERE`, and the first columns of a row."""
        return self.sha256, self.content_type, self.host, self.account, self.lifecycle

    def expires(self, uploaded_at: float) -> float | None:
        """Return the unix seconds at which the file ends, or None if only the account knows."""
        return uploaded_at + self.lifecycle if self.lifecycle else None

    def usable(self, uploaded_at: float, now: float) -> bool:
        """Return True if the URL may be used again.

        That is for the first half of the file's life, because a job may wait in the queue before fal
        reads the file.
        """
        age = now - uploaded_at
        return 0 <= age < min(self.DAY, self.lifecycle / 2 if self.lifecycle else self.DAY)
