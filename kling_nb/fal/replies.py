"""Parse fal's replies: statuses and results into frozen values, refusals into errors with a remedy.

Unknown fields are ignored (FAL-PROTOCOL §3.3, §4, §6, §7, §10).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import Any

from kling_nb._lazy import httpx
from kling_nb.catalog.endpoint import number_of
from kling_nb.catalog.problem import clip
from kling_nb.errors import (
    AccessDenied,
    AuthenticationError,
    ContentRefused,
    Detail,
    EndpointNotFound,
    InputRefused,
    InsufficientBalance,
    PlatformError,
    RateLimited,
    RequestNotFound,
    ResponseError,
)
from kling_nb.events import Logged

IN_QUEUE, IN_PROGRESS, COMPLETED = "IN_QUEUE", "IN_PROGRESS", "COMPLETED"


@dataclass(frozen=True, slots=True)
class Status:
    """A status reply or one event of its stream.

    Attributes:
        state: IN_QUEUE, IN_PROGRESS or COMPLETED. An unknown word is kept; it means that polling goes on.
        queue_position: Requests ahead, 0-based, or None.
        logs: The log lines of this reply: the latest ones when polled, the new ones when streamed.
        error: fal's text if a COMPLETED request has failed, or None.
        error_type: fal's type of the failure, or None.
        inference_time: Seconds, or None.
    """

    state: str
    queue_position: int | None = None
    logs: tuple[Logged, ...] = ()
    error: str | None = None
    error_type: str | None = None
    inference_time: float | None = None


@dataclass(frozen=True, slots=True)
class QueueResult:
    """The model's result, from an answer with 200.

    Attributes:
        data: The output object.
        units: `x-fal-billable-units`, a decimal as text, or None (FAL-PROTOCOL §6.4).
        files: Files of the local preview server on this machine, by URL. fal has none.
    """

    data: Mapping[str, Any]
    units: str | None
    files: Mapping[str, PreviewFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreviewFile:
    """A file of the local preview server. `sha256` is of the bytes that have these `measures`, if any."""

    path: Path
    sha256: str
    measures: Mapping[str, Any] | None


def parse_preview(data: Mapping[str, Any]) -> QueueResult | None:
    """Return the result in the last event of the local preview server's stream, if it has one."""
    try:
        found = data["result"]
        files = {
            url: PreviewFile(Path(file["path"]), file["sha256"], file["measures"])
            for url, file in found["files"].items()
        }
        return QueueResult(found["data"], found["units"], files)
    except (KeyError, TypeError, AttributeError):
        return None


class CancelOutcome(StrEnum):
    """fal's answer to a cancel (FAL-PROTOCOL §7)."""

    REMOVED = "OK"
    REQUESTED = "CANCELLATION_REQUESTED"
    ALREADY_COMPLETED = "ALREADY_COMPLETED"
    NOT_FOUND = "NOT_FOUND"


def parse_status(data: Mapping[str, Any]) -> Status | None:
    """Return the status in a JSON object, or None if it has no `status` text."""
    state = data.get("status")
    if not isinstance(state, str):
        return None
    metrics, position, error = data.get("metrics"), data.get("queue_position"), data.get("error")
    seconds = _number(metrics.get("inference_time")) if isinstance(metrics, dict) else None
    return Status(
        state=state,
        queue_position=position if isinstance(position, int) and not isinstance(position, bool) else None,
        logs=_parse_logs(data.get("logs")),
        error=None if error in (None, "") else str(error),
        error_type=text_or_none(data.get("error_type")),
        inference_time=seconds,
    )


def _parse_logs(entries: Any) -> tuple[Logged, ...]:
    if not isinstance(entries, list):
        return ()
    return tuple(
        Logged(str(entry["message"]), text_or_none(entry.get("timestamp")), text_or_none(entry.get("level")))
        for entry in entries
        if isinstance(entry, dict) and entry.get("message") is not None
    )


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def text_or_none(value: Any) -> str | None:
    """Return a text that is not empty; None for anything else."""
    return value if isinstance(value, str) and value else None


# -- refusals --------------------------------------------------------------------------

REMEDY: Mapping[type[ResponseError], str] = {
    AuthenticationError: "Check the key (FAL_KEY, or configure(credentials=…)) at https://fal.ai/dashboard/keys.",
    InsufficientBalance: "The key is valid, but the account has no money left. Add credit at https://fal.ai/dashboard/billing.",
    AccessDenied: "The key is valid, but has no access to this. See https://fal.ai/dashboard.",
    EndpointNotFound: "Check the endpoint's id. %kling endpoints lists the known ones.",
    RequestNotFound: "Check the id. fal has no request with it, or no longer keeps its result.",
    InputRefused: "Change the named parameter and run the cell again.",
    ContentRefused: "Change the prompt or image.",
    RateLimited: "Wait a moment, then run the cell again.",
    PlatformError: "Run the cell again for a new attempt.",
}
"""The remedy for each class of error, unless its type has a better one in `TYPES`."""

# The remedies by the names of the types, of the model first (FAL-PROTOCOL §11.1).
_MODEL_FAILED = {
    "internal_server_error": REMEDY[PlatformError],
    "generation_timeout": "The model took too long. Run the cell again, or ask for less.",
    "downstream_service_error": (
        "A service that the model needs failed. Run the cell again for a new attempt."
    ),
    "downstream_service_unavailable": "Wait a few minutes, then run the cell again.",
}
_INPUT_REFUSED = {
    "no_media_generated": "The model made no media. Change the prompt, or try again with the same one.",
    "image_too_small": "Give a larger image. The limits are in pixels.",
    "image_too_large": "Give a smaller image. The limits are in pixels.",
    "image_load_error": "fal could not read the image. Give another file, or save it as JPEG or PNG.",
    "file_download_error": (
        "fal could not fetch the file. Its URL must be public: kling_nb.upload(file) returns such a URL."
    ),
    "face_detection_error": "Give an image that shows a face clearly, from the front.",
    "file_too_large": "Make the file smaller. The limit is in bytes.",
    "greater_than greater_than_equal less_than less_than_equal": (
        "Give the named parameter a value within its limit, then run the cell again."
    ),
    "multiple_of": "Give the named parameter a multiple of that number.",
    "sequence_too_short": "Give the named parameter more entries or characters.",
    "sequence_too_long": "Give the named parameter fewer entries or characters.",
    "one_of": "Give the named parameter one of the expected values.",
    "feature_not_supported": "Leave the named parameter out, or choose another endpoint.",
    "invalid_archive archive_file_count_below_minimum archive_file_count_exceeds_maximum": (
        "Give another .zip file. The message names the allowed types and number of files."
    ),
    "audio_duration_too_long video_duration_too_long": "Give a shorter clip. The limits are in seconds.",
    "audio_duration_too_short video_duration_too_short": "Give a longer clip. The limits are in seconds.",
    "unsupported_audio_format": "Convert the audio to one of the supported formats.",
    "unsupported_image_format": "Convert the image to one of the supported formats.",
    "unsupported_video_format": "Convert the video to one of the supported formats.",
}
_RUNNER_FAULTS = (
    "runner_scheduling_failure runner_connection_timeout runner_disconnected runner_connection_refused"
    " runner_connection_error runner_incomplete_response"
)
_NEW_JOB = "Run the cell again for a new job."
_REQUEST_FAILED = {  # §11.2
    "request_timeout": "Run the cell again, or ask for less, because the job ran longer than fal allows.",
    "startup_timeout": "Run the cell again later, because the work did not start in time.",
    _RUNNER_FAULTS: _NEW_JOB,
    "runner_server_error": "Run the cell again, or change the input if it fails again.",
    "client_disconnected client_cancelled": ("Nothing was generated: run the cell again for a new attempt."),
    "bad_request": "Check the options of the submission.",
    "internal_error": _NEW_JOB,
}
_LIMITED = {
    "rate_limited": REMEDY[RateLimited],
    "concurrent_requests_limit": (
        "The account runs its maximum of requests. Wait for one to finish, then run the cell again."
    ),
}

TYPES: Mapping[str, tuple[type[ResponseError], str]] = {
    name: (kind, remedy)
    for kind, remedies in (
        (PlatformError, _MODEL_FAILED),
        (ContentRefused, {"content_policy_violation": REMEDY[ContentRefused]}),
        (InputRefused, _INPUT_REFUSED),
        (PlatformError, _REQUEST_FAILED),
        (RateLimited, _LIMITED),
    )
    for names, remedy in remedies.items()
    for name in names.split()
}
"""The error class and the remedy for each error type of fal. Other types are classified by their status."""


_MONEY = re.compile(
    r"\b(exhausted|insufficient|not enough|out of)\b.{0,40}\b(balance|credits?|funds|money)\b"
    r"|\b(balance|credits?|funds)\b.{0,40}\b(exhausted|insufficient|too low|used up)\b",
    re.IGNORECASE | re.DOTALL,
)
"""Words by which a 401 or 403 means that the account has no money (FAL-PROTOCOL §16.8)."""

FREE_TYPES = frozenset(" ".join(_REQUEST_FAILED).split()) - {"client_disconnected", "client_cancelled"}
"""Error types of the platform that mean no charge (FAL-PROTOCOL §10.5, §11.2)."""

LATER_TYPES = FREE_TYPES - {"bad_request"} | {"concurrent_requests_limit", "rate_limited"}
"""Types with which a 429 means that a submission was not accepted and may be accepted later."""


class Reached(Enum):
    """How far a request came."""

    NOWHERE = auto()
    """Nothing was sent."""
    REFUSED = auto()
    """fal answered the submission with an error, so it has accepted nothing."""
    UNCLEAR = auto()
    """The submission has no clear answer."""
    ACCEPTED = auto()
    """fal has given it a request id."""


class Charge(Enum):
    """What fal charges for a request, and how a remedy begins that says so."""

    NONE = "Not charged"
    UNITS = "fal bills it"
    UNKNOWN = "fal may bill it"


def charge_of(
    reached: Reached, units: str | None = None, error_type: str | None = None, *, unpaid: bool = False
) -> Charge:
    """Return what fal charges for a request. All that says or counts a cost follows this.

    A bare 5xx, or an `error` without a type, does not show that it cost nothing (FAL-PROTOCOL §6.4).

    `units` are the `x-fal-billable-units` of its result or refusal. A request that was cancelled before it
    started is `unpaid`.
    """
    if reached in {Reached.NOWHERE, Reached.REFUSED}:
        return Charge.NONE
    if units:
        return Charge.NONE if number_of(units) == 0 else Charge.UNITS
    free = unpaid or (reached is Reached.ACCEPTED and error_type in FREE_TYPES)
    return Charge.NONE if free else Charge.UNKNOWN


def from_response(
    status_code: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    request_id: str | None = None,
    what: str = "",
) -> ResponseError:
    """Return the most specific error for an error answer of fal.

    It reads the three body shapes of FAL-PROTOCOL §6.2 (a `detail` list, a flat `detail` with `error_type`, a
    plain `detail`), the `status`-only bodies of §4 and §7, any other JSON in which gateways and models put
    their words (see `_words`), and pages that are not JSON.

    The names of `headers` are in lower case. Without a `request_id`, a 404 is about the endpoint. `what` is
    the subject of the message, such as "The submission".
    """
    data = _json_object(body)
    details = _details(data.get("detail"))
    error_type = type_in(data, headers)
    text = _words(data) if data else clip(" ".join(body.decode("utf-8", "replace").split()), 120)
    kind = _kind(status_code, text, details, error_type, request_id)
    units = headers.get("x-fal-billable-units")
    charge = charge_of(Reached.ACCEPTED if request_id else Reached.REFUSED, units, error_type)
    remedy = remedy_of(kind, [error_type, *(detail.type for detail in details)], charge)
    opening = f"{what} was refused by fal ({status_code}):" if what else f"fal answered {status_code}:"
    message = "; ".join(_describe(detail) for detail in details) or f"{opening} {text}"
    return kind(
        clip(_one_line(message).rstrip(":"), 600),
        remedy=remedy,
        request_id=request_id or headers.get("x-fal-request-id"),
        status_code=status_code,
        error_type=error_type or (details[0].type if details else None),
        details=details,
        billable_units=units,
    )


def refusal(answer: httpx.Response, what: str, request_id: str | None = None) -> ResponseError:
    """Return the error for an error answer, as `from_response`."""
    return from_response(answer.status_code, answer.headers, answer.content, request_id=request_id, what=what)


def type_in(data: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """Return the `error_type` of an error answer: from its body, from an object in it, or from its header."""
    parts = (data, *(part for name in ("detail", "error") if isinstance(part := data.get(name), dict)))
    named = [
        text for part in parts for key in ("error_type", "type") if (text := text_or_none(part.get(key)))
    ]
    known = [text for text in named if text in TYPES]
    # The caller's start timeout is named by a header of its own (FAL-PROTOCOL §3.2).
    start_timeout = "startup_timeout" if "x-fal-request-timeout-type" in headers else None
    header = headers.get("x-fal-error-type") or start_timeout
    return next(iter(known), None) or text_or_none(data.get("error_type")) or header


def from_error_text(text: str, error_type: str | None, *, request_id: str | None) -> ResponseError:
    """Return the error of a request that fal reports as COMPLETED with an `error` (FAL-PROTOCOL §4)."""
    kind = _kind(0, text, (), error_type, request_id)
    return kind(
        clip(_one_line(f"fal reports that the request failed: {text}"), 600),
        remedy=remedy_of(kind, [error_type], charge_of(Reached.ACCEPTED, None, error_type)),
        request_id=request_id,
        status_code=0,
        error_type=error_type,
    )


def _kind(
    status: int, text: str, details: tuple[Detail, ...], error_type: str | None, request_id: str | None
) -> type[ResponseError]:
    types = {detail.type for detail in details} | ({error_type} if error_type else set())
    kinds = {TYPES[name][0] for name in types if name in TYPES}
    if ContentRefused in kinds:
        return ContentRefused
    if status == 402 or (status in {401, 403} and _MONEY.search(text)):
        return InsufficientBalance
    if status in {401, 403}:  # A `detail` list does not make it the model's answer.
        return AuthenticationError if status == 401 else AccessDenied
    if details and status != 429:
        return PlatformError if PlatformError in kinds or (status >= 500 and not kinds) else InputRefused
    if status == 404:
        about_request = request_id and not text.startswith(("Application", "Path"))
        return RequestNotFound if about_request else EndpointNotFound
    if status == 429 or error_type == "concurrent_requests_limit":
        return RateLimited
    if status in {400, 422} and not error_type:
        return InputRefused
    return PlatformError


def remedy_of(kind: type[ResponseError], types: Sequence[str | None], charge: Charge) -> str:
    """Return the remedy of the first type that belongs to this class, or the remedy of the class.

    It begins with the charge where a reader would ask for it: a refusal after generation may be billed, and a
    fault of the platform is not.
    """
    known = (TYPES[name] for name in types if name is not None and name in TYPES)
    remedy = next((remedy for of, remedy in known if of is kind), REMEDY.get(kind, ""))
    if kind is ContentRefused or FREE_TYPES.intersection(filter(None, types)):
        return f"{charge.value}: {remedy[:1].lower()}{remedy[1:]}"
    return remedy


def _describe(detail: Detail) -> str:
    where = f"{detail.parameter}: " if detail.parameter else ""
    limits = ", ".join(
        f"{key} {clip(str(value), 120)}" for key, value in detail.context.items() if key != "error"
    )
    return f"{where}{detail.message}" + (f" ({limits})" if limits else "")


def _details(value: Any) -> tuple[Detail, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(
        Detail(
            loc=tuple(map(str, entry["loc"])) if isinstance(entry.get("loc"), list) else (),
            message=str(entry.get("msg") or entry.get("message") or entry.get("type") or "refused"),
            type=str(entry.get("type") or ""),
            context=entry["ctx"] if isinstance(entry.get("ctx"), dict) else {},
        )
        for entry in value
        if isinstance(entry, dict) and {"loc", "msg", "type"} & set(entry)
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):  # A UnicodeDecodeError is a ValueError too.
        return {}
    return data if isinstance(data, dict) else {"detail": data}


_WORDS = ("detail", "message", "msg", "error", "errors", "reason", "description", "title", "status")
"""Where JSON has its words, the best place first."""


def _words(value: Any, depth: int = 8) -> str:
    """Return the words in the JSON of an error: `{"message"}`, `{"detail": {...}}`, lists of those.

    An object without such a member is shown as it is.
    """
    if not isinstance(value, (dict, list)):
        return "" if value is None or isinstance(value, bool) else str(value)
    if not depth:
        return "…"
    if isinstance(value, list):
        return "; ".join(filter(None, (_words(part, depth - 1) for part in value[:20])))
    found = next(filter(None, (_words(value.get(name), depth - 1) for name in _WORDS)), "")
    return found or (clip(str(value), 300) if value else "")


def _one_line(text: str) -> str:
    """Return a text without line breaks and without control characters of terminals."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
