"""Every type of error that fal documents has its class and a remedy that fits it (FAL-PROTOCOL §11)."""

import json
from typing import Any

import pytest
from widget.memory_job import MemoryJob

from kling_nb import errors
from kling_nb.errors import InputRefused, PlatformError
from kling_nb.events import Failed, Submitted
from kling_nb.fal.replies import TYPES, from_error_text, from_response
from kling_nb.notebook.card.words import cost

FITTING = {
    "generation_timeout": "ask for less",
    "downstream_service_error": "new attempt",
    "downstream_service_unavailable": "Wait",
    "content_policy_violation": "prompt or image",
    "no_media_generated": "Change the prompt",
    "image_too_small": "larger image",
    "image_too_large": "smaller",
    "image_load_error": "JPEG or PNG",
    "file_download_error": "kling_nb.upload",
    "face_detection_error": "face",
    "file_too_large": "smaller",
    "greater_than": "within its limit",
    "less_than_equal": "within its limit",
    "multiple_of": "multiple",
    "sequence_too_short": "more",
    "sequence_too_long": "fewer",
    "one_of": "expected",
    "feature_not_supported": "another endpoint",
    "invalid_archive": ".zip",
    "archive_file_count_exceeds_maximum": ".zip",
    "audio_duration_too_long": "shorter",
    "video_duration_too_short": "longer",
    "unsupported_audio_format": "audio",
    "unsupported_image_format": "image",
    "unsupported_video_format": "video",
    "request_timeout": "longer than fal allows",
    "startup_timeout": "not start in time",
    "runner_server_error": "change the input",
    "client_cancelled": "Nothing was generated",
    "bad_request": "options",
    "concurrent_requests_limit": "Wait for one to finish",
}


@pytest.mark.parametrize(("name", "words"), FITTING.items(), ids=FITTING)
def test_the_remedy_fits(name: str, words: str) -> None:
    kind, _ = TYPES[name]
    status = {InputRefused: 422, PlatformError: 500}.get(kind, 429)
    listed = {"detail": [{"loc": ["body", "x"], "msg": "No", "type": name, "ctx": {}}]}
    flat = {"detail": "No", "error_type": name}
    for body in (listed, flat):
        error = from_response(status, {}, json.dumps(body).encode(), request_id="r-1")
        if type(error) is kind:
            assert words in error.remedy
    assert any(
        type(from_response(status, {}, json.dumps(body).encode(), request_id="r-1")) is kind
        for body in (listed, flat)
    )


def test_a_known_type_is_known_in_the_status_too() -> None:
    error = from_error_text("too late", "startup_timeout", request_id="r-1")
    assert type(error) is PlatformError
    assert "not start in time" in error.remedy


def test_the_start_timeout_by_its_header_alone() -> None:
    headers = {"x-fal-request-timeout-type": "user"}
    error = from_response(504, headers, b'{"detail": "Gateway Timeout"}', request_id="r-1")
    assert "not start in time" in error.remedy


def test_a_type_that_is_not_known_survives() -> None:
    body = {"detail": [{"loc": ["body", "x"], "msg": "No", "type": "brand_new", "ctx": {"limit": 3}}]}
    error = from_response(422, {}, json.dumps(body).encode(), request_id="r-1")
    assert (type(error), error.error_type) == (InputRefused, "brand_new")
    assert "limit 3" in error.message
    assert error.remedy
    flat = from_response(503, {}, b'{"detail": "No", "error_type": "brand_new"}', request_id="r-1")
    assert (type(flat), flat.error_type) == (PlatformError, "brand_new")


def test_the_remedy_is_that_of_the_kind_that_decides() -> None:
    details = [
        {"loc": ["body", "image_url"], "msg": "small", "type": "image_too_small"},
        {"loc": ["body"], "msg": "policy", "type": "content_policy_violation"},
    ]
    error = from_response(422, {}, json.dumps({"detail": details}).encode(), request_id="r-1")
    assert type(error) is errors.ContentRefused
    assert "prompt or image" in error.remedy


@pytest.mark.parametrize(
    ("headers", "request_id", "words", "cost_words"),
    [
        ({}, "r-1", "fal may bill it", "cost not known"),
        ({"x-fal-billable-units": "0"}, "r-1", "Not charged", "not charged"),
        ({"x-fal-billable-units": "5"}, "r-1", "fal bills it", "5 billable units"),
        ({}, None, "Not charged", "not charged"),
    ],
)
def test_a_refusal_by_policy_says_the_same_of_its_cost_as_its_card(
    headers: dict[str, str], request_id: str | None, words: str, cost_words: str
) -> None:
    details = [{"loc": ["body", "prompt"], "msg": "policy", "type": "content_policy_violation"}]
    error = from_response(422, headers, json.dumps({"detail": details}).encode(), request_id=request_id)
    assert error.remedy == f"{words}: change the prompt or image."
    job: Any = MemoryJob()
    job.backend = "fal"
    job._apply(*([Submitted(request_id)] if request_id else []), Failed(error))
    assert cost(job) == cost_words
