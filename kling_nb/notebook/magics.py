"""The magics `%%kling` and `%kling`. The modules that do the work load at their first use."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any

import traitlets
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from kling_nb._lazy import lazy
from kling_nb.errors import UsageError
from kling_nb.settings import from_code

if TYPE_CHECKING:
    from kling_nb import api
    from kling_nb.notebook import cell as cells
    from kling_nb.notebook import line as lines
    from kling_nb.notebook import tables
    from kling_nb.notebook.output import kernel, terminal
else:  # boundary 2 of `_lazy`
    api = lazy("kling_nb.api")
    cells = lazy("kling_nb.notebook.cell")
    lines = lazy("kling_nb.notebook.line")
    tables = lazy("kling_nb.notebook.tables")
    kernel = lazy("kling_nb.notebook.output.kernel")
    terminal = lazy("kling_nb.notebook.output.terminal")


CONFIGURABLE = ("backend", "endpoint", "media", "timeout", "local_speed")


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
        self._check_config_names()
        return {name: getattr(self, name) for name in CONFIGURABLE}

    def _check_config_names(self) -> None:
        for name in self.shell.config.get("KlingMagics", {}):
            if name not in CONFIGURABLE:
                raise UsageError(
                    f"%config has no setting KlingMagics.{name}.",
                    remedy=f'Available: {", ".join(CONFIGURABLE)}. Quote texts, such as "local".',
                )

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

    def cell(self, line: str, body: str) -> None:
        """Run a `%%kling` cell, and wait for its result."""
        self._run(line, body).wait()

    def cell_async(self, line: str, body: str) -> Coroutine[Any, Any, None]:
        """Return the run of a cell as a coroutine. Kernels await it, so that Cancel works while it waits."""
        return self._run(line, body).wait_async()

    def _run(self, line: str, body: str) -> cells.CellRun | cells.SweepRun:
        run = cells.CellRun(self.shell, self.outputs, line, body)
        if run.call.table is not None:
            return cells.BatchRun(run)
        return run if run.call.grid is None else cells.SweepRun(run)

    @cached_property
    def outputs(self) -> terminal.Outputs:
        """The outputs of the front end."""
        if hasattr(self.shell, "kernel"):
            return kernel.KernelOutputs(self.shell)
        return terminal.TerminalOutputs()


class CellMagic:
    """The function behind `%%kling`. `%%kling?` shows its docstring, which depends on the endpoint in use."""

    _ipython_magic_no_var_expand = True  # `cell.py` fills in variables, because --set has braces of JSON

    def __init__(self, magics: KlingMagics) -> None:
        self._magics = magics

    def __call__(self, line: str, cell: str) -> None:
        """Run the cell."""
        self._magics.cell(line, cell)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return tables.cell_help(api.default_session().endpoint(fetch=False))
