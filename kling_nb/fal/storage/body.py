"""A stretch of a file as the body of a request, read while it is sent."""

from __future__ import annotations

import asyncio
import threading
from io import BytesIO, FileIO

from kling_nb.fal.storage.progress import Progress
from kling_nb.request import LocalFile

BLOCK_BYTES = 1 << 20
"""Read at once. Each block costs a hop to the reading thread, and each part in flight a few blocks."""


class Body:
    """Bytes of a file as an asynchronous iterator. For one try; to be closed.

    Blocks are read in a thread: a file may lie on a slow disk or a network share.

    Args:
        file: The file.
        start: Of the stretch, in bytes.
        length: Of the stretch, in bytes.
        progress: Is told of every block.

    Raises:
        MediaInputError: While iterating: the file cannot be read any more, or has become shorter.
    """

    def __init__(self, file: LocalFile, start: int, length: int, progress: Progress) -> None:
        self.length = length
        self._file = file
        self._start = start
        self._sent = 0
        self._progress = progress
        self._open: BytesIO | FileIO | None = None
        self._closed = False
        self._lock = threading.Lock()  # a thread may still read when the request is cancelled

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
                return b""  # nobody waits for it
            self._open = self._open or self._file.open()
            try:
                self._open.seek(start)
                block = self._open.read(size)
            except OSError as error:
                raise self._file.changed(f"cannot be read any more ({error.strerror or error})") from error
        if not block:
            raise self._file.changed("has become shorter while it was uploaded")
        return block

    def take_back(self) -> None:
        """What was sent does not count."""
        self._progress.add(-self._sent)
        self._sent = 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            if self._open is not None:
                self._open.close()
