"""A result's file, from whatever host has it. The key never goes along (FAL-PROTOCOL §9.5).

A transfer that is cut goes on where it stopped, if the host gave the file a strong ETag and keeps to it;
else it begins again. Half of one version and half of another are never put together (RFC 9110 §14).
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from kling_nb import errors
from kling_nb.fal.http import Http, opened_within, unreachable
from kling_nb.fal.libraries import httpx

MAX_REDIRECTS = 5
CUT_OFF = (httpx.RequestError, httpx.StreamError, httpx.InvalidURL)
"""What keeps an answer from being read, apart from what it says."""

RESUMPTIONS = 8
PIECE = 1 << 18
"""Bytes handed on at once."""

SLOWEST = 1_000
"""Bytes a second, on the average of ten minutes. A host that sends fewer keeps its line alive, no more."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way.

    Attributes:
        url: Where it is, after redirects.
        content_type: As the host says.
        length: Of the whole file in bytes, where announced.
        chunks: The bytes, from `offset` on.
        etag: Strong ETag, by which the host knows this very version, or None.
        offset: Where `chunks` begin: 0, or where an earlier transfer was cut.
    """

    url: str
    content_type: str | None
    length: int | None
    chunks: AsyncIterator[bytes]
    etag: str | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is there of a file already.

    Attributes:
        size: Bytes.
        etag: Strong ETag of the file that they are of.
        length: Of the whole file in bytes.
    """

    size: int
    etag: str
    length: int


@asynccontextmanager
async def download(http: Http, url: str, beginning: Beginning | None = None) -> AsyncIterator[Download]:
    """Open a file. Its `chunks` outlive cuts, where the host allows it.

    Args:
        http: Connections.
        url: Where it is.
        beginning: What is there already; the rest comes if the host still has that very file, which the
            `offset` of the download tells, else all of it.

    Raises:
        MediaError: The host refuses, or the address is not one to fetch from.
        UnreachableError: No answer, or cut.
    """
    async with _opened(http, url, beginning) as first, aclosing(_whole(http, url, first)) as chunks:
        yield replace(first, chunks=chunks)


async def _whole(http: Http, url: str, first: Download) -> AsyncGenerator[bytes, None]:
    """All bytes of the file that `first` began."""
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
            except CUT_OFF as fault:
                cut = fault
            if gathered:  # also what came before the cut
                yield bytes(gathered)
            if cut is None:
                return
            resumptions += 1
            if received == before or resumptions > RESUMPTIONS or first.etag is None or first.length is None:
                raise unreachable(url, cut) from cut
            await stack.aclose()
            await http.sleep(http.retry.delay(resumptions))
            beginning = Beginning(received, first.etag, first.length)
            now = await stack.enter_async_context(_opened(http, url, beginning))
            if now.offset != received:
                raise unreachable(url, RuntimeError("the file was cut off, and is another one now"))


@asynccontextmanager
async def _opened(http: Http, url: str, after: Beginning | None = None) -> AsyncIterator[Download]:
    """Open a file; only what comes `after` an earlier transfer, if the host still has that version."""
    for _ in range(MAX_REDIRECTS + 1):
        _check(http, url)
        headers = {"Accept-Encoding": "identity"}
        if after is not None:
            headers |= {"Range": f"bytes={after.size}-", "If-Range": after.etag}
        try:
            async with AsyncExitStack() as until_closed:
                opening = http.files.stream("GET", url, headers=headers)
                response = await opened_within(http.patience.whole, opening, until_closed)
                if response.has_redirect_location:
                    url = str(response.url.join(response.headers["location"]))
                    continue
                if after is not None and not _fits(response, after) and response.status_code != 200:
                    after = None  # an odd part, or none (416): all of it, then
                    continue
                yield _described(url, response, after, http.patience.whole)
                return
        except CUT_OFF as fault:
            raise unreachable(url, fault) from fault
    raise errors.MediaError("The media host redirects without end.", remedy="Try again later.")


async def _brisk(pieces: AsyncIterator[bytes], patience: float) -> AsyncGenerator[bytes, None]:
    """The same, as long as it comes faster than `SLOWEST`; it is looked at after `patience` seconds."""
    start, received = time.monotonic(), 0
    async for piece in pieces:
        received += len(piece)
        seconds = time.monotonic() - start
        if seconds > patience and received < SLOWEST * seconds:
            raise httpx.ReadTimeout(f"{received:,} bytes came in {seconds:.0f} s")
        yield piece


def _described(url: str, response: httpx.Response, after: Beginning | None, patience: float) -> Download:
    part = after is not None and response.status_code == 206
    if response.status_code != 200 and not part:
        gone = response.status_code in {404, 410}
        raise (errors.MediaGone if gone else errors.MediaError)(
            f"The media host answered {response.status_code} for {url[:200]}",
            remedy="Run the cell again: the result is fetched again, nothing is paid again.",
        )
    length = response.headers.get("content-length", "")
    etag = response.headers.get("etag", "")
    found = Download(
        url,
        response.headers.get("content-type"),
        int(length) if length.isascii() and length.isdigit() else None,
        _brisk(response.aiter_raw(), patience),
        etag if etag.startswith('"') else None,
    )
    return (
        replace(found, length=after.length, offset=after.size, etag=after.etag)
        if after is not None and part
        else found
    )


def _fits(response: httpx.Response, after: Beginning) -> bool:
    """Whether it is the very rest that was asked for: place, size and version."""
    place = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", response.headers.get("content-range", ""))
    if response.status_code != 206 or place is None:
        return False
    same = response.headers.get("etag", after.etag) == after.etag
    return same and tuple(map(int, place.groups())) == (after.size, after.length - 1, after.length)


def _check(http: Http, url: str) -> None:
    if http.hosts.may_fetch(url):
        return
    raise errors.MediaError(
        f"The result names an address that is not fetched: {url[:200]}",
        remedy="The media of fal are at https addresses.",
    )
