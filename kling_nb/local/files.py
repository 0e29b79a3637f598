"""The files of the local preview server: uploads and results, in one folder."""

from __future__ import annotations

import hashlib
import mimetypes
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from kling_nb._files import write_file

LARGEST = 1 << 30
"""Maximum bytes of one upload."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that can be fetched, or that will be uploaded.

    Attributes:
        id: Random part of its URL.
        name: Safe file name, the last part of its URL.
        content_type: MIME type of downloads.
        path: Path of its bytes. The file may not exist yet.
    """

    id: str
    name: str
    content_type: str
    path: Path

    def url(self, base: str) -> str:
        """Return the public URL; `base` is the server's URL."""
        return f"{base}/files/{self.id}/{self.name}"


class FileStore:
    """Names and finds the files of one folder. Any thread may call it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acl: dict[str, str] = {}  # by file id; a file that is not named is public
        self._files: dict[str, StoredFile] = {}

    def reserve(self, name: str | None, content_type: str | None) -> StoredFile:
        """Register a file whose bytes come later."""
        kind = (content_type or "").split(";")[0].strip().lower()
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind):
            kind = mimetypes.guess_type(name or "")[0] or "application/octet-stream"
        file_id = secrets.token_hex(8)
        safe = safe_name(name, kind)
        file = StoredFile(file_id, safe, kind, self.folder / f"{file_id}_{safe}")
        self._files[file_id] = file
        return file

    def add(self, data: bytes, name: str, content_type: str) -> StoredFile:
        """Store bytes under a new URL."""
        file = self.reserve(name, content_type)
        file.path.write_bytes(data)
        return file

    def get(self, file_id: str, name: str) -> StoredFile | None:
        """Return the file with this id and name if it is complete, else None."""
        file = self._files.get(file_id)
        return file if file is not None and file.name == name and file.path.is_file() else None

    def find(self, file_id: str) -> StoredFile | None:
        """Return the file with this id, even if its bytes are still missing, or None."""
        return self._files.get(file_id)

    def find_url(self, url: str, base: str) -> StoredFile | None:
        """Return the complete file of a URL of this server, or None."""
        found = re.fullmatch(re.escape(base) + r"/files/([0-9a-f]+)/([^/?#]+)", url)
        return self.get(found[1], found[2]) if found else None

    def part_path(self, file: StoredFile, part: str) -> Path:
        """Return the path for a part of an upload."""
        return self.folder / f"{file.id}.{part}.partial"

    def join(self, file: StoredFile, parts: list[Path]) -> None:
        """Join the parts of an upload in their order, and remove the parts. Blocks."""

        def copy(whole: Path) -> None:
            with whole.open("wb") as out:
                for part in parts:
                    with part.open("rb") as source:
                        shutil.copyfileobj(source, out, 1 << 20)

        write_file(file.path, copy, overwrite=True)
        for part in parts:
            part.unlink(missing_ok=True)


def safe_name(name: str | None, content_type: str) -> str:
    """Return a file name of ASCII letters with a fitting suffix for any requested name."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", (name or "").replace("\\", "/").rsplit("/", 1)[-1]).lstrip(".")
    stem = plain[-80:] or "file"
    return stem if "." in stem else stem + (mimetypes.guess_extension(content_type) or "")


def digest(path: Path) -> str:
    """Return the MD5 of a file in hex, which storage services use as an ETag. Blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
