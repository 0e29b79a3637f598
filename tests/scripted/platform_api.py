"""The platform API as far as a client of jobs needs it: earlier requests, prices, OpenAPI documents."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .cdn import Cdn
from .job import Job
from .message import Head, Reply
from .queue_api import QueueApi
from .routes import Route
from .script import Done


def problem(status: int, kind: str, message: str) -> Reply:
    """An error in the platform API's own form."""
    return Reply.json(status, {"error": {"type": kind, "message": message}})


class PlatformApi:
    """Reads the queue's jobs; belongs to the server's loop, its settings to any thread.

    Attributes:
        by_end: `start` and `end` of the list mean the end of a request, not its submission.
        lists_unfinished: requests that have not ended are in the list.
        keeps_payloads: the account stores inputs and outputs, so that `expand=payloads` shows them.
        prices: USD per unit by endpoint id.
        unit: fal's word for the unit of all prices.
        openapi: documents by endpoint id.
        deprecated: ids of endpoints whose status is that; all others are active.
        admin: the key has ADMIN scope, which billing events need.
        more_bills: billing events besides those of the jobs that are done.
        may_sign: the key has the permission assets:read.
    """

    def __init__(self, queue: QueueApi, cdn: Cdn) -> None:
        self.by_end = False
        self.lists_unfinished = True
        self.deprecated: set[str] = set()
        self.admin = True
        self.more_bills: list[dict[str, Any]] = []
        self.may_sign = True
        self.keeps_payloads = True
        self.unit = "seconds"
        self.prices: dict[str, float] = {"fal-ai/kling-video/v1/pro/text-to-video": 0.098}
        self.openapi: dict[str, Mapping[str, Any]] = {}
        self._queue = queue
        self._cdn = cdn

    def sign(self, route: Route, head: Head, body: bytes) -> Reply:
        """A signed address of a file; whether there is one is not looked at."""
        if not self.may_sign:
            return problem(403, "authorization_error", "The key lacks the permission assets:read")
        url = dict(head.query).get("url", "")
        seconds = json.loads(body)["expiration_seconds"]
        if "?" in url or not isinstance(seconds, int) or not 1 <= seconds <= 604_800:
            return problem(400, "validation_error", "url without a query; expiration_seconds 1 to 604800")
        return Reply.json(200, {"signed_url": self._cdn.sign(url)})

    def lookup(self, route: Route, head: Head, body: bytes) -> Reply:
        """Requests of the named endpoints, newest first."""
        query = dict(head.query)
        wanted = [text for name, text in head.query if name == "endpoint_id"]
        if not 1 <= len(wanted) <= 50:
            return problem(400, "validation_error", "endpoint_id: 1 to 50 are needed")
        try:
            start, end = _span(query)
            limit, offset = int(query.get("limit", "50")), int(query.get("cursor", "0"))
        except ValueError as error:
            return problem(400, "validation_error", str(error))
        if not 1 <= limit <= 100:
            return problem(400, "validation_error", "limit: 1 to 100")
        found = [
            self._item(job, payloads="payloads" in query.get("expand", ""))
            for job in reversed(self._queue.jobs.values())
            if job.submission.endpoint_id in wanted
            and start <= self._moment_of(job) < end
            and (self.lists_unfinished or job.ended_at is not None)
            and query.get("request_id", job.request_id) == job.request_id
            and query.get("status", _verdict(job)) == _verdict(job)
        ]
        more = offset + limit < len(found)
        cursor = str(offset + limit) if more else None
        return Reply.json(
            200, {"items": found[offset : offset + limit], "next_cursor": cursor, "has_more": more}
        )

    def _moment_of(self, job: Job) -> datetime:
        return (job.ended_at or datetime.now(UTC)) if self.by_end else job.submission.at

    def _item(self, job: Job, *, payloads: bool) -> dict[str, Any]:
        sent = job.submission
        started = job.started_at or sent.at
        item: dict[str, Any] = {"request_id": job.request_id, "endpoint_id": sent.endpoint_id}
        item |= {"started_at": _stamp(started), "sent_at": _stamp(sent.at)}
        if job.outcome is not None and job.ended_at is not None:
            code = 200 if isinstance(job.outcome, Done) else job.outcome.status
            seconds = (job.ended_at - started).total_seconds()
            item |= {"ended_at": _stamp(job.ended_at), "status_code": code, "duration": seconds}
        if payloads and self.keeps_payloads and sent.headers.get("x-fal-store-io") != "0":
            item["json_input"] = sent.input
            if isinstance(job.outcome, Done):
                item["json_output"] = self._queue.output(job, job.outcome)
        return item

    def bills(self, route: Route, head: Head, body: bytes) -> Reply:
        """Billing events of the jobs that are done and have a price, and `more_bills`, newest first."""
        if not self.admin:
            return problem(403, "authorization_error", "You are not permitted to perform this action")
        query = dict(head.query)
        start, end = _span(query)
        if end - start > timedelta(days=90, seconds=1):
            return problem(400, "validation_error", "at most 90 days")
        found = [
            self._bill(job, job.outcome)
            for job in self._queue.jobs.values()
            if isinstance(job.outcome, Done) and job.submission.endpoint_id in self.prices
        ]
        found = [one for one in [*found, *self.more_bills] if start <= _moment(one["timestamp"]) < end]
        limit, offset = int(query.get("limit", "50")), int(query.get("cursor", "0"))
        more = offset + limit < len(found)
        cursor = str(offset + limit) if more else None
        return Reply.json(
            200, {"billing_events": found[offset : offset + limit], "next_cursor": cursor, "has_more": more}
        )

    def _bill(self, job: Job, done: Done) -> dict[str, Any]:
        units, price = float(done.units or 0), self.prices[job.submission.endpoint_id]
        return {
            "request_id": job.request_id,
            "endpoint_id": job.submission.endpoint_id,
            "timestamp": _stamp(job.ended_at or job.submission.at),
            "output_units": units,
            "unit_price": price,
            "percent_discount": None,
            "cost_estimate_nano_usd": round(units * price * 1e9),
        }

    def models(self, route: Route, head: Head, body: bytes) -> Reply:
        """The endpoints that are named, as far as their status."""
        wanted = [text for name, text in head.query if name == "endpoint_id"]
        rows = [
            {
                "endpoint_id": name,
                "metadata": {"status": "deprecated" if name in self.deprecated else "active"},
            }
            for name in wanted
        ]
        return Reply.json(200, {"models": rows, "next_cursor": None, "has_more": False})

    def pricing(self, route: Route, head: Head, body: bytes) -> Reply:
        wanted = [text for name, text in head.query if name == "endpoint_id"]
        if not 1 <= len(wanted) <= 50:
            return problem(400, "validation_error", "endpoint_id: 1 to 50 are needed")
        unknown = [name for name in wanted if name not in self.prices]
        if unknown:
            return problem(404, "not_found", f"no price for {', '.join(unknown)}")
        rows = [
            {"endpoint_id": name, "unit_price": self.prices[name], "unit": self.unit, "currency": "USD"}
            for name in wanted
        ]
        return Reply.json(200, {"prices": rows, "next_cursor": None, "has_more": False})

    def document(self, route: Route, head: Head, body: bytes) -> Reply:
        """The OpenAPI of an endpoint; public."""
        found = self.openapi.get(dict(head.query).get("endpoint_id", ""))
        return Reply.json(404, None) if found is None else Reply.json(200, found)


def _span(query: Mapping[str, str]) -> tuple[datetime, datetime]:
    """Between `start` (a day ago unless given; 90 days when one request is named) and `end`."""
    now = datetime.now(UTC)
    start = now - timedelta(days=90 if "request_id" in query else 1)
    if "start" in query:
        start = min(_moment(query["start"]), start) if "request_id" in query else _moment(query["start"])
    return start, _moment(query["end"]) if "end" in query else now + timedelta(days=1)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _verdict(job: Job) -> str:
    """The word of the `status` filter; an unfinished job has none of them."""
    if job.outcome is None:
        return "unfinished"
    if isinstance(job.outcome, Done):
        return "success"
    return "error" if job.outcome.status >= 500 else "user_error"
