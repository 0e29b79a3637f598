"""The platform API, as far as it tells of requests (FAL-PROTOCOL §12.4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from kling_nb.local.handler import JsonHandler, Refusal
from kling_nb.local.job import Job, parse_body

_MOST = 100


class Requests(JsonHandler):
    """`GET /v1/models/requests/by-endpoint`: what was submitted, newest first, with its input on demand."""

    def get(self) -> None:
        """One page."""
        self._need_key()
        wanted = self.get_query_arguments("endpoint_id")
        if not 1 <= len(wanted) <= 50:
            raise problem(400, "validation_error", "endpoint_id: 1 to 50 are needed")
        start, end = self._span()
        limit, offset = self._number("limit", 50), self._number("cursor", 0)
        if not 1 <= limit <= _MOST:
            raise problem(400, "validation_error", f"limit: 1 to {_MOST}")
        found = [
            job
            for job in self.engine.queue.newest_first()
            if job.endpoint_id in wanted and start <= job.submitted_at < end and self._asked_for(job)
        ]
        payloads = "payloads" in self.get_query_argument("expand", "")
        more = offset + limit < len(found)
        self.reply(
            {
                "items": [item(job, payloads=payloads) for job in found[offset : offset + limit]],
                "next_cursor": str(offset + limit) if more else None,
                "has_more": more,
            }
        )

    def _need_key(self) -> None:
        try:
            self.need_key("")
        except Refusal as refusal:
            raise problem(401, "authorization_error", "Authentication is required") from refusal

    def _asked_for(self, job: Job) -> bool:
        request_id = self.get_query_argument("request_id", job.id)
        return request_id == job.id and self.get_query_argument("status", _verdict(job)) == _verdict(job)

    def _span(self) -> tuple[datetime, datetime]:
        """The last day, unless said otherwise; 90 days where one request is named. The end is excluded."""
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
            raise problem(400, "validation_error", f"{name}: an ISO 8601 time is needed") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _number(self, name: str, default: int) -> int:
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise problem(400, "validation_error", f"{name}: a whole number is needed")
        return int(text)


def item(job: Job, *, payloads: bool) -> dict[str, Any]:
    """A request as the list shows it."""
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
        found["json_input"] = _input(job)
        if job.answer is not None and job.answer.code == 200:
            found["json_output"] = dict(job.answer.body)
    return found


def problem(code: int, kind: str, message: str) -> Refusal:
    """An error in the platform API's own form."""
    return Refusal(code, {"error": {"type": kind, "message": message}})


def _input(job: Job) -> Any:
    try:
        return parse_body(job.body)
    except ValueError:
        return None


def _verdict(job: Job) -> str:
    """The word of the `status` filter; an unfinished request has none of them."""
    if job.answer is None:
        return "unfinished"
    return "success" if job.answer.code == 200 else "error" if job.answer.code >= 500 else "user_error"


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
