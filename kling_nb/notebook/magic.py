"""`%%kling` and `%kling` as the shell knows them. What they do is loaded when they are first used."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any

import traitlets
from IPython.core.magic import Magics, line_magic, magics_class

from kling_nb.errors import UsageError

if TYPE_CHECKING:
    from kling_nb.notebook.cell_run import CellRun
    from kling_nb.notebook.outputs import Outputs
    from kling_nb.notebook.sweep_run import SweepRun

CONFIGURABLE = ("backend", "endpoint", "media", "timeout", "local_speed")


@magics_class
class KlingMagics(Magics):
    """The magics, configurable by `%config KlingMagics.<name> = <value>` or a configuration file."""

    backend = traitlets.Unicode(
        None,
        allow_none=True,
        help='Where jobs go: "fal", "local" or "auto". Quote it: %config KlingMagics.backend = "local"',
    ).tag(config=True)
    endpoint = traitlets.Unicode(
        None, allow_none=True, help='Endpoint used where a cell names none: id or short name, e.g. "v3-pro".'
    ).tag(config=True)
    media = traitlets.Unicode(None, allow_none=True, help="Folder of takes.").tag(config=True)
    timeout = traitlets.Float(None, allow_none=True, help="Seconds that a cell waits at most.").tag(
        config=True
    )
    local_speed = traitlets.Float(
        None, allow_none=True, help="Pace of the embedded engine; 1 is that of a demo."
    ).tag(config=True)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell=shell, parent=shell)
        self.shell: Any

    def configured(self) -> dict[str, Any]:
        """The values set by `%config`; None where unset.

        Raises:
            UsageError: A name in the configuration that is none of ours; traitlets only warns.
        """
        self._check_config_names()
        return {name: getattr(self, name) for name in CONFIGURABLE}

    def _check_config_names(self) -> None:
        for name in self.shell.config.get("KlingMagics", {}):
            if name not in CONFIGURABLE:
                raise UsageError(
                    f"%config KlingMagics.{name}: there is no such setting.",
                    remedy=f'There are: {", ".join(CONFIGURABLE)}. Texts are quoted: … = "local"',
                )

    # -- %kling ------------------------------------------------------------------

    @line_magic("kling")  # type: ignore[arg-type]  # IPython annotates its decorator for nothing that exists
    def line(self, line: str) -> Any:
        """Jobs, endpoints, settings, and what was spent.

        %kling                    what is set, and unfinished jobs of this folder
        %kling jobs [N]           the last N submissions
        %kling show ID            the job of an id or request id; an unfinished one is taken up again
        %kling resume             take up again all that is unfinished in this folder
        %kling cancel ID          ask fal to stop it
        %kling endpoints [WORDS]  endpoints whose names hold the words, with parameters and price
        %kling endpoints --refresh ID   fetch the schema of an endpoint that is not Kling's anew
        %kling price [ENDPOINT]   what it costs: by the catalogue, and with a key by fal itself
        %kling spend [day|endpoint|notebook]   what fal's jobs cost, by estimate
        %kling use ENDPOINT       endpoint for the cells to come
        %kling panel              a panel to compose in, with a queue and all that was made
        %kling local | fal        where jobs go from now on
        """
        from kling_nb._default import default_session  # noqa: PLC0415 -- at the first line, not at %load_ext
        from kling_nb.notebook.line import run_line  # noqa: PLC0415 -- as above

        return run_line(line, default_session(), self.outputs)

    # -- %%kling -------------------------------------------------------------------

    def cell(self, line: str, body: str) -> None:
        """Make a video from the prompt in `body`, and wait for it."""
        self._run(line, body).wait()

    def awaited(self, line: str, body: str) -> Coroutine[Any, Any, None]:
        """The same as a coroutine: what `%%kling` becomes in a kernel, so that Cancel works meanwhile."""
        return self._run(line, body).wait_async()

    def _run(self, line: str, body: str) -> CellRun | SweepRun:
        from kling_nb.notebook.cell_run import CellRun  # noqa: PLC0415 -- at the first cell, not at %load_ext

        run = CellRun(self.shell, self.outputs, line, body)
        if run.call.grid is None:
            return run
        from kling_nb.notebook.sweep_run import SweepRun  # noqa: PLC0415 -- as above

        return SweepRun(run)

    @cached_property
    def outputs(self) -> Outputs:
        """Where jobs are shown."""
        if hasattr(self.shell, "kernel"):
            from kling_nb.notebook.kernel_outputs import KernelOutputs  # noqa: PLC0415 -- as above

            return KernelOutputs(self.shell)
        from kling_nb.notebook.outputs import TerminalOutputs  # noqa: PLC0415 -- as above

        return TerminalOutputs()
