"""`MediaFile`: a result that is no video: a sound, a picture, or a file of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kling_nb.errors import MediaError
from kling_nb.video.presenting import bundle_of
from kling_nb.video.saving import save_copy

FileKind = Literal["audio", "image", "data"]

_NOUNS = {"audio": "sound", "image": "picture", "data": "file"}


@dataclass(frozen=True, eq=False, repr=False)
class MediaFile:
    """A result of an endpoint for speech, try-on and the like, stored on this machine.

    It can be given wherever a path can: `generate("…", image=picture)`, `open(sound, "rb")`.

    Attributes:
        path: The file.
        kind: "audio", "image", or "data" for anything else.
        content_type: MIME type, by its content.
        url: Where it was fetched from; such URLs of fal expire. None where it came inside the result.
        request: What it was made from: `{"endpoint": id, "input": {…}}`, or None.
        request_id: fal's id of the request, or None.
        backend: `"fal"` or `"local"`.
        take: Its number among the takes of the same request, from 1.
    """

    path: Path
    kind: FileKind
    content_type: str
    url: str | None = None
    request: Mapping[str, Any] | None = None
    request_id: str | None = None
    backend: str | None = None
    take: int | None = None

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            MediaError: The file is gone.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise MediaError(
                f"{self.path.name} cannot be read: {error.strerror or error}.",
                remedy="Run its cell again to get it back.",
            ) from error

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the file to `path`, or into it where it is a folder.

        Returns:
            The new file.

        Raises:
            UsageError: There is such a file already, and `overwrite` is False.
            MediaError: The copy cannot be written, or the file is gone.
        """
        return save_copy(self.path, path, overwrite=overwrite)

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        """What IPython shows (its documented hook)."""
        return bundle_of(self)

    def __repr__(self) -> str:
        facts = [_NOUNS[self.kind], self.content_type]
        facts += [f"take {self.take}"] if self.take else []
        facts += ["local preview"] if self.backend == "local" else []
        return f"<MediaFile {self.path.name!r} {', '.join(facts)}>"
