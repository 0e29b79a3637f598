"""Tables and summaries as text for notebooks, terminals and the command line."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Collection, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from kling_nb.catalog import Endpoint
from kling_nb.catalog.endpoint import Control
from kling_nb.catalog.problem import counted, visible
from kling_nb.catalog.shipped import short_name
from kling_nb.ledger import Entry, Spending
from kling_nb.media import MediaFolder, Note, Take, Takes
from kling_nb.notebook.card.style import FADE, FRAME, RULE, SMALL
from kling_nb.notebook.card.words import clip
from kling_nb.notebook.flags import FIXED_FLAGS, flag_of
from kling_nb.request.request import PROMPTS
from kling_nb.session import Session
from kling_nb.settings import backend_text, dotenv_note

if TYPE_CHECKING:
    from kling_nb.fal.platform import BilledRequest
    from kling_nb.job.rebuild import Health, Reconciliation
    from kling_nb.library import Status


_SHOWN = 10
_MOST_BILLED = 100
_MOST_TAKES = 100


def status(session: Session) -> str:
    """Return the settings, and the unfinished jobs of the folder."""
    settings = session.settings()
    chosen = session.endpoint()
    lines = [
        f"Backend   {backend_text(settings)}",
        f"Key       {settings.key.source if settings.key else 'none'}",
        f"Endpoint  {chosen.short_name}  ({chosen.id})",
        f"Media     {settings.media}",
        f"Ledger    {session.ledger.path}",
    ]
    if note := dotenv_note(settings):
        lines.insert(2, f"          {note}")
    unfinished = session.jobs(here=True, unfinished=True)
    if unfinished:
        lines += [
            "",
            f"Unfinished jobs in this folder: {len(unfinished)}. Resume them: %kling resume",
            jobs(unfinished),
        ]
    return "\n".join(lines)


def jobs(entries: Sequence[Entry]) -> str:
    """Return a table of ledger rows."""
    if not entries:
        return "No jobs yet."
    now = time.time()
    return table(
        ("ID", "STATE", "AGE", "ENDPOINT", "BACKEND", "UNITS", "PROMPT"),
        (
            (
                entry.id,
                entry.state.value,
                age(now - entry.created_at),
                short_name(entry.endpoint),
                entry.backend,
                entry.units or "",
                _one_line(entry.prompt, 48),
            )
            for entry in entries
        ),
    )


def takes(found: Takes) -> str:
    """Return a table of stored takes, the newest first."""
    if not found:
        return "No take meets these conditions."
    rows = []
    for row in found.records[:_MOST_TAKES]:
        words = [*(f"#{tag}" for tag in row["tags"]), *(["chosen"] if row["chosen"] else []), row["note"]]
        stars = "★" * (row["rating"] or 0)
        seconds = f"{row['seconds']:.3g} s" if row["seconds"] else ""
        local = " (preview)" if row["backend"] == "local" else ""
        name = f"{short_name(row['endpoint'])}{local}"
        rows.append(
            (stars, seconds, name, visible(_one_line(" ".join(words), 40)), visible(Path(row["path"]).name))
        )
    more = len(found) - len(rows)
    return table(("STARS", "LENGTH", "ENDPOINT", "TAGS, NOTE", "FILE"), rows) + (
        f"\n{more} more: kling_nb.takes() has all." if more else ""
    )


def health(report: Health) -> str:
    """Return the state of the ledger as text."""
    if report.whole is None:
        state = "not there yet"
    else:
        state = "in order" if report.whole else "DAMAGED: kling-nb ledger rebuild"
    lines = [f"Ledger      {report.path}: {state}"]
    if report.whole:
        lines.append(f"Jobs        {report.rows}, {report.unfinished} unfinished (kling-nb resume)")
    if report.network:
        lines.append("Disk        network file system (rollback journal)")
    for head, problems in (
        ("No file", [f"{job_id}: download it again with %kling show {job_id}" for job_id in report.lost]),
        ("No row", [f"{path}: record it with kling-nb ledger rebuild" for path in report.unrecorded]),
    ):
        lines += _listed(problems, head.ljust(12))
    return "\n".join(lines)


def media(folder: MediaFolder) -> str:
    """Return what the takes of a folder need, by endpoint."""
    with folder.one_look():
        notes = folder.notes()
        present = [note for note in notes if folder.file_of(note) is not None]
    groups: dict[tuple[str, str], list[Note]] = {}
    for note in present:
        groups.setdefault((short_name(note.endpoint), note.backend), []).append(note)
    by_size = sorted(groups.items(), key=lambda item: -sum(note.size for note in item[1]))
    rows = [
        (
            name,
            backend,
            str(len(group)),
            _megabytes(sum(note.size for note in group)),
            time.strftime("%Y-%m-%d", time.localtime(min(note.finished for note in group))),
            time.strftime("%Y-%m-%d", time.localtime(max(note.finished for note in group))),
        )
        for (name, backend), group in by_size
    ]
    size = _megabytes(sum(note.size for note in present))
    total = f"{folder.folder}: {counted(len(present), 'take')}, {size}"
    if missing := len(notes) - len(present):
        total += f", {counted(missing, 'sidecar')} without a file"
    heads = ("ENDPOINT", "BACKEND", "TAKES", "SIZE", "OLDEST", "NEWEST")
    return f"{total}\n{table(heads, rows)}" if rows else total


def pruned(free: Sequence[Take], paid: Sequence[Take], *, delete: bool, yes: bool) -> str:
    """Return which takes were deleted, would be, or were kept."""
    lines = []
    for takes, gone, kind in (
        (free, delete, "previews, and takes with a copy"),
        (paid, delete and yes, "paid takes, the only copies"),
    ):
        if takes:
            size = _megabytes(sum(take.sidecar.size for take in takes))
            verb = "Deleted" if gone else "Kept" if delete else "To delete"
            lines.append(f"{verb}: {len(takes)} {kind}, {size}")
            lines += _listed([take.path.name for take in takes])
    if not lines:
        return "No take meets the conditions."
    if not delete:
        lines.append(
            "Nothing was deleted. Add --delete" + (", and --yes for the paid ones." if paid else ".")
        )
    elif paid and not yes:
        lines.append("Paid takes without a copy were kept. Add --yes to delete them, too.")
    return "\n".join(lines)


def library(name: str, found: Status, folder: Path) -> str:
    """Return what a library has, and what of a folder it lacks."""
    lines = [f"{name}: {counted(found.takes, 'take')}, {_megabytes(found.size)}"]
    if found.intents:
        lines.append(f"{counted(found.intents, 'marker')} of submissions")
    missing = found.unpushed
    lines.append(f"{folder}: {counted(len(missing), 'take')} not in the library" + ("" if missing else "."))
    lines += _listed([take.path.name for take in missing])
    return "\n".join([*lines, "kling-nb library push stores them."] if missing else lines)


def collected(keys: Sequence[str], size: int, *, deleted: bool) -> str:
    """Return which takes of a library were deleted or would be."""
    lines = [f"{'Deleted' if deleted else 'To delete'}: {counted(len(keys), 'take')}, {_megabytes(size)}"]
    lines += _listed(keys)
    return "\n".join(lines if deleted else [*lines, "Nothing was deleted. Add --yes."])


def _listed(names: Sequence[str], before: str = "  ") -> list[str]:
    """Return a line for each of the first names, and one that counts the others."""
    more = [f"{' ' * len(before)}and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return [f"{before}{name}" for name in names[:_SHOWN]] + more


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def spending(groups: Sequence[Spending], by: str) -> str:
    """Return a table of what fal's jobs cost, with the total."""
    if not groups:
        return "Nothing was spent. No job was sent to fal."
    rows = [
        (one.group or "(no notebook)", str(one.jobs), f"{one.units:g}", _amount(one.usd, one.unknown))
        for one in groups
    ]
    total = _amount(sum(one.usd for one in groups), sum(one.unknown for one in groups))
    rows.append(
        ("total", str(sum(one.jobs for one in groups)), f"{sum(one.units for one in groups):g}", total)
    )
    note = "Estimates from the prices in the catalogue. fal's figures: https://fal.ai/dashboard/usage"
    return table((by.upper(), "JOBS", "UNITS", "ABOUT"), rows) + "\n" + note


def reconciliation(found: Reconciliation, own: Collection[str]) -> str:
    """Return fal's bill next to the ledger, with the command for each request that the ledger does not know.

    Unknown requests of other endpoints than `own` (ids) and Kling's are only counted.
    """
    now = time.time()
    billed = [bill.usd for _, bill in found.jobs if bill]
    prices = [entry.reserved_usd for entry, _ in found.jobs]
    expected = _amount(sum(usd or 0.0 for usd in prices), prices.count(None))
    known = counted(len(billed), "job")
    lines = [
        f"In the last {found.days} days fal billed ${sum(billed):.2f} for {known} of the ledger.",
        f"The ledger expects {expected} for {len(prices)}.",
    ]
    jobs = sorted(found.jobs, key=lambda pair: _difference(*pair) == "")  # what differs comes first
    if jobs:
        head = ("ID", "REQUEST", "AGE", "ENDPOINT", "EXPECTED", "BILLED", "")
        rows = [
            (
                entry.id,
                entry.request_id or "",
                age(now - entry.created_at),
                short_name(entry.endpoint),
                "unknown" if entry.reserved_usd is None else f"${entry.reserved_usd:.2f}",
                f"${bill.usd:.2f}" if bill else "-",
                _difference(entry, bill),
            )
            for entry, bill in jobs[:_MOST_BILLED]
        ]
        lines += ["", table(head, rows), *_more(len(jobs))]
    unknown: list[BilledRequest] = []
    others: list[BilledRequest] = []
    for one in found.unknown:
        (unknown if one.endpoint_id in own or "kling" in one.endpoint_id else others).append(one)
    if unknown:
        lines += ["", "Billed, but not in the ledger. To fetch one into this folder, at no extra charge:"]
        lines += [
            f"  kling_nb.get_job({one.request_id!r}, endpoint={one.endpoint_id!r})"
            f"  # ${one.usd:.2f}, {age(now - one.billed_at)} ago"
            for one in unknown[:_MOST_BILLED]
        ]
        lines += _more(len(unknown))
    if others:
        lines += ["", f"Requests of other endpoints: {len(others)}, ${sum(one.usd for one in others):.2f}."]
    if found.unanswered:
        names = ", ".join(entry.id for entry in found.unanswered[:_SHOWN])
        lines += ["", f"Sent without an answer: {names}. %kling resume looks for them at fal."]
    return "\n".join([*lines, "", "fal's billing events appear with a delay."])


def _difference(entry: Entry, bill: BilledRequest | None) -> str:
    """Return the difference between bill and ledger in words; empty if they agree to the cent."""
    if bill is None:
        return "not billed so far" if entry.state.finished else "not finished"
    change = bill.usd - (entry.reserved_usd or 0.0)
    if abs(change) < 0.005 or entry.reserved_usd is None:
        return ""
    return f"{'+' if change > 0 else '-'}${abs(change):.2f}"


def _more(count: int) -> list[str]:
    return [f"and {count - _MOST_BILLED} more"] if count > _MOST_BILLED else []


def _amount(usd: float, unknown: int) -> str:
    return f"${usd:.2f}" + (f" and {unknown} of unknown price" if unknown else "")


def dated_price(one: Endpoint) -> str:
    """Return the price in the catalogue with its note and date."""
    if one.price is None:
        return "no price on record"
    others = ", ".join(f"{name.replace('_', ' ')} ${usd:g}" for name, usd in one.price.variants.items())
    when = f"as of {one.price.as_of}" if one.price.as_of else "undated"
    return f"{price(one)} ({when}). {one.price.note}" + (f" Rates a second: {others}." if others else "")


def price(one: Endpoint) -> str:
    """Return the price, or `unknown`."""
    if one.price is None:
        return "unknown"
    if one.price.usd_per_second is not None:
        return f"${one.price.usd_per_second:g}/s"
    return f"${one.price.usd_per_video:g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows under a head, with columns as wide as their widest cell."""
    lines = [tuple(head), *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _one_line(text: str, limit: int) -> str:
    """Return a text as one line of at most `limit` characters."""
    return clip(" ".join(text.split()), limit)


def age(seconds: float) -> str:
    """Return a time span in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


# -- The table of `%kling endpoints`, as text and as HTML.


FEW = 16
"""Up to this number of endpoints, the text table has all parameters; above it, one line for each endpoint."""

_OPTIONS = 4
_LEAST_WIDTH = 40
_GAP = "  "
_CELL = "text-align:left;vertical-align:top;padding:4px 12px 4px 0;white-space:normal"
_FOOT = "* is required. Prices are estimates: %kling price NAME"


def text(endpoints: Sequence[Endpoint], width: int) -> str:
    """Return the table for a terminal of `width` columns."""
    rows = [("NAME", "TITLE", "PRICE")] + [
        (visible(one.short_name), visible(_title(one)), price_and_date(one)) for one in endpoints
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    left = sum(widths) + 3 * len(_GAP)
    room = max(width - left, _LEAST_WIDTH)
    lines = []
    for row, parameters in zip(rows, ["PARAMETERS", *map(_parameter_list, endpoints)], strict=True):
        head = _GAP.join(cell.ljust(size) for cell, size in zip(row, widths, strict=True))
        parts = (
            textwrap.wrap(parameters, room, break_on_hyphens=False)
            if len(endpoints) <= FEW
            else [_one_line(parameters, room)]
        )
        lines += [f"{head}{_GAP}{parts[0] if parts else ''}".rstrip()]
        lines += [" " * left + part for part in parts[1:]]
    return "\n".join([*lines, _FOOT, *_notices(endpoints)])


def html(endpoints: Sequence[Endpoint]) -> str:
    """Return the table as HTML. Its styles are inline, because notebooks that are not trusted drop others."""
    heads = "".join(
        f'<th style="{_CELL}">{word}</th>' for word in ("Name", "Endpoint", "Price", "Parameters")
    )
    rows = "".join(_row(one) for one in endpoints)
    notes = "".join(f"<div>{escape(line)}</div>" for line in (_FOOT, *_notices(endpoints)))
    return (
        '<div class="kling-endpoints mathjax_ignore tex2jax_ignore" '
        f'style="{FRAME};max-height:480px;overflow:auto;padding:4px 0 4px 12px">'
        '<div style="display:flex;width:fit-content;min-width:100%">'
        '<table style="border-collapse:collapse;font-size:13px;flex:auto;margin:0;table-layout:auto">'
        f'<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table><div style="{FADE}"></div></div>'
        f'<div style="{SMALL};padding:4px 0">{notes}</div></div>'
    )


def price_and_date(one: Endpoint) -> str:
    """Return the price in the catalogue with its date, or `unknown`."""
    if one.price is None:
        return "unknown"
    return f"{price(one)} ({one.price.as_of or 'undated'})"


def _row(one: Endpoint) -> str:
    parameters = ", ".join(
        f"<strong>{escape(_brief(control))}</strong>" if control.required else escape(_brief(control))
        for control in one.parameters
    )
    parameters = parameters if one.has_schema else _UNREAD
    note = f'<div style="{SMALL}">{escape(one.price.note)}</div>' if one.price else ""
    full = f'<div style="{SMALL}">{escape(visible(one.id))}</div>' if one.id != one.short_name else ""
    cells = (
        f'<span style="font-family:monospace;white-space:nowrap">{escape(visible(one.short_name))}</span>',
        escape(visible(_title(one))) + full,
        f"{escape(price_and_date(one))}{note}",
        parameters,
    )
    return f'<tr style="{RULE}">' + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _title(one: Endpoint) -> str:
    return f"{one.title} (schema of {one.fetched_at[:10]})" if one.fetched_at else one.title


def _notices(endpoints: Sequence[Endpoint]) -> list[str]:
    return [visible(one.notice) for one in endpoints if one.notice]


_UNREAD = "fetched from fal at the first use"


def _parameter_list(one: Endpoint) -> str:
    return ", ".join(_brief(control) for control in one.parameters) if one.has_schema else _UNREAD


def _brief(control: Control) -> str:
    """Return a parameter as `aspect_ratio=16:9|9:16|1:1`, `duration=3…15` or `image_url*`."""
    name = visible(control.name) + "*" * control.required
    if control.options is not None:
        options = [visible(str(option)) for option in control.options]
        if len(options) <= _OPTIONS:
            return f"{name}={'|'.join(options)}"
        span = f"{options[0]}…{options[-1]}" if control.kind == "stepped" else f"({len(options)} words)"
        return f"{name}={span}"
    if control.minimum is not None and control.maximum is not None:
        return f"{name}={control.minimum:g}…{control.maximum:g}"
    return name


# -- The help text of `%%kling?`.


_HEAD = """%%kling [NAME] [flags]
prompt, on one or more lines; {name} and $name are filled in

Make a video with Kling and show it. NAME receives the Video. For an endpoint that makes audio or
images, NAME receives a MediaFile; for one that returns data, a dict; with --no-wait, the Job.
An earlier take of the same request is reused at no cost. --new or --take asks for another take.
"""


def cell_help(chosen: Endpoint) -> str:
    """Return the help text of `%%kling?` for an endpoint."""
    own = [
        (flag_of(control.name), _describe(control))
        for control in chosen.parameters
        if not (control.name in PROMPTS and control.required)
    ]
    return "\n".join(
        [
            _HEAD,
            f"Flags of {chosen.short_name}, {chosen.title} ({chosen.id}; price {price(chosen)}):",
            *_rows(own),
            "",
            "Flags of every endpoint:",
            *_rows([(flag.name, flag.help) for flag in FIXED_FLAGS.values()]),
            "",
            "Another endpoint: %kling endpoints WORD, %kling use NAME, or --endpoint NAME.",
        ]
    )


def _rows(pairs: list[tuple[str, str]]) -> list[str]:
    width = max((len(flag) for flag, _ in pairs), default=0)
    return [f"  {flag.ljust(width)}  {text}" for flag, text in pairs]


def _describe(control: Control) -> str:
    parts = [control.description.rstrip(".")]
    if control.options is not None:
        parts.append(f"one of {', '.join(map(str, control.options))}")
    if control.minimum is not None or control.maximum is not None:
        parts.append(f"{control.minimum:g} to {control.maximum:g}")
    if control.kind == "json":
        parts.append(f"JSON, by --set {control.name}=…")
    if control.default is not None:
        parts.append(f"default {control.default}")
    elif control.required:
        parts.append("required")
    return "; ".join(parts)
