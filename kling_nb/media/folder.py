"""`MediaFolder`: find takes and store new ones."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
import time
from collections.abc import AsyncIterable, Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

from kling_nb._files import copy_file, place, sync, temporary_path, write_synced
from kling_nb.errors import MediaError
from kling_nb.media.incoming import (
    CHECKPOINT_SUFFIX,
    Incoming,
    Origin,
    PartialDownload,
    disk_errors,
    find_partial,
    in_thread,
)
from kling_nb.media.index import Index, Note, size_of
from kling_nb.media.take import (
    MAX_LINES,
    Measures,
    Sidecar,
    Take,
    TakeDraft,
    is_rated,
    read_sidecar,
    stems,
)
from kling_nb.request.file_types import BYTES, GIF, JSON, M4A, MP4, NOUNS, TEXT, FileType, file_type
from kling_nb.request.request import prompt_of
from kling_nb.video import Probe, probe
from kling_nb.video.decisions import Choice, choose, timestamp

_ABANDONED = re.compile(rf"\.kling-\d+-[0-9a-f]{{12}}\.part({re.escape(CHECKPOINT_SUFFIX)})?")
_ABANDONED_SECONDS = 2 * 86_400.0
LEAST_FREE = 32 * 2**20
"""Bytes. With less room on its disk, a folder counts as full."""

SAMPLE_SECONDS = 1.0
"""How long a folder counts as one that can be written, after a file was written there as a sample."""


class MediaFolder:
    """A folder of takes. It is created when the first one is stored.

    Threads: any. Several processes may share the folder.

    Args:
        folder: The folder.
        index: Folder for the index of a media folder with many takes; None keeps the index in memory.
    """

    def __init__(self, folder: Path, index: Path | None = None) -> None:
        self.folder = Path(folder).absolute()
        self._index = Index(self.folder, index)
        self._is_tidy = False
        self._written_at = -math.inf

    def close(self) -> None:
        """Close the index. The next use opens it again."""
        self._index.close()

    def find(
        self,
        fingerprint: str,
        *,
        take: int | None = None,
        backends: Collection[str],
        recent: float = 0.0,
    ) -> Take | None:
        """Return a take of a request, or None.

        Args:
            fingerprint: Fingerprint of the request.
            take: Number of the take; None for the lowest.
            backends: Backends whose takes count. A take of fal is preferred to a local preview.
            recent: A look at the folder is enough if it is at most this many seconds old. What this process
                stored since then is found, too.
        """

        def search() -> Take | None:
            return next(self._takes(fingerprint, take=take, backends=backends, recent=recent), None)

        paid = "local" not in backends
        return search() or (search() if self._index.list_once(paid=paid) else None)

    def fingerprints(self) -> set[str]:
        """Return the fingerprints of all requests that may have a take, after a listing of the folder."""
        self._index.list_once()
        return self._index.fingerprints()

    def takes(self, fingerprint: str) -> tuple[Take, ...]:
        """Return all takes of a request whose file is complete: fal's first, then by number."""
        return tuple(self._takes(fingerprint))

    def takes_of_cell(self, cell: str, backend: str) -> list[Take]:
        """Return the takes that were made from a cell or chosen for it, in the order of their submission.

        A cell is named by the fingerprint of its request. Takes of this request by `backend` count too,
        because older ones do not name their cell.
        """
        with self.one_look():
            found = {take.path: take for take in self._takes(cell, backends=(backend,))}
            for note in self._index.of_cell(cell):
                take = _take(self._index, note)
                if take and (take.sidecar.made_from == cell or _choices(note, cell)):
                    found.setdefault(take.path, take)
        return sorted(found.values(), key=lambda take: (take.sidecar.created_at, take.sidecar.take))

    def find_chosen(self, cell: str, name: str, backends: Collection[str]) -> tuple[Take | None, Note | None]:
        """Return the take that was chosen last for a `%%kling NAME` cell and has its file.

        Returns:
            The take, or None; and the sidecar of a later choice whose file is missing, or None.
        """

        def search() -> tuple[Take | None, Note | None]:
            missing = None
            for _, note in sorted(self._chosen_notes(cell, name), key=lambda pair: pair[0], reverse=True):
                if note.backend in backends:
                    if take := _take(self._index, note):
                        return take, missing
                    missing = missing or note
            return None, missing

        found = search()
        return search() if found == (None, None) and self._index.list_once() else found

    def set_chosen(self, take: Take, cell: str, name: str) -> None:
        """Choose a take for a `%%kling NAME` cell, or raise a `MediaError`.

        First the new choice is stored, then it is taken back from other takes. If the process ends between
        the two, the newest choice counts. A preview takes nothing back from a take of fal, because it never
        answers for fal.
        """
        choose(take.sidecar_path, cell, name)
        replaced = ("fal", "local") if take.sidecar.backend == "fal" else ("local",)
        for _, note in self._chosen_notes(cell, name):
            if note.path != take.sidecar_path and note.backend in replaced:
                choose(note.path, cell, name, chosen=False)

    def _chosen_notes(self, cell: str, name: str) -> list[tuple[str, Note]]:
        """Return the sidecars that were chosen for a `%%kling NAME` cell, with the times of the choices."""
        notes = self._index.of_cell(cell)
        return [(one.at, note) for note in notes for one in _choices(note, cell) if one.name == name]

    def take_of_request(self, request_id: str | None, backend: str) -> Take | None:
        """Return the take of one request to fal or to the local preview server, or None.

        A request without an id has none.
        """

        def search() -> Take | None:
            return _take_of_id(self._index, request_id, backend)

        if not request_id:
            return None
        return search() or (search() if self._index.list_once() else None)

    def one_look(self) -> AbstractContextManager[None]:
        """Let all look-ups of this thread in a block share one look at the folder."""
        return self._index.one_look()

    def notes(self) -> list[Note]:
        """Return what the index knows about all sidecars, the newest first. Their files may be missing."""
        self._index.list_once()
        return self._index.newest()

    def file_of(self, note: Note) -> Path | None:
        """Return the file of a sidecar by its present name, or None. The content of the file is not read."""
        return self._index.file_of(note)

    def to_prune(
        self, *, before: float | None = None, endpoint: str | None = None, unrated: bool = False
    ) -> tuple[list[Take], list[Take]]:
        """Return the takes that meet the conditions: those to delete, and those to ask about first.

        Those to ask about are the only copies of takes of fal, which were paid for. A copy is another take of
        the same content that does not meet the conditions.

        Args:
            before: Unix seconds; only takes that were stored earlier.
            endpoint: fal's id of a model; only its takes.
            unrated: Only takes to which the user gave no rating, note, tag or choice.
        """
        chosen: dict[Path, Take] = {}
        others: dict[Path, Take] = {}
        with self.one_look():
            notes = self.notes()
            wanted = {
                note
                for note in notes
                if endpoint in {None, note.endpoint}
                and (before is None or note.finished < before)
                and not (unrated and is_rated(note.path))
            }
            sizes = {note.size for note in wanted}
            for note in notes:
                if note.size in sizes and (take := _take(self._index, note)):
                    (chosen if note in wanted else others)[take.path] = take
        for path in others:  # If a user copied a sidecar, all copies must meet the conditions.
            chosen.pop(path, None)
        copied = {take.sidecar.sha256 for take in others.values()}
        paid = [
            take
            for take in chosen.values()
            if take.sidecar.backend == "fal" and take.sidecar.sha256 not in copied
        ]
        return [take for take in chosen.values() if take not in paid], paid

    def select(
        self,
        *,
        rating: int | None = None,
        tags: Collection[str] = (),
        endpoint: str | None = None,
        chosen: bool | None = None,
    ) -> list[Take]:
        """Return the takes that meet the conditions, the newest first. The content of files is not read.

        Args:
            rating: Only takes with at least so many stars.
            tags: Only takes that have all these tags.
            endpoint: fal's id of a model; only its takes.
            chosen: Only takes that were chosen for a cell; False for those that were not.
        """
        found: dict[Path, Take] = {}
        with self.one_look():
            for note in self.notes():
                wanted = endpoint in {None, note.endpoint} and note.decisions.meets(rating, tags, chosen)
                sidecar = read_sidecar(note.path) if wanted else None
                path = self.file_of(note) if sidecar else None
                if sidecar and path:
                    found.setdefault(path, Take(path, sidecar, note.path))
        return list(found.values())

    def delete(self, take: Take) -> None:
        """Delete the files of a take, and last its sidecars, or raise a `MediaError`."""
        with disk_errors(self.folder), self.one_look():
            notes = [
                note
                for note in self._index.of_request(take.sidecar.fingerprint)
                if (found := _take(self._index, note)) and found.path == take.path
            ]
            for path in (*take.others().values(), take.path, *(note.path for note in notes)):
                path.unlink(missing_ok=True)

    def latest(self) -> Take | None:
        """Return the newest take whose file is complete, or None."""
        notes = (note for limit in (20, -1) for note in self._index.newest(limit))
        return next(filter(None, (_take(self._index, note) for note in notes)), None)

    def _takes(
        self,
        fingerprint: str,
        *,
        take: int | None = None,
        backends: Collection[str] = ("fal", "local"),
        recent: float = 0.0,
    ) -> Iterator[Take]:
        """Yield takes in order of preference. Only those that are wanted are read."""
        seen: set[Path] = set()
        for note in self._index.of_request(fingerprint, recent=recent):
            if note.backend in backends and take in {None, note.take}:
                found = _take(self._index, note)
                if found and found.sidecar.fingerprint == fingerprint and found.path not in seen:
                    seen.add(found.path)
                    yield found

    async def store(
        self,
        chunks: AsyncIterable[bytes],
        draft: TakeDraft,
        *,
        expected_size: int | None = None,
        on_progress: Callable[[int], None] | None = None,
        origin: Origin | None = None,
        partial: PartialDownload | None = None,
    ) -> Take:
        """Store a result: receive it, check it, name it, and write its sidecar.

        Both the file and its sidecar are on the disk on return, or neither. Disk work is done in threads,
        so that one loop can serve many jobs. `chunks` are the rest if there is a `partial_download`; with
        `origin`, another process can continue if this one is killed. `on_progress` gets the number of bytes
        received, on the loop's thread.

        Returns:
            The new take, or the take that the same request has already.

        Raises:
            MediaError: The bytes are not of the promised kind or size, or the disk refuses.
        """
        if not self._is_tidy:
            self._is_tidy = True
            await in_thread(self._remove_abandoned)
        incoming = Incoming(self.folder, origin, partial, step=self._index.own_change)
        return await incoming.receive(
            chunks, expected_size, on_progress, lambda: self._place(incoming, draft)
        )

    async def store_copy(self, source: Path, draft: TakeDraft) -> Take:
        """Store a result that is a file on this machine, as `store` does."""
        incoming = Incoming(self.folder, step=self._index.own_change)
        return await incoming.copy(source, lambda: self._place(incoming, draft))

    async def partial_download(self, request_id: str, backend: str, url: str) -> PartialDownload | None:
        """Return what an ended process downloaded of a result, or None. The caller uses or discards it."""
        return await in_thread(lambda: find_partial(self.folder, backend, request_id, url))

    async def store_other(
        self, take: Take, name: str, chunks: AsyncIterable[bytes], *, expected_size: int | None = None
    ) -> Path:
        """Store another file of a result under the take's name: `…-1.audio.wav` next to `…-1.mp4`.

        Raises:
            MediaError: The bytes are not of the promised size, or the disk refuses.
        """
        incoming = Incoming(take.path.parent)
        return await incoming.receive(chunks, expected_size, None, lambda: _place_other(incoming, take, name))

    def copy(self, take: Take, *, made_from: str | None = None) -> Take:
        """Copy a take of another folder with the other files of its result. Its ratings stay behind.

        `made_from` is the fingerprint of the request of the cell that wants the copy. If the disk refuses,
        raise a `MediaError`.
        """

        def copy_of(path: Path) -> Callable[[Path], str]:
            def write(target: Path) -> str:
                copy_file(path, target)
                return path.suffix

            return write

        others = {name: copy_of(path) for name, path in take.others().items()}
        return self.add(replace(take.sidecar, user={}, made_from=made_from), copy_of(take.path), others)

    def add(
        self,
        known: Sidecar,
        write: Callable[[Path], str],
        others: Mapping[str, Callable[[Path], str]],
    ) -> Take:
        """Add a take that was stored elsewhere, with the other files of its result.

        Args:
            known: Its sidecar. If its number is used here, the take gets another one.
            write: Writes the file at a path, syncs it, and returns its extension.
            others: The same for the other files, by name.

        Raises:
            MediaError: The disk refuses.
        """
        temporary = temporary_path(self.folder / "take")
        prompt = prompt_of(known.input, known.endpoint)
        with disk_errors(self.folder, unsent=True):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                suffix = write(temporary)
                new = place_take(self._index, temporary, suffix, known, prompt=prompt, wanted=known.take)
                for name, write_other in others.items():
                    temporary.unlink(missing_ok=True)
                    target = new.path_of_other(name, write_other(temporary))
                    with suppress(FileExistsError):
                        place(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
            sync(self.folder)
        return new

    def check_writable(self) -> None:
        """Raise a `MediaError` unless a new take can be stored: else a video would be paid for and lost."""
        existing = self.folder
        with disk_errors(self.folder, unsent=True):
            while not os.path.lexists(existing) and existing != existing.parent:
                existing = existing.parent  # a link to a missing disk exists, but is not a folder
            if not existing.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{existing} is not a folder")
            if not os.access(existing, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if existing == self.folder:  # a quota shows only when something is written
                now = time.monotonic()
                if now - self._written_at > SAMPLE_SECONDS:
                    self._write_sample()
                    self._written_at = now
            if shutil.disk_usage(existing).free < LEAST_FREE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _write_sample(self) -> None:
        sample = temporary_path(self.folder / "take")
        with self._index.own_change():
            try:
                sample.write_bytes(bytes(4096))
            finally:
                sample.unlink(missing_ok=True)

    def _place(self, incoming: Incoming, draft: TakeDraft) -> Take:
        """Check a received file and give it a name. Any thread."""
        # A server gave the name, and messages show it.
        name = "".join(char for char in draft.file_name or "" if char.isprintable())[:60] or "The result"
        found = check_type(incoming.head, draft.kind, name)
        sidecar = _sidecar(incoming, draft, found, _measures(incoming, draft, name))
        with disk_errors(self.folder):
            take = place_take(
                self._index, incoming.path, found.suffix, sidecar, prompt=draft.prompt, wanted=draft.take
            )
            sync(self.folder)
        return take

    def _remove_abandoned(self) -> None:
        """Delete downloads that killed processes left more than two days ago."""
        oldest = time.time() - _ABANDONED_SECONDS
        with suppress(OSError):
            for path in self.folder.iterdir():
                if _ABANDONED.fullmatch(path.name) and path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)


def check_type(head: bytes, kind: str, name: str) -> FileType:
    """Return the type of a result, found in its first bytes. Raise a `MediaError` if it is of another kind.

    `kind` is "video", "audio", "image", or "data" for anything. The error names the result `name`.
    """
    found = file_type(head)
    if kind in {"data", found.kind} or (kind == "video" and found == GIF):
        return found
    if kind == "audio" and found == MP4:  # An MP4 file can have audio only.
        return M4A
    promised = NOUNS.get(kind, kind)
    raise MediaError(
        f"{name} should be {promised}, but it is {_description(head, found)}. It was not stored.",
        remedy="%kling resume downloads the result again, at no charge.",
    )


def _description(head: bytes, found: FileType) -> str:
    if not head:
        return "empty"
    if found == BYTES:
        return "of no known type"
    return found.mime if found.kind != "data" or found in (JSON, TEXT) else found.noun


def _place_other(incoming: Incoming, take: Take, name: str) -> Path:
    target = take.path_of_other(name, file_type(incoming.head).suffix)
    with disk_errors(target.parent), suppress(FileExistsError):  # Another kernel has stored it already.
        place(incoming.path, target)
    return target


def _measures(incoming: Incoming, draft: TakeDraft, name: str) -> Probe | Measures | None:
    if draft.kind != "video":
        return None
    if draft.measures is not None and draft.measures.sha256 == incoming.sha256:
        return draft.measures
    try:
        return probe(incoming.path)
    except MediaError as error:
        message = error.message.replace(incoming.path.name, name)
        raise MediaError(f"{message} It was not stored.", remedy=error.remedy) from error


def _sidecar(
    incoming: Incoming, draft: TakeDraft, kind: FileType, measures: Probe | Measures | None
) -> Sidecar:
    """Return the sidecar, without the final number and file name."""
    return Sidecar(
        fingerprint=draft.fingerprint,
        take=draft.take or 1,
        endpoint=draft.endpoint,
        input=dict(draft.input),
        backend=draft.backend,
        request_id=draft.request_id or None,
        file="",
        kind=draft.kind,
        content_type=kind.mime,
        sha256=incoming.sha256,
        size=incoming.size,
        url=draft.url or None,
        width=measures.width if measures else None,
        height=measures.height if measures else None,
        fps=measures.fps if measures else None,
        duration=measures.duration if measures else None,
        frame_count=measures.frame_count if measures else None,
        created_at=timestamp(draft.created_at),
        finished_at=timestamp(time.time()),
        billable_units=draft.units or None,
        lines=tuple(draft.lines[-MAX_LINES:]),
        estimate_usd=draft.estimate_usd,
        made_from=draft.made_from,
    )


# -- The number and name of a new take, even if several kernels want the same ones.
#
# A name is created only if it is free: first the name of the media file, then that of the sidecar. The take
# exists once its sidecar does. So a crash leaves at worst a complete file without a sidecar, and this file is
# used if the same bytes are stored again.


_MOST_TAKES = 10_000

_RECENT = 10.0
"""Seconds. To place a take, a look may be this old, because newer takes are found by their names."""


def _take(index: Index, note: Note) -> Take | None:
    """Return the take of a sidecar as it is on the disk, or None if its file is not complete."""
    return _take_of(index, note.path, read_sidecar(note.path))


def _take_of(index: Index, note: Path, sidecar: Sidecar | None) -> Take | None:
    media = index.media_of(note, sidecar) if sidecar else None
    return Take(media, sidecar, note) if media and sidecar else None


def _choices(note: Note, cell: str) -> list[Choice]:
    return [choice for choice in note.decisions.choices if choice.cell == cell]


def _take_of_id(index: Index, request_id: str | None, backend: str, *, recent: float = 0.0) -> Take | None:
    """Return the take of one request to fal or to the local preview server, or None."""
    notes = index.of_request_id(request_id, recent=recent) if request_id else ()
    found = (_take(index, note) for note in notes if note.backend == backend)
    return next((take for take in found if take and take.sidecar.request_id == request_id), None)


def place_take(
    index: Index, temporary: Path, extension: str, sidecar: Sidecar, *, prompt: str, wanted: int | None
) -> Take:
    """Give the complete file `temporary` its name in the folder, and write its sidecar.

    Each backend has its own numbers. If a local preview used number 1, the first take of fal would get number
    2, and `take=1` would be submitted and paid for again.

    The prompt is for the file name. Number and file name are filled into the sidecar: the number is `wanted`
    if that is free; None is the next free one.

    Raises:
        MediaError: No name is free.
        OSError: The disk refuses.
    """
    earlier = _take_of_id(index, sidecar.request_id, sidecar.backend, recent=_RECENT)
    if earlier:
        return earlier
    used = _used_numbers(index, sidecar)  # Takes stored after this are found by their names.
    number = wanted or 1
    while number < _MOST_TAKES:
        if number in used:
            number += 1
            continue
        for stem in stems(prompt, sidecar.fingerprint, number, sidecar.backend):
            note = index.folder / f"{stem}.json"
            named = replace(sidecar, take=number, file=f"{stem}{extension}")
            take = _try_name(index, note, temporary, named)
            if take:
                return take
            owner = read_sidecar(note)
            # Without a readable sidecar, another kernel may be storing this number now.
            if (owner is None and wanted is None) or (owner and _is_used(index, note, owner, named)):
                break
        number += 1
    raise MediaError(
        f"No name is free for another take of {prompt[:40]!r} in {index.folder}. It was not stored.",
        remedy="Move takes to another folder. Then %kling resume downloads the result, at no charge.",
    )


def _used_numbers(index: Index, sidecar: Sidecar) -> set[int]:
    """Return the numbers of the request's other takes. A sidecar without its file does not count."""
    return {
        other.take
        for other in index.of_request(sidecar.fingerprint, recent=_RECENT)
        if other.backend == sidecar.backend
        and (other.request_id is None or other.request_id != sidecar.request_id)
        and index.file_of(other)
    }


def _try_name(index: Index, note: Path, temporary: Path, sidecar: Sidecar) -> Take | None:
    """Store the take under this name, or return the take that the same request has there.

    Returns:
        The take, or None if the name belongs to another one.
    """
    media = note.with_name(sidecar.file)
    if note.exists():
        return _take_at(index, note, sidecar)
    draft = temporary_path(note)
    try:
        write_synced(draft, sidecar.to_json(), index.own_change)
        with index.own_change():
            try:
                place(temporary, media)
                index.remember(media, sidecar.sha256)
            except FileExistsError:
                if index.checksum(media) != sidecar.sha256:
                    return None
            place(draft, note)
            index.add(note, sidecar)
    except FileExistsError:
        return _take_at(index, note, sidecar)
    finally:
        with index.own_change(), suppress(OSError):
            draft.unlink(missing_ok=True)
    return Take(media, sidecar, note)


def _take_at(index: Index, note: Path, sidecar: Sidecar) -> Take | None:
    """Return the take of the sidecar at `note` if it is of the same request."""
    owner = read_sidecar(note)
    if owner is None or owner.request_id is None:
        return None
    same = (owner.request_id, owner.backend) == (sidecar.request_id, sidecar.backend)
    return _take_of(index, note, owner) if same else None


def _is_used(index: Index, note: Path, owner: Sidecar, wanted: Sidecar) -> bool:
    """Return True if `owner`, the sidecar at `note`, has a file and the wanted number."""
    same = (owner.fingerprint, owner.backend, owner.take) == (wanted.fingerprint, wanted.backend, wanted.take)
    return same and (
        size_of(note.with_name(owner.file)) == owner.size or _take_of(index, note, owner) is not None
    )
