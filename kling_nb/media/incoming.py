"""A file on its way in: written under a hidden name, counted and hashed as it comes."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from kling_nb.errors import MediaError
from kling_nb.media.begun import CHECKPOINT_EVERY, Begun, Origin, forget, lock, note
from kling_nb.media.content import HEAD
from kling_nb.video.placing import temporary_beside

BATCH = 2**20
"""Bytes gathered before they go to the disk: one trip to a thread for each MiB, not for each packet."""

LARGEST = 8 * 2**30
"""Bytes. A server that sends without end must not fill the disk."""

T = TypeVar("T")


class Incoming:
    """One file being received.

    Threads: `receive` belongs to one event loop; it sends disk work to threads, one piece
    at a time.

    Args:
        folder: Where it is to be.
        origin: What is coming; with it, another process can go on where this one was killed.
        begun: The part that is there already.

    Attributes:
        path: The temporary file.
        head: Its first bytes.
        size: Bytes received.
    """

    def __init__(self, folder: Path, origin: Origin | None = None, begun: Begun | None = None) -> None:
        self.path = begun.path if begun else temporary_beside(folder / "take")
        self.head = begun.head if begun else b""
        self.size = begun.size if begun else 0
        self._hash = begun.hash if begun else hashlib.sha256()
        self._file: int | None = begun.descriptor if begun else None
        self._origin = origin
        self._written = self._noted = self.size

    @property
    def sha256(self) -> str:
        """Hexadecimal, of what has been written."""
        return self._hash.hexdigest()

    async def receive(
        self,
        chunks: AsyncIterable[bytes],
        expected_size: int | None,
        on_progress: Callable[[int], None] | None,
        keep: Callable[[], T],
    ) -> T:
        """Write all `chunks`, see them safe on the disk, and do with them what is to be done.

        Args:
            chunks: The bytes.
            expected_size: How many, where that is known.
            on_progress: Called with the bytes received so far.
            keep: Gives the whole file its place, in a thread. A small file takes one trip there in all.

        Returns:
            What `keep` gave. The temporary file is gone then, as it is after a fault.

        Raises:
            MediaError: More or fewer bytes than `expected_size`, none at all, or the disk refuses.
        """
        try:
            rest = await self._received(chunks, expected_size, on_progress)
            return await in_thread(self._kept, rest, keep)
        except BaseException:
            await in_thread(self.discard)
            raise

    async def _received(
        self,
        chunks: AsyncIterable[bytes],
        expected_size: int | None,
        on_progress: Callable[[int], None] | None,
    ) -> bytearray:
        """Write what comes; gives the last of it, which is still to be written."""
        behind = _Behind()
        gathered = bytearray()
        try:
            async for chunk in chunks:
                self.size += len(chunk)
                if self.size > (LARGEST if expected_size is None else expected_size):
                    raise _too_long(self.size, expected_size)
                gathered += chunk
                if on_progress:
                    on_progress(self.size)
                if len(gathered) >= BATCH:
                    await behind.start(self._write, gathered)
                    gathered = bytearray()
        except BaseException:
            with suppress(MediaError):  # the first fault is the one to tell
                await behind.end()
            raise
        await behind.end()
        if self.size == 0:
            raise MediaError("The result is empty: 0 bytes came.")
        if expected_size is not None and self.size < expected_size:
            raise MediaError(f"The download was cut short: {self.size:,} of {expected_size:,} bytes came.")
        return gathered

    def _kept(self, rest: bytearray, keep: Callable[[], T]) -> T:
        self._finish(rest)
        try:
            return keep()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the temporary file. A take keeps its bytes under its own name."""
        self._close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        if self._noted:
            forget(self.path)

    def _opened(self) -> int:
        with disk_faults(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
            made = os.open(self.path, flags, 0o666)
        if self._origin is not None and not lock(made):
            self._origin = None
        return made

    def _write(self, data: bytearray) -> None:
        if self._file is None:
            self._file = self._opened()
        self._hash.update(data)
        if len(self.head) < HEAD:
            self.head = (self.head + bytes(data[:HEAD]))[:HEAD]
        rest = memoryview(data)
        with disk_faults(self.path.parent):
            while rest:
                rest = rest[os.write(self._file, rest) :]
        self._written += len(data)
        if self._origin is not None and self._written - self._noted >= CHECKPOINT_EVERY:
            with disk_faults(self.path.parent):
                os.fsync(self._file)
            note(self.path, self._origin, self._written, self.sha256)
            self._noted = self._written

    def _finish(self, data: bytearray) -> None:
        self._write(data)
        assert self._file is not None
        with disk_faults(self.path.parent):
            os.fsync(self._file)
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            descriptor, self._file = self._file, None
            os.close(descriptor)


class _Behind:
    """Disk work that goes on while the next bytes come: one piece at a time, in order."""

    def __init__(self) -> None:
        self._piece: asyncio.Task[None] | None = None

    async def start(self, function: Callable[..., None], *arguments: object) -> None:
        """Begin a piece of work, once the one before it has ended."""
        await self.end()
        self._piece = asyncio.create_task(in_thread(function, *arguments))

    async def end(self) -> None:
        """Wait for the piece under way; raises what it raised."""
        piece, self._piece = self._piece, None
        if piece is not None:
            await piece


class disk_faults:  # noqa: N801 - reads as the statement it is: with disk_faults(folder)
    """Turns an OSError inside the block into a `MediaError` that names the cause.

    Args:
        folder: Where was being written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise disk_error(error, self._folder) from error


def disk_error(error: OSError, folder: Path) -> MediaError:
    """The error that says why nothing could be stored in `folder`."""
    keep = "The result is kept at fal for a while: %kling resume fetches it, at no charge."
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return MediaError(f"The disk is full: nothing more fits in {folder}.", remedy=f"Make room. {keep}")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return MediaError(
            f"{folder} cannot be written to: {error.strerror}.",
            remedy=f"Choose another folder (KLING_NB_MEDIA). {keep}",
        )
    return MediaError(f"The result cannot be stored in {folder}: {error.strerror or error}.", remedy=keep)


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Run disk work in a thread, and have it ended when this ends, also when it is cancelled.

    `asyncio.to_thread` alone would leave the thread writing to a file that is being removed.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # looked at, so that asyncio does not complain of it
        raise


def _too_long(size: int, expected: int | None) -> MediaError:
    if expected is None:
        return MediaError(f"The result is larger than {LARGEST:,} bytes. It was not kept.")
    return MediaError(f"More bytes came than were announced: {size:,} instead of {expected:,}.")
