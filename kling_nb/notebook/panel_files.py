"""Files dropped into a panel: they come in pieces, and are kept as bytes until they are asked for."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kling_nb.catalog.local_file import LocalFile
from kling_nb.errors import MediaInputError, UsageError

LARGEST = 512 * 1024 * 1024
"""Bytes of a file that a panel takes; a larger one is better named by its path."""
PATIENCE = 300.0
"""Seconds without a further piece after which an upload counts as left: its page is closed or loaded anew."""
_PREVIEW = 192  # pixels, for both sides at most


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the compose area.

    Attributes:
        id: SHA-256 of its bytes, in hex.
        name: File name, text from outside.
        content_type: MIME type as the browser says, or as the request found.
        content: The bytes, or the file that they are read from.
    """

    id: str
    name: str
    content_type: str
    content: bytes | LocalFile

    def to_json(self) -> dict[str, Any]:
        """What a view shows of it."""
        size = self.content.size if isinstance(self.content, LocalFile) else len(self.content)
        return {"file": self.id, "name": self.name[:200], "type": self.content_type[:100], "size": size}

    def preview(self) -> bytes:
        """A small JPEG of a picture; empty for what is none.

        Raises:
            MediaInputError: The file is gone or has changed.
        """
        from PIL import Image  # noqa: PLC0415 -- heavy, and only for a view that has lost its picture

        data = self.content.read() if isinstance(self.content, LocalFile) else self.content
        try:
            with Image.open(io.BytesIO(data)) as picture:
                picture.draft("RGB", (_PREVIEW, _PREVIEW))
                picture.thumbnail((_PREVIEW, _PREVIEW))
                small = io.BytesIO()
                picture.convert("RGB").save(small, "JPEG", quality=80)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return b""  # a sound, a video, or a format that only fal knows
        return small.getvalue()


@dataclass(slots=True)
class _Upload:
    """What has come of a file, and when its last piece came."""

    touched: float
    data: bytearray = field(default_factory=bytearray)


class Attachments:
    """The files of one panel. Any thread.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._whole: dict[str, Attachment] = {}
        self._coming: dict[str, _Upload] = {}

    def take_piece(self, msg: Mapping[str, Any], buffers: Sequence[Any]) -> Attachment | None:
        """Take in one piece of a file; pieces come in order.

        Args:
            msg: `{"upload": word of the view's, "offset", "total", "name", "type"}`.
            buffers: The piece.

        Returns:
            The file, with its last piece.

        Raises:
            UsageError: The piece is not the next one.
            MediaInputError: The file is empty or too large.
        """
        upload, offset, total = msg.get("upload"), msg.get("offset"), msg.get("total")
        piece = bytes(buffers[0]) if buffers else b""
        if not isinstance(upload, str) or not isinstance(offset, int) or not isinstance(total, int):
            raise UsageError("A piece of a file names its upload, its offset and the total.")
        if not 0 < total <= LARGEST:
            limit = LARGEST // (1024 * 1024)
            raise MediaInputError(
                f"The file has {total:,} bytes; the panel takes 1 byte to {limit} MiB.",
                remedy="Give the path of a larger one instead.",
            )
        with self._lock:
            if offset == 0:
                self._begin(upload)
            coming = self._coming.get(upload)
            if coming is None or len(coming.data) != offset or not piece or offset + len(piece) > total:
                self._coming.pop(upload, None)
                raise UsageError("The file came incomplete; drop it again.")
            coming.data += piece
            coming.touched = self._clock()
            if len(coming.data) < total:
                return None
            del self._coming[upload]
            return self._keep(bytes(coming.data), str(msg.get("name") or "file"), str(msg.get("type") or ""))

    def _begin(self, upload: str) -> None:
        """Make room for a file, and let go of those that nobody goes on with."""
        now = self._clock()
        for name in [name for name, one in self._coming.items() if now - one.touched > PATIENCE]:
            del self._coming[name]
        self._coming.setdefault(upload, _Upload(now))

    @property
    def unfinished(self) -> int:
        """Bytes of files that are still to come whole."""
        with self._lock:
            return sum(len(one.data) for one in self._coming.values())

    def _keep(self, content: bytes, name: str, content_type: str) -> Attachment:
        digest = hashlib.sha256(content).hexdigest()
        # The same bytes under another name: the name that was seen last is the one to show.
        self._whole[digest] = made = Attachment(digest, name, content_type, content)
        return made

    def adopt(self, file: LocalFile) -> Attachment:
        """Keep a file that an earlier request was made with."""
        with self._lock:
            made = Attachment(file.sha256, file.name, file.content_type, file)
            return self._whole.setdefault(file.sha256, made)

    def get(self, digest: Any) -> Attachment:
        """The file of an id.

        Raises:
            MediaInputError: It is not there: it was given to another kernel.
        """
        found = self._whole.get(digest) if isinstance(digest, str) else None
        if found is None:
            raise MediaInputError("This kernel does not have the file.", remedy="Drop or pick it again.")
        return found

    def known(self, digest: Any) -> bool:
        """Whether the file of an id is there."""
        return isinstance(digest, str) and digest in self._whole
