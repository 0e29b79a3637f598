"""`Library`: takes of a studio in a store that many machines share.

    takes/<fingerprint>/<backend>-<take>.json    the sidecar, with the names of further files of the result
    takes/<fingerprint>/<backend>.json           names a take, if the first one is not take 1
    media/<sha256>.<extension>                   files
    intents/, clock/                             see `job/sharing.py` and `Store.now`

A file is written before its sidecar, and read files are checked against their SHA-256. So a take in the
library is complete, and what a killed process left unfinished is only written again. If two machines made
different takes with the same number, the name of the second one ends in a part of its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kling_nb._files import sync
from kling_nb.errors import LibraryError, MediaError
from kling_nb.library.store import ANSWER_SECONDS, Info, Store
from kling_nb.media import MediaFolder, Sidecar, Take
from kling_nb.media.folder import check_type
from kling_nb.media.take import LARGEST
from kling_nb.request.file_types import HEAD
from kling_nb.video.decisions import Decisions, is_decided, json_object, merge, merge_into

AT_ONCE = 8
"""Objects that a command reads or writes at once."""

_TAKE = re.compile(r"takes/[^/]+/(fal|local)-[1-9]\d*(-[0-9a-f]{8})?\.json")
_MEDIA = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,8}")

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Shared:
    """A take in the library.

    Attributes:
        key: The key of its sidecar.
        sidecar: The sidecar.
        others: The names of further files of the result in `media/`, by name.
    """

    key: str
    sidecar: Sidecar
    others: Mapping[str, str]

    @property
    def files(self) -> list[str]:
        """The keys of all its files, the main one first."""
        main = f"{self.sidecar.sha256}{Path(self.sidecar.file).suffix.lower()}"
        return [f"media/{name}" for name in (main, *self.others.values())]


@dataclass(frozen=True, slots=True)
class Status:
    """What a library has, next to a media folder.

    Attributes:
        takes: Number of takes in the library.
        size: Bytes of their files.
        unpushed: Takes of the folder that the library does not have.
        intents: Number of markers of submissions.
    """

    takes: int
    size: int
    unpushed: list[Take]
    intents: int


class Library:
    """The takes below one URL. Threads: any. See `Store`.

    Raises:
        LibraryError: By every method: no answer, a refusal, or a damaged take.
    """

    def __init__(self, url: str, answer: float = ANSWER_SECONDS) -> None:
        self.store = Store(url, answer)

    def find(self, fingerprint: str, take: int | None, backends: Collection[str]) -> Shared | None:
        """Return take number `take` of a request (None: any take), or None. The library is not listed.

        Only takes of `backends` count; the preferred one comes first.
        """
        folder = f"takes/{fingerprint}"
        names = [f"{one}-{take or 1}" for one in backends] + [one for one in backends if take is None]
        found = self.store.read(*(f"{folder}/{name}.json" for name in names))
        by_name = dict(zip(names, found, strict=True))
        for backend in backends:
            name, content = f"{backend}-{take or 1}", by_name[f"{backend}-{take or 1}"]
            pointer = by_name.get(backend)
            if content is None and pointer is not None:
                name = str(pointer.get("take"))
                wanted = _TAKE.fullmatch(f"{folder}/{name}.json")
                content = self.store.read(wanted[0])[0] if wanted else None
            shared = _shared(f"{folder}/{name}.json", content)
            if shared and (shared.sidecar.fingerprint, shared.sidecar.backend) == (fingerprint, backend):
                return shared
        return None

    def fetch(self, shared: Shared, media: MediaFolder) -> Take:
        """Store a take of the library in a media folder, with its ratings. Its files are checked.

        Raises:
            LibraryError: A file is missing or damaged.
            MediaError: The disk refuses.
        """

        def fetch_file(key: str, kind: str) -> Callable[[Path], str]:
            def write(path: Path) -> str:
                try:
                    self.store.download(key, path)
                    digest, head = _hash(path)
                except FileNotFoundError:
                    raise self._damaged(shared, f"{key} is missing") from None
                if digest != Path(key).stem:
                    raise self._damaged(shared, f"{key} has another SHA-256")
                try:
                    found = check_type(head, kind, key)
                except MediaError as error:
                    raise self._damaged(shared, error.message) from None
                sync(path)
                return found.suffix if found.suffix != ".bin" else Path(key).suffix

            return write

        main, *rest = shared.files
        others = dict(zip(shared.others, (fetch_file(key, "data") for key in rest), strict=True))
        return media.add(shared.sidecar, fetch_file(main, shared.sidecar.kind), others)

    def _damaged(self, shared: Shared, reason: str) -> LibraryError:
        return LibraryError(
            f"{shared.key} in the library {self.store.name} is damaged: {reason}. Nothing was sent.",
            remedy="kling-nb library push, where that take was made, repairs a missing or cut file.\n"
            "Or delete that object, or buy another take: --new (API: new=True).",
        )

    def push(self, take: Take) -> None:
        """Store a take, or add the ratings of this copy to those in the library.

        Files that are there already are not sent again.

        Raises:
            MediaError: The sidecar or the file cannot be read, or the file was changed.
        """
        known = take.sidecar
        try:
            content = _read_json(take.sidecar_path)
            others = {name: self._push_file(path) for name, path in take.others().items()}
            self._push_file(take.path, known.sha256, Path(known.file).suffix)
        except (OSError, ValueError) as error:
            raise MediaError(f"{take.path} cannot be read: {error}.") from error
        if others:
            content["others"] = others
        folder, first = f"takes/{known.fingerprint}", f"{known.backend}-{known.take}"
        for name in (first, f"{first}-{known.sha256[:8]}"):
            key = f"{folder}/{name}.json"
            if self.store.create(key, json_object(content)):
                if known.take != 1 or name != first:
                    self.store.create(f"{folder}/{known.backend}.json", json_object({"take": name}))
                return
            old = self.store.read(key)[0]
            shared = _shared(key, old)
            if old is None or shared is None:  # it cannot be read, so no reader can use it
                self.store.write(key, json_object(content))
                return
            if shared.sidecar.sha256 == known.sha256:
                merged = merge(old.get("user"), content.get("user"))
                if merged != old.get("user", {}):
                    self.store.write(key, json_object({**old, "user": merged}))
                return
        raise LibraryError(f"{folder} in the library {self.store.name} has another take with this name.")

    def _push_file(self, path: Path, sha256: str | None = None, suffix: str | None = None) -> str:
        """Store a file, unless it is there, and return its name."""
        digest = _hash(path)[0]
        if sha256 is not None and digest != sha256:
            raise ValueError("it was changed since it was stored")
        name = f"{digest}{(suffix or path.suffix).lower()}"
        size = path.stat().st_size
        for _ in range(2):
            found = self.store.info(f"media/{name}")
            if found is not None and found.size == size:
                return name
            self.store.upload(f"media/{name}", path)
        raise LibraryError(f"The library {self.store.name} has not stored all bytes of media/{name}.")

    # -- the whole library

    def page(self, first: int, count: int) -> tuple[list[Shared], int]:
        """Return readable takes from number `first` on, the newest first, and the number of all."""
        takes = self._takes()
        newest = sorted(takes, key=lambda key: takes[key].modified, reverse=True)
        return _at_once(self.read, newest[first : first + count])[0], len(takes)

    def status(self, media: MediaFolder) -> Status:
        """Return what the library has, and what of a media folder it lacks."""
        takes, files = self._takes(), self.store.names("media")
        missing = [take for take in media.select() if not _is_pushed(take, takes, files)]
        size = sum(info.size for info in files.values())
        return Status(len(takes), size, missing, len(self.store.names("intents")))

    def push_all(self, media: MediaFolder) -> tuple[list[Take], list[str]]:
        """Store all takes of a folder that the library lacks, and the ratings of all.

        Returns:
            The takes that were new, and what failed.
        """
        takes, files = self._takes(), self.store.names("media")
        new = [take for take in media.select() if not _is_pushed(take, takes, files)]
        rated = [take for take in media.select() if take.sidecar.user and take not in new]
        _, faults = _at_once(self.push, [*new, *rated])
        failed = {id(take) for take, _ in faults}
        return [take for take in new if id(take) not in failed], [str(fault) for _, fault in faults]

    def pull(self, media: MediaFolder, rating: int | None = None) -> tuple[list[Take], list[str]]:
        """Store all takes of the library in a folder, and merge the ratings of those that are there.

        With `rating`, only takes with at least so many stars are stored.

        Returns:
            The takes that were new, and what failed.
        """
        local = {_identity(take.sidecar): take for take in media.select()}

        def pull(key: str) -> Take | None:
            shared = self.read(key)
            here = local.get(_identity(shared.sidecar))
            if here is not None:
                merge_into(here.sidecar_path, shared.sidecar.user)
                return None
            if not Decisions.of(shared.sidecar.user).meets(rating, (), None):
                return None
            return self.fetch(shared, media)

        pulled, faults = _at_once(pull, self._takes())
        return [take for take in pulled if take is not None], [str(fault) for _, fault in faults]

    def gc(self, media: MediaFolder, days: float, *, delete: bool) -> tuple[list[Shared], int]:
        """Delete old takes without a rating, note, tag or choice; and old files and markers of nothing.

        Takes in media folders stay. A take whose copy in `media` has a decision stays, too. So does what was
        stored in the last `days`, by the store's clock. Without `delete`, this only looks.

        Returns:
            The takes, and the bytes of the files.

        Raises:
            LibraryError: A take cannot be read, so what it needs is not known. Nothing was deleted.
        """
        before = self.store.now() - 86_400 * days
        stored, files = self._takes(), self.store.names("media")
        found, faults = _at_once(self.read, stored)
        if faults:
            raise LibraryError(f"{faults[0][1]} Nothing was deleted.")
        decided = {_identity(take.sidecar) for take in media.select() if is_decided(take.sidecar.user)}
        old = [
            shared
            for shared in found
            if stored[shared.key].modified < before
            and not is_decided(shared.sidecar.user)
            and _identity(shared.sidecar) not in decided
        ]
        if delete:  # someone may have rated one meanwhile
            old = [shared for shared in old if not is_decided(self.read(shared.key).sidecar.user)]
        keys = {shared.key for shared in old}
        needed = {file for shared in found if shared.key not in keys for file in shared.files}
        unneeded = [key for key, info in files.items() if info.modified < before and key not in needed]
        if delete:
            for shared in old:
                self._delete_take(shared, [one.key for one in found if one.key not in keys])
            markers = self.store.names("intents")
            for place in {key.rpartition("/")[0] for key in markers}:
                together = [key for key in markers if key.rpartition("/")[0] == place]
                if max(markers[key].modified for key in together) < before:
                    unneeded += together
            _at_once(self.store.delete, unneeded)
        return old, sum(files[key].size for key in unneeded if key in files)

    def _delete_take(self, shared: Shared, others: Iterable[str]) -> None:
        """Delete the sidecar of a take. If it was the one found for any take, name another one."""
        folder, _, name = shared.key.rpartition("/")
        self.store.delete(shared.key)
        pointer = f"{folder}/{shared.sidecar.backend}.json"
        if (self.store.read(pointer)[0] or {}).get("take") == name.removesuffix(".json"):
            self.store.delete(pointer)
            for key in others:
                if key.startswith(f"{folder}/{shared.sidecar.backend}-"):
                    take = key.rpartition("/")[2].removesuffix(".json")
                    self.store.create(pointer, json_object({"take": take}))

    def read(self, key: str) -> Shared:
        """Return the take with this key."""
        shared = _shared(key, self.store.read(key)[0]) if _TAKE.fullmatch(key) else None
        if shared is None:
            raise LibraryError(f"{key} in the library {self.store.name} cannot be read.")
        return shared

    def _takes(self) -> dict[str, Info]:
        return {key: info for key, info in self.store.names("takes").items() if _TAKE.fullmatch(key)}


def _shared(key: str, content: Mapping[str, Any] | None) -> Shared | None:
    """Return the take in an object of the library, or None if it is none that can be read."""
    if content is None:
        return None
    with suppress(MediaError, TypeError, ValueError, AttributeError):
        others = dict(content.get("others") or {})
        if all(isinstance(name, str) and _MEDIA.fullmatch(str(file)) for name, file in others.items()):
            return Shared(key, Sidecar.from_json(json_object(content)), others)
    return None


def _identity(sidecar: Sidecar) -> tuple[str, str]:
    return sidecar.fingerprint, sidecar.sha256


def _is_pushed(take: Take, takes: Collection[str], files: Mapping[str, Info]) -> bool:
    known = take.sidecar
    name = f"takes/{known.fingerprint}/{known.backend}-{known.take}"
    file = files.get(f"media/{known.sha256}{Path(known.file).suffix.lower()}")
    here = f"{name}.json" in takes or f"{name}-{known.sha256[:8]}.json" in takes
    return here and file is not None and file.size == known.size


def _at_once(work: Callable[[T], R], items: Iterable[T]) -> tuple[list[R], list[tuple[T, Exception]]]:
    """Do work for all items, several at once. Return the results, and the items that failed."""
    results: list[R] = []
    faults: list[tuple[T, Exception]] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for item, future in [(item, pool.submit(work, item)) for item in items]:
            try:
                results.append(future.result())
            except (LibraryError, MediaError) as fault:
                faults.append((item, fault))
    return results, faults


def _read_json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST:
        raise ValueError("the sidecar is too large")
    Sidecar.from_json(data := path.read_bytes())
    found: dict[str, Any] = json.loads(data.decode("utf-8-sig"))
    return found


def _hash(path: Path) -> tuple[str, bytes]:
    """Return the SHA-256 of a file, and its first bytes."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest(), head
