"""`Uploads`: turn local files into URLs that fal can read, and upload the same bytes once a day.

A clip that `fit` has to convert is converted here, just before it is sent. So a plan costs no time, and a
clip whose URL is known is not converted again.
"""

from __future__ import annotations

import asyncio
import base64
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from kling_nb.errors import LedgerError, MediaError, MediaInputError
from kling_nb.fal.options import Lifecycle
from kling_nb.fal.storage import OnProgress, Storage
from kling_nb.ledger import Ledger, Upload
from kling_nb.request.limits import Place, breaches, measure_file
from kling_nb.request.local_file import ClipFit, LocalFile
from kling_nb.request.media_input import for_upload
from kling_nb.video.join import Bounds, Wish, join_clips

OnLine = Callable[[str], None]
"""Called with a line of text for the log of a job."""


class Uploads:
    """Uploads the same bytes once a day, for all kernels that share a ledger.

    A second call for a file that this process is uploading waits for that upload. If no file of the same size
    was uploaded lately, the file is sent first and hashed afterwards, to save time. If the ledger cannot be
    used, every file is uploaded. Background thread.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._running: dict[tuple[object, ...], _SharedUpload] = {}
        self._unread: dict[asyncio.Task[Any], tuple[int, int]] = {}

    async def url(
        self,
        storage: Storage,
        account: str | None,
        file: LocalFile,
        *,
        lifecycle: Lifecycle | None = None,
        inline_limit: int = 0,
        on_progress: OnProgress | None = None,
        on_line: OnLine = lambda _: None,
    ) -> str:
        """Return the URL of the file, or a data URI of up to `inline_limit` bytes, unless it is audio.

        `account` is the fingerprint of the key, `lifecycle` how long fal keeps the file. If nothing has to be
        sent, `on_progress` is not called. `on_line` gets a line when a clip is converted.

        Raises:
            KlingError: The upload or the conversion failed. Uploads are free.
        """
        # fal does not read data URIs of most audio types, e.g. audio/wav (FAL-PROTOCOL §16.6).
        if file.fit is None and file.size <= inline_limit and not file.content_type.startswith("audio/"):
            data = await asyncio.to_thread(lambda: base64.b64encode(file.with_hash().read()))
            return f"data:{file.content_type};base64,{data.decode('ascii')}"
        lifecycle = lifecycle or Lifecycle()
        upload = Upload(file.sha256, file.content_type, storage.host, account or "", lifecycle.seconds or 0)
        # A forked process must not wait for its parent's task.
        handle: tuple[object, ...] = (os.getpid(), upload, file.stamp)
        if file.sha256 or handle not in self._running:
            await self.finish(file.size)
        if not file.sha256 and handle not in self._running and await self._may_know(upload, file.size):
            file = await asyncio.to_thread(file.with_hash)
        if file.sha256:
            upload = replace(upload, sha256=file.sha256)
            handle = os.getpid(), upload
            known = None if handle in self._running else await self._find_url(upload)
            if known is not None:
                return known
        if handle not in self._running:
            shared = self._running[handle] = _SharedUpload()
            shared.task = asyncio.create_task(
                self._send(
                    storage, file, upload, lifecycle=lifecycle, on_progress=shared.report, on_line=on_line
                )
            )
            if not file.sha256:
                self._track(shared.task, file.size)
        shared = self._running[handle]
        try:
            return await shared.wait(on_progress)
        finally:
            if shared.over and self._running.get(handle) is shared:
                del self._running[handle]

    async def _send(
        self,
        storage: Storage,
        file: LocalFile,
        upload: Upload,
        *,
        lifecycle: Lifecycle,
        on_progress: OnProgress,
        on_line: OnLine,
    ) -> str:
        async with _ready_file(file, on_line) as ready:
            url = await storage.upload(ready, lifecycle=lifecycle, on_progress=on_progress)
        if file.sha256:
            await self._note(file, upload, url)
        else:
            self._track(asyncio.create_task(self._note(file, upload, url)), file.size)
        return url

    async def _note(self, file: LocalFile, upload: Upload, url: str) -> None:
        """Store the URL by the file's hash, unless the file has changed meanwhile."""
        with suppress(LedgerError, MediaInputError):
            read = await asyncio.to_thread(file.with_hash)
            known_by = replace(upload, sha256=read.sha256)
            await asyncio.to_thread(self._ledger.note_upload, known_by, url, file.size)

    def _track(self, task: asyncio.Task[Any], size: int) -> None:
        """Remember that `task` may make the URL of a file of this size known."""
        self._unread[task] = (os.getpid(), size)
        task.add_done_callback(lambda _: self._unread.pop(task, None))

    async def finish(self, size: int | None = None) -> None:
        """Wait until all running uploads of files of this size (None: of any size) are in the ledger."""
        while tasks := [
            task for task, (pid, own) in self._unread.items() if pid == os.getpid() and size in {None, own}
        ]:
            await asyncio.wait(tasks)

    async def _may_know(self, upload: Upload, size: int) -> bool:
        with suppress(LedgerError):
            return await asyncio.to_thread(self._ledger.may_have_upload, upload, size)
        return False

    async def _find_url(self, upload: Upload) -> str | None:
        with suppress(LedgerError):
            return await asyncio.to_thread(self._ledger.find_upload, upload)
        return None

    async def forget(self, url: str) -> None:
        """Upload the file again the next time, because fal could not fetch it from this URL."""
        with suppress(LedgerError):
            await asyncio.to_thread(self._ledger.forget_upload, url)


class _SharedUpload:
    """An upload with its callers. It is cancelled when the last caller stops waiting."""

    task: asyncio.Task[str]

    def __init__(self) -> None:
        self._waiting = 0
        self._listeners: list[OnProgress] = []

    def report(self, sent: int, total: int) -> None:
        for listener in self._listeners:
            listener(sent, total)

    @property
    def over(self) -> bool:
        return self.task.done() or not self._waiting

    async def wait(self, on_progress: OnProgress | None) -> str:
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
    """Adds up the progress of several files. `on_line` gets a line when an upload starts and when it ends."""

    def __init__(self, on_progress: OnProgress, on_line: OnLine) -> None:
        self._on_progress = on_progress
        self._on_line = on_line
        self._files: dict[str, tuple[int, int]] = {}

    def of(self, parameter: str, name: str) -> OnProgress:
        """Return the progress callback of one file."""

        def on_progress(sent: int, total: int) -> None:
            if parameter not in self._files:
                self._on_line(f"uploading {name} ({total:,} bytes)")
            self._files[parameter] = sent, total
            self._on_progress(*(sum(amounts) for amounts in zip(*self._files.values(), strict=True)))
            if sent == total:
                self._on_line(f"uploaded {name}")

        return on_progress


async def gather_by_name(work: Mapping[str, Awaitable[str]]) -> dict[str, str]:
    """Await all values at once and return the results by name. The first failure cancels the rest."""
    tasks = {name: asyncio.ensure_future(part) for name, part in work.items()}
    try:
        await asyncio.gather(*tasks.values())
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    return {name: task.result() for name, task in tasks.items()}


@asynccontextmanager
async def _ready_file(file: LocalFile, on_line: OnLine) -> AsyncIterator[LocalFile]:
    """Yield the file, or a converted one if `fit` requires it. That one is deleted after the block."""
    if file.fit is None:
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="kling_nb-fit-", ignore_cleanup_errors=True) as folder:
        on_line(f"converting {file.fit.source.name}")
        stop = threading.Event()
        work = asyncio.ensure_future(asyncio.to_thread(_convert, file, file.fit, Path(folder), stop))
        try:
            ready, changes = await asyncio.shield(work)
        finally:
            stop.set()
            await asyncio.gather(work, return_exceptions=True)  # The folder is in use until then.
        on_line(f"converted {file.fit.source.name}: {', '.join(changes) or 'its frames were copied'}")
        yield ready


def _convert(
    file: LocalFile, fit: ClipFit, folder: Path, stop: threading.Event
) -> tuple[LocalFile, list[str]]:
    """Return the converted file in `folder`, and what was changed, in words. Block."""

    def check(_done: float, _total: float) -> None:
        if stop.is_set():
            raise InterruptedError

    name, source, target = fit.source.name, fit.source.path, folder / "fitted.mp4"
    stamp = fit.source.verify()
    if source is None:
        source = folder / "source"
        source.write_bytes(fit.source.read())
    wish = Wish("letterbox" if fit.how == "pad" else fit.how, fit.size, fit.fps)
    try:
        bounds = Bounds(fit.seconds, fit.limits.get("max_file_size"))
        film = join_clips([source], target, wish, check, bounds=bounds)
    except MediaError as error:
        raise _conversion_error(name, error.message) from error
    except OSError as error:
        raise _conversion_error(name, f"{error.strerror or error}.") from error
    fit.source.verify(stamp)
    made = for_upload(target)
    assert isinstance(made, LocalFile)
    place = Place((), {"x-fal-media": "video", "x-fal": fit.limits}, "")
    broken = breaches(place, measure_file(made))
    if broken:
        raise _conversion_error(name, " and ".join(f"The result {breach.text}" for breach in broken) + ".")
    return replace(made, name=file.name), film.changes(0)


def _conversion_error(name: str, why: str) -> MediaInputError:
    return MediaInputError(
        f"{name} cannot be converted. {why}",
        remedy="Nothing was sent. Convert it with another program, and leave fit out.",
    )
