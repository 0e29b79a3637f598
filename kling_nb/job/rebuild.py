"""Check the ledger, compare it with fal's bill, and rebuild it from its readable rows and the sidecars."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kling_nb._files import is_network
from kling_nb.catalog.endpoint import estimate
from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import LedgerError, UnknownEndpoint
from kling_nb.events import State
from kling_nb.ledger import Entry, Ledger
from kling_nb.ledger.database import FILE_NAME
from kling_nb.ledger.salvage import Row, is_intact, readable_rows, repair
from kling_nb.media import MediaFolder, Note, Sidecar, read_sidecar
from kling_nb.request.request import VideoRequest, prompt_of

if TYPE_CHECKING:
    from kling_nb.fal.platform import BilledRequest

NO_OWNER = "sidecar:0:0"
"""The owner of rows that were read from sidecars: a process that does not exist."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a check of a ledger found.

    Attributes:
        path: The file of the ledger.
        whole: True if the database is intact; None if there is no file yet.
        rows: Number of rows.
        unfinished: Number of unfinished jobs.
        lost: Ids of finished jobs at fal whose file is missing.
        unrecorded: Files in the folders that no row names.
        network: True if the ledger is on a network file system, and therefore without WAL.
    """

    path: Path
    whole: bool | None
    rows: int = 0
    unfinished: int = 0
    lost: tuple[str, ...] = ()
    unrecorded: tuple[Path, ...] = ()
    network: bool = False


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """fal's bill of some days next to the ledger.

    Attributes:
        days: Days of the bill, until now.
        jobs: Jobs of the ledger that fal has, newest first, each with what fal billed, or None.
        unknown: Billed requests that the ledger does not know, newest first.
        unanswered: Jobs that were sent without an answer. Some of `unknown` may be theirs.
    """

    days: int
    jobs: tuple[tuple[Entry, BilledRequest | None], ...]
    unknown: tuple[BilledRequest, ...]
    unanswered: tuple[Entry, ...]


def reconcile(ledger: Ledger, bill: Mapping[str, BilledRequest], days: int, since: float) -> Reconciliation:
    """Compare the ledger with fal's bill, by request id, of `days` from the unix time `since`."""
    rows = [entry for entry in ledger.entries(limit=-1) if entry.backend == "fal"]
    known = {entry.request_id for entry in rows}
    expected = [
        entry
        for entry in rows
        if entry.request_id in bill
        or (entry.request_id and entry.created_at >= since and entry.reserved_usd != 0)
    ]
    unknown = [one for one in bill.values() if one.request_id not in known]
    return Reconciliation(
        days,
        tuple((entry, bill.get(entry.request_id or "")) for entry in expected),
        tuple(sorted(unknown, key=lambda one: -one.billed_at)),
        tuple(entry for entry in rows if entry.state is State.UNCERTAIN and entry.request_id is None),
    )


def check(path: Path, folders: Iterable[Path], index: Path | None = None) -> Health:
    """Check a ledger and the folders of its files. Nothing is changed, except the indexes in `index`.

    Raises:
        LedgerError: The ledger cannot be read, or is of a newer version.
    """
    network = is_network(path.parent)
    by_folder = {str(folder): stored_files(folder, index) for folder in folders}
    files = [pair for pairs in by_folder.values() for pair in pairs]
    try:
        sound = is_intact(path) if path.exists() else None
    except sqlite3.Error as fault:
        raise LedgerError(f"The ledger {path} cannot be read: {fault}") from fault
    if not sound:
        return Health(path, sound, unrecorded=tuple(place for place, _ in files), network=network)
    ledger = Ledger(path)
    try:
        rows = ledger.columns("id", "state", "backend", "request_id", "folder")
    finally:
        ledger.close()
    for folder in {row[-1] for row in rows} - by_folder.keys():
        by_folder[folder] = stored_files(Path(folder), index)
    stored = {
        (folder, note.request_id)
        for folder, pairs in by_folder.items()
        for _, note in pairs
        if note.backend == "fal"
    }
    known = {(request_id, backend) for _, _, backend, request_id, _ in rows}
    closed = {state.value for state in State if state.closed}
    return Health(
        path,
        whole=True,
        rows=len(rows),
        unfinished=sum(state not in closed for _, state, *_ in rows),
        lost=tuple(
            job_id
            for job_id, state, backend, request_id, folder in rows
            if (state, backend) == (State.READY.value, "fal") and (folder, request_id) not in stored
        ),
        unrecorded=tuple(place for place, note in files if (note.request_id, note.backend) not in known),
        network=network,
    )


def stored_files(folder: Path, index: Path | None = None) -> list[tuple[Path, Note]]:
    """Return the files of all sidecars of a folder, by their present names. Their content is not read."""
    with closing(MediaFolder(folder, index)) as media, media.one_look():
        return [(file, note) for note in media.notes() if (file := media.file_of(note)) is not None]


def rebuild(path: Path, folders: Iterable[Path]) -> tuple[Path | None, int]:
    """Write a new ledger from the readable rows of the old one and from sidecars.

    Returns:
        The path of the old ledger, or None if there was none; and the number of rows of the new one.

    Raises:
        LedgerError: The new ledger cannot be written.
    """
    places = list(folders)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = repair(path, lambda: [row for folder in places for row in rows_of(folder)], force=True)
    except (sqlite3.Error, OSError) as fault:
        raise LedgerError(f"The ledger {path} cannot be rebuilt: {fault}") from fault
    ledger = Ledger(path)
    try:
        return aside, ledger.count()
    finally:
        ledger.close()


def rows_of(folder: Path) -> Iterator[Row]:
    """Yield rows for the takes in a folder, and the rows of a ledger that was written there."""
    yield from readable_rows(folder / FILE_NAME)
    for place, note in stored_files(folder):
        if sidecar := read_sidecar(note.path):
            yield _row(folder, place, sidecar)


def _row(folder: Path, place: Path, sidecar: Sidecar) -> Row:
    """Return the row of a finished job, as far as its sidecar has the values."""
    name = f"{sidecar.backend} {sidecar.request_id or f'{sidecar.fingerprint} {sidecar.take}'}"
    created = datetime.fromisoformat(sidecar.created_at).timestamp()
    return {
        "id": hashlib.sha256(name.encode()).hexdigest()[:12],
        "created_at": created,
        "state": State.READY.value,
        "backend": sidecar.backend,
        "endpoint": sidecar.endpoint,
        "input": json.dumps(dict(sidecar.input), ensure_ascii=False),
        "prompt": prompt_of(sidecar.input, sidecar.endpoint),
        "fingerprint": sidecar.fingerprint,
        "folder": str(folder),
        "take": sidecar.take,
        "owner": NO_OWNER,
        "sent_at": created,
        "request_id": sidecar.request_id,
        "finished_at": datetime.fromisoformat(sidecar.finished_at).timestamp(),
        "units": sidecar.billable_units,
        "reserved_usd": _expected_cost(sidecar),
        "media_path": str(place),
        "made_from": sidecar.made_from,
    }


def _expected_cost(sidecar: Sidecar) -> float | None:
    """Return the expected price in US dollars, from the sidecar or else from the catalogue."""
    if sidecar.estimate_usd is not None or sidecar.backend != "fal":
        return sidecar.estimate_usd
    with suppress(UnknownEndpoint):
        known = endpoint(sidecar.endpoint)
        return estimate(known, VideoRequest(known, sidecar.input, {}).resolved)
    return None
