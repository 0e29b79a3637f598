"""`kling-nb` on the command line: generate, local, jobs, doctor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kling_nb.errors import KlingError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 an error of ours, 2 a usage error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["local"]:
        from kling_nb.local.__main__ import main as local  # noqa: PLC0415 -- the engine is for this command only

        return int(local(words[1:]) or 0)
    parser = _parser()
    parsed, rest = parser.parse_known_args(words)
    if rest and parsed.run is not _generate:
        parser.error(f"unrecognised: {' '.join(rest)}")
    try:
        return int(parsed.run(parsed, rest))
    except KlingError as fault:
        print(f"kling-nb: {fault}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kling-nb", description="Kling video on fal.ai, from the command line.", allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    generate = commands.add_parser(
        "generate",
        help="make a video and wait for it",
        allow_abbrev=False,
        description="Takes the flags of %%kling: --duration, --aspect-ratio, --endpoint, --image, --new, …",
    )
    generate.add_argument("prompt", help='what the video should show, or "-" to read it from standard input')
    generate.set_defaults(run=_generate)
    jobs = commands.add_parser("jobs", help="list submissions, newest first")
    jobs.add_argument("-n", type=int, default=20, help="how many (20)")
    jobs.add_argument("--unfinished", action="store_true", help="only those still to be completed")
    jobs.set_defaults(run=_jobs)
    doctor = commands.add_parser("doctor", help="check this installation; never shows a key")
    doctor.set_defaults(run=_doctor)
    commands.add_parser("local", help="serve the embedded engine alone (kling-nb local --help)")
    return parser


def _generate(parsed: argparse.Namespace, rest: list[str]) -> int:
    from kling_nb._default import LOCAL_NOTICE, default_session  # noqa: PLC0415 -- `--help` is quick
    from kling_nb.notebook.flags import parse_line  # noqa: PLC0415
    from kling_nb.notebook.outputs import card_text, plan_text  # noqa: PLC0415
    from kling_nb.notebook.progress import wait_with_progress  # noqa: PLC0415

    session = default_session()
    settings = session.settings()
    call = parse_line("", words=rest, default_endpoint=settings.endpoint)
    prompt = sys.stdin.read().strip() if parsed.prompt == "-" else parsed.prompt
    arguments = {
        "endpoint": call.endpoint,
        "image": call.image,
        "take": call.take,
        "new": call.new,
        **call.parameters,
    }
    if call.dry_run:
        print(plan_text(session.plan(prompt, **arguments)))
        return 0
    if settings.backend == "local" and not settings.chosen and not call.quiet:
        print(LOCAL_NOTICE, file=sys.stderr)
    job = session.submit(prompt, **arguments)
    if not call.wait:
        print(job.id)
        return 0
    timeout = call.timeout or settings.timeout
    video = job.wait(timeout) if call.quiet else wait_with_progress(job, sys.stderr, timeout)
    if not call.quiet:
        print(card_text(job), file=sys.stderr)
    print(video.path if video is not None else job.output)
    return 0


def _jobs(parsed: argparse.Namespace, rest: list[str]) -> int:
    from kling_nb._default import default_session  # noqa: PLC0415
    from kling_nb.notebook import listing  # noqa: PLC0415

    print(listing.jobs(default_session().jobs(limit=parsed.n, unfinished=parsed.unfinished)))
    return 0


def _doctor(parsed: argparse.Namespace, rest: list[str]) -> int:
    from kling_nb.doctor import examine, report  # noqa: PLC0415

    findings = examine()
    print(report(findings))
    return 0 if all(finding.good is not False for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
