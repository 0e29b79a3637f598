"""What is known of a notebook's variables without running it: literals, and the takes of earlier cells."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from string import Formatter
from typing import Any

from kling_nb.notebook.filling import FILLED_IN, fill_in
from kling_nb.video import Video

_OF_A_VIDEO = frozenset({"last_frame", "path"})


class Unknown(Exception):
    """Something depends on what only running the notebook can tell."""


class Variables:
    """The variables, from cell to cell.

    Args:
        known: Names with their values.
    """

    def __init__(self, known: Mapping[str, Any] | None = None) -> None:
        self._known = dict(known or {})
        self._unknown: set[str] = set()

    def learn(self, name: str, value: Any = None) -> None:
        """A name has a value now; None: it is not known which."""
        if value is None:
            self._known.pop(name, None)
            self._unknown.add(name)
        else:
            self._known[name] = value
            self._unknown.discard(name)

    def learn_from(self, statement: ast.stmt) -> None:
        """Keep names that are given a literal; forget those that are given anything else."""
        found: dict[str, Any] = {}
        match statement:
            case (
                ast.Assign(targets=[target], value=value)
                | ast.AnnAssign(target=target, value=ast.expr() as value)
            ):
                found = self._assigned(target, value)
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self.learn(node.id, found.get(node.id))

    def _assigned(self, target: ast.expr, value: ast.expr) -> dict[str, Any]:
        match target, value:
            case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
                pairs = [self._assigned(*pair) for pair in zip(targets, values, strict=True)]
                return {name: one for pair in pairs for name, one in pair.items()}
            case ast.Name(id=name), _:
                try:
                    return {name: self.literal(value)}
                except Unknown:
                    return {}
        return {}

    def literal(self, node: ast.expr) -> Any:
        """The value of an expression that is a literal, or made of what is known.

        Raises:
            Unknown: It is anything else.
        """
        match node:
            case ast.Name(id=name) if name in self._known:
                return self._known[name]
            case ast.Await(value=ast.Name(id=name)) if isinstance(self._known.get(name), Video):
                return self._known[name]  # a job, of which the take is here
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if attribute in _OF_A_VIDEO:
                if isinstance(video := self._known.get(name), Video):
                    return getattr(video, attribute)
            case ast.JoinedStr(values=parts):
                return "".join(str(self._piece(part)) for part in parts)
            case ast.List(elts=parts):
                return [self.literal(part) for part in parts]
            case ast.Tuple(elts=parts):
                return tuple(self.literal(part) for part in parts)
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise Unknown(f"it depends on {ast.unparse(node)[:40]}") from None

    def _piece(self, part: ast.expr) -> Any:
        """A piece of an f-string."""
        match part:
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return self.literal(value)
        return self.literal(part)

    def filled(self, text: str) -> str:
        """A text as a cell fills it in, of names alone: an expression would have to be run.

        Raises:
            Unknown: It holds another name, or an expression.
        """
        if not FILLED_IN & set(text):
            return text
        names = set(re.findall(r"(?<!\$)\$([A-Za-z_]\w*)", text))
        try:
            for _, name, spec, conversion in Formatter().parse(text):
                if name is not None and (spec or conversion or not name.isidentifier()):
                    raise Unknown(f"it depends on {{{name}}}")
                names |= {name} if name else set()
        except ValueError:  # then the cell leaves it as it is, too
            return text
        for name in sorted(names):
            if name not in self._known:
                raise Unknown(f"it depends on {name}")
        return fill_in(text, self._known)

    def picture(self, word: str | None) -> Any:
        """A path, an address, or what a variable or its attribute holds (`fox.last_frame`).

        Raises:
            Unknown: It is a variable, and not known.
        """
        name, _, attribute = (word or "").strip("{}").partition(".")
        video = self._known.get(name)
        if isinstance(video, Video) and attribute in _OF_A_VIDEO:
            return getattr(video, attribute)
        if name in self._unknown or (name.isidentifier() and not attribute and name not in self._known):
            raise Unknown(f"it depends on the picture {word}")
        return word if attribute or name not in self._known else video
