"""Download result files from any host, without the key (FAL-PROTOCOL §9.5).

A transfer that breaks continues where it stopped if the host sends the same strong ETag. Otherwise it starts
again. Parts of two versions are never joined (RFC 9110 §14).
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from kling_nb import errors
from kling_nb._lazy import httpx
from kling_nb.fal.http import Http, open_within, unreachable_error

MAX_REDIRECTS = 5


RESUMPTIONS = 8
PIECE = 1 << 18
"""Bytes yielded at once."""

SLOWEST = 1_000
"""Bytes per second, averaged over ten minutes. A slower host only keeps its connection alive."""


_REFUSALS: dict[int, type[errors.MediaError]] = {
    401: errors.MediaPrivate,
    403: errors.MediaPrivate,
    404: errors.MediaGone,
    410: errors.MediaGone,
}


def connection_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the errors of a connection that broke before or while a body was read, and `more`."""
    return httpx.RequestError, httpx.StreamError, httpx.InvalidURL, *more


@dataclass(frozen=True, slots=True)
class Download:
    """An open download.

    Attributes:
        url: URL of the file, after redirects.
        length: Bytes of the whole file, or None if the host does not send it.
        chunks: The bytes, from `offset` on.
        etag: The strong ETag of this version of the file, or None.
        offset: The byte at which `chunks` start: 0, or where an earlier transfer stopped.
    """

    url: str
    length: int | None
    chunks: AsyncIterator[bytes]
    etag: str | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first bytes of a file, from an earlier transfer.

    Attributes:
        size: Bytes received.
        etag: Strong ETag of the file.
        length: Bytes of the whole file.
    """

    size: int
    etag: str
    length: int


@asynccontextmanager
async def download(http: Http, url: str, beginning: Beginning | None = None) -> AsyncIterator[Download]:
    """Open a file. Its `chunks` continue after a broken connection if the host allows it.

    If the host still has the file whose `beginning` is already here, only the rest is sent, and the
    download's `offset` is not 0. Otherwise the whole file is sent.

    Raises:
        MediaError: The host refuses, or files may not be fetched from this URL.
        UnreachableError: No answer, or the connection broke.
    """
    async with _open(http, url, beginning) as first, aclosing(_read_all(http, url, first)) as chunks:
        yield replace(first, chunks=chunks)


async def _read_all(http: Http, url: str, first: Download) -> AsyncGenerator[bytes, None]:
    """Yield all bytes of the file that `first` starts, over as many transfers as it takes."""
    received, resumptions = first.offset, 0
    now = first
    async with AsyncExitStack() as stack:
        while True:
            gathered = bytearray()
            before, cut = received, None
            try:
                async for chunk in now.chunks:
                    received += len(chunk)
                    gathered += chunk
                    if len(gathered) >= PIECE:
                        yield bytes(gathered)
                        gathered.clear()
            except connection_errors() as fault:
                cut = fault
            if gathered:  # These bytes are valid even if the connection broke after them.
                yield bytes(gathered)
            if cut is None:
                return
            resumptions += 1
            if received == before or resumptions > RESUMPTIONS or first.etag is None or first.length is None:
                raise unreachable_error(url, cut) from cut
            await stack.aclose()
            await http.sleep(http.retry.delay(resumptions))
            beginning = Beginning(received, first.etag, first.length)
            now = await stack.enter_async_context(_open(http, url, beginning))
            if now.offset != received:
                raise unreachable_error(url, RuntimeError("the file changed during the download"))


@asynccontextmanager
async def _open(http: Http, url: str, after: Beginning | None = None) -> AsyncIterator[Download]:
    """Open a file, from where an earlier transfer stopped if the host still has that version."""
    for _ in range(MAX_REDIRECTS + 1):
        if not http.hosts.may_fetch(url):
            raise errors.MediaError(
                f"The result's URL is not allowed: {_hide_query(url)}",
                remedy="fal serves media over https only.",
            )
        headers = {"Accept-Encoding": "identity"}
        if after is not None:
            headers |= {"Range": f"bytes={after.size}-", "If-Range": after.etag}
        try:
            opening = http.files.open("GET", url, headers=headers)
            async with aclosing(await open_within(http.patience.whole, opening)) as response:
                if response.has_redirect_location:
                    url = str(response.url.join(response.headers["location"]))
                    continue
                if after is not None and not _is_rest(response, after) and response.status_code != 200:
                    after = None  # The host sent a wrong part or none (416), so ask for the whole file.
                    continue
                yield _download_from(url, response, after, http.patience.whole)
                return
        except connection_errors() as fault:
            raise unreachable_error(url, fault) from fault
    raise errors.MediaError("The media host redirects in a loop.", remedy="Try again later.")


async def _require_speed(pieces: AsyncIterator[bytes], patience: float) -> AsyncGenerator[bytes, None]:
    """Yield `pieces`, and raise if they are slower than `SLOWEST` after `patience` seconds."""
    start, received = time.monotonic(), 0
    async for piece in pieces:
        received += len(piece)
        seconds = time.monotonic() - start
        if seconds > patience and received < SLOWEST * seconds:
            raise httpx.ReadTimeout(f"{received:,} bytes came in {seconds:.0f} s")
        yield piece


def _download_from(url: str, response: httpx.Response, after: Beginning | None, patience: float) -> Download:
    """Return the download of a response, or raise if the response is an error."""
    part = after is not None and response.status_code == 206
    if response.status_code != 200 and not part:
        kind = _REFUSALS.get(response.status_code, errors.MediaError)
        raise kind(
            f"The media host answered {response.status_code} for {_hide_query(url)}",
            remedy="Run the cell again: it fetches the result again, at no extra charge.",
        )
    length = response.headers.get("content-length", "")
    etag = response.headers.get("etag", "")
    chunks = _require_speed(response.aiter_raw(), patience)
    if after is not None and part:
        return Download(url, after.length, chunks, after.etag, after.size)
    whole = int(length) if length.isascii() and length.isdigit() else None
    return Download(url, whole, chunks, etag if etag.startswith('"') else None)


def _hide_query(url: str) -> str:
    """Return a URL for a message, without its query: that may be a signature, with which anyone may fetch."""
    return url.partition("?")[0][:200]


def _is_rest(response: httpx.Response, after: Beginning) -> bool:
    """Return True if a response is the requested part: same start, size and version."""
    place = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", response.headers.get("content-range", ""))
    if response.status_code != 206 or place is None:
        return False
    same = response.headers.get("etag", after.etag) == after.etag
    return same and tuple(map(int, place.groups())) == (after.size, after.length - 1, after.length)
