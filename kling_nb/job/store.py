"""`ResultStore`: store the result of a job as a take, and find the files that a result names.

A file is downloaded to the media folder, or decoded if the result itself contains its bytes. Then the job is
READY.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from kling_nb import errors
from kling_nb.events import Downloading, Ready, State, Submitted
from kling_nb.fal.download import Beginning, Download
from kling_nb.fal.platform import signed_url
from kling_nb.fal.replies import PreviewFile, QueueResult, text_or_none
from kling_nb.job.connections import Backend
from kling_nb.job.record import JobRecord
from kling_nb.media import Measures, MediaFolder, Origin, PartialDownload, Take, TakeDraft
from kling_nb.request.media_input import DataUriError, decode_base64, is_data_uri, parse_data_uri

DOWNLOAD_TRIES = 4
REFUSED_TRIES = 2
"""Tries for a URL that the host refuses. Waiting seldom helps, but fal may give another URL."""


class ResultStore:
    """Stores the result of one job. Background thread.

    Args:
        take: Number of the new take; None for the next free one.
        copy_to: The folder that asked for the job, if it is another one. It gets a copy.
    """

    def __init__(
        self, record: JobRecord, media: MediaFolder, take: int | None, copy_to: MediaFolder | None = None
    ) -> None:
        self._record = record
        self._job = record.job
        self._media = media
        self._take = take
        self._copy_to = copy_to

    async def use_stored_file(self) -> bool:
        """Make the job READY and return True if its file is already stored and only the row is not finished.

        Neither fal nor a media host is asked, because they may no longer have the file.
        """
        entry = self._record.entry
        if entry.request_id is None or entry.result is not None:
            return False
        take = await asyncio.to_thread(self._media.take_of_request, entry.request_id, entry.backend)
        if take is None:
            return False
        self._job._apply(Submitted(entry.request_id, resumed=True))
        await self._ready(take, take.sidecar.billable_units)
        return True

    async def _ready(self, take: Take, units: str | None) -> None:
        await self._set_take(take)
        number = take.sidecar.take  # a later run needs it if the file is deleted
        await self._record.note(state=State.READY, units=units, media_path=str(take.path), take=number)
        if self._copy_to is not None:
            copy = await asyncio.to_thread(self._copy_to.copy, take, made_from=self._job.made_from)
            await self._set_take(copy)
        self._job._apply(Ready(units))

    async def _set_take(self, take: Take) -> None:
        if take.sidecar.frame_count:  # All measures are known, so no file is read.
            self._job._set_take(take)
        else:
            await asyncio.to_thread(self._job._set_take, take)

    async def store(self, backend: Backend, result: QueueResult, *, sign: bool = False) -> None:
        """Store the files of a result. Then the job is READY.

        With `sign`, ask fal for a signed URL if the URL in the result does not work.

        Raises:
            MediaGone: fal no longer has the file, or without `sign`: its URL is not found.
            MediaPrivate: The file is private, or its URL has expired.
            KlingError: The file could not be fetched or stored.
        """
        job = self._job
        job.output = dict(result.data)
        take = await self._take_of(backend, result, sign=sign)
        await self._store_others(backend, result, take)
        await self._ready(take, result.units)

    async def _take_of(self, backend: Backend, result: QueueResult, *, sign: bool) -> Take:
        """Store the main file of a result. A failed download is tried again, because the file is paid for."""
        request_id, resumed = self._job.request_id or "", self._job.state.resumed
        if resumed:  # another kernel may have stored it, or this one before it was killed
            earlier = await asyncio.to_thread(self._media.take_of_request, request_id, self._job.backend)
            if earlier is not None:
                return earlier
        attempt = 0
        while True:
            attempt += 1
            try:
                pointer = self._job.request.endpoint.output_pointer
                file = main_file(result.data, pointer)
                if file is None and pointer:
                    raise _no_file(result.data, pointer)
                if file is None:
                    # An endpoint that makes data only: the result itself is stored as a JSON file.
                    raw = json.dumps(result.data, ensure_ascii=False, indent=1).encode()
                    return await self._write(result, _inline(raw))
                url = str(file.get("url") or "")
                if attempt == 1 and (preview := result.files.get(url)):
                    return await self._media.store_copy(preview.path, self._draft(result, url, preview))
                partial = (
                    await self._media.partial_download(request_id, self._job.backend, url)
                    if resumed
                    else None
                )
                last = attempt >= DOWNLOAD_TRIES
                return await self._download(backend, result, file, partial, last=last, sign=sign)
            except (errors.UnreachableError, errors.MediaError) as fault:
                # A 404 even by a signed URL may come from a media host that is late.
                refused = isinstance(fault, errors.MediaPrivate if sign else errors.DEAD_URL)
                if attempt >= (REFUSED_TRIES if refused else DOWNLOAD_TRIES):
                    raise
                await backend.http.sleep(min(2.0**attempt, 10.0))

    async def _download(
        self,
        backend: Backend,
        result: QueueResult,
        file: File,
        partial: PartialDownload | None,
        *,
        last: bool,
        sign: bool,
    ) -> Take:
        """Download the file, or the rest of one that a killed process left unfinished."""
        beginning = Beginning(partial.size, partial.origin.etag, partial.origin.length) if partial else None
        try:
            async with open_file(backend, file, beginning, sign=sign) as download:
                if not last:
                    _check_length(file, download)
                rest, partial = (partial, None) if download.offset else (None, partial)
                return await self._write(result, download, self._origin(file, download), rest)
        finally:
            if partial is not None:  # it does not belong to this file
                partial.discard()

    def _origin(self, file: File, download: Download) -> Origin | None:
        request_id = self._job.request_id
        if download.etag is None or download.length is None or request_id is None:
            return None
        url = str(file.get("url"))
        return Origin(self._job.backend, request_id, url, download.etag, download.length)

    async def _write(
        self,
        result: QueueResult,
        download: Download,
        origin: Origin | None = None,
        partial: PartialDownload | None = None,
    ) -> Take:
        return await self._media.store(
            download.chunks,
            self._draft(result, download.url),
            expected_size=download.length,
            origin=origin,
            partial=partial,
            on_progress=lambda received: self._job._apply(Downloading(received, download.length)),
        )

    async def _store_others(self, backend: Backend, result: QueueResult, take: Take) -> None:
        """Store further files of the result next to the take. An error of one is only a warning."""
        pointer = self._job.request.endpoint.output_pointer
        for name, file in list(files_of(result.data, pointer).items())[1:]:
            try:
                if await asyncio.to_thread(take.other, name) is None:
                    async with open_file(backend, file, sign=True) as download:
                        await self._media.store_other(
                            take, name, download.chunks, expected_size=download.length
                        )
            except errors.KlingError as fault:
                self._record.warn(f"{name} was not stored: {fault.message}")

    def _draft(self, result: QueueResult, url: str, preview: PreviewFile | None = None) -> TakeDraft:
        job, endpoint = self._job, self._job.request.endpoint
        file = main_file(result.data, endpoint.output_pointer) or {}
        return TakeDraft(
            # The row's, because local inputs may have changed or be gone by now.
            fingerprint=self._record.entry.fingerprint,
            take=self._take,
            endpoint=endpoint.id,
            input=self._record.entry.input,
            prompt=job.request.prompt,
            backend=job.backend,
            request_id=job.request_id or "",
            url=url,
            kind=endpoint.output_kind,
            file_name=text_or_none(file.get("file_name")),
            created_at=job.created_at,
            units=result.units,
            lines=tuple((line.timestamp, line.message) for line in job.lines),
            estimate_usd=self._record.entry.reserved_usd,
            made_from=self._record.entry.made_from,
            measures=Measures(preview.sha256, **preview.measures) if preview and preview.measures else None,
        )


def _no_file(data: Any, pointer: str) -> errors.MediaError:
    """Return the error of a result without the file that the schema promises."""
    value = data.get(pointer, ...) if isinstance(data, Mapping) else ...
    what = f"no {pointer}" if value is ... else f'"{pointer}": {json.dumps(value)[:80]}'
    return errors.MediaError(
        f"fal's result has {what}, so there is no file to fetch.",
        remedy="job.output has the whole result. Run it again to ask fal once more; that costs nothing.",
    )


def _check_length(file: Mapping[str, Any], download: Download) -> None:
    """Raise if a reply is shorter than the result states. Another try may return the whole file."""
    size = file.get("file_size")
    if isinstance(size, int) and download.length is not None and download.length < size:
        raise errors.MediaError(f"The media host sends {download.length:,} of {size:,} bytes.")


# -- The files that a result names. Their bytes are at a URL or in the result itself.


MOST_FILES = 16
"""How many files of one result are stored."""

_WANTED = ("video", "videos", "audio", "image", "images")

File = Mapping[str, Any]
"""fal's File object: url, content_type, file_name, file_size, file_data. Only url or file_data is certain."""


def files_of(data: Any, pointer: str) -> dict[str, File]:
    """Return the files by name, the main file first. Files of a list are named `images-1`, `images-2`, ….

    Args:
        data: The result.
        pointer: The property that is the file by the endpoint's schema; empty if the schema names none or is
            not known.
    """
    found: dict[str, File] = {}
    named = data if isinstance(data, Mapping) else {}
    first = [pointer] if pointer else [word for word in _WANTED if _files_named(named, word)][:1]
    for name in dict.fromkeys([*first, *named]):
        found |= _files_named(named, name)
    if pointer and not _files_named(named, pointer):
        return {}  # the file of the schema is missing, and no other file replaces it
    return dict(list(found.items())[:MOST_FILES])


def main_file(data: Any, pointer: str) -> File | None:
    """Return the main file, or None if the result is data only."""
    return next(iter(files_of(data, pointer).values()), None)


@asynccontextmanager
async def open_file(
    backend: Backend, file: File, beginning: Beginning | None = None, *, sign: bool = False
) -> AsyncIterator[Download]:
    """Open a file for reading, or what follows its beginning, which is here already.

    With `sign`, open the file by a signed URL of fal's platform API if its own URL is refused.

    Raises:
        MediaError: Inline bytes do not decode, or the host refuses.
        UnreachableError: No answer, or the connection was cut.
    """
    url = str(file.get("url") or "")
    inline = file.get("file_data") or (url if is_data_uri(url) else None)
    if inline:
        yield _inline(_decode(str(inline)))
        return
    async with AsyncExitStack() as until_closed:
        try:
            download = await until_closed.enter_async_context(backend.client.download(url, beginning))
        except errors.DEAD_URL as fault:
            if not sign:
                raise
            signed = await _sign(backend, url, fault)
            download = await until_closed.enter_async_context(backend.client.download(signed, beginning))
            download = replace(download, url=url)  # The signature must not get into the sidecar.
        yield download


async def _sign(backend: Backend, url: str, refusal: errors.MediaError) -> str:
    """Return a signed URL of a file whose URL is refused.

    Raises:
        MediaPrivate: fal gives none, so whether the file exists is not known.
    """
    try:
        return await signed_url(backend.http, url)
    except errors.KlingError as fault:
        if backend.name == "local":
            raise errors.MediaPrivate(
                f"{refusal.message}. The local preview server signs no URL: {fault.message.rstrip('.')}.",
                remedy="Run the cell again. If it stays so, --new makes the preview again, which is free.",
            ) from fault
        no_permission = isinstance(fault, errors.KEY_REFUSED)
        reason = "the key needs the permission assets:read" if no_permission else fault.message.rstrip(".")
        remedy = (
            "Set a key with the permission assets:read, or make the file public at fal (its ACL). Then run\n"
            "the cell again: it fetches the file, at no extra charge."
        )
        known = "It is paid for, and private or its URL has expired."
        if isinstance(refusal, errors.MediaGone):
            known = "fal has deleted the file, or hides it because it is private."
            remedy += " Only if it is deleted: --new makes another take, at a new charge."
        raise errors.MediaPrivate(
            f"{refusal.message}. {known} fal gave no signed URL: {reason}.", remedy=remedy
        ) from fault


def _files_named(data: Mapping[str, Any], name: str) -> dict[str, File]:
    value = data.get(name)
    if isinstance(value, list):
        return {f"{name}-{number}": file for number, file in enumerate(value, 1) if _is_file(file)}
    return {name: value} if isinstance(value, Mapping) and _is_file(value) else {}


def _is_file(value: Any) -> bool:
    return isinstance(value, Mapping) and any(
        isinstance(value.get(name), str) and value[name] for name in ("url", "file_data")
    )


def _inline(raw: bytes) -> Download:
    """Return bytes that are here already as a download."""

    async def chunks() -> AsyncIterator[bytes]:
        yield raw

    return Download("", len(raw), chunks())


def _decode(inline: str) -> bytes:
    """Return the bytes of a data URI or of plain base64."""
    try:
        return parse_data_uri(inline).data if is_data_uri(inline) else decode_base64(inline)
    except DataUriError as fault:
        raise errors.MediaError("The result contains bytes that do not decode as base64.") from fault
