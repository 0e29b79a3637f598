"""TCP and TLS connections for httpcore, made with asyncio alone.

httpcore's own connections use anyio, a quarter of the CPU of a streamed log line. httpcore documents
`AsyncNetworkStream` as the place for other ones; HTTP itself stays with httpcore and h11.
"""

from __future__ import annotations

import asyncio
import selectors
import ssl
from collections import deque
from typing import Any

import httpcore

from kling_nb.fal.hosts import LOOPBACK

BUFFERED = 2**18
"""Bytes that may wait to be read. With more, the connection is not read from."""

NEXT_IP_SECONDS = 0.25
"""When the next IP of a host is tried in parallel with one that has not answered (RFC 8305)."""


async def connect(host: str, port: int, tls: ssl.SSLContext | None, seconds: float | None) -> Socket:
    """Open a connection. Until it returns, no byte of a request has been sent.

    Args:
        host: Host name or IP.
        port: Port.
        tls: The context of TLS, or None for a connection without encryption.
        seconds: Limit for the connection and its handshake together, or None.

    Raises:
        httpcore.ConnectTimeout: It takes longer.
        httpcore.ConnectError: The host is unknown, refuses, or fails in the handshake.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(
                Socket,
                host,
                port,
                ssl=tls,
                server_hostname=host if tls else None,
                # If it is cancelled, asyncio leaves the socket of a race to the collector of garbage.
                happy_eyeballs_delay=None if host in LOOPBACK else NEXT_IP_SECONDS,
            )
    except TimeoutError as fault:
        raise httpcore.ConnectTimeout(str(fault)) from fault
    except (OSError, UnicodeError) as fault:  # UnicodeError: a part of the host name is too long
        raise httpcore.ConnectError(str(fault)) from fault
    return connection


class Socket(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """An open connection. One task may read, and one may write."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._received: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._fault: Exception | None = None
        self._reader: asyncio.Future[bool] | None = None
        self._writer: asyncio.Future[bool] | None = None
        self._full = False

    # -- called by asyncio -----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(0)  # so that `write` waits until the system has the bytes

    def data_received(self, data: bytes) -> None:
        """Keep bytes for `read`, and stop the connection if they are too many."""
        self._received.append(data)
        self._size += len(data)
        if self._size > BUFFERED:
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """Note the end of what the server sends. Return True if it may still receive."""
        self._ended = True
        _wake(self._reader)
        return self._transport.get_extra_info("ssl_object") is None  # TLS closes both ways at once

    def connection_lost(self, fault: Exception | None) -> None:
        """Note the end of the connection, and its error if it is one."""
        self._ended = True
        self._fault = fault
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        """Note that the system takes no more bytes."""
        self._full = True

    def resume_writing(self) -> None:
        """Note that the system has taken all bytes."""
        self._full = False
        _wake(self._writer)

    # -- called by httpcore -----------------------------------------------------

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 -- httpcore's
        """Return the bytes that came, up to `max_bytes`; nothing at the end of the connection."""
        if not self._received and not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            if not await _woken(self._reader, timeout):
                raise httpcore.ReadTimeout(f"no byte came for {timeout:g} s")
        if not self._received:
            if self._fault is not None:
                raise httpcore.ReadError(str(self._fault)) from self._fault
            return b""
        piece = self._received.popleft()
        if len(piece) > max_bytes:
            self._received.appendleft(piece[max_bytes:])
            piece = piece[:max_bytes]
        if self._size > BUFFERED >= self._size - len(piece) and not self._ended:
            self._transport.resume_reading()
        self._size -= len(piece)
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- httpcore's
        """Send bytes, and return when the system has taken them (with TLS, those of the write before)."""
        if not buffer:
            return
        if self._transport.is_closing():
            raise httpcore.WriteError(str(self._fault or "the connection is closed")) from self._fault
        self._transport.write(buffer)
        if self._full:
            self._writer = asyncio.get_running_loop().create_future()
            if not await _woken(self._writer, timeout):
                raise httpcore.WriteTimeout(f"no byte could be sent for {timeout:g} s")
            if self._full:
                raise httpcore.WriteError(str(self._fault)) from self._fault

    async def aclose(self) -> None:
        """Close the connection now. TLS tells the other side, without a wait for the answer."""
        try:
            self._transport.close()
            await asyncio.sleep(0)
        finally:
            self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks for by name. `is_readable`: an idle connection has input or has ended."""
        if info == "is_readable":
            return bool(self._received) or self._ended or self._has_input()
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._transport.get_extra_info(names.get(info, info))

    def _has_input(self) -> bool:
        """Return True if the system has input that the event loop has not seen yet."""
        if self._transport.is_closing():
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(self._transport.get_extra_info("socket"), selectors.EVENT_READ)
            return bool(selector.select(0))


def _wake(waiter: asyncio.Future[bool] | None, woken: bool = True) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(woken)


async def _woken(waiter: asyncio.Future[bool], seconds: float | None) -> bool:
    """Wait until `waiter` is woken; return False if that takes longer than `seconds`."""
    if seconds is None:
        return await waiter
    timer = asyncio.get_running_loop().call_later(seconds, _wake, waiter, False)
    try:
        return await waiter
    finally:
        timer.cancel()
