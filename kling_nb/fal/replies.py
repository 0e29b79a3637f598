"""Parse fal's replies into frozen values (FAL-PROTOCOL §3.3, §4, §6, §7). Unknown fields are ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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
    """

    data: Mapping[str, Any]
    units: str | None


class CancelOutcome(StrEnum):
    """fal's answer to a cancel (FAL-PROTOCOL §7)."""

    REMOVED = "OK"
    REQUESTED = "CANCELLATION_REQUESTED"
    ALREADY_COMPLETED = "ALREADY_COMPLETED"
    NOT_FOUND = "NOT_FOUND"


def json_object(body: bytes | str) -> dict[str, Any] | None:
    """Return the JSON object in `body`, or None if it is anything else."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def parse_status(data: Mapping[str, Any]) -> Status | None:
    """Return the status in a JSON object, or None if it has no `status` text."""
    state = data.get("status")
    if not isinstance(state, str):
        return None
    metrics = data.get("metrics")
    seconds = _number(metrics.get("inference_time")) if isinstance(metrics, dict) else None
    position = data.get("queue_position")
    error = data.get("error")
    return Status(
        state=state,
        queue_position=position if isinstance(position, int) and not isinstance(position, bool) else None,
        logs=_parse_logs(data.get("logs")),
        error=None if error in (None, "") else str(error),
        error_type=_text(data.get("error_type")),
        inference_time=seconds,
    )


def _parse_logs(entries: Any) -> tuple[Logged, ...]:
    if not isinstance(entries, list):
        return ()
    return tuple(
        Logged(str(entry["message"]), _text(entry.get("timestamp")), _text(entry.get("level")))
        for entry in entries
        if isinstance(entry, dict) and entry.get("message") is not None
    )


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
