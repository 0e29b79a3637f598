"""What `%load_ext kling_nb` sets up, and how it is taken back."""

from __future__ import annotations

from typing import Any

from kling_nb import _job, _settings, video
from kling_nb._default import default_session
from kling_nb.notebook.awaiting import AwaitedCells
from kling_nb.notebook.cell_magic import CellMagic
from kling_nb.notebook.completion import Completion
from kling_nb.notebook.magic import KlingMagics
from kling_nb.notebook.outputs import Outputs, TerminalOutputs

_loaded: dict[int, _Extension] = {}


class _Extension:
    """The parts registered with one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        in_kernel = hasattr(shell, "kernel")
        self.magics = KlingMagics(shell, _kernel_outputs(shell) if in_kernel else TerminalOutputs())
        self._cells = AwaitedCells(shell) if in_kernel else None
        self._completion = Completion(shell)
        self._in_kernel = in_kernel

    def install(self) -> None:
        self._shell.register_magics(self.magics)
        self._shell.magics_manager.register_function(
            CellMagic(self.magics), magic_kind="cell", magic_name="kling"
        )
        self._completion.install()
        _settings.set_config_source(self.magics.configured)
        if self._cells is not None:
            self._cells.install()
        if self._in_kernel:
            _present_in_notebook()
        self._mention_unfinished()

    def _mention_unfinished(self) -> None:
        unfinished = default_session().jobs(here=True, unfinished=True)
        waiting = [entry for entry in unfinished if entry.backend == "fal"]
        if waiting:
            count = f"{len(waiting)} job{'s' if len(waiting) > 1 else ''}"
            self.magics.outputs.text(
                f"kling_nb: {count} of this folder did not finish here. %kling resume brings the results."
            )

    def remove(self) -> None:
        if self._cells is not None:
            self._cells.remove()
        self._completion.remove()
        _settings.set_config_source(dict)
        for kind in ("line", "cell"):
            self._shell.magics_manager.magics[kind].pop("kling", None)
        self._shell.magics_manager.registry.pop("KlingMagics", None)
        _job.set_presenter(_job.Presenter())
        video.set_presenter(None)


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


def _kernel_outputs(shell: Any) -> Outputs:
    from kling_nb.notebook.kernel_outputs import KernelOutputs  # noqa: PLC0415 -- not in a terminal

    return KernelOutputs(shell)


def _present_in_notebook() -> None:
    from kling_nb.notebook.presenter import NotebookPresenter, video_bundle  # noqa: PLC0415 -- not in a terminal

    _job.set_presenter(NotebookPresenter())
    video.set_presenter(video_bundle)
