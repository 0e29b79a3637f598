"""`LocalFile`: a file of this machine, or bytes from memory, that is uploaded for a request.

`MediaSlot` is a place in an input that takes a file, with the rules for what it accepts.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BufferedReader, BytesIO, FileIO
from itertools import islice
from pathlib import Path
from typing import Any

from kling_nb.catalog.problem import InvalidValue, ValuePath, dotted_path, listing, nearest, quote
from kling_nb.errors import MediaInputError
from kling_nb.request.file_types import ACCEPTED, FORMATS, HEAD, NOUNS, FileType, detect, file_type

_NEIGHBOURS = 2_000  # names that are read from a folder to find the one nearest to a mistyped name
_STABLE_SECONDS = 2.0

Stamp = tuple[int, int, int, int, int]
"""Device, inode, size and both times of a file. A write to the file changes it."""


@dataclass(frozen=True)
class LocalFile:
    """A file that is uploaded before the request is sent.

    Attributes:
        path: Absolute path, or None for bytes.
        data: The bytes, or None for a path.
        name: File name, as an upload declares it.
        content_type: MIME type, recognised by the content.
        size: Bytes.
        sha256: Hex digest of the content when the request was made; of an image from memory, of its
            pixels (see `media_input`). Empty if the file was not read yet (see `with_hash`).
        stamp: State of the file when it was read, if later writes will be visible in it; else None.
        earlier: The hash of an image from memory in the form in which an earlier release sent it, or None.
        fit: How a clip is converted before it is uploaded, or None. Such a file has no content yet, and its
            size is that of its source.
    """

    path: Path | None
    data: bytes | None = field(repr=False)
    name: str
    content_type: str
    size: int
    sha256: str
    stamp: Stamp | None = field(default=None, repr=False, compare=False)
    earlier: str | None = field(default=None, repr=False, compare=False)
    fit: ClipFit | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_bytes(cls, data: bytes, slot: MediaSlot, *, subject: str = "", name: str = "") -> LocalFile:
        """Return the file of bytes in memory. Its name is by default made from the slot's name.

        `subject` is the value in words, for messages.

        Raises:
            InvalidValue: There are no bytes, or the slot does not accept them.
        """
        if not data:
            raise slot.error(f"{slot.name} has no bytes in it")
        subject = subject or f"the value ({len(data):,} bytes)"
        found = slot.recognise(data[:HEAD], subject, name)
        digest = hashlib.sha256(data).hexdigest()
        return cls(None, data, name or slot.name + found.suffix, found.mime, len(data), digest)

    @classmethod
    def from_path(cls, text: str, slot: MediaSlot) -> LocalFile:
        """Return the file of a path, absolute or relative to the working folder; `~` is the home folder.

        The result has no hash if the slot has `read_later` and the stamp will show later writes.

        Raises:
            InvalidValue: It is missing, unreadable, empty, not a file, or the slot does not accept it.
        """
        path = Path(text)
        try:
            # absolute() does not resolve links, because the user knows the name of the link.
            path = path.expanduser().absolute()
            _refuse_special(path.stat().st_mode, text, slot)
            with path.open("rb") as file:
                return cls._from_open(file, path, text, slot)
        except (FileNotFoundError, NotADirectoryError):
            raise _missing_file(text, path, slot) from None
        except (OSError, ValueError, RuntimeError) as error:  # "~name" of an unknown user is a RuntimeError.
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise slot.error(
                f"{slot.name}: {_quote_path(text)} cannot be read ({reason})",
                "Check the path and its permissions.",
            ) from None

    @classmethod
    def _from_open(cls, file: BufferedReader, path: Path, text: str, slot: MediaSlot) -> LocalFile:
        found = os.fstat(file.fileno())
        size = found.st_size
        if not size:
            raise slot.error(f"{slot.name}: {_quote_path(text)} is an empty file")
        kind = slot.recognise(file.read(HEAD), _quote_path(text), path.name)
        # Only if the last change is so old that the next one will have a different time.
        is_stable = time.time() - max(found.st_mtime, found.st_ctime) > _STABLE_SECONDS
        stamp = _stamp(found) if is_stable else None
        if slot.read_later and stamp is not None:
            return cls(path, None, path.name, kind.mime, size, "", stamp)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, None, path.name, kind.mime, size, digest, stamp)

    def with_hash(self) -> LocalFile:
        """Return the same file with its hash. Block while the file is read, if it was not read yet.

        Raises:
            MediaInputError: The file has changed since the request was made, or cannot be read any more.
        """
        if self.sha256:
            return self
        with self.open() as file:
            digest = self._digest(file)
            if _stamp(os.fstat(file.fileno())) != self.stamp:
                raise self.change_error()
        return replace(self, sha256=digest)

    def _digest(self, file: BytesIO | FileIO) -> str:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise self.change_error(f"cannot be read any more ({error.strerror or error})") from error

    def open(self) -> BytesIO | FileIO:
        """Open the content for reading. The caller closes it.

        Raises:
            MediaInputError: The file cannot be read any more, or is a clip that was not converted yet.
        """
        if self.fit is not None:
            raise MediaInputError(f"{quote(self.name)} was not converted yet.")
        if self.path is None:
            return BytesIO(self.data or b"")
        try:
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise self.change_error(f"cannot be read any more ({error.strerror or error})") from error

    def verify(self, since: Stamp | None = None) -> Stamp | None:
        """Raise unless the content is still the same as when the request was made. Block while reading.

        A file with an unchanged stamp is not read again.

        Args:
            since: The result of an earlier call. The file must not have changed since that call.

        Returns:
            The stamp, for a later call.

        Raises:
            MediaInputError: The content has changed, or cannot be read any more.
        """
        if self.path is None:
            return None
        with self.open() as file:
            stamp = _stamp(os.fstat(file.fileno()))
            if stamp == (since or self.stamp):
                return stamp
            if since is not None:
                raise self.change_error()
            digest = self._digest(file)
        if digest != self.sha256:
            raise self.change_error()
        return stamp

    def read(self) -> bytes:
        """Read the whole content into memory.

        Raises:
            MediaInputError: The file has changed since the request was made, or cannot be read any more.
        """
        with self.open() as file:
            content = file.read()
        if self.path is None:
            return content
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise self.change_error()
        return content

    def change_error(self, what: str = "has changed since the request was made") -> MediaInputError:
        """Return the error for a file that is not the same any more; `what` completes the sentence."""
        return MediaInputError(
            f"{_quote_path(str(self.path))} {what}. Nothing was sent.",
            remedy="Make the request again to use the file as it is now.",
        )


@dataclass(frozen=True, slots=True)
class ClipFit:
    """How a clip is converted so that it keeps the limits of its place.

    Attributes:
        source: The file of the clip.
        how: One of `limits.FITS`.
        size: Width and height in pixels.
        fps: Frames per second, or None to keep them.
        seconds: The clip is cut after so many, or None to keep its length.
        limits: Those of the place, by fal's names.
        values: The measures of the new file, as in `limits.Measures`, without its size in bytes.
    """

    source: LocalFile
    how: str
    size: tuple[int, int]
    fps: float | None
    seconds: float | None
    limits: Mapping[str, float]
    values: Mapping[str, float]


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _refuse_special(mode: int, text: str, slot: MediaSlot) -> None:
    if stat.S_ISDIR(mode):
        raise slot.error(f"{slot.name}: {_quote_path(text)} is a folder, not a file")
    if not stat.S_ISREG(mode):  # Reading a pipe or a device may never end.
        raise slot.error(f"{slot.name}: {_quote_path(text)} is a device or a pipe, not a file")


def _missing_file(text: str, path: Path, slot: MediaSlot) -> InvalidValue:
    folder = path.parent
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in islice(entries, _NEIGHBOURS))
    except OSError:
        return slot.error(
            f"{slot.name}: no such file {_quote_path(text)} (nor a folder {_quote_path(str(folder))})",
            "Check the path; a URL begins with https://.",
        )
    close = [quote(name) for name in nearest(path.name, names)]
    hint = f"Nearest there: {listing(close)}." if close else "Check the path; a URL begins with https://."
    return slot.error(
        f"{slot.name}: no such file {_quote_path(text)} (looked in {_quote_path(str(folder))})", hint
    )


def _quote_path(text: str) -> str:
    return quote(text, 90)


@dataclass(frozen=True, slots=True)
class MediaSlot:
    """A place in an input that takes a file.

    Attributes:
        path: Path in the input, such as `("elements", 0, "frontal_image_url")`.
        kinds: Accepted kinds: `image`, `video`, `audio`. Any other word accepts every file.
        read_later: True if a file on disk need not be read before it is sent, because its hash is not needed.
    """

    path: ValuePath
    kinds: tuple[str, ...]
    read_later: bool = False

    @classmethod
    def of(cls, schema: Mapping[str, Any], path: ValuePath) -> MediaSlot:
        """Return the slot of a property with `x-fal-media`."""
        kinds = (schema["x-fal-media"], *schema.get("x-media-also", ()))
        return cls(path, kinds)

    @property
    def name(self) -> str:
        """The path as one word."""
        return dotted_path(self.path)

    @property
    def open(self) -> bool:
        """True if files of every kind are accepted."""
        return not NOUNS.keys() >= set(self.kinds)

    @property
    def nouns(self) -> str:
        """The accepted kinds in words: "an image"."""
        return listing([NOUNS.get(kind, "a file") for kind in self.kinds], "or")

    @property
    def requirement(self) -> str:
        """A sentence with the accepted kinds and formats."""
        formats = ", or ".join(FORMATS[kind] for kind in self.kinds if kind in FORMATS)
        return f"{self.name} takes {self.nouns}" + (f": {formats}." if formats else ".")

    def error(self, text: str, remedy: str = "") -> InvalidValue:
        """Return the error of a value that is not accepted; `text` is a sentence without its full stop."""
        return InvalidValue(self.path, "media", f"{text}.", remedy or self.requirement)

    def recognise(self, head: bytes, subject: str, name: str = "") -> FileType:
        """Return the format of a content that begins with `head`.

        The file name gives the type of a content in an unknown format. It must not have the suffix of a media
        format then. `subject` is the content in words, for messages.

        Raises:
            InvalidValue: The format is unknown or not accepted here.
        """
        found = detect(head)
        if found is not None:
            self.check(found.kind, found.noun, subject)
            return found
        named = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if not self.open:
            raise self.error(f"{self.name}: {subject} is {file_type(head).noun}, not {self.nouns}")
        if named in ACCEPTED:
            noun = NOUNS[named.partition("/")[0]]
            raise self.error(
                f"{self.name}: {subject} is {file_type(head).noun}, although its name is that of {noun}",
                "Give the right file, or rename it.",
            )
        return FileType("file", named, "", f"of type {quote(named)}")

    def check(self, kind: str, noun: str, subject: str) -> None:
        """Raise `InvalidValue` unless the kind is accepted; `noun` and `subject` go into the message."""
        if kind not in self.kinds and not self.open:
            raise self.error(f"{self.name}: {subject} is {noun}, not {self.nouns}")
