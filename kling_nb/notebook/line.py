"""The `%kling` line and its subcommands, and tab completion after `%%kling` and `%kling`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from kling_nb import front_end
from kling_nb import settings as _settings
from kling_nb._lazy import lazy
from kling_nb.api import default_session
from kling_nb.catalog import Endpoint
from kling_nb.catalog.problem import nearest
from kling_nb.catalog.shipped import endpoints
from kling_nb.errors import KlingError, UsageError
from kling_nb.fal.auth import read_dotenv
from kling_nb.ledger.limits import Grouping
from kling_nb.notebook import tables
from kling_nb.notebook.cell import announce, plan_batch
from kling_nb.notebook.flags import (
    BATCH_LINE,
    FIXED_FLAGS,
    endpoint_in,
    flag_of,
    flags_of,
    parse_batch,
    parse_takes,
    split_words,
)
from kling_nb.notebook.output.terminal import Outputs
from kling_nb.notebook.prompt import Fields, fill_in, value_of_name
from kling_nb.session import Session
from kling_nb.settings import DOTENV

if TYPE_CHECKING:
    from kling_nb.notebook.widgets import panel
else:
    panel = lazy("kling_nb.notebook.widgets.panel")  # boundary 3 of `_lazy`


def run_line(line: str, session: Session, outputs: Outputs, variables: Mapping[str, Any]) -> Any:
    """Run a `%kling` line. Variables are filled in as in cells; for a price, only names.

    Raises:
        UsageError: The subcommand is unknown, has too few or too many words, or a field failed.
    """
    word, _, text = (line.strip() or "status").partition(" ")
    command = COMMANDS.get(word)
    if command is None:
        near = nearest(word, COMMANDS, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(
            f"%kling has no subcommand {_quote_start(word)}.{hint} Nothing was sent.",
            remedy=(
                "To make a video, begin the cell with %%kling and write the prompt on the lines below.\n"
                f"%%kling? and %kling? show help. Available: {', '.join(COMMANDS)}."
            ),
        )
    run, least, most = command
    if word == "batch":  # fields of its prompt are columns
        return _batch(split_words(text), session, outputs)
    rest = fill_in(text, value_of_name(variables) if word == "price" else Fields(variables).value).split()
    if not least <= len(rest) <= most:
        raise UsageError(f"%kling {word} takes {_count(least, most)}.", remedy="See %kling?")
    return run(rest, session, outputs)


def _quote_start(word: str) -> str:
    """Return a word for a message. What follows a ":" or "=" may be a part of a key."""
    start = re.split("[:=]", word)[0]
    return repr(start[:80] + ("…" if len(start) < len(word) else ""))


def _count(least: int, most: int) -> str:
    if most == 0:
        return "no further word"
    return "one word" if least == most else "at most one word" if most == 1 else f"at most {most} words"


def _status(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    outputs.text(tables.status(session))


def _jobs(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    if words and not (words[0].isascii() and words[0].isdigit() and int(words[0]) > 0):
        raise UsageError(f"{words[0]!r} is not a number of jobs.", remedy="Write %kling jobs 20.")
    outputs.text(tables.jobs(session.jobs(limit=int(words[0]) if words else 20)))


def _takes(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    outputs.text(tables.takes(session.takes(**parse_takes(words))))


def _batch(words: Sequence[str], session: Session, outputs: Outputs) -> Any:
    call = parse_batch(words, default_endpoint=session.settings().endpoint, prog=BATCH_LINE)
    batch = plan_batch(call, session, call.prompt, notebook=outputs.notebook)
    if not announce(batch, call, outputs):
        return None
    shown = outputs.show_sweep(batch.start(), quiet=call.quiet)
    shown.wait(call.timeout or session.settings().timeout)
    shown.finish()
    return batch.wait()


def _show(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    outputs.show(session.get_job(words[0]), quiet=False)


def _cancel(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    job = session.get_job(words[0])
    outputs.text(f"Job {job.id}: {job.cancel()}")


def _resume(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    jobs = session.resume()
    count = f"{len(jobs)} unfinished job{'s' * (len(jobs) != 1)}" if jobs else "No unfinished jobs"
    outputs.text(f"{count} in this folder.")
    for job in jobs:
        outputs.show(job, quiet=False)


def _spend(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    by = words[0] if words else "day"
    if by == "--reconcile":
        days = words[1] if words[1:] else "30"
        outputs.text(reconcile_text(session, int(days) if days.isascii() and days.isdigit() else days))
        return
    if words[1:]:
        raise UsageError("%kling spend takes one grouping.", remedy="Write day, endpoint or notebook.")
    if by not in {"day", "endpoint", "notebook"}:
        raise UsageError(f"%kling spend cannot group by {by!r}.", remedy="Write day, endpoint or notebook.")
    outputs.text(tables.spending(session.spending(cast("Grouping", by)), by))


def reconcile_text(session: Session, days: Any) -> str:
    """Return fal's bill of the last days next to the ledger."""
    return tables.reconciliation(session.reconcile(days), {one.id for one in session.endpoints()})


def _price(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    settings = session.settings()
    chosen = session.endpoint(words[0] if words else None)
    lines = [f"{chosen.short_name}: {tables.dated_price(chosen)}"]
    if settings.key is not None and settings.backend == "fal":
        lines.append(f"fal's current price: {session.live_price(chosen.id)} at the default settings")
    outputs.text("\n".join(lines))


def _endpoints(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    if "--refresh" in words:
        names = [word for word in words if word != "--refresh"]
        if len(names) != 1:
            raise UsageError("--refresh takes one id.", remedy="Write %kling endpoints --refresh ID.")
        endpoints: Sequence[Endpoint] = (session.endpoint(names[0], refresh=True),)
    else:
        endpoints = find_endpoints(session, words)
    outputs.table(tables.text(endpoints, terminal_width()), tables.html(endpoints))


def find_endpoints(session: Session, words: Sequence[str]) -> Sequence[Endpoint]:
    """Return the endpoints that have all the words, or the one of an id.

    Raises:
        UsageError: There is none.
    """
    endpoints: Sequence[Endpoint] = session.endpoints(" ".join(words))
    if not endpoints and len(words) == 1 and "/" in words[0]:
        endpoints = (session.endpoint(words[0]),)
    if not endpoints:
        text = " ".join(words)
        raise UsageError(f"No endpoint matches {text!r}.", remedy="%kling endpoints lists all.")
    return endpoints


def terminal_width() -> int:
    """Return the columns of the terminal, or 140 without one."""
    return shutil.get_terminal_size((140, 24)).columns


def _use(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    chosen = session.endpoint(words[0])
    _settings.configure({"endpoint": chosen.id})
    outputs.text(f"Cells now use {chosen.short_name}: {chosen.title} ({chosen.id})")
    if chosen.notice:
        outputs.text(chosen.notice)


def _panel(words: Sequence[str], session: Session, outputs: Outputs) -> Any:
    if not outputs.has_widgets:
        raise UsageError(
            "The panel needs a notebook.", remedy="In a terminal, use %%kling or kling-nb generate."
        )
    return panel.Panel(session)


def _local(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    _settings.configure({"backend": "local"})
    outputs.text("Jobs now go to the local preview server: free previews, made on this machine.")


def _key(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    if words and words[0] != _settings.DOTENV:  # it may be a key, so the message does not repeat it
        raise UsageError(
            f"%kling key takes {_settings.DOTENV} or nothing.",
            remedy=(
                f"%kling key {_settings.DOTENV} uses the {_settings.DOTENV} file of this folder.\n"
                "Never write a key into a notebook. If you did, delete the key at fal and make another one."
            ),
        )
    if words:
        file = front_end.base_folder() / _settings.DOTENV
        if not read_dotenv(file):  # no variable holds the keys
            raise UsageError(f"{file} has no FAL_KEY.", remedy="Write a line FAL_KEY=<id>:<secret> into it.")
        _settings.configure({"dotenv": True})
    settings = session.settings()
    note = _settings.dotenv_note(settings)
    outputs.text(f"Key: {settings.key.source if settings.key else 'none'}." + (f"\n{note}" if note else ""))


def _fal(words: Sequence[str], session: Session, outputs: Outputs) -> None:
    _settings.configure({"backend": "fal"})
    key = session.settings().key
    source = f"Key: {key.source}." if key else "No key yet: set it with kling_nb.configure(credentials=…)."
    outputs.text(f"Jobs now go to fal and cost money. {source}")


_Run = Callable[[Sequence[str], Session, Outputs], Any]
COMMANDS: dict[str, tuple[_Run, int, int]] = {
    "status": (_status, 0, 0),
    "jobs": (_jobs, 0, 1),
    "takes": (_takes, 0, 20),
    "batch": (_batch, 1, 99),
    "show": (_show, 1, 1),
    "resume": (_resume, 0, 0),
    "cancel": (_cancel, 1, 1),
    "endpoints": (_endpoints, 0, 6),
    "use": (_use, 1, 1),
    "price": (_price, 0, 1),
    "spend": (_spend, 0, 2),
    "panel": (_panel, 0, 0),
    "key": (_key, 0, 1),
    "local": (_local, 0, 0),
    "fal": (_fal, 0, 0),
}

# -- tab completion --------------------------------------------------------------------


def matches(before: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Return what may stand at the cursor, or None if the line is not one of ours.

    Returns:
        The word at the cursor so far; and each candidate with its type, which JupyterLab shows.
    """
    magic, *words = before.split() or [""]
    if magic not in ("%%kling", "%kling") or not before[len(magic) :]:
        return None
    word = "" if before[-1:].isspace() or not words else words.pop()
    candidates = cell_candidates if magic == "%%kling" else line_candidates
    try:
        texts = [text for text in candidates(words) if text.startswith(word)]
    except KlingError:  # an incomplete endpoint or a wrong setting: Tab must not show errors
        texts = []
    first = "command" if magic == "%kling" and not words else "value"
    return word, [(text, "option" if text.startswith("-") else first) for text in texts]


def cell_candidates(words: list[str]) -> Iterable[str]:
    """Return what may follow `words` on a `%%kling` line: the values of a flag, or flags not used yet."""
    chosen = default_session().endpoint(endpoint_in(words), fetch=False)  # Tab must not wait for the network
    last = words[-1] if words else ""
    if last == "--endpoint":
        return [one.short_name for one in endpoints()]
    if last in FIXED_FLAGS and (choices := FIXED_FLAGS[last].value.get("choices")):
        return list(choices)
    for control in chosen.parameters:
        if last in {flag_of(control.name), f"--{control.name}"} and control.options:
            return [str(option) for option in control.options]
    repeatable = {flag.name for flag in FIXED_FLAGS.values() if flag.repeatable}
    return [flag for flag in flags_of(chosen) if flag in repeatable or flag not in words]


def line_candidates(words: list[str]) -> Iterable[str]:
    """Return what may follow `words` on a `%kling` line."""
    if not words:
        return COMMANDS
    if words == ["key"]:
        return [DOTENV]
    if words == ["use"]:
        return [one.short_name for one in endpoints()]
    if words == ["spend"]:
        return ["day", "endpoint", "notebook", "--reconcile"]
    if words in (["show"], ["cancel"]):
        return [entry.id for entry in default_session().jobs(limit=30)]
    return []
