"""The inputs of `inputs.py` drawn by a seeded generator: as wild, and a hundred times as quick.

hypothesis looks for the smallest input that breaks something, and keeps a tree of all that it has tried; the
long form only needs many. What is drawn here is then spoilt once in a while, as a disk or a network may.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from random import Random
from typing import Any

from kling_nb.events import State
from kling_nb.media import Sidecar

NAMES = (
    *("status", "request_id", "logs", "message", "timestamp", "level", "metrics", "inference_time"),
    *("queue_position", "detail", "loc", "msg", "type", "ctx", "error", "error_type", "video", "url"),
    *("file_size", "status_url", "response_url", "cancel_url", "items"),
)
WORDS = ("IN_QUEUE", "IN_PROGRESS", "COMPLETED", "https://v3.fal.media/a.mp4", "still in progress")
CODES = (200, 200, 200, 202, 301, 400, 401, 403, 404, 405, 409, 418, 422, 429, 500, 502, 503, 599)
HEADERS = ("retry-after", "x-fal-error-type", "x-fal-billable-units", "x-fal-request-id", "location")
FIELDS = (b"data: ", b"data:", b"event: ", b"id: ", b"retry: ", b": ", b"", b"\xff")
ENDS = (b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\r", b"")
FLAGS = (
    *("--duration", "--aspect-ratio", "--endpoint", "--image", "--take", "--new", "--no-wait", "--timeout"),
    *("--set", "--dry-run", "--quiet", "--webhook", "--priority", "--max-cost", "--grid", "--nonsense"),
    *("-h", "--", "-", "--set=a=[", "cat", "5", "10", "9:16", "v1-pro", "v3-pro", "a.png", "{x}", "$x"),
    *("'", '"', "\\", "a=1", "duration=5,10"),
)
PLACES = ("../a.mp4", "a/b.mp4", "C:\\a.mp4", "a.mp4", "fal", "video")
SIDECAR = tuple(field.name for field in fields(Sidecar))
ODD = "\x00\x1b\n\r\t\x7f\u200f\u2028\ufeff\ufffe\U0001f98a\u0301ßİŉ"
NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, -(2**63), 10**400, 0.5, -0.0, 1e308, 5e-324)

Draw = Callable[[Random], Any]


def text(chance: Random, most: int = 20) -> str:
    """Letters of all scripts; no lone surrogates, which no UTF-8 holds."""
    return "".join(_letter(chance) for _ in range(chance.randrange(most + 1)))


def _letter(chance: Random) -> str:
    kind = chance.randrange(4)
    if kind == 0:
        return chance.choice(ODD)
    code = chance.randrange(32, 127) if kind < 3 else chance.randrange(0x110000)
    return chr(code) if not 0xD800 <= code < 0xE000 else "\ufffd"


def value(chance: Random, depth: int = 3) -> Any:
    """Anything that JSON can say, and the numbers that Python's JSON says besides."""
    kind = chance.randrange(11 if depth else 8)
    if kind == 10:
        return {name(chance): value(chance, depth - 1) for _ in range(chance.randrange(5))}
    if kind >= 8:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind >= 6:
        return text(chance)
    return (
        None,
        chance.random() < 0.5,
        chance.choice(NUMBERS),
        chance.choice((chance.uniform(-1e6, 1e6), float("nan"), float("inf"), float("-inf"))),
        chance.randrange(-(10**18), 10**18),
        chance.choice(WORDS),
    )[kind]


def name(chance: Random) -> str:
    """Mostly a name that the code looks for."""
    return chance.choice(NAMES) if chance.random() < 0.8 else text(chance, 8)


def body(chance: Random) -> bytes:
    """The body of a reply: well formed, nearly well formed, or malformed."""
    kind = chance.randrange(10)
    if kind < 6:
        data = json.dumps({name(chance): value(chance) for _ in range(chance.randrange(7))}).encode()
    elif kind < 8:
        data = json.dumps(value(chance)).encode()
    elif kind == 8:
        data = chance.randbytes(chance.randrange(61))
    else:
        depth = chance.choice((1, 40, 900, 3000))
        data = b"[" * depth + b"]" * depth
    return spoilt(chance, data) if chance.random() < 0.3 else data


def spoilt(chance: Random, data: bytes) -> bytes:
    """Cut off, with a byte changed, or with a part missing or twice."""
    if not data:
        return data
    at, to = sorted((chance.randrange(len(data)), chance.randrange(len(data))))
    return (
        data[:at],
        data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :],
        data[:at] + data[to:],
        data[:to] + data[at:],
    )[chance.randrange(4)]


def reply(chance: Random) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body."""
    headers = {
        chance.choice(HEADERS): "".join(chr(chance.randrange(32, 127)) for _ in range(chance.randrange(21)))
        for _ in range(chance.randrange(4))
    }
    return chance.choice(CODES), headers, body(chance)


def frames(chance: Random) -> bytes:
    """Bytes of an event stream."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(81))
    parts = [chance.choice(FIELDS) + body(chance) + chance.choice(ENDS) for _ in range(chance.randrange(7))]
    return b"".join(parts)


def magic_line(chance: Random) -> str:
    """What stands behind `%%kling`."""
    if chance.random() < 0.1:
        return text(chance, 60)
    words = (
        chance.choice(FLAGS) if chance.random() < 0.75 else text(chance) for _ in range(chance.randrange(8))
    )
    return " ".join(words)


def sidecar(chance: Random) -> bytes:
    """A sidecar that anyone may have written."""
    if chance.random() < 0.3:
        return body(chance)
    shown = {
        chance.choice(SIDECAR): chance.choice(PLACES) if chance.random() < 0.3 else value(chance)
        for _ in range(chance.randrange(len(SIDECAR)))
    }
    data = json.dumps({"kling_nb": 1, **shown}).encode()
    return spoilt(chance, data) if chance.random() < 0.2 else data


ROW_TEXTS = ("state", "owner", "input", "result", "request_id", "status_url", "error", "media_path", "units")
ROW_NUMBERS = ("created_at", "finished_at", "sent_at", "reserved_usd")
ROW_WORDS = (*(state.value for state in State), "host:1:x", "a:b:c", "{}", "[]", "x")


def row(chance: Random) -> dict[str, Any]:
    """Columns of a ledger's row."""
    texts = {
        chance.choice(ROW_TEXTS): chance.choice(ROW_WORDS) if chance.random() < 0.6 else text(chance)
        for _ in range(chance.randrange(1, 6))
    }
    numbers = {
        chance.choice(ROW_NUMBERS): chance.choice(
            (chance.uniform(-1e12, 1e12), float("inf"), 0.0, -1e300, 1e300)
        )
        for _ in range(chance.randrange(4))
    }
    return {**texts, **numbers}


DRAWN: Mapping[str, Draw] = {
    "magic line": magic_line,
    "event stream": frames,
    "status reply": reply,
    "result reply": reply,
    "cancel reply": reply,
    "submit reply": reply,
    "sidecar": sidecar,
    "ledger row": row,
}
"""By the name of the edge."""
