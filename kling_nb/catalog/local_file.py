"""A file of this machine, or bytes from memory, that goes along with a request."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import dataclass, field, replace
from io import BufferedReader, BytesIO, FileIO
from itertools import islice
from pathlib import Path

from kling_nb.catalog.media_slot import MediaSlot
from kling_nb.catalog.media_type import HEAD
from kling_nb.catalog.problem import Unfit
from kling_nb.catalog.wording import listing, nearest, quote
from kling_nb.errors import MediaInputError

_NEIGHBOURS = 2_000  # names read from a folder to find what a mistyped one meant
_SETTLED_SECONDS = 2.0

Stamp = tuple[int, int, int, int, int]
"""Device, number, size and both times of a file: the same as long as nobody writes to it."""


@dataclass(frozen=True)
class LocalFile:
    """A file that is uploaded before the request is sent.

    Attributes:
        path: Absolute path, or None for bytes.
        data: The bytes, or None for a path.
        name: File name, as an upload declares it.
        content_type: MIME type, told from the content.
        size: Bytes.
        sha256: Hex digest of the content when the request was made. Of a picture from memory it
            is one of its pixels (see `pixels`). Empty where it was not read yet (see `hashed`).
        stamp: Of the file when it was read, where that tells later whether it was written to.
    """

    path: Path | None
    data: bytes | None = field(repr=False)
    name: str
    content_type: str
    size: int
    sha256: str
    stamp: Stamp | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_bytes(cls, data: bytes, slot: MediaSlot, *, subject: str = "", name: str = "") -> LocalFile:
        """Bytes for a slot.

        Args:
            data: The content.
            slot: Where it is to go.
            subject: What was given, in words.
            name: File name; made from the slot's where left out.

        Raises:
            Unfit: There are none, or they do not fit.
        """
        if not data:
            raise slot.unfit(f"{slot.name} has no bytes in it")
        subject = subject or f"what was given ({len(data):,} bytes)"
        found = slot.recognise(data[:HEAD], subject, name)
        slot.check_size(len(data), subject)
        digest = hashlib.sha256(data).hexdigest()
        return cls(None, data, name or slot.name + found.suffix, found.mime, len(data), digest)

    @classmethod
    def from_path(cls, text: str, slot: MediaSlot) -> LocalFile:
        """The file of a path, absolute or from the working folder; `~` is the home folder.

        Where the slot lets it be read later, and its stamp will tell whether it was written to
        meanwhile, it has no hash yet.

        Raises:
            Unfit: It is missing, unreadable, empty, not a file, or does not fit.
        """
        path = Path(text)
        try:
            # absolute() keeps links as they are: the name of the link is the one the user knows.
            path = path.expanduser().absolute()
            _refuse_special(path.stat().st_mode, text, slot)
            with path.open("rb") as file:
                return cls._from_open(file, path, text, slot)
        except (FileNotFoundError, NotADirectoryError):
            raise _missing(text, path, slot) from None
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: "~name" with no such user
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise slot.unfit(
                f"{slot.name}: {_shown(text)} cannot be read ({reason})",
                "Check the path and its permissions.",
            ) from None

    @classmethod
    def _from_open(cls, file: BufferedReader, path: Path, text: str, slot: MediaSlot) -> LocalFile:
        found = os.fstat(file.fileno())
        size = found.st_size
        if not size:
            raise slot.unfit(f"{slot.name}: {_shown(text)} is an empty file")
        kind = slot.recognise(file.read(HEAD), _shown(text), path.name)
        slot.check_size(size, _shown(text))
        stamp = _stamp(found) if _settled(found) else None
        if slot.read_later and stamp is not None:
            return cls(path, None, path.name, kind.mime, size, "", stamp)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, None, path.name, kind.mime, size, digest, stamp)

    def hashed(self) -> LocalFile:
        """The same with its hash. Blocks while it reads the file, where that is still to be done.

        Raises:
            MediaInputError: It was written to since it was first looked at, or cannot be read any more.
        """
        if self.sha256:
            return self
        with self.open() as file:
            try:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise self.changed(f"cannot be read any more ({error.strerror or error})") from error
            if _stamp(os.fstat(file.fileno())) != self.stamp:
                raise self.changed()
        return replace(self, sha256=digest)

    def open(self) -> BytesIO | FileIO:
        """The content, to be read and closed; each call has a position of its own.

        Raises:
            MediaInputError: The file cannot be read any more.
        """
        if self.path is None:
            return BytesIO(self.data or b"")
        try:
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise self.changed(f"cannot be read any more ({error.strerror or error})") from error

    def verify(self, since: Stamp | None = None) -> Stamp | None:
        """See that the content is still the one that the request was made with. Blocks.

        A file that shows no sign of having been written to is not read again.

        Args:
            since: What an earlier call returned.

        Returns:
            For a later call: it will be refused if the file was written to meanwhile.

        Raises:
            MediaInputError: It is another one, or cannot be read any more.
        """
        if self.path is None:
            return None
        with self.open() as file:
            stamp = _stamp(os.fstat(file.fileno()))
            if stamp == (since or self.stamp):
                return stamp
            if since is not None:
                raise self.changed()
            try:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise self.changed(f"cannot be read any more ({error.strerror or error})") from error
        if digest != self.sha256:
            raise self.changed()
        return stamp

    def read(self) -> bytes:
        """The whole content, in memory.

        Raises:
            MediaInputError: The file cannot be read any more, or is no longer the one that the
                request was made with.
        """
        if self.path is None:
            return self.data or b""
        with self.open() as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise self.changed()
        return content

    def changed(self, what: str = "has changed since the request was made") -> MediaInputError:
        """The error that the file is not there as it was."""
        return MediaInputError(
            f"{_shown(str(self.path))} {what}. Nothing was submitted.",
            remedy="Make the request again, with the file as it is now.",
        )


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _settled(found: os.stat_result) -> bool:
    """Whether the last change is long enough ago that the next one will have another time."""
    return time.time() - max(found.st_mtime, found.st_ctime) > _SETTLED_SECONDS


def _refuse_special(mode: int, text: str, slot: MediaSlot) -> None:
    if stat.S_ISDIR(mode):
        raise slot.unfit(f"{slot.name}: {_shown(text)} is a folder, not a file")
    if not stat.S_ISREG(mode):  # reading a pipe or a device may never end
        raise slot.unfit(f"{slot.name}: {_shown(text)} is a device or a pipe, not a file")


def _missing(text: str, path: Path, slot: MediaSlot) -> Unfit:
    folder = path.parent
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in islice(entries, _NEIGHBOURS))
    except OSError:
        return slot.unfit(
            f"{slot.name}: no such file {_shown(text)} (nor a folder {_shown(str(folder))})",
            "Check the path; a URL begins with https://.",
        )
    close = [quote(name) for name in nearest(path.name, names)]
    hint = f"Nearest there: {listing(close)}." if close else "Check the path; a URL begins with https://."
    return slot.unfit(f"{slot.name}: no such file {_shown(text)} (looked in {_shown(str(folder))})", hint)


def _shown(text: str) -> str:
    return quote(text, 90)
