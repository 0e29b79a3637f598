"""Inputs: well formed, nearly well formed, and malformed."""

import json
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.sampled_from(
    [
        "status",
        "request_id",
        "logs",
        "message",
        "timestamp",
        "level",
        "metrics",
        "inference_time",
        "queue_position",
        "detail",
        "loc",
        "msg",
        "type",
        "ctx",
        "error",
        "error_type",
        "video",
        "url",
        "file_size",
        "status_url",
        "response_url",
        "cancel_url",
        "items",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400).filter(lambda number: abs(number) < 10**18 or number % 97 == 0)
    | st.floats()
    | TEXT
    | st.sampled_from(
        ["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "https://v3.fal.media/a.mp4", "still in progress"]
    )
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXT, inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, ANYTHING, max_size=6)
DEEP = st.integers(1, 3000).map(lambda depth: b"[" * depth + b"]" * depth)


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


BODIES = st.one_of(OBJECTS.map(_bytes), ANYTHING.map(_bytes), st.binary(max_size=60), DEEP)
"""Bodies of replies."""

CUT = st.tuples(BODIES, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
HEADERS = st.dictionaries(
    st.sampled_from(
        ["retry-after", "x-fal-error-type", "x-fal-billable-units", "x-fal-request-id", "location"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    max_size=3,
)
REPLIES = st.tuples(
    st.sampled_from(
        [200, 200, 200, 202, 301, 400, 401, 403, 404, 405, 409, 418, 422, 429, 500, 502, 503, 599]
    ),
    HEADERS,
    BODIES | CUT,
)
"""Status, headers and body."""

FIELDS = st.sampled_from([b"data: ", b"data:", b"event: ", b"id: ", b"retry: ", b": ", b"", b"\xff"])
LINES = st.tuples(FIELDS, BODIES | CUT, st.sampled_from([b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\r", b""]))
FRAMES = st.lists(LINES.map(b"".join), max_size=6).map(b"".join) | st.binary(max_size=80)
"""Bytes of an event stream."""

FLAGS = st.sampled_from(
    [
        "--duration",
        "--aspect-ratio",
        "--endpoint",
        "--image",
        "--take",
        "--new",
        "--no-wait",
        "--timeout",
        "--set",
        "--dry-run",
        "--quiet",
        "--webhook",
        "--priority",
        "--max-cost",
        "--nonsense",
        "-h",
        "--",
        "-",
        "--set=a=[",
    ]
)
WORDS = st.one_of(
    FLAGS,
    TEXT,
    st.sampled_from(
        ["cat", "5", "10", "9:16", "v1-pro", "v3-pro", "a.png", "{x}", "$x", "'", '"', "\\", "a=1"]
    ),
)
MAGIC_LINES = st.lists(WORDS, max_size=7).map(" ".join) | st.text(max_size=60)
"""What stands behind `%%kling`."""
