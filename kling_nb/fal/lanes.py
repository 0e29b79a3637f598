"""A transport of httpx in which no request shares a connection with another one at the same time, and pools.

httpcore's pool compares every connection with every other at each request. With 16 connections this is two
thirds of the cost of a request, with hundreds of open streams nearly all of it. Here each request has a
connection (`httpcore.AsyncHTTP11Connection`) of its own, without a pool. Behind a proxy, it is a pool of one.

Its sockets are made with asyncio alone. httpcore's own use anyio, a quarter of the CPU of a streamed log
line. httpcore documents `AsyncNetworkStream` as the place for other ones; HTTP itself stays with httpcore and
h11.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpcore

from kling_nb._lazy import httpx
from kling_nb.errors import UsageError
from kling_nb.fal.hosts import LOOPBACK

log = logging.getLogger(__name__)

BUFFERED = 2**18
"""Bytes that may wait to be read. With more, the connection is not read from."""

NEXT_IP_SECONDS = 0.25
"""When the next IP of a host is tried in parallel with one that has not answered (RFC 8305)."""


async def connect(host: str, port: int, tls: ssl.SSLContext | None, seconds: float | None) -> Socket:
    """Open a connection, without encryption if `tls` is None. No byte of a request is sent before it returns.

    `seconds` limit the connection and its handshake together.

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


# -- lanes -----------------------------------------------------------------------------

IDLE_SECONDS = 5.0
"""How long an idle connection is kept. Servers close idle connections later than this."""

_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=IDLE_SECONDS)


class Pool:
    """Sends requests over one transport: each to its URL, with its own headers, once.

    `httpx.AsyncClient` would add to this what a request of kling_nb must not have: cookies of earlier answers
    and credentials of the URL. It also parses the targets of redirects, which nothing here follows.

    Args:
        transport: The transport.
        limits: Time limits of the phases of requests that name none.
        headers: Headers of every request. Those of a request replace them, if they are spelled the same way.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport, limits: httpx.Timeout, headers: Mapping[str, str]
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._headers = headers

    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limits: httpx.Timeout | None = None,
        on_sent: Callable[[], None] | None = None,
        **content: Any,
    ) -> httpx.Response:
        """Send a request, and return its response once the headers are complete. The caller closes it.

        `on_sent` is called when the connection is open and has taken the whole request. `content` are
        `params`, `json` or `content` of `httpx.Request`.

        Raises:
            httpx.RequestError: As for `httpx.AsyncClient.send`.
        """
        phases = (limits or self._limits).as_dict()
        try:
            request = httpx.Request(
                method,
                url,
                headers={**self._headers, **(headers or {})},
                extensions={"timeout": phases},
                **content,
            )
        except httpx.InvalidURL as fault:
            raise httpx.UnsupportedProtocol(str(fault)) from fault
        if on_sent is not None:
            request.stream = _Sending(request.stream, on_sent)
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.RequestError as fault:
            fault.request = request
            raise
        response.request = request
        log.debug(
            "%s %s: %d", method, url.partition("?")[0], response.status_code
        )  # a query may be a signature
        return response

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._transport.aclose()


class _Sending(httpx.AsyncByteStream):
    """The body of a request, which tells when it was taken."""

    def __init__(self, body: Any, on_sent: Callable[[], None]) -> None:
        self._body = body
        self._on_sent = on_sent

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece
        self._on_sent()


class Lanes(httpx.AsyncBaseTransport):
    """A transport that sends each request on a connection of which it is the only user.

    For use on one event loop only.

    Args:
        connection: Returns the arguments of an httpx transport for a URL: its certificates and its proxy.
        at_once: The most requests at the same time, or None for no limit. Further requests wait.
        kept: Idle connections that are kept for the next request to the same host.
    """

    def __init__(
        self, connection: Callable[[str], Mapping[str, Any]], *, at_once: int | None = None, kept: int = 0
    ) -> None:
        self._connection = connection
        self._kept = kept
        self._slots = asyncio.Semaphore(at_once) if at_once else None
        self._idle: deque[tuple[_Origin, float, httpx.AsyncBaseTransport]] = deque()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Its lane is free again when the response is closed."""
        if self._slots is not None:
            await self._slots.acquire()
        origin = (request.url.scheme, request.url.host, request.url.port)
        lane = self._take(origin)
        try:
            lane = lane or self._new(request)
            # No other request uses the lane, so one that waits for a pool of httpcore would wait for ever.
            waits = {**request.extensions.get("timeout", {}), "pool": IDLE_SECONDS}
            request.extensions = {**request.extensions, "timeout": waits}
            response = await lane.handle_async_request(request)
        except BaseException:
            await self.give_back(origin, lane, usable=False)
            raise
        response.stream = _Body(self, origin, lane, response.stream)
        return response

    def _take(self, origin: _Origin) -> httpx.AsyncBaseTransport | None:
        """Return the idle lane to a host that was used last, or None."""
        for idle in reversed(self._idle):
            if idle[0] == origin:
                self._idle.remove(idle)
                return idle[2]
        return None

    def _new(self, request: httpx.Request) -> httpx.AsyncBaseTransport:
        """Return a new lane to the host of a request. The request's extension `proxy` is for errors."""
        options = self._connection(str(request.url))
        if "proxy" not in options:
            return _Direct(options["verify"])
        request.extensions = {**request.extensions, "proxy": str(options["proxy"].url)}
        try:
            return httpx.AsyncHTTPTransport(limits=_ONE, **options)
        except (ImportError, RuntimeError, ValueError) as fault:
            raise UsageError(
                f"httpx cannot make connections with these settings ({type(fault).__name__}).",
                remedy="kling-nb doctor shows proxy and certificates.",
            ) from fault

    async def give_back(
        self, origin: _Origin, lane: httpx.AsyncBaseTransport | None, *, usable: bool
    ) -> None:
        """Keep a lane for the next request, and close the lanes that were idle for too long."""
        if self._slots is not None:
            self._slots.release()
        if not usable:
            if lane is not None:
                await lane.aclose()
            return
        assert lane is not None
        now = time.monotonic()
        self._idle.append((origin, now, lane))
        while self._idle and (len(self._idle) > self._kept or now - self._idle[0][1] > IDLE_SECONDS):
            await self._idle.popleft()[2].aclose()

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await self._idle.popleft()[2].aclose()


_Origin = tuple[str, str, int | None]


class _Direct(httpx.AsyncBaseTransport):
    """A lane without a proxy. A request opens its connection if there is none, or if it was closed."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._http: httpcore.AsyncHTTP11Connection | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response once the headers are complete."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        with _errors_of_httpx():
            if self._http is not None and (self._http.is_closed() or self._http.has_expired()):
                await self.aclose()
            if self._http is None:
                self._http = await self._open(
                    url, target.origin, request.extensions["timeout"].get("connect")
                )
            response = await self._http.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=target,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        body: Any = response.stream  # `Lanes` puts a stream of httpx in its place
        return httpx.Response(
            response.status, headers=response.headers, stream=body, extensions=response.extensions
        )

    async def _open(
        self, url: httpx.URL, origin: httpcore.Origin, seconds: float | None
    ) -> httpcore.AsyncHTTP11Connection:
        if url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol(f"{url.scheme} is not a scheme of HTTP")
        tls = self._tls if url.scheme == "https" else None
        if tls is not None:
            tls.set_alpn_protocols(["http/1.1"])
        connection = await connect(origin.host.decode("ascii"), origin.port, tls, seconds)
        return httpcore.AsyncHTTP11Connection(origin, connection, keepalive_expiry=IDLE_SECONDS)

    async def aclose(self) -> None:
        """Close the connection."""
        connection, self._http = self._http, None
        if connection is not None:
            await connection.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of a response. Closing it frees the lane."""

    def __init__(self, lanes: Lanes, origin: _Origin, lane: httpx.AsyncBaseTransport, body: Any) -> None:
        self._lanes, self._origin, self._lane, self._body = lanes, origin, lane, body
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for piece in self._body:
                yield piece

    async def aclose(self) -> None:
        if not self._open:
            return
        self._open, usable = False, False
        try:
            await self._body.aclose()
            usable = True
        finally:  # If this is cancelled, httpcore leaves the connection neither idle nor closed.
            await self._lanes.give_back(self._origin, self._lane, usable=usable)


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise errors of httpcore as those of httpx, which have the same names."""
    try:
        yield
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as fault:
        raise getattr(httpx, type(fault).__name__)(str(fault)) from fault
