"""`%%kling` and `%kling`."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Coroutine
from typing import Any

import traitlets
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.utils.text import DollarFormatter

from kling_nb._default import default_session
from kling_nb._job import Job
from kling_nb.engine import wait_async
from kling_nb.errors import InputError, Interrupted, KlingError, UsageError
from kling_nb.notebook.flags import CellCall, flag_of, parse_line
from kling_nb.notebook.line import run_line
from kling_nb.notebook.outputs import Outputs
from kling_nb.video import Video

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

    def __init__(self, shell: Any, outputs: Outputs) -> None:
        super().__init__(shell=shell, parent=shell)
        self.shell: Any
        self._outputs = outputs

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
        """Jobs, endpoints and settings: `%kling [status|jobs|show|resume|cancel|endpoints|use|local|fal]`.

        %kling                    what is set, and unfinished jobs of this folder
        %kling jobs [N]           the last N submissions
        %kling show ID            the job of an id or request id; an unfinished one is taken up again
        %kling resume             take up again all that is unfinished in this folder
        %kling cancel ID          ask fal to stop it
        %kling endpoints [WORD]   endpoints whose name holds WORD, with parameters and price
        %kling price [ENDPOINT]   what it costs: by the catalogue, and with a key by fal itself
        %kling spend [day|endpoint|notebook]   what fal's jobs cost, by estimate
        %kling use ENDPOINT       endpoint for the cells to come
        %kling local | fal        where jobs go from now on
        """
        return run_line(line, default_session(), self._outputs)

    # -- %%kling -------------------------------------------------------------------

    def cell(self, line: str, body: str) -> None:
        """Make a video from the prompt in `body`, and wait for it."""
        run = CellRun(self, line, body)
        job = run.start()
        if job is not None:
            run.finish(job, self._outputs.wait(job, run.timeout, quiet=run.call.quiet))

    def awaited(self, line: str, body: str) -> Coroutine[Any, Any, None]:
        """The same as a coroutine: what `%%kling` becomes in a kernel, so that Cancel works meanwhile."""
        return self._awaited(CellRun(self, line, body))

    async def _awaited(self, run: CellRun) -> None:
        job = run.start()
        if job is None:
            return
        try:
            video = await job.wait_async(run.timeout)
        except asyncio.CancelledError:
            raise await _interrupted(job) from None
        run.finish(job, video)

    @property
    def outputs(self) -> Outputs:
        """Where jobs are shown."""
        return self._outputs


class CellRun:
    """One run of a `%%kling` cell: understand it, start it, hand over the result."""

    def __init__(self, magics: KlingMagics, line: str, body: str) -> None:
        self._shell = magics.shell
        self._outputs = magics.outputs
        self._session = default_session()
        self._settings = self._session.settings()
        self.call: CellCall = parse_line(line, default_endpoint=self._settings.endpoint, fill=self._fill)
        self._prompt = self._fill(body).strip()

    @property
    def timeout(self) -> float | None:
        """Seconds to wait, or None."""
        return self.call.timeout if self.call.timeout is not None else self._settings.timeout

    def _fill(self, text: str) -> str:
        """`{name}` and `$name` from the user's variables; text that does not fit stays as it is."""
        with contextlib.suppress(Exception):
            return str(DollarFormatter().vformat(text, args=[], kwargs=dict(self._shell.user_ns)))
        return text

    def start(self) -> Job | None:
        """Submit and show it; None where nothing is to be waited for."""
        call = self.call
        arguments = {
            "endpoint": call.endpoint,
            "image": call.image if call.image is None else self._picture(call.image),
            "take": call.take,
            "new": call.new,
            "max_cost": call.max_cost,
            "webhook_url": call.webhook,
            **call.parameters,
        }
        try:
            if call.dry_run:
                self._outputs.plan(self._session.plan(self._prompt, **arguments))
                return None
            job = self._session.submit(self._prompt, notebook=self._outputs.notebook, **arguments)
        except InputError as fault:
            raise _in_flags(fault) from None
        self._outputs.show(job, quiet=call.quiet)
        if call.wait:
            return job
        self._assign(job)
        return None

    def _picture(self, word: str) -> Any:
        """The variable of that name where it holds a file's path, else the word: a path or an address."""
        value = self._shell.user_ns.get(word) if word.isidentifier() else None
        return value if value is not None else word

    def finish(self, job: Job, video: Video | None) -> None:
        """Put the result into NAME."""
        self._assign(video if video is not None else job.output)

    def _assign(self, value: Any) -> None:
        if self.call.name is not None:
            self._shell.push({self.call.name: value})


async def _interrupted(job: Job) -> KlingError:
    """What ■ means for the job, as the cell's one message."""
    try:
        return await wait_async(job.spawn_interrupt())
    except asyncio.CancelledError:  # ■ twice
        return Interrupted(
            f"Interrupted. What became of job {job.id} is not known yet.",
            remedy=f"%kling show {job.id}",
            request_id=job.request_id,
        )


def _in_flags(fault: InputError) -> InputError:
    """The same error with the flag's name beside the parameter's, as the user typed it."""
    if fault.parameter and fault.parameter not in {"prompt", "text"} and "--" not in fault.message:
        pattern = rf"\b{re.escape(fault.parameter)}\b"
        fault.message = re.sub(pattern, flag_of(fault.parameter), fault.message, count=1)
    return fault
