"""As little of HTTP/1.1 as the benchmark's server needs: one object a connection, no copies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_REASON = {200: b"OK", 202: b"Accepted", 404: b"Not Found"}
_FREE = bytes(1 << 20)


@dataclass(slots=True)
class Request:
    """One request; of an upload the body is counted and dropped."""

    method: str
    target: str
    key: str
    body: bytes


class Exchange(asyncio.Protocol):
    """A connection: reads requests one after the other, and writes the answers.

    Args:
        answer: Called with each request and this object.
    """

    def __init__(self, answer: Callable[[Request, Exchange], Awaitable[None]]) -> None:
        self._answer = answer
        self._received = bytearray()
        self._head: tuple[str, str, str] | None = None
        self._left = 0
        self._dropping = False
        self._busy = False
        self._drained = asyncio.Event()
        self._drained.set()
        self.sent = 0
        self.closed = False

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._drained.set()

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def data_received(self, data: bytes) -> None:
        if self._dropping:  # the body of an upload
            self._left -= len(data)
        else:
            self._received += data
        self._next()

    def _next(self) -> None:
        if self._busy or (self._head is None and not self._parse_head()):
            return
        if self._dropping:
            if self._left > 0:
                return
            body = b""
        else:
            if len(self._received) < self._left:
                return
            body = bytes(self._received[: self._left])
            del self._received[: self._left]
        method, target, key = self._head or ("", "", "")
        self._head, self._dropping, self._busy = None, False, True
        asyncio.get_running_loop().create_task(self._work(Request(method, target, key, body)))

    async def _work(self, request: Request) -> None:
        await self._answer(request, self)
        self._busy = False
        self._next()

    def _parse_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *fields = bytes(self._received[:end]).decode("latin-1").split("\r\n")
        del self._received[: end + 4]
        method, target, _ = first.split(" ", 2)
        self._left, key = 0, ""
        for line in fields:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                self._left = int(value)
            elif name.lower() == "authorization":
                key = value.split()[-1].partition(":")[0]
        self._head = method, target, key
        if method == "PUT" and self._left > 1 << 16:
            self._dropping = True
            self._left -= len(self._received)
            self._received.clear()
        return True

    # -- answers

    def _write(self, data: bytes) -> int:
        self.sent += len(data)
        self._transport.write(data)
        return len(data)

    def json(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._write(head % (status, _REASON[status], len(body)) + body)

    def begin_stream(self) -> None:
        self._write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
            b"Cache-Control: no-store\r\n\r\n"
        )

    def event(self, value: object) -> int:
        return self._write(b"data: %s\n\n" % json.dumps(value).encode())

    def close(self) -> None:
        self._transport.close()

    async def file(self, sample: bytes, size: int) -> None:
        """The sample video, followed by an MP4 box of free space up to `size`."""
        size = max(size, len(sample) + 8) if size else len(sample)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n"
        self._write(head % size + sample)
        left = size - len(sample)
        if left:
            self._write(left.to_bytes(4, "big") + b"free")
            left -= 8
        while left and not self.closed:
            left -= self._write(_FREE if left >= len(_FREE) else _FREE[:left])
            await self._drained.wait()
