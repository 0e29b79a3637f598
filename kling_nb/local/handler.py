"""The base of all routes: access control, size limits, and JSON in every reply."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.web import HTTPError, RequestHandler, stream_request_body

from kling_nb.local.files import FileStore
from kling_nb.local.job import JobQueue, parse_body
from kling_nb.local.webhooks import Webhooks

LARGEST_JSON = 10 << 20
"""Maximum bytes of a JSON body. Larger media must be uploaded."""

_MOST_DISCARDED = 64 << 20
"""Maximum bytes of a refused body that are read and discarded, so that the client receives the refusal."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a server.

    Attributes:
        host: Loopback IP address or `localhost`.
        port: Port; 0 for a free one.
        key: Key of all requests, `id:secret`; None for a random one.
        speed: 1 for the speed of a demo, larger is faster, `inf` for no waiting.
        folder: Folder for files; None for a temporary folder that is removed at the end.
        workers: Number of jobs that run at once.
        ping: Seconds between two keep-alive comments of a status stream.
        list_by: What `start` and `end` of the list of requests mean: "sent", the submission, or "ended", the
            end of a request. fal does not document it (FAL-PROTOCOL §12.4).
        list_finished: True if the list has only finished requests.
    """

    host: str
    port: int
    key: str | None
    speed: float
    folder: Path | None
    workers: int
    ping: float
    list_by: str
    list_finished: bool


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the server that the routes use.

    Attributes:
        base: The server's own URL, `http://127.0.0.1:PORT`.
        hosts: Values of the `Host` header that mean this server.
        key: The key that `Authorization: Key …` must contain.
        queue: Jobs.
        store: Files.
        tokens: Valid upload tokens.
        apps: Every `owner/alias` that exists.
        webhooks: Delivers results to webhooks.
        settings: The settings of the server.
    """

    base: str
    hosts: frozenset[str]
    key: str
    queue: JobQueue
    store: FileStore
    tokens: set[str]
    apps: frozenset[str]
    webhooks: Webhooks
    settings: Settings


class ErrorReply(HTTPError):
    """An HTTP error with a JSON body."""

    def __init__(self, code: int, body: dict[str, Any] | str, **headers: str) -> None:
        super().__init__(code)
        self.body = {"detail": body} if isinstance(body, str) else body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class GuardedHandler(RequestHandler):
    """Replies only to programs of this machine.

    A page of another site can make a browser send requests to loopback, under a host name of its own
    (DNS rebinding) or with its `Origin`. Both are refused before anything else is checked.
    """

    services: Services

    def initialize(self, services: Services) -> None:
        """Set `services`. Tornado calls this for each request."""
        self.services = services

    def set_default_headers(self) -> None:
        """Forbid caching and content sniffing, and hide the server's name."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        """Check the request. Tornado calls this before the method's handler."""
        self.check()

    def check(self) -> None:
        """Raise `ErrorReply` (403) for foreign hosts and origins."""
        if self.request.host.lower() not in self.services.hosts:
            raise ErrorReply(403, "This server only replies to requests for its own host name")
        origin = self.request.headers.get("Origin")
        if origin is not None and origin.lower().removeprefix("http://") not in self.services.hosts:
            raise ErrorReply(403, "Requests from pages of another origin are refused")

    def need_key(self, app: str) -> None:
        """Raise `ErrorReply` (401) unless the request has the server's key."""
        given = self.request.headers.get("Authorization")
        if given is None:
            raise ErrorReply(
                401,
                f'Cannot access application "{app}". Authentication is required to access this application.',
            )
        scheme, _, key = given.partition(" ")
        if scheme.lower() != "key" or not hmac.compare_digest(
            key.strip().encode(), self.services.key.encode()
        ):
            raise ErrorReply(401, "No user found for Key ID and Secret")

    def reply(self, body: Any, code: int = 200) -> None:
        """Send a JSON body and finish."""
        self.set_status(code, _REASONS.get(code))
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(body, ensure_ascii=False))

    def write_error(self, status_code: int, **details: Any) -> None:
        """Send JSON for every error, including those that tornado raises."""
        fault = details.get("exc_info", (None, None, None))[1]
        if isinstance(fault, ErrorReply):
            for name, value in fault.headers.items():
                self.set_header(name, value)
            self.reply(fault.body, status_code)
            return
        texts = {
            404: f"Path {self.request.path} not found",
            405: "Method Not Allowed",
            500: "Internal Server Error",
        }
        self.reply({"detail": texts.get(status_code, self._reason)}, status_code)


_REASONS = {499: "Client Closed Request"}
"""Reasons for codes that `http.client` does not know."""


@stream_request_body
class StreamHandler(GuardedHandler):
    """Reads its body in chunks.

    A refusal is sent after the end of the body. Tornado closes the connection after an earlier reply, and
    a client that is still sending might see a reset instead of the reply.
    """

    def prepare(self) -> None:
        """Check the request. Tornado calls this before the body arrives."""
        try:
            self.check()
        except HTTPError as error:
            if announced_length(self) > _MOST_DISCARDED:
                raise
            refusal = error

            def refuse(*_path: str) -> None:
                raise refusal

            setattr(self, str(self.request.method).lower(), refuse)


class JsonHandler(StreamHandler):
    """Reads bodies of up to `LARGEST_JSON` bytes."""

    def prepare(self) -> None:
        """Prepare an empty body and check the request."""
        self._body = bytearray()
        super().prepare()

    def check(self) -> None:
        """Raise `ErrorReply` for foreign requests, and (413) for bodies that are too large."""
        super().check()
        if announced_length(self) > LARGEST_JSON:
            raise _too_large()

    def data_received(self, chunk: bytes) -> None:
        """Collect a chunk of the body, at most one byte more than allowed. Tornado calls this."""
        self._body += chunk[: LARGEST_JSON + 1 - len(self._body)]

    def body(self) -> bytes:
        """Return the whole body, or raise `ErrorReply` (413) if it is too large."""
        if len(self._body) > LARGEST_JSON:  # The request had no Content-Length.
            raise _too_large()
        return bytes(self._body)

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object, `{}` for an empty body, or raise `ErrorReply` (400)."""
        try:
            value = parse_body(self.body())
        except ValueError as fault:
            raise ErrorReply(400, f"Body is not JSON: {fault}") from fault
        if not isinstance(value, dict):
            raise ErrorReply(400, "Body must be a JSON object")
        return value


class NotFound(JsonHandler):
    """Every path that does not exist."""

    def check(self) -> None:
        """Raise 404 for every method."""
        super().check()
        raise HTTPError(404)


class Health(JsonHandler):
    """`GET /health`: the server is running. Needs no key."""

    def get(self) -> None:
        """Reply 200."""
        self.reply({"status": "ok"})


def announced_length(handler: RequestHandler) -> int:
    """Return the `Content-Length`, or 0 if there is none."""
    text = handler.request.headers.get("Content-Length", "0")
    return int(text) if text.isdecimal() else 0


def _too_large() -> ErrorReply:
    return ErrorReply(413, f"Body larger than {LARGEST_JSON} bytes")
