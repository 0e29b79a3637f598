"""Files of the engine: what was uploaded, and what was made. One folder, gone with the process."""

from __future__ import annotations

import hashlib
import mimetypes
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

LARGEST = 1 << 30
"""Bytes of one upload."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that can be fetched, or is about to be uploaded.

    Attributes:
        id: Random part of its address.
        name: Safe file name, the last part of its address.
        content_type: MIME type that it is served with.
        path: Where its bytes are, once they are.
    """

    id: str
    name: str
    content_type: str
    path: Path

    def url(self, base: str) -> str:
        """Its public address, under the server's `base`."""
        return f"{base}/files/{self.id}/{self.name}"


class FileStore:
    """Names and finds files under one folder. Any thread may call it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, StoredFile] = {}

    def reserve(self, name: str | None, content_type: str | None) -> StoredFile:
        """A place for a file that is still to come."""
        kind = (content_type or "").split(";")[0].strip().lower()
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind):
            kind = mimetypes.guess_type(name or "")[0] or "application/octet-stream"
        file_id = secrets.token_hex(8)
        safe = safe_name(name, kind)
        file = StoredFile(file_id, safe, kind, self.folder / f"{file_id}_{safe}")
        self._files[file_id] = file
        return file

    def add(self, data: bytes, name: str, content_type: str) -> StoredFile:
        """Keep bytes under a new address."""
        file = self.reserve(name, content_type)
        file.path.write_bytes(data)
        return file

    def get(self, file_id: str, name: str) -> StoredFile | None:
        """The file of an address, if it is there in full."""
        file = self._files.get(file_id)
        return file if file is not None and file.name == name and file.path.is_file() else None

    def reserved(self, file_id: str) -> StoredFile | None:
        """The file of an id, whether its bytes have come or not."""
        return self._files.get(file_id)

    def find_url(self, url: str, base: str) -> StoredFile | None:
        """The file that a URL of this server names."""
        found = re.fullmatch(re.escape(base) + r"/files/([0-9a-f]+)/([^/?#]+)", url)
        return self.get(found[1], found[2]) if found else None

    def partial(self, file: StoredFile, part: str) -> Path:
        """Where a piece of an upload goes until it is complete."""
        return self.folder / f"{file.id}.{part}.partial"

    def join(self, file: StoredFile, parts: list[Path]) -> None:
        """Make a file of its pieces, in their order, and remove them. Blocks."""
        whole = self.partial(file, "whole")
        with whole.open("wb") as out:
            for part in parts:
                with part.open("rb") as piece:
                    while block := piece.read(1 << 20):
                        out.write(block)
        whole.replace(file.path)
        for part in parts:
            part.unlink(missing_ok=True)


def safe_name(name: str | None, content_type: str) -> str:
    """A file name of plain letters with a fitting ending, whatever was asked for."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", (name or "").replace("\\", "/").rsplit("/", 1)[-1]).lstrip(".")
    stem = plain[-80:] or "file"
    return stem if "." in stem else stem + (mimetypes.guess_extension(content_type) or "")


def digest(path: Path) -> str:
    """MD5 in hex, as storage services use it for an ETag. Blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
