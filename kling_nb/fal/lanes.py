"""A transport of httpx in which no request shares a connection with another one at the same time, and pools.

httpcore's pool compares every connection with every other at each request. With 16 connections this is two
thirds of the cost of a request, with hundreds of open streams nearly all of it. Here each request has a
connection (`httpcore.AsyncHTTP11Connection`) of its own, without a pool. Behind a proxy, it is a pool of one.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpcore

from kling_nb._lazy import httpx
from kling_nb.errors import UsageError
from kling_nb.fal import sockets

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

        Args:
            method: HTTP method.
            url: URL.
            headers: Headers of this request.
            limits: Time limits of its phases.
            on_sent: Called when the connection is open and has taken the whole request.
            content: `params`, `json` or `content` of `httpx.Request`.

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
        for place in range(len(self._idle) - 1, -1, -1):
            if self._idle[place][0] == origin:
                lane = self._idle[place][2]
                del self._idle[place]
                return lane
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
        if lane is None:
            return
        if not usable:
            await lane.aclose()
            return
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
        connection = await sockets.connect(origin.host.decode("ascii"), origin.port, tls, seconds)
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
