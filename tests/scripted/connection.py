"""A connection, and how it goes wrong.

Our own HTTP/1.1 on asyncio streams, small on purpose (no compression, no pipelining, no
upgrade), so that a reply can stop at any byte, and so that a reset is a real RST.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from .message import BadRequest, Head, Reply, pieces

Place = Literal["before_body", "in_body", "after_body", "mid_head", "after_head", "mid_body"]
Action = Literal["reset", "close", "stall"]


@dataclass(frozen=True)
class Cut:
    """Where a connection goes wrong, and how.

    Attributes:
        at: a place, or the number of bytes of the reply that still go out. An ordinary
            body is one frame; in a stream each event is one.
        frame: for "after_head" and "mid_body": whole frames that go out first.
        gate: a stall ends when it is set, and the exchange then goes on as if nothing was.
    """

    action: Action
    at: Place | int = "after_body"
    frame: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event, compare=False)

    def offset(self, index: int, size: int, sent: int) -> int | None:
        """Bytes of piece `index` that still go out, None if the cut is not in it; piece 0 is the head."""
        if isinstance(self.at, int):
            return self.at - sent if sent <= self.at < sent + size else None
        piece, offset = {
            "after_body": (0, 0),
            "mid_head": (0, size // 2),
            "after_head": (1 + self.frame, 0),
            "mid_body": (1 + self.frame, size // 2),
        }.get(self.at, (-1, 0))
        return offset if piece == index else None


class Connection:
    """One accepted socket. Belongs to the server's loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # so that drain() returns only when the kernel has every byte
        writer.transport.set_write_buffer_limits(high=0)

    async def read_head(self) -> Head | None:
        """The next request's head; None when the client has gone."""
        try:
            raw = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError as error:
            raise BadRequest("head too large") from error
        return Head.parse(raw)

    async def read_body(self, head: Head) -> tuple[bytes, bool]:
        """The body and whether it came whole."""
        if "chunked" in (head.header("transfer-encoding") or "").lower():
            return await self._read_chunks()
        try:
            return await self._reader.readexactly(int(head.header("content-length") or 0)), True
        except asyncio.IncompleteReadError as error:
            return error.partial, False

    async def read_part(self, head: Head) -> bytes:
        """The first half of a body that says its length; of another one nothing."""
        size = int(head.header("content-length") or 0)
        return await self._reader.readexactly(size // 2) if size > 1 else b""

    async def _read_chunks(self) -> tuple[bytes, bool]:
        body = b""
        try:
            while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            while await self._reader.readuntil(b"\r\n") != b"\r\n":
                pass
        except asyncio.IncompleteReadError:
            return body, False
        return body, True

    async def send(self, reply: Reply, cut: Cut | None = None) -> bool:
        """Send a reply, cut short where `cut` says; True if the connection can take another request."""
        work = self._send_pieces(reply, cut)
        if cut is None and reply.frames is None:
            await work
        else:
            await self._while_connected(work)
        return cut is None and not reply.closes

    async def _send_pieces(self, reply: Reply, cut: Cut | None) -> None:
        sent = 0
        async with aclosing(pieces(reply)) as parts:
            index = 0
            async for piece in parts:
                offset = cut.offset(index, len(piece), sent) if cut else None
                if cut is None or offset is None:
                    await self._write(piece)
                else:
                    await self._write(piece[:offset])
                    if not await self.act(cut):
                        return
                    await self._write(piece[offset:])
                sent += len(piece)
                index += 1

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def act(self, cut: Cut) -> bool:
        """Apply the cut. Return True if the exchange continues, after a stall that was released."""
        if cut.action == "stall":
            await cut.gate.wait()
            return True
        if cut.action == "reset":
            await self._reset()
        else:
            self._writer.close()
        return False

    async def _while_connected(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, and drop it as soon as the client hangs up: no one would read the rest."""
        tasks = {asyncio.create_task(work), asyncio.create_task(self._hang_up())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _hang_up(self) -> None:
        with suppress(ConnectionError):
            while await self._reader.read(1024):
                pass

    async def _reset(self) -> None:
        """End the connection with RST: linger of zero seconds, then abort."""
        sock = self._writer.get_extra_info("socket")
        # the kernel drops what it has not sent when the reset comes, so the bytes before it must be through
        while not self._writer.is_closing() and _unsent(sock):  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(0.001)
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def abort(self) -> None:
        """Drop it at once, with whatever is still to be sent."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Send what is still to be sent, then FIN."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


def _unsent(sock: socket.socket) -> int:
    """Bytes the other side has not acknowledged; 0 where the system cannot tell."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
    except OSError:
        return 0
