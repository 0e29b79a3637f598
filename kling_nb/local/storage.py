"""Uploads and downloads over HTTP, in the two ways of fal's clients (FAL-PROTOCOL §9).

`@fal-ai/client` uploads in two steps, in one piece or in parts. Its upload URL contains a permission, so that
the second step needs no key. `fal_client` exchanges the key for a bearer token, then sends the bytes.
Downloads need no key, because fal's media are public (§9.5). Those of a request with a private `initial_acl`
need a signed URL.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from tornado.web import StaticFileHandler

from kling_nb.local.files import LARGEST, StoredFile, digest
from kling_nb.local.handler import (
    ErrorReply,
    GuardedHandler,
    JsonHandler,
    Services,
    StreamHandler,
    announced_length,
)

_MOST_PARTS = 10_000


class Token(JsonHandler):
    """`POST /storage/auth/token`."""

    def post(self) -> None:
        """Reply with a bearer token for uploads."""
        self.need_key("storage")
        token = secrets.token_urlsafe(24)
        self.services.tokens.add(token)
        expires = datetime.now(UTC) + timedelta(hours=1)
        base = self.services.base
        self.reply(
            {"token": token, "token_type": "Bearer", "base_url": base, "expires_at": expires.isoformat()}
        )


class Initiate(JsonHandler):
    """`POST /storage/upload/initiate`, and `…-multipart`."""

    def post(self, multipart: str | None) -> None:
        """Reply with an upload URL and the URL that the file will have."""
        self.need_key("storage")
        body = self.json_object()
        file = self.services.store.reserve(_text(body.get("file_name")), _text(body.get("content_type")))
        token = secrets.token_urlsafe(24)
        self.services.tokens.add(f"{file.id} {token}")
        tail = f"/multipart/{secrets.token_hex(8)}" if multipart else ""
        base = self.services.base
        self.reply({"upload_url": f"{base}/upload/{file.id}{tail}?token={token}", "file_url": file.url(base)})


class UploadHandler(StreamHandler):
    """Writes a body of up to `files.LARGEST` bytes to disk while it arrives."""

    def prepare(self) -> None:
        """Check the request. Tornado calls this before the body arrives."""
        self.received = 0
        self._out: BinaryIO | None = None
        super().prepare()

    def check(self) -> None:
        """Raise `ErrorReply` for foreign requests, and (413) for bodies that are too large."""
        super().check()
        if announced_length(self) > LARGEST:
            raise _too_large()

    def data_received(self, chunk: bytes) -> None:
        """Write a chunk, up to the limit. Tornado calls this."""
        self.received += len(chunk)
        if self._out is not None and self.received <= LARGEST:
            self._out.write(chunk)

    def receive_to(self, path: Path) -> None:
        """Open `path` for the body."""
        self._path = path
        self._out = path.open("wb")

    def received_file(self) -> Path:
        """Return the path of the complete body, or raise `ErrorReply` (413) if it is too large."""
        if self.received > LARGEST:  # The request had no Content-Length.
            raise _too_large()
        assert self._out is not None
        self._out.close()
        return self._path

    def on_connection_close(self) -> None:
        """Remove an incomplete body. Tornado calls this when the client disconnects."""
        self.on_finish()

    def on_finish(self) -> None:
        """Remove an incomplete body. Tornado calls this after the reply."""
        if self._out is not None:
            self._out.close()
            self._path.unlink(missing_ok=True)  # A complete body has already been moved.
            self._out = None


class Upload(UploadHandler):
    """`PUT /upload/{id}?token=…`: the second of the two steps."""

    def check(self) -> None:
        """Check the URL and open a file for the body."""
        super().check()
        self.file = find_file(self, str(self.path_args[0]))
        need_token(self, self.file)
        self.receive_to(self.services.store.part_path(self.file, secrets.token_hex(4)))

    def put(self, _file_id: str) -> None:
        """Store the file and reply 200."""
        self.received_file().replace(self.file.path)
        self.reply({})


class TokenUpload(UploadHandler):
    """`POST /files/upload` with a bearer token."""

    def check(self) -> None:
        """Check the token and open a file for the body."""
        super().check()
        need_token(self)
        self.file = reserve_file(self)
        self.receive_to(self.services.store.part_path(self.file, "upload"))

    def post(self) -> None:
        """Store the file and reply with its URL."""
        self.received_file().replace(self.file.path)
        self.reply({"access_url": self.file.url(self.services.base)})


class TokenMultipart(JsonHandler):
    """`POST /files/upload/multipart` with a bearer token."""

    def post(self) -> None:
        """Reply with the URL of the file and the id of the upload."""
        need_token(self)
        file = reserve_file(self)
        self.reply({"access_url": file.url(self.services.base), "uploadId": secrets.token_hex(8)})


class Part(UploadHandler):
    """`PUT …/multipart/{upload id}/{n}`, for both kinds of multipart upload."""

    def check(self) -> None:
        """Check URL, token and number, and open a file for the body."""
        super().check()
        file_id, upload, number = (str(part) for part in self.path_args)
        self.file, self.number = find_file(self, file_id), int(number)
        need_token(self, self.file)
        if not 1 <= self.number <= _MOST_PARTS:
            raise ErrorReply(400, f"Part numbers go from 1 to {_MOST_PARTS}")
        self.part = self.services.store.part_path(self.file, f"{upload}.{self.number}")
        self.receive_to(self.services.store.part_path(self.file, secrets.token_hex(4)))

    async def put(self, _file_id: str, _upload: str, _number: str) -> None:
        """Store the part. Reply with its tag as a header and as JSON, because fal's clients differ."""
        path = self.received_file()
        tag = await asyncio.to_thread(digest, path)
        path.replace(self.part)
        self.set_header("ETag", tag)
        self.reply({"partNumber": self.number, "etag": tag})


class Complete(JsonHandler):
    """`POST …/multipart/{upload id}/complete`."""

    async def post(self, file_id: str, upload: str) -> None:
        """Join the parts. The body may list them in any order."""
        file = find_file(self, file_id)
        need_token(self, file)
        store = self.services.store
        listed = self.json_object().get("parts")
        numbers = [_part_number(part) for part in listed] if isinstance(listed, list) else []
        parts = [store.part_path(file, f"{upload}.{number}") for number in sorted(numbers)]
        if not parts or not all(part.is_file() for part in parts):
            raise ErrorReply(400, "parts must list every part that was uploaded")
        if sum(part.stat().st_size for part in parts) > LARGEST:
            raise _too_large()
        await asyncio.to_thread(store.join, file, parts)
        self.reply({"access_url": file.url(self.services.base)})


def reserve_file(handler: GuardedHandler) -> StoredFile:
    """Register the file that the headers of a request announce."""
    headers = handler.request.headers
    return handler.services.store.reserve(headers.get("X-Fal-File-Name"), headers.get("Content-Type"))


def find_file(handler: GuardedHandler, file_id: str) -> StoredFile:
    """Return the file with this id, or raise `ErrorReply` (404)."""
    file = handler.services.store.find(file_id)
    if file is None:
        raise ErrorReply(404, "Upload not found")
    return file


def need_token(handler: GuardedHandler, file: StoredFile | None = None) -> None:
    """Raise `ErrorReply` (401) unless the request has a bearer token or the token of `file`'s upload URL."""
    scheme, _, token = handler.request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token in handler.services.tokens:
        return
    if file is not None and f"{file.id} {handler.get_query_argument('token', '')}" in handler.services.tokens:
        return
    raise ErrorReply(401, "Invalid or missing upload token")


def _too_large() -> ErrorReply:
    return ErrorReply(413, f"File larger than {LARGEST} bytes")


def _part_number(part: Any) -> int:
    number = part.get("partNumber") if isinstance(part, dict) else None
    if not isinstance(number, int):
        raise ErrorReply(400, "each part needs a partNumber")
    return number


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and re.search(r"\S", value) else None


# -- downloads ----------------------------------------------------------------------

_SHOWN_AS_IS = ("video/", "audio/", "image/png", "image/jpeg", "image/webp", "image/gif")


class Download(GuardedHandler, StaticFileHandler):
    """`GET /files/{id}/{name}`. Tornado's own handler implements ranges, HEAD and validators."""

    def initialize(self, services: Services) -> None:  # type: ignore[override]  # The folder is that of the store.
        """Set the folder. Tornado calls this for each request."""
        StaticFileHandler.initialize(self, str(services.store.folder))
        self.services = services

    def set_extra_headers(self, path: str) -> None:
        """Add headers that keep the scripts of an uploaded page from running under this origin."""
        self.set_header("Cache-Control", "private, max-age=3600")
        if not self._file.content_type.startswith(_SHOWN_AS_IS):
            self.set_header("Content-Security-Policy", "sandbox; default-src 'none'")

    def parse_url_path(self, url_path: str) -> str:
        """Return the path unchanged. It is looked up in the store and never opened."""
        return url_path

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        """Return the path unchanged. `validate_absolute_path` finds the file."""
        return path

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """Return the path on disk, or raise `ErrorReply` (404)."""
        file_id, _, name = absolute_path.partition("/")
        file = self.services.store.get(file_id, name)
        acl = self.services.store.acl.get(file_id, "allow")
        signature = f"read {file_id} {self.get_query_argument('identity', '')}"
        if acl != "allow" and signature not in self.services.tokens:
            if acl == "forbid":
                raise ErrorReply(403, "Access denied")
            file = None
        if file is None:
            raise ErrorReply(404, f"Path {self.request.path} not found")
        self._file: StoredFile = file
        return str(file.path)

    def get_content_type(self) -> str:
        """Return the MIME type from the upload."""
        return self._file.content_type

    def compute_etag(self) -> str | None:
        """Return the file's id as the tag, because a file never changes."""
        return f'"{self._file.id}"'
