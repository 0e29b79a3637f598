"""The connection pools, and one exchange over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import cache
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.request import getproxies

from kling_nb import errors
from kling_nb.fal.auth import Key
from kling_nb.fal.hosts import LOOPBACK, Hosts
from kling_nb.fal.lanes import Lanes
from kling_nb.fal.libraries import httpx
from kling_nb.fal.patience import Patience
from kling_nb.fal.retry import Retry

T = TypeVar("T")

CONNECT_SECONDS = 5.0
"""As fal's own client caps it, so that the backup host is tried soon (FAL-PROTOCOL §1.1)."""

SHORT_AT_ONCE = 16
UPLOADS_AT_ONCE = 8
FEW = 8
"""Idle connections that are kept: with many small answers, connecting anew costs more than an answer."""
LARGEST_REPLY = 256 * 2**20
"""Bytes, unpacked. A result may carry its video as text; a reply without end must not fill the memory."""

_OF_THE_WAY = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers that speak of the body as it came, not as it is once unpacked."""

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
"""Faults from before any byte of the request left."""


class Http:
    """Connections, the key and the retry policy. For use on one event loop only.

    Short requests are bounded in number; the others wait. Submissions keep no idle connection, so that
    they never meet one that the server has just closed, which would look like an unanswered submission.
    Streams and downloads, which may be tried again, keep a few. Uploads are bounded too: by that their
    memory is, and they must not keep a status waiting.

    Args:
        hosts: Where the key may go.
        key: Gives the key when a request needs it; None sends none.
        retry: For requests that may be repeated.
        patience: How long to wait.
        transport: Injected by tests, in place of the network.
        largest: Bytes that the body of a reply may have.
    """

    def __init__(
        self,
        hosts: Hosts,
        key: Callable[[], Key | None],
        *,
        retry: Retry | None = None,
        patience: Patience | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        largest: int = LARGEST_REPLY,
    ) -> None:
        self.hosts = hosts
        self._largest = largest
        self.retry = retry or Retry()
        self.patience = patience or Patience()
        self.sleep = self.patience.sleep
        self._key = key
        self._transport = transport
        self.short = self._client(at_once=SHORT_AT_ONCE, kept=SHORT_AT_ONCE)
        self.submissions = self._client()
        self.streams = self._client(kept=FEW)
        self.files = self._client(kept=FEW)
        self.uploads = self._client(at_once=UPLOADS_AT_ONCE, kept=UPLOADS_AT_ONCE)

    def _client(self, *, at_once: int | None = None, kept: int = 0) -> httpx.AsyncClient:
        direct = self._transport or Lanes(_tls(), at_once=at_once, kept=kept)
        # A proxy of the environment must not get what is meant for this machine.
        here = {f"all://{'[::1]' if host == '::1' else host}": direct for host in LOOPBACK}
        return httpx.AsyncClient(
            verify=_tls(),  # type: ignore[arg-type]  # an ssl.SSLContext, whose import the annotation would cost
            transport=None if getproxies() and not self._transport else direct,
            mounts=here,
            limits=httpx.Limits(max_connections=at_once, max_keepalive_connections=kept),
            timeout=httpx.Timeout(self.patience.answer, connect=CONNECT_SECONDS, pool=None),
            follow_redirects=False,
            headers={"User-Agent": f"kling_nb/{version('kling_nb')}"},
        )

    def key_header(self, url: str) -> dict[str, str]:
        """`Authorization` for a known host; nothing for any other."""
        if not self.hosts.may_see_key(url):
            return {}
        key = self._key()
        return {"Authorization": key.header} if key else {}

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        request_id: str | None = None,
        final: Callable[[httpx.Response], bool] | None = None,
    ) -> httpx.Response:
        """Send one request without a body, repeated as the policy says; any status is returned.

        Args:
            method: A method that may be repeated.
            url: Its URL.
            request_id: The request it is about, for errors.
            final: Which answers are not worth another try, whatever their status. By default those in
                which fal names the failure.

        Raises:
            UnreachableError: No answer after all tries. The request's fate is unchanged by it.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self.answer(self.short, method, url, headers=self.key_header(url))
            except httpx.RequestError as fault:  # a body that does not unpack is one too
                if not self.retry.allows(method, attempt):
                    raise unreachable(url, fault, request_id) from fault
                await self.sleep(self.retry.delay(attempt))
                continue
            if not self.retry.allows(method, attempt, response.status_code):
                return response
            if (final or is_platforms_verdict)(response):
                return response
            await self.sleep(self.retry.delay(attempt, response.headers.get("retry-after")))

    async def answer(self, pool: httpx.AsyncClient, method: str, url: str, **request: Any) -> httpx.Response:
        """One answer with its body, unless that is larger, or takes longer, than any reply of fal's.

        Raises:
            httpx.RequestError: As for `pool.request`; a body that is too large is a `RemoteProtocolError`,
                a reply that takes too long a `ReadTimeout`.
        """
        body = bytearray()
        loop, patience = asyncio.get_running_loop(), self.patience.whole
        try:
            async with asyncio.timeout(None) as limit:

                async def on_step(name: str, _: object) -> None:
                    if name.endswith("send_request_body.complete"):  # neither its turn nor an upload counts
                        limit.reschedule(loop.time() + patience)

                traced = {"trace": on_step}
                async with pool.stream(method, url, extensions=traced, **request) as response:
                    async for piece in response.aiter_bytes():
                        body += piece
                        if len(body) > self._largest:
                            raise httpx.RemoteProtocolError(
                                f"the reply has more than {self._largest:,} bytes"
                            )
        except TimeoutError as fault:
            raise httpx.ReadTimeout(f"the reply was not complete after {patience:g} s") from fault
        except httpx.InvalidURL as fault:  # where a redirect leads; httpx looks at it, followed or not
            raise httpx.RemoteProtocolError(f"it redirects to no address: {fault}") from fault
        headers = {name: value for name, value in response.headers.items() if name not in _OF_THE_WAY}
        return httpx.Response(
            response.status_code, headers=headers, content=bytes(body), request=response.request
        )

    async def aclose(self) -> None:
        """Close the pools."""
        await self.short.aclose()
        await self.submissions.aclose()
        await self.streams.aclose()
        await self.files.aclose()
        await self.uploads.aclose()


@cache
def _tls() -> object:
    """The certificates to trust. 60 ms, so once a process."""
    return httpx.create_ssl_context()


def never_sent(fault: httpx.RequestError) -> bool:
    """Whether `fault` happened before any byte of the request left."""
    return isinstance(fault, _NEVER_SENT)


def is_platforms_verdict(response: httpx.Response) -> bool:
    """Return True if fal itself says in a header why the request failed, so that asking again is useless.

    A 5xx without such a header is an outage, also with a JSON body and a request id: it says nothing
    about the job (FAL-PROTOCOL §10.3, §16.3).
    """
    return bool({"x-fal-error-type", "x-fal-request-timeout-type"} & set(response.headers))


async def opened_within(
    seconds: float, opening: AbstractAsyncContextManager[T], until_closed: AsyncExitStack
) -> T:
    """What is opened: a response that is read piece by piece. Its headers may come without end, too.

    Raises:
        httpx.ReadTimeout: They are not there after so many seconds.
    """
    try:
        async with asyncio.timeout(seconds):
            return await until_closed.enter_async_context(opening)
    except TimeoutError as fault:
        raise httpx.ReadTimeout(f"no answer was complete after {seconds:g} s") from fault


def unreachable(url: str, fault: Exception, request_id: str | None = None) -> errors.UnreachableError:
    """The error for a host that does not answer."""
    host = httpx.URL(url).netloc.decode("ascii", "replace")
    reason = str(fault) or type(fault).__name__
    return errors.UnreachableError(
        f"No answer from {host}: {reason}",
        remedy="Check the connection, then run the cell again: a job that fal has taken is found again.",
        request_id=request_id,
    )
