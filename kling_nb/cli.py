"""`kling-nb` on the command line: generate, jobs, resume, ledger, freeze, verify, doctor, key, local."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb.errors import Interrupted, KlingError, UsageError

if TYPE_CHECKING:
    from kling_nb._job import Job


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 done, 1 an error of ours, 2 a usage error, 130 interrupted, 141 nobody reads on.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["local"]:
        from kling_nb.local.__main__ import main as local  # noqa: PLC0415 -- the engine is for this command only

        return int(local(words[1:]) or 0)
    try:
        if words[:1] == ["generate"]:  # its flags follow from the endpoint that they name
            return _generate(words[1:])
        parsed = _parser().parse_args(words)
        code = int(parsed.run(parsed))
        sys.stdout.flush()  # `| head` may have closed it: said here, not when the interpreter ends
        return code
    except Interrupted as fault:
        print(f"kling-nb: {fault}", file=sys.stderr)
        return 130
    except KlingError as fault:
        print(f"kling-nb: {fault}", file=sys.stderr)
        return 2 if isinstance(fault, UsageError) else 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        return 141


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kling-nb", description="Kling video on fal.ai, from the command line.", allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("generate", help="make a video and wait for it (kling-nb generate --help)")
    jobs = commands.add_parser("jobs", help="list submissions, newest first")
    jobs.add_argument("-n", type=int, default=20, help="how many (20)")
    jobs.add_argument("--unfinished", action="store_true", help="only those still to be completed")
    jobs.set_defaults(run=_jobs)
    resume = commands.add_parser("resume", help="take up unfinished jobs again, and wait for their files")
    resume.add_argument("ids", nargs="*", metavar="ID", help="only these; by default all of this folder")
    resume.add_argument("--everywhere", action="store_true", help="those of other folders too")
    resume.set_defaults(run=_resume)
    ledger = commands.add_parser("ledger", help="check the record of submissions, or make it anew")
    ledger.add_argument("what", choices=("check", "rebuild"), help="check changes nothing")
    ledger.add_argument("folders", nargs="*", metavar="FOLDER", help="more folders of videos to look in")
    ledger.set_defaults(run=_ledger)
    freeze = commands.add_parser("freeze", help="leave static cards only in notebooks, for sharing")
    freeze.add_argument(
        "file", nargs="+", type=Path, metavar="FILE", help="a notebook; it is changed in place"
    )
    freeze.set_defaults(run=_freeze)
    verify = commands.add_parser("verify", help="say which kling cells of a notebook have their take")
    verify.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    verify.set_defaults(run=_verify)
    doctor = commands.add_parser("doctor", help="check this installation; never shows a key")
    doctor.set_defaults(run=_doctor)
    key = commands.add_parser("key", help="keep the key in the system's key ring (needs kling_nb[keyring])")
    key.add_argument("what", choices=("set", "forget"), help="set asks for it, without showing it")
    key.set_defaults(run=_key)
    commands.add_parser("local", help="serve the embedded engine alone (kling-nb local --help)")
    return parser


def _generate(words: list[str]) -> int:
    from kling_nb._default import LOCAL_NOTICE, default_session  # noqa: PLC0415 -- `kling-nb --help` is quick
    from kling_nb.engine import wait  # noqa: PLC0415
    from kling_nb.notebook.flags import command_help, parse_words  # noqa: PLC0415
    from kling_nb.notebook.outputs import card_text, plan_text  # noqa: PLC0415
    from kling_nb.notebook.progress import wait_with_progress  # noqa: PLC0415

    session = default_session()
    settings = session.settings()
    if {"-h", "--help"} & set(words):
        print(command_help(words, default_endpoint=settings.endpoint))
        return 0
    prompt, call = parse_words(words, default_endpoint=settings.endpoint)
    if prompt == "-":
        prompt = sys.stdin.read().strip()
    chosen: dict[str, Any] = {
        "endpoint": call.endpoint,
        "image": call.image,
        "end_image": call.end_image,
        "take": call.take,
        "new": call.new,
        "max_cost": call.max_cost,
        "frozen": call.frozen or None,
        "webhook_url": call.webhook,
        **call.options,
    }
    if call.dry_run:
        print(plan_text(session.plan(prompt, **chosen, **call.parameters)))
        return 0
    if settings.backend == "local" and not call.wait:
        raise UsageError("--no-wait makes no sense here: the embedded engine ends with this command.")
    if settings.backend == "local" and not settings.chosen and not call.quiet:
        print(LOCAL_NOTICE, file=sys.stderr)
    job = session.submit(prompt, **chosen, **call.parameters)
    if not call.wait:
        wait(job.answered)
        if job.error is not None:
            raise job.error
        print(job.id)
        return 0
    timeout = call.timeout or settings.timeout
    if call.quiet:
        job.wait(timeout)
    else:
        wait_with_progress(job, sys.stderr, timeout)
        print(card_text(job), file=sys.stderr)
    print(job.file)
    return 0


def _jobs(parsed: argparse.Namespace) -> int:
    from kling_nb._default import default_session  # noqa: PLC0415
    from kling_nb.notebook import listing  # noqa: PLC0415

    print(listing.jobs(default_session().jobs(limit=parsed.n, unfinished=parsed.unfinished)))
    return 0


def _resume(parsed: argparse.Namespace) -> int:
    import asyncio  # noqa: PLC0415

    from kling_nb._default import default_session  # noqa: PLC0415

    session = default_session()
    if parsed.ids:
        jobs = [session.get_job(any_id) for any_id in parsed.ids]
    else:
        jobs = session.resume(everywhere=parsed.everywhere)
    if not jobs:
        print("Nothing is unfinished here.", file=sys.stderr)
        return 0
    print(f"Taking up {len(jobs)}: {', '.join(job.id for job in jobs)}", file=sys.stderr)
    try:
        return asyncio.run(_brought(jobs))
    except KeyboardInterrupt:
        raise Interrupted(
            "Interrupted. What fal has goes on there.", remedy="Get it later: kling-nb resume"
        ) from None


async def _brought(jobs: Sequence[Job]) -> int:
    """Print each job's file when it is there; the exit code."""
    import asyncio  # noqa: PLC0415

    async def brought(job: Job) -> bool:
        try:
            await job.wait_async()  # an interrupt ends the wait, and leaves the job alone
        except KlingError as fault:
            print(f"{job.id}: {fault}", file=sys.stderr)
            return False
        print(job.file, flush=True)
        return True

    return 0 if all(await asyncio.gather(*map(brought, jobs))) else 1


def _ledger(parsed: argparse.Namespace) -> int:
    from kling_nb import _ledger_care as care  # noqa: PLC0415
    from kling_nb._settings import current  # noqa: PLC0415
    from kling_nb.ledger.home import ledger_path  # noqa: PLC0415
    from kling_nb.notebook import listing  # noqa: PLC0415

    settings = current({"backend": "local"})  # for its folders: so no key is looked for
    path = ledger_path(settings.home, settings.media)
    folders = dict.fromkeys([settings.media, *(Path(folder).resolve() for folder in parsed.folders)])
    if parsed.what == "check":
        health = care.check(path, folders)
        print(listing.health(health))
        return 1 if health.whole is False else 0
    aside, rows = care.rebuild(path, folders)
    print(f"{path} holds {rows} jobs now." + (f" The old one is kept as {aside}." if aside else ""))
    return 0


def _freeze(parsed: argparse.Namespace) -> int:
    from kling_nb.notebook.frozen import freeze  # noqa: PLC0415

    for path in parsed.file:
        print(f"{path}: {'static now' if freeze(path) else 'nothing to do'}")
    return 0


def _verify(parsed: argparse.Namespace) -> int:
    from kling_nb.notebook.verification import report, verify  # noqa: PLC0415

    cells = verify(parsed.notebook)
    print(report(cells))
    return 0 if all(cell.reusable for cell in cells) else 1


def _doctor(parsed: argparse.Namespace) -> int:
    from kling_nb.doctor import examine, report  # noqa: PLC0415

    findings = examine()
    print(report(findings))
    return 0 if all(finding.good is not False for finding in findings) else 1


def _key(parsed: argparse.Namespace) -> int:
    from kling_nb.fal import key_stores  # noqa: PLC0415
    from kling_nb.fal.auth import checked  # noqa: PLC0415

    if parsed.what == "forget":
        print("The key is removed." if key_stores.drop() else "There was no key in the key ring.")
        return 0
    key_stores.check_installed()
    store = key_stores.keep(checked(_asked(), "the prompt" if sys.stdin.isatty() else "standard input"))
    print(f"The key is kept in: {store}. A kernel that runs already finds it after %kling fal.")
    return 0


def _asked() -> str:
    """A key from the terminal, without echo, or from standard input."""
    import getpass  # noqa: PLC0415

    if not sys.stdin.isatty():
        return sys.stdin.readline()
    try:
        return getpass.getpass("fal key (https://fal.ai/dashboard/keys), not shown: ")
    except (KeyboardInterrupt, EOFError):
        raise Interrupted("Nothing was stored.") from None


if __name__ == "__main__":
    sys.exit(main())
