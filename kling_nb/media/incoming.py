"""Receive a file under a hidden name, and continue downloads that a killed process left unfinished.

`job/store.py` decides what is received; `media/folder.py` gives it its name as a take.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from kling_nb._files import Step, temporary_path, write_file
from kling_nb.errors import MediaError
from kling_nb.request.file_types import HEAD

BATCH = 2**20
"""Bytes that are written at once, so that a thread is needed for each MiB and not for each packet."""

LARGEST = 8 * 2**30
"""Bytes. A server that sends without end must not fill the disk."""

T = TypeVar("T")


class Incoming:
    """One file that is being received.

    Threads: `receive` belongs to one event loop. Disk work is done in threads, one piece at a time.

    Args:
        origin: Source of the bytes. With it, another process can continue if this one is killed.
        partial: The part that was downloaded before.
        step: Surrounds each change of the folder.

    Attributes:
        path: The temporary file.
        head: Its first bytes.
        size: Number of bytes received.
    """

    def __init__(
        self,
        folder: Path,
        origin: Origin | None = None,
        partial: PartialDownload | None = None,
        *,
        step: Step = nullcontext,
    ) -> None:
        self.path = partial.path if partial else temporary_path(folder / "take")
        self.head = partial.head if partial else b""
        self.size = partial.size if partial else 0
        self._hash = partial.hash if partial else hashlib.sha256()
        self._file: int | None = partial.descriptor if partial else None
        self._origin = origin
        self._step = step
        self._written = self._checkpoint_size = self.size

    @property
    def sha256(self) -> str:
        """SHA-256 of the written bytes, in hexadecimal."""
        return self._hash.hexdigest()

    async def receive(
        self,
        chunks: AsyncIterable[bytes],
        expected_size: int | None,
        on_progress: Callable[[int], None] | None,
        keep: Callable[[], T],
    ) -> T:
        """Write all `chunks` to the disk, then call `keep`, which gives the complete file its final name.

        It is called in a thread, for a small file the same one that writes it. `on_progress` gets the number
        of bytes received.

        Returns:
            What `keep` returned. The temporary file is deleted then, as after an error.

        Raises:
            MediaError: More or fewer bytes than `expected_size` came, or none, or the disk refuses.
        """
        try:
            rest = await self._receive(chunks, expected_size, on_progress)
            return await in_thread(self._finish, rest, keep)
        except BaseException:
            await in_thread(self.discard)
            raise

    async def copy(self, source: Path, keep: Callable[[], T]) -> T:
        """Copy a file to the disk, then call `keep`, both in one thread. See `receive`."""

        def copy() -> T:
            with disk_errors(self.path.parent), source.open("rb") as file:
                while piece := file.read(BATCH):
                    self.size += len(piece)
                    self._write(piece)
            return self._finish(b"", keep)

        try:
            return await in_thread(copy)
        except BaseException:
            await in_thread(self.discard)
            raise

    async def _receive(
        self,
        chunks: AsyncIterable[bytes],
        expected_size: int | None,
        on_progress: Callable[[int], None] | None,
    ) -> bytearray:
        """Write the chunks. Return the last bytes, which are not written yet."""
        writing: asyncio.Task[None] | None = None
        batch = bytearray()
        try:
            async for chunk in chunks:
                self.size += len(chunk)
                if self.size > (LARGEST if expected_size is None else expected_size):
                    raise _too_long(self.size, expected_size)
                batch += chunk
                if on_progress:
                    on_progress(self.size)
                if len(batch) >= BATCH:  # The disk works while the next bytes arrive.
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(in_thread(self._write, batch))
                    batch = bytearray()
        except BaseException:
            if writing is not None:
                with suppress(MediaError):  # The first error is the one to raise.
                    await writing
            raise
        if writing is not None:
            await writing
        if self.size == 0:
            raise MediaError("The result is empty: 0 bytes were received.")
        if expected_size is not None and self.size < expected_size:
            raise MediaError(
                f"The download was cut short: {self.size:,} of {expected_size:,} bytes were received."
            )
        return batch

    def _finish(self, rest: bytes | bytearray, keep: Callable[[], T]) -> T:
        self._write(rest)
        assert self._file is not None
        with disk_errors(self.path.parent):
            os.fsync(self._file)
            self._close()
        try:
            return keep()
        finally:
            self.discard()

    def discard(self) -> None:
        """Delete the temporary file. A take has its bytes under another name."""
        self._close()
        with self._step(), suppress(OSError):
            self.path.unlink(missing_ok=True)
        if self._checkpoint_size:
            remove_checkpoint(self.path)

    def _open(self) -> int:
        with disk_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
            with self._step():
                descriptor = os.open(self.path, flags, 0o666)
        if self._origin is not None and not lock(descriptor):
            self._origin = None
        return descriptor

    def _write(self, data: bytes | bytearray) -> None:
        if self._file is None:
            self._file = self._open()
        self._hash.update(data)
        if len(self.head) < HEAD:
            self.head = (self.head + bytes(data[:HEAD]))[:HEAD]
        rest = memoryview(data)
        with disk_errors(self.path.parent):
            while rest:
                rest = rest[os.write(self._file, rest) :]
        self._written += len(data)
        if self._origin is not None and self._written - self._checkpoint_size >= CHECKPOINT_EVERY:
            with disk_errors(self.path.parent):
                os.fsync(self._file)
            write_checkpoint(self.path, self._origin, self._written, self.sha256)
            self._checkpoint_size = self._written

    def _close(self) -> None:
        if self._file is not None:
            descriptor, self._file = self._file, None
            os.close(descriptor)


@contextmanager
def disk_errors(folder: Path, *, unsent: bool = False) -> Iterator[None]:
    """Raise an OSError of the block as a `MediaError` that names the folder and the cause.

    With `unsent`, nothing was sent, so that there is no result at fal.
    """
    try:
        yield
    except OSError as error:
        remedy = (
            "fal keeps the file for days, or as your account or lifecycle says: %kling resume downloads it,\n"
            "at no charge."
        )
        if unsent:
            remedy = "Nothing was sent."
        text = f"The result cannot be stored in {folder}: {error.strerror or error}."
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            text, remedy = f"The disk is full: nothing more fits in {folder}.", f"Make room. {remedy}"
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            text = f"{folder} cannot be written to: {error.strerror}."
            remedy = f"Choose another folder (KLING_NB_MEDIA). {remedy}"
        raise MediaError(text, remedy=remedy) from error


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Run disk work in a thread, and wait for it even if this is cancelled.

    With `asyncio.to_thread` alone, the thread would still write to a file that is being deleted.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # It is read, because asyncio would log an exception that is not.
        raise


def _too_long(size: int, expected: int | None) -> MediaError:
    if expected is None:
        return MediaError(f"The result is larger than {LARGEST:,} bytes. It was not stored.")
    return MediaError(f"More bytes were received than announced: {size:,} instead of {expected:,}.")


# -- Unfinished downloads of killed processes, so that only the rest has to be downloaded.
#
# During a download, a checkpoint next to the temporary file records its source, and the size and SHA-256 of
# the bytes that are on the disk after an fsync. The process has a lock on the file. The lock ends with the
# process, and the next process that gets it may continue. Without such locks (Windows) downloads start again.


CHECKPOINT_EVERY = 4 * 2**20
"""Bytes. An fsync for each costs less than to download them again."""

CHECKPOINT_SUFFIX = ".at"


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a download: a version of a file, for a request."""

    backend: str
    request_id: str
    url: str
    etag: str
    length: int


@dataclass(slots=True)
class PartialDownload:
    """The checked first part of a file. Its owner has the lock on the temporary file.

    Attributes:
        path: The temporary file, of exactly `size` bytes.
        descriptor: The file, open for writing at its end, and locked.
        size: Number of bytes.
        hash: SHA-256 object of these bytes.
        head: The first bytes.
        origin: Source of the bytes.
    """

    path: Path
    descriptor: int
    size: int
    hash: Any
    head: bytes
    origin: Origin

    def discard(self) -> None:
        """Close and delete the file."""
        with suppress(OSError):
            os.close(self.descriptor)
        self.path.unlink(missing_ok=True)


def lock(descriptor: int) -> bool:
    """Lock a file for this process. Return False if another process has the lock, or on Windows."""
    try:
        import fcntl  # noqa: PLC0415 -- Windows does not have it
    except ImportError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_checkpoint(path: Path, origin: Origin, size: int, sha256: str) -> None:
    """Record that the first `size` bytes of the temporary file are on the disk. Errors are ignored."""
    content = json.dumps({**asdict(origin), "size": size, "sha256": sha256}).encode()
    with suppress(OSError):
        # A function as content is not synced. If the checkpoint is lost, the download only starts again.
        write_file(_checkpoint(path), lambda temporary: temporary.write_bytes(content), overwrite=True)


def remove_checkpoint(path: Path) -> None:
    """Delete the checkpoint of a temporary file."""
    with suppress(OSError):
        _checkpoint(path).unlink(missing_ok=True)


def find_partial(folder: Path, backend: str, request_id: str, url: str) -> PartialDownload | None:
    """Return the part of a file that an ended process downloaded, or None."""
    for path, origin, size, sha256 in _checkpoints(folder):
        if (origin.backend, origin.request_id, origin.url) == (backend, request_id, url):
            partial = _claim(path, origin, size, sha256)
            if partial is not None:
                return partial
    return None


def _checkpoints(folder: Path) -> Iterator[tuple[Path, Origin, int, str]]:
    """Yield temporary files, with their origin, size and SHA-256 by their checkpoints."""
    with suppress(OSError):
        for path in sorted(folder.glob(f".kling-*.part{CHECKPOINT_SUFFIX}")):
            with suppress(OSError, ValueError, TypeError, KeyError):
                content = json.loads(path.read_bytes())
                size, sha256 = int(content.pop("size")), str(content.pop("sha256"))
                yield (
                    path.with_name(path.name.removesuffix(CHECKPOINT_SUFFIX)),
                    Origin(**content),
                    size,
                    sha256,
                )


def _claim(path: Path, origin: Origin, size: int, sha256: str) -> PartialDownload | None:
    """Make the file this process's. Return None if another one uses it, or its checkpoint is wrong."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    claimed = temporary_path(path)
    try:
        if not lock(descriptor) or os.fstat(descriptor).st_ino != path.stat().st_ino:
            raise OSError("another process uses it")
        checksum = hashlib.sha256()
        head = b""
        while left := size - os.lseek(descriptor, 0, os.SEEK_CUR):
            data = os.read(descriptor, min(left, 2**20))
            if not data:
                raise OSError("it is shorter than its checkpoint records")
            head = head or data[:HEAD]
            checksum.update(data)
        if checksum.hexdigest() != sha256 or not 0 < size < origin.length:
            raise OSError("it is not what its checkpoint records")
        os.ftruncate(descriptor, size)
        path.replace(claimed)
        remove_checkpoint(path)
    except OSError:
        os.close(descriptor)
        return None
    return PartialDownload(claimed, descriptor, size, checksum, head, origin)


def _checkpoint(path: Path) -> Path:
    return path.with_name(path.name + CHECKPOINT_SUFFIX)
