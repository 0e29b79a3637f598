"""The magics `%%kling` and `%kling`, and what `%load_ext kling_nb` registers.

The modules that do the work load at their first use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any

import traitlets
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from kling_nb import front_end
from kling_nb._lazy import lazy
from kling_nb.errors import Interrupted, JobCancelled, KlingError, LedgerError, UsageError
from kling_nb.notebook.ipykernel_quirks import (
    AwaitedCells,
    CellParent,
    PlainErrors,
    add_completer,
    remove_completer,
    remove_magics,
)
from kling_nb.settings import current, from_code

if TYPE_CHECKING:
    from kling_nb import api
    from kling_nb import ledger as ledgers
    from kling_nb.job import rebuild
    from kling_nb.ledger import database
    from kling_nb.notebook import cell as cells
    from kling_nb.notebook import line as lines
    from kling_nb.notebook import tables
    from kling_nb.notebook.card import job as job_card
    from kling_nb.notebook.output import kernel, terminal
    from kling_nb.notebook.widgets import grid as grid_widget
    from kling_nb.notebook.widgets import job as job_widget
else:  # boundaries 2 and 3 of `_lazy`: with the first cell, the first Tab, the first job that is shown
    api = lazy("kling_nb.api")
    ledgers = lazy("kling_nb.ledger")
    rebuild = lazy("kling_nb.job.rebuild")
    database = lazy("kling_nb.ledger.database")
    cells = lazy("kling_nb.notebook.cell")
    tables = lazy("kling_nb.notebook.tables")
    lines = lazy("kling_nb.notebook.line")
    job_card = lazy("kling_nb.notebook.card.job")
    kernel = lazy("kling_nb.notebook.output.kernel")
    terminal = lazy("kling_nb.notebook.output.terminal")
    grid_widget = lazy("kling_nb.notebook.widgets.grid")
    job_widget = lazy("kling_nb.notebook.widgets.job")

CONFIGURABLE = ("backend", "endpoint", "media", "timeout", "local_speed")

LEDGER = "ledger.sqlite3"
"""The name in `kling_nb.ledger.database`. Its package takes a third of `%load_ext`, and is rarely needed."""


@magics_class
class KlingMagics(Magics):
    """The magics. `%config KlingMagics.<name> = <value>` or a configuration file sets their values."""

    backend = traitlets.Unicode(
        None,
        allow_none=True,
        help='Where jobs go: "fal", "local" or "auto". Quote it: %config KlingMagics.backend = "local"',
    ).tag(config=True)
    endpoint = traitlets.Unicode(
        None, allow_none=True, help='Endpoint for cells that name none: id or short name, e.g. "v3-pro".'
    ).tag(config=True)
    media = traitlets.Unicode(None, allow_none=True, help="Folder of takes.").tag(config=True)
    timeout = traitlets.Float(None, allow_none=True, help="Seconds that a cell waits at most.").tag(
        config=True
    )
    local_speed = traitlets.Float(
        None, allow_none=True, help="Speed of the local preview server; 1 is the speed for demos."
    ).tag(config=True)

    def __init__(self, shell: Any) -> None:
        self._loading = True
        super().__init__(shell=shell, parent=shell)
        self._loading = False
        self.shell: Any

    @traitlets.validate("media")
    def _place_media(self, proposal: Any) -> Any:
        """Place a relative path of `%config` in the current folder. One of a configuration file stays."""
        value = proposal["value"]
        return value if self._loading or not value else str(from_code({"media": value})["media"])

    def config_values(self) -> dict[str, Any]:
        """Return the values set by `%config`; None for those that are not set.

        Raises:
            UsageError: The configuration has an unknown name. traitlets would only warn.
        """
        for name in self.shell.config.get("KlingMagics", {}):
            if name not in CONFIGURABLE:
                raise UsageError(
                    f"%config has no setting KlingMagics.{name}.",
                    remedy=(
                        f'Available: {", ".join(CONFIGURABLE)}. Quote texts, such as "local".\n'
                        f"Remove it: get_ipython().config.KlingMagics.pop({name!r}), or restart the kernel."
                    ),
                )
        return {name: getattr(self, name) for name in CONFIGURABLE}

    @no_var_expand  # `line.py` fills in variables, by the rule of cells
    @line_magic("kling")  # type: ignore[arg-type]  # IPython annotates its decorator for nothing that exists
    def line(self, line: str) -> Any:
        """Show jobs, endpoints, settings and costs.

        %kling                    show the settings, and unfinished jobs of this folder
        %kling jobs [N]           list the last N jobs
        %kling takes [--rating N] [--tag TAG] [--endpoint NAME] [--chosen]   list stored takes
        %kling batch FILE [--prompt TEXT] [flags]   make a video for each row of a table
        %kling show ID            show a job by its id or request id; resume it if it is unfinished
        %kling resume             resume all unfinished jobs of this folder
        %kling cancel ID          cancel a job
        %kling endpoints [WORDS]  list endpoints that match the words, with parameters and price
        %kling endpoints --refresh ID   download the schema of an endpoint that is not Kling's again
        %kling price [ENDPOINT]   show the price in the catalogue, and with a key fal's current price
        %kling spend [day|endpoint|notebook]   show the estimated cost of fal's jobs
        %kling spend --reconcile [DAYS]   compare the ledger with fal's bill (needs an ADMIN key)
        %kling use ENDPOINT       use this endpoint for the next cells
        %kling panel              open the panel: compose, watch jobs, look through everything that was made
        %kling key | key .env     show where the key is from; use the .env file of this folder
        %kling local | fal        send the next jobs to the local preview server, or to fal
        """
        return lines.run_line(line, api.default_session(), self.outputs, self.shell.user_ns)

    def refuse_assignment(self, name: str, line: str) -> None:
        """Raise the error of a cell that begins with `fox = %%kling`."""
        raise UsageError(
            f"{name} = %%kling does not work, because a cell has no value. Nothing was sent.",
            remedy=f"Write the variable on the line: {f'%%kling {name} {line.strip()}'.strip()[:200]}",
        )

    def cell_async(self, line: str, body: str) -> Coroutine[Any, Any, None]:
        """Return the run of a cell as a coroutine. Kernels await it, so that Cancel works while it waits."""
        return self.run(line, body).wait_async()

    def run(self, line: str, body: str) -> cells.CellRun | cells.SweepRun:
        """Return the run of a `%%kling` cell, which has not started."""
        return cells.Cell(self.shell, self.outputs, line, body).run()

    @cached_property
    def outputs(self) -> terminal.Outputs:
        """The outputs of the front end."""
        if hasattr(self.shell, "kernel"):
            return kernel.KernelOutputs(self.shell)
        return terminal.Outputs()


class CellMagic:
    """The function behind `%%kling`. `%%kling?` shows its docstring, which depends on the endpoint in use."""

    _ipython_magic_no_var_expand = True  # `cell.py` fills in variables, because --set has braces of JSON

    def __init__(self, magics: KlingMagics) -> None:
        self._magics = magics

    def __call__(self, line: str, cell: str) -> None:
        """Run the cell, and wait for its result."""
        self._magics.run(line, cell).wait()

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return tables.cell_help(api.default_session().endpoint(fetch=False))


# -- What `%load_ext` registers, and `%unload_ext` removes.


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

    def install(self) -> None:
        self._shell.register_magics(self.magics)
        self._shell.magics_manager.register_function(
            CellMagic(self.magics), magic_kind="cell", magic_name="kling"
        )
        add_completer(self._shell, _complete)
        self._shell.input_transformers_cleanup.append(refuse_assignment)
        front_end.config = self.magics.config_values
        for watch in self._watches:
            watch.install()
        if self._watches:
            # Lambdas, because reading a name of these modules loads them.
            front_end.job_presenter = lambda: job_widget.NotebookPresenter()  # noqa: PLW0108
            front_end.video_presenter = lambda result: job_card.file_bundle(result)  # noqa: PLW0108
            front_end.grid_widget = lambda shown: grid_widget.live_view(shown)  # noqa: PLW0108
            front_end.sweep_presenter = lambda sweep: self.magics.outputs.show_sweep(sweep, quiet=False)
            front_end.storyboard_presenter = lambda board: kernel.show_storyboard(board, self._shell)
            front_end.open_line = lambda: kernel.open_line(self._shell)
        front_end.say = self._say
        self._mention_unfinished()

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
        ledger = ledgers.Ledger(database.ledger_path(settings.home, folder), lambda: rebuild.rows_of(folder))
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
        remove_completer(self._shell)
        self._shell.input_transformers_cleanup.remove(refuse_assignment)
        remove_magics(self._shell, "kling", "KlingMagics")
        front_end.config = dict
        front_end.job_presenter = None
        front_end.video_presenter = None
        front_end.sweep_presenter = front_end.storyboard_presenter = None
        front_end.grid_widget = front_end.open_line = None
        front_end.say = None


def refuse_assignment(lines: list[str]) -> list[str]:
    """Return the lines of a cell; for `fox = %%kling`, which is no Python, a line that raises an error."""
    found = re.match(r"\s*(\w+)\s*=\s*%%kling\b(.*)", lines[0]) if lines else None
    if found is None:
        return lines
    names = ", ".join(map(repr, found.groups()))
    return [f"get_ipython().magics_manager.registry['KlingMagics'].refuse_assignment({names})\n"]


def _complete(before: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Return the word at the cursor and what may stand there. Other lines than ours load no module."""
    return lines.matches(before) if before.lstrip("%").startswith("kling ") else None


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
