"""What the cells of a notebook would ask for, read without running them.

Nothing of the notebook is executed: of Python only literals are understood, and names that a
cell before has given a literal. Whatever depends on more is said to be unknown.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from kling_nb.notebook.filling import FILLED_IN, fill_in
from kling_nb.notebook.flags import parse_line

_CELL = re.compile(r"%%kling(?=\s|$)(.*)")
_LINE = re.compile(r"\s*%kling\s+(local|fal|use)\b\s*(\S*)")
_FUNCTIONS = frozenset({"generate", "submit"})
_IRRELEVANT = frozenset({"notebook", "on_event", "timeout", "max_cost", "webhook_url", "frozen"})


class Unknown(Exception):
    """A call depends on what only running the notebook can tell."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that a cell makes.

    Attributes:
        prompt: Filled in.
        arguments: As for `Session.plan`.
    """

    prompt: str | None
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class Reader:
    """Goes through the cells from top to bottom, as Run All does.

    Attributes:
        endpoint: Used where a cell names none.
        backend: That of `%kling local` or `%kling fal`, or None.
        known: Names with their literals.
    """

    endpoint: str
    backend: str | None = None
    known: dict[str, Any] = field(default_factory=dict)

    def calls(self, source: str) -> Iterator[Asked | Unknown | None]:
        """What a cell asks for, in order: None for a dry run.

        Raises:
            KlingError: Its flags are wrong.
        """
        head, _, body = source.partition("\n")
        if found := _CELL.match(head):
            yield self._magic(found[1], body)
        elif not head.startswith("%%"):
            yield from self._python(source)

    def _magic(self, line: str, body: str) -> Asked | Unknown | None:
        try:
            call = parse_line(line, default_endpoint=self.endpoint, fill=self._filled)
            if call.name:
                self.known.pop(call.name, None)
            pictures = {"image": self._picture(call.image), "end_image": self._picture(call.end_image)}
            named = {"endpoint": call.endpoint or self.endpoint, "take": call.take, "new": call.new}
            prompt = self._filled(body).strip()
        except Unknown as why:
            return why
        return None if call.dry_run else Asked(prompt, {**named, **pictures, **call.parameters})

    def _filled(self, text: str) -> str:
        """As a cell fills it in, of names alone: an expression would have to be run."""
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
            if name not in self.known:
                raise Unknown(f"it depends on {name}")
        return fill_in(text, self.known)

    def _picture(self, word: str | None) -> Any:
        """A path, an address, or a variable that holds one."""
        if word is None or not word.isidentifier():
            return word
        if word not in self.known:
            raise Unknown(f"it depends on the picture {word}")
        return self.known[word]

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
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and _is_ours(node.func):
                    yield self._call(node)
            self._learn(statement)

    def _set(self, word: str, name: str) -> None:
        if word == "use":
            self.endpoint = name or self.endpoint
        else:
            self.backend = word

    def _call(self, node: ast.Call) -> Asked | Unknown:
        if len(node.args) > 1:
            return Unknown("it submits by Session.client, whatever is here")
        try:
            given = {
                str(word.arg): self._literal(word.value)
                for word in node.keywords
                if word.arg not in _IRRELEVANT
            }
            prompt = self._literal(node.args[0]) if node.args else given.pop("prompt", None)
        except Unknown as why:
            return why
        return Asked(prompt, {"endpoint": self.endpoint} | given)

    def _literal(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name) and node.id in self.known:
            return self.known[node.id]
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise Unknown(f"it depends on {ast.unparse(node)[:40]}") from None

    def _learn(self, statement: ast.stmt) -> None:
        """Keep names that are given a literal; forget those that are given anything else."""
        stored = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        for node in stored:
            if not isinstance(node.ctx, ast.Load):
                self.known.pop(node.id, None)
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                try:
                    self.known[name] = self._literal(value)
                except Unknown:
                    return


def _is_ours(function: ast.expr) -> bool:
    """Whether a call is `kling_nb.generate`, `generate`, or that of some session."""
    if isinstance(function, ast.Attribute):
        return function.attr in _FUNCTIONS
    return isinstance(function, ast.Name) and function.id in _FUNCTIONS
