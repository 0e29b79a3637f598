"""Tables of shots: read from a data frame, a list of dicts, CSV or JSON, and turned into one call per row.

Nothing in a table is evaluated. A prompt may be a template, in which `{column}` is the value of a column.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from kling_nb.catalog import Endpoint
from kling_nb.catalog.problem import nearest
from kling_nb.errors import InputError, KlingError, TableError, TableProblem, UsageError
from kling_nb.request.request import image_endpoint

MOST_ROWS = 50_000
_LARGEST_FILE = 64 * 2**20
_IMAGES = ("image", "end_image")
_ARGUMENTS = frozenset({"name", "prompt", "endpoint", "take", "fit", *_IMAGES})
"""Columns that are not parameters of an endpoint."""

_LONGEST_PATH = 1_000
"""Characters. A longer text is no path: it may be a file as base64."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        place: Where it is, such as "line 3".
        values: The values of its columns that are not empty.
    """

    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        source: Its file name, or "the table".
        folder: The folder of relative paths in it; None for the current folder.
    """

    source: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class RowCall:
    """What a row asks for.

    Attributes:
        name: Its name, which no other row has.
        arguments: All arguments of `submit` apart from the prompt.
    """

    row: Row
    name: str
    prompt: str | None
    arguments: Mapping[str, Any]


# -- Reading.


def read_table(table: Any) -> Table:
    """Return a table.

    Args:
        table: A path of a CSV, TSV, JSONL or JSON file; a data frame; or dicts.

    Raises:
        UsageError: It is none of these, has no rows, or cannot be read.
        TableError: Rows cannot be read.
    """
    if isinstance(table, (str, Path)):
        found = _read_file(table)
    elif hasattr(table, "columns") and callable(getattr(table, "to_dict", None)):
        found = _of_dicts(table.to_dict("records"), "the table")
    elif isinstance(table, Iterable) and not isinstance(table, (bytes, Mapping)):
        found = _of_dicts(table, "the table")
    else:
        raise UsageError(
            f"A table cannot be a value of type {type(table).__name__}.",
            remedy="Give a data frame, a list of dicts, or the path of a CSV or JSONL file.",
            parameter="table",
        )
    if not found.rows:
        raise UsageError(f"{found.source} has no rows.", remedy="Give at least one.", parameter="table")
    if len(found.rows) > MOST_ROWS:
        raise UsageError(
            f"{found.source} has {len(found.rows):,} rows; at most {MOST_ROWS:,} are allowed.",
            remedy="Split it into several tables.",
            parameter="table",
        )
    return found


def _read_file(name: str | Path) -> Table:
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:  # `~` of a user who does not exist
        raise UsageError(f"{name} cannot be read: {error}", parameter="table") from error
    ending = path.suffix.lower()
    if ending not in {".csv", ".tsv", ".jsonl", ".ndjson", ".json"}:
        raise UsageError(
            f"{path.name} is not a table file.",
            remedy="Its name must end in .csv, .tsv, .jsonl or .json.",
            parameter="table",
        )
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError(
                f"{path.name} is larger than {_LARGEST_FILE // 2**20} MB.",
                remedy="Split it into several tables.",
                parameter="table",
            )
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(
            f"{path.name} is not UTF-8.", remedy="Save it as CSV UTF-8.", parameter="table"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be read: {reason}.", parameter="table") from error
    folder = path.absolute().parent
    if ending in {".csv", ".tsv"}:
        return _of_csv(text, path.name, folder)
    return _of_json(text, path.name, folder, by_line=ending != ".json")


def _of_csv(text: str, source: str, folder: Path) -> Table:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    problems: list[TableProblem] = []
    rows: list[Row] = []
    try:
        columns = tuple(name.strip() for name in next(reader, []))
        problems += [
            TableProblem("line 1", name, "is the name of several columns.")
            for name in dict.fromkeys(columns)
            if name and columns.count(name) > 1
        ]
        for cells in reader:
            place = f"line {reader.line_num}"
            if any(cell.strip() for cell in cells[len(columns) :]):
                named = f"{len(columns)} column{'s' * (len(columns) != 1)}"
                text = f"has {len(cells)} values, but line 1 names {named}."
                problems.append(TableProblem(place, "", text))
            pairs = zip(columns, map(str.strip, cells), strict=False)
            values = {name: cell for name, cell in pairs if name and cell}
            if values:
                rows.append(Row(place, values))
    except csv.Error as error:
        problems.append(TableProblem(f"line {reader.line_num}", "", f"is not valid CSV: {error}."))
    if problems:
        raise TableError.of(source, problems)
    return Table(source, tuple(filter(None, columns)), tuple(rows), folder)


def _of_json(text: str, source: str, folder: Path, *, by_line: bool) -> Table:
    if not by_line:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{source} is not JSON: {error}.", parameter="table") from error
        if not isinstance(found, list):
            raise UsageError(f"{source} must be a list of objects.", parameter="table")
        return _of_dicts(found, source, folder)
    objects, problems = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            objects.append((f"line {number}", json.loads(line)))
        except (ValueError, RecursionError) as error:
            problems.append(TableProblem(f"line {number}", "", f"is not JSON: {error}."))
    if problems:
        raise TableError.of(source, problems)
    return _of_places(objects, source, folder)


def _of_dicts(rows: Iterable[Any], source: str, folder: Path | None = None) -> Table:
    return _of_places(((f"row {number}", row) for number, row in enumerate(rows, 1)), source, folder)


def _of_places(found: Iterable[tuple[str, Any]], source: str, folder: Path | None) -> Table:
    rows, columns, problems = [], dict[str, None](), []
    for place, row in found:
        if not isinstance(row, Mapping):
            problems.append(
                TableProblem(place, "", f"must be a dict or JSON object, not {type(row).__name__}.")
            )
            continue
        columns.update(dict.fromkeys(str(name) for name in row))
        values = {str(name): plain for name, value in row.items() if (plain := _plain(value)) is not None}
        rows.append(Row(place, values))
    if problems:
        raise TableError.of(source, problems)
    return Table(source, tuple(columns), tuple(rows), folder)


def _plain(value: Any) -> Any:
    """Return a value of a table without its NumPy type; None for an empty one, as pandas marks them."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return None if isinstance(value, str) and not value.strip() else value


# -- From rows to calls.


def calls_of(
    table: Table,
    template: str | None,
    common: Mapping[str, Any],
    find: Callable[[str | None], Endpoint],
) -> list[RowCall]:
    """Return the call of each row. A value of the row overrides one of `common`.

    Args:
        table: The table.
        template: Prompt of all rows, with columns as `{column}`; None if each row has its own prompt.
        common: Arguments of all rows.
        find: Returns the endpoint of a name, or the default endpoint for None.

    Raises:
        TableError: Columns or values are wrong. It lists all of them.
        UsageError: The template is wrong.
    """
    if template is not None and not isinstance(template, str):
        raise UsageError(
            f"prompt must be a text, not a {type(template).__name__}.",
            remedy="Put the prompts of single rows into a column named prompt.",
            parameter="prompt",
        )
    parts = _parts(template, table) if template is not None else None
    fields = {column for _, column in parts or () if column is not None}
    if template is not None and "prompt" in table.columns and "prompt" not in fields:
        raise UsageError(
            f"{table.source} has a column prompt, and a prompt is given.",
            remedy="Leave one of them out, or write {prompt} where the column's text belongs.",
            parameter="prompt",
        )
    problems: list[TableProblem] = []
    known, media, unwritten = _parameters(table, common, fields, find, problems)
    calls = []
    names: dict[str, str] = {}
    for number, row in enumerate(table.rows, 1):
        values = dict(row.values)
        name = str(values.pop("name", number))
        if name in names:
            problems.append(TableProblem(row.place, "name", f"{name!r} is also the name of {names[name]}."))
        names.setdefault(name, row.place)
        prompt = values.pop("prompt", None)
        if parts is not None:
            prompt = _fill(parts, row, problems)
        arguments = {
            column: _path_in_folder(value, table.folder) if column in media else value
            for column, value in values.items()
            if column in known
        }
        take = arguments.get("take")
        if isinstance(take, str) and take.isascii() and take.isdigit():
            arguments["take"] = int(take)
        calls.append(RowCall(row, name, None if prompt is None else str(prompt), {**common, **arguments}))
    if problems:
        empty = [TableProblem(row.place, "prompt", "is empty.") for row in unwritten if parts is None]
        raise TableError.of(table.source, [*problems, *empty])
    return calls


def _parameters(
    table: Table,
    common: Mapping[str, Any],
    used: Iterable[str],
    find: Callable[[str | None], Endpoint],
    problems: list[TableProblem],
) -> tuple[set[str], set[str], list[Row]]:
    """Return the columns that are arguments, those of media files, and the rows that lack a required prompt.

    Report other columns unless they are used. Such rows are not reported: their plans are refused.
    """
    known, media, unwritten = set(_ARGUMENTS), set(_IMAGES), list[Row]()
    named: dict[tuple[Any, bool], Endpoint] = {}
    for row in table.rows:
        name = row.values.get("endpoint", common.get("endpoint"))
        if name is not None and not isinstance(name, str):
            problems.append(TableProblem(row.place, "endpoint", f"must be a name, not {name!r}."))
            continue
        given = {**common, **row.values}
        key = name, any(given.get(image) is not None for image in _IMAGES)
        if key not in named:
            try:
                chosen = find(name)
                named[key] = chosen = image_endpoint(chosen, find) if key[1] else chosen
            except KlingError as fault:
                problems.append(TableProblem(row.place, "endpoint", _one_line(fault)))
                named[key] = chosen = Endpoint(str(name), str(name), title="", category="")
            known |= {control.name for control in chosen.parameters}
            media |= {control.name for control in chosen.parameters if control.kind == "media"}
        if given.get("prompt") is None and "prompt" in named[key].input_schema.get("required", ()):
            unwritten.append(row)
    endpoints = ", ".join(dict.fromkeys(one.short_name for one in named.values()))
    for column in table.columns:
        if column not in known and column not in used:
            near = nearest(column, known, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            problems.append(TableProblem("", column, f"is not a parameter of {endpoints}.{hint}"))
    return known, media, unwritten


def _one_line(fault: KlingError) -> str:
    return " ".join(fault.message.split())


def problem_of(call: RowCall, fault: InputError) -> TableProblem:
    """Return the problem of a row whose request is refused."""
    parameter = fault.parameter or ""
    column = parameter.partition(".")[0]
    if column not in call.row.values:  # `image` is sent as another parameter
        column = next((image for image in _IMAGES if image in call.row.values and image in column), column)
    return TableProblem(call.row.place, column, _one_line(fault))


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""The start of a URL or data URI. A drive of Windows has one letter only."""


def _path_in_folder(value: Any, folder: Path | None) -> Any:
    """Return a file of a table as a path in its folder. In CSV, several files are a JSON list."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    if isinstance(value, list):
        return [_path_in_folder(one, folder) for one in value]
    if folder is None or not isinstance(value, str) or len(value) > _LONGEST_PATH or _URL.match(value):
        return value
    return value if value.startswith("~") else str(folder / value)


# -- The template.

Part = tuple[str, str | None]
"""A text, and the column whose value follows it."""


def _parts(template: str, table: Table) -> list[Part]:
    """Return the parts of a template.

    Raises:
        UsageError: A field is not the name of a column, or a brace has no partner.
    """
    remedy = f"Columns: {', '.join(table.columns)}. Write {{{{ and }}}} for braces."
    try:
        found = list(Formatter().parse(template))
    except ValueError as error:
        raise UsageError(
            f"The prompt is not a valid template: {error}.", remedy=remedy, parameter="prompt"
        ) from None
    for _, column, form, conversion in found:
        if column is not None and (form or conversion or column not in table.columns):
            raise UsageError(
                f"The prompt has {{{column}}}, and {table.source} has no column of that name."
                if not (form or conversion)
                else f"The prompt has a field with a format. Only {{{column}}} is possible.",
                remedy=remedy,
                parameter="prompt",
            )
    return [(text, column) for text, column, _, _ in found]


def _fill(parts: Sequence[Part], row: Row, problems: list[TableProblem]) -> str:
    words: list[str] = []
    for text, column in parts:
        words.append(text)
        if column is not None:
            value = row.values.get(column)
            if value is None:
                problems.append(TableProblem(row.place, column, "is empty, and the prompt needs it."))
            words.append(str(value).lower() if isinstance(value, bool) else str(value))
    return "".join(words)
