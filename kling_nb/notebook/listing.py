"""Tables and summaries as text: the same in a notebook, a terminal and on the command line."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kling_nb._session import Session
from kling_nb.catalog import Endpoint
from kling_nb.ledger import Entry, Spending

if TYPE_CHECKING:
    from kling_nb._ledger_care import Health

_SHOWN = 10


def status(session: Session) -> str:
    """What is set, and what is unfinished here."""
    settings = session.settings()
    chosen = session.endpoint()
    where = "fal" if settings.backend == "fal" else "the embedded engine (free previews)"
    reason = "" if settings.chosen else f", because {'a' if settings.key else 'no'} key was found"
    lines = [
        f"Backend   {where}{reason}",
        f"Key       {settings.key.source if settings.key else 'none'}",
        f"Endpoint  {chosen.short_name}  ({chosen.id})",
        f"Media     {settings.media}",
        f"Ledger    {session.ledger.path}",
    ]
    unfinished = session.jobs(here=True, unfinished=True)
    if unfinished:
        lines += [
            "",
            f"Unfinished here: {len(unfinished)}. %kling show ID takes one up again.",
            jobs(unfinished),
        ]
    return "\n".join(lines)


def jobs(entries: Sequence[Entry]) -> str:
    """A table of ledger rows."""
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
                entry.endpoint.removeprefix("fal-ai/kling-video/"),
                entry.backend,
                entry.units or "",
                clip(entry.prompt, 48),
            )
            for entry in entries
        ),
    )


def health(found: Health) -> str:
    """What a look at the ledger showed."""
    if found.whole is None:
        state = "there is none yet"
    else:
        state = "in order" if found.whole else "DAMAGED: kling-nb ledger rebuild"
    lines = [f"Ledger      {found.path}: {state}"]
    if found.whole:
        lines.append(f"Jobs        {found.rows}, {found.unfinished} unfinished (kling-nb resume)")
    if found.network:
        lines.append("Disk        a network file system: written with a rollback journal")
    for head, what in (
        ("No file", [f"{job_id}: fetched again by %kling show {job_id}" for job_id in found.lost]),
        ("No row", [f"{path}: recorded by kling-nb ledger rebuild" for path in found.unrecorded]),
    ):
        lines += [f"{head.ljust(12)}{text}" for text in what[:_SHOWN]]
        if len(what) > _SHOWN:
            lines.append(f"{'':12}and {len(what) - _SHOWN} more")
    return "\n".join(lines)


def spending(groups: Sequence[Spending], by: str) -> str:
    """A table of what fal's jobs cost, with its sum."""
    if not groups:
        return "Nothing was spent: no job was sent to fal."
    rows = [
        (one.group or "(no notebook)", str(one.jobs), f"{one.units:g}", _amount(one.usd, one.unknown))
        for one in groups
    ]
    total = _amount(sum(one.usd for one in groups), sum(one.unknown for one in groups))
    rows.append(
        ("total", str(sum(one.jobs for one in groups)), f"{sum(one.units for one in groups):g}", total)
    )
    note = "By the catalogue's prices; fal's own figures are at https://fal.ai/dashboard/usage"
    return table((by.upper(), "JOBS", "UNITS", "ABOUT"), rows) + "\n" + note


def _amount(usd: float, unknown: int) -> str:
    return f"${usd:.2f}" + (f" and {unknown} of unknown price" if unknown else "")


def dated_price(one: Endpoint) -> str:
    """The catalogue's price with its note and date."""
    if one.price is None:
        return "the catalogue knows no price"
    others = ", ".join(f"{name.replace('_', ' ')} ${usd:g}" for name, usd in one.price.variants.items())
    when = f"as of {one.price.as_of}" if one.price.as_of else "undated"
    return f"{price(one)} ({when}). {one.price.note}" + (f" Rates a second: {others}." if others else "")


def price(one: Endpoint) -> str:
    """The known price, or that it is not known."""
    if one.price is None:
        return "unknown"
    if one.price.usd_per_second is not None:
        return f"${one.price.usd_per_second:g}/s"
    return f"${one.price.usd_per_video:g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns padded to their widest cell; the last one is not padded."""
    lines = [tuple(head), *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def clip(text: str, limit: int) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def age(seconds: float) -> str:
    """A span in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
