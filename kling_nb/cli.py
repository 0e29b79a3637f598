"""`kling-nb` on the command line: generate, jobs, resume, ledger, media, freeze, verify and others.

Errors are worded for cells. `_in_shell` puts the commands of a shell in the place of `%kling` lines.
"""

from __future__ import annotations

import argparse
import asyncio
import codecs
import getpass
import io
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kling_nb import __version__, doctor
from kling_nb.api import close_default_session, default_session, local_notice
from kling_nb.background import wait
from kling_nb.catalog.problem import counted
from kling_nb.errors import InputError, Interrupted, KlingError, UsageError
from kling_nb.fal import auth
from kling_nb.job import rebuild
from kling_nb.job.plan import Call
from kling_nb.ledger.database import ledger_path
from kling_nb.library import Library
from kling_nb.local.__main__ import main as local
from kling_nb.media import MediaFolder, Takes
from kling_nb.notebook import tables
from kling_nb.notebook.card.job import card_text
from kling_nb.notebook.card.sheet import sheet
from kling_nb.notebook.cell import dry_run_text, plan_batch
from kling_nb.notebook.flags import (
    BATCH,
    command_help,
    count,
    parse_batch,
    parse_words,
    take_filters,
    with_flag_name,
)
from kling_nb.notebook.line import find_endpoints, reconcile_text, terminal_width
from kling_nb.notebook.output.terminal import (
    ShownSweep,
    TerminalSweep,
    plan_text,
    show_text,
    wait_with_progress,
)
from kling_nb.notebook.saved.renewal import freeze
from kling_nb.notebook.saved.verify import exit_status, report, verify
from kling_nb.settings import current
from kling_nb.video.decisions import check_rating

if TYPE_CHECKING:
    from kling_nb.job.job import Job

_IN_SHELL = (
    (r"%kling (jobs|takes|resume|spend|endpoints)\b", r"kling-nb \1"),
    (r"(?m): %kling price NAME$", "."),
    (r" \(API: jobs\(\)\)", ""),
    (r"\bget_job\(request_id, endpoint=…\)", "kling-nb resume REQUEST_ID --endpoint NAME"),
    (r"%kling show\b", "kling-nb resume"),
    (r"%kling (local|fal)\b", r"KLING_NB_BACKEND=\1"),
    (r"\bthe cell again\b", "the command again"),
    (r"\bbefore Jupyter starts, or call kling_nb\.configure\(credentials=…\)", "in the environment"),
    (r"\bgive overwrite=True\b", "give --overwrite"),
)
"""Words of remedies that mean nothing in a shell, and what to write there."""

VERIFY = (
    "Read the notebook without running it. List for each %%kling cell if its take is here, and what it would "
    "cost. Python calls of kling_nb are listed as unknown; only a frozen run (KLING_NB_FROZEN=1) can check "
    "them. Exit status: 0 all takes are here, 3 only unknown ones remain, 1 otherwise."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 success, 1 a KlingError, 2 a usage error, 3 `verify` found unknown cells,
        130 interrupted, 141 the reader of the output has closed it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # No prompt or path may end a command.
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["local"]:
        return int(local(words[1:]) or 0)
    try:
        # Their flags depend on the endpoint that they name.
        run: Any = {"generate": _generate, "batch": _batch}.get(words[0] if words else "")
        parsed: Any = words[1:] if run else _parser().parse_args(words)
        run = run or parsed.run
        code = int(run(parsed) or 0)
        close_default_session()
        # None: it was closed before Python started. The three print by `show_text`, so that no paid job ends.
        if sys.stdout is not None and run not in {_generate, _batch, _resume}:
            sys.stdout.flush()  # If `| head` has closed it, the error must occur here, not at exit.
        return code
    except Interrupted as fault:
        _note(_error_text(fault))
        return 130
    except KlingError as fault:
        _note(_error_text(fault))
        with suppress(KlingError):
            close_default_session()
        return 2 if isinstance(fault, UsageError) else 1
    except BrokenPipeError:
        return 141
    finally:
        _abandon_unwritable(sys.stdout)
        _abandon_unwritable(sys.stderr)


def _error_text(fault: KlingError) -> str:
    """Return an error as text for a shell, with the name of the program."""
    text = _in_shell(str(fault))
    return text if text.startswith("kling-nb ") else f"kling-nb: {text}"


def _in_shell(text: str) -> str:
    """Return a text of ours with the commands of a shell in the place of `%kling` lines."""
    for cell, shell in _IN_SHELL:
        text = re.sub(cell, shell, text)
    return text


def _note(text: str) -> None:
    """Print a line on standard error, if there is one."""
    if sys.stderr is not None:
        show_text(text, sys.stderr)


def _abandon_unwritable(stream: TextIO | None) -> None:
    """Drop what a closed or full stream could not take. Python flushes at exit, and would exit with 120."""
    if stream is None:
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kling-nb", description="Kling video on fal.ai, from the command line.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"kling-nb {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[..., object] | None, text: str, **more: Any) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, **more)
        command.set_defaults(run=run)
        return command

    add("generate", None, "make a video and wait for it (kling-nb generate --help)")
    add("batch", None, "make a video for each row of a table (kling-nb batch --help)")
    _add_lists(add)
    command = add("resume", _resume, "resume unfinished jobs and wait for their files")
    command.add_argument("ids", nargs="*", metavar="ID", help="jobs (default: all of this folder)")
    command.add_argument("--everywhere", action="store_true", help="also jobs of other folders")
    command.add_argument("--endpoint", help="the endpoint of requests that were made elsewhere")
    command = add("spend", _spend, "add up what fal's jobs cost, or compare it with fal's bill")
    command.add_argument("by", nargs="?", default="day", choices=("day", "endpoint", "notebook"))
    command.add_argument("--reconcile", action="store_true", help="compare (needs an ADMIN key)")
    command.add_argument("--days", type=int, default=30, help="days to compare, up to 90 (30)")
    command = add("ledger", _ledger, "check or rebuild the ledger of submitted jobs")
    command.add_argument("what", choices=("check", "rebuild"), help="check changes nothing")
    command.add_argument("folders", nargs="*", metavar="FOLDER", help="more folders of takes to search")
    command = add("media", _media, "show what the takes need, or delete old ones")
    command.add_argument("what", choices=("status", "prune"), help="prune only lists, unless --delete")
    command.add_argument("folder", nargs="?", type=Path, help="a folder of takes (default: the one in use)")
    command.add_argument("--older-than", type=float, metavar="DAYS", help="takes stored before")
    command.add_argument("--endpoint", metavar="NAME", help="takes of this endpoint")
    command.add_argument("--unrated", action="store_true", help="takes without a rating, note, tag or choice")
    command.add_argument("--delete", action="store_true", help="delete previews, and takes with a copy")
    command.add_argument("--yes", action="store_true", help="with --delete: paid takes without a copy, too")
    command = add("library", _library, "show or exchange the takes of the studio's library")
    command.add_argument("what", choices=("status", "push", "pull", "gc"), help="gc only lists, unless --yes")
    command.add_argument("--rating", type=int, metavar="N", help="pull only takes with N stars or more")
    command.add_argument("--older-than", metavar="90d", help="gc only what was stored so many days ago")
    command.add_argument("--yes", action="store_true", help="with gc: delete")
    command = add("freeze", _freeze, "replace widgets in notebooks with static cards, for sharing")
    command.add_argument("file", nargs="+", type=Path, metavar="FILE", help="a notebook, changed in place")
    command = add("verify", _verify, "list the kling cells of a notebook and their takes", description=VERIFY)
    command.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    add("doctor", _doctor, "check this installation; never shows a key")
    command = add("key", _key, "store the key in the system's key ring (kling_nb[keyring])")
    command.add_argument("what", choices=("set", "forget"), help="set asks for the key without showing it")
    add("local", None, "run the local preview server alone (kling-nb local --help)")
    return parser


def _add_lists(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands that list jobs, endpoints and takes, or show takes on a sheet."""
    command = add("jobs", _jobs, "list jobs, newest first")
    command.add_argument("-n", type=count, default=20, help="number of jobs (20)")
    command.add_argument("--unfinished", action="store_true", help="only unfinished jobs")
    command = add("endpoints", _endpoints, "list endpoints with their parameters and prices")
    command.add_argument("words", nargs="*", metavar="WORD", help="only endpoints with all these words")
    take_filters(add("takes", _takes, "list stored takes, newest first"))
    command = take_filters(add("sheet", _sheet, "write a contact sheet of stored takes"))
    command.add_argument("file", type=Path, metavar="FILE", help="the new file: .html or .png")
    command.add_argument("--columns", type=int, metavar="N", help="videos in a row")
    command.add_argument("--title", help="the heading")
    command.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _generate(words: list[str]) -> None:
    session = default_session()
    settings = session.settings()
    if {"-h", "--help"} & set(words):
        print(command_help(words, default_endpoint=settings.endpoint))
        return
    prompt, call = parse_words(words, default_endpoint=settings.endpoint)
    arguments = call.submit_arguments()
    earlier = None
    if prompt == "-":
        prompt, read_before = _prompt_from_input()
        earlier = Call.of(read_before, arguments) if read_before is not None else None
    try:
        plan = session.plan(prompt, earlier=earlier, **arguments)
    except InputError as fault:
        raise with_flag_name(fault, call) from None
    if call.dry_run:
        print(plan_text(plan))
        return
    if settings.backend == "local" and not call.wait:
        raise UsageError(
            "--no-wait needs the backend fal: the local preview server stops with this command.",
            remedy="Leave out --no-wait.",
        )
    if settings.backend == "local" and not settings.chosen and not call.quiet:
        _note(local_notice())
    job = session._launch(plan)
    # A wait shows the log, which begins with the notices.
    for line in () if call.quiet else (*job.about, *(() if call.wait else job.notices)):
        _note(line)
    if not call.wait:
        wait(job._answered)
        if job.error is not None:
            raise job.error
        show_text(job.id)
        return
    timeout = call.timeout or settings.timeout
    if call.quiet or sys.stderr is None:
        job.wait(timeout)
    else:
        wait_with_progress(job, sys.stderr, timeout)
        _note(card_text(job))
    show_text(str(job.file))


def _batch(words: list[str]) -> None:
    session = default_session()
    settings = session.settings()
    if {"-h", "--help"} & set(words):
        print(command_help(words, default_endpoint=settings.endpoint, prog=BATCH))
        return
    call = parse_batch(words, default_endpoint=settings.endpoint)
    batch = plan_batch(call, session, call.prompt)
    if call.dry_run:
        print(dry_run_text(batch))
        return
    batch._check_frozen()
    for line in () if call.quiet else (batch.price, *batch.notices):
        _note(line)
    quiet = call.quiet or sys.stderr is None
    shown = ShownSweep(batch) if quiet else TerminalSweep(batch, sys.stderr)
    batch.start()
    shown.wait(call.timeout or settings.timeout)
    for row in batch.records:
        if row["path"] is not None:
            show_text(row["path"])
    batch.wait()


def _prompt_from_input() -> tuple[str, str | None]:
    """Read the prompt from standard input, and how version 0.1.0 read it, if that differs.

    A byte order mark stays for `VideoRequest.build`, which removes it and knows what an earlier version sent.
    It also says that the text is UTF-8, whatever encoding Windows gives the stream.
    """
    if sys.stdin is None:
        raise UsageError(
            "The prompt is '-', and standard input is closed.", remedy="Write the prompt in quotes."
        )
    data = sys.stdin.buffer.read()
    marks = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8"}
    encoding = next((name for mark, name in marks.items() if data.startswith(mark)), sys.stdin.encoding)
    try:
        text = _decode(data, encoding)
    except UnicodeDecodeError:
        raise UsageError(
            f"The prompt on standard input is not text in {encoding}.", remedy="Save it as UTF-8."
        ) from None
    before = None
    with suppress(UnicodeDecodeError):
        before = _decode(data, sys.stdin.encoding)
    return text, before if before != text else None


def _decode(data: bytes, encoding: str) -> str:
    """Return standard input as text, with line ends as Python's text files have them."""
    text = data.decode(encoding, sys.stdin.errors or "strict")
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _jobs(parsed: argparse.Namespace) -> None:
    print(tables.jobs(default_session().jobs(limit=parsed.n, unfinished=parsed.unfinished)))


def _takes(parsed: argparse.Namespace) -> None:
    print(tables.takes(_chosen_takes(parsed)))


def _sheet(parsed: argparse.Namespace) -> None:
    look = {"columns": parsed.columns, "title": parsed.title, "overwrite": parsed.overwrite}
    print(sheet(_chosen_takes(parsed), parsed.file, **look))


def _chosen_takes(parsed: argparse.Namespace) -> Takes:
    conditions = {name: getattr(parsed, name) for name in ("rating", "tag", "endpoint", "chosen")}
    return default_session().takes(**conditions)


def _resume(parsed: argparse.Namespace) -> int:
    session = default_session()
    if parsed.ids:
        jobs = [session.get_job(any_id, parsed.endpoint) for any_id in parsed.ids]
    else:
        jobs = session.resume(everywhere=parsed.everywhere)
    if not jobs:
        _note("No unfinished jobs.")
        return 0
    _note(f"Resuming {len(jobs)}: {', '.join(job.id for job in jobs)}")
    try:
        return asyncio.run(_print_files(jobs))
    except KeyboardInterrupt:
        raise Interrupted(
            "Stopped waiting. The jobs keep running at fal.", remedy="Get their files later: kling-nb resume"
        ) from None


async def _print_files(jobs: Sequence[Job]) -> int:
    """Wait for jobs, print the path of each file as soon as it is stored, and return the exit code."""

    async def print_file(job: Job) -> bool:
        try:
            await job.wait_async()  # An interrupt ends the wait, but not the job.
        except KlingError as fault:
            _note(f"{job.id}: {_in_shell(str(fault))}")
            return False
        show_text(str(job.file))
        return True

    return 0 if all(await asyncio.gather(*map(print_file, jobs))) else 1


def _endpoints(parsed: argparse.Namespace) -> None:
    found = find_endpoints(default_session(), parsed.words)
    print(_in_shell(tables.text(found, terminal_width())))


def _spend(parsed: argparse.Namespace) -> None:
    session = default_session()
    print(
        reconcile_text(session, parsed.days)
        if parsed.reconcile
        else tables.spending(session.spending(parsed.by), parsed.by)
    )


def _ledger(parsed: argparse.Namespace) -> int:
    settings = current({"backend": "local"})  # Only its folders are needed, so no key is searched.
    path = ledger_path(settings.home, settings.ledger_folder)
    for folder in parsed.folders:
        _check_folder(Path(folder))
    folders = dict.fromkeys([settings.ledger_folder, *(Path(folder).resolve() for folder in parsed.folders)])
    if parsed.what == "check":
        health = rebuild.check(path, folders, settings.index)
        print(_in_shell(tables.health(health)))
        return 1 if health.whole is False else 0
    old, rows = rebuild.rebuild(path, folders)
    print(f"{path} now has {counted(rows, 'job')}." + (f" The old ledger is kept as {old}." if old else ""))
    return 0


def _check_folder(folder: Path) -> None:
    """Raise unless a folder that was named is there: a wrong name must not look like an empty folder."""
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", remedy="Name a folder of takes.")


def _media(parsed: argparse.Namespace) -> None:
    if parsed.folder is not None:
        _check_folder(parsed.folder)
    settings = current({"backend": "local"})  # Only its folders are needed, so no key is searched.
    is_status = parsed.what == "status"
    chosen = parsed.older_than is not None or parsed.endpoint is not None or parsed.unrated
    if is_status and (chosen or parsed.delete or parsed.yes):
        raise UsageError("kling-nb media status takes no conditions.", remedy="Use kling-nb media prune.")
    if not is_status and (not chosen or (parsed.older_than or 0) < 0):
        raise UsageError(
            "kling-nb media prune needs a condition.",
            remedy="Give --older-than DAYS (a number from 0), --endpoint NAME or --unrated.",
        )
    before = None if parsed.older_than is None else time.time() - 86_400 * parsed.older_than
    endpoint = default_session().endpoint(parsed.endpoint, fetch=False).id if parsed.endpoint else None
    with closing(MediaFolder((parsed.folder or settings.media).resolve(), settings.index)) as media:
        if is_status:
            print(tables.media(media))
            return
        free, paid = media.to_prune(before=before, endpoint=endpoint, unrated=parsed.unrated)
        with media.one_look():
            for take in [*free, *(paid if parsed.yes else ())] if parsed.delete else ():
                media.delete(take)
    print(tables.pruned(free, paid, delete=parsed.delete, yes=parsed.yes))


def _library(parsed: argparse.Namespace) -> int:
    settings = current({"backend": "local"})  # Only its folders are needed, so no key is searched.
    if parsed.rating is not None and parsed.what != "pull":
        raise UsageError("--rating is for kling-nb library pull.")
    days = re.fullmatch(r"(\d{1,6})d?", parsed.older_than or "")
    if parsed.what != "gc" and (parsed.older_than is not None or parsed.yes):
        raise UsageError("--older-than and --yes are for kling-nb library gc.")
    if parsed.what == "gc" and days is None:
        raise UsageError("gc needs an age.", remedy="Give --older-than 90d (a whole number of days).")
    if settings.library is None:
        raise UsageError("No library is set.", remedy="Set KLING_NB_LIBRARY to its URL: docs/library.md.")
    with closing(MediaFolder(settings.media.resolve(), settings.index)) as media:
        studio = Library(settings.library)
        if parsed.what == "status":
            print(tables.library(studio.store.name, studio.status(media), media.folder))
            return 0
        if days is not None:
            old, size = studio.gc(media, int(days[1]), delete=parsed.yes)
            print(tables.collected([one.key for one in old], size, deleted=parsed.yes))
            return 0
        rating = check_rating(parsed.rating)
        done, faults = studio.push_all(media) if parsed.what == "push" else studio.pull(media, rating)
    for take in done:
        show_text(str(take.path))
    word = {"push": "Pushed", "pull": "Pulled"}[parsed.what]
    _note("\n".join([*faults, f"{word} {counted(len(done), 'take')}. {len(faults)} failed."]))
    return 1 if faults else 0


def _freeze(parsed: argparse.Namespace) -> None:
    for path in parsed.file:
        print(f"{path}: {'frozen' if freeze(path) else 'nothing to change'}")


def _verify(parsed: argparse.Namespace) -> int:
    cells = verify(parsed.notebook)
    print(report(cells))
    return exit_status(cells)


def _doctor(parsed: argparse.Namespace) -> int:
    findings = doctor.examine()
    print(doctor.report(findings))
    return 0 if all(finding.good is not False for finding in findings) else 1


def _key(parsed: argparse.Namespace) -> None:
    if parsed.what == "forget":
        print("The key is removed." if auth.drop() else "The key ring has no key.")
        return
    auth.check_installed()
    store = auth.keep(auth.check_key(_read_key(), "the prompt" if sys.stdin.isatty() else "standard input"))
    print(f"The key is stored in: {store}. A running kernel uses it after %kling fal.")


def _read_key() -> str:
    """Read a key from the terminal, without echo, or from standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    try:
        return getpass.getpass("fal key (https://fal.ai/dashboard/keys), not shown: ")
    except (KeyboardInterrupt, EOFError):
        raise Interrupted("Nothing was stored.") from None


if __name__ == "__main__":
    sys.exit(main())
