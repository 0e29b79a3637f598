"""HTTP connection pools, and single requests over them with retries."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass_environment  # type: ignore[attr-defined]  # no stub

from kling_nb import errors
from kling_nb._lazy import httpx, lazy
from kling_nb.fal.auth import Key
from kling_nb.fal.hosts import LOOPBACK, Hosts, Proxy, Route
from kling_nb.fal.patience import Patience, Retry

if TYPE_CHECKING:
    from kling_nb.fal import lanes
else:
    lanes = lazy("kling_nb.fal.lanes")  # Its classes derive from httpx's, so importing it imports httpx.

CONNECT_SECONDS = 5.0
"""The limit of fal's own client, so that the backup host is tried soon (FAL-PROTOCOL §1.1)."""

SHORT_AT_ONCE = 16
UPLOADS_AT_ONCE = 8
KEPT_IDLE = 8
"""Idle connections that are kept, because a new connection costs more than a small answer."""
LARGEST_REPLY = 256 * 2**20
"""Bytes, decoded. A result may contain its video as text, but an endless reply must not fill the memory."""

_ENCODING_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers that describe the encoded body, and are wrong for the decoded one."""


class Http:
    """Connection pools, the key and the retry policy. For use on one event loop only.

    There is one pool for each kind of request:

    - Short requests, and submissions of previews: limited in number.
    - Submissions: without idle connections. One that the server has just closed would look like an
      unanswered submission.
    - Streams and downloads: a few idle connections, because these requests can be retried.
    - Uploads: limited in number, which limits their memory. They have their own pool so that they never
      delay a status.

    Args:
        hosts: The hosts that may receive the key, and how to reach them.
        key: Returns the key when a request needs it, or None to send no key.
        retry: The policy for requests that may be repeated.
        patience: The time limits.
        transport: Replaces the network in tests.
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
        self.short = self._pool(at_once=SHORT_AT_ONCE, kept=SHORT_AT_ONCE)
        self.submissions = self._pool()
        self.streams = self._pool(kept=KEPT_IDLE)
        self.files = self._pool(kept=KEPT_IDLE)
        self.uploads = self._pool(at_once=UPLOADS_AT_ONCE, kept=UPLOADS_AT_ONCE)

    def _pool(self, *, at_once: int | None = None, kept: int = 0) -> lanes.Pool:
        def connection(url: str) -> dict[str, Any]:
            return connection_options(url, self.hosts.route)

        return lanes.Pool(
            self._transport or lanes.Lanes(connection, at_once=at_once, kept=kept),
            httpx.Timeout(self.patience.answer, connect=CONNECT_SECONDS, pool=None),
            _standard_headers(),
        )

    def check_route(self) -> None:
        """Raise before anything is sent if proxy or certificates cannot be used.

        Raises:
            UsageError: The message names the variable or setting at fault.
        """
        for base in (self.hosts.queue, self.hosts.rest, self.hosts.api):
            connection_options(base, self.hosts.route)

    def key_header(self, url: str) -> dict[str, str]:
        """Return the `Authorization` header for a known host, or no header for another one."""
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
        """Send a request without a body, retry as the policy allows, and return the answer of any status.

        Without a connection to fal's queue, each try also asks the queue's other host. `final` returns True
        for an answer that a retry cannot change, whatever its status, except 429: by default for those in
        which fal names the failure.

        Raises:
            UnreachableError: No answer after all tries.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._ask(method, url)
            except httpx.RequestError as fault:  # This includes a body that cannot be decoded.
                if not self.retry.allows(method, attempt):
                    raise unreachable_error(url, fault, request_id) from fault
                await self.sleep(self.retry.delay(attempt))
                continue
            if not self.retry.allows(method, attempt, response.status_code):
                return response
            if response.status_code != 429 and (final or names_failure)(response):
                return response
            await self.sleep(self.retry.delay(attempt, response.headers.get("retry-after")))

    async def _ask(self, method: str, url: str) -> httpx.Response:
        """Ask once; without a connection, ask the queue's other host. A 4xx of the backup is no answer."""
        try:
            return await self.answer(self.short, method, url, headers=self.key_header(url))
        except httpx.RequestError as fault:
            twin = self.hosts.twin(url) if is_unsent(fault) else None
            if twin is None:
                raise
            try:
                response = await self.answer(self.short, method, twin, headers=self.key_header(twin))
            except httpx.RequestError:
                raise fault from None
            if 400 <= response.status_code < 500 and self.hosts.is_backup(twin):
                raise
            return response

    async def answer(self, pool: lanes.Pool, method: str, url: str, **request: Any) -> httpx.Response:
        """Send one request and return its answer with the whole body.

        Raises:
            httpx.RequestError: As for `pool.open`. A body that is too large raises `RemoteProtocolError`,
                a reply that takes too long raises `ReadTimeout`.
        """
        body = bytearray()
        loop, patience = asyncio.get_running_loop(), self.patience.whole
        try:
            async with asyncio.timeout(None) as limit:

                def on_sent() -> None:
                    # The time limit starts after the wait for a connection and the upload of the body.
                    limit.reschedule(loop.time() + patience)

                async with aclosing(await pool.open(method, url, on_sent=on_sent, **request)) as response:
                    async for piece in response.aiter_bytes():
                        body += piece
                        if len(body) > self._largest:
                            raise httpx.RemoteProtocolError(
                                f"the reply has more than {self._largest:,} bytes"
                            )
        except TimeoutError as fault:
            raise httpx.ReadTimeout(f"the reply was not complete after {patience:g} s") from fault
        headers = {name: value for name, value in response.headers.items() if name not in _ENCODING_HEADERS}
        return httpx.Response(
            response.status_code, headers=headers, content=bytes(body), request=response.request
        )

    async def aclose(self) -> None:
        """Close the pools."""
        for pool in (self.short, self.submissions, self.streams, self.files, self.uploads):
            await pool.aclose()


def proxy_for(url: str, route: Route) -> Proxy | None:
    """Return the proxy for a URL, or None for a direct connection. This machine needs none.

    Raises:
        UsageError: The proxy is not a URL that can be used. The message names its variable or setting.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in LOOPBACK or route.proxy == "none":
        return None
    if route.proxy is not None:
        return Proxy(route.proxy, "The setting proxy")
    found = getproxies()
    scheme = parts.scheme if found.get(parts.scheme) else "all"
    value = found.get(scheme)
    if not value or proxy_bypass_environment(host, found):
        return None
    variables = [name for name in os.environ if name.lower() == f"{scheme}_proxy"]
    names = sorted(variables, key=str.isupper)  # getproxies prefers lower case, too
    return Proxy(value if "://" in value else f"http://{value}", *(names[:1] or ["The system's proxy"]))


def connection_options(url: str, route: Route) -> dict[str, Any]:
    """Return the arguments `verify` and `proxy` of an httpx transport or client for a URL.

    Raises:
        UsageError: Proxy or certificates cannot be used. The message names the variable or setting at fault.
    """
    proxy = proxy_for(url, route)
    encrypted = url.startswith("https:") or (proxy is not None and proxy.url.startswith("https:"))
    trusted = _certificates(*certificate_source(route)) if encrypted else _no_certificates()
    if proxy is None:
        return {"verify": trusted}
    if proxy.url.startswith("socks") and find_spec("socksio") is None:
        raise errors.UsageError(
            f"{proxy.setting} is a SOCKS proxy, and the package socksio is not installed.",
            remedy="Run pip install 'kling_nb[socks]' and restart the kernel, or use an http:// proxy.",
        )
    try:
        own = trusted if proxy.url.startswith("https:") else None
        return {"verify": trusted, "proxy": httpx.Proxy(proxy.url, ssl_context=own)}
    except Exception:  # noqa: BLE001 -- its text may contain the password
        raise errors.UsageError(f"{proxy.setting} cannot be used by httpx.") from None


def certificate_source(route: Route) -> tuple[str, str]:
    """Return the setting and the path of the trusted certificates, or empty texts for those of certifi."""
    if route.ca_bundle:
        return "The setting ca_bundle", route.ca_bundle
    names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    return (names[0], os.environ[names[0]]) if names else ("", "")


@cache
def _certificates(name: str, path: str) -> ssl.SSLContext:
    """Load the trusted certificates. It takes 60 ms, so it is done once per process and source."""
    if not path:
        return httpx.create_ssl_context(trust_env=False)
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as fault:
        raise errors.UsageError(
            f"{name} is {path!r}, which has no certificates that can be read ({type(fault).__name__}).",
            remedy="Give a file of certificates in PEM form, or unset it to trust the usual ones.",
        ) from None


@cache
def _no_certificates() -> ssl.SSLContext:
    """Return a context that trusts no certificate, for connections without encryption."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def is_unsent(fault: httpx.RequestError) -> bool:
    """Return True if the error occurred before any byte of the request was sent."""
    return isinstance(
        fault, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
    )


def names_failure(response: httpx.Response) -> bool:
    """Return True if a header of fal names the reason of the failure, so that a retry is useless.

    A 5xx without such a header is an outage, even with a JSON body and a request id. It says nothing about
    the job (FAL-PROTOCOL §10.3, §16.3).
    """
    return bool({"x-fal-error-type", "x-fal-request-timeout-type"} & set(response.headers))


async def open_within(seconds: float, opening: Awaitable[httpx.Response]) -> httpx.Response:
    """Open a response and return it once its headers are complete.

    Raises:
        httpx.ReadTimeout: They are not complete after `seconds`.
    """
    try:
        async with asyncio.timeout(seconds):
            return await opening
    except TimeoutError as fault:
        raise httpx.ReadTimeout(f"no answer was complete after {seconds:g} s") from fault


@cache
def _standard_headers() -> dict[str, str]:
    """Return the headers of every request: those of httpx, with the name of this package."""
    # No client of httpx is asked to send anything: it knows which encodings can be decoded here.
    known = httpx.AsyncClient(transport=httpx.AsyncBaseTransport(), trust_env=False).headers
    named = {name.title(): value for name, value in known.items()}
    return {**named, "User-Agent": f"kling_nb/{version('kling_nb')}"}


def _is_certificate_error(fault: BaseException | None) -> bool:
    """Return True if the error comes from the check of a certificate."""
    while fault is not None and not isinstance(fault, ssl.SSLCertVerificationError):
        fault = fault.__cause__ or fault.__context__
    return fault is not None


def unreachable_error(url: str, fault: Exception, request_id: str | None = None) -> errors.UnreachableError:
    """Return the error for a host that does not answer."""
    host = httpx.URL(url).netloc.decode("ascii", "replace")
    reason = str(fault) or type(fault).__name__
    remedy = "Check the connection, then run the cell again. It resumes a job that fal has accepted."
    proxy = ""
    with suppress(AttributeError, RuntimeError):  # Not all errors have a request.
        proxy = fault.request.extensions.get("proxy", "")  # type: ignore[attr-defined]
    if _is_certificate_error(fault):
        reason = f"its certificate is not trusted ({reason})"
        remedy = (
            "A company proxy or a virus scanner may replace certificates. Set SSL_CERT_FILE, or the setting\n"
            "ca_bundle, to the file of its certificate (PEM). Then run the cell again."
        )
    elif proxy and isinstance(fault, (httpx.ProxyError, httpx.ConnectError, httpx.ConnectTimeout)):
        reason = f"the proxy {proxy} does not connect to it ({reason})"
        remedy = "Check HTTPS_PROXY, ALL_PROXY or the setting proxy, then run the cell again."
    return errors.UnreachableError(
        f"No usable answer from {host}: {reason}",
        remedy=remedy,
        request_id=request_id,
    )
