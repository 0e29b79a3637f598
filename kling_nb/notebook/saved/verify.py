"""`kling-nb verify`: report which cells of a notebook have their take, and what the others would cost.

The notebook is not run. `%%kling` cells, `%kling` lines and variables with literals are read. A call of
kling_nb in Python is reported as unknown; only a frozen run shows the truth. A `%%kling` cell is also unknown
if code that is not read may change its meaning.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from IPython.core.inputtransformer2 import TransformerManager

from kling_nb.api import default_session
from kling_nb.errors import KlingError
from kling_nb.job.plan import Plan
from kling_nb.notebook.card.mark import Mark
from kling_nb.notebook.card.words import clean, clip
from kling_nb.notebook.cell import Readings, read_cell
from kling_nb.notebook.flags import continue_line, split_words
from kling_nb.notebook.prompt import FILLED_IN, Field, Fields
from kling_nb.notebook.saved.renewal import read_notebook
from kling_nb.session import Session
from kling_nb.settings import Unshown
from kling_nb.sweeps.axes import combinations
from kling_nb.sweeps.table import calls_of, read_table
from kling_nb.video import Video

Status = Literal["reusable", "elsewhere", "stale", "missing", "unknown", "wrong"]


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """One request of a cell.

    Attributes:
        number: Number of the code cell, from 1.
        line: The cell's first line.
        status: "reusable": its take exists. "elsewhere": in another folder. "stale": it has no take,
            and the output is of another request. "missing": it has no take. "unknown": only a run shows it.
            "wrong": it cannot be sent.
        text: The file of the take, or why there is none.
        cost: US dollars that running it would cost; 0 for a free preview, None if that is not known.
        on_fal: US dollars that fal would ask for it, even if a preview would be made; None if not known.
        request: Fingerprint and take number. Equal requests are made once. None if each run makes a new take.
        submitted: True if a job of it exists, so that a run sends no new one.
    """

    number: int
    line: str
    status: Status
    text: str
    cost: float | None = None
    on_fal: float | None = None
    request: tuple[str, int] | None = None
    submitted: bool = False


def verify(path: Path) -> list[VerifiedRequest]:
    """Check every request of a notebook. Nothing is run or submitted.

    The schema of an endpoint that does not come with the package is fetched unless it is stored.

    Raises:
        UsageError: The file is not a notebook.
    """
    notebook = read_notebook(path)
    reader = Reader()
    # Its kernel would run there, and find media and images.
    with chdir(path.absolute().parent), reader.looks:
        code = [cell for cell in notebook["cells"] if cell.get("cell_type") == "code"]
        return [one for number, cell in enumerate(code, 1) for one in _verify_cell(number, cell, reader)]


def exit_status(found: Sequence[VerifiedRequest]) -> int:
    """Return 0 if all requests are reusable, 3 if all others are unknown, else 1."""
    left = {one.status for one in found} - {"reusable"}
    return 0 if not left else 3 if left == {"unknown"} else 1


def report(found: list[VerifiedRequest]) -> str:
    """Return a line for each request, and the total."""
    if not found:
        return "No cell makes a kling_nb request."
    width = min(48, max(len(one.line) for one in found))
    lines = [
        f"cell {one.number:>3}  {one.status:<9}  {clip(one.line, width):<{width}}  {one.text}"
        for one in found
    ]
    count = sum(one.status == "reusable" for one in found)
    return "\n".join([*lines, f"{count} of {len(found)} requests have their take.{_to_complete(found)}"])


def _to_complete(found: list[VerifiedRequest]) -> str:
    """Return a sentence with the cost of all requests that have no take."""
    left = [one for one in found if one.status != "reusable" and not one.submitted]
    if not left:
        return " Running the notebook costs nothing."
    once = [*{one.request or id(one): one for one in left}.values()]
    paid = [one.cost for one in once if one.cost]
    free = [one for one in once if one.cost == 0]
    unread, wrong = (sum(one.status == status for one in once) for status in ("unknown", "wrong"))
    unpriced = sum(one.cost is None for one in once) - unread - wrong
    parts = [f"about ${sum(paid):.2f}"] if paid else []
    parts += [_previews_text(free)] if free else []
    parts += [f"{unpriced} without a known price"] if unpriced else []
    parts += [f"{unread} that only a run can show"] if unread else []
    parts += [f"{wrong} to correct"] if wrong else []
    return f" To complete: {', '.join(parts)}."


def _previews_text(previews: list[VerifiedRequest]) -> str:
    """Return the number of free previews, and what fal would ask for these requests."""
    prices = [one.on_fal for one in previews if one.on_fal]
    words = f"{len(previews)} free preview{'s' * (len(previews) != 1)}"
    if not prices:
        return words
    unpriced = len(previews) - len(prices)
    return f"{words} (about ${sum(prices):.2f} on fal{f', {unpriced} not known' if unpriced else ''})"


def _verify_cell(number: int, cell: dict[str, Any], reader: Reader) -> Iterator[VerifiedRequest]:
    source = cell.get("source") or ""
    source = "".join(source) if isinstance(source, list) else str(source)
    may_fail = "raises-exception" in (cell.get("metadata") or {}).get("tags", ())
    title = _title(source)
    try:
        for request in reader.read(source, sure=not may_fail):
            if isinstance(request, Unknown):
                yield VerifiedRequest(number, title, "unknown", str(request))
            else:
                line = f"{clip(title, 24)} [{request.part}]" if request.part else title
                plan = reader.session().plan(request.prompt, **request.arguments)
                yield _verify_plan(VerifiedRequest(number, line, "missing", ""), cell, plan)
                if request.name and (take := plan.found or plan.elsewhere):
                    reader.learn(request.name, take.result())
    except KlingError as fault:
        if not may_fail:  # else its author wants to show the error
            yield VerifiedRequest(number, title, "wrong", fault.message.partition("\n")[0])


def _title(source: str) -> str:
    """Return the first line of a cell that describes it, without a key."""
    lines = [" ".join(line.split()) for line in clean(source).splitlines() if line.strip()]
    title = next((line for line in lines if not re.match(r"%%(time|capture)\b", line)), "")
    return re.sub(r"(credentials|FAL_KEY\w*).*", r"\1…", title)


def _verify_plan(blank: VerifiedRequest, cell: dict[str, Any], plan: Plan) -> VerifiedRequest:
    """Return the finding about one request."""
    if plan.found is not None:
        path = plan.found.path.relative_to(plan.settings.media.parent)
        text = f"{path}, made by an earlier version in another form" if plan.about_earlier else str(path)
        return replace(blank, status="reusable", text=text, cost=0.0)
    if plan.elsewhere is not None:
        text = f"in another folder, a run copies it: {plan.elsewhere.path}"
        return replace(blank, status="elsewhere", text=text, cost=0.0, submitted=True)
    if plan.shared is not None:
        text = "in the studio's library, a run fetches it"
        return replace(blank, status="elsewhere", text=text, cost=0.0, submitted=True)
    if not plan.submits:
        return replace(blank, text=plan.words, cost=0.0, submitted=True)
    local = plan.settings.backend == "local"
    found = replace(blank, cost=0.0 if local else plan.estimate, on_fal=plan.estimate)
    if plan.new:
        return replace(found, text=f"a new take at every run, {plan.price}")
    found = replace(found, request=(plan.request.fingerprint, plan.take or 1))
    shown = _shown_fingerprints(cell)
    if shown and shown.isdisjoint({plan.request.fingerprint, *plan.request.earlier}):
        text = f"its output is of another request, {plan.price}"
        return replace(found, status="stale", text=text)
    return replace(found, text=f"no take of it, {plan.price}")


def _shown_fingerprints(cell: dict[str, Any]) -> set[str]:
    """Return the fingerprints of the takes in a cell's outputs, including the parts of sweeps."""
    marks = [mark for mark in map(Mark.of, cell.get("outputs", ())) if mark is not None]
    parts = [part.fingerprint for mark in marks for part in mark.parts]
    return {one for mark in marks for one in (mark.fingerprint, mark.cell) if one} | {*filter(None, parts)}


# -- The reader of cells, from top to bottom as Run All runs them.


class Unknown(Exception):
    """A request depends on what only a run of the notebook can show. The message is the reason.

    Whatever reads a value raises it: for an expression, which would have to be run, or an unknown variable.
    """


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a `%%kling` cell.

    Attributes:
        prompt: The prompt with its variables filled in.
        arguments: The arguments for `Session.plan`.
        name: The variable that receives the result, or None.
        part: Which cell of a sweep it is, in words; empty for a single request.
    """

    prompt: str
    arguments: Mapping[str, Any]
    name: str | None = None
    part: str = ""


class _Names(Fields):
    """The fields of a cell that is not run: nothing but names of known values is evaluated.

    Args:
        known: The known values.
        find_image: Returns the image of a word.
    """

    def __init__(self, known: Mapping[str, Any], find_image: Callable[[str], Any]) -> None:
        super().__init__(known)
        self._literals = {name: value for name, value in known.items() if not isinstance(value, Video)}
        self._find_image = find_image

    def image(self, field: Field) -> Any:
        """Return the value of a name or attribute that stands for an image."""
        return self._find_image(f"{{{field.code}}}")

    def image_as_shell(self, word: str) -> Any:
        """Return the image of a word in braces."""
        return self._find_image(word)

    def value(self, field: Field) -> Any:
        """Return the value of a name."""
        if field.code not in self._literals:
            raise Unknown(f"it depends on {field.code}")
        return self._literals[field.code]

    def _evaluate(self, code: str) -> Any:
        node = ast.parse(code.lstrip(" \t"), mode="eval")  # what is no expression failed in any version
        with suppress(ValueError, TypeError, MemoryError, RecursionError):
            return self._literals[code] if code in self._literals else ast.literal_eval(node)
        self.unread = True
        raise Unknown(f"it depends on {code}")


_CALLS = {"generate", "submit", "sweep"}
_ASKS = re.compile(r"%%kling\b|\bkling_nb\.\w+\(|\bkling[-_]nb(\.cli)?\s+generate\b|\b(generate|sweep)\(")
"""Matches what looks like a request in text that is not read."""
_SETS = {"configure", "putenv", "unsetenv", "chdir", "fchdir", "load_dotenv", "globals", "locals", "vars"}
"""Python names that may change a setting or any variable. `os.environ` has its own rule, `_ENVIRON`."""
_RUNS = {"exec", "eval", "__import__", "import_module", "run_path", "run_module"}
"""Python names that may run any code."""
_OURS = r"KLING_NB|FAL_|HOME|XDG_|USERPROFILE|LOCALAPPDATA"
_ENVIRON = re.compile(rf"\benviron\b(?!\.(get|copy|items)\(|\[['\"](?!{_OURS}))")
_LIMITS = {"timeout", "local_speed", "inline_limit", "budget", "daily_budget", "max_cost", "frozen"}
"""Settings that do not change a request."""
_TEXTS = re.compile("writefile|file|html|HTML|markdown|latex|svg|SVG|js|javascript")
_HARMLESS = re.compile(
    f"{_TEXTS.pattern}|bash|sh|script|cmd|perl|ruby|python[23]?|pypy|autoreload|cat|colors|conda|gui|history"
    "|load_ext|ls|lsmagic|mamba|matplotlib|micromamba|mkdir|pdb|pinfo2?|pip|pprint|precision|psource|pwd"
    "|quickref|reload_ext|sx|system|tb|timeit|uv|watermark|whos?|xmode"
)
"""Magics that change neither settings nor variables, except variables in the line of a cell magic."""


class Reader:
    """Reads the cells in order, and remembers the settings and variables that later cells depend on."""

    def __init__(self) -> None:
        self.looks = ExitStack()  # sessions of the notebook's settings, and one look at each media folder
        self._sessions: list[tuple[Mapping[str, Any], Session]] = []
        self._config, self._configured = Unshown(), Unshown()
        self._doubt = ""  # why no later cell can be read reliably
        self._known: dict[str, Any] = {}  # variables with a literal or with the video of a cell
        self._bound: set[str] = set()
        self._global: set[str] = set()  # variables that a function may bind whenever it is called
        self._ours: set[str] = set()  # names that may refer to something of kling_nb

    def session(self) -> Session:
        """Return a session with the settings that the notebook has set so far."""
        configured = {name: value for name, value in self._configured.items() if value is not None}
        settings = Unshown({**self._config, **configured})
        if all(known != settings for known, _ in self._sessions):
            session = self.looks.enter_context(Session(**settings)) if settings else default_session()
            self._sessions.append((settings, session))
            self.looks.enter_context(session._one_look())  # noqa: SLF001 -- of no use to users
        return next(session for known, session in self._sessions if known == settings)

    def learn(self, name: str, value: object) -> None:
        """Remember the value of a variable, unless it is mutable or a function may bind the variable."""
        if isinstance(value, (str, int, float, Video)) and name not in self._global:
            self._known[name] = value

    def read(self, source: str, *, sure: bool = True) -> Iterator[Request | Unknown]:
        """Yield the requests of a cell. Its source is transformed as IPython does it.

        Args:
            source: The cell's text.
            sure: True if a run of the notebook runs the whole cell.

        Raises:
            KlingError: A setting, or a flag of a `%%kling` cell, is wrong.
        """
        manager = TransformerManager()  # type: ignore[no-untyped-call]  # IPython has no types for it
        try:
            statements = ast.parse(manager.transform_cell(source)).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self._distrust("a cell that is not plain Python")
            if _ASKS.search(source):
                yield Unknown("it is not plain Python")
            return
        for statement in statements:
            if isinstance(statement, ast.Expr) and (magic := _magic_of(statement.value)):
                yield from self._magic(magic, alone=True, sure=sure)
            else:
                yield from self._statement(statement, sure)

    def _distrust(self, what: str) -> None:
        """Mark all later cells as unknown, because they may depend on `what`. The first reason counts."""
        self._doubt = self._doubt or f"it depends on {what}"

    def _forget(self, names: Iterable[str]) -> None:
        """Note that variables were bound to unknown values."""
        for name in names:
            self._bound.add(name)
            self._known.pop(name, None)

    # -- magics ------------------------------------------------------------------

    def _magic(self, call: Sequence[str], *, alone: bool, sure: bool) -> Iterator[Request | Unknown]:
        """Yield the requests of a magic. If it is not `alone`, other code decides whether it runs."""
        match call:
            case "run_cell_magic", "kling", line, body if alone:
                try:
                    yield from self._cell(line, body)
                except Unknown as why:
                    yield why
            case "run_cell_magic", "time" | "capture", line, body if alone:
                self._forget(re.findall(r"\w+", line))
                yield from self.read(body, sure=sure)
            case "run_line_magic", "time", line:
                yield from self.read(line, sure=sure)
            case "run_line_magic", "kling", line:
                sure = sure and not FILLED_IN & set(line)
                if found := re.fullmatch(r"use\s+(\S+)|(local|fal)", line.strip()):
                    values = {"endpoint" if found[1] else "backend": repr(found[1] or found[2])}
                    self._set(self._configured, values, "%kling", sure=sure)
            case "run_line_magic", "config", line:
                sure = sure and not FILLED_IN & set(line)
                if found := re.fullmatch(r"KlingMagics\.(\w+)\s*=(.+)", line.strip()):
                    self._set(self._config, {found[1]: found[2].strip()}, "%config", sure=sure)
            case "run_line_magic", "env" | "set_env", line if not re.match(rf"({_OURS}|[{{$])", line):
                pass
            case function, name, *rest:
                if name.strip("%") == "kling" or (
                    not _TEXTS.fullmatch(name) and _ASKS.search("\n".join(call))
                ):
                    yield Unknown(f"it is run by {name if rest else 'a shell'}")
                in_cell = function == "run_cell_magic"
                if rest and not _HARMLESS.fullmatch(name):
                    self._distrust(f"{'%%' if in_cell else '%'}{name}")
                self._forget(re.findall(r"\w+", rest[0]) if in_cell else [])

    def _set(
        self, layer: dict[str, Any], values: Mapping[str, ast.expr | str], by: str, *, sure: bool
    ) -> None:
        """Remember settings that are literals or variables with a literal."""
        for name, value in values.items():
            if name in _LIMITS:
                continue
            try:
                layer[name] = self._value(value)
            except ValueError:
                sure = False
            if not sure:
                self._distrust(f"{by} {name}")

    def _cell(self, line: str, body: str) -> Iterator[Request]:
        """Yield the requests of a `%%kling` cell."""
        if self._doubt:
            raise Unknown(self._doubt)
        usual = self.session().settings().endpoint
        fields = _Names(self._known, self._image)
        try:
            found = read_cell(line, body, fields, self._image, default_endpoint=usual)
        except Unknown:
            words = split_words(continue_line(line, body)[0])
            named = not any(re.fullmatch(r"\w*[{$][\w{}$]+", word) for word in words)
            self._forget(words if named else [*self._known])  # the cell binds one of them
            raise
        if found.used.call.dry_run:
            return
        try:
            requests = self._requests(found, usual)
        finally:
            self._forget([found.used.call.name] if found.used.call.name else [])
        yield from requests

    def _requests(self, found: Readings, usual: str) -> list[Request]:
        reading, call = found.used, found.used.call
        earlier = found.earlier(usual)
        arguments = {"endpoint": usual, **reading.arguments(), "fault": found.fault}
        if call.table is not None:
            table = read_table(call.table)
            calls = calls_of(table, reading.text or None, arguments, self.session().endpoint)
            return [Request(one.prompt or "", dict(one.arguments), part=one.name) for one in calls]
        if call.grid is None:
            arguments |= {"earlier": earlier({}), "cell": call.name or ""}
            return [Request(reading.text, arguments, call.name if call.wait else None)]
        axes = reading.sweep_axes(lambda name: self.session().endpoint(name or usual))
        requests = []
        for place in combinations(axes):
            pairs = list(zip(axes, place, strict=True))
            values = {axis.name: axis.values[at] for axis, at in pairs}
            varied = {axis.name: axis.values[at] for axis, at in pairs if axis.argument}
            part = " · ".join(axis.labels[at] for axis, at in pairs)
            own = {**arguments, **varied, "earlier": earlier(values)}
            requests.append(Request(reading.prompt(values), own, part=part))
        return requests

    def _image(self, word: str, flag: str = "") -> Any:
        """Return a path, a URL, or the value of a variable or attribute such as `fox.last_frame`."""
        name, _, attribute = word.strip("{}").partition(".")
        value = self._known.get(name)
        if value is not None and not attribute:
            return value
        if isinstance(value, Video) and attribute in {"last_frame", "path"}:
            return getattr(value, attribute)
        unread = name in self._bound and (value is None or isinstance(value, Video))
        if unread or word.startswith("{") or (name.isidentifier() and not attribute):
            raise Unknown(f"it depends on the image {word}")
        return word

    # -- Python ------------------------------------------------------------------

    def _statement(self, statement: ast.stmt, sure: bool) -> Iterator[Request | Unknown]:
        """Remember the literals and settings of a statement, and yield what may be a request in it."""
        nodes, text = list(ast.walk(statement)), ast.unparse(statement)
        self._global |= {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        bound = self._global.union(*map(_bound_names, nodes))
        words = [word for node in nodes if (word := _word(node))]
        if self._ours.intersection(words) or re.search(r"\bkling_nb\b", text):
            self._ours |= bound | {"kling_nb"}
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self._bound |= bound  # inside a function, a name may be an argument
        literals = self._literals_of(statement) if sure else {}
        match statement:
            case ast.Expr(value=ast.Call(func=function, args=[], keywords=keywords)) if (
                self._ours
                and ast.unparse(function) in {"configure", *(f"{name}.configure" for name in self._ours)}
            ):
                settings = {word.arg or "**": word.value if word.arg else "**" for word in keywords}
                self._set(self._configured, settings, "configure", sure=sure)
                words.remove("configure")
        yield from self._unread(text, nodes, words)
        self._forget([*self._known] if "*" in bound else bound)
        for name, value in literals.items():
            self.learn(name, value)

    def _unread(
        self, text: str, nodes: Sequence[ast.AST], words: Sequence[str]
    ) -> Iterator[Request | Unknown]:
        """Yield what may be a request, and note what may change settings or variables."""
        magics = [magic for node in nodes if (magic := _magic_of(node))]
        for magic in magics:
            yield from self._magic(magic, alone=False, sure=False)
        for word in _SETS.intersection(words):
            self._distrust(word)
        if "environ" in words and _ENVIRON.search(text):
            self._distrust("os.environ")
        if _RUNS.intersection(words) or words.count("get_ipython") > len(magics):
            self._distrust("code that Python runs")
            yield Unknown("it may run any code")
        yield from map(Unknown, filter(None, map(self._call, nodes)))

    def _call(self, node: ast.AST) -> str:
        """Return the reason if a node may be a call of kling_nb, else an empty text."""
        if _word(node) not in _CALLS or not self._ours:
            return ""
        short = re.sub(r"\(.*\)", "(…)", ast.unparse(node), flags=re.DOTALL)
        root = re.split(r"\W", short)[0]
        foreign = root in self._bound - self._ours
        return "" if foreign else f"{short} in Python is not read: check it with a frozen run"

    def _value(self, code: ast.expr | str) -> Any:
        """Return the value of a literal or of a known variable, or raise `ValueError`."""
        if isinstance(code, ast.Name) and code.id in self._known:
            return self._known[code.id]
        try:
            return ast.literal_eval(code)
        except (TypeError, SyntaxError, MemoryError, RecursionError) as fault:
            raise ValueError from fault

    def _literals_of(self, statement: ast.stmt) -> dict[str, Any]:
        """Return the variables that a statement sets to literals, with their values."""
        match statement:
            case (
                ast.Assign(targets=[target], value=ast.expr() as node)
                | ast.AnnAssign(target=target, value=ast.expr() as node)
            ):
                with suppress(ValueError):
                    value = self._value(node)
                    if isinstance(target, ast.Tuple) and isinstance(value, tuple):
                        pairs = zip(target.elts, value, strict=False)
                        return {name.id: one for name, one in pairs if isinstance(name, ast.Name)}
                    return {target.id: value} if isinstance(target, ast.Name) else {}
        return {}


def _magic_of(node: ast.AST) -> list[str]:
    """Return the function and the texts to which IPython transforms a magic or shell command, or []."""
    if isinstance(node, ast.Call) and node.args and not node.keywords:
        found = re.fullmatch(r"get_ipython\(\)\.(run_\w+_magic|system|getoutput)", ast.unparse(node.func))
        with suppress(ValueError):
            return [found[1], *(str(ast.literal_eval(text)) for text in node.args)] if found else []
    return []


def _word(node: ast.AST) -> str:
    """Return the variable, attribute or renamed import that a node refers to, or an empty text."""
    match node:
        case ast.Name(id=word, ctx=ast.Load()) | ast.alias(name=word, asname=str()):
            return word
        case ast.Attribute(attr=word) if word not in {"exec", "eval"}:
            return word
    return ""


def _bound_names(node: ast.AST) -> set[str]:
    """Return the names that a node may bind: variables, functions, imports, exceptions, pattern captures."""
    names = [getattr(node, field, None) for field in ("name", "asname", "rest")]
    names += [node.id] if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) else []
    return {name.partition(".")[0] for name in names if isinstance(name, str)}
