"""One run of a `%%kling` cell."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kling_nb._default import default_session
from kling_nb._job import Job
from kling_nb.engine import wait_async
from kling_nb.errors import InputError, Interrupted, KlingError, UsageError
from kling_nb.media import Result
from kling_nb.notebook.filling import fill_in
from kling_nb.notebook.flags import CellCall, flag_of, parse_line
from kling_nb.notebook.outputs import Outputs


class CellRun:
    """Understands the cell, starts it, hands over the result.

    Args:
        shell: Whose variables are filled in and set.
        outputs: Where the job is shown.
        line: What follows `%%kling`.
        body: The prompt.
    """

    def __init__(self, shell: Any, outputs: Outputs, line: str, body: str) -> None:
        self._shell = shell
        self.outputs = outputs
        self.session = default_session()
        self._settings = self.session.settings()
        self.call: CellCall = parse_line(line, default_endpoint=self._settings.endpoint, fill=self.fill)
        self.body = body
        self._prompt = self.fill(body).strip()

    def wait(self) -> None:
        """Run it and block until the job has ended."""
        job = self.start()
        if job is not None:
            self.finish(self.outputs.wait(job, self.timeout, quiet=self.call.quiet))

    async def wait_async(self) -> None:
        """The same for `await`: the kernel hears widget messages meanwhile."""
        job = self.start()
        if job is None:
            return
        try:
            result = await job.wait_async(self.timeout)
        except asyncio.CancelledError:
            raise await _interrupted(job) from None
        self.finish(result)

    @property
    def timeout(self) -> float | None:
        """Seconds to wait, or None."""
        return self.call.timeout if self.call.timeout is not None else self._settings.timeout

    def fill(self, text: str) -> str:
        """`{name}` and `$name` from the user's variables; text that does not fit stays as it is."""
        return fill_in(text, self._shell.user_ns)

    def start(self) -> Job | None:
        """Submit and show it; None where nothing is to be waited for."""
        call, arguments = self.call, self.arguments()
        try:
            if call.dry_run:
                self.outputs.plan(self.session.plan(self._prompt, **arguments))
                return None
            job = self.session.submit(self._prompt, notebook=self.outputs.notebook, **arguments)
        except InputError as fault:
            raise in_flags(fault) from None
        self.outputs.show(job, quiet=call.quiet)
        if call.wait:
            return job
        self.assign(job)
        return None

    def arguments(self) -> dict[str, Any]:
        """Arguments of `Session.submit`, without the prompt."""
        call = self.call
        return {
            "endpoint": call.endpoint,
            "image": self.picture(call.image),
            "end_image": self.picture(call.end_image),
            "take": call.take,
            "new": call.new,
            "max_cost": call.max_cost,
            "frozen": call.frozen or None,
            "webhook_url": call.webhook,
            **call.options,
            **call.parameters,
        }

    def picture(self, word: str | None) -> Any:
        """What a variable or its attribute holds (`fox`, `fox.last_frame`), else a path or an address."""
        if word is None:
            return None
        braced = word.startswith("{") and word.endswith("}")
        value = _looked_up(word.strip("{}") if braced else word, self._shell.user_ns)
        if value is None and not braced:
            _check_attribute(word, self._shell.user_ns)
        return value if value is not None else self.fill(word) if braced else word

    def finish(self, result: Result) -> None:
        """Put the result into NAME."""
        self.assign(result)

    def assign(self, value: Any) -> None:
        """Put a value into NAME, where there is one."""
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


def _looked_up(word: str, variables: Mapping[str, Any]) -> Any:
    """The value of a dotted name, or None; nothing is called. `cat.png` is a file, whatever `cat` is."""
    first, *attributes = word.split(".")
    value = variables.get(first)
    for name in attributes:
        value = getattr(value, name, None) if name.isidentifier() else None
    return value


def _check_attribute(word: str, variables: Mapping[str, Any]) -> None:
    """See that `fox.lastframe` is not meant where there is a `fox`."""
    first, dot, rest = word.partition(".")
    if dot and first in variables and rest.isidentifier() and not Path(word).exists():
        raise UsageError(
            f"{word}: there is no such file, and the variable {first} has no {rest!r}.",
            remedy=f"{first}.last_frame is the picture that a video ends with. Nothing was sent.",
        )


def in_flags(fault: InputError) -> InputError:
    """The same error with the flag's name beside the parameter's, as the user typed it."""
    name = fault.parameter or ""
    nested = "." in name  # within JSON a parameter has no flag of its own
    if name and not nested and name not in {"prompt", "text"} and "--" not in fault.message:
        fault.message = re.sub(rf"\b{re.escape(name)}\b", flag_of(name), fault.message, count=1)
    return fault
