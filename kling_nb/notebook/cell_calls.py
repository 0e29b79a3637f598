"""What the cells of a notebook would ask for, read without running them.

Nothing of the notebook is executed: of Python only literals are understood, and names that a cell before
has given a literal, or a video whose take is here. Whatever depends on more is said to be unknown.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kling_nb._axes import Axis, combinations, split, taking_lists
from kling_nb.catalog import Endpoint
from kling_nb.notebook.alternatives import axes_of
from kling_nb.notebook.cell_bindings import Bindings, Bound
from kling_nb.notebook.cell_source import asks, is_text, parsed, unwrapped
from kling_nb.notebook.cell_values import Unknown, Variables
from kling_nb.notebook.flags import CellCall, parse_line
from kling_nb.notebook.grid_flag import endpoint_of, grid_axes

_CELL = re.compile(r"%%kling(?=\s|$)(.*)")
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
        settings: As for `Session`: what the notebook has set by then.
    """

    prompt: str | None
    arguments: Mapping[str, Any]
    name: str | None = None
    part: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


class Reader:
    """Goes through the cells from top to bottom, as Run All does.

    Args:
        endpoint: Used where a cell names none.
        find: Gives the endpoint of a name.
        variables: What is known of them.

    Attributes:
        variables: As given; whoever finds the take of a request may teach it to them.
    """

    def __init__(
        self, endpoint: str, find: Callable[[str], Endpoint], variables: Variables | None = None
    ) -> None:
        self.variables = variables or Variables()
        self._endpoint = endpoint
        self._find = find
        self._bindings = Bindings(self.variables.literal)
        self._configured: dict[str, Any] = {}

    def calls(self, source: str) -> Iterator[Asked | Unknown | None]:
        """What a cell asks for, in order: None for a dry run.

        Raises:
            KlingError: Its flags are wrong.
        """
        source = unwrapped(source)
        head, _, body = source.partition("\n")
        if found := _CELL.match(head):
            try:
                settings = self._settings({})
                for asked in self._magic(found[1], body, settings.get("endpoint", self._endpoint)):
                    yield asked and replace(asked, settings=settings)
            except Unknown as why:
                yield why
        elif not head.startswith("%%"):
            yield from self._python(source)
        elif asks(body) and not is_text(head):
            yield Unknown(f"it is run by {head.split()[0]}")

    def _settings(self, own: Mapping[str, Any], given: Collection[str] = ()) -> dict[str, Any]:
        """What holds for a call of a session with settings of its `own`.

        Raises:
            Unknown: Only running can tell one that the call does not give itself.
        """
        found = {**self._configured, **own}
        for name, value in found.items():
            if isinstance(value, Unknown) and name not in given:
                raise value
        return {name: value for name, value in found.items() if not isinstance(value, Unknown)}

    # -- cells -------------------------------------------------------------------

    def _magic(self, line: str, body: str, usual: str) -> Iterator[Asked | None]:
        known = self.variables
        call = parse_line(line, default_endpoint=usual, fill=known.filled)
        if call.name:
            known.learn(call.name)
        if call.dry_run:
            yield None
            return
        arguments = {
            "endpoint": call.endpoint or usual,
            "take": call.take,
            "new": call.new,
            "image": known.picture(call.image),
            "end_image": known.picture(call.end_image),
            **call.parameters,
        }
        if call.grid is None:
            yield Asked(known.filled(body).strip(), arguments, call.name)
        else:
            yield from self._grid(call, body, arguments, usual)

    def _grid(self, call: CellCall, body: str, arguments: Mapping[str, Any], usual: str) -> Iterator[Asked]:
        chosen, prompt = axes_of(body, self.variables.filled)
        endpoint = endpoint_of(call, lambda name: self._find(name or usual))
        flags = {**call.parameters, "image": call.image, "end_image": call.end_image, "take": call.take}
        varied = grid_axes(call.grid or (), endpoint, flags, self.variables.picture)
        yield from _parts((*chosen, *varied), {**arguments, "prompt": prompt})

    # -- Python ------------------------------------------------------------------

    def _python(self, source: str) -> Iterator[Asked | Unknown]:
        try:
            tree, left_out = parsed(source)
        except (SyntaxError, ValueError, RecursionError):
            if asks(source):
                yield Unknown("it is no plain Python")
            return
        for line in filter(asks, left_out):
            yield Unknown(f"it depends on {line.strip()[:40]}")
        for statement in tree.body:
            self.variables.learn_from(statement)
            self._bindings.learn_from(statement)
            yield from self._statement(statement)

    def _statement(self, statement: ast.stmt) -> Iterator[Asked | Unknown]:
        name = _assigned_to(statement)
        calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
        for call in calls:
            try:
                yield from self._call(call, name, sure=_is_all(call, statement))
            except Unknown as why:
                yield why
        for node in _handed_on(statement, calls):
            if (bound := self._bindings.of(node)) and bound.kind == "function":
                yield Unknown(f"it depends on who calls {ast.unparse(node)[:40]}")

    def _call(self, call: ast.Call, name: str | None, *, sure: bool) -> Iterator[Asked]:
        match self._bindings.of(call.func):
            case Bound(kind="configure"):
                self._configure(self._bindings.settings(call), sure=sure)
            case Bound(kind="function", name="client"):
                raise Unknown("it submits by Session.client, whatever is here")
            case Bound(kind="function", name="panel") if "prompt" not in {one.arg for one in call.keywords}:
                raise Unknown("it submits what a panel holds")
            case Bound(kind="function") as function:
                yield from self._request(call, function, name)
            case None if _runs_magic(call):
                raise Unknown(f"it depends on {ast.unparse(call)[:40]}")

    def _configure(self, settings: Mapping[str, Any], *, sure: bool) -> None:
        for name, value in settings.items():
            if not sure:
                self._configured[name] = Unknown(f"it depends on whether {name or 'configure'} is set")
            elif value is None:
                self._configured.pop(name, None)
            else:
                self._configured[name] = value

    def _request(self, call: ast.Call, function: Bound, name: str | None) -> Iterator[Asked]:
        if len(call.args) > 1:
            raise Unknown(f"it gives {ast.unparse(call.func)[:40]} more than a prompt")
        given = self._arguments(call)
        settings = self._settings(function.settings, given)
        given = {"endpoint": settings.get("endpoint", self._endpoint)} | given
        if function.name != "sweep":
            yield Asked(given.pop("prompt", None), given, name, settings=settings)
            return
        first = given["endpoint"][0] if isinstance(given["endpoint"], (list, tuple)) else given["endpoint"]
        axes, rest = split(given, taking_lists(self._find(first)))
        for asked in _parts(axes, rest):
            yield replace(asked, settings=settings)

    def _arguments(self, call: ast.Call) -> dict[str, Any]:
        """What a call gives, by name.

        Raises:
            Unknown: It is no literal.
        """
        read = self.variables.literal
        given = {"prompt": read(call.args[0])} if call.args else {}
        for word in call.keywords:
            if word.arg in _IRRELEVANT:
                continue
            value = read(word.value)
            if word.arg is not None:
                given[word.arg] = value
            elif isinstance(value, dict):
                given |= {name: one for name, one in value.items() if name not in _IRRELEVANT}
            else:
                raise Unknown(f"it depends on {ast.unparse(word.value)[:40]}")
        return given


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


def _is_all(call: ast.Call, statement: ast.stmt) -> bool:
    """Whether a statement is this call alone, which nothing keeps from being run."""
    return isinstance(statement, ast.Expr) and statement.value is call


def _handed_on(statement: ast.stmt, calls: Sequence[ast.Call]) -> Iterator[ast.expr]:
    """Names and attributes that are given to somebody, and neither called nor named here."""
    used = {id(call.func) for call in calls}
    used |= {id(node.value) for node in ast.walk(statement) if isinstance(node, (ast.Assign, ast.Attribute))}
    used |= {id(one) for call in calls if ast.unparse(call.func) == "help" for one in call.args}
    for node in ast.walk(statement):
        match node:
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()) if id(node) not in used:
                yield node


def _runs_magic(call: ast.Call) -> bool:
    """Whether it is `get_ipython().run_cell_magic("kling", …)`."""
    match call:
        case ast.Call(func=ast.Attribute(attr="run_cell_magic"), args=[ast.Constant(value="kling"), *_]):
            return True
    return False
