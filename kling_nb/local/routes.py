"""The queue over HTTP: submit, status, stream, result, cancel, list (FAL-PROTOCOL §3–§7, §12.4)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from kling_nb.catalog.endpoint import split_app
from kling_nb.catalog.shipped import endpoints
from kling_nb.local.handler import ErrorReply, JsonHandler
from kling_nb.local.job import Job, parse_body

_TRUE = frozenset({"1", "true", "True", "yes"})


class Submit(JsonHandler):
    """`POST /{endpoint id}`."""

    def check(self) -> None:
        """Check app and key."""
        super().check()
        self.app, self.path_within = split_app(self.request.path.strip("/"))
        if self.app not in self.services.apps:
            raise ErrorReply(404, f'Application "{self.app.rpartition("/")[2]}" not found')
        if self.request.method != "POST":
            raise HTTPError(405)  # A GET of the result under the full id is refused, too (FAL-PROTOCOL §2).
        self.need_key(self.app)

    def post(self, _path: str) -> None:
        """Queue the job. The runner checks its input later."""
        endpoint_id = f"{self.app}/{self.path_within}".rstrip("/")
        limit = self._max_queue_length()
        if limit is not None and self.services.queue.waiting(endpoint_id) > limit:
            raise ErrorReply(429, f"Queue is longer than {limit} requests")
        job = Job(
            self.app,
            self.path_within,
            self.body(),
            low=self.request.headers.get("X-Fal-Queue-Priority", "").lower() == "low",
            webhook=self.get_query_argument("fal_webhook", None),
            keeps_payloads=self.request.headers.get("X-Fal-Store-IO") != "0",
            acl=self._acl(),
        )
        self.services.queue.submit(job, self._start_timeout())
        self.services.webhooks.follow(job)
        self.set_header("x-fal-request-id", job.id)
        position = self.services.queue.position(job)
        self.reply(job.status(self.services.base, position, None))

    def _acl(self) -> str:
        """Return who may fetch the files, by the lifecycle header. One that cannot be read is ignored."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            wanted = json.loads(self.request.headers["X-Fal-Object-Lifecycle-Preference"])
            return str(wanted["initial_acl"]["default"])
        return "allow"

    def _max_queue_length(self) -> int | None:
        text = self.get_query_argument("fal_max_queue_length", None)
        if text is None:
            return None
        if not text.isdecimal():
            raise _bad_request("fal_max_queue_length must be a whole number")
        return int(text)

    def _start_timeout(self) -> float | None:
        """Return the start timeout of either header, more than 0.1 seconds (FAL-PROTOCOL §3.2)."""
        headers = self.request.headers
        text = headers.get("X-Fal-Request-Start-Timeout") or headers.get("X-Fal-Request-Timeout")
        if text is None:
            return None
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0.1 < seconds < 1e7:
            raise _bad_request("The start timeout must be a number of seconds greater than 0.1")
        return seconds


class JobHandler(JsonHandler):
    """A route below the URL of a request. `missing` is its reply if there is no such request."""

    missing: ClassVar[dict[str, Any]] = {"status": "NOT_FOUND"}

    def find_job(self, app: str, request_id: str) -> Job:
        """Return the job of the path, or raise `ErrorReply`: 401 without the key, 404 if there is none."""
        self.need_key(app)
        job = self.services.queue.find(app, request_id)
        if job is None:
            raise ErrorReply(404, self.missing)
        self.set_header("x-fal-request-id", job.id)
        return job


class Status(JobHandler):
    """`GET …/requests/{id}/status`."""

    def get(self, app: str, request_id: str) -> None:
        """Reply 202 while the job is queued or running, 200 after its end."""
        job = self.find_job(app, request_id)
        logs = job.window() if wants_logs(self) else None
        body = job.status(self.services.base, self.services.queue.position(job), logs)
        self.reply(body, 200 if job.state == "COMPLETED" else 202)


NEWS_SECONDS, POSITION_SECONDS = 0.5, 2.0
"""Time between two events of a stream in the same state, and while queued. Each costs the kernel a third of a
millisecond."""


class StatusStream(JobHandler):
    """`GET …/requests/{id}/status/stream`: server-sent events (FAL-PROTOCOL §5)."""

    async def get(self, app: str, request_id: str) -> None:
        """Send a status object after each change, with the new log lines. Close after COMPLETED.

        While the state stays the same, an event comes at most every `NEWS_SECONDS`, with all new lines. With
        `result=1`, which only kling_nb sends to its own server, COMPLETED has the result, too, and the paths
        of its files: two requests fewer for each preview.
        """
        job = self.find_job(app, request_id)
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        with contextlib.suppress(StreamClosedError):
            await self._events(job)

    async def _events(self, job: Job) -> None:
        logs, sent = wants_logs(self), 0
        last: dict[str, Any] | None = None
        while True:
            changed = job.changed
            lines = [line.to_json() for line in job.lines[sent:]]
            sent += len(lines)
            body = job.status(self.services.base, self.services.queue.position(job), lines if logs else None)
            if job.answer is not None and job.answer.code == 200 and self.get_query_argument("result", ""):
                answer = job.answer
                body["result"] = {"data": answer.body, "units": answer.units, "files": answer.files}
            if body != last or (logs and lines):
                self.write(f"data: {json.dumps(body, ensure_ascii=False)}\n\n")
            if job.state == "COMPLETED":
                return  # the end of the reply comes with the last event
            await self.flush()
            last = body | {"logs": [] if logs else None}
            pause = POSITION_SECONDS if job.state == "IN_QUEUE" else NEWS_SECONDS
            next_at = asyncio.get_running_loop().time() + pause
            await self._until(changed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_at):
                    while job.state == body["status"]:
                        await job.changed.wait()

    async def _until(self, changed: asyncio.Event) -> None:
        """Wait for a change, and send a keep-alive comment every `ping` seconds."""
        while True:
            try:
                async with asyncio.timeout(self.services.settings.ping):
                    await changed.wait()
                return
            except TimeoutError:
                self.write(": ping\n\n")
                await self.flush()


class Result(JobHandler):
    """`GET …/requests/{id}`: the result (FAL-PROTOCOL §6)."""

    missing: ClassVar[dict[str, Any]] = {"detail": "Request not found"}

    def get(self, app: str, request_id: str) -> None:
        """Reply with the job's answer, or 400 while it is unfinished."""
        job = self.find_job(app, request_id)
        answer = job.answer
        if answer is None:
            body = {
                "detail": "Request is still in progress",
                "request_id": job.id,
                **job.urls(self.services.base),
            }
            self.reply(body, 400)
            return
        if answer.units is not None:
            self.set_header("x-fal-billable-units", answer.units)
        if answer.error_type is not None:
            self.set_header("X-Fal-Error-Type", answer.error_type)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.reply(answer.body, answer.code)


class Cancel(JobHandler):
    """`PUT …/requests/{id}/cancel`."""

    def put(self, app: str, request_id: str) -> None:
        """Reply 200 for a queued job, 202 for a running one, 400 after its end."""
        job = self.find_job(app, request_id)
        code, word = self.services.queue.cancel(job)
        self.reply({"status": word}, code)


def wants_logs(handler: JsonHandler) -> bool:
    """Return True if `logs` is set: `1` as in fal's reference, or `true` as fal_client sends it."""
    return handler.get_query_argument("logs", "0") in _TRUE


def _bad_request(text: str) -> ErrorReply:
    return ErrorReply(400, {"detail": text, "error_type": "bad_request"}, X_Fal_Error_Type="bad_request")


# -- the platform API (FAL-PROTOCOL §12) --------------------------------------------------

_MOST = 100


class PlatformHandler(JsonHandler):
    """Needs the key, and refuses in the platform API's own form."""

    def need_api_key(self) -> None:
        """Raise `ErrorReply` (401) without the key."""
        try:
            self.need_key("")
        except ErrorReply as error:
            raise api_error(401, "authorization_error", "Authentication is required") from error


class Models(PlatformHandler):
    """`GET /v1/models`: the status of the endpoints that are named. Needs no key."""

    def get(self) -> None:
        """Reply with those that this server has."""
        wanted = self.get_query_arguments("endpoint_id")
        models = [
            {"endpoint_id": one.id, "metadata": {"display_name": one.title, "status": "active"}}
            for one in endpoints()
            if one.id in wanted
        ]
        self.reply({"models": models, "next_cursor": None, "has_more": False})


class BillingEvents(PlatformHandler):
    """`GET /v1/models/billing-events`: none, because previews are free."""

    def get(self) -> None:
        """Reply with an empty list."""
        self.need_api_key()
        self.reply({"billing_events": [], "next_cursor": None, "has_more": False})


class Sign(PlatformHandler):
    """`POST /v1/storage/files/sign`: a signed URL of a file, which works whatever its ACL."""

    def post(self) -> None:
        """Reply with the URL. It works until the server ends."""
        self.need_api_key()
        url = self.get_query_argument("url", "")
        file = self.services.store.find_url(url, self.services.base)
        if file is None:
            raise api_error(404, "not_found", "There is no such file")
        seconds = self.json_object().get("expiration_seconds")
        if not isinstance(seconds, int) or not 1 <= seconds <= 604_800:
            raise api_error(400, "validation_error", "expiration_seconds: 1 to 604800")
        token = secrets.token_urlsafe(24)
        self.services.tokens.add(f"read {file.id} {token}")
        self.reply({"signed_url": f"{url}?identity={token}"})


class Requests(PlatformHandler):
    """`GET /v1/models/requests/by-endpoint`: the submitted requests, newest first, on demand with input."""

    def get(self) -> None:
        """Reply with one page."""
        self.need_api_key()
        wanted = self.get_query_arguments("endpoint_id")
        if not 1 <= len(wanted) <= 50:
            raise api_error(400, "validation_error", "endpoint_id: 1 to 50 are needed")
        start, end = self._span()
        limit, offset = self._number("limit", 50), self._number("cursor", 0)
        if not 1 <= limit <= _MOST:
            raise api_error(400, "validation_error", f"limit: 1 to {_MOST}")
        found = [
            job
            for job in self.services.queue.newest_first()
            if job.endpoint_id in wanted and start <= self._moment_of(job) < end and self._matches(job)
        ]
        payloads = "payloads" in self.get_query_argument("expand", "")
        more = offset + limit < len(found)
        self.reply(
            {
                "items": [request_entry(job, payloads=payloads) for job in found[offset : offset + limit]],
                "next_cursor": str(offset + limit) if more else None,
                "has_more": more,
            }
        )

    def _moment_of(self, job: Job) -> datetime:
        """Return the time that `start` and `end` are about; for an unfinished request by its end, now."""
        by_end = self.services.settings.list_by == "ended"
        return job.ended_at or datetime.now(UTC) if by_end else job.submitted_at

    def _matches(self, job: Job) -> bool:
        if self.services.settings.list_finished and job.ended_at is None:
            return False
        request_id = self.get_query_argument("request_id", job.id)
        return request_id == job.id and self.get_query_argument("status", _verdict(job)) == _verdict(job)

    def _span(self) -> tuple[datetime, datetime]:
        """Return start and (exclusive) end, by default the last day, or 90 days for a single request."""
        now = datetime.now(UTC)
        days = 90 if self.get_query_argument("request_id", None) else 1
        start = self._moment("start", now - timedelta(days=days))
        return start, self._moment("end", now + timedelta(days=1))

    def _moment(self, name: str, default: datetime) -> datetime:
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise api_error(400, "validation_error", f"{name}: an ISO 8601 time is needed") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _number(self, name: str, default: int) -> int:
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise api_error(400, "validation_error", f"{name}: a whole number is needed")
        return int(text)


def request_entry(job: Job, *, payloads: bool) -> dict[str, Any]:
    """Return a request's entry of the list."""
    started = job.started_at or job.submitted_at
    found: dict[str, Any] = {
        "request_id": job.id,
        "endpoint_id": job.endpoint_id,
        "started_at": _stamp(started),
        "sent_at": _stamp(job.submitted_at),
    }
    if job.answer is not None and job.ended_at is not None:
        found |= {
            "ended_at": _stamp(job.ended_at),
            "status_code": job.answer.code,
            "duration": (job.ended_at - started).total_seconds(),
        }
    if payloads and job.keeps_payloads:
        found["json_input"] = None
        with contextlib.suppress(ValueError):
            found["json_input"] = parse_body(job.body)
        if job.answer is not None and job.answer.code == 200:
            found["json_output"] = dict(job.answer.body)
    return found


def api_error(code: int, kind: str, message: str) -> ErrorReply:
    """Return an error in the form of the platform API."""
    return ErrorReply(code, {"error": {"type": kind, "message": message}})


def _verdict(job: Job) -> str:
    """Return the request's word of the `status` filter; `unfinished` is not one of fal's words."""
    if job.answer is None:
        return "unfinished"
    return "success" if job.answer.code == 200 else "error" if job.answer.code >= 500 else "user_error"


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# -- the public key of webhooks (FAL-PROTOCOL §8) --------------------------------------


class KeySet(JsonHandler):
    """`GET /.well-known/jwks.json`; needs no key."""

    def get(self) -> None:
        """Reply with the key set. It is empty if this server cannot sign."""
        signer = self.services.webhooks.signer
        self.reply({"keys": [signer.jwk] if signer else []})
