"""Upload files to fal's storage, in one piece or in parts (FAL-PROTOCOL §9.3).

If fal's CDN does not take a file in one piece, its second route is used, as in fal's Python client (§9.1).
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO, FileIO
from typing import TYPE_CHECKING, Any, TypeVar

from kling_nb import errors
from kling_nb._files import parse_object
from kling_nb._lazy import httpx
from kling_nb.fal.hosts import domain_of
from kling_nb.fal.http import Http, unreachable_error
from kling_nb.fal.options import Lifecycle
from kling_nb.fal.replies import refusal
from kling_nb.request.local_file import LocalFile

if TYPE_CHECKING:
    from kling_nb.fal.lanes import Pool

WHOLE_BYTES = 90 << 20
"""Size of the largest file that is sent in one piece, as in fal's own client."""

PART_BYTES = 10 << 20
PARTS_AT_ONCE = 4
CDN, SECOND = "fal-cdn-v3", "gcs"
"""fal's routes for uploads, by their names in `storage_type`."""

EXPIRED = {401, 403}
"""Answers of a storage host to an upload URL that has expired."""


class Storage:
    """fal's file storage for one set of hosts and one key. For use on one event loop only.

    Args:
        http: Connections and the key.
        whole_bytes: Size of the largest file that is sent in one piece.
        part_bytes: Size of the parts of larger files.

    Attributes:
        host: Base URL of the REST host.
    """

    def __init__(self, http: Http, *, whole_bytes: int = WHOLE_BYTES, part_bytes: int = PART_BYTES) -> None:
        self._wire = Wire(http)
        self.host = self._wire.host
        self._whole_bytes = whole_bytes
        self._part_bytes = part_bytes

    async def upload(
        self, file: LocalFile, *, lifecycle: Lifecycle | None = None, on_progress: OnProgress | None = None
    ) -> str:
        """Store a file and return its URL, for use as an input.

        Args:
            file: The file. It is read from disk in blocks while it is sent.
            lifecycle: How long fal keeps it, or None for the account's setting.
            on_progress: Called as `on_progress(sent, total)`, in bytes, about a hundred times. The first call
                is (0, total), the last one (total, total). After a failed try, `sent` falls.

        Raises:
            MediaInputError: The file has changed.
            ResponseError: Refused.
            UnreachableError: No answer after all tries.
        """
        stamp = await asyncio.to_thread(file.verify)
        progress = Progress(file.size, on_progress)
        progress.report()
        url = await self._send(file, lifecycle or Lifecycle(), progress)
        if stamp is not None:
            await asyncio.to_thread(file.verify, stamp)
        progress.complete()
        return url

    async def _send(self, file: LocalFile, lifecycle: Lifecycle, progress: Progress) -> str:
        """Send the file, again if its upload URL has expired, then by the second route. Return its URL."""
        in_parts = file.size > self._whole_bytes
        routes, failure = ([CDN, CDN] if in_parts else [CDN, CDN, SECOND]), None
        while routes:
            route, place = routes.pop(0), None
            try:
                place = await self._wire.initiate(file, lifecycle, route, parts=in_parts)
                if in_parts:
                    await _Parts(self._wire, file, place, self._part_bytes, progress).send()
                else:
                    make_body = partial(Body, file, 0, file.size, progress)
                    await self._wire.put(place.upload_url, make_body, file.content_type, {})
                return place.file_url
            except (errors.ResponseError, errors.UnreachableError) as fault:
                failure = failure or fault
                if place is None and isinstance(fault, _FINAL):
                    raise failure from None
                if place is None or getattr(fault, "status_code", None) not in EXPIRED:
                    routes = [other for other in routes if other != route]
                progress.restart()
        assert failure is not None
        raise failure


class _Parts:
    """The upload of one file in parts, a few at a time."""

    def __init__(
        self, wire: Wire, file: LocalFile, place: Place, part_bytes: int, progress: Progress
    ) -> None:
        self._wire = wire
        self._file = file
        self._place = place
        self._part_bytes = part_bytes
        self._progress = progress
        self._tags: dict[int, str] = {}
        self._token: dict[str, str] = {}
        self._asking = asyncio.Lock()

    async def send(self) -> None:
        """Send all parts, and finish the upload."""
        starts = enumerate(range(0, self._file.size, self._part_bytes), 1)
        workers = [asyncio.create_task(self._work(starts)) for _ in range(PARTS_AT_ONCE)]
        try:
            await asyncio.gather(*workers)
        finally:  # The first part that fails stops the others.
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        parts = [{"partNumber": number, "etag": tag} for number, tag in sorted(self._tags.items())]
        await self._send_with_token("complete", partial(self._wire.complete, parts))

    async def _work(self, starts: Iterator[tuple[int, int]]) -> None:
        for number, start in starts:
            length = min(self._part_bytes, self._file.size - start)
            make_body = partial(Body, self._file, start, length, self._progress)
            self._tags[number] = await self._send_with_token(
                str(number), partial(self._wire.put_part, make_body)
            )

    async def _send_with_token(self, tail: str, send: Callable[[str, dict[str, str]], Awaitable[T]]) -> T:
        """Call `send` with a URL below the upload's, and with its headers.

        If the upload URL has expired, the rest of the same upload is sent with a token, as fal's Python
        client sends parts (FAL-PROTOCOL §9.2), so that the parts already there are not sent again. Not tested
        against the real service. If the token is refused too, the whole upload starts again.
        """
        path, mark, query = self._place.upload_url.partition("?")
        url = f"{path}/{tail}{mark}{query}"
        if not self._token:
            try:
                return await send(url, {})
            except errors.ResponseError as fault:
                if fault.status_code not in EXPIRED:
                    raise
                async with self._asking:
                    try:
                        self._token = self._token or await self._wire.token(url)
                    except (errors.ResponseError, errors.UnreachableError):
                        raise fault from None
        return await send(f"{path}/{tail}", self._token)


# -- The requests of an upload


T = TypeVar("T")
_REMEDY = "Nothing was submitted. Not charged. Try again to upload the file."
_KEPT = (errors.AuthenticationError, errors.InsufficientBalance, errors.RateLimited)
"""Refusals of fal that keep their own remedy."""
_FINAL = (*_KEPT, errors.InputRefused, errors.UnreachableError)
"""Errors of fal's REST host that another route would repeat."""


@dataclass(frozen=True, slots=True)
class Place:
    """The URLs that fal assigns to an upload.

    Attributes:
        upload_url: URL that receives the file, on any host. It contains its own permission.
        file_url: URL of the stored file.
    """

    upload_url: str
    file_url: str


class _Refused(Exception):
    """fal answered with an error."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer


class _IncompleteAnswer(Exception):
    """A successful answer lacks what the next step needs."""


class Wire:
    """Sends the requests of uploads, with retries. For use on one event loop only.

    Only requests to fal's REST host send the key.

    Raises:
        ResponseError: Every method raises it if fal refuses.
        UnreachableError: Every method raises it if no usable answer came after all tries.
    """

    def __init__(self, http: Http) -> None:
        self._http = http
        self.host = http.hosts.rest.rstrip("/")
        patience = http.patience.upload or http.patience.submit
        self._limits = httpx.Timeout(patience, connect=10.0, pool=None)

    async def initiate(self, file: LocalFile, lifecycle: Lifecycle, route: str, *, parts: bool) -> Place:
        """Ask fal for the URLs of an upload."""
        step = "initiate-multipart" if parts else "initiate"
        url = f"{self.host}/storage/upload/{step}?storage_type={route}"
        # A name on disk may contain anything, even invalid UTF-8. This one is safe in a URL.
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", file.name)[-80:].lstrip(".") or "file"
        body = {"content_type": file.content_type, "file_name": name}

        async def ask() -> Place:
            headers = self._http.key_header(url) | lifecycle.headers
            answer = await self._send(self._http.short, "POST", url, json=body, headers=headers)
            data = parse_object(answer.content) or {}
            urls = [str(data.get(name)) for name in ("upload_url", "file_url")]
            if any("#" in url or not self._http.hosts.may_fetch(url) for url in urls):
                raise _IncompleteAnswer("the answer has no allowed URL for the file")
            return Place(*urls)

        return await self._retry(url, ask)

    async def token(self, upload_url: str) -> dict[str, str]:
        """Ask fal for a token of its CDN, and return it as a header for `upload_url`."""
        url = f"{self.host}/storage/auth/token?storage_type={CDN}"

        async def ask() -> dict[str, str]:
            headers = self._http.key_header(url)
            answer = await self._send(self._http.short, "POST", url, json={}, headers=headers)
            data = parse_object(answer.content) or {}
            kind, token = (str(data.get(name) or "") for name in ("token_type", "token"))
            if not token or domain_of(str(data.get("base_url"))) != domain_of(upload_url):
                raise _IncompleteAnswer("the answer has no token for the storage host")
            return {"Authorization": f"{kind or 'Bearer'} {token}"}

        return await self._retry(url, ask)

    async def put(
        self, url: str, make_body: Callable[[], Body], content_type: str, token: Mapping[str, str]
    ) -> httpx.Response:
        """Send bytes to the storage host. Each try makes a new body."""

        async def send() -> httpx.Response:
            body = make_body()
            headers = {"Content-Type": content_type, "Content-Length": str(body.length), **token}
            try:
                return await self._send(self._http.uploads, "PUT", url, content=body, headers=headers)
            except BaseException:
                body.reset_progress()
                raise
            finally:
                body.close()

        return await self._retry(url, send)

    async def put_part(self, make_body: Callable[[], Body], url: str, token: Mapping[str, str]) -> str:
        """Send one part to the storage host and return its ETag."""
        answer = await self.put(url, make_body, "application/octet-stream", token)
        tag = (parse_object(answer.content) or {}).get("etag") or answer.headers.get("etag")
        if not isinstance(tag, str):
            raise _upload_error(url, _IncompleteAnswer("the answer to a part has no ETag"))
        return tag

    async def complete(self, parts: list[dict[str, Any]], url: str, token: Mapping[str, str]) -> None:
        """Finish an upload by listing its parts in order, with their numbers and ETags."""

        async def finish() -> None:
            await self._send(self._http.uploads, "POST", url, json={"parts": parts}, headers=token)

        await self._retry(url, finish)

    async def _send(self, pool: Pool, method: str, url: str, **request: Any) -> httpx.Response:
        """Send one request and return its answer, or raise if it is an error."""
        answer = await self._http.answer(pool, method, url, limits=self._limits, **request)
        if not answer.is_success:
            raise _Refused(answer)
        return answer

    async def _retry(self, url: str, send: Callable[[], Awaitable[T]]) -> T:
        """Call `send` with retries. An upload is free, so each of its steps may be repeated like a PUT."""
        retry, attempt = self._http.retry, 0
        while True:
            attempt += 1
            retry_after = None
            try:
                return await send()
            except (httpx.RequestError, _IncompleteAnswer) as fault:
                if not retry.allows("PUT", attempt):
                    raise _upload_error(url, fault) from fault
            except _Refused as refused:
                if not retry.allows("PUT", attempt, refused.answer.status_code):
                    error = refusal(refused.answer, "The upload")
                    by_fal = url.startswith(self.host)
                    if not (by_fal and isinstance(error, _KEPT)):  # a storage host knows nothing of the key
                        error.remedy = _REMEDY
                    raise error from None
                retry_after = refused.answer.headers.get("retry-after")
            await self._http.sleep(retry.delay(attempt, retry_after))


def _upload_error(url: str, fault: Exception) -> errors.UnreachableError:
    error = unreachable_error(url, fault)
    return errors.UnreachableError(f"The upload failed. {error.message}", remedy=_REMEDY)


# -- The body of a request, read from a file while it is sent


BLOCK_BYTES = 1 << 20
"""Bytes read at once. Each block costs a switch to a thread, and each part in flight holds a few blocks."""


class Body:
    """A range of a file as an asynchronous iterator, for one try. Close it after use.

    Blocks are read in a thread, because a file may be on a slow disk or a network share.

    Raises:
        MediaInputError: During iteration, if the file cannot be read or has become shorter.
    """

    def __init__(self, file: LocalFile, start: int, length: int, progress: Progress) -> None:
        self.length = length
        self._file = file
        self._start = start
        self._sent = 0
        self._progress = progress
        self._open: BytesIO | FileIO | None = None
        self._closed = False
        self._lock = threading.Lock()  # A thread may still read after the request is cancelled.

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        size = min(BLOCK_BYTES, self.length - self._sent)
        if not size:
            raise StopAsyncIteration
        block = await asyncio.to_thread(self._read, self._start + self._sent, size)
        self._sent += len(block)
        self._progress.add(len(block))
        return block

    def _read(self, start: int, size: int) -> bytes:
        with self._lock:
            if self._closed:
                return b""  # The request was cancelled.
            self._open = self._open or self._file.open()
            try:
                self._open.seek(start)
                block = self._open.read(size)
            except OSError as error:
                raise self._file.change_error(f"can no longer be read ({error.strerror or error})") from error
        if not block:
            raise self._file.change_error("became shorter during the upload")
        return block

    def reset_progress(self) -> None:
        """Remove the bytes of a failed try from the progress."""
        self._progress.add(-self._sent)
        self._sent = 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            if self._open is not None:
                self._open.close()


# -- Progress


log = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called as `on_progress(sent, total)`, in bytes, from the background thread."""


class Progress:
    """Counts the bytes sent, and reports them about a hundred times.

    The count falls after a failed try, and ends at `total`.
    """

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._total = total
        self._on_progress = on_progress
        self._sent = 0
        self._reported = 0

    def add(self, count: int) -> None:
        """Add bytes sent. A negative number removes those of a failed try."""
        self._sent += count
        if abs(self._sent - self._reported) * 100 >= self._total and self._sent < self._total:
            self.report()

    def restart(self) -> None:
        """Report that the upload starts again."""
        self._sent = 0
        self.report()

    def complete(self) -> None:
        """Report that all bytes are sent."""
        self._sent = self._total
        self.report()

    def report(self) -> None:
        """Call `on_progress` with the current count."""
        self._reported = self._sent
        try:
            if self._on_progress is not None:
                self._on_progress(self._sent, self._total)
        except Exception:  # An error of the callback must not stop the upload.
            log.exception("The on_progress callback of an upload failed")
