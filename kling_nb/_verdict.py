"""What a fault means for an accepted request: its end, or only a bad moment."""

from __future__ import annotations

from typing import Any

from kling_nb import errors
from kling_nb.events import State

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
    if not taken or _not_billed(fault):
        columns["reserved_usd"] = 0.0
    return columns


def _not_billed(fault: errors.KlingError) -> bool:
    """Whether fal says, or documents, that a failure costs nothing: 5xx, and no units (FAL-PROTOCOL §6.4)."""
    if isinstance(fault, errors.PlatformError):
        return True
    return isinstance(fault, errors.ResponseError) and fault.billable_units in {"0", "0.0"}
