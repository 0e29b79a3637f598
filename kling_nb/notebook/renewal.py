"""Cards drawn anew from sidecars and the ledger, for notebooks whose kernel did not live to draw them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kling_nb._settings import ENVIRONMENT, current
from kling_nb.errors import KlingError
from kling_nb.events import State
from kling_nb.ledger import Entry, Ledger
from kling_nb.media import MediaFolder, Take
from kling_nb.notebook.mark import Mark
from kling_nb.notebook.panel_card import panel_card
from kling_nb.notebook.reopened import Renewed
from kling_nb.video import Video

_FOLDERS_KEPT = 8


class Renewal:
    """Knows where takes and ledger are, and keeps what it has read of them.

    Threads: all of it may be called from any thread. Nothing is written, and no host is asked.
    """

    def __init__(self) -> None:
        self._ledgers: dict[Path, Ledger] = {}
        self._folders: dict[Path, MediaFolder] = {}

    def __call__(self, mark: Mark, folder: Path) -> Renewed | None:
        """The output of a mark in a notebook in `folder`; None where nothing is known of it."""
        if mark.job is None:
            return Renewed(panel_card(self._beside(folder), folder), mark)
        with suppress(KlingError, OSError):
            if mark.parts:
                return self._sweep(mark, folder)
            entry = self._entry(mark)
            take = self._take(mark, entry, folder)
            return _drawn(mark, entry, take, folder)
        return None

    def _sweep(self, mark: Mark, folder: Path) -> Renewed:
        """A sweep that nobody saw end, with the takes that there are of it."""
        from kling_nb.notebook import grid_card  # noqa: PLC0415 -- not before there is one to draw

        takes = self._folder(self._beside(folder))
        shots = []
        for part in mark.parts:
            found = (one for one in takes.takes(part.fingerprint) if one.sidecar.take == part.take)
            result = next((one.result() for one in found), None)
            shots.append((part.caption, result if isinstance(result, Video) else None))
        whole = all(video is not None for _, video in shots)
        return Renewed(
            {"text/html": grid_card.html_of_takes(mark.job or "", shots, folder)},
            replace(mark, state=State.READY.value, parts=()) if whole else mark,
        )

    def _entry(self, mark: Mark) -> Entry | None:
        home = current({"backend": "local"}).home  # so that no key is looked for
        ledger = self._ledgers.setdefault(home, Ledger(home / "ledger.sqlite3"))
        found = ledger.get(mark.job or "")
        return found if found and found.id == mark.job else None  # the ledger also knows beginnings of ids

    def _take(self, mark: Mark, entry: Entry | None, folder: Path) -> Take | None:
        places = [Path(entry.folder)] if entry else []
        beside = self._beside(folder)
        request = mark.request or (entry.request_id if entry else None)
        for place in [*places, *([] if beside in places else [beside])]:
            takes = self._folder(place)
            for backend in ("fal", "local") if request else ():
                if found := takes.filed(request or "", backend):
                    return found
            if mark.job and mark.job.startswith("take-") and mark.fingerprint:
                number = mark.job.rpartition("-")[2]
                for found in takes.takes(mark.fingerprint):
                    if str(found.sidecar.take) == number:
                        return found
        return None

    @staticmethod
    def _beside(folder: Path) -> Path:
        """The media folder of a kernel that works in the notebook's folder."""
        return (folder / os.environ.get(ENVIRONMENT["media"], "kling_media")).resolve()

    def _folder(self, place: Path) -> MediaFolder:
        while len(self._folders) > _FOLDERS_KEPT:
            self._folders.pop(next(iter(self._folders)), None)
        return self._folders.setdefault(place, MediaFolder(place))


def _drawn(mark: Mark, entry: Entry | None, take: Take | None, folder: Path) -> Renewed | None:
    from kling_nb.notebook import card  # noqa: PLC0415 -- not before there is one to draw
    from kling_nb.notebook.job_card import card_of_entry, card_of_take  # noqa: PLC0415 -- as above

    if take is not None:
        drawn = card_of_take(take, mark.job, folder)
    elif entry is not None and (not mark.settled or entry.state.value != mark.state):
        drawn = card_of_entry(entry)
    else:
        return None
    new = replace(mark, state=drawn.state, request=drawn.request_id or mark.request)
    return Renewed({"text/html": card.html(drawn), "text/plain": card.text(drawn)}, new)
