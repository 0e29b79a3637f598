"""The storage over HTTP: the upload flows of fal's clients (FAL-PROTOCOL §9).

Two steps, in one piece or in parts (`@fal-ai/client`): an upload URL that carries its own
permission, so that the key is not shown to it. By token (`fal_client`): a bearer token from
the key, then the bytes.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from pathlib import Path
from typing import Any, BinaryIO

from kling_nb.local.file_store import LARGEST, StoredFile, digest
from kling_nb.local.handler import Guarded, JsonHandler, Refusal, Streamed, announced_length
from kling_nb.local.job import in_an_hour

_MOST_PARTS = 10_000


class Token(JsonHandler):
    """`POST /storage/auth/token`."""

    def post(self) -> None:
        """A bearer token for uploads."""
        self.need_key("storage")
        token = secrets.token_urlsafe(24)
        self.engine.tokens.add(token)
        self.reply(
            {"token": token, "token_type": "Bearer", "base_url": self.engine.base, "expires_at": in_an_hour()}
        )


class Initiate(JsonHandler):
    """`POST /storage/upload/initiate`, and `…-multipart`."""

    def post(self, multipart: str | None) -> None:
        """An upload URL and the URL that the file will have."""
        self.need_key("storage")
        wish = self.json_object()
        file = self.engine.store.reserve(_text(wish.get("file_name")), _text(wish.get("content_type")))
        token = secrets.token_urlsafe(24)
        self.engine.tokens.add(f"{file.id} {token}")
        tail = f"/multipart/{secrets.token_hex(8)}" if multipart else ""
        base = self.engine.base
        self.reply({"upload_url": f"{base}/upload/{file.id}{tail}?token={token}", "file_url": file.url(base)})


class Receiver(Streamed):
    """Takes a body of up to `file_store.LARGEST` bytes straight to disk."""

    def prepare(self) -> None:
        """Called by tornado before the body comes."""
        self.received = 0
        self._out: BinaryIO | None = None
        super().prepare()

    def check(self) -> None:
        """Refuse what says that it is too large, too."""
        super().check()
        if announced_length(self) > LARGEST:
            raise _too_large()

    def data_received(self, chunk: bytes) -> None:
        """Write a piece, as long as there is room; called by tornado."""
        self.received += len(chunk)
        if self._out is not None and self.received <= LARGEST:
            self._out.write(chunk)

    def receive_to(self, path: Path) -> None:
        """Have the body written to `path`."""
        self._path = path
        self._out = path.open("wb")

    def received_file(self) -> Path:
        """The complete body."""
        if self.received > LARGEST:  # it came in chunks that announced nothing
            raise _too_large()
        assert self._out is not None
        self._out.close()
        return self._path

    def on_finish(self) -> None:
        """Called by tornado when the answer is out."""
        self._give_up()

    def on_connection_close(self) -> None:
        """Called by tornado when the client is gone."""
        self._give_up()

    def _give_up(self) -> None:
        if self._out is not None:
            self._out.close()
            self._path.unlink(missing_ok=True)  # a complete body has been moved away by now
            self._out = None


class Upload(Receiver):
    """`PUT /upload/{id}?token=…`: the second of the two steps."""

    def check(self) -> None:
        """Look at the URL, and make room."""
        super().check()
        file_id = str(self.path_args[0])
        self.file = known(self, file_id)
        need_token(self, self.file)
        self.receive_to(self.engine.store.partial(self.file, secrets.token_hex(4)))

    def put(self, _file_id: str) -> None:
        """200, and the file is there."""
        path = self.received_file()
        path.replace(self.file.path)
        self.reply({})


class TokenUpload(Receiver):
    """`POST /files/upload` with a bearer token."""

    def check(self) -> None:
        """Look at the token, and make room."""
        super().check()
        need_token(self)
        headers = self.request.headers
        self.file = self.engine.store.reserve(headers.get("X-Fal-File-Name"), headers.get("Content-Type"))
        self.receive_to(self.engine.store.partial(self.file, "upload"))

    def post(self) -> None:
        """Where the file can be had."""
        self.received_file().replace(self.file.path)
        self.reply({"access_url": self.file.url(self.engine.base)})


class TokenMultipart(JsonHandler):
    """`POST /files/upload/multipart` with a bearer token."""

    def post(self) -> None:
        """Where the parts go, and the id that they share."""
        need_token(self)
        headers = self.request.headers
        file = self.engine.store.reserve(headers.get("X-Fal-File-Name"), headers.get("Content-Type"))
        self.reply({"access_url": file.url(self.engine.base), "uploadId": secrets.token_hex(8)})


class Part(Receiver):
    """`PUT …/multipart/{upload id}/{n}`, for both kinds of multipart upload."""

    def check(self) -> None:
        """Look at URL, token and number, and make room."""
        super().check()
        file_id, upload, number = (str(part) for part in self.path_args)
        self.file, self.number = known(self, file_id), int(number)
        need_token(self, self.file)
        if not 1 <= self.number <= _MOST_PARTS:
            raise Refusal(400, f"Part numbers go from 1 to {_MOST_PARTS}")
        self.part = self.engine.store.partial(self.file, f"{upload}.{self.number}")
        self.receive_to(self.engine.store.partial(self.file, secrets.token_hex(4)))

    async def put(self, _file_id: str, _upload: str, _number: str) -> None:
        """The part's tag, as a header and as JSON: the clients differ."""
        path = self.received_file()
        tag = await asyncio.to_thread(digest, path)
        path.replace(self.part)
        self.set_header("ETag", tag)
        self.reply({"partNumber": self.number, "etag": tag})


class Complete(JsonHandler):
    """`POST …/multipart/{upload id}/complete`."""

    async def post(self, file_id: str, upload: str) -> None:
        """Join the parts, which may be listed in any order."""
        file = known(self, file_id)
        need_token(self, file)
        store = self.engine.store
        wish = self.json_object().get("parts")
        numbers = [_part_number(part) for part in wish] if isinstance(wish, list) else []
        parts = [store.partial(file, f"{upload}.{number}") for number in sorted(numbers)]
        if not parts or not all(part.is_file() for part in parts):
            raise Refusal(400, "parts must list every part that was uploaded")
        if sum(part.stat().st_size for part in parts) > LARGEST:
            raise _too_large()
        await asyncio.to_thread(store.join, file, parts)
        self.reply({"access_url": file.url(self.engine.base)})


def known(handler: Guarded, file_id: str) -> StoredFile:
    """The reserved file of an id.

    Raises:
        Refusal: 404.
    """
    file = handler.engine.store.reserved(file_id)
    if file is None:
        raise Refusal(404, "Upload not found")
    return file


def need_token(handler: Guarded, file: StoredFile | None = None) -> None:
    """Refuse requests without a bearer's token or, for one file, the token of its upload URL.

    Raises:
        Refusal: 401.
    """
    scheme, _, token = handler.request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token in handler.engine.tokens:
        return
    if file is not None and f"{file.id} {handler.get_query_argument('token', '')}" in handler.engine.tokens:
        return
    raise Refusal(401, "Invalid or missing upload token")


def _too_large() -> Refusal:
    return Refusal(413, f"File larger than {LARGEST} bytes")


def _part_number(part: Any) -> int:
    number = part.get("partNumber") if isinstance(part, dict) else None
    if not isinstance(number, int):
        raise Refusal(400, "each part needs a partNumber")
    return number


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and re.search(r"\S", value) else None
