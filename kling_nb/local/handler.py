"""What all routes share: who may ask, how much they may send, and JSON in every answer."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from typing import Any

from tornado.web import HTTPError, RequestHandler, stream_request_body

from kling_nb.local.file_store import FileStore
from kling_nb.local.job import Job, parse_body
from kling_nb.local.job_queue import JobQueue
from kling_nb.local.webhooks import Webhooks

LARGEST_JSON = 10 << 20
"""Bytes of a JSON body; larger media belong into the storage."""

_WORTH_READING = 64 << 20
"""Bytes of a refused body that are still read, so that the refusal arrives."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything that the routes work on.

    Attributes:
        base: Own address, `http://127.0.0.1:PORT`.
        hosts: `Host` headers that mean this server.
        key: What `Authorization: Key …` must hold.
        queue: Jobs.
        store: Files.
        tokens: Upload tokens that were given out.
        apps: Every `owner/alias` that exists.
        ping: Seconds between two keep-alive comments of a stream.
        webhooks: Delivers results to the addresses that asked for them.
    """

    base: str
    hosts: frozenset[str]
    key: str
    queue: JobQueue
    store: FileStore
    tokens: set[str]
    apps: frozenset[str]
    ping: float
    webhooks: Webhooks


class Refusal(HTTPError):
    """An error answer with a JSON body of its own."""

    def __init__(self, code: int, body: dict[str, Any] | str, **headers: str) -> None:
        super().__init__(code)
        self.body = {"detail": body} if isinstance(body, str) else body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Guarded(RequestHandler):
    """Answers this machine's programs only.

    A page of another site can make a browser send requests to loopback, by its own name for
    it (DNS rebinding) or with its `Origin`: both are refused, before anything else is looked at.
    """

    engine: Engine

    def initialize(self, engine: Engine) -> None:
        """Called by tornado for each request."""
        self.engine = engine

    def set_default_headers(self) -> None:
        """Nothing is cached or guessed, and no server is named."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        """Called by tornado before the verb."""
        self.check()

    def check(self) -> None:
        """Refuse foreign hosts and origins.

        Raises:
            HTTPError: 403.
        """
        if self.request.host.lower() not in self.engine.hosts:
            raise Refusal(403, "This server answers to its own address only")
        origin = self.request.headers.get("Origin")
        if origin is not None and origin.lower().removeprefix("http://") not in self.engine.hosts:
            raise Refusal(403, "Requests of pages of another origin are refused")

    def need_key(self, app: str) -> None:
        """Refuse requests without the server's key."""
        given = self.request.headers.get("Authorization")
        if given is None:
            raise Refusal(
                401,
                f'Cannot access application "{app}". Authentication is required to access this application.',
            )
        scheme, _, key = given.partition(" ")
        if scheme.lower() != "key" or not hmac.compare_digest(key.strip().encode(), self.engine.key.encode()):
            raise Refusal(401, "No user found for Key ID and Secret")

    def reply(self, body: Any, code: int = 200) -> None:
        """Finish with a JSON body."""
        self.set_status(code, _REASONS.get(code))
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(body, ensure_ascii=False))

    def write_error(self, status_code: int, **details: Any) -> None:
        """JSON for every error, also those that tornado raises."""
        fault = details.get("exc_info", (None, None, None))[1]
        if isinstance(fault, Refusal):
            for name, value in fault.headers.items():
                self.set_header(name, value)
            self.reply(fault.body, status_code)
            return
        words = {
            404: f"Path {self.request.path} not found",
            405: "Method Not Allowed",
            500: "Internal Server Error",
        }
        self.reply({"detail": words.get(status_code, self._reason)}, status_code)


_REASONS = {499: "Client Closed Request"}
"""Codes that http.client has no word for."""


@stream_request_body
class Streamed(Guarded):
    """Takes its body piece by piece.

    A refusal waits for the end of the body. An answer before would make tornado cut the
    connection, and a client that is still sending might see a reset in place of the answer.
    """

    def prepare(self) -> None:
        """Called by tornado before the body comes."""
        try:
            self.check()
        except HTTPError as refusal:
            if announced_length(self) > _WORTH_READING:
                raise
            self._refuse_later(refusal)

    def _refuse_later(self, refusal: HTTPError) -> None:
        def refuse(*_path: str) -> None:
            raise refusal

        setattr(self, str(self.request.method).lower(), refuse)


class JsonHandler(Streamed):
    """Takes bodies of up to `LARGEST_JSON` bytes."""

    def prepare(self) -> None:
        """Called by tornado before the body comes."""
        self._body = bytearray()
        super().prepare()

    def check(self) -> None:
        """Refuse bodies that say that they are too large, too."""
        super().check()
        if announced_length(self) > LARGEST_JSON:
            raise _too_large()

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece of the body, one byte too many at most; called by tornado."""
        self._body += chunk[: LARGEST_JSON + 1 - len(self._body)]

    def body(self) -> bytes:
        """The whole body."""
        if len(self._body) > LARGEST_JSON:  # it came in chunks that announced nothing
            raise _too_large()
        return bytes(self._body)

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one counts as `{}`."""
        try:
            value = parse_body(self.body())
        except ValueError as fault:
            raise Refusal(400, f"Body is not JSON: {fault}") from fault
        if not isinstance(value, dict):
            raise Refusal(400, "Body must be a JSON object")
        return value


class Missing(JsonHandler):
    """Every path that means nothing here."""

    def check(self) -> None:
        """Refuse, whatever the method."""
        super().check()
        raise HTTPError(404)


class Health(JsonHandler):
    """Whether the server is up; needs no key."""

    def get(self) -> None:
        """200."""
        self.reply({"status": "ok"})


def announced_length(handler: RequestHandler) -> int:
    """What `Content-Length` says, 0 without one."""
    text = handler.request.headers.get("Content-Length", "0")
    return int(text) if text.isdecimal() else 0


def _too_large() -> Refusal:
    return Refusal(413, f"Body larger than {LARGEST_JSON} bytes")


def find_job(handler: Guarded, app: str, request_id: str, missing: dict[str, Any]) -> Job:
    """The job that a path names.

    Raises:
        Refusal: 404 with the body `missing`.
    """
    job = handler.engine.queue.find(app, request_id)
    if job is None:
        raise Refusal(404, missing)
    handler.set_header("x-fal-request-id", job.id)
    return job
