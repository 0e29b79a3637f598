"""What fal's replies look like, from FAL-PROTOCOL alone: every check names its section."""

import re
from datetime import datetime
from typing import Any

import httpx

ALWAYS = {"status", "request_id", "response_url", "status_url", "cancel_url", "logs", "metrics"}
LEVELS = {"STDERR", "STDOUT", "ERROR", "INFO", "WARN", "DEBUG"}
PYDANTIC = {
    "missing",
    "value_error",
    "string_type",
    "string_too_short",
    "string_too_long",
    "int_type",
    "float_type",
    "bool_type",
    "list_type",
    "dict_type",
}
CONTEXT = {
    "greater_than": {"gt"},
    "greater_than_equal": {"ge"},
    "less_than": {"lt"},
    "less_than_equal": {"le"},
    "multiple_of": {"multiple_of"},
    "sequence_too_short": {"min_length"},
    "sequence_too_long": {"max_length"},
    "string_too_short": {"min_length"},
    "string_too_long": {"max_length"},
    "one_of": {"expected"},
    "image_too_small": {"min_height", "min_width"},
    "image_too_large": {"max_height", "max_width"},
    "file_too_large": {"max_size"},
    "unsupported_audio_format": {"supported_formats"},
    "unsupported_video_format": {"supported_formats"},
    "unsupported_image_format": {"supported_formats"},
}
MODEL = PYDANTIC | set(CONTEXT) | {"image_load_error", "file_download_error"}


def submitted(reply: httpx.Response) -> dict[str, Any]:
    """§3.3: 200 with eight keys."""
    body = reply.json()
    assert reply.status_code == 200
    assert set(body) == ALWAYS | {"queue_position"}
    assert (body["status"], body["logs"], body["metrics"]) == ("IN_QUEUE", None, {})
    position(body)
    assert reply.headers["x-fal-request-id"] == body["request_id"]
    return body


def status(reply: httpx.Response, *, logs: bool) -> dict[str, Any]:
    """§4: 202 until it is COMPLETED; `logs` always there, null unless asked for."""
    body = reply.json()
    state = body["status"]
    assert reply.status_code == (200 if state == "COMPLETED" else 202)
    extra = {"IN_QUEUE": {"queue_position"}, "IN_PROGRESS": set(), "COMPLETED": set()}[state]
    if state == "IN_QUEUE":
        position(body)
    if "error" in body:
        assert state == "COMPLETED"
        assert body["error"]
        extra = {"error"} | ({"error_type"} & set(body))
    assert set(body) == ALWAYS | extra
    seconds = body["metrics"].get("inference_time")
    assert set(body["metrics"]) == ({"inference_time"} if state == "COMPLETED" else set())
    assert seconds is None or seconds >= 0
    if logs:
        for line in body["logs"]:
            log_line(line)
    else:
        assert body["logs"] is None
    return body


def position(body: dict[str, Any]) -> None:
    """§4: requests ahead, 0-based."""
    assert isinstance(body["queue_position"], int)
    assert body["queue_position"] >= 0


def log_line(line: dict[str, Any]) -> None:
    """§4.1."""
    assert {"message", "timestamp"} <= set(line) <= {"message", "timestamp", "level", "source", "labels"}
    assert isinstance(line["message"], str)
    datetime.fromisoformat(line["timestamp"])
    assert line.get("level", "INFO") in LEVELS


def not_yet(reply: httpx.Response) -> None:
    """§6.3: 400 while there is no result."""
    assert reply.status_code == 400
    body = reply.json()
    assert body["detail"] == "Request is still in progress"
    assert set(body) == {"detail", "request_id", "response_url", "status_url", "cancel_url"}


def cancelled(reply: httpx.Response) -> str:
    """§7: code and word go together."""
    body = reply.json()
    assert set(body) == {"status"}
    pairs = {"OK": 200, "CANCELLATION_REQUESTED": 202, "ALREADY_COMPLETED": 400, "NOT_FOUND": 404}
    assert reply.status_code == pairs[body["status"]]
    return body["status"]


def result(reply: httpx.Response, last: dict[str, Any]) -> int:
    """Check the result (§6) against the last status (§4), and return its code."""
    body, code = reply.json(), reply.status_code
    assert reply.headers["x-fal-request-id"] == last["request_id"]
    assert ("error" in last) == (code != 200)
    if code == 200:
        assert float(reply.headers["x-fal-billable-units"]) > 0
    elif code == 422:
        assert last["error"] == "Invalid status code: 422"
        assert reply.headers["x-fal-billable-units"] == "0"
        assert reply.headers["x-fal-retryable"] == "false"
        for entry in body["detail"]:
            model_error(entry)
    else:  # §6.2: the platform's, flat
        assert set(body) == {"detail", "error_type"}
        assert (body["detail"], body["error_type"]) == (last["error"], last["error_type"])
        assert reply.headers["x-fal-error-type"] == body["error_type"]
    return code


def model_error(entry: dict[str, Any]) -> None:
    """§6.2 and §11.1."""
    kind = entry["type"]
    assert (
        {"loc", "msg", "type", "url", "input"} <= set(entry) <= {"loc", "msg", "type", "url", "input", "ctx"}
    )
    assert entry["loc"][0] == "body"
    assert all(isinstance(step, str | int) for step in entry["loc"])
    assert entry["msg"]
    assert kind in MODEL, kind
    assert entry["url"] == f"https://docs.fal.ai/errors/#{kind}"
    assert set(entry.get("ctx", {})) == CONTEXT.get(kind, set())
    assert re.fullmatch(r"[a-z_]+", kind)
