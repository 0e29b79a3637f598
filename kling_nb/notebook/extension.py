"""What `%load_ext kling_nb` sets up, and how it is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kling_nb import _front_end
from kling_nb._settings import current
from kling_nb.errors import LedgerError
from kling_nb.notebook.awaiting import AwaitedCells
from kling_nb.notebook.cell_magic import CellMagic
from kling_nb.notebook.cell_parent import CellParent
from kling_nb.notebook.completer import Completer
from kling_nb.notebook.magic import KlingMagics

LEDGER = "ledger.sqlite3"
"""As `kling_nb.ledger.home` has it. Its package takes a third of `%load_ext`, and is often not needed."""

_loaded: dict[int, _Extension] = {}


class _Extension:
    """The parts registered with one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.magics = KlingMagics(shell)
        in_kernel = hasattr(shell, "kernel")
        self._watches: tuple[CellParent | AwaitedCells, ...] = (
            (CellParent(shell), AwaitedCells(shell)) if in_kernel else ()
        )
        self._completer = Completer(shell)

    def install(self) -> None:
        self._shell.register_magics(self.magics)
        self._shell.magics_manager.register_function(
            CellMagic(self.magics), magic_kind="cell", magic_name="kling"
        )
        self._completer.install()
        _front_end.config = self.magics.configured
        for watch in self._watches:
            watch.install()
        if self._watches:
            _front_end.job_presenter = _job_presenter
            _front_end.video_presenter = _video_bundle
            _front_end.sweep_presenter = lambda study: self.magics.outputs.show_sweep(study, quiet=False)
            _front_end.strip_presenter = self._show_strip
        _front_end.say = self._say
        self._mention_unfinished()

    def _show_strip(self, board: Any) -> None:
        from kling_nb.notebook.shown_sweep import show_strip  # noqa: PLC0415 -- when one is shown

        show_strip(board, self._shell)

    def _say(self, text: str) -> None:
        self.magics.outputs.text(text)  # made at the first word, not at %load_ext

    def _mention_unfinished(self) -> None:
        settings = current({"backend": "local"})  # for its folders: so no key is looked for
        if not any((folder / LEDGER).exists() for folder in (settings.home, settings.media)):
            return
        from kling_nb.ledger import Ledger, Selection  # noqa: PLC0415 -- see LEDGER
        from kling_nb.ledger.home import ledger_path  # noqa: PLC0415 -- as above

        path = ledger_path(settings.home, settings.media)
        ledger = Ledger(path, lambda: _rows_of(settings.media))
        try:
            unfinished = ledger.entries(Selection(folder=settings.media, unfinished=True), limit=1000)
        except (
            LedgerError
        ) as fault:  # each job will say so again; the magics must be there to be told otherwise
            self.magics.outputs.text(f"kling_nb: {fault.message}")
            return
        finally:
            ledger.close()
        waiting = [entry for entry in unfinished if entry.backend == "fal"]
        if waiting:
            count = f"{len(waiting)} job{'s' if len(waiting) > 1 else ''}"
            self.magics.outputs.text(
                f"kling_nb: {count} of this folder did not finish here. %kling resume brings the results."
            )

    def remove(self) -> None:
        for watch in self._watches:
            watch.remove()
        self._completer.remove()
        for kind in ("line", "cell"):
            self._shell.magics_manager.magics[kind].pop("kling", None)
        self._shell.magics_manager.registry.pop("KlingMagics", None)
        _front_end.config = dict
        _front_end.job_presenter = None
        _front_end.video_presenter = None
        _front_end.sweep_presenter = _front_end.strip_presenter = None
        _front_end.say = None


def load(shell: Any) -> None:
    """Register with `shell`; a second time is once."""
    if id(shell) not in _loaded:
        extension = _Extension(shell)
        extension.install()
        _loaded[id(shell)] = extension


def unload(shell: Any) -> None:
    """Take everything back."""
    extension = _loaded.pop(id(shell), None)
    if extension is not None:
        extension.remove()


def _rows_of(folder: Path) -> Any:
    from kling_nb._ledger_care import rows_of  # noqa: PLC0415 -- where a ledger is damaged

    return rows_of(folder)


def _job_presenter() -> Any:
    from kling_nb.notebook.presenter import NotebookPresenter  # noqa: PLC0415 -- when a job is shown

    return NotebookPresenter()


def _video_bundle(video: Any) -> Any:
    from kling_nb.notebook.presenter import video_bundle  # noqa: PLC0415 -- when a video is shown

    return video_bundle(video)
