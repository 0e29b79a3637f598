"""What a refusal of fal's means: its status, types and words as one of our errors, with what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

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

REMEDY: Mapping[type[ResponseError], str] = {
    AuthenticationError: "Check the key (FAL_KEY, or configure(credentials=…)) at https://fal.ai/dashboard/keys.",
    InsufficientBalance: "The key is fine, the balance is used up. Top up at https://fal.ai/dashboard/billing.",
    AccessDenied: "The key is known but may not use this. See https://fal.ai/dashboard.",
    EndpointNotFound: "Check the endpoint's id: %kling endpoints lists the known ones.",
    RequestNotFound: "fal has no such request, or keeps its result no longer.",
    InputRefused: "Change the named parameter and run the cell again.",
    ContentRefused: "Change the prompt or picture. fal may bill a refusal made after generation.",
    RateLimited: "Wait a little, then run the cell again.",
    PlatformError: "Server faults are not billed. Run the cell again to make a new attempt.",
}
"""What to do about each kind, where its type says nothing closer."""

_SERVER_FAULT = REMEDY[PlatformError]
_NUMBER = "Give the named parameter a value within its limit and run the cell again."
_PICTURE = "Give a picture within these limits (in pixels)"
_LENGTH = "Give a clip within these limits (in seconds)"
_UNREADABLE = "fal could not read it. Give another file, or save it anew as"
_ARCHIVE = "Give a .zip with as many files of these kinds as are allowed."
_UNSENT = "Nothing was generated. Running the cell again makes a new attempt."

TYPES: Mapping[str, tuple[type[ResponseError], str]] = {
    # model errors, FAL-PROTOCOL §11.1
    "internal_server_error": (PlatformError, _SERVER_FAULT),
    "generation_timeout": (
        PlatformError,
        "It took the model too long. Server faults are not billed: run the cell again, or ask for less.",
    ),
    "downstream_service_error": (
        PlatformError,
        "A service that the model needs has failed. Run the cell again to make a new attempt.",
    ),
    "downstream_service_unavailable": (
        PlatformError,
        "Server faults are not billed. Wait some minutes, then run the cell again.",
    ),
    "content_policy_violation": (ContentRefused, REMEDY[ContentRefused]),
    "no_media_generated": (
        InputRefused,
        "The model made nothing of this. Change the prompt, or try once more with the same one.",
    ),
    "image_too_small": (InputRefused, f"{_PICTURE}: enlarge it, or take another."),
    "image_too_large": (InputRefused, f"{_PICTURE}: make it smaller first."),
    "image_load_error": (InputRefused, f"{_UNREADABLE} JPEG or PNG."),
    "file_download_error": (
        InputRefused,
        "fal could not fetch it: the address must be public. kling_nb.upload(file) gives one that is.",
    ),
    "face_detection_error": (InputRefused, "Give a picture that shows a face clearly, from the front."),
    "file_too_large": (InputRefused, "Make the file smaller, to at most that many bytes."),
    "greater_than": (InputRefused, _NUMBER),
    "greater_than_equal": (InputRefused, _NUMBER),
    "less_than": (InputRefused, _NUMBER),
    "less_than_equal": (InputRefused, _NUMBER),
    "multiple_of": (InputRefused, "Give the named parameter a multiple of that number."),
    "sequence_too_short": (InputRefused, "Give the named parameter more entries or characters."),
    "sequence_too_long": (InputRefused, "Give the named parameter fewer entries or characters."),
    "one_of": (InputRefused, "Give the named parameter one of the expected values."),
    "feature_not_supported": (InputRefused, "Leave the named parameter out, or choose another endpoint."),
    "invalid_archive": (InputRefused, _ARCHIVE),
    "archive_file_count_below_minimum": (InputRefused, _ARCHIVE),
    "archive_file_count_exceeds_maximum": (InputRefused, _ARCHIVE),
    "audio_duration_too_long": (InputRefused, f"{_LENGTH}: cut it."),
    "video_duration_too_long": (InputRefused, f"{_LENGTH}: cut it."),
    "audio_duration_too_short": (InputRefused, f"{_LENGTH}: take a longer one."),
    "video_duration_too_short": (InputRefused, f"{_LENGTH}: take a longer one."),
    "unsupported_audio_format": (InputRefused, "Convert the sound to one of the supported formats."),
    "unsupported_image_format": (InputRefused, "Convert the picture to one of the supported formats."),
    "unsupported_video_format": (InputRefused, "Convert the video to one of the supported formats."),
    # request errors, §11.2
    "request_timeout": (
        PlatformError,
        "It ran longer than fal allows. Server faults are not billed: run the cell again, or ask for less.",
    ),
    "startup_timeout": (
        PlatformError,
        "The work had not begun in time. Server faults are not billed: run the cell again later.",
    ),
    "runner_scheduling_failure": (PlatformError, _SERVER_FAULT),
    "runner_connection_timeout": (PlatformError, _SERVER_FAULT),
    "runner_disconnected": (PlatformError, _SERVER_FAULT),
    "runner_connection_refused": (PlatformError, _SERVER_FAULT),
    "runner_connection_error": (PlatformError, _SERVER_FAULT),
    "runner_incomplete_response": (PlatformError, _SERVER_FAULT),
    "runner_server_error": (
        PlatformError,
        "Server faults are not billed. Run the cell again; if it fails the same way, change the input.",
    ),
    "client_disconnected": (PlatformError, _UNSENT),
    "client_cancelled": (PlatformError, _UNSENT),
    "bad_request": (PlatformError, "Nothing was generated. Check the options of the submission."),
    "internal_error": (PlatformError, _SERVER_FAULT),
    "concurrent_requests_limit": (
        RateLimited,
        "The account runs as many requests as it may. Wait for one to end, then run the cell again.",
    ),
}
"""What fal's types of errors are here, and what to do. A type that is not here goes by its status."""


FREE_TYPES = frozenset(
    {
        "request_timeout",
        "startup_timeout",
        "runner_scheduling_failure",
        "runner_connection_timeout",
        "runner_disconnected",
        "runner_connection_refused",
        "runner_connection_error",
        "runner_incomplete_response",
        "runner_server_error",
        "bad_request",
        "internal_error",
    }
)
"""Error types of the platform by which fal says that a request ended without a charge (§10.5, §11.2)."""


def from_response(
    status_code: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    request_id: str | None = None,
    what: str = "",
) -> ResponseError:
    """Turn an error answer of fal into the error that says it best.

    Takes all three body shapes of FAL-PROTOCOL §6.2 (a `detail` list, a flat `detail`
    with `error_type`, a plain `detail`), the `status`-only bodies of §4 and §7, and
    pages that are not JSON at all.

    Args:
        status_code: HTTP status.
        headers: Response headers, lower-case names.
        body: Raw body; only its first part is ever shown.
        request_id: The request it is about; without one a 404 is about the endpoint.
        what: What was tried, e.g. "Submitting"; opens the message.
    """
    data = _json_object(body)
    details = _details(data.get("detail"))
    error_type = _text(data.get("error_type")) or headers.get("x-fal-error-type")
    text = _flat_text(data, body)
    kind = _kind(status_code, text, details, error_type, request_id)
    message = "; ".join(_describe(detail) for detail in details) or f"{_refusal(what, status_code)} {text}"
    return kind(
        _clip(_one_line(message).rstrip(":"), 600),
        remedy=_remedy(kind, [error_type, *(detail.type for detail in details), *_by_headers(headers)]),
        request_id=request_id or headers.get("x-fal-request-id"),
        status_code=status_code,
        error_type=error_type or (details[0].type if details else None),
        details=details,
        billable_units=headers.get("x-fal-billable-units"),
    )


def from_error_text(text: str, error_type: str | None, *, request_id: str | None) -> ResponseError:
    """The error of a request that fal reports as COMPLETED with an `error` (FAL-PROTOCOL §4)."""
    kind = _kind(0, text, (), error_type, request_id)
    return kind(
        _clip(_one_line(f"fal reports that the request failed: {text}"), 600),
        remedy=_remedy(kind, [error_type]),
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
    if details:
        return PlatformError if PlatformError in kinds else InputRefused
    if status == 401:
        return AuthenticationError
    if status == 403:
        return InsufficientBalance if "exhausted balance" in text.lower() else AccessDenied
    if status == 404:
        about_request = request_id and not text.startswith(("Application", "Path"))
        return RequestNotFound if about_request else EndpointNotFound
    if status == 429 or error_type == "concurrent_requests_limit":
        return RateLimited
    if status in {400, 422} and not error_type:
        return InputRefused
    return PlatformError


def _remedy(kind: type[ResponseError], types: Sequence[str | None]) -> str:
    """That of the first type which is of this kind, else the kind's own."""
    known = (TYPES[name] for name in types if name is not None and name in TYPES)
    return next((remedy for of, remedy in known if of is kind), REMEDY.get(kind, ""))


def _by_headers(headers: Mapping[str, str]) -> list[str]:
    """The type that is said by a header alone: the caller's own start timeout (FAL-PROTOCOL §3.2)."""
    return ["startup_timeout"] if "x-fal-request-timeout-type" in headers else []


def _refusal(what: str, status: int) -> str:
    return f"{what} was refused by fal ({status}):" if what else f"fal answered {status}:"


def _describe(detail: Detail) -> str:
    where = f"{detail.parameter}: " if detail.parameter else ""
    limits = ", ".join(
        f"{key} {_clip(str(value), 120)}" for key, value in detail.context.items() if key != "error"
    )
    return f"{where}{detail.message}" + (f" ({limits})" if limits else "")


def _details(value: Any) -> tuple[Detail, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(
        Detail(
            loc=tuple(map(str, entry["loc"])) if isinstance(entry.get("loc"), list) else (),
            message=str(entry.get("msg") or entry.get("type") or "refused"),
            type=str(entry.get("type") or ""),
            context=entry["ctx"] if isinstance(entry.get("ctx"), dict) else {},
        )
        for entry in value
        if isinstance(entry, dict)
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):  # covers bad UTF-8 too
        return {}
    return data if isinstance(data, dict) else {"detail": data}


def _flat_text(data: Mapping[str, Any], body: bytes) -> str:
    """The human text of a body without a `detail` list."""
    nested = data.get("error")
    candidates = (
        data.get("detail"),
        nested.get("message") if isinstance(nested, dict) else nested,
        data.get("status"),
    )
    for value in candidates:
        if isinstance(value, str) and value:
            return value
    return "" if data else _clip(" ".join(body.decode("utf-8", "replace").split()), 120)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _one_line(text: str) -> str:
    """Text from outside without line breaks, and without what could steer a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
