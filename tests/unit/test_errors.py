"""From an error answer of fal to the error that says it best (FAL-PROTOCOL §6.2, §11)."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_nb import errors
from kling_nb.errors import (
    AccessDenied,
    AuthenticationError,
    ContentRefused,
    EndpointNotFound,
    InputRefused,
    InsufficientBalance,
    KlingError,
    PlatformError,
    RateLimited,
    RequestNotFound,
    ResponseError,
)
from kling_nb.fal.replies import (
    FREE_TYPES,
    REMEDY,
    TYPES,
    Charge,
    Reached,
    charge_of,
    from_error_text,
    from_response,
)


def answer(status: int, body: Any, headers: dict[str, str] | None = None, **more: Any) -> ResponseError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_response(status, headers or {}, raw, **more)


def short(error: KlingError) -> bool:
    return len(str(error).splitlines()) <= 4 and all(len(line) <= 620 for line in str(error).splitlines())


# §11.1: type, HTTP code, ctx, and what it is here
MODEL_ERRORS: list[tuple[str, int, dict[str, Any], type[ResponseError]]] = [
    ("internal_server_error", 500, {}, PlatformError),
    ("generation_timeout", 504, {}, PlatformError),
    ("downstream_service_error", 400, {}, PlatformError),
    ("downstream_service_error", 500, {}, PlatformError),
    ("downstream_service_unavailable", 500, {}, PlatformError),
    ("content_policy_violation", 422, {}, ContentRefused),
    ("no_media_generated", 422, {}, InputRefused),
    ("image_too_small", 422, {"min_height": 300, "min_width": 300}, InputRefused),
    ("image_too_large", 422, {"max_height": 4096, "max_width": 4096}, InputRefused),
    ("image_load_error", 422, {}, InputRefused),
    ("file_download_error", 422, {}, InputRefused),
    ("face_detection_error", 422, {}, InputRefused),
    ("file_too_large", 422, {"max_size": 10485760}, InputRefused),
    ("greater_than", 422, {"gt": 0}, InputRefused),
    ("greater_than_equal", 422, {"ge": 0}, InputRefused),
    ("less_than", 422, {"lt": 1}, InputRefused),
    ("less_than_equal", 422, {"le": 1}, InputRefused),
    ("multiple_of", 422, {"multiple_of": 8}, InputRefused),
    ("sequence_too_short", 422, {"min_length": 1}, InputRefused),
    ("sequence_too_long", 422, {"max_length": 4}, InputRefused),
    ("one_of", 422, {"expected": ["5", "10"]}, InputRefused),
    ("feature_not_supported", 422, {}, InputRefused),
    ("invalid_archive", 422, {"supported_extensions": [".zip"]}, InputRefused),
    (
        "archive_file_count_below_minimum",
        422,
        {"min_count": 4, "provided_count": 1, "supported_extensions": [".jpg"]},
        InputRefused,
    ),
    (
        "archive_file_count_exceeds_maximum",
        422,
        {"max_count": 4, "provided_count": 9, "supported_extensions": [".jpg"]},
        InputRefused,
    ),
    ("audio_duration_too_long", 422, {"max_duration": 60, "provided_duration": 61.5}, InputRefused),
    ("video_duration_too_long", 422, {"max_duration": 10, "provided_duration": 11}, InputRefused),
    ("audio_duration_too_short", 422, {"min_duration": 2, "provided_duration": 1}, InputRefused),
    ("video_duration_too_short", 422, {"min_duration": 2, "provided_duration": 1}, InputRefused),
    ("unsupported_audio_format", 422, {"supported_formats": ["mp3"]}, InputRefused),
    ("unsupported_image_format", 422, {"supported_formats": ["jpg", "png"]}, InputRefused),
    ("unsupported_video_format", 422, {"supported_formats": ["mp4"]}, InputRefused),
    ("missing", 422, {}, InputRefused),
    ("value_error", 422, {"error": {}}, InputRefused),
    ("string_too_long", 422, {"max_length": 2500}, InputRefused),
    ("literal_error", 422, {"expected": "'5' or '10'"}, InputRefused),
    ("something_new", 422, {"limit": 3}, InputRefused),
]


@pytest.mark.parametrize(("kind", "status", "context", "expected"), MODEL_ERRORS)
def test_model_errors(kind: str, status: int, context: dict[str, Any], expected: type[ResponseError]) -> None:
    detail = {"loc": ["body", "image_url"], "msg": "It does not do", "type": kind, "ctx": context}
    headers = {"x-fal-request-id": "r-1", "x-fal-billable-units": "0"}
    error = answer(status, {"detail": [detail]}, headers, request_id="r-1", what="The request")
    assert type(error) is expected
    assert error.error_type == kind
    assert (error.status_code, error.request_id, error.billable_units) == (status, "r-1", "0")
    (only,) = error.details
    assert (only.parameter, only.message, only.type, only.context) == (
        "image_url",
        "It does not do",
        kind,
        context,
    )
    assert "image_url: It does not do" in error.message
    for name, value in context.items():
        assert name == "error" or f"{name} {value}" in error.message
    assert error.remedy
    assert short(error)


# §11.2: error_type, HTTP code, and what it is here
REQUEST_ERRORS: list[tuple[str, int, type[ResponseError]]] = [
    ("request_timeout", 504, PlatformError),
    ("startup_timeout", 504, PlatformError),
    ("runner_scheduling_failure", 503, PlatformError),
    ("runner_connection_timeout", 503, PlatformError),
    ("runner_disconnected", 503, PlatformError),
    ("runner_connection_refused", 503, PlatformError),
    ("runner_connection_error", 503, PlatformError),
    ("runner_incomplete_response", 502, PlatformError),
    ("runner_server_error", 500, PlatformError),
    ("client_disconnected", 499, PlatformError),
    ("client_cancelled", 499, PlatformError),
    ("bad_request", 400, PlatformError),
    ("internal_error", 500, PlatformError),
    ("concurrent_requests_limit", 429, RateLimited),
]


@pytest.mark.parametrize("place", ["body", "header", "status"])
@pytest.mark.parametrize(("kind", "status", "expected"), REQUEST_ERRORS)
def test_request_errors(kind: str, status: int, expected: type[ResponseError], place: str) -> None:
    if place == "body":
        error = answer(status, {"detail": "So it is", "error_type": kind}, request_id="r-1")
    elif place == "header":
        error = answer(status, {"detail": "So it is"}, {"x-fal-error-type": kind}, request_id="r-1")
    else:
        error = from_error_text("So it is", kind, request_id="r-1")
    assert type(error) is expected
    assert error.error_type == kind
    assert error.request_id == "r-1"
    assert error.details == ()
    assert "So it is" in error.message
    assert error.remedy.startswith("Not charged") == (kind in FREE_TYPES)
    assert (kind in FREE_TYPES) == (
        kind not in {"client_disconnected", "client_cancelled"} and expected is PlatformError
    )
    assert short(error)


PLAIN: list[tuple[int, Any, str | None, type[ResponseError], str]] = [
    (
        401,
        {"detail": 'Cannot access application "x". Authentication is required.'},
        None,
        AuthenticationError,
        "401",
    ),
    (401, {"detail": "Invalid key credentials"}, "r-1", AuthenticationError, "Invalid key"),
    (
        403,
        {"detail": "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard."},
        None,
        InsufficientBalance,
        "Exhausted balance",
    ),
    (403, {"detail": "Forbidden"}, None, AccessDenied, "Forbidden"),
    (404, {"detail": 'Application "x" not found'}, None, EndpointNotFound, "Application"),
    (404, {"detail": "Path /v9 not found"}, "r-1", EndpointNotFound, "/v9"),
    (404, {"detail": "Request not found"}, "r-1", RequestNotFound, "Request not found"),
    (404, {"status": "NOT_FOUND"}, "r-1", RequestNotFound, "NOT_FOUND"),
    (422, {"detail": "Bad picture"}, "r-1", InputRefused, "Bad picture"),
    (400, {"detail": "Bad picture"}, "r-1", InputRefused, "Bad picture"),
    (429, {"detail": "Too many requests"}, None, RateLimited, "Too many"),
    (500, {"detail": "Internal Server Error"}, "r-1", PlatformError, "Internal Server Error"),
    (405, {"detail": "Method Not Allowed"}, "r-1", PlatformError, "405"),
    (307, b"", None, PlatformError, "307"),
    (502, b"<html><head><title>502 Bad Gateway</title></head></html>", None, PlatformError, "502"),
    (500, b"\xff\xfe\x00bytes", None, PlatformError, "500"),
    (500, b"", None, PlatformError, "fal answered 500"),
    (500, b'"just a text"', None, PlatformError, "just a text"),
    (500, b"[1, 2]", None, PlatformError, "500"),
    (500, b"[" * 100_000, None, PlatformError, "500"),
    (500, {"detail": {"a": 1}}, None, PlatformError, "500"),
    (500, {"detail": []}, None, PlatformError, "500"),
    (500, {"detail": [7, "x"]}, None, PlatformError, "500"),
    (
        403,
        {"error": {"type": "authorization_error", "message": "Not permitted"}},
        None,
        AccessDenied,
        "Not permitted",
    ),
    (500, {"error": "boom"}, None, PlatformError, "boom"),
    # Words that gateways and models put elsewhere.
    (500, {"message": "The upstream is down"}, "r-1", PlatformError, "The upstream is down"),
    (500, {"detail": {"message": "No GPU", "code": 7}}, "r-1", PlatformError, "No GPU"),
    (500, {"detail": {"code": 7}}, "r-1", PlatformError, "'code': 7"),
    (422, {"detail": ["Too short", "No cat in it"]}, "r-1", InputRefused, "Too short; No cat in it"),
    (500, {"errors": [{"message": "one"}, "two"]}, None, PlatformError, "one; two"),
    (400, [{"msg": "Not a cat", "loc": ["body", "prompt"]}], "r-1", InputRefused, "prompt: Not a cat"),
    (500, [{"message": "one"}, {"reason": "two"}], None, PlatformError, "one; two"),
    (500, {"detail": [{"msg": "Broken", "type": "brand_new"}]}, "r-1", PlatformError, "Broken"),
    (500, {"error": {"error": {"detail": "deep"}}}, None, PlatformError, "deep"),
    # No money: 402, and words about it with a 403 or 401.
    (402, {"detail": "Payment Required"}, "r-1", InsufficientBalance, "Payment"),
    (402, b"", None, InsufficientBalance, "402"),
    (403, {"detail": "Insufficient credits"}, None, InsufficientBalance, "credits"),
    (403, {"message": "Your account has insufficient funds."}, "r-1", InsufficientBalance, "funds"),
    (403, {"detail": [{"msg": "Balance exhausted", "type": "x"}]}, "r-1", InsufficientBalance, "Balance"),
    (401, {"detail": "Exhausted balance"}, "r-1", InsufficientBalance, "Exhausted"),
    (403, {"detail": "Insufficient permissions"}, None, AccessDenied, "permissions"),
    (401, {"detail": [{"msg": "Invalid key", "type": "x"}]}, "r-1", AuthenticationError, "Invalid"),
    (429, {"detail": [{"msg": "Slow down", "type": "x"}]}, "r-1", RateLimited, "Slow down"),
]


@pytest.mark.parametrize(
    ("status", "body", "request_id", "expected", "text"), PLAIN, ids=lambda v: str(v)[:30]
)
def test_plain_errors_and_pages(
    status: int, body: Any, request_id: str | None, expected: type[ResponseError], text: str
) -> None:
    error = answer(status, body, request_id=request_id)
    assert type(error) is expected
    assert text in error.message
    assert not error.message.endswith(":")
    assert error.remedy
    assert short(error)


def test_several_details_are_all_named() -> None:
    details = [
        {"loc": ["body", "prompt"], "msg": "field required", "type": "missing"},
        {"loc": ["body", "elements", 0, "url"], "msg": "no picture", "type": "image_load_error"},
        {"loc": ["body"], "msg": "odd", "type": "value_error"},
        {"msg": "nowhere"},
        {"loc": "body", "type": "no_text"},
        "no object",
    ]
    error = answer(422, {"detail": details})
    assert [one.parameter for one in error.details] == ["prompt", "elements.0.url", None, None, None]
    assert error.message == "prompt: field required; elements.0.url: no picture; odd; nowhere; no_text"
    assert error.error_type == "missing"


def test_one_content_violation_among_others_decides() -> None:
    details = [
        {"loc": [], "msg": "a", "type": "value_error"},
        {"msg": "b", "type": "content_policy_violation"},
    ]
    assert type(answer(422, {"detail": details})) is ContentRefused


@pytest.mark.parametrize("text", ["a\nb\n" * 50, "\x1b[31mred\x1b[0m\r", "\u2028\u202e", "x" * 10_000])
@pytest.mark.parametrize("place", ["detail", "list", "page", "status"])
def test_text_from_outside_stays_one_line(text: str, place: str) -> None:
    if place == "detail":
        error = answer(500, {"detail": text})
    elif place == "list":
        error = answer(422, {"detail": [{"loc": [text], "msg": text, "type": text, "ctx": {text: text}}]})
    elif place == "page":
        error = answer(500, text.encode())
    else:
        error = from_error_text(text, None, request_id=None)
    assert short(error)
    assert error.message.isprintable()


def test_the_request_id_of_the_header_is_used_where_none_is_known() -> None:
    assert answer(500, {}, {"x-fal-request-id": "r-2"}).request_id == "r-2"
    assert answer(500, {}, {"x-fal-request-id": "r-2"}, request_id="r-1").request_id == "r-1"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "detail": json_values
        | st.lists(st.dictionaries(st.sampled_from(["loc", "msg", "type", "ctx"]), json_values)),
        "error_type": json_values,
        "error": json_values,
        "status": json_values,
    },
)


@given(st.integers(300, 599), st.binary(max_size=60) | bodies.map(lambda body: json.dumps(body).encode()))
def test_no_body_breaks_it(status: int, body: bytes) -> None:
    error = from_response(status, {}, body, request_id="r-1", what="The request")
    assert isinstance(error, ResponseError)
    assert error.message.isprintable()
    assert short(error)


def subclasses(kind: type[KlingError]) -> list[type[KlingError]]:
    return [kind, *(one for child in kind.__subclasses__() for one in subclasses(child))]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = set(re.findall(r"^[ │├└─]*(\w+)", errors.__doc__ or "", re.MULTILINE))
    named = {word for word in drawn if hasattr(errors, word)}
    assert named == {kind.__name__ for kind in subclasses(KlingError)}


def test_public_errors_are_caught_as_what_they_are() -> None:
    assert issubclass(errors.WaitTimeout, TimeoutError)
    assert issubclass(errors.InputError, ValueError)
    assert str(errors.MissingKey()).count("\n") <= 3


def test_what_ipython_shows() -> None:
    error = errors.UsageError("One.", remedy="Two.\nThree.")
    assert error._render_traceback_() == ["UsageError: One. Nothing was sent.", "Two.", "Three."]
    assert KlingError("")._render_traceback_() == ["KlingError: "]


@pytest.mark.parametrize("kind", subclasses(errors.InputError))
@pytest.mark.parametrize(
    ("message", "remedy", "shown"),
    [
        ("One.", "", "One. Nothing was sent."),
        ("One.", "Two.", "One. Nothing was sent.\nTwo."),
        ("One", "", "One. Nothing was sent."),
        ("One.", "Two. Nothing was sent.", "One.\nTwo. Nothing was sent."),
        ("One. Nothing was submitted.", "Two.", "One. Nothing was submitted.\nTwo."),
    ],
)
def test_an_input_error_says_once_that_nothing_was_sent(
    kind: type[errors.InputError], message: str, remedy: str, shown: str
) -> None:
    assert str(kind(message, remedy=remedy)) == shown


def test_only_what_fal_documents_as_free_is_called_free() -> None:
    for kind, (expected, remedy) in TYPES.items():
        assert "harge" not in remedy
        for units in (None, "0", "5"):
            headers = {"x-fal-billable-units": units} if units else {}
            error = answer(500, {"detail": "No", "error_type": kind}, headers, request_id="r-1")
            charge = charge_of(Reached.ACCEPTED, units, kind)
            assert (charge is Charge.NONE) == (units == "0" or (units is None and kind in FREE_TYPES))
            if kind in FREE_TYPES or expected is ContentRefused:
                assert error.remedy.startswith(f"{charge.value}: ")
    assert not any("harge" in remedy for remedy in REMEDY.values())
    for status in (307, 405, 409, 499, 500, 502):
        assert "bill" not in answer(status, {"detail": "No"}).remedy


@pytest.mark.parametrize("units", [None, "0", "5"])
@pytest.mark.parametrize("kind", [None, *sorted(FREE_TYPES)])
def test_what_fal_has_not_accepted_is_not_charged(units: str | None, kind: str | None) -> None:
    for reached in (Reached.NOWHERE, Reached.REFUSED):
        assert charge_of(reached, units, kind) is Charge.NONE
    assert charge_of(Reached.UNCLEAR, None, kind) is Charge.UNKNOWN
