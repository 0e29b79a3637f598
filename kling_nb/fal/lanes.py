"""A transport with one httpcore pool per connection.

At each request, httpcore compares every connection of a pool with every other. With 16 connections this is
two thirds of the cost of a request, with hundreds of open streams nearly all of it. A pool of one connection
avoids it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from kling_nb._lazy import httpx
from kling_nb.errors import UsageError

IDLE_SECONDS = 5.0
"""How long an idle connection is kept. Servers close idle connections later than this."""

_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=IDLE_SECONDS)


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
        self._idle: deque[tuple[_Origin, float, httpx.AsyncHTTPTransport]] = deque()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Its lane is free again when the response is closed."""
        async with AsyncExitStack() as until_closed:
            if self._slots is not None:
                await until_closed.enter_async_context(self._slots)
            origin = (request.url.scheme, request.url.host, request.url.port)
            lane = self._take(origin) or self._new(request)
            until_closed.push_async_callback(lane.aclose)
            # No other request uses the lane, so a request that waits for its pool would wait for ever.
            waits = {**request.extensions.get("timeout", {}), "pool": IDLE_SECONDS}
            request.extensions = {**request.extensions, "timeout": waits}
            response = await lane.handle_async_request(request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            until_closed.pop_all()
            return httpx.Response(
                response.status_code,
                headers=response.headers,
                stream=_Body(self, origin, lane, response.stream),
                extensions=response.extensions,
            )
        raise AssertionError  # The exit stack suppresses no error, so this line is unreachable.

    def _take(self, origin: _Origin) -> httpx.AsyncHTTPTransport | None:
        """Return the idle lane to a host that was used last, or None."""
        for place in range(len(self._idle) - 1, -1, -1):
            if self._idle[place][0] == origin:
                lane = self._idle[place][2]
                del self._idle[place]
                return lane
        return None

    def _new(self, request: httpx.Request) -> httpx.AsyncHTTPTransport:
        """Return a new lane to the host of a request. The request's extension `proxy` is for errors."""
        options = self._connection(str(request.url))
        if "proxy" in options:
            request.extensions = {**request.extensions, "proxy": str(options["proxy"].url)}
        try:
            return httpx.AsyncHTTPTransport(limits=_ONE, **options)
        except (ImportError, RuntimeError, ValueError) as fault:
            raise UsageError(
                f"httpx cannot make connections with these settings ({type(fault).__name__}).",
                remedy="kling-nb doctor shows proxy and certificates.",
            ) from fault

    async def give_back(self, origin: _Origin, lane: httpx.AsyncHTTPTransport, *, usable: bool) -> None:
        """Keep a lane for the next request, and close the lanes that were idle for too long."""
        if self._slots is not None:
            self._slots.release()
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


class _Body(httpx.AsyncByteStream):
    """The body of a response. Closing it frees the lane."""

    def __init__(
        self, lanes: Lanes, origin: _Origin, lane: httpx.AsyncHTTPTransport, body: httpx.AsyncByteStream
    ) -> None:
        self._lanes, self._origin, self._lane, self._body = lanes, origin, lane, body
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
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
