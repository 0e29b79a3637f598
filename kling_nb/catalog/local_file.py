"""A file of this machine, or bytes from memory, that goes along with a request."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from io import BufferedReader
from itertools import islice
from pathlib import Path

from kling_nb.catalog.media_slot import MediaSlot
from kling_nb.catalog.media_type import HEAD
from kling_nb.catalog.problem import Unfit
from kling_nb.catalog.wording import listing, nearest, quote
from kling_nb.errors import MediaInputError

_NEIGHBOURS = 2_000  # names read from a folder to find what a mistyped one meant


@dataclass(frozen=True)
class LocalFile:
    """A file that is uploaded before the request is sent.

    Attributes:
        path: Absolute path, or None for bytes.
        data: The bytes, or None for a path.
        name: File name, as an upload declares it.
        content_type: MIME type, told from the content.
        size: Bytes.
        sha256: Hex digest of the content when the request was made.
    """

    path: Path | None
    data: bytes | None = field(repr=False)
    name: str
    content_type: str
    size: int
    sha256: str

    @classmethod
    def from_bytes(cls, data: bytes, slot: MediaSlot) -> LocalFile:
        """Bytes for a slot; the name is made from the slot's.

        Raises:
            Unfit: There are none, or they do not fit.
        """
        if not data:
            raise slot.unfit(f"{slot.name} has no bytes in it")
        found = slot.recognise(data[:HEAD], f"what was given ({len(data):,} bytes)")
        digest = hashlib.sha256(data).hexdigest()
        return cls(None, data, slot.name + found.suffix, found.mime, len(data), digest)

    @classmethod
    def from_path(cls, text: str, slot: MediaSlot) -> LocalFile:
        """The file of a path, absolute or from the working folder; `~` is the home folder.

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
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise slot.unfit(f"{slot.name}: {_shown(text)} is an empty file")
        found = slot.recognise(file.read(HEAD), _shown(text))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, None, path.name, found.mime, size, digest)

    def read(self) -> bytes:
        """The content.

        Raises:
            MediaInputError: The file cannot be read any more, or is no longer the one that the
                request was made with.
        """
        if self.path is None:
            return self.data or b""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise self._changed(f"cannot be read any more ({error.strerror or error})") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise self._changed("has changed since the request was made")
        return content

    def _changed(self, what: str) -> MediaInputError:
        return MediaInputError(
            f"{_shown(str(self.path))} {what}. Nothing was submitted.",
            remedy="Make the request again, with the file as it is now.",
        )


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
