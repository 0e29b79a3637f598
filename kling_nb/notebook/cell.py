"""The run of a `%%kling` cell, with or without `--grid`."""

from __future__ import annotations

import ast
import asyncio
import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kling_nb.api import default_session
from kling_nb.background import wait_async
from kling_nb.catalog import Endpoint
from kling_nb.errors import InputError, Interrupted, KlingError, UsageError
from kling_nb.job.job import Job
from kling_nb.job.plan import WORDS
from kling_nb.notebook.flags import BODY_PARAMETERS, IMAGES, VARYING, CellCall, flag_of, parse_line
from kling_nb.notebook.output.terminal import Outputs, ShownSweep
from kling_nb.notebook.prompt import axes_of, fill_in
from kling_nb.request.request import image_endpoint
from kling_nb.sweeps.axes import Axis
from kling_nb.sweeps.sweep import CONCURRENCY, Sweep


class CellRun:
    """The run of a cell without `--grid`.

    Args:
        shell: The shell whose variables are filled in and set.
        outputs: Shows the job.
        line: The text after `%%kling`.
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
        """Run the cell and block until the job has ended."""
        job = self.start()
        if job is not None:
            self.assign(self.outputs.wait(job, self.timeout, quiet=self.call.quiet))

    async def wait_async(self) -> None:
        """Run the cell for `await`. The kernel handles widget messages while it waits."""
        job = self.start()
        if job is None:
            return
        try:
            result = await job.wait_async(self.timeout)
        except asyncio.CancelledError:
            raise await _interrupt(job) from None
        self.assign(result)

    @property
    def timeout(self) -> float | None:
        """Seconds to wait, or None for no limit."""
        return self.call.timeout if self.call.timeout is not None else self._settings.timeout

    def fill(self, text: str) -> str:
        """Fill in `{name}` and `$name` from the user's variables."""
        return fill_in(text, self._shell.user_ns)

    def start(self) -> Job | None:
        """Submit and show the job. Return it, or None if the cell does not wait."""
        call, arguments = self.call, self.arguments()
        try:
            if call.dry_run:
                self.outputs.plan(self.session.plan(self._prompt, **arguments))
                return None
            job = self.session.submit(self._prompt, notebook=self.outputs.notebook, **arguments)
        except InputError as fault:
            raise with_flag_name(fault) from None
        self.outputs.show(job, quiet=call.quiet)
        if call.wait:
            return job
        self.assign(job)
        return None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `Session.submit`, without the prompt."""
        return self.call.submit_arguments(self.image)

    def image(self, word: str) -> Any:
        """Return the value of a variable or attribute (`fox.last_frame`), or the word as a path or a URL."""
        braced = word.startswith("{") and word.endswith("}")
        value = _look_up(word.strip("{}") if braced else word, self._shell.user_ns)
        if value is None and not braced:
            _check_attribute(word, self._shell.user_ns)
        return value if value is not None else self.fill(word) if braced else word

    def assign(self, value: Any) -> None:
        """Assign a value to NAME, if the line has one."""
        if self.call.name is not None:
            self._shell.push({self.call.name: value})


async def _interrupt(job: Job) -> KlingError:
    """Cancel a queued job, or leave a running one alone. Return the error that the cell raises."""
    try:
        return await wait_async(job._spawn_interrupt())
    except asyncio.CancelledError:  # ■ twice
        return Interrupted(
            f"Stopped waiting. The state of job {job.id} is not known yet.",
            remedy=f"Look at it: %kling show {job.id}",
            request_id=job.request_id,
        )


def _look_up(word: str, variables: Mapping[str, Any]) -> Any:
    """Return the value of a dotted name, or None. Nothing is called."""
    first, *attributes = word.split(".")
    value = variables.get(first)
    for name in attributes:
        value = getattr(value, name, None) if name.isidentifier() else None
    return value


def _check_attribute(word: str, variables: Mapping[str, Any]) -> None:
    """Raise if a word such as `fox.lastframe` is no file, and looks like a wrong attribute of a variable."""
    first, dot, rest = word.partition(".")
    if dot and first in variables and rest.isidentifier() and not Path(word).exists():
        raise UsageError(
            f"There is no file {word}, and {first} has no attribute {rest!r}. Nothing was sent.",
            remedy=f"{first}.last_frame is the last frame of a video.",
        )


def with_flag_name(fault: InputError) -> InputError:
    """Return the error with the name of the flag in place of the parameter, as the user typed it."""
    name = fault.parameter or ""
    nested = "." in name  # a parameter within JSON has no flag
    if name and not nested and name not in BODY_PARAMETERS and "--" not in fault.message:
        fault.message = re.sub(rf"\b{re.escape(name)}\b", flag_of(name), fault.message, count=1)
    return fault


class SweepRun:
    """The run of a cell with `--grid`.

    Args:
        run: The run of the same cell, whose line is parsed.
    """

    def __init__(self, run: CellRun) -> None:
        self._run = run

    def wait(self) -> None:
        """Start the sweep and block until every cell has ended."""
        started = self._start()
        if started is None:
            return
        sweep, shown = started
        try:
            shown.wait(self._run.timeout)
        finally:
            shown.finish()
        sweep.wait()

    async def wait_async(self) -> None:
        """Start the sweep and await the end of every cell."""
        started = self._start()
        if started is None:
            return
        sweep, shown = started
        try:
            await sweep.wait_async(self._run.timeout)
        except asyncio.CancelledError:
            raise await _interrupt_sweep(sweep) from None
        finally:
            if sweep.done:
                await asyncio.to_thread(shown.finish)

    def _start(self) -> tuple[Sweep, ShownSweep] | None:
        """Plan the sweep, show its price, start and show it. Return it, or None if the cell does not wait."""
        call, outputs = self._run.call, self._run.outputs
        try:
            sweep = self._plan()
        except InputError as fault:
            raise with_flag_name(fault) from None
        if call.dry_run:
            outputs.text(f"{dry_run_text(sweep)}\nNothing was sent.")
            return None
        sweep._check_frozen()
        if not call.quiet:
            outputs.text("\n".join([sweep.price, *sweep.notices]))
        self._run.assign(sweep.start())
        shown = outputs.show_sweep(sweep, quiet=call.quiet)
        return (sweep, shown) if call.wait else None

    def _plan(self) -> Sweep:
        run, call = self._run, self._run.call
        chosen, prompt = axes_of(run.body, run.fill)
        arguments = run.arguments()
        endpoint = endpoint_of(call, run.session.endpoint)
        varied = grid_axes(call.grid or (), endpoint, arguments, run.image)
        axes = (*chosen, *varied)
        if not axes:
            raise UsageError(
                "--grid needs values to vary. Nothing was sent.",
                remedy="Write --grid duration=5,10, or alternatives in the prompt: {a red|a blue} fox.",
            )
        return run.session.sweep(
            prompt,
            axes=axes,
            concurrency=call.concurrency or CONCURRENCY,
            notebook=run.outputs.notebook,
            start=False,
            **arguments,
        )


def dry_run_text(sweep: Sweep) -> str:
    """Return what a sweep would do: its price, and a line for each cell."""
    lines = [sweep.price, *sweep.notices]
    width = max(len(WORDS[cell.plan.outcome].brief) for cell in sweep)
    for cell in sweep:
        pairs = zip(sweep.axes, cell.place, strict=True)
        values = " · ".join(f"{axis.name} {axis.labels[at]}" for axis, at in pairs)
        lines.append(f"  {cell.index + 1:3}  {WORDS[cell.plan.outcome].brief:{width}}  {values}")
    refusal = next((cell.plan.refusal for cell in sweep if cell.plan.refusal), None)
    return "\n".join([*lines, f"A run would be refused now: {refusal}"] if refusal else lines)


async def _interrupt_sweep(sweep: Sweep) -> KlingError:
    """Cancel the queued jobs of a sweep. Return the error that the cell raises."""
    try:
        return await wait_async(sweep._spawn_interrupt())
    except asyncio.CancelledError:  # ■ twice
        return Interrupted(
            "Stopped waiting. The state of the running jobs is not known yet.", remedy="Run %kling jobs."
        )


# -- The axes of a sweep: `--grid NAME=VALUE,VALUE`.


def grid_axes(
    words: Sequence[str], chosen: Endpoint, flags: Mapping[str, Any], image: Callable[[str], Any]
) -> tuple[Axis, ...]:
    """Return the axes of the `--grid` flags.

    Args:
        words: The word after each `--grid`; an empty one names no axis.
        chosen: The endpoint that has the parameters.
        flags: Values of other flags.
        image: Returns the image of a word.

    Raises:
        UsageError: A name does not exist, is given twice, or has no values.
    """
    axes: dict[str, Axis] = {}
    for word in filter(None, words):
        name, equals, text = word.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        values = values_of(text)
        if not equals or not values:
            raise UsageError(
                f"--grid {word[:80]!r} has no name or no values.",
                remedy="Write --grid duration=5,10. Nothing was sent.",
            )
        if name == "prompt":
            raise UsageError(
                "--grid cannot vary the prompt. Nothing was sent.",
                remedy=f"Write alternatives in the prompt: {{{'|'.join(map(str, values))[:80]}}}.",
            )
        if name not in VARYING:
            chosen.parameter(name)
        if name in axes or flags.get(name) is not None:
            raise UsageError(f"{name} is given twice.", remedy="Give it once. Nothing was sent.")
        axes[name] = _axis(name, values, image)
    return tuple(axes.values())


def endpoint_of(call: CellCall, find: Callable[[str | None], Endpoint]) -> Endpoint:
    """Return the endpoint whose parameters may vary: with an image, the image-to-video counterpart.

    Args:
        call: The line.
        find: Returns the endpoint of a name, or the default endpoint for None.
    """
    named = find(call.arguments.get("endpoint"))
    varied = {word.partition("=")[0].strip().replace("-", "_") for word in call.grid or ()}
    return image_endpoint(named, find) if IMAGES & {*call.arguments, *varied} else named


def _axis(name: str, values: Sequence[Any], image: Callable[[str], Any]) -> Axis:
    if name in IMAGES:
        named = [str(value) for value in values]
        return Axis(name, tuple(image(one) for one in named), tuple(named))
    if name == "take":
        return Axis.of(name, [int(value) if str(value).isdigit() else value for value in values])
    return Axis.of(name, values)


def values_of(text: str) -> list[Any]:
    """Return the values in `5,10` (values with a comma in quotes) or in a JSON or Python list."""
    text = text.strip()
    if text.startswith(("[", "(")):
        for read in (json.loads, ast.literal_eval):
            try:
                return list(read(text))
            except (ValueError, SyntaxError, TypeError):
                continue
    rows = list(csv.reader([text], skipinitialspace=True))
    return [value.strip() for value in rows[0] if value.strip()] if rows else []
