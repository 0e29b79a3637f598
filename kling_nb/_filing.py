"""How a result becomes a file: fetched, stored, and the job READY."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from kling_nb import errors
from kling_nb._backend import Backend
from kling_nb._record import Record
from kling_nb._result_files import File, as_download, files_of, main_file, opened, text_of
from kling_nb.events import Downloading, Ready, State, Submitted
from kling_nb.fal.download import Beginning, Download
from kling_nb.fal.replies import Result
from kling_nb.media import Begun, MediaFolder, Origin, Take, TakeDraft

DOWNLOAD_TRIES = 4


class Filing:
    """Files the result of one job. Engine thread.

    Args:
        record: The job and its row.
        media: The folder.
        take: The take to file it as; None for the next free one.
    """

    def __init__(self, record: Record, media: MediaFolder, take: int | None) -> None:
        self._record = record
        self._job = record.job
        self._media = media
        self._take = take

    async def filed_before(self) -> bool:
        """Whether the file is there already, and only the ledger had not heard of it.

        Nobody is asked for it then, neither fal nor a media host: they may have forgotten it.
        """
        entry = self._record.entry
        if entry.request_id is None or entry.result is not None:
            return False
        take = await asyncio.to_thread(self._media.filed, entry.request_id, entry.backend)
        if take is None:
            return False
        self._job.apply(Submitted(entry.request_id, resumed=True))
        await self._ready(take, take.sidecar.billable_units)
        return True

    async def _ready(self, take: Take, units: str | None) -> None:
        await asyncio.to_thread(self._job.take_in, take)
        number = take.sidecar.take  # by which a later run asks for it, should the file be deleted
        await self._record.note(state=State.READY, units=units, media_path=str(take.path), take=number)
        self._job.apply(Ready(units))

    async def file(self, backend: Backend, result: Result) -> None:
        """Store what came, then say READY."""
        job = self._job
        job.output = dict(result.data)
        take = await self._stored(backend, result)
        await self._keep_others(backend, result, take)
        await self._ready(take, result.units)

    async def _stored(self, backend: Backend, result: Result) -> Take:
        """The file of the result, tried again where the connection is cut: it is paid for."""
        request_id, resumed = self._job.request_id or "", self._job.state.resumed
        if resumed:  # filed by another kernel, or by this one before it died
            earlier = await asyncio.to_thread(self._media.filed, request_id, self._job.backend)
            if earlier is not None:
                return earlier
        attempt = 0
        while True:
            attempt += 1
            try:
                file = main_file(result.data, self._job.request.endpoint.output_pointer)
                if file is None:
                    return await self._store(result, as_download(result.data))
                url = str(file.get("url") or "")
                begun = await self._media.begun(request_id, self._job.backend, url) if resumed else None
                last = attempt >= DOWNLOAD_TRIES
                return await self._fetched(backend, result, file, begun, last=last)
            except (errors.UnreachableError, errors.MediaError):
                if attempt >= DOWNLOAD_TRIES:
                    raise
                await backend.sleep(min(2.0**attempt, 10.0))

    async def _fetched(
        self, backend: Backend, result: Result, file: File, begun: Begun | None, *, last: bool
    ) -> Take:
        """The file, or what is missing of one that a killed process began."""
        beginning = Beginning(begun.size, begun.origin.etag, begun.origin.length) if begun else None
        try:
            async with opened(backend.client, file, beginning) as download:
                if not last:
                    _check_length(file, download)
                rest, begun = (begun, None) if download.offset else (None, begun)
                return await self._store(result, download, self._origin(file, download), rest)
        finally:
            if begun is not None:  # another file is there by now, or none
                begun.discard()

    def _origin(self, file: File, download: Download) -> Origin | None:
        request_id = self._job.request_id
        if download.etag is None or download.length is None or request_id is None:
            return None
        url = str(file.get("url"))
        return Origin(self._job.backend, request_id, url, download.etag, download.length)

    async def _store(
        self, result: Result, download: Download, origin: Origin | None = None, begun: Begun | None = None
    ) -> Take:
        return await self._media.store(
            download.chunks,
            self._draft(result, download),
            expected_size=download.length,
            origin=origin,
            begun=begun,
            on_progress=lambda received: self._job.apply(Downloading(received, download.length)),
        )

    async def _keep_others(self, backend: Backend, result: Result, take: Take) -> None:
        """Further files of the result, beside the take. They are paid for, but none is worth failing for."""
        pointer = self._job.request.endpoint.output_pointer
        for name, file in list(files_of(result.data, pointer).items())[1:]:
            try:
                if await asyncio.to_thread(take.beside, name) is None:
                    async with opened(backend.client, file) as download:
                        await self._media.store_beside(
                            take, name, download.chunks, expected_size=download.length
                        )
            except errors.KlingError as fault:
                self._record.warn(f"{name} was not kept: {fault.message}")

    def _draft(self, result: Result, download: Download) -> TakeDraft:
        job, endpoint = self._job, self._job.request.endpoint
        file = main_file(result.data, endpoint.output_pointer) or {}
        return TakeDraft(
            # Of the bytes of local files, which may be gone by now.
            fingerprint=self._record.entry.fingerprint,
            take=self._take,
            endpoint=endpoint.id,
            input=self._record.entry.input,
            prompt=job.request.prompt,
            backend=job.backend,
            request_id=job.request_id or "",
            url=download.url,
            kind=endpoint.output_kind,
            content_type=text_of(file, "content_type") or download.content_type,
            file_name=text_of(file, "file_name"),
            created_at=job.created_at,
            units=result.units,
            lines=tuple((line.timestamp, line.message) for line in job.lines),
            estimate_usd=self._record.entry.reserved_usd,
        )


def _check_length(file: Mapping[str, Any], download: Download) -> None:
    """Refuse a reply that announces less than the result says; another try may bring all of it."""
    size = file.get("file_size")
    if isinstance(size, int) and download.length is not None and download.length < size:
        raise errors.MediaError(f"The media host announces {download.length:,} of {size:,} bytes.")
