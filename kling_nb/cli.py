"""`kling-nb` on the command line: generate, local, jobs, doctor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from kling_nb.errors import Interrupted, KlingError, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 done, 1 an error of ours, 2 a usage error, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["local"]:
        from kling_nb.local.__main__ import main as local  # noqa: PLC0415 -- the engine is for this command only

        return int(local(words[1:]) or 0)
    try:
        if words[:1] == ["generate"]:  # its flags follow from the endpoint that they name
            return _generate(words[1:])
        parsed = _parser().parse_args(words)
        return int(parsed.run(parsed))
    except Interrupted as fault:
        print(f"kling-nb: {fault}", file=sys.stderr)
        return 130
    except KlingError as fault:
        print(f"kling-nb: {fault}", file=sys.stderr)
        return 2 if isinstance(fault, UsageError) else 1


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
