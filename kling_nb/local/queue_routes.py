"""The queue over HTTP: submit, status, stream, result, cancel (FAL-PROTOCOL §3–§7)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from kling_nb.local.handler import JsonHandler, Refusal, find_job
from kling_nb.local.job import Job

_TRUE = frozenset({"1", "true", "True", "yes"})
_UNKNOWN: dict[str, Any] = {"status": "NOT_FOUND"}


class Submit(JsonHandler):
    """`POST /{endpoint id}`."""

    def check(self) -> None:
        """Look at app and key."""
        super().check()
        self.app, self.path_within = split_id(self.request.path.strip("/"))
        if self.app not in self.engine.apps:
            raise Refusal(404, f'Application "{self.app.rpartition("/")[2]}" not found')
        if self.request.method != "POST":
            raise HTTPError(405)  # also for the result under the model's full id (FAL-PROTOCOL §2)
        self.need_key(self.app)

    def post(self, _path: str) -> None:
        """Queue it: the input is not looked at here."""
        endpoint_id = f"{self.app}/{self.path_within}".rstrip("/")
        limit = self._max_queue_length()
        if limit is not None and self.engine.queue.waiting(endpoint_id) > limit:
            raise Refusal(429, f"Queue is longer than {limit} requests")
        job = Job(
            self.app,
            self.path_within,
            self.body(),
            low=self.request.headers.get("X-Fal-Queue-Priority", "").lower() == "low",
            webhook=self.get_query_argument("fal_webhook", None),
            keeps_payloads=self.request.headers.get("X-Fal-Store-IO") != "0",
        )
        self.engine.queue.submit(job, self._start_timeout())
        self.engine.webhooks.follow(job)
        self.set_header("x-fal-request-id", job.id)
        position = self.engine.queue.position(job)
        self.reply(job.status(self.engine.base, position, None))

    def _max_queue_length(self) -> int | None:
        text = self.get_query_argument("fal_max_queue_length", None)
        if text is None:
            return None
        if not text.isdecimal():
            raise _bad_request("fal_max_queue_length must be a whole number")
        return int(text)

    def _start_timeout(self) -> float | None:
        """The header of either name; more than 0.1 seconds (FAL-PROTOCOL §3.2)."""
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


class Status(JsonHandler):
    """`GET …/requests/{id}/status`."""

    def get(self, app: str, request_id: str) -> None:
        """202 while it is queued or runs, 200 when it is over."""
        self.need_key(app)
        job = find_job(self, app, request_id, _UNKNOWN)
        logs = job.window() if wants_logs(self) else None
        body = job.status(self.engine.base, self.engine.queue.position(job), logs)
        self.reply(body, 200 if job.state == "COMPLETED" else 202)


class StatusStream(JsonHandler):
    """`GET …/requests/{id}/status/stream`: server-sent events (FAL-PROTOCOL §5)."""

    async def get(self, app: str, request_id: str) -> None:
        """Status objects as they change, each with the log lines that are new; closes after COMPLETED."""
        self.need_key(app)
        job = find_job(self, app, request_id, _UNKNOWN)
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
            body = job.status(self.engine.base, self.engine.queue.position(job), lines if logs else None)
            if body != last or (logs and lines):
                self.write(f"data: {json.dumps(body, ensure_ascii=False)}\n\n")
                await self.flush()
            last = body | {"logs": [] if logs else None}
            if job.state == "COMPLETED":
                return
            await self._until(changed)

    async def _until(self, changed: asyncio.Event) -> None:
        """Wait for a change, with a comment as a sign of life each time `ping` seconds pass without."""
        while True:
            try:
                async with asyncio.timeout(self.engine.ping):
                    await changed.wait()
                return
            except TimeoutError:
                self.write(": ping\n\n")
                await self.flush()


class Result(JsonHandler):
    """`GET …/requests/{id}`: what the model returned (FAL-PROTOCOL §6)."""

    def get(self, app: str, request_id: str) -> None:
        """The job's answer; 400 while there is none."""
        self.need_key(app)
        job = find_job(self, app, request_id, {"detail": "Request not found"})
        answer = job.answer
        if answer is None:
            body = {
                "detail": "Request is still in progress",
                "request_id": job.id,
                **job.urls(self.engine.base),
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


class Cancel(JsonHandler):
    """`PUT …/requests/{id}/cancel`."""

    def put(self, app: str, request_id: str) -> None:
        """200 when it was queued, 202 when it runs, 400 when it is over."""
        self.need_key(app)
        job = find_job(self, app, request_id, _UNKNOWN)
        code, word = self.engine.queue.cancel(job)
        self.reply({"status": word}, code)


def split_id(endpoint_id: str) -> tuple[str, str]:
    """`owner/alias` and the rest of an id, by the rule of FAL-PROTOCOL §2."""
    parts = endpoint_id.split("/")
    head = 3 if parts[0] in {"workflows", "comfy"} else 2
    return "/".join(parts[:head]), "/".join(parts[head:])


def wants_logs(handler: JsonHandler) -> bool:
    """Whether `logs` is asked for: `1` as the reference has it, `true` as fal_client sends it."""
    return handler.get_query_argument("logs", "0") in _TRUE


def _bad_request(text: str) -> Refusal:
    return Refusal(400, {"detail": text, "error_type": "bad_request"}, X_Fal_Error_Type="bad_request")
