"""Uploads and results over HTTP: without a key, as fal's media are public (FAL-PROTOCOL §9.5)."""

from __future__ import annotations

from tornado.web import StaticFileHandler

from kling_nb.local.file_store import StoredFile
from kling_nb.local.handler import Engine, Guarded, Refusal

_SHOWN_AS_IS = ("video/", "audio/", "image/png", "image/jpeg", "image/webp", "image/gif")


class Download(Guarded, StaticFileHandler):
    """`GET /files/{id}/{name}`; tornado's own handler does ranges, HEAD and validators."""

    def initialize(self, engine: Engine) -> None:  # type: ignore[override]  # the folder is the engine's
        """Called by tornado for each request."""
        StaticFileHandler.initialize(self, str(engine.store.folder))
        self.engine = engine

    def set_extra_headers(self, path: str) -> None:
        """An uploaded page must not run as one of this origin."""
        self.set_header("Cache-Control", "private, max-age=3600")
        if not self._file.content_type.startswith(_SHOWN_AS_IS):
            self.set_header("Content-Security-Policy", "sandbox; default-src 'none'")

    def parse_url_path(self, url_path: str) -> str:
        """Kept as it came: it is looked up, never opened."""
        return url_path

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        """Nothing yet; see `validate_absolute_path`."""
        return path

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """The file on disk that an address stands for."""
        file_id, _, name = absolute_path.partition("/")
        file = self.engine.store.get(file_id, name)
        if file is None:
            raise Refusal(404, f"Path {self.request.path} not found")
        self._file: StoredFile = file
        return str(file.path)

    def get_content_type(self) -> str:
        """As it was stored."""
        return self._file.content_type

    def compute_etag(self) -> str | None:
        """The id: a file never changes under its address."""
        return f'"{self._file.id}"'
