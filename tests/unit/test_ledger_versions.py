"""Ledgers of older versions are brought to this one, with every row as it was."""

import sqlite3
from pathlib import Path

import pytest

from kling_nb.events import State
from kling_nb.ledger import Intent, Ledger, Upload
from kling_nb.ledger.schema import SCHEMA_VERSION

DUMPS = Path(__file__).parent.parent / "ledgers"
"""A ledger of each version, written by the code of that version, as `.dump` of SQLite shows it."""

OLD = range(1, SCHEMA_VERSION + 1)  # that of the last one had no `made_from`


def as_left(version: int, folder: Path) -> Path:
    path = folder / "ledger.sqlite3"
    db = sqlite3.connect(path)
    db.executescript((DUMPS / f"version-{version}.sql").read_text("utf-8"))
    db.close()
    return path


def shape(path: Path) -> tuple[int, set[tuple[str, ...]]]:
    """Return the version and all declarations of a file, columns of tables included."""
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
def test_all_rows_have_the_values_that_they_had(version: int, tmp_path: Path) -> None:
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
def test_it_has_the_tables_of_a_new_one(version: int, tmp_path: Path) -> None:
    old = as_left(version, tmp_path)
    new = Ledger(tmp_path / "new.sqlite3")
    for ledger in (Ledger(old), new):
        entry, fresh = ledger.claim(Intent("fal", "e", {}, "p", "f", tmp_path))
        assert fresh
        assert ledger.mark_sending(entry.id, {"image_url": "https://files/1"})
        upload = Upload("s", "image/png", "h", "a")
        ledger.note_upload(upload, "https://files/1")
        assert ledger.find_upload(upload) == "https://files/1"
        ledger.close()
    assert shape(old) == shape(new.path)
    assert shape(old)[0] == SCHEMA_VERSION


def test_an_earlier_version_can_use_the_ledger_that_this_one_has_changed(tmp_path: Path) -> None:
    path = as_left(SCHEMA_VERSION, tmp_path)
    earlier = sqlite3.connect(path, isolation_level=None)
    known = [row[1] for row in earlier.execute("PRAGMA table_info(jobs)")]
    ledger = Ledger(path)
    entry, _ = ledger.claim(Intent("fal", "e", {}, "p", "f", tmp_path, made_from="ab" * 32))
    assert ledger.get(entry.id).made_from == "ab" * 32
    assert earlier.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)  # else it refuses the file
    row = dict(zip(known, earlier.execute(f"SELECT {', '.join(known)} FROM jobs").fetchone(), strict=True))
    row |= {"id": "of-the-old", "request_id": "r-old"}
    marks = ", ".join("?" * len(row))
    earlier.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    assert ledger.get("of-the-old").made_from is None
    earlier.close()
    ledger.close()


def test_every_earlier_version_is_tried() -> None:
    assert sorted(path.name for path in DUMPS.glob("*.sql")) == [f"version-{number}.sql" for number in OLD]
