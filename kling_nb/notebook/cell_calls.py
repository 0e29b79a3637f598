"""What the cells of a notebook would ask for, read without running them.

Nothing of the notebook is executed: of Python only literals are understood, and names that a cell before
has given a literal, or a video whose take is here. Whatever depends on more is said to be unknown.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kling_nb._axes import Axis, combinations, split, taking_lists
from kling_nb.catalog import Endpoint
from kling_nb.notebook.alternatives import axes_of
from kling_nb.notebook.cell_values import Unknown, Variables
from kling_nb.notebook.flags import CellCall, parse_line
from kling_nb.notebook.grid_flag import endpoint_of, grid_axes

_CELL = re.compile(r"%%kling(?=\s|$)(.*)")
_LINE = re.compile(r"\s*%kling\s+(local|fal|use)\b\s*(\S*)")
_FUNCTIONS = frozenset({"generate", "submit", "sweep"})
_IRRELEVANT = frozenset(
    {"notebook", "on_event", "timeout", "max_cost", "webhook_url", "frozen", "concurrency", "start"}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that a cell makes.

    Attributes:
        prompt: Filled in.
        arguments: As for `Session.plan`.
        name: The variable that gets its result, or None.
        part: Which cell of a sweep it is, in words; empty for a request of its own.
    """

    prompt: str | None
    arguments: Mapping[str, Any]
    name: str | None = None
    part: str = ""


class Reader:
    """Goes through the cells from top to bottom, as Run All does.

    Args:
        endpoint: Used where a cell names none.
        find: Gives the endpoint of a name.
        variables: What is known of them.

    Attributes:
        backend: That of `%kling local` or `%kling fal`, or None.
        variables: As given; whoever finds the take of a request may teach it to them.
    """

    def __init__(
        self, endpoint: str, find: Callable[[str], Endpoint], variables: Variables | None = None
    ) -> None:
        self.backend: str | None = None
        self.variables = variables or Variables()
        self._endpoint = endpoint
        self._find = find

    def calls(self, source: str) -> Iterator[Asked | Unknown | None]:
        """What a cell asks for, in order: None for a dry run.

        Raises:
            KlingError: Its flags are wrong.
        """
        head, _, body = source.partition("\n")
        if found := _CELL.match(head):
            try:
                yield from self._magic(found[1], body)
            except Unknown as why:
                yield why
        elif not head.startswith("%%"):
            yield from self._python(source)

    # -- cells -------------------------------------------------------------------

    def _magic(self, line: str, body: str) -> Iterator[Asked | None]:
        known = self.variables
        call = parse_line(line, default_endpoint=self._endpoint, fill=known.filled)
        if call.name:
            known.learn(call.name)
        if call.dry_run:
            yield None
            return
        arguments = {
            "endpoint": call.endpoint or self._endpoint,
            "take": call.take,
            "new": call.new,
            "image": known.picture(call.image),
            "end_image": known.picture(call.end_image),
            **call.parameters,
        }
        if call.grid is None:
            yield Asked(known.filled(body).strip(), arguments, call.name)
        else:
            yield from self._grid(call, body, arguments)

    def _grid(self, call: CellCall, body: str, arguments: Mapping[str, Any]) -> Iterator[Asked]:
        chosen, prompt = axes_of(body, self.variables.filled)
        endpoint = endpoint_of(call, lambda name: self._find(name or self._endpoint))
        flags = {**call.parameters, "image": call.image, "end_image": call.end_image, "take": call.take}
        varied = grid_axes(call.grid or (), endpoint, flags, self.variables.picture)
        yield from _parts((*chosen, *varied), {**arguments, "prompt": prompt})

    # -- Python ------------------------------------------------------------------

    def _python(self, source: str) -> Iterator[Asked | Unknown]:
        lines = source.splitlines()
        for line in lines:
            if found := _LINE.match(line):
                self._set(found[1], found[2])
        plain = ["pass" if line.startswith(("%", "!", "?")) else line for line in lines]
        try:
            tree = ast.parse("\n".join(plain))
        except (SyntaxError, ValueError):
            return
        for statement in tree.body:
            self.variables.learn_from(statement)
            name = _assigned_to(statement)
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and (function := _name_of(node.func)) in _FUNCTIONS:
                    try:
                        yield from self._call(node, name, several=function == "sweep")
                    except Unknown as why:
                        yield why

    def _set(self, word: str, name: str) -> None:
        if word == "use":
            self._endpoint = name or self._endpoint
        else:
            self.backend = word

    def _call(self, node: ast.Call, name: str | None, *, several: bool) -> Iterator[Asked]:
        if len(node.args) > 1:
            raise Unknown("it submits by Session.client, whatever is here")
        read = self.variables.literal
        given = {str(word.arg): read(word.value) for word in node.keywords if word.arg not in _IRRELEVANT}
        if node.args:
            given = {"prompt": read(node.args[0]), **given}
        given = {"endpoint": self._endpoint} | given
        if not several:
            yield Asked(given.pop("prompt", None), given, name)
            return
        first = given["endpoint"][0] if isinstance(given["endpoint"], (list, tuple)) else given["endpoint"]
        axes, rest = split(given, taking_lists(self._find(first)))
        yield from _parts(axes, rest)


def _parts(axes: Sequence[Axis], rest: Mapping[str, Any]) -> Iterator[Asked]:
    """The requests of a sweep."""
    for place in combinations(axes):
        values = {axis.name: axis.values[at] for axis, at in zip(axes, place, strict=True)}
        arguments = {**rest, **{axis.name: values[axis.name] for axis in axes if axis.argument}}
        prompt = arguments.pop("prompt", None)
        labels = [axis.labels[at] for axis, at in zip(axes, place, strict=True)]
        yield Asked(prompt(values) if callable(prompt) else prompt, arguments, part=" · ".join(labels))


def _assigned_to(statement: ast.stmt) -> str | None:
    """The name that a call's result gets."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() | ast.Await(value=ast.Call())):
            return name
    return None


def _name_of(function: ast.expr) -> str:
    """Of `kling_nb.generate`, `generate`, or that of some session: the last word."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
