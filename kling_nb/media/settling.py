"""Which number and name a new take gets, also when several kernels want the same.

Creating a name exclusively settles every race: first the media file's, then the
sidecar's, whose creation makes the take. So the worst a crash can leave is a whole,
checked file without a sidecar, which the next filing of the same bytes takes up.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from kling_nb.errors import MediaError
from kling_nb.media.index import Index
from kling_nb.media.names import stems
from kling_nb.media.sidecar import Sidecar, read_sidecar
from kling_nb.media.take import Take, TakeDraft
from kling_nb.video.placing import place, write_whole

_MOST_TAKES = 10_000

Related = list[tuple[Path, Sidecar]]
"""Sidecars with their paths."""


def earlier_take(index: Index, request_id: str | None, backend: str) -> Take | None:
    """The take that this request has given already, whatever it is called now, or None."""
    if not request_id:
        return None
    wanted = (request_id, backend)
    return _first(index, index.sidecars(lambda known: (known.request_id, known.backend) == wanted))


def _first(index: Index, sidecars: Related) -> Take | None:
    """The first of them whose file is there and whole."""
    for note, sidecar in sidecars:
        media = index.media_of(note, sidecar)
        if media:
            return Take(media, sidecar)
    return None


def settle(index: Index, temporary: Path, extension: str, sidecar: Sidecar, draft: TakeDraft) -> Take:
    """Give the finished file `temporary` its place in the folder.

    Numbers count for each backend by itself: a preview called take 1 leaves take 1 of fal
    free, else `take=1` would be paid for again after a key was set.

    Args:
        index: Of the folder.
        temporary: The file, complete and on the disk.
        extension: Of the new file, with its dot.
        sidecar: What is known about it; number and file name are filled in here.
        draft: Its prompt names the file; its number is used where it is free.

    Raises:
        MediaError: No name is free.
        OSError: The disk refuses.
    """
    related = index.sidecars(
        lambda other: _same_request(other, sidecar) or other.fingerprint == sidecar.fingerprint
    )
    earlier = _first(index, [pair for pair in related if _same_request(pair[1], sidecar)])
    if earlier:
        return earlier
    used = _used(index, sidecar, related)  # what is filed meanwhile holds its name, and so its number
    number = draft.take or 1
    while number < _MOST_TAKES:
        if number in used:
            number += 1
            continue
        for stem in stems(draft.prompt, sidecar.fingerprint, number, sidecar.backend):
            note = index.folder / f"{stem}.json"
            named = replace(sidecar, take=number, file=f"{stem}{extension}")
            take = _claimed(index, note, temporary, named)
            if take:
                return take
            owner = read_sidecar(note)
            # Taken, and nobody says by whom: perhaps another kernel is filing this number now.
            if (owner is None and draft.take is None) or (owner and _in_use(index, note, owner, named)):
                break
        number += 1
    raise MediaError(f"No name is free for another take of {draft.prompt[:40]!r} in {index.folder}.")


def _used(index: Index, sidecar: Sidecar, related: Related) -> set[int]:
    """Numbers of the takes of this request that are there. A sidecar without its file frees its number."""
    return {
        other.take
        for note, other in related
        if (other.fingerprint, other.backend) == (sidecar.fingerprint, sidecar.backend)
        and not _same_request(other, sidecar)
        and index.media_of(note, other, verify=False)
    }


def _claimed(index: Index, note: Path, temporary: Path, sidecar: Sidecar) -> Take | None:
    """The take under this name, where the name could be had or already is this very request's."""
    media = note.with_name(sidecar.file)
    if note.exists():
        return _earlier(index, note, sidecar)
    try:
        place(temporary, media)
        index.remember(media, sidecar.sha256)
    except FileExistsError:
        if index.checksum(media) != sidecar.sha256:
            return None
    try:
        write_whole(note, lambda path: _write(path, sidecar.to_json()))
    except FileExistsError:
        return _earlier(index, note, sidecar)
    return Take(media, sidecar)


def _earlier(index: Index, note: Path, sidecar: Sidecar) -> Take | None:
    """The take at `note`, where the same request was filed there in the meantime."""
    owner = read_sidecar(note)
    if owner is None or not _same_request(owner, sidecar):
        return None
    media = index.media_of(note, owner)
    return Take(media, owner) if media else None


def _same_request(one: Sidecar, other: Sidecar) -> bool:
    return one.request_id is not None and (one.request_id, one.backend) == (other.request_id, other.backend)


def _in_use(index: Index, note: Path, owner: Sidecar, wanted: Sidecar) -> bool:
    """Whether `owner`, found at `note`, is a take that is there and has the wanted number."""
    same = (owner.fingerprint, owner.backend, owner.take) == (wanted.fingerprint, wanted.backend, wanted.take)
    return same and index.media_of(note, owner, verify=False) is not None


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
