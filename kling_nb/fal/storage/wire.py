"""The requests of an upload. The key goes along with the first of them only."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from kling_nb import errors
from kling_nb.fal.http import Http, unreachable
from kling_nb.fal.libraries import httpx
from kling_nb.fal.refusals import from_response
from kling_nb.fal.replies import json_object
from kling_nb.fal.storage.body import Body
from kling_nb.fal.storage.lifecycle import Lifecycle
from kling_nb.request import LocalFile

T = TypeVar("T")
_NOTHING_LOST = "Nothing was submitted and nothing is billed. Try again: the file is then uploaded anew."
_KEPT = (errors.AuthenticationError, errors.InsufficientBalance, errors.RateLimited)
"""Refusals whose own remedy says it best."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file goes.

    Attributes:
        upload_url: Address that takes it, on whatever host; it carries its own permission.
        file_url: Address that the file will have.
    """

    upload_url: str
    file_url: str

    def below(self, tail: str) -> str:
        """An address under `upload_url`, with its query."""
        path, mark, query = self.upload_url.partition("?")
        return f"{path}/{tail}{mark}{query}"


class _Refused(Exception):
    """An answer that is an error."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer


class _Senseless(Exception):
    """An answer that says yes, and lacks what the next step needs."""


class Wire:
    """Sends the requests of uploads and tries them again. For use on one event loop only.

    Raises:
        ResponseError: From every method: refused.
        UnreachableError: From every method: no answer that can be used, after all tries.
    """

    def __init__(self, http: Http) -> None:
        self._http = http
        patience = http.patience.upload or http.patience.submit
        self._timeout = httpx.Timeout(patience, connect=10.0, pool=None)

    @property
    def host(self) -> str:
        """Address of the REST host."""
        return self._http.hosts.rest.rstrip("/")

    async def initiate(self, file: LocalFile, lifecycle: Lifecycle, *, parts: bool) -> Place:
        """Ask for a place. The only request with the key."""
        step = "initiate-multipart" if parts else "initiate"
        url = f"{self.host}/storage/upload/{step}?storage_type=fal-cdn-v3"
        wish = {"content_type": file.content_type, "file_name": _plain(file.name)}

        async def ask() -> Place:
            headers = self._http.key_header(url) | lifecycle.headers
            return self._place(
                await self._accepted(self._http.short, "POST", url, json=wish, headers=headers)
            )

        return await self._repeated(url, ask)

    def _place(self, answer: httpx.Response) -> Place:
        data = json_object(answer.content) or {}
        upload_url, file_url = data.get("upload_url"), data.get("file_url")
        for url in (upload_url, file_url):
            if not isinstance(url, str) or "#" in url or not self._http.hosts.may_fetch(url):
                raise _Senseless("the answer names no address that a file may go to")
        return Place(str(upload_url), str(file_url))

    async def put(self, url: str, make_body: Callable[[], Body], content_type: str) -> httpx.Response:
        """Send bytes to the storage host; each try with a body of its own."""

        async def send() -> httpx.Response:
            body = make_body()
            headers = {"Content-Type": content_type, "Content-Length": str(body.length)}
            try:
                return await self._accepted(self._http.uploads, "PUT", url, content=body, headers=headers)
            except BaseException:
                body.take_back()
                raise
            finally:
                body.close()

        return await self._repeated(url, send)

    async def put_part(self, url: str, make_body: Callable[[], Body]) -> str:
        """The same for one part; returns its tag."""
        answer = await self.put(url, make_body, "application/octet-stream")
        tag = (json_object(answer.content) or {}).get("etag") or answer.headers.get("etag")
        if not isinstance(tag, str):
            raise _failed(url, _Senseless("the answer to a part has no tag"))
        return tag

    async def complete(self, url: str, tags: list[str]) -> None:
        """Say which parts there are, in their order."""
        parts = [{"partNumber": number, "etag": tag} for number, tag in enumerate(tags, 1)]

        async def say() -> None:
            await self._accepted(self._http.uploads, "POST", url, json={"parts": parts})

        await self._repeated(url, say)

    async def _accepted(
        self, pool: httpx.AsyncClient, method: str, url: str, **request: Any
    ) -> httpx.Response:
        """An answer that says yes. That of a storage host, which a reply named, is bounded like fal's own."""
        answer = await self._http.answer(pool, method, url, timeout=self._timeout, **request)
        if not answer.is_success:
            raise _Refused(answer)
        return answer

    async def _repeated(self, url: str, send: Callable[[], Awaitable[T]]) -> T:
        """`send`, tried again as the policy says: an upload is free, so each of its steps is like a PUT."""
        retry, attempt = self._http.retry, 0
        while True:
            attempt += 1
            asked = None
            try:
                return await send()
            except (httpx.RequestError, _Senseless) as fault:
                if not retry.allows("PUT", attempt):
                    raise _failed(url, fault) from fault
            except _Refused as refused:
                if not retry.allows("PUT", attempt, refused.answer.status_code):
                    raise _refusal(refused.answer) from None
                asked = refused.answer.headers.get("retry-after")
            await self._http.sleep(retry.delay(attempt, asked))


def _plain(name: str) -> str:
    """A file name that stands in an address as it is; on disk it may hold anything, even broken UTF-8."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-80:].lstrip(".") or "file"


def _failed(url: str, fault: Exception) -> errors.UnreachableError:
    error = unreachable(url, fault)
    return errors.UnreachableError(f"The upload failed. {error.message}", remedy=_NOTHING_LOST)


def _refusal(answer: httpx.Response) -> errors.ResponseError:
    error = from_response(answer.status_code, answer.headers, answer.content, what="The upload")
    if not isinstance(error, _KEPT):
        error.remedy = _NOTHING_LOST
    return error
