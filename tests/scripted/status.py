"""The status object, as status replies and events carry it."""

from typing import Any

from .job import Job, Snapshot
from .script import Done, Fail


def urls(base: str, job: Job) -> dict[str, str]:
    """The three addresses of a request: under owner and alias, whatever stood behind them at submit."""
    address = f"{base}/{job.submission.app}/requests/{job.request_id}"
    return {"response_url": address, "status_url": f"{address}/status", "cancel_url": f"{address}/cancel"}


def status_of(base: str, job: Job, snapshot: Snapshot, logs: list[dict[str, Any]] | None) -> dict[str, Any]:
    """A job as fal describes it.

    Args:
        logs: the lines to send, None when they were not asked for.
    """
    value: dict[str, Any] = {"status": snapshot.state, "request_id": job.request_id, **urls(base, job)}
    if snapshot.state == "IN_QUEUE":
        value["queue_position"] = snapshot.position
        # a queued job has no log yet, unless it ran before and was put back
        logs = logs or None
    value |= {"logs": logs, "metrics": {}}
    if snapshot.final and job.outcome is not None:
        value |= _end(job.outcome)
    return value


def _end(outcome: Done | Fail) -> dict[str, Any]:
    if isinstance(outcome, Done):
        return {"metrics": {"inference_time": outcome.inference_time}}
    named = {"error": outcome.error, "error_type": outcome.error_type}
    return {"metrics": {"inference_time": None}} | {
        key: text for key, text in named.items() if text is not None
    }
