"""Ledgers that older versions of the package wrote: brought up, with every row as it was."""

import sqlite3
from pathlib import Path

import pytest

from kling_nb.events import State
from kling_nb.ledger import Intent, Ledger, Upload
from kling_nb.ledger.schema import SCHEMA_VERSION

WRITTEN = Path(__file__).parent.parent / "ledgers"
"""What each version left, as `.dump` of SQLite has it; made by the code of that version."""

OLD = range(1, SCHEMA_VERSION)


def as_left(version: int, folder: Path) -> Path:
    path = folder / "ledger.sqlite3"
    db = sqlite3.connect(path)
    db.executescript((WRITTEN / f"version-{version}.sql").read_text("utf-8"))
    db.close()
    return path


def shape(path: Path) -> tuple[int, set[tuple[str, ...]]]:
    """Version and everything that is declared in a file, columns of tables included."""
    db = sqlite3.connect(path)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    names = db.execute("SELECT type, name, tbl_name FROM sqlite_schema").fetchall()
    columns = [
        tuple(map(str, (table, *row)))
        for _, table, _ in names
        for row in db.execute("SELECT * FROM pragma_table_xinfo(?)", (table,)).fetchall()
    ]
    db.close()
    return version, {*names, *columns}


@pytest.mark.parametrize("version", OLD)
def test_all_rows_are_there_and_say_what_they_said(version: int, tmp_path: Path) -> None:
    ledger = Ledger(as_left(version, tmp_path))
    rows = {entry.request_id: entry for entry in ledger.entries()}
    assert {request_id: entry.state for request_id, entry in rows.items()} == {
        "r-1": State.READY,
        "r-2": State.IN_PROGRESS,
        None: State.UNCERTAIN,
        "r-4": State.FAILED,
    }
    ready = rows["r-1"]
    assert (ready.units, ready.media_path, ready.input) == ("5", "/media/a.mp4", {"prompt": "a cat 1 – ünï"})
    assert ready.result == '{"video": {"url": "https://x/1.mp4"}}'
    assert (ready.sent_at, ready.finished_at, ready.addresses) == (1767225601.0, 1767225700.0, None)
    assert rows["r-2"].status_url == "https://queue.fal.run/a/b/requests/r-2/status"
    ledger.close()


@pytest.mark.parametrize("version", OLD)
def test_it_becomes_what_a_new_one_is(version: int, tmp_path: Path) -> None:
    old = as_left(version, tmp_path)
    new = Ledger(tmp_path / "new.sqlite3")
    for ledger in (Ledger(old), new):
        entry, fresh = ledger.claim(Intent("fal", "e", {}, "p", "f", tmp_path))
        assert fresh
        assert ledger.sending(entry.id, {"image_url": "https://files/1"})
        upload = Upload("s", "image/png", "h", "a")
        ledger.note_upload(upload, "https://files/1")
        assert ledger.uploaded(upload) == "https://files/1"
        ledger.close()
    assert shape(old) == shape(new.path)
    assert shape(old)[0] == SCHEMA_VERSION


def test_every_version_that_there_was_is_tried() -> None:
    assert sorted(path.name for path in WRITTEN.glob("*.sql")) == [f"version-{number}.sql" for number in OLD]
