"""The sidecar: a JSON file beside each stored file that says what it is and how it was made.

Version 1, UTF-8, one object. It is written by `MediaFolder.store` and read by anyone.

    kling_nb        1, the version of this form
    fingerprint     of the request; takes with the same one answer the same request
    take            number among them, from 1
    endpoint        fal's id of the model
    input           what was sent; a local file stands as {"sha256": …, "name": …}
    backend         "fal", or "local" for a preview made on this machine
    request_id      fal's id of the request, or null
    file            name of the stored file when it was stored, without a folder
    kind            "video", "audio", "image" or "data"
    content_type    MIME type by the file's content
    sha256, size    of the stored file; size in bytes
    url             where it was fetched from, or null; such URLs expire
    width, height   pixels as shown; these five are null for anything but video
    fps, duration   frames a second; seconds
    frame_count     frames
    created_at      ISO 8601, UTC: the submission
    finished_at     ISO 8601, UTC: stored
    billable_units  what fal counted, as it sent it, or null
    lines           the last 200 log lines, each [timestamp or null, message]
    estimate_usd    US dollars that it was expected to cost; null, or missing, where that is not known

Readers ignore names they do not know, and refuse a version above their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from kling_nb.errors import MediaError
from kling_nb.media.names import bare

VERSION = 1
MAX_LINES = 200
LARGEST = 32 * 2**20
"""Bytes. An input can hold a picture as a data URI; a larger file is no sidecar of ours."""

Line = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar says. The module's docstring explains each name."""

    fingerprint: str
    take: int
    endpoint: str
    input: Mapping[str, Any]
    backend: str
    request_id: str | None
    file: str
    kind: str
    content_type: str
    sha256: str
    size: int
    url: str | None
    width: int | None
    height: int | None
    fps: float | None
    duration: float | None
    frame_count: int | None
    created_at: str
    finished_at: str
    billable_units: str | None
    lines: tuple[Line, ...]
    estimate_usd: float | None = None

    def to_json(self) -> bytes:
        """The file's content: one name a line, so that it reads well and diffs well.

        Raises:
            MediaError: `input` holds what JSON cannot say.
        """
        entries = {"kling_nb": VERSION, **{field.name: getattr(self, field.name) for field in fields(self)}}
        try:
            rows = [f"  {_dumps(name)}: {_dumps(value)}" for name, value in entries.items()]
        except (TypeError, ValueError, RecursionError) as error:
            raise MediaError(f"The input cannot be written as JSON: {error}.") from error
        text = "{\n" + ",\n".join(rows) + "\n}\n"
        # A lone surrogate from outside has no UTF-8; as a JSON escape it survives.
        return text.encode("utf-8", "backslashreplace")

    @classmethod
    def from_json(cls, data: bytes) -> Sidecar:
        """Read a sidecar that anyone may have written or edited.

        Raises:
            MediaError: It is no sidecar of a version known here.
        """
        try:
            found = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise MediaError(f"A sidecar is not JSON: {error}.") from error
        if not isinstance(found, dict):
            raise MediaError("A sidecar is not a JSON object.")
        if found.get("kling_nb") is True or found.get("kling_nb") != VERSION:
            raise MediaError(f"A sidecar is not of version {VERSION}.")
        return cls(**{name: _value(found, name, read) for name, read in _READERS.items()})


def read_sidecar(path: Path) -> Sidecar | None:
    """The sidecar at `path`, or None where there is none that can be read."""
    try:
        if path.stat().st_size > LARGEST:
            return None
        data = path.read_bytes()
        return Sidecar.from_json(data) if b'"kling_nb"' in data else None
    except (OSError, MediaError):
        return None


def timestamp(unix: float) -> str:
    """`unix` seconds as a sidecar writes them."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dumps(value: Any) -> str:
    return json.dumps(
        dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False, allow_nan=False
    )


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


# -- reading, strict on types: each raises ValueError -----------------------------


def _value(found: dict[str, Any], name: str, read: Callable[[Any], Any]) -> Any:
    try:
        return read(found.get(name))
    except ValueError as error:
        raise MediaError(f"A sidecar's {name} is not {error}.") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**63:
        raise ValueError("a whole number from 1")
    return value


def _positive(value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < 1e12:  # refuses NaN too
        raise ValueError("a number above 0")
    return float(value)


def _amount(value: Any) -> float | None:
    """An amount of money; None for all else: it came later than the rest, and is no reason to lose a take."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    return float(value) if known else None


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ValueError("an object")


def _name(value: Any) -> str:
    if not bare(_text(value)):
        raise ValueError("the name of a file")
    return str(value)


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError("64 hexadecimal digits")
    return value


def _time(value: Any) -> str:
    try:
        zone = datetime.fromisoformat(_text(value)).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise ValueError("an ISO 8601 time with its zone")
    return str(value)


def _lines(value: Any) -> tuple[Line, ...]:
    if isinstance(value, list):
        return tuple(_line(line) for line in value[-MAX_LINES:])
    raise ValueError("a list of lines")


def _line(value: Any) -> Line:
    match value:
        case [str() | None as time, str() as message]:
            return time, message
    raise ValueError("a list of [timestamp, message]")


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return str(value)

    return read


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "fingerprint": _text,
    "take": _whole,
    "endpoint": _text,
    "input": _object,
    "backend": _one_of("fal", "local"),
    "request_id": _or_none(_text),
    "file": _name,
    "kind": _one_of("video", "audio", "image", "data"),
    "content_type": _text,
    "sha256": _sha256,
    "size": _whole,
    "url": _or_none(_text),
    "width": _or_none(_whole),
    "height": _or_none(_whole),
    "fps": _or_none(_positive),
    "duration": _or_none(_positive),
    "frame_count": _or_none(_whole),
    "created_at": _time,
    "finished_at": _time,
    "billable_units": _or_none(_text),
    "lines": _lines,
    "estimate_usd": _amount,
}
