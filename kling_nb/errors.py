"""Every error that kling_nb raises, as one tree.

    KlingError
    ├── InputError                 the input cannot be sent; nothing was sent
    │   ├── UnknownEndpoint
    │   ├── UsageError             a wrong flag, setting or call
    │   │   └── TableError         rows and columns of a table that cannot be sent
    │   └── MediaInputError        an image, video or audio file given as input
    ├── MissingKey                 backend fal without a key; nothing was sent
    ├── BudgetExceeded             over a spending limit; nothing was sent
    ├── NoTake                     frozen, and the request has no take here; nothing was sent
    ├── UnreachableError           no answer; no submission was sent
    │   └── ResultUnavailable      fal cannot give a result now; the job is paid for and stays open
    ├── SubmissionUncertain        sent without an answer: fal may have accepted the job
    ├── ResponseError              fal answered with an error
    │   ├── AuthenticationError    401
    │   ├── InsufficientBalance    402, and 403 or 401 that name the balance: add credit
    │   ├── AccessDenied           403
    │   ├── EndpointNotFound       404 for an app or a path
    │   ├── RequestNotFound        404 for a request id
    │   │   └── ResultGone         fal accepted the request and no longer keeps its result
    │   ├── InputRefused           422 and other model errors: `details` name the parameters
    │   │   └── ContentRefused     content policy
    │   ├── RateLimited            429
    │   │   └── TooManyRunning     429 of a submission: the account runs its maximum of requests
    │   └── PlatformError          5xx and everything else with an `error_type`
    ├── JobCancelled
    ├── WaitTimeout                the wait timed out; the job goes on
    ├── NotFinished                the result does not exist yet; the job goes on
    ├── Interrupted                the user interrupted a waiting cell
    ├── SweepIncomplete            some cells of a sweep have no result; the other results are kept
    ├── MediaError                 a result file is wrong or could not be stored
    │   ├── MediaGone              its URL returns 404 or 410
    │   └── MediaPrivate           it is private, or its URL has expired; it is paid for and can be fetched
    ├── WebhookRejected            a webhook that is not proven to come from fal
    ├── LedgerError                the ledger cannot be read or written; nothing was sent
    └── LibraryError               the library does not answer, or has a damaged take; nothing was sent

A message has at most four lines: what happened, what it cost, what to do. That of a table
lists up to 20 problems. IPython shows these lines without a traceback, and the cell still counts as failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NOTHING_SENT = "Nothing was sent."


class KlingError(Exception):
    """The base class of all errors of this package.

    Attributes:
        message: What happened, in one or two lines.
        remedy: What to do, or an empty string.
        request_id: fal's id of the request, or None.
    """

    def __init__(self, message: str, *, remedy: str = "", request_id: str | None = None) -> None:
        self.message = message
        self.remedy = remedy
        self.request_id = request_id
        super().__init__(message)

    def __str__(self) -> str:
        return "\n".join(part for part in (self.message, self.remedy) if part)

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows instead of a traceback. This is its documented hook."""
        first, *rest = str(self).splitlines() or [""]
        return [f"{type(self).__name__}: {first}", *rest]


def without_frames(error: BaseException) -> None:
    """Remove the tracebacks from all causes and contexts of an error.

    The frames of the HTTP client hold the request headers, and with them the API key. `%xmode Verbose` and
    crash reporters show the variables of every frame, and a notebook saves what it shows.
    """
    seen = {id(error)}
    pending = [error.__cause__, error.__context__]
    while pending:
        cause = pending.pop()
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            cause.__traceback__ = None
            pending += [cause.__cause__, cause.__context__]


class InputError(KlingError, ValueError):
    """The input cannot be sent. Nothing was sent.

    Attributes:
        parameter: Name of the parameter at fault, or None.
    """

    def __init__(self, message: str, *, remedy: str = "", parameter: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.parameter = parameter

    def __str__(self) -> str:
        text = super().__str__()
        if re.search("nothing was (sent|submitted)", text, re.IGNORECASE):
            return text
        stop = "" if self.message.endswith((".", "!", "?", "…")) else "."
        return "\n".join(part for part in (f"{self.message}{stop} {NOTHING_SENT}", self.remedy) if part)


class UnknownEndpoint(InputError):
    """There is no endpoint with this id or short name."""


class UsageError(InputError):
    """A flag, setting or argument is not valid, or contradicts another one."""


@dataclass(frozen=True, slots=True)
class TableProblem:
    """What is wrong with a table.

    Attributes:
        place: The row, such as "line 3"; empty for a column.
        column: The column, or an empty text.
        text: What is wrong.
    """

    place: str
    column: str
    text: str

    def __str__(self) -> str:
        return f"{', '.join(filter(None, (self.place, self.column)))}: {self.text}"


class TableError(UsageError):
    """A table has rows or columns that cannot be sent. The message lists them; nothing was sent.

    Attributes:
        problems: All of them.
    """

    problems: tuple[TableProblem, ...] = ()

    @classmethod
    def of(cls, source: str, problems: Iterable[TableProblem]) -> TableError:
        """Return the error about a table. `source` is its file name."""
        found = tuple(problems)
        shown = [" ".join(str(one).split())[:300] for one in found[:_SHOWN_PROBLEMS]]
        if more := len(found) - len(shown):
            shown.append(f"and {more} more: error.problems has all")
        error = cls(
            f"{source} has {len(found)} problem{'s' * (len(found) != 1)}. {NOTHING_SENT}",
            remedy="\n".join(shown),
            parameter="table",
        )
        error.problems = found
        return error


_SHOWN_PROBLEMS = 20


class MediaInputError(InputError):
    """An input file is missing, unreadable or of the wrong type."""


class MissingKey(KlingError):
    """The backend is fal and no API key was found. Nothing was sent."""

    def __init__(self, note: str = "") -> None:
        lines = (
            "Set FAL_KEY before Jupyter starts, or call kling_nb.configure(credentials=…).",
            "Without a key, %kling local makes free previews on this machine.",
            note,
        )
        super().__init__(
            f"No fal API key found, and the backend is fal. {NOTHING_SENT}",
            remedy="\n".join(filter(None, lines)),
        )


class BudgetExceeded(KlingError):
    """The request would cost more than a spending limit allows. Nothing was sent."""


class NoTake(KlingError):
    """The session is frozen (`frozen`) and the request has no take here. Nothing was sent."""


class UnreachableError(KlingError):
    """A host did not answer. No submission was sent. A job that fal has accepted goes on."""


class ResultUnavailable(UnreachableError):
    """fal accepted the request, but cannot give its status or result now. The job is paid for and not lost.

    The cause is an answer that does not describe this request, such as a 5xx without `X-Fal-Error-Type`.

    Attributes:
        status_code: HTTP status of the last answer.
    """

    def __init__(
        self, message: str, *, remedy: str = "", request_id: str | None = None, status_code: int
    ) -> None:
        super().__init__(message, remedy=remedy, request_id=request_id)
        self.status_code = status_code


class SubmissionUncertain(KlingError):
    """The request was sent and no answer came back. fal may have accepted it.

    kling_nb never sends it again by itself, because fal would bill a second copy.
    """


class JobCancelled(KlingError):
    """The job was cancelled before it had a result."""


class WaitTimeout(KlingError, TimeoutError):
    """The wait timed out. The job goes on."""


class NotFinished(KlingError):
    """The request has no result yet. The request goes on."""


class Interrupted(KlingError):
    """The user interrupted a waiting cell."""


class SweepIncomplete(KlingError):
    """Some cells of a sweep have no result. The results of the other cells are kept."""

    def __init__(
        self, failed: int, count: int, first: str, *, whole: str = "sweep", part: str = "cell"
    ) -> None:
        kept = "The others are kept. " if failed < count else ""
        super().__init__(
            f"{failed} of {count} {part}s have no result. {kept}The first error:\n"
            + " ".join(first.split())[:400],
            remedy=f"{whole}.failed lists them. Run the cell again to make only what is missing.",
        )


class MediaError(KlingError):
    """A downloaded file is not a valid result, or could not be stored."""


class MediaGone(MediaError):
    """The URL of a result file returns 404 or 410."""


class MediaPrivate(MediaError):
    """A result file is private, or its URL has expired (401, 403). The job is paid for and stays open."""


class WebhookRejected(KlingError):
    """A webhook is not proven to come from fal. Answer it with 401 and ignore it.

    Attributes:
        check: The check that failed: `headers`, `timestamp`, `signature` or `body`.
    """

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message, remedy="Answer it with 401 and ignore it.")
        self.check = check


class LedgerError(KlingError):
    """The ledger cannot be read or written."""


class LibraryError(KlingError):
    """The library (setting `library`) does not answer, refuses, or has a damaged take. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One entry of a model error's `detail` list (FAL-PROTOCOL §6.2).

    Attributes:
        loc: Path to the value at fault, e.g. `("body", "prompt")`.
        message: fal's text.
        type: fal's error type, e.g. `content_policy_violation`. Unknown types are kept as they are.
        context: The `ctx` object, e.g. limits or supported formats.
    """

    loc: tuple[str, ...]
    message: str
    type: str
    context: Mapping[str, Any]

    @property
    def parameter(self) -> str | None:
        """The name of the input parameter, without the leading `body`."""
        path = self.loc[1:] if self.loc[:1] == ("body",) else self.loc
        return ".".join(path) or None


class ResponseError(KlingError):
    """fal answered with an error.

    Attributes:
        status_code: HTTP status.
        error_type: fal's `error_type` or the `type` of the first detail, or None.
        details: Entries of the `detail` list. Empty for flat bodies.
        billable_units: `x-fal-billable-units` of the answer, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        request_id: str | None = None,
        status_code: int,
        error_type: str | None = None,
        details: tuple[Detail, ...] = (),
        billable_units: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, request_id=request_id)
        self.status_code = status_code
        self.error_type = error_type
        self.details = details
        self.billable_units = billable_units


class AuthenticationError(ResponseError):
    """401: the key is wrong, revoked, or not valid for this app."""


class InsufficientBalance(ResponseError):
    """402, or a 403 or 401 that names the balance: the key is valid and the account has no money left."""


class AccessDenied(ResponseError):
    """403 for any other reason."""


class EndpointNotFound(ResponseError):
    """404 for an app or a path of it."""


class RequestNotFound(ResponseError):
    """404 for a request id: it never existed, or fal no longer keeps it."""


class ResultGone(RequestNotFound):
    """fal accepted the request and no longer keeps its result."""


class InputRefused(ResponseError):
    """The model refused the input: 422, or another status with a `detail` list."""


class ContentRefused(InputRefused):
    """The content policy refused the input or the result."""


# 429 handling: `fal/follow.py` asks again for a status, `fal/patience.py` repeats other GETs after
# `Retry-After`, `fal/queue.py` never takes it for the end of a result, and a submission is refused or waits.
class RateLimited(ResponseError):
    """429: fal received too many requests. Jobs that fal has accepted go on."""


class TooManyRunning(RateLimited):
    """fal refused a submission with 429: the account runs its maximum of requests. Nothing was accepted.

    A job waits and submits again, unless `max_queue_length` is set. `Session.client` does not wait: it raises
    this error.

    Attributes:
        retry_after: Seconds that fal asks to wait, or None.
    """

    retry_after: float | None = None


class PlatformError(ResponseError):
    """fal or its runner failed: 5xx, or an `error_type` of the platform."""


# What an error means for a request that fal has accepted. All code that decides this uses these tuples.

KEY_REFUSED = (AuthenticationError, AccessDenied, InsufficientBalance)
"""fal refuses the key or the account, so a retry does not help. The request itself goes on."""

CALL_REFUSED = (*KEY_REFUSED, RateLimited)
"""fal refuses one call. This says nothing about the request that the call is about."""

NOT_FINAL = (*CALL_REFUSED, UnreachableError, MediaError, LedgerError)
"""Errors that do not end an accepted request. Its ledger row stays open and the job can be resumed."""


DEAD_URL = (MediaGone, MediaPrivate)
"""The URL of a result file does not work. fal may give another one."""


def is_final(error: BaseException | None) -> bool:
    """Return True if this error ends an accepted request."""
    return isinstance(error, ResponseError) and not isinstance(error, NOT_FINAL)
