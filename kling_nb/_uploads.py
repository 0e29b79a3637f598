"""The addresses of local files: what was uploaded already is not uploaded again."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from kling_nb.errors import LedgerError, MediaInputError
from kling_nb.fal.storage import Lifecycle, OnProgress, Storage
from kling_nb.ledger import Ledger, Upload
from kling_nb.request import LocalFile


class Uploads:
    """Uploads the same bytes once a day, for all kernels that share a ledger.

    Of one process, who asks for a file that is on its way waits for that upload. A file whose hash nobody
    needs, and of whose size none was uploaded lately, is sent first and read for its hash afterwards.
    Engine thread.

    Args:
        ledger: Keeps the addresses. Where it cannot be used, everything is uploaded.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._flights: dict[tuple[object, ...], _Flight] = {}
        self._unread: dict[asyncio.Task[Any], tuple[int, int]] = {}

    async def address(
        self,
        storage: Storage,
        account: str | None,
        file: LocalFile,
        *,
        lifecycle: Lifecycle | None = None,
        inline_limit: int = 0,
        on_progress: OnProgress | None = None,
    ) -> str:
        """Where fal finds the file: a URL, or a data URI that holds it.

        Args:
            storage: Takes it, if it is not there.
            account: Fingerprint of the key.
            file: The file.
            lifecycle: How long it is kept.
            inline_limit: Size in bytes up to which it becomes a data URI.
            on_progress: See `Storage.upload`; never called where nothing has to be sent.

        Raises:
            KlingError: The upload failed; nothing is billed for one.
        """
        if file.size <= inline_limit:
            return await asyncio.to_thread(_data_uri, file)
        lifecycle = lifecycle or Lifecycle()
        upload = Upload(file.sha256, file.content_type, storage.host, account or "", lifecycle.seconds or 0)
        handle: tuple[object, ...] = os.getpid(), upload, file.stamp  # a task is not carried over a fork
        if file.sha256 or handle not in self._flights:
            await self._all_read(file.size)
        if not file.sha256 and handle not in self._flights and await self._may_know(upload, file.size):
            file = await asyncio.to_thread(file.hashed)
        if file.sha256:
            upload = replace(upload, sha256=file.sha256)
            handle = os.getpid(), upload
            known = None if handle in self._flights else await self._known(upload)
            if known is not None:
                return known
        if handle not in self._flights:
            flight = self._flights[handle] = _Flight()
            flight.task = asyncio.create_task(self._send(storage, file, lifecycle, upload, flight.tell))
            if not file.sha256:
                self._reads(flight.task, file.size)
        flight = self._flights[handle]
        try:
            return await flight.join(on_progress)
        finally:
            if flight.over and self._flights.get(handle) is flight:
                del self._flights[handle]

    async def _send(
        self,
        storage: Storage,
        file: LocalFile,
        lifecycle: Lifecycle,
        upload: Upload,
        on_progress: OnProgress,
    ) -> str:
        url = await storage.upload(file, lifecycle=lifecycle, on_progress=on_progress)
        if file.sha256:
            await self._note(file, upload, url)
        else:
            self._reads(asyncio.create_task(self._note(file, upload, url)), file.size)
        return url

    async def _note(self, file: LocalFile, upload: Upload, url: str) -> None:
        """Remember the address by the file's hash. What was written to meanwhile is not remembered."""
        with suppress(LedgerError, MediaInputError):
            read = await asyncio.to_thread(file.hashed)
            known_by = replace(upload, sha256=read.sha256)
            await asyncio.to_thread(self._ledger.note_upload, known_by, url, file.size)

    def _reads(self, task: asyncio.Task[Any], size: int) -> None:
        """While `task` is under way, a file of that size may be the one it is about."""
        self._unread[task] = (os.getpid(), size)
        task.add_done_callback(lambda _: self._unread.pop(task, None))

    async def _all_read(self, size: int | None = None) -> None:
        """Wait until all that is sent, of that size, is known by its hash."""
        while tasks := [
            task for task, (pid, own) in self._unread.items() if pid == os.getpid() and size in {None, own}
        ]:
            await asyncio.wait(tasks)

    async def settle(self) -> None:
        """Wait until the ledger knows all that was uploaded."""
        await self._all_read()

    async def _may_know(self, upload: Upload, size: int) -> bool:
        with suppress(LedgerError):
            return await asyncio.to_thread(self._ledger.may_know, upload, size)
        return False

    async def _known(self, upload: Upload) -> str | None:
        with suppress(LedgerError):
            return await asyncio.to_thread(self._ledger.uploaded, upload)
        return None

    async def forget(self, url: str) -> None:
        """Upload it again the next time: fal could not fetch it from there."""
        with suppress(LedgerError):
            await asyncio.to_thread(self._ledger.forget_upload, url)


class _Flight:
    """An upload on its way, and who waits for it. It ends with the last of them."""

    task: asyncio.Task[str]

    def __init__(self) -> None:
        self._waiting = 0
        self._listeners: list[OnProgress] = []

    def tell(self, sent: int, total: int) -> None:
        for listener in self._listeners:
            listener(sent, total)

    @property
    def over(self) -> bool:
        return self.task.done() or not self._waiting

    async def join(self, on_progress: OnProgress | None) -> str:
        self._waiting += 1
        if on_progress is not None:
            self._listeners.append(on_progress)
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiting -= 1
            if on_progress is not None:
                self._listeners.remove(on_progress)
            if not self._waiting:
                self.task.cancel()


class Tally:
    """Adds up the progress of several files.

    Args:
        tell: Called as `tell(sent, total)`, in bytes, of all files that are being uploaded.
        say: Called with a line when a file begins and when it is there.
    """

    def __init__(self, tell: OnProgress, say: Callable[[str], None]) -> None:
        self._tell = tell
        self._say = say
        self._files: dict[str, tuple[int, int]] = {}

    def of(self, parameter: str, name: str) -> OnProgress:
        """What to call for one of them."""

        def on_progress(sent: int, total: int) -> None:
            if parameter not in self._files:
                self._say(f"uploading {name} ({total:,} bytes)")
            self._files[parameter] = sent, total
            self._tell(*(sum(amounts) for amounts in zip(*self._files.values(), strict=True)))
            if sent == total:
                self._say(f"uploaded {name}")

        return on_progress


async def together(work: Mapping[str, Awaitable[str]]) -> dict[str, str]:
    """All of it at once, by name; the first that fails ends the rest."""
    tasks = {name: asyncio.ensure_future(part) for name, part in work.items()}
    try:
        await asyncio.gather(*tasks.values())
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    return {name: task.result() for name, task in tasks.items()}


def _data_uri(file: LocalFile) -> str:
    return f"data:{file.content_type};base64,{base64.b64encode(file.hashed().read()).decode('ascii')}"
