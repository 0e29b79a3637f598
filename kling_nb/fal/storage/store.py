"""`Storage`: takes files, in one piece or in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from kling_nb.fal.http import Http
from kling_nb.fal.storage.body import Body
from kling_nb.fal.storage.lifecycle import Lifecycle
from kling_nb.fal.storage.progress import OnProgress, Progress
from kling_nb.fal.storage.wire import Wire
from kling_nb.request import LocalFile

WHOLE_BYTES = 90 << 20
"""Size of the largest file that goes in one piece, as in fal's own client (FAL-PROTOCOL §9.3)."""

PART_BYTES = 10 << 20
PARTS_AT_ONCE = 4


class Storage:
    """fal's file storage for one set of hosts and one key. For use on one event loop only.

    Args:
        http: Connections and the key.
        whole_bytes: Size of the largest file that goes in one piece.
        part_bytes: Size of the parts of larger ones.
    """

    def __init__(self, http: Http, *, whole_bytes: int = WHOLE_BYTES, part_bytes: int = PART_BYTES) -> None:
        self._wire = Wire(http)
        self._whole_bytes = whole_bytes
        self._part_bytes = part_bytes

    @property
    def host(self) -> str:
        """Address of the host that is asked for places."""
        return self._wire.host

    async def upload(
        self, file: LocalFile, *, lifecycle: Lifecycle | None = None, on_progress: OnProgress | None = None
    ) -> str:
        """Store a file; returns its URL, for use as an input.

        Args:
            file: Read from disk while it is sent, never as a whole.
            lifecycle: How long it is kept; the account's setting where left out.
            on_progress: Called as `on_progress(sent, total)`, in bytes, about a hundred times; the
                first call is (0, total), the last (total, total). What a failed try sent is taken back.

        Raises:
            MediaInputError: The file is no longer what it was.
            ResponseError: Refused.
            UnreachableError: No answer after all tries.
        """
        stamp = await asyncio.to_thread(file.verify)
        progress = Progress(file.size, on_progress)
        progress.begin()
        in_parts = file.size > self._whole_bytes
        place = await self._wire.initiate(file, lifecycle or Lifecycle(), parts=in_parts)
        if in_parts:
            tags = await _Parts(self._wire, file, place.below, self._part_bytes, progress).send()
            await self._wire.complete(place.below("complete"), tags)
        else:
            await self._wire.put(
                place.upload_url, lambda: Body(file, 0, file.size, progress), file.content_type
            )
        if stamp is not None:
            await asyncio.to_thread(file.verify, stamp)
        progress.end()
        return place.file_url


class _Parts:
    """The parts of one file: a few are on their way at any time."""

    def __init__(
        self,
        wire: Wire,
        file: LocalFile,
        address: Callable[[str], str],
        part_bytes: int,
        progress: Progress,
    ) -> None:
        self._wire = wire
        self._file = file
        self._address = address
        self._part_bytes = part_bytes
        self._progress = progress
        self._tags: dict[int, str] = {}

    async def send(self) -> list[str]:
        """Send all; returns their tags, by number."""
        starts = enumerate(range(0, self._file.size, self._part_bytes), 1)
        workers = [asyncio.create_task(self._work(starts)) for _ in range(PARTS_AT_ONCE)]
        try:
            await asyncio.gather(*workers)
        finally:  # the first that fails ends the others
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return [tag for _, tag in sorted(self._tags.items())]

    async def _work(self, starts: Iterator[tuple[int, int]]) -> None:
        for number, start in starts:
            self._tags[number] = await self._wire.put_part(
                self._address(str(number)),
                lambda start=start: self._body(start),  # type: ignore[misc]
            )

    def _body(self, start: int) -> Body:
        return Body(self._file, start, min(self._part_bytes, self._file.size - start), self._progress)
