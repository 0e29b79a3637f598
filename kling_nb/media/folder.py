"""`MediaFolder`: finds earlier takes and files new ones."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterable, Callable, Collection, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from kling_nb.errors import MediaError
from kling_nb.media.begun import ENDING, Begun, Origin, take_up
from kling_nb.media.content import HEAD, FileType, checked_type, file_type
from kling_nb.media.incoming import Incoming, disk_faults, in_thread
from kling_nb.media.index import Index
from kling_nb.media.names import slug
from kling_nb.media.settling import earlier_take, settle
from kling_nb.media.sidecar import MAX_LINES, Sidecar, timestamp
from kling_nb.media.take import Take, TakeDraft
from kling_nb.video import Probe, probe
from kling_nb.video.placing import place, sync

_ABANDONED = re.compile(rf"\.kling-\d+-[0-9a-f]{{12}}\.part({re.escape(ENDING)})?")
_ABANDONED_AFTER = 2 * 86_400.0


class MediaFolder:
    """A folder of takes. It is made when the first one is stored.

    Threads: all methods may be called from any thread; several processes may share the folder.

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()
        self._index = Index(self.folder)
        self._swept = False

    # -- finding ----------------------------------------------------------------

    def find(self, fingerprint: str, *, take: int | None = None, backends: Collection[str]) -> Take | None:
        """The take that answers a request, or None.

        Args:
            fingerprint: Of the request.
            take: Its number; None gives the lowest.
            backends: Whose takes will do. A take of fal is preferred to a local preview.
        """

        def suits(sidecar: Sidecar) -> bool:
            return sidecar.backend in backends and take in {None, sidecar.take}

        return next(self._takes(fingerprint, suits), None)

    def takes(self, fingerprint: str) -> tuple[Take, ...]:
        """All takes of a request whose files are there and whole: fal's first, then by number."""
        return tuple(self._takes(fingerprint, lambda _: True))

    def filed(self, request_id: str, backend: str) -> Take | None:
        """The take that came of a certain request to fal or to the local engine, or None."""
        return earlier_take(self._index, request_id, backend)

    def filed_here(self) -> tuple[tuple[Path, Sidecar], ...]:
        """All files that sidecars speak of, as they are called now. Their content is not read."""
        found = (
            (self._index.media_of(note, sidecar, verify=False), sidecar)
            for note, sidecar in self._index.sidecars(lambda _: True)
        )
        return tuple((media, sidecar) for media, sidecar in found if media is not None)

    def latest(self) -> Take | None:
        """The take that was stored last, of those that are there and whole."""
        for note, sidecar in sorted(
            self._index.sidecars(lambda _: True),
            key=lambda pair: datetime.fromisoformat(pair[1].finished_at),
            reverse=True,
        ):
            if media := self._index.media_of(note, sidecar):
                return Take(media, sidecar)
        return None

    def _takes(self, fingerprint: str, suits: Callable[[Sidecar], bool]) -> Iterator[Take]:
        """Takes in order of preference; only files of those that suit are read."""
        same = self._index.sidecars(lambda known: known.fingerprint == fingerprint and suits(known))
        same.sort(key=lambda pair: (pair[1].backend != "fal", pair[1].take, pair[1].finished_at, pair[0]))
        seen: set[Path] = set()
        for note, sidecar in same:
            media = self._index.media_of(note, sidecar)
            if media and media not in seen:
                seen.add(media)
                yield Take(media, sidecar)

    # -- filing -----------------------------------------------------------------

    async def store(
        self,
        chunks: AsyncIterable[bytes],
        draft: TakeDraft,
        *,
        expected_size: int | None = None,
        on_progress: Callable[[int], None] | None = None,
        origin: Origin | None = None,
        begun: Begun | None = None,
    ) -> Take:
        """File a result: receive it, check it, name it, and write its sidecar.

        The take exists with its sidecar, on the disk, or not at all. Disk work is done in
        threads, so that one loop can serve many jobs.

        Args:
            chunks: The bytes.
            draft: What is known about them.
            expected_size: Bytes announced, where known.
            on_progress: Called with the bytes received so far, on the loop's thread.
            origin: What they are of; with it, another process can go on where this one was killed.
            begun: What `begun` gave; `chunks` are the rest.

        Returns:
            The new take, or the one that the same request has given already.

        Raises:
            MediaError: The bytes are not what was promised, or the disk refuses.
        """
        if not self._swept:
            self._swept = True
            await in_thread(self._sweep)
        incoming = Incoming(self.folder, origin, begun)
        return await incoming.receive(chunks, expected_size, on_progress, lambda: self._file(incoming, draft))

    async def begun(self, request_id: str, backend: str, url: str) -> Begun | None:
        """What a process that is no more fetched of a result, or None. The caller uses or discards it."""
        return await in_thread(lambda: take_up(self.folder, backend, request_id, url, head=HEAD))

    async def store_beside(
        self, take: Take, name: str, chunks: AsyncIterable[bytes], *, expected_size: int | None = None
    ) -> Path:
        """Keep a further file of a result under the take's name: `…-1.audio.wav` beside `…-1.mp4`.

        Raises:
            MediaError: The bytes are not what was promised, or the disk refuses.
        """
        incoming = Incoming(take.path.parent)
        return await incoming.receive(
            chunks, expected_size, None, lambda: _place_beside(incoming, take, name)
        )

    def _file(self, incoming: Incoming, draft: TakeDraft) -> Take:
        """Check what came and give it a name. Any thread."""
        name = _printable(draft.file_name)
        kind = checked_type(incoming.head, draft.kind, name)
        sidecar = _described(incoming, draft, kind, _measured(incoming, draft, name))
        with disk_faults(self.folder):
            take = settle(self._index, incoming.path, kind.extension, sidecar, draft)
            sync(self.folder)
        return take

    def _sweep(self) -> None:
        """Remove downloads that a killed process left here more than two days ago."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                if _ABANDONED.fullmatch(path.name) and path.stat().st_mtime < time.time() - _ABANDONED_AFTER:
                    path.unlink(missing_ok=True)


def _place_beside(incoming: Incoming, take: Take, name: str) -> Path:
    extension = file_type(incoming.head).extension
    target = take.path.with_name(f"{take.path.name.partition('.')[0]}.{slug(name)}{extension}")
    with disk_faults(target.parent), suppress(FileExistsError):  # another kernel was quicker
        place(incoming.path, target)
    return target


def _measured(incoming: Incoming, draft: TakeDraft, name: str) -> Probe | None:
    if draft.kind != "video":
        return None
    try:
        return probe(incoming.path)
    except MediaError as error:
        said = error.message.replace(incoming.path.name, name)
        raise MediaError(f"{said} It was not kept.", remedy=error.remedy) from error


def _described(incoming: Incoming, draft: TakeDraft, kind: FileType, measured: Probe | None) -> Sidecar:
    """The sidecar, still without its final number and file name."""
    return Sidecar(
        fingerprint=draft.fingerprint,
        take=draft.take or 1,
        endpoint=draft.endpoint,
        input=dict(draft.input),
        backend=draft.backend,
        request_id=draft.request_id or None,
        file="",
        kind=draft.kind,
        content_type=kind.content_type,
        sha256=incoming.sha256,
        size=incoming.size,
        url=draft.url or None,
        width=measured.width if measured else None,
        height=measured.height if measured else None,
        fps=measured.fps if measured else None,
        duration=measured.duration if measured else None,
        frame_count=measured.frame_count if measured else None,
        created_at=timestamp(draft.created_at),
        finished_at=timestamp(time.time()),
        billable_units=draft.units or None,
        lines=tuple(draft.lines[-MAX_LINES:]),
        estimate_usd=draft.estimate_usd,
    )


def _printable(file_name: str | None) -> str:
    """A server's name for the file, fit for a message."""
    shown = "".join(letter for letter in file_name or "" if letter.isprintable())[:60]
    return shown or "The result"
