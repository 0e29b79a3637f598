"""Cards drawn anew from sidecars and the ledger, for notebooks whose kernel did not live to draw them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from kling_nb._settings import ENVIRONMENT, current
from kling_nb.errors import KlingError
from kling_nb.ledger import Entry, Ledger, Selection
from kling_nb.media import MediaFolder, Take
from kling_nb.notebook.mark import Mark, Part
from kling_nb.notebook.panel_card import panel_card
from kling_nb.video import Video

_FOLDERS_KEPT = 8


class Renewal:
    """Knows where takes and ledger are, and keeps what it has read of them.

    Threads: all of it may be called from any thread. Nothing is written, and no host is asked.
    """

    def __init__(self) -> None:
        self._ledgers: dict[Path, Ledger] = {}
        self._folders: dict[Path, MediaFolder] = {}

    def __call__(self, mark: Mark, folder: Path) -> dict[str, Any] | None:
        """Return the card of a mark in a notebook in `folder`; None where nothing is known of it."""
        if mark.job is None:
            return panel_card(self._beside(folder), folder)
        with suppress(KlingError, OSError):
            if mark.parts:
                return self._sweep(mark, folder)
            entry = self._entry(mark)
            take = self._take(_part_of(mark, entry), folder, entry)
            return _drawn(mark, entry, take, folder)
        return None

    def place(self, part: Part, folder: Path) -> Path | None:
        """Where the file of one of many videos is, for a notebook in `folder`; None where it is not found."""
        with suppress(KlingError, OSError):
            take = self._take(part, folder)
            return take.path if take else None
        return None

    def _sweep(self, mark: Mark, folder: Path) -> dict[str, Any]:
        """A sweep that nobody saw end, with the takes that there are of it."""
        from kling_nb.notebook import grid_card  # noqa: PLC0415 -- not before there is one to draw

        shots = []
        for part in mark.parts:
            take = self._take(part, folder)
            result = take.result() if take else None
            shots.append((part.caption, result if isinstance(result, Video) else None))
        return {
            "text/html": grid_card.html_of_takes(mark, shots, folder),
            "text/plain": grid_card.text_of_takes(shots, folder),
        }

    def _take(self, part: Part, folder: Path, entry: Entry | None = None) -> Take | None:
        """The take of a request: beside the notebook if it is there, else where it was made."""
        beside = self._beside(folder)
        if found := _take_in(self._folder(beside), part):
            return found
        elsewhere = dict.fromkeys(Path(row.folder) for row in self._rows(part, entry))
        others = (_take_in(self._folder(place), part) for place in elsewhere if place != beside)
        return next(filter(None, others), None)

    def _rows(self, part: Part, entry: Entry | None) -> Iterator[Entry]:
        """Rows of the ledger that may say where a request's take was stored, the likeliest first."""
        if entry is not None:
            yield entry
            return
        ledger = self._ledger()
        row = ledger.get(part.request) if part.request else None
        if row is not None and row.request_id == part.request:  # it also knows beginnings of ids
            yield row
        if part.fingerprint:
            yield from ledger.entries(Selection(fingerprint=part.fingerprint), limit=_FOLDERS_KEPT)

    def _entry(self, mark: Mark) -> Entry | None:
        found = self._ledger().get(mark.job or "")
        return found if found and found.id == mark.job else None  # the ledger also knows beginnings of ids

    def _ledger(self) -> Ledger:
        home = current({"backend": "local"}).home  # so that no key is looked for
        return self._ledgers.setdefault(home, Ledger(home / "ledger.sqlite3"))

    @staticmethod
    def _beside(folder: Path) -> Path:
        """The media folder of a kernel that works in the notebook's folder."""
        return (folder / os.environ.get(ENVIRONMENT["media"], "kling_media")).resolve()

    def _folder(self, place: Path) -> MediaFolder:
        while len(self._folders) > _FOLDERS_KEPT:
            self._folders.pop(next(iter(self._folders)), None)
        return self._folders.setdefault(place, MediaFolder(place))


def _part_of(mark: Mark, entry: Entry | None) -> Part:
    """What to look for. Of a job only what its own request gave; of an earlier take also its number."""
    request = mark.request or (entry.request_id if entry else None)
    number = (mark.job or "").rpartition("-")[2]
    earlier = mark.job is not None and mark.job.startswith("take-") and number.isdecimal()
    return Part(mark.fingerprint or "", int(number) if earlier else None, "", request)


def _take_in(takes: MediaFolder, part: Part) -> Take | None:
    """The take of a request in one folder."""
    for backend in ("fal", "local") if part.request else ():
        if found := takes.filed(part.request or "", backend):
            return found
    if not part.fingerprint or part.take is None:
        return None
    alike = (one for one in takes.takes(part.fingerprint) if one.sidecar.take == part.take)
    return next(alike, None)


def _drawn(mark: Mark, entry: Entry | None, take: Take | None, folder: Path) -> dict[str, Any] | None:
    from kling_nb.notebook import card  # noqa: PLC0415 -- not before there is one to draw
    from kling_nb.notebook.job_card import card_of_entry, card_of_take  # noqa: PLC0415 -- as above

    if take is not None:
        drawn = card_of_take(take, mark.job, folder)
    elif entry is not None and (not mark.settled or entry.state.value != mark.state):
        drawn = card_of_entry(entry)
    else:
        return None
    return {"text/html": card.html(drawn), "text/plain": card.text(drawn)}
