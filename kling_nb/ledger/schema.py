"""The tables of the ledger, and the steps from each version of them to the next."""

from __future__ import annotations

import sqlite3

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
    """Set the modes of a connection, and bring the file, or a new one, to this version.

    Args:
        db: A new connection.
        wal: False uses a rollback journal, which works on network file systems too.

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
