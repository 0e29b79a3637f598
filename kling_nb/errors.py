"""Every error that kling_nb raises, as one tree.

    KlingError
    ├── InputError                 what was asked for cannot be sent; nothing was
    │   ├── UnknownEndpoint
    │   ├── UsageError             a flag, a setting, a call that contradicts itself
    │   └── MediaInputError        a picture or video given as input
    ├── MissingKey                 backend fal, and no key anywhere
    ├── BudgetExceeded             over a spending limit; nothing was sent
    ├── NoTake                     frozen, and no take of the request is here; nothing was sent
    ├── UnreachableError           no answer; no submission was sent
    │   └── ResultUnavailable      fal cannot give a result now; the job is paid for and kept
    ├── SubmissionUncertain        sent, and no answer: fal may have taken the job
    ├── ResponseError              fal answered, and it was a refusal
    │   ├── AuthenticationError    401
    │   ├── InsufficientBalance    403 "Exhausted balance"
    │   ├── AccessDenied           403
    │   ├── EndpointNotFound       404 at submit, or of a path
    │   ├── RequestNotFound        404 of a request id
    │   │   └── ResultGone         it was accepted, and fal keeps its result no longer
    │   ├── InputRefused           422 and other model errors: `details` name the parameters
    │   │   └── ContentRefused     content policy
    │   ├── RateLimited            429
    │   └── PlatformError          5xx and everything with an `error_type`
    ├── JobCancelled
    ├── WaitTimeout                the wait ran out; the job goes on
    ├── NotFinished                a result was asked for too early; the job goes on
    ├── Interrupted                ■ while a cell waited
    ├── SweepIncomplete            some cells of a sweep gave no result; the others are kept
    ├── MediaError                 a result that is not what it should be
    │   └── MediaGone              its address answers that there is nothing
    ├── WebhookRejected            a webhook that fal did not send, or not now
    └── LedgerError                the intent could not be made durable; nothing was sent

Each message has at most four lines: what happened, then what to do. In IPython
an error shows these lines and no traceback, and the cell still counts as failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class KlingError(Exception):
    """Base of all errors of this package.

    Attributes:
        message: What happened, one or two lines.
        remedy: What to do about it, or an empty string.
        request_id: fal's id of the request, where there is one.
    """

    def __init__(self, message: str, *, remedy: str = "", request_id: str | None = None) -> None:
        self.message = message
        self.remedy = remedy
        self.request_id = request_id
        super().__init__(message)

    def __str__(self) -> str:
        return "\n".join(part for part in (self.message, self.remedy) if part)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback (its documented hook)."""
        first, *rest = str(self).splitlines() or [""]
        return [f"{type(self).__name__}: {first}", *rest]


def without_frames(error: BaseException) -> None:
    """Leave of what lies behind an error its type and words, and no frames.

    The network's frames hold the headers of the request, and with them the key. IPython's `%xmode Verbose`
    and many a crash reporter show the variables of every frame, and a notebook keeps what was shown.
    """
    seen = {id(error)}
    waiting = [error.__cause__, error.__context__]
    while waiting:
        behind = waiting.pop()
        if behind is not None and id(behind) not in seen:
            seen.add(id(behind))
            behind.__traceback__ = None
            waiting += [behind.__cause__, behind.__context__]


class InputError(KlingError, ValueError):
    """What was asked for cannot be sent. Nothing was submitted.

    Attributes:
        parameter: Name of the parameter at fault, where it is one.
    """

    def __init__(self, message: str, *, remedy: str = "", parameter: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.parameter = parameter


class UnknownEndpoint(InputError):
    """No endpoint of that id or short name."""


class UsageError(InputError):
    """A flag, setting or call that cannot be understood, or contradicts another."""


class MediaInputError(InputError):
    """A file given as input is missing, unreadable or of the wrong kind."""


class MissingKey(KlingError):
    """The backend is fal and no key was found."""

    def __init__(self) -> None:
        super().__init__(
            "No fal key found, and the backend is fal. Nothing was submitted.",
            remedy=(
                "Set one: export FAL_KEY=… before Jupyter starts, or kling_nb.configure(credentials=…).\n"
                "Without a key: %kling local makes free previews on this machine."
            ),
        )


class BudgetExceeded(KlingError):
    """It would cost more than a spending limit allows. Nothing was sent."""


class NoTake(KlingError):
    """Nothing may be submitted (`frozen`), and no take of the request is here. Nothing was sent."""


class UnreachableError(KlingError):
    """No answer could be had. No submission was sent; a job that fal has accepted goes on."""


class ResultUnavailable(UnreachableError):
    """fal cannot give the result of an accepted request now. The request is paid for and stays open.

    A 5xx without `X-Fal-Error-Type`, or the answer to another request, says nothing about this one
    (FAL-PROTOCOL §16.3).

    Attributes:
        status_code: HTTP status of the last answer.
    """

    def __init__(
        self, message: str, *, remedy: str = "", request_id: str | None = None, status_code: int
    ) -> None:
        super().__init__(message, remedy=remedy, request_id=request_id)
        self.status_code = status_code


class SubmissionUncertain(KlingError):
    """The request left this machine and no answer came back: fal may have accepted it.

    It is never sent again by itself, because a second copy would be a second bill.
    """


class JobCancelled(KlingError):
    """The job was cancelled before it gave a result."""


class WaitTimeout(KlingError, TimeoutError):
    """The wait ran out. The job itself goes on."""


class NotFinished(KlingError):
    """The result of a request was asked for before there is one. The request goes on."""


class Interrupted(KlingError):
    """The user interrupted a waiting cell."""


class SweepIncomplete(KlingError):
    """Some cells of a sweep gave no result. The others are kept."""

    def __init__(self, failed: int, count: int, first: str) -> None:
        kept = "the others are kept" if failed < count else "none is left"
        super().__init__(
            f"{failed} of {count} cells gave no result; {kept}. The first one said:\n"
            + " ".join(first.split())[:400],
            remedy="sweep.failed has them. Run the cell again to make only what is missing.",
        )


class MediaError(KlingError):
    """A downloaded file is not what it should be, or could not be stored."""


class MediaGone(MediaError):
    """404 or 410 for a result's file."""


class WebhookRejected(KlingError):
    """A webhook that is not proven to come from fal: answer it with 401 and use nothing of it.

    Attributes:
        check: Which check failed: `headers`, `timestamp`, `signature` or `body`.
    """

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message, remedy="Answer it with 401, and use nothing of it.")
        self.check = check


class LedgerError(KlingError):
    """The ledger cannot be written or read."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One entry of a model error's `detail` list (FAL-PROTOCOL §6.2).

    Attributes:
        loc: Path to the value at fault, e.g. `("body", "prompt")`.
        message: fal's text.
        type: fal's error type, e.g. `content_policy_violation`; unknown ones survive as they are.
        context: The `ctx` object: limits, supported formats and the like.
    """

    loc: tuple[str, ...]
    message: str
    type: str
    context: Mapping[str, Any]

    @property
    def parameter(self) -> str | None:
        """Name of the input parameter, without the leading `body`."""
        path = self.loc[1:] if self.loc[:1] == ("body",) else self.loc
        return ".".join(path) or None


class ResponseError(KlingError):
    """fal answered with a refusal.

    Attributes:
        status_code: HTTP status.
        error_type: fal's `error_type` or the first detail's `type`, else None.
        details: Entries of the `detail` list; empty for flat bodies.
        billable_units: `x-fal-billable-units` of the answer, where it was sent.
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
    """401: the key is wrong, revoked, or not for this app."""


class InsufficientBalance(ResponseError):
    """403 with "Exhausted balance": the key is right and the account is empty."""


class AccessDenied(ResponseError):
    """403 for any other reason."""


class EndpointNotFound(ResponseError):
    """404 for an app or a path of it."""


class RequestNotFound(ResponseError):
    """404 for a request id: never there, or no longer kept."""


class ResultGone(RequestNotFound):
    """An accepted request whose result fal keeps no longer."""


class InputRefused(ResponseError):
    """The model refused the input (422, or another code with a `detail` list)."""


class ContentRefused(InputRefused):
    """The content policy refused the input or the result."""


class RateLimited(ResponseError):
    """429."""


class PlatformError(ResponseError):
    """fal or the runner failed: 5xx, or an `error_type` of the platform."""
