"""What `%load_ext kling_nb` registers, and `%unload_ext kling_nb` removes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from kling_nb import front_end
from kling_nb._lazy import lazy
from kling_nb.errors import Interrupted, JobCancelled, KlingError, LedgerError
from kling_nb.notebook.ipykernel_quirks import (
    AwaitedCells,
    CellParent,
    PlainErrors,
    add_completer,
    remove_completer,
    remove_magics,
)
from kling_nb.notebook.magics import CellMagic, KlingMagics
from kling_nb.settings import current

if TYPE_CHECKING:
    from kling_nb import ledger as ledgers
    from kling_nb.job import rebuild
    from kling_nb.ledger import home
    from kling_nb.notebook import completion
    from kling_nb.notebook.output import kernel
    from kling_nb.notebook.widgets import grid as grid_widget
    from kling_nb.notebook.widgets import job as job_widget
else:  # boundaries 2 and 3 of `_lazy`: with the first cell, the first Tab, the first job that is shown
    ledgers = lazy("kling_nb.ledger")
    rebuild = lazy("kling_nb.job.rebuild")
    home = lazy("kling_nb.ledger.home")
    completion = lazy("kling_nb.notebook.completion")
    kernel = lazy("kling_nb.notebook.output.kernel")
    grid_widget = lazy("kling_nb.notebook.widgets.grid")
    job_widget = lazy("kling_nb.notebook.widgets.job")

LEDGER = "ledger.sqlite3"
"""The name in `kling_nb.ledger.home`. Its package takes a third of `%load_ext`, and is rarely needed."""

_loaded: dict[int, _Extension] = {}


class _Extension:
    """The parts registered with one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.magics = KlingMagics(shell)
        in_kernel = hasattr(shell, "kernel")
        errors = PlainErrors(shell, (Interrupted, JobCancelled), self._say)
        self._watches: tuple[CellParent | AwaitedCells | PlainErrors, ...] = (
            (CellParent(shell), AwaitedCells(shell), errors) if in_kernel else ()
        )
        self._completer = Completer(shell)

    def install(self) -> None:
        self._shell.register_magics(self.magics)
        self._shell.magics_manager.register_function(
            CellMagic(self.magics), magic_kind="cell", magic_name="kling"
        )
        self._completer.install()
        self._shell.input_transformers_cleanup.append(refuse_assignment)
        front_end.config = self.magics.config_values
        for watch in self._watches:
            watch.install()
        if self._watches:
            front_end.job_presenter = _job_presenter
            front_end.video_presenter = _video_bundle
            front_end.sweep_presenter = lambda sweep: self.magics.outputs.show_sweep(sweep, quiet=False)
            front_end.strip_presenter = self._show_storyboard
            front_end.open_line = lambda: kernel.open_line(self._shell)
            front_end.grid_widget = _grid_widget
        front_end.say = self._say
        self._mention_unfinished()

    def _show_storyboard(self, board: Any) -> None:
        kernel.show_storyboard(board, self._shell)

    def _say(self, text: str) -> None:
        self.magics.outputs.text(text)  # `outputs` is created at its first use, not at %load_ext

    def _mention_unfinished(self) -> None:
        try:
            settings = current({"backend": "local"})  # only its folders are needed, and no key
        except KlingError as fault:  # the magics must load, so that the user can choose another folder
            self.magics.outputs.text(f"kling_nb: {fault}")
            return
        places = [folder / LEDGER for folder in (settings.home, settings.media)]
        if not any(map(os.path.exists, places)):  # `Path.exists` raises in folders that may not be entered
            return
        folder = settings.ledger_folder
        ledger = ledgers.Ledger(home.ledger_path(settings.home, folder), lambda: rebuild.rows_of(folder))
        try:
            unfinished = ledger.entries(ledgers.Selection(folder=folder, unfinished=True), limit=1000)
        except LedgerError as fault:
            self.magics.outputs.text(f"kling_nb: {fault.message}")
            return
        finally:
            ledger.close()
        waiting = [entry for entry in unfinished if entry.backend == "fal"]
        if waiting:
            count = f"{len(waiting)} unfinished job{'s' if len(waiting) > 1 else ''}"
            self.magics.outputs.text(f"kling_nb: {count} in this folder. Get the results: %kling resume")

    def remove(self) -> None:
        for watch in self._watches:
            watch.remove()
        self._completer.remove()
        self._shell.input_transformers_cleanup.remove(refuse_assignment)
        remove_magics(self._shell, "kling", "KlingMagics")
        front_end.config = dict
        front_end.job_presenter = None
        front_end.video_presenter = None
        front_end.sweep_presenter = front_end.strip_presenter = None
        front_end.grid_widget = front_end.open_line = None
        front_end.say = None


def refuse_assignment(lines: list[str]) -> list[str]:
    """Return the lines of a cell; for `fox = %%kling`, which is no Python, a line that raises an error."""
    found = re.match(r"\s*(\w+)\s*=\s*%%kling\b(.*)", lines[0]) if lines else None
    if found is None:
        return lines
    names = ", ".join(map(repr, found.groups()))
    return [f"get_ipython().magics_manager.registry['KlingMagics'].refuse_assignment({names})\n"]


def load(shell: Any) -> None:
    """Register with `shell`, unless that was done already."""
    if id(shell) not in _loaded:
        extension = _Extension(shell)
        extension.install()
        _loaded[id(shell)] = extension


def unload(shell: Any) -> None:
    """Remove everything that `load` registered."""
    extension = _loaded.pop(id(shell), None)
    if extension is not None:
        extension.remove()


def _job_presenter() -> Any:
    return job_widget.NotebookPresenter()


def _grid_widget(shown: Any) -> Any:
    return grid_widget.live_view(shown)


def _video_bundle(video: Any) -> Any:
    return job_widget.video_bundle(video)


class Completer:
    """The tab completion of one shell. The module with the candidates loads when Tab is pressed."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def install(self) -> None:
        """Register the completer of `%%kling` and `%kling`."""
        add_completer(self._shell, self._match)

    def remove(self) -> None:
        """Remove the completer."""
        remove_completer(self._shell, self._match)

    def _match(self, before: str) -> tuple[str, list[tuple[str, str]]] | None:
        """Return the word at the cursor and what may stand there. Other lines load no module."""
        return completion.matches(before) if before.lstrip("%").startswith("kling ") else None
