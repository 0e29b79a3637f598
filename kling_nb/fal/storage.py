"""Uploads: two steps, and the key is part of only the first (FAL-PROTOCOL §9.3)."""

from __future__ import annotations

import httpx

from kling_nb import errors
from kling_nb.fal.http import Http, unreachable
from kling_nb.fal.replies import json_object

WRITE_SECONDS = 120.0


class Storage:
    """fal's file storage for one set of hosts and one key. For use on one event loop only."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def upload(self, data: bytes, *, content_type: str, file_name: str) -> str:
        """Store a file; returns its URL, for use as an input.

        Nothing is billed for an upload, so the whole of it is tried again after a fault.

        Raises:
            ResponseError: Refused.
            UnreachableError: No answer after all tries.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                upload_url, file_url = await self._initiate(content_type, file_name)
                await self._put(upload_url, data, content_type)
            except (errors.UnreachableError, errors.PlatformError, errors.RateLimited):
                if not self._http.retry.allows("PUT", attempt):
                    raise
                await self._http.sleep(self._http.retry.delay(attempt))
            else:
                return file_url

    async def _initiate(self, content_type: str, file_name: str) -> tuple[str, str]:
        url = f"{self._http.hosts.rest.rstrip('/')}/storage/upload/initiate?storage_type=fal-cdn-v3"
        answer = await self._send(
            "POST",
            url,
            json={"content_type": content_type, "file_name": file_name},
            headers=self._http.key_header(url),
        )
        data = json_object(answer.content) or {}
        upload_url, file_url = data.get("upload_url"), data.get("file_url")
        if not isinstance(upload_url, str) or not isinstance(file_url, str):
            raise unreachable(url, ValueError("the answer names no upload address"))
        return upload_url, file_url

    async def _put(self, url: str, data: bytes, content_type: str) -> None:
        """The bytes, to whatever host was named: so without the key."""
        await self._send("PUT", url, content=data, headers={"Content-Type": content_type})

    async def _send(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        json: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        try:
            answer = await self._http.long.request(
                method,
                url,
                json=json,
                content=content,
                headers=headers,
                timeout=httpx.Timeout(WRITE_SECONDS, connect=10.0, pool=None),
            )
        except httpx.TransportError as fault:
            raise unreachable(url, fault) from fault
        if not answer.is_success:
            raise errors.from_response(answer.status_code, answer.headers, answer.content, what="The upload")
        return answer
