"""The ledger looked after: what is wrong with it, and how it is made anew from what is on disk."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kling_nb.catalog import endpoint
from kling_nb.catalog.estimate import estimate
from kling_nb.errors import LedgerError, UnknownEndpoint
from kling_nb.events import State
from kling_nb.ledger import Ledger
from kling_nb.ledger.home import FILE_NAME, is_network
from kling_nb.ledger.mending import Row, mend, salvaged, whole
from kling_nb.media import MediaFolder, Sidecar
from kling_nb.request import VideoRequest

NOBODY = "sidecar:0:0"
"""Owner of rows that were read from sidecars: a process that does not live."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at a ledger shows.

    Attributes:
        path: The file.
        whole: Whether it is a database in order; None where there is none yet.
        rows: Number of rows.
        unfinished: Those still to be completed.
        lost: Ids of finished jobs of fal whose file is not in its folder any more.
        unrecorded: Files in `folders` that no row is about.
        network: Whether it is on a network file system, and so without WAL.
    """

    path: Path
    whole: bool | None
    rows: int = 0
    unfinished: int = 0
    lost: tuple[str, ...] = ()
    unrecorded: tuple[Path, ...] = ()
    network: bool = False


def check(path: Path, folders: Iterable[Path]) -> Health:
    """Look at a ledger and the folders of its files. Nothing is changed.

    Raises:
        LedgerError: It cannot be read, or is of a newer version.
    """
    network = is_network(path.parent)
    filed = [(place, sidecar) for folder in folders for place, sidecar in MediaFolder(folder).filed_here()]
    try:
        sound = whole(path) if path.exists() else None
    except sqlite3.Error as fault:
        raise LedgerError(f"The ledger {path} cannot be read: {fault}") from fault
    if not sound:
        return Health(path, sound, unrecorded=tuple(place for place, _ in filed), network=network)
    ledger = Ledger(path)
    try:
        entries = ledger.entries(limit=10**9)
    finally:
        ledger.close()
    known = {(entry.request_id, entry.backend) for entry in entries}
    media = {folder: MediaFolder(Path(folder)) for folder in {entry.folder for entry in entries}}
    return Health(
        path,
        whole=True,
        rows=len(entries),
        unfinished=sum(not entry.state.closed for entry in entries),
        lost=tuple(
            entry.id
            for entry in entries
            if (entry.state, entry.backend) == (State.READY, "fal")
            and media[entry.folder].filed(entry.request_id or "", "fal") is None
        ),
        unrecorded=tuple(
            place for place, sidecar in filed if (sidecar.request_id, sidecar.backend) not in known
        ),
        network=network,
    )


def rebuild(path: Path, folders: Iterable[Path]) -> tuple[Path | None, int]:
    """Make the ledger anew: its rows as far as they can be read, then what sidecars tell.

    Returns:
        Where the old one is now, if there was one; and the number of rows of the new one.

    Raises:
        LedgerError: It cannot be written.
    """
    places = list(folders)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = mend(path, lambda: [row for folder in places for row in rows_of(folder)], anyway=True)
    except (sqlite3.Error, OSError) as fault:
        raise LedgerError(f"The ledger {path} cannot be made anew: {fault}") from fault
    ledger = Ledger(path)
    try:
        return aside, ledger.count()
    finally:
        ledger.close()


def rows_of(folder: Path) -> Iterator[Row]:
    """Rows for the takes in a folder, and of the ledger that was kept there while the home could not be."""
    yield from salvaged(folder / FILE_NAME)
    for place, sidecar in MediaFolder(folder).filed_here():
        yield _row(folder, place, sidecar)


def _row(folder: Path, place: Path, sidecar: Sidecar) -> Row:
    """The row of a finished job, as far as its sidecar knows it."""
    name = f"{sidecar.backend} {sidecar.request_id or f'{sidecar.fingerprint} {sidecar.take}'}"
    begun = datetime.fromisoformat(sidecar.created_at).timestamp()
    values = sidecar.input
    return {
        "id": hashlib.sha256(name.encode()).hexdigest()[:12],
        "created_at": begun,
        "state": State.READY.value,
        "backend": sidecar.backend,
        "endpoint": sidecar.endpoint,
        "input": json.dumps(dict(values), ensure_ascii=False),
        "prompt": str(values.get("prompt") or values.get("text") or sidecar.endpoint),
        "fingerprint": sidecar.fingerprint,
        "folder": str(folder),
        "take": sidecar.take,
        "owner": NOBODY,
        "sent_at": begun,
        "request_id": sidecar.request_id,
        "finished_at": datetime.fromisoformat(sidecar.finished_at).timestamp(),
        "units": sidecar.billable_units,
        "reserved_usd": _expected_cost(sidecar),
        "media_path": str(place),
    }


def _expected_cost(sidecar: Sidecar) -> float | None:
    """What the submission was expected to cost; by today's catalogue where the sidecar does not say it."""
    if sidecar.estimate_usd is not None or sidecar.backend != "fal":
        return sidecar.estimate_usd
    with suppress(UnknownEndpoint):
        known = endpoint(sidecar.endpoint)
        return estimate(known, VideoRequest(known, sidecar.input, {}).resolved)
    return None
