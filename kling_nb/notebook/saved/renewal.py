"""Draw cards from sidecars and the ledger, for notebooks whose kernel ended before it could draw them.

`freeze` (`kling-nb freeze`) does it in a notebook's file, in place of the widgets.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from kling_nb._files import write_file
from kling_nb.errors import KlingError, UsageError
from kling_nb.events import State
from kling_nb.job.plan import GET_BACK, NO_RECORD, PREVIEW_AGAIN, REUSABLE
from kling_nb.ledger import Entry, Ledger, Selection
from kling_nb.ledger.database import ledger_path
from kling_nb.media import MediaFolder, Take
from kling_nb.notebook.card import grid as grid_card
from kling_nb.notebook.card.job import bundle_of, card_of_entry, card_of_take, panel_card, takes_of_folder
from kling_nb.notebook.card.mark import Mark, Part
from kling_nb.notebook.card.words import decided
from kling_nb.notebook.saved.reopening import OutputContext, update_outputs
from kling_nb.settings import Settings, current, media_of_notebook
from kling_nb.video import Video

_FOLDERS_KEPT = 8


class Renewal:
    """Draws cards and finds files of saved outputs. It keeps ledgers and media folders open.

    Threads: any. It writes only indexes and posters, in the home folder, and contacts no host.
    """

    def __init__(self) -> None:
        self._looks = threading.local()
        self._ledgers: dict[Path, Ledger] = {}
        self._folders: dict[Path, MediaFolder] = {}

    def close(self) -> None:
        """Close the files of the ledgers and of the indexes. The next use opens them again."""
        for ledger in self._ledgers.values():
            ledger.close()
        for media in self._folders.values():
            media.close()

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Let everything that this thread does in the block share one look at each media folder."""
        with ExitStack() as stack:
            self._looks.stack, self._looks.places = stack, set()
            try:
                yield
            finally:
                self._looks.stack = None

    def draw_card(self, mark: Mark, folder: Path) -> dict[str, Any] | None:
        """Return the MIME bundle of a mark's card for a notebook in `folder`, or None if nothing is known."""
        if mark.job is None:
            return panel_card(self._folder(media_of_notebook(folder)), folder)
        with suppress(KlingError, OSError):
            if mark.parts:
                return self._draw_sweep(mark, folder)
            entry = self._entry(mark, folder)
            take = self._find_take(_part_of(mark, entry), folder, entry)
            take = self._find_chosen(mark, take, folder) or take
            return _draw_job(mark, entry, take, self._strip(mark, take, folder), folder)
        return None

    def is_outdated(self, mark: Mark, folder: Path) -> bool:
        """Return True if the takes of a finished card, or the decisions about them, are others now."""
        if mark.parts or mark.state != State.READY.value:
            return False
        with suppress(KlingError, OSError):
            take = self._find_take(_part_of(mark, None), folder)
            if take is not None:
                shown = self._find_chosen(mark, take, folder) or take
                strip = takes_of_folder(self._strip(mark, shown, folder), shown, _cell_of(mark), folder)
                return shown.path != take.path or decided(strip) != mark.takes
        return False

    def _strip(self, mark: Mark, take: Take | None, folder: Path) -> Sequence[Take]:
        """Return the takes of the cell of a mark that are next to the notebook, in their order."""
        if take is None:
            return ()
        media, backend = self._folder(media_of_notebook(folder)), take.sidecar.backend
        if mark.cell:
            return media.takes_of_cell(mark.cell, backend)
        return [one for one in media.takes(take.sidecar.fingerprint) if one.sidecar.backend == backend]

    def _find_chosen(self, mark: Mark, take: Take | None, folder: Path) -> Take | None:
        """Return the take that was chosen for the cell of a mark, in place of the take of its card."""
        if take is None or not mark.name or not mark.cell:
            return None
        media = self._folder(media_of_notebook(folder))
        return media.find_chosen(mark.cell, mark.name, REUSABLE[take.sidecar.backend])[0]

    def find_file(self, part: Part, folder: Path) -> Path | None:
        """Return the file of one video of several, for a notebook in `folder`, or None."""
        with suppress(KlingError, OSError):
            take = self._find_take(part, folder)
            return take.path if take else None
        return None

    def remedy(self, mark: Mark, folder: Path) -> str:
        """Return what to do about a missing file. Only a job in the ledger is not paid for again."""
        with suppress(KlingError, OSError):
            entry = None if mark.parts else self._entry(mark, folder)
            parts = mark.parts or (_part_of(mark, entry),)
            found = [
                next((row for row in self._rows(part, entry, folder) if row.state is State.READY), None)
                for part in parts
            ]
            if all(found):
                return PREVIEW_AGAIN if all(row and row.backend == "local" for row in found) else GET_BACK
        return NO_RECORD

    def _draw_sweep(self, mark: Mark, folder: Path) -> dict[str, Any]:
        """Return the card of a sweep with its existing takes."""
        shots = []
        states: list[State | None] = []
        for part in mark.parts:
            take = self._find_take(part, folder)
            result = take.result() if take else None
            shots.append((part.caption, result if isinstance(result, Video) else None))
            row = None if take else next(self._rows(part, None, folder), None)
            states.append(row.state if row else None)
        return {
            "text/html": grid_card.html_of_takes(mark, shots, folder, states),
            "text/plain": grid_card.text_of_takes(shots, folder),
        }

    def _find_take(self, part: Part, folder: Path, entry: Entry | None = None) -> Take | None:
        """Return the take of a request: next to the notebook, else from where it was stored."""
        own = media_of_notebook(folder)
        if take := _find_in(self._folder(own), part):
            return take
        others = dict.fromkeys(Path(row.folder) for row in self._rows(part, entry, folder))
        takes = (_find_in(self._folder(other), part) for other in others if other != own)
        return next(filter(None, takes), None)

    def _rows(self, part: Part, entry: Entry | None, folder: Path) -> Iterator[Entry]:
        """Yield ledger rows that may have the folder of a request's take, the most likely one first."""
        if entry is not None:
            yield entry
            return
        ledger = self._ledger(folder)
        row = ledger.get(part.request) if part.request else None
        if row is not None and row.request_id == part.request:  # `get` also finds an id by its beginning
            yield row
        if part.fingerprint:
            yield from ledger.entries(Selection(fingerprint=part.fingerprint), limit=_FOLDERS_KEPT)

    def _entry(self, mark: Mark, folder: Path) -> Entry | None:
        found = self._ledger(folder).get(mark.job or "")
        return found if found and found.id == mark.job else None  # `get` also finds an id by its beginning

    def _ledger(self, folder: Path) -> Ledger:
        """Return the ledger of a notebook in `folder`. It is next to the takes if the home is read-only."""
        path = ledger_path(self._settings.home, media_of_notebook(folder).resolve())
        if (known := self._ledgers.get(path)) is not None:
            return known
        return self._ledgers.setdefault(path, Ledger(path))  # of several threads, one may be first

    @cached_property
    def _settings(self) -> Settings:
        return current({"backend": "local"})  # with this backend, no key is looked up

    def _folder(self, place: Path) -> MediaFolder:
        while len(self._folders) > _FOLDERS_KEPT:
            oldest = self._folders.pop(next(iter(self._folders)), None)
            if oldest is not None:
                oldest.close()
        if place not in self._folders:
            self._folders[place] = MediaFolder(place, self._settings.index)
        folder, stack = self._folders[place], getattr(self._looks, "stack", None)
        if stack is not None and place not in self._looks.places:
            self._looks.places.add(place)
            stack.enter_context(folder.one_look())
        return folder


def _cell_of(mark: Mark) -> tuple[str, str] | None:
    """Return fingerprint and NAME of the cell for which a take can be chosen, or None."""
    return (mark.cell, mark.name) if mark.cell and mark.name else None


def _part_of(mark: Mark, entry: Entry | None) -> Part:
    """Return what to look for: the job's request id and, for a reused take, its number."""
    request = mark.request or (entry.request_id if entry else None)
    number = (mark.job or "").rpartition("-")[2]
    reused = mark.job is not None and mark.job.startswith("take-") and number.isdecimal()
    return Part(mark.fingerprint or "", int(number) if reused else None, "", request)


def _find_in(takes: MediaFolder, part: Part) -> Take | None:
    """Return the take of a request in one folder, or None."""
    for backend in ("fal", "local") if part.request else ():
        if found := takes.take_of_request(part.request, backend):
            return found
    if not part.fingerprint or part.take is None:
        return None
    alike = (one for one in takes.takes(part.fingerprint) if one.sidecar.take == part.take)
    return next(alike, None)


def _draw_job(
    mark: Mark, entry: Entry | None, take: Take | None, strip: Sequence[Take], folder: Path
) -> dict[str, Any] | None:
    if take is not None:
        return bundle_of(card_of_take(take, mark.job, folder, strip, _cell_of(mark)))
    if entry is not None and (not mark.is_final or entry.state.value != mark.state):
        return bundle_of(card_of_entry(entry))
    return None


def freeze(path: Path) -> bool:
    """Replace the widgets in a notebook's file by current static cards. Return True if the file changed.

    Nothing else changes. A notebook without outputs of kling_nb is not written.

    Raises:
        UsageError: The file is not a notebook, or cannot be read or written.
    """
    notebook = read_notebook(path)
    if not freeze_notebook(notebook, path.absolute().parent):
        return False
    _break_lines(notebook)
    text = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
    data = text.encode("utf-8", "backslashreplace")  # a lone surrogate is kept as a JSON escape
    target = path.resolve()

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)
        shutil.copymode(target, temporary)

    try:
        write_file(target, write, overwrite=True)
    except OSError as fault:
        raise UsageError(f"{path} cannot be written: {fault.strerror}. It is unchanged.") from fault
    return True


def freeze_notebook(notebook: dict[str, Any], folder: Path) -> bool:
    """Freeze a parsed notebook in place, whose file is in `folder`. Return True if it changed."""
    with closing(Renewal()) as renewal, renewal.one_look():
        context = OutputContext(
            folder,
            lambda mark: False,
            renewal.draw_card,
            renewal.find_file,
            renewal.is_outdated,
            forget_kernels=True,
            remedy=renewal.remedy,
        )
        return update_outputs(notebook, context)


def read_notebook(path: Path) -> dict[str, Any]:
    """Return the parsed JSON of a notebook of format version 4.

    Raises:
        UsageError: The file is not such a notebook, or cannot be read.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as fault:
        raise UsageError(f"{path} cannot be read: {fault.strerror or fault}.") from fault
    except (ValueError, RecursionError) as fault:
        raise UsageError(f"{path} cannot be read as a notebook: {fault}.") from fault
    if not isinstance(found, dict) or found.get("nbformat") != 4 or not isinstance(found.get("cells"), list):
        raise UsageError(
            f"{path} is not a notebook of format version 4.",
            remedy="Open and save it in Jupyter, which converts older versions.",
        )
    return found


def _break_lines(notebook: dict[str, Any]) -> None:
    """Split the texts of kling_nb's outputs into lists of lines, as Jupyter writes them."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            for kind in ("text/html", "text/plain") if Mark.of(output) else ():
                if isinstance(text := output["data"].get(kind), str):
                    output["data"][kind] = text.splitlines(keepends=True)
