"""Write the tables of `docs/errors.md` from the tree in `kling_nb/errors.py`.

The text above `MARK` is written by hand and stays. `--print` prints the page instead.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from kling_nb import errors
from kling_nb.fal import replies
from kling_nb.fal.replies import Reached, charge_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
MARK = "<!-- From here on the page is printed by scripts/error_page.py. -->\n"
TREE = """
## All errors

The second column is the base class: `except ResponseError` catches all of its subclasses.

| error | is a | when | what to do |
|---|---|---|---|
"""
TYPES = """
## fal's types

The `error_type` of an answer, the error that kling_nb raises, and its remedy. The HTTP status classifies
other types. A remedy begins with "Not charged", "fal bills it" or "fal may bill it" where that is a question:
after a refusal by the content policy, by what fal's answer says, and after a fault of the platform.

| `error_type` | error | what to do |
|---|---|---|
"""
TO_DO = {
    errors.KlingError: "See the message.",
    errors.InputError: "Change the named parameter. The message lists what is allowed.",
    errors.UnknownEndpoint: "The message names the nearest ones. `%kling endpoints WORDS` searches them.",
    errors.UsageError: "See the message.",
    errors.TableError: "Correct the rows and columns that the message lists; `error.problems` has all.",
    errors.MediaInputError: "Give another file, or convert it.",
    errors.MissingKey: "Set a key ([settings.md](settings.md#the-key)), or use `%kling local` (free).",
    errors.BudgetExceeded: 'Raise the limit, or add `--max-cost none` (API: `max_cost="none"`).',
    errors.NoTake: "Turn `frozen` off to make the take. `kling-nb verify NOTEBOOK` shows what it costs.",
    errors.ResultUnavailable: "Run the cell again later to fetch the result. It is already paid for.",
    errors.TooManyRunning: "A job waits and is sent again. Otherwise, submit again after `retry_after`.",
    errors.UnreachableError: "Check the connection, then run the cell again.",
    errors.SubmissionUncertain: "Run the cell again: kling_nb looks for it at fal, and never sends it again.",
    errors.JobCancelled: "Run the cell again for a new attempt.",
    errors.WaitTimeout: "Run the cell again to wait longer, or `%kling show ID`.",
    errors.NotFinished: "Wait for it: `client.events(…)`, or `get_job(…).wait()`.",
    errors.Interrupted: "Run the cell again to resume the job. `%kling cancel ID` stops it.",
    errors.SweepIncomplete: "`sweep.failed` lists them. Run the cell again to make only what is missing.",
    errors.MediaError: "Run the cell again: kling_nb downloads the file again. This costs nothing more.",
    errors.MediaGone: "Run the cell again: kling_nb asks fal for a new URL. This costs nothing more.",
    errors.MediaPrivate: (
        "Use a key with the permission `assets:read`, or make the file public. Then run the cell again."
    ),
    errors.WebhookRejected: "Answer it with 401 and ignore it.",
    errors.LedgerError: "Free disk space or fix the permissions. `kling-nb ledger check` examines the file.",
    errors.LibraryError: "Check the URL, the account and the network: `kling-nb library status`.",
    errors.ResponseError: "See the message and `status_code`.",
    errors.ResultGone: "`--new` (API: `new=True`) makes it again and is charged again.",
}
"""Remedies of errors that have none in `replies.REMEDY`."""


def page() -> str:
    """Return the whole page."""
    written, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"{PAGE.name} has no line with the mark: {MARK}")
    return "".join([written, mark, TREE, *tree(errors.KlingError), TYPES, *types()])


def tree(kind: type[errors.KlingError]) -> Iterator[str]:
    """Yield the row of an error, and those of its subclasses."""
    base = kind.__mro__[1]
    of = f"`{base.__name__}`" if issubclass(base, errors.KlingError) else ""
    yield f"| `{kind.__name__}` | {of} | {when(kind)} | {advice(kind)} |\n"
    for subclass in kind.__subclasses__():
        yield from tree(subclass)


def when(kind: type[errors.KlingError]) -> str:
    """Return the docstring of an error, without its attributes."""
    text = inspect.getdoc(kind) or ""
    return " ".join(text.partition("Attributes:")[0].split())


def advice(kind: type[errors.KlingError]) -> str:
    """Return what to do about an error.

    Raises:
        SystemExit: No remedy is known.
    """
    known = TO_DO.get(kind) or replies.REMEDY.get(kind)  # type: ignore[arg-type]
    if not known:
        raise SystemExit(f"TO_DO in scripts/error_page.py lacks {kind.__name__}.")
    return str(known)


def types() -> Iterator[str]:
    """Yield the rows of fal's error types, in the order of its documentation."""
    for name, (kind, _) in replies.TYPES.items():
        remedy = replies.remedy_of(kind, [name], charge_of(Reached.ACCEPTED, None, name))
        yield f"| `{name}` | `{kind.__name__}` | {remedy} |\n"


def main() -> None:
    """Write or print the page."""
    if "--print" in sys.argv[1:]:
        print(page(), end="")
    else:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
