"""Write the tables of `docs/errors.md` from the tree in `kling_nb/errors.py`.

What stands above `MARK` in the page is written by hand and stays. `--print` shows the page instead.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from kling_nb import errors
from kling_nb.fal import refusals

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
MARK = "<!-- From here on the page is printed by scripts/error_page.py. -->\n"
TREE = """
## All errors

Each is a special case of the one in its second column: who catches `ResponseError` catches all of its kinds.

| error | is a | when | what to do |
|---|---|---|---|
"""
TYPES = """
## fal's types

The `error_type` of an answer, the error that it becomes, and the advice that goes with it. A type that is not
here goes by the status of its answer.

| `error_type` | error | what to do |
|---|---|---|
"""
TO_DO = {
    errors.KlingError: "See its own words.",
    errors.InputError: "Change the named parameter. The message says what is allowed.",
    errors.UnknownEndpoint: "The message names the nearest; `%kling endpoints WORDS` lists them.",
    errors.UsageError: "The message says how it is meant.",
    errors.MediaInputError: "Give another file, or another form of it.",
    errors.MissingKey: "Set one ([settings.md](settings.md#the-key)), or `%kling local` for free previews.",
    errors.BudgetExceeded: 'Raise the limit, or `--max-cost none` (API: `max_cost="none"`) for this one.',
    errors.NoTake: "Leave `frozen` out to make it; `kling-nb verify NOTEBOOK` says what that costs.",
    errors.ResultUnavailable: "Run the cell again later: the job is paid for and is asked for again.",
    errors.UnreachableError: "Run the cell again when there is a connection.",
    errors.SubmissionUncertain: "Run the cell again: it is looked for at fal, and not sent again by itself.",
    errors.JobCancelled: "Run the cell again to make a new attempt.",
    errors.WaitTimeout: "Run the cell again to go on waiting, or `%kling show ID`.",
    errors.NotFinished: "Wait for it: `client.events(…)`, or `get_job(…).wait()`.",
    errors.Interrupted: "Run the cell again: a job that runs is taken up. `%kling cancel ID` stops it.",
    errors.SweepIncomplete: "`sweep.failed` has them. Run the cell again to make only what is missing.",
    errors.MediaError: "Run the cell again: the file is fetched once more, at no charge.",
    errors.MediaGone: "Run the cell again: fal is asked for another address, at no charge.",
    errors.WebhookRejected: "Answer it with 401, and use nothing of it.",
    errors.LedgerError: "Make room or give access; `kling-nb ledger check` says what is wrong with the file.",
    errors.ResponseError: "See its own words, and its `status_code`.",
    errors.ResultGone: "`--new` (API: `new=True`) makes it again, for its price.",
}
"""For errors whose advice is written where they are raised; the others have theirs in `errors.py`."""


def page() -> str:
    """The whole page."""
    written, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"{PAGE.name} has lost its mark: {MARK}")
    return "".join([written, mark, TREE, *tree(errors.KlingError), TYPES, *types()])


def tree(kind: type[errors.KlingError]) -> Iterator[str]:
    """An error and its kinds, each as a row."""
    base = kind.__mro__[1]
    of = f"`{base.__name__}`" if issubclass(base, errors.KlingError) else ""
    yield f"| `{kind.__name__}` | {of} | {when(kind)} | {advice(kind)} |\n"
    for narrower in kind.__subclasses__():
        yield from tree(narrower)


def when(kind: type[errors.KlingError]) -> str:
    """The first paragraph of its docstring, without the attributes."""
    told = inspect.getdoc(kind) or ""
    return " ".join(told.partition("Attributes:")[0].split())


def advice(kind: type[errors.KlingError]) -> str:
    """What to do.

    Raises:
        SystemExit: There is none.
    """
    known = TO_DO.get(kind) or refusals.REMEDY.get(kind)  # type: ignore[arg-type]
    if not known:
        raise SystemExit(f"scripts/error_page.py says nothing of what to do about {kind.__name__}.")
    return str(known)


def types() -> Iterator[str]:
    """fal's types of errors, in the order of its documentation."""  # noqa: D403 -- its name
    for name, (kind, remedy) in refusals.TYPES.items():
        yield f"| `{name}` | `{kind.__name__}` | {remedy} |\n"


def main() -> None:
    """Write or print it."""
    if "--print" in sys.argv[1:]:
        print(page(), end="")
    else:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
