"""A `%%kling` cell, as it is read, and its run: one job, a sweep or a batch."""

from __future__ import annotations

import ast
import asyncio
import csv
import json
import mimetypes
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kling_nb._files import exists
from kling_nb.api import default_session
from kling_nb.catalog import Endpoint
from kling_nb.errors import InputError, KlingError, UsageError
from kling_nb.job.job import Job
from kling_nb.job.plan import WORDS, Call, Plan
from kling_nb.media import Result
from kling_nb.notebook.flags import (
    IMAGES,
    VARYING,
    CellCall,
    continue_line,
    parse_line,
    with_flag_name,
)
from kling_nb.notebook.ipykernel_quirks import set_last_output
from kling_nb.notebook.output.terminal import Outputs, ShownSweep
from kling_nb.notebook.prompt import (
    Field,
    Fields,
    Part,
    Prompt,
    axes_as_shell,
    axes_of,
    look_up,
    parts_of,
    text_of,
)
from kling_nb.request.request import PROMPTS, image_endpoint, plain_text
from kling_nb.session import Session
from kling_nb.sweeps.axes import LARGEST, Axis
from kling_nb.sweeps.batch import Batch
from kling_nb.sweeps.sweep import CONCURRENCY, Sweep

LookUp = Callable[[str, str], Any]
"""Takes a word without fields, and its flag. Returns the image: the value of a variable, else the word."""


class Images:
    """The images of a line, as words and as values.

    A line is text, but the value of a field for an image may be a video or an array. The word then gets a key
    in place of the field. Fields are not searched in values that were filled in.

    Args:
        fields: The values of fields.
        find: Returns the image of a word without fields.
    """

    def __init__(self, fields: Fields, find: LookUp) -> None:
        self._fields, self._find = fields, find
        self._known: dict[str, tuple[str, Any]] = {}  # source and value by key

    def fill(self, word: str, several: bool) -> str:
        """Return a word with its fields filled in. A field that is a whole image is replaced by a key."""
        parts = parts_of(word)
        return "".join(self._text(parts, at, several) for at in range(len(parts)))

    def _text(self, parts: Sequence[Part], at: int, several: bool) -> str:
        match parts[at]:
            case Field(conversion="", form=()) as field if self._is_whole(parts, at, several):
                value = self._fields.image(field)
                if several and isinstance(value, str):
                    return value  # it may name several images
                key = f"\ue000{len(self._known)}"  # a private character, which users do not type
                self._known[key] = field.source, value
                return key
        return text_of(parts[at], self._fields.image)

    def _is_whole(self, parts: Sequence[Part], at: int, several: bool) -> bool:
        """Return True if a part is a whole image."""
        if not several:
            return len(parts) == 1
        before, after = parts[at - 1] if at else ",", parts[at + 1] if parts[at + 1 :] else ","
        begins = isinstance(before, str) and before.rstrip().endswith(("=", ",", "[", "'", '"'))
        return begins and isinstance(after, str) and after.lstrip().startswith((",", "]", "'", '"'))

    def __call__(self, word: str, flag: str) -> Any:
        """Return the image of a filled word."""
        if word not in self._known:
            return self._find(word, flag)
        source, value = self._known[word]
        if value is None:
            raise UsageError(f"{flag} {source} is None, not an image. Nothing was sent.")
        return value

    def source(self, word: str) -> str:
        """Return a word as it was written, for labels."""
        return self._known[word][0] if word in self._known else word


class ShellImages(Images):
    """The images of a line as version 0.1.0 read them: it evaluated words in braces last."""

    def fill(self, word: str, several: bool) -> str:
        """Return a word with its fields filled in, unless it is in braces."""
        return word if not several and _in_braces(word) else self._fields.fill_as_shell(word)

    def __call__(self, word: str, flag: str) -> Any:
        """Return the image of a word."""
        return self._fields.image_as_shell(word) if _in_braces(word) else self._find(word, flag)


def _in_braces(word: str) -> bool:
    return word.startswith("{") and word.endswith("}")


@dataclass(frozen=True)
class Reading:
    """A cell as one version reads it.

    Attributes:
        call: The line.
        axes: The alternatives in the text, if the line has `--grid`.
        prompt: Returns the prompt for a choice among the alternatives.
        images: The images of the line.
    """

    call: CellCall
    axes: tuple[Axis, ...]
    prompt: Prompt
    images: Images

    @property
    def text(self) -> str:
        """The prompt, if there are no alternatives."""
        return self.prompt({})

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `Session.plan`, without the prompt."""
        return self.call.submit_arguments(self.images)

    def sweep_axes(self, find: Callable[[str | None], Endpoint]) -> tuple[Axis, ...]:
        """Return the axes of text and `--grid`. `find` returns the endpoint of a name, or the usual one.

        Raises:
            UsageError: There are none, or `--grid` makes no sense.
        """
        call = self.call
        chosen = find(call.arguments.get("endpoint"))
        if IMAGES & {*call.arguments, *call.varied}:
            chosen = image_endpoint(chosen, find)
        given = {**call.arguments, **call.parameters}
        axes = (*self.axes, *grid_axes(call.grid or (), chosen, given, self.images))
        if not axes:
            raise UsageError(
                "--grid needs values to vary.",
                remedy="Write --grid duration=5,10, or alternatives in the prompt: {a red|a blue} fox.",
            )
        return axes


@dataclass(frozen=True)
class Readings:
    """A cell as this version reads it, and as version 0.1.0 did.

    Attributes:
        used: The reading of this version; if this version refuses the cell, that of version 0.1.0.
        was: The reading of version 0.1.0, or None if it refused the cell.
        fault: The error with which this version refuses the cell, or None.
    """

    used: Reading
    was: Reading | None
    fault: KlingError | None

    def earlier(self, usual: str | None = None) -> Earlier:
        """Return a function that gives the earlier call for the values of a sweep.

        It returns None if both versions make the same call, or if their axes differ. `usual` is the endpoint
        if the line names none.
        """
        was, now = self.was, None if self.fault else self.used

        def call(values: Mapping[str, Any]) -> Call | None:
            if was is None:
                return None
            if now is not None:
                if [axis.values for axis in now.axes] != [axis.values for axis in was.axes]:
                    return None
                if now.call == was.call and now.prompt(values) == was.prompt(values):
                    return None
            varied = {name: value for name, value in values.items() if not name.startswith("choice")}
            with suppress(KlingError):  # an image that only the earlier reading names
                return Call.of(was.prompt(values), {"endpoint": usual, **was.arguments(), **varied})
            return None

        return call


Earlier = Callable[[Mapping[str, Any]], Call | None]


def read_cell(line: str, body: str, fields: Fields, find: LookUp, *, default_endpoint: str) -> Readings:
    """Read a cell as this version and as version 0.1.0 do. Every field in it is evaluated once.

    Args:
        line: The text after `%%kling`.
        body: The text below the line.
        fields: The values of fields.
        find: Returns the image of a word without fields.
        default_endpoint: The endpoint if the line names none.

    Raises:
        UsageError: A flag is wrong, a field failed, or there are alternatives without `--grid`; and the
            earlier version did not accept the cell either.
        UnknownEndpoint: The endpoint does not exist.
    """
    now, fault = None, None
    try:
        now = _read_now(line, body, fields, Images(fields, find), default_endpoint)
    except KlingError as why:
        fault = why
    was = None
    if now is None or not now.call.raw:  # version 0.1.0 had no such flag
        was = _read_as_shell(line, body, fields, ShellImages(fields, find), default_endpoint)
    was = None if fields.unread else was
    used = now or was
    if used is None:
        raise fault or AssertionError
    return Readings(used, was, fault)


def _read_now(line: str, body: str, fields: Fields, images: Images, usual: str) -> Reading:
    line, body = continue_line(line, body)
    call = parse_line(line, default_endpoint=usual, fill=fields.fill, fill_image=images.fill)
    body = plain_text(body)
    if call.table is not None:  # its fields are columns
        return Reading(call, (), lambda _: body.strip(), images)
    if call.grid is not None and not call.raw:
        axes, prompt = axes_of(body, fields.value)
        return Reading(call, axes, lambda values: prompt(values).strip(), images)
    text = (body if call.raw else fields.fill(body)).strip()
    return Reading(call, (), lambda _: text, images)


def _read_as_shell(line: str, body: str, fields: Fields, images: Images, usual: str) -> Reading | None:
    """Return the cell as version 0.1.0 read it up to commit 21fcdc9; None if it did not accept the line."""
    fill = fields.fill_as_shell
    try:
        call = parse_line(line, default_endpoint=usual, fill=fill, fill_image=images.fill, split=shlex.split)
    except (KlingError, ValueError):
        return None
    if call.raw or call.table is not None:  # it had no such flags
        return None
    axes, prompt = axes_as_shell(body, fill) if call.grid is not None else ((), lambda _: fill(body))
    return Reading(call, axes, lambda values: prompt(values).strip(), images)


class Cell:
    """A `%%kling` cell that was read.

    Args:
        shell: The shell whose variables are filled in and set.
        outputs: Shows its jobs.
        line: The text after `%%kling`.
        body: The text below the line: the prompt; with `--table`, the template of the prompts.
    """

    def __init__(self, shell: Any, outputs: Outputs, line: str, body: str) -> None:
        self.shell = shell
        self.outputs = outputs
        self.session = default_session()
        settings = self.session.settings()
        fields = Fields(shell.user_ns)
        found = read_cell(line, body, fields, self._find_image, default_endpoint=settings.endpoint)
        self.reading, self.call = found.used, found.used.call
        self._fault, self._earlier = found.fault, found.earlier()
        self.timeout = settings.timeout if self.call.timeout is None else self.call.timeout

    def run(self) -> CellRun | SweepRun:
        """Return its run, which has not started."""
        return CellRun(self) if self.call.grid is None and self.call.table is None else SweepRun(self)

    def plan(self) -> Plan:
        """Return the plan of its job."""
        own = {"earlier": self._earlier({}), "cell": self.call.name or ""}
        return self.session.plan(self.reading.text, fault=self._fault, **self.reading.arguments(), **own)

    def plan_sweep(self) -> Sweep:
        """Return its sweep or batch, which has not started."""
        reading, notebook = self.reading, self.outputs.notebook
        if self.call.table is not None:
            prompt = reading.text or None
            return plan_batch(self.call, self.session, prompt, image=reading.images, notebook=notebook)
        return self.session.sweep(
            reading.prompt,
            axes=reading.sweep_axes(self.session.endpoint),
            concurrency=self.call.concurrency or CONCURRENCY,
            notebook=notebook,
            start=False,
            fault=self._fault,
            earlier=self._earlier,
            **reading.arguments(),
        )

    def with_flag(self, fault: InputError) -> InputError:
        """Return an error in the words of the cell: with the flag, or what to do about an empty prompt."""
        name = fault.parameter
        if name == "table":
            return fault  # it names the file, whose name may have the same word
        if name in PROMPTS and not self.reading.axes and not self.reading.text:
            fault.remedy = "Write the prompt below the %%kling line."
            return fault
        return with_flag_name(fault, self.call)

    def assign(self, value: Any) -> None:
        """Assign a value to NAME, or to `_` and `Out` if the line has none."""
        if self.call.name is not None:
            self.shell.push({self.call.name: value})
        else:
            set_last_output(self.shell, value)

    def _find_image(self, word: str, flag: str) -> Any:
        """Return the value of a variable or attribute (`fox.last_frame`), or a path or URL."""
        value = look_up(word, self.shell.user_ns)
        if value is None:
            _check_image(word, flag, self.shell.user_ns)
        return word if value is None else value


def _check_image(word: str, flag: str, variables: Mapping[str, Any]) -> None:
    """Raise if a word such as `fox.lastframe` or `foxx` is no file, and looks like a variable."""
    first, *rest = word.split(".")
    is_name = all(part.isidentifier() for part in (first, *rest))
    if not is_name or mimetypes.guess_type(word, strict=False)[0] or exists(word):
        return
    if first in variables:
        reason = f"{first} has no attribute {'.'.join(rest)!r}" if rest else f"{first} is None"
    else:
        reason = f"name {first!r} is not defined"
    raise UsageError(
        f"{flag} {word}: {reason}, and there is no file {word}. Nothing was sent.",
        remedy="Give a path, a URL, or a variable such as fox.last_frame, the last frame of a video.",
    )


class NamedCell:
    """A `%%kling NAME` cell. "Use this take" in its views chooses the take that NAME stands for.

    The choice is in the sidecar of the take. So it holds for every cell with this request and NAME, in all
    notebooks of the media folder.

    Args:
        name: NAME.
        fingerprint: Fingerprint of the cell's request.
        session: Stores the choice.
        shell: The shell that has the variable.
        scope: Name of the media folder.

    Attributes:
        chosen: The job whose take was chosen since the cell was run, or None.
        draw: Draws the card of the cell's output again, with the take of a job.
    """

    def __init__(self, name: str, fingerprint: str, session: Session, shell: Any, scope: str) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.scope = scope
        self.chosen: Job | None = None
        self.draw: Callable[[Job], None] = lambda job: None
        self._session, self._shell = session, shell

    def choose(self, job: Job) -> str:
        """Choose the take of a job, and return what that means, in words.

        Raises:
            UsageError: The job has no take.
            MediaError: The sidecar cannot be written.
        """
        take = job._take
        if take is None:
            raise UsageError("This job has no take yet.", remedy="Wait until it is ready.")
        self._session._choose(take, self.fingerprint, self.name)  # noqa: SLF001
        self.chosen = job
        self._shell.push({self.name: job.result})
        self.draw(job)
        if job.backend == "local":
            return f"{self.name} is this preview. It never replaces a video of fal."
        return f"{self.name} is this take, in all notebooks with {self.scope}."


class CellRun:
    """The run of a cell with one job."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._named: NamedCell | None = None

    def wait(self) -> None:
        """Run the cell and block until the job has ended."""
        cell, job = self._cell, self._start()
        if job is not None:
            self._assign_result(cell.outputs.wait(job, cell.timeout, quiet=cell.call.quiet))

    async def wait_async(self) -> None:
        """Run the cell for `await`. The kernel handles widget messages while it waits."""
        job = self._start()
        if job is None:
            return
        try:
            result = await job.wait_async(self._cell.timeout)
        except asyncio.CancelledError:
            raise await job._interrupt_error() from None
        self._assign_result(result)

    def _start(self) -> Job | None:
        """Submit and show the job. Return it, or None if the cell does not wait."""
        cell, call = self._cell, self._cell.call
        try:
            plan = cell.plan()
            if call.dry_run:
                cell.outputs.plan(plan)
                return None
            job = cell.session._launch(plan, notebook=cell.outputs.notebook)
        except InputError as fault:
            raise cell.with_flag(fault) from None
        job.variable = call.name
        if call.name and plan.made_from and not (plan.new or plan.take):
            scope = plan.settings.media.name
            self._named = job.cell = NamedCell(call.name, plan.made_from, cell.session, cell.shell, scope)
        cell.outputs.show(job, quiet=call.quiet)
        if call.wait:
            return job
        cell.assign(job)
        return None

    def _assign_result(self, result: Result) -> None:
        """Assign the result, unless another take was chosen while the cell waited."""
        chosen = self._named.chosen if self._named else None
        self._cell.assign(result if chosen is None else chosen.result)


class SweepRun:
    """The run of a cell with several jobs."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def wait(self) -> None:
        """Start the sweep and block until every cell has ended."""
        started = self._start()
        if started is None:
            return
        sweep, shown = started
        try:
            shown.wait(self._cell.timeout)
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
            await sweep.wait_async(self._cell.timeout)
        except asyncio.CancelledError:
            raise await sweep._interrupt_error() from None
        finally:
            if sweep.done:
                await asyncio.to_thread(shown.finish)

    def _start(self) -> tuple[Sweep, ShownSweep] | None:
        """Plan the sweep, show its price, start and show it. Return it, or None if the cell does not wait."""
        cell, call = self._cell, self._cell.call
        try:
            sweep = cell.plan_sweep()
        except InputError as fault:
            raise cell.with_flag(fault) from None
        if not announce(sweep, call, cell.outputs):
            return None
        cell.assign(sweep.start())
        shown = cell.outputs.show_sweep(sweep, quiet=call.quiet)
        return (sweep, shown) if call.wait else None


def plan_batch(
    call: CellCall,
    session: Session,
    prompt: str | None,
    *,
    image: Callable[[str, str], Any] | None = None,
    notebook: str | None = None,
) -> Batch:
    """Return the batch of a line, which has not started. Arguments as for `submit_arguments`."""
    return session.batch(
        call.table,
        prompt,
        concurrency=call.concurrency or CONCURRENCY,
        notebook=notebook,
        start=False,
        **call.submit_arguments(image),
    )


def announce(sweep: Sweep, call: CellCall, outputs: Outputs) -> bool:
    """Show what a sweep will do and cost, or raise `NoTake`. Return False for a dry run: nothing is sent."""
    if call.dry_run:
        outputs.text(f"{dry_run_text(sweep)}\nNothing was sent.")
        return False
    sweep._check_frozen()
    if not call.quiet:
        outputs.text("\n".join([sweep.price, *sweep.notices]))
    return True


def dry_run_text(sweep: Sweep) -> str:
    """Return what a sweep would do: its price, and a line for each cell."""
    lines = [sweep.price, *sweep.notices]
    width = max(len(WORDS[cell.plan.outcome].brief) for cell in sweep)
    for cell in sweep.cells[:LARGEST]:
        pairs = zip(sweep.axes, cell.place, strict=True)
        values = " · ".join(f"{axis.name} {axis.labels[at]}" for axis, at in pairs)
        lines.append(f"  {cell.index + 1:3}  {WORDS[cell.plan.outcome].brief:{width}}  {values}")
    if len(sweep) > LARGEST:
        lines.append(f"  and {len(sweep) - LARGEST:,} more")
    refusal = next((cell.plan.refusal for cell in sweep if cell.plan.refusal), None)
    return "\n".join([*lines, f"A run would be refused now: {refusal}"] if refusal else lines)


# -- The axes of a sweep: `--grid NAME=VALUE,VALUE`.


def grid_axes(
    words: Sequence[str], chosen: Endpoint, flags: Mapping[str, Any], images: Images
) -> tuple[Axis, ...]:
    """Return the axes of the `--grid` flags. No name may be given twice, nor in the other flags.

    Args:
        words: The word after each `--grid`; an empty one names no axis.
        chosen: The endpoint that has the parameters.
        flags: Values of other flags.
        images: The images of the line.
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
        axes[name] = _axis(name, values, images)
    return tuple(axes.values())


def _axis(name: str, values: Sequence[Any], images: Images) -> Axis:
    if name in IMAGES:
        named = [str(value) for value in values]
        found = tuple(images(one, f"--grid {name}") for one in named)
        return Axis(name, found, tuple(map(images.source, named)))
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
