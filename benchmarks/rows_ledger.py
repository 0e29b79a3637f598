"""The ledger with many rows: its first page, and the rows of a fingerprint."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sides import ENDPOINT
from benchmarks.table import Row, milliseconds
from kling_nb import Session
from kling_nb.ledger import Intent, Ledger

ROWS = 100_000
RUNS = 30
_ROW = """
INSERT INTO jobs (id, created_at, state, backend, endpoint, input, prompt, fingerprint, folder, take, owner,
                  request_id, finished_at, result, units)
VALUES (?, ?, 'READY', 'fal', ?, ?, ?, ?, ?, 1, 'host:1:x', ?, ?, ?, '5')
"""


def fill(ledger: Ledger, rows: int, folder: Path) -> None:
    """Rows as jobs that ended would have left them; the ledger's own statements make the file."""
    ledger.adopt("the first", _intent(folder, "first"))
    with ledger._file.transaction() as db:  # noqa: SLF001 -- 100,000 claims would take an hour of fsync
        db.executemany(_ROW, (_row(number, folder) for number in range(rows)))


def _row(number: int, folder: Path) -> tuple[object, ...]:
    prompt = f"A red fox crosses a snowy forest clearing at dawn, take {number}"
    at = 1_700_000_000.0 + 60 * number
    result = json.dumps({"video": {"url": f"https://v3.fal.media/files/{number}/output.mp4"}})
    given = json.dumps({"prompt": prompt, "duration": "5", "aspect_ratio": "16:9"})
    return (
        f"{number:012x}",
        at,
        ENDPOINT,
        given,
        prompt,
        fingerprint(number),
        str(folder),
        f"request-{number}",
        at + 90,
        result,
    )


def fingerprint(number: object) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _intent(folder: Path, name: str) -> Intent:
    return Intent(
        backend="fal",
        endpoint=ENDPOINT,
        input={"prompt": name},
        prompt=name,
        fingerprint=fingerprint(name),
        folder=folder,
        take=1,
    )


def measured(rows: int) -> dict[str, list[float]]:
    """Seconds of each look-up, in a ledger with so many rows."""
    with tempfile.TemporaryDirectory(prefix="kling_nb-bench-") as place:
        home, media = Path(place) / "home", Path(place) / "media"
        ledger = Ledger(home / "ledger.sqlite3")
        fill(ledger, rows, media)
        ledger.close()
        session = Session(backend="fal", credentials="a:b", home=str(home), media=str(media))
        request = session.request("a prompt that was never asked", endpoint=ENDPOINT)
        works = {
            "jobs": session.jobs,
            "fingerprint": lambda: session.ledger.find_same("fal", request.fingerprint, media, 1),
        }
        found: dict[str, list[float]] = {}
        for name, work in works.items():
            work()
            found[name] = [_time_of(work) for _ in range(RUNS)]
        session.close()
    return found


def _time_of(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start


def rows() -> Iterator[Row]:
    found = measured(ROWS)
    for name, figure, goal in (
        ("jobs", "`jobs()`, first page of 50", 0.02),
        ("fingerprint", "look-up by fingerprint", 0.001),
    ):
        took = milliseconds(found[name])
        yield Row(
            f"ledger with {ROWS:,} rows: {figure}",
            str(took),
            "",
            "",
            f"≤ {1000 * goal:.0f} ms",
            took.median <= goal,
        )
