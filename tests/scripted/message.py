"""HTTP/1.1 messages: the head of a request, a reply before it becomes bytes."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

Frames = AsyncGenerator[bytes, None]


class BadRequest(Exception):
    """The client sent bytes that are not an HTTP request."""


@dataclass(frozen=True)
class Head:
    """Request line and headers; `query` keeps order and repeats."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        return tuple(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        first, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(first)
        pairs = (line.partition(":") for line in lines)
        return cls(
            words[0], words[1], tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
        )


@dataclass(frozen=True)
class Reply:
    """An answer before it becomes bytes.

    Attributes:
        frames: where given, the body comes in these pieces, as chunks of the chunked coding.
        length_error: added to the true Content-Length.
        sized: False leaves Content-Length out; the end of the body is the end of the connection.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    frames: Frames | None = field(default=None, compare=False)
    length_error: int = 0
    sized: bool = True

    @classmethod
    def json(cls, status: int, value: Any, **headers: str) -> Self:
        """A JSON body; `x_fal_request_id="…"` becomes the header `x-fal-request-id`."""
        pairs = tuple((name.replace("_", "-"), text) for name, text in headers.items())
        body = json.dumps(value, ensure_ascii=False).encode()
        return cls(status, body, (("content-type", "application/json"), *pairs))

    @property
    def closes(self) -> bool:
        return self.frames is not None or bool(self.length_error) or not self.sized

    def with_body(self, body: bytes) -> "Reply":
        return replace(self, body=body)

    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {reason(self.status)}", *(f"{k}: {v}" for k, v in self.headers)]
        if self.frames is not None:
            lines.append("transfer-encoding: chunked")
        elif self.sized:
            lines.append(f"content-length: {len(self.body) + self.length_error}")
        if self.closes:
            lines.append("connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def reason(status: int) -> str:
    """Return the phrase after a status code. fal uses 499, which the standard does not have."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request" if status == 499 else "Unknown"


async def pieces(reply: Reply) -> Frames:
    """The reply's bytes: the head, then each frame (an ordinary body is one)."""
    yield reply.head()
    if reply.frames is None:
        yield reply.body
        return
    async with aclosing(reply.frames) as frames:
        async for frame in frames:
            yield b"%x\r\n%s\r\n" % (len(frame), frame)
    yield b"0\r\n\r\n"
