"""Which names of a notebook are kling_nb's: the package, its functions, sessions. Read, not run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kling_nb.notebook.cell_values import Unknown

Kind = Literal["package", "Session", "Panel", "session", "panel", "client", "configure", "function"]

_FUNCTIONS = frozenset({"generate", "submit", "sweep"})
_LIMITS = frozenset(
    {"timeout", "local_speed", "inline_limit", "budget", "daily_budget", "max_cost", "frozen", "patience"}
)
"""Settings that change nothing of what a request is."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What an expression is.

    Attributes:
        kind: Which thing of kling_nb's.
        name: Of a function.
        settings: Of its session: a value, or `Unknown`.
    """

    kind: Kind
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


class Bindings:
    """The names, from cell to cell.

    Args:
        literal: Gives the value of an expression; raises `Unknown`.
    """

    def __init__(self, literal: Callable[[ast.expr], Any]) -> None:
        self._literal = literal
        self._names = {"kling_nb": Bound("package")}

    def learn_from(self, statement: ast.stmt) -> None:
        """Keep the names that are kling_nb's after a statement; forget those that are others' now."""
        for node in ast.walk(statement):
            match node:
                case ast.Import(names=names):
                    for one in names:
                        name = one.name if one.asname else one.name.partition(".")[0]
                        self._bind(one.asname or name, _PACKAGE if name == "kling_nb" else None)
                case ast.ImportFrom(module=module, names=names):
                    self._import_from(module, names)
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                    self._bind(name, None)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    self._bind(name, None)
        for name, value in _given(statement):
            self._bind(name, self.of(value))

    def _import_from(self, module: str | None, names: list[ast.alias]) -> None:
        for one in names:
            if one.name == "*" and module == "kling_nb":
                self._names |= {name: _of_package(name) for name in _PUBLIC}
            elif one.name != "*":
                ours = one.name in _PUBLIC and module == "kling_nb"
                self._bind(one.asname or one.name, _of_package(one.name) if ours else None)

    def _bind(self, name: str, bound: Bound | None) -> None:
        if bound is None:
            self._names.pop(name, None)
        else:
            self._names[name] = bound

    def of(self, node: ast.expr) -> Bound | None:
        """What an expression is; None where it is none of kling_nb's."""
        match node:
            case ast.Name(id=name):
                return self._names.get(name)
            case ast.Attribute(value=value, attr=name):
                return _attribute(self.of(value), name)
            case ast.Call(func=function):
                return self._made(self.of(function), node)
        return None

    def _made(self, called: Bound | None, call: ast.Call) -> Bound | None:
        match called:
            case Bound(kind="Session"):
                return Bound("session", settings=self.settings(call))
            case Bound(kind="Panel"):
                return Bound("panel", settings=self._of_panel(call))
        return None

    def _of_panel(self, call: ast.Call) -> dict[str, Any]:
        """What holds for a panel before anybody has composed anything in it: that of its session."""
        given = {word.arg: word.value for word in call.keywords}
        given |= dict(zip(("session", "endpoint"), call.args, strict=False))
        found: dict[str, Any] = {}
        if (session := given.get("session")) is not None:
            bound = self.of(session)
            unknown = {"": Unknown(f"it depends on {ast.unparse(session)[:40]}")}
            found |= bound.settings if bound and bound.kind == "session" else unknown
        if (endpoint := given.get("endpoint")) is not None:
            try:
                found["endpoint"] = self._literal(endpoint)
            except Unknown as why:
                found["endpoint"] = why
        return found

    def settings(self, call: ast.Call) -> dict[str, Any]:
        """What a call of `Session` or `configure` sets; `Unknown` for what only running can tell."""
        found: dict[str, Any] = {}
        for word in call.keywords:
            if word.arg in _LIMITS:
                continue
            try:
                value = self._literal(word.value)
            except Unknown as why:
                value = why
            if word.arg is not None:
                found[word.arg] = value
            elif isinstance(value, dict):
                found |= {name: one for name, one in value.items() if name not in _LIMITS}
            else:
                found[""] = Unknown(f"it depends on {ast.unparse(word.value)[:40]}")
        return found


_PACKAGE = Bound("package")
_PUBLIC = frozenset({"Session", "Panel", "configure", *_FUNCTIONS})


def _of_package(name: str) -> Bound:
    """One of `_PUBLIC`."""
    if name == "Session":
        return Bound("Session")
    if name == "Panel":
        return Bound("Panel")
    return Bound("configure") if name == "configure" else Bound("function", name)


def _attribute(of: Bound | None, name: str) -> Bound | None:
    match of:
        case Bound(kind="package") if name in _PUBLIC:
            return _of_package(name)
        case Bound(kind="session") if name in _FUNCTIONS:
            return Bound("function", name, of.settings)
        case Bound(kind="session") if name == "client":
            return Bound("client")
        case Bound(kind="client") if name == "submit":
            return Bound("function", "client")
        case Bound(kind="panel") if name == "submit":
            return Bound("function", "panel", of.settings)
    return None


def _given(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Names and what they are given, anywhere in a statement."""
    for node in ast.walk(statement):
        match node:
            case ast.Assign(targets=targets, value=value):
                yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                yield name, value
            case ast.withitem(context_expr=value, optional_vars=ast.Name(id=name)):
                yield name, value
