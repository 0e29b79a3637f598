"""What a fault means for an accepted request: its end, or only a bad moment."""

from __future__ import annotations

import time
from typing import Any

from kling_nb import errors
from kling_nb.events import State
from kling_nb.fal.refusals import FREE_TYPES
from kling_nb.ledger import GONE, Entry

PASSING = (
    errors.AuthenticationError,
    errors.AccessDenied,
    errors.InsufficientBalance,
    errors.RateLimited,
    errors.UnreachableError,
    errors.MediaError,
    errors.LedgerError,
)
"""Faults that say nothing about an accepted request: its row stays unfinished, to be taken up again."""


def final(fault: errors.KlingError) -> bool:
    """Whether a fault is fal's last word on an accepted request."""
    return isinstance(fault, errors.ResponseError) and not isinstance(fault, PASSING)


def failure(fault: errors.KlingError, *, taken: bool) -> dict[str, Any]:
    """What the ledger says of a failed request. `taken`: whether fal had accepted it."""
    columns: dict[str, Any] = {
        "state": State.FAILED,
        "error": str(fault),
        "error_type": getattr(fault, "error_type", None),
    }
    if isinstance(fault, errors.ResponseError) and fault.billable_units is not None:
        columns["units"] = fault.billable_units  # a refusal may be billed
    if taken and isinstance(fault, errors.RequestNotFound):
        columns["error_type"] = GONE  # it was paid for, as far as is known: not to be bought again unasked
    if not taken or _not_billed(fault):
        columns["reserved_usd"] = 0.0
    return columns


def gone(entry: Entry) -> errors.RequestNotFound:
    """The error of a request that fal took, and knows no longer; with what is known of it."""
    if entry.sent_at is None:
        return _never_seen(entry)
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created_at))
    known = [f"submitted {made}", entry.endpoint]
    if entry.units is not None:
        known.append(f"billed units {entry.units}")
    if entry.reserved_usd:
        known.append(f"about ${entry.reserved_usd:.2f}")
    if entry.media_path is not None:
        known.append(f"its file was {entry.media_path}")
    return errors.ResultGone(
        f"The result of job {entry.id} is gone: fal keeps it no longer ({', '.join(known)}).",
        remedy=(
            f"Request id {entry.request_id}. Nothing was sent or paid now.\n"
            "To make it anew, at a new charge: --new (API: new=True)."
        ),
        request_id=entry.request_id,
        status_code=404,
        error_type=GONE,
    )


def _never_seen(entry: Entry) -> errors.RequestNotFound:
    """One that was made elsewhere, by what the caller said."""
    return errors.RequestNotFound(
        f"fal knows no request {entry.request_id} of {entry.endpoint}, or keeps its result no longer.",
        remedy="Check id, endpoint and key, then ask again: nothing was sent or paid.",
        request_id=entry.request_id,
        status_code=404,
        error_type=GONE,
    )


def of_another_key(entry: Entry) -> errors.RequestNotFound:
    """The error of a request that the key set now does not find: it says nothing of the request."""
    return errors.RequestNotFound(
        f"Job {entry.id} was sent with another key than the one set now, and with this one it is not found.",
        remedy=(
            "Set that key, then run the cell again. Nothing was sent or paid now.\n"
            "To make it anew with this key: --new (API: new=True)."
        ),
        request_id=entry.request_id,
        status_code=404,
    )


def _not_billed(fault: errors.KlingError) -> bool:
    """Return True if fal says that a failure costs nothing, by its error type or by zero units.

    A bare 5xx or an `error` without a type is no such word: the money stays reserved (FAL-PROTOCOL §6.4).
    """
    if not isinstance(fault, errors.ResponseError):
        return False
    return fault.error_type in FREE_TYPES or fault.billable_units in {"0", "0.0"}
