"""The subcommands of `%kling`."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable, Sequence
from typing import Any, cast

from kling_nb import _settings
from kling_nb._session import Session
from kling_nb.catalog import Endpoint
from kling_nb.errors import UsageError
from kling_nb.ledger.spending import Grouping
from kling_nb.notebook import endpoint_table, listing
from kling_nb.notebook.outputs import Outputs, TerminalOutputs


def run_line(line: str, session: Session, outputs: Outputs) -> Any:
    """Do what a `%kling` line says.

    Raises:
        UsageError: An unknown subcommand, or a missing or superfluous word.
    """
    word, *rest = line.split() or ["status"]
    command = _COMMANDS.get(word)
    if command is None:
        near = difflib.get_close_matches(word, _COMMANDS, 1, 0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(
            f"%kling has no subcommand {word!r}.{hint}", remedy=f"There are: {', '.join(_COMMANDS)}."
        )
    run, least, most = command
    if not least <= len(rest) <= most:
        raise UsageError(f"%kling {word} takes {_count(least, most)}.", remedy="%kling? explains them.")
    return run(rest, session, outputs)


def _count(least: int, most: int) -> str:
    if most == 0:
        return "no further word"
    return "one word" if least == most else "at most one word" if most == 1 else f"at most {most} words"


def _status(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    outputs.text(listing.status(session))


def _jobs(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    if words and not (words[0].isascii() and words[0].isdigit() and int(words[0]) > 0):
        raise UsageError(f"%kling jobs {words[0]!r}: that is not a number.", remedy="%kling jobs 20")
    outputs.text(listing.jobs(session.jobs(limit=int(words[0]) if words else 20)))


def _show(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    outputs.show(session.get_job(words[0]), quiet=False)


def _cancel(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    job = session.get_job(words[0])
    outputs.text(f"Job {job.id}: {job.cancel()}.")


def _resume(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    jobs = session.resume()
    outputs.text(f"{len(jobs)} unfinished here." if jobs else "Nothing is unfinished here.")
    for job in jobs:
        outputs.show(job, quiet=False)


def _spend(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    by = words[0] if words else "day"
    if by not in {"day", "endpoint", "notebook"}:
        raise UsageError(f"%kling spend {by!r}: that is no grouping.", remedy="day, endpoint or notebook.")
    outputs.text(listing.spending(session.spending(cast("Grouping", by)), by))


def _price(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    settings = session.settings()
    chosen = session.endpoint(words[0] if words else None)
    lines = [f"{chosen.short_name}: {listing.dated_price(chosen)}"]
    if settings.key is not None and settings.backend == "fal":
        lines.append(f"fal says now: {session.live_price(chosen.id)} at the default settings")
    outputs.text("\n".join(lines))


def _endpoints(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    if "--refresh" in words:
        names = [word for word in words if word != "--refresh"]
        if len(names) != 1:
            raise UsageError("--refresh takes one id.", remedy="%kling endpoints --refresh ID")
        found: Sequence[Endpoint] = (session.endpoint(names[0], refresh=True),)
    else:
        found = session.endpoints(" ".join(words))
    if not found and len(words) == 1 and "/" in words[0]:
        found = (session.endpoint(words[0]),)
    if not found:
        text = " ".join(words)
        raise UsageError(f"No endpoint's name holds {text!r}.", remedy="%kling endpoints lists all.")
    width = shutil.get_terminal_size((140, 24)).columns
    outputs.table(endpoint_table.text(found, width), endpoint_table.html(found))


def _use(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    chosen = session.endpoint(words[0])
    _settings.configure({"endpoint": chosen.id})
    outputs.text(f"Cells now use {chosen.short_name}: {chosen.title} ({chosen.id})")
    if chosen.notice:
        outputs.text(chosen.notice)


def _panel(words: Sequence[str], session: Session, outputs: Outputs) -> Any:
    if isinstance(outputs, TerminalOutputs):
        raise UsageError("The panel needs a notebook.", remedy="In a terminal: %%kling, or kling-nb generate")
    from kling_nb.notebook.panel import Panel  # noqa: PLC0415 -- 100 ms of imports, for who asks for it

    return Panel(session)


def _local(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    _settings.configure({"backend": "local"})
    outputs.text("Jobs now go to the embedded engine: free previews, made on this machine.")


def _fal(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    _settings.configure({"backend": "fal"})
    key = session.settings().key
    source = (
        f"The key is from: {key.source}." if key else "There is no key yet: kling_nb.configure(credentials=…)"
    )
    outputs.text(f"Jobs now go to fal, and cost money. {source}")


_Run = Callable[[Sequence[str], Session, Outputs], Any]
_COMMANDS: dict[str, tuple[_Run, int, int]] = {
    "status": (_status, 0, 0),
    "jobs": (_jobs, 0, 1),
    "show": (_show, 1, 1),
    "resume": (_resume, 0, 0),
    "cancel": (_cancel, 1, 1),
    "endpoints": (_endpoints, 0, 6),
    "use": (_use, 1, 1),
    "price": (_price, 0, 1),
    "spend": (_spend, 0, 1),
    "panel": (_panel, 0, 0),
    "local": (_local, 0, 0),
    "fal": (_fal, 0, 0),
}
SUBCOMMANDS = tuple(_COMMANDS)
