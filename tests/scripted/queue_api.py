"""fal's queue: submit, status, stream, result, cancel."""

import copy
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .cdn import Cdn
from .job import Job, Submission
from .message import Head, Reply
from .mp4 import sample_mp4
from .routes import Route
from .script import Done, Fail, Script
from .status import status_of, urls
from .stream import events

IN_PROGRESS = "Request is still in progress"
AT_LIMIT = {"detail": "Concurrent requests limit reached", "error_type": "concurrent_requests_limit"}
EVENT_STREAM = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))


@dataclass
class Scripts:
    """Which script the next submission gets: the first of `queue`, else its endpoint's, else `default`."""

    default: Script = field(default_factory=Script)
    of_endpoint: dict[str, Script] = field(default_factory=dict)
    queue: deque[Script] = field(default_factory=deque)

    def take(self, endpoint_id: str) -> Script:
        if self.queue:
            return self.queue.popleft()
        return self.of_endpoint.get(endpoint_id, self.default)


class QueueApi:
    """The queue and its jobs. Handlers belong to the server's loop."""

    def __init__(
        self,
        *,
        url: str,
        cdn: Cdn,
        id_prefix: str,
        on_loop: Callable[[Callable[[], None]], None],
        changed: Callable[[], None],
    ) -> None:
        self.apps = {"fal-ai/kling-video", "fal-ai/kling"}
        self.scripts = Scripts()
        self.jobs: dict[str, Job] = {}
        self.ping_every = 15.0
        self.limit: int | None = None  # of unfinished requests of the account; more are refused
        self._url = url
        self._cdn = cdn
        self._id_prefix = id_prefix
        self._on_loop = on_loop
        self._changed = changed
        self._results: dict[str, Any] = {}

    def submit(self, route: Route, head: Head, body: bytes) -> Reply:
        if route.app not in self.apps:
            return Reply.json(404, {"detail": f'Application "{route.app.split("/")[-1]}" not found'})
        if complaint := _complaint(head):
            return Reply.json(
                400, {"detail": complaint, "error_type": "bad_request"}, x_fal_error_type="bad_request"
            )
        try:
            given = json.loads(body)
        except ValueError:
            return Reply.json(400, {"detail": "The body is not JSON", "error_type": "bad_request"})
        running = sum(not job.now.final for job in self.jobs.values())
        if self.limit is not None and running >= self.limit:
            return Reply.json(429, AT_LIMIT, x_fal_error_type=AT_LIMIT["error_type"])
        job = self._accept(route, head, given)
        # the reply always says IN_QUEUE, however soon the job starts
        first = {"status": "IN_QUEUE", "request_id": job.request_id, **urls(self._url, job)}
        return Reply.json(
            200, first | {"logs": None, "metrics": {}, "queue_position": job.history[0].position}
        )

    def _accept(self, route: Route, head: Head, given: Any) -> Job:
        # shaped like the UUIDv7 of real replies, and the same in every run
        request_id = f"{self._id_prefix}-0000-7000-8000-{len(self.jobs) + 1:012x}"
        place = (request_id, route.endpoint_id, route.app)
        submission = Submission(*place, given, dict(head.headers), dict(head.query), datetime.now(UTC))
        return self.accept(submission, self.scripts.take(route.endpoint_id))

    def accept(self, submission: Submission, script: Script) -> Job:
        """Make the job of a submission."""
        job = Job(submission, script, self._on_loop, self._changed)
        self.jobs[submission.request_id] = job
        return job

    def find(self, route: Route) -> Job | None:
        """Return the job at this URL, if fal still has it."""
        job = self.jobs.get(route.request_id)
        return None if job is None or job.forgotten or job.submission.app != route.app else job

    def status(self, route: Route, head: Head, body: bytes) -> Reply:
        if route.below:
            return not_allowed()
        if (job := self.find(route)) is None:
            return Reply.json(404, {"status": "NOT_FOUND"})
        window = job.script.log_window
        lines = job.log[max(0, len(job.log) - window) :] if window is not None else list(job.log)
        value = status_of(self._url, job, job.now, lines if wants_logs(head) else None)
        code = 200 if job.now.final else 202
        job.look()
        return Reply.json(code, value)

    def stream(self, route: Route, head: Head, body: bytes) -> Reply:
        if route.below:
            return not_allowed()
        if (job := self.find(route)) is None:
            return Reply.json(404, {"status": "NOT_FOUND"})
        frames = events(self._url, job, logs=wants_logs(head), ping_every=self.ping_every)
        return Reply(200, b"", EVENT_STREAM, frames)

    def result(self, route: Route, head: Head, body: bytes) -> Reply:
        if route.below:
            return not_allowed()
        if (job := self.find(route)) is None:
            return Reply.json(404, {"detail": "Request not found"})
        if job.outcome is None:
            job.look()
            named = {"request_id": job.request_id, **urls(self._url, job)}
            return Reply.json(400, {"detail": IN_PROGRESS, **named})
        headers = {"x-fal-request-id": job.request_id, **job.outcome.headers}
        if isinstance(job.outcome, Fail):
            return Reply.json(job.outcome.status, job.outcome.body, **headers)
        if job.outcome.units is not None:
            headers["x-fal-billable-units"] = job.outcome.units
        return Reply.json(200, self.output(job, job.outcome), **headers)

    def output(self, job: Job, done: Done) -> Any:
        """The result's body; its file is put on the CDN when it is first asked for."""
        if job.request_id not in self._results:
            self._results[job.request_id] = self._make_output(done, _acl(job.submission.headers))
        return copy.deepcopy(self._results[job.request_id])

    def _make_output(self, done: Done, acl: str | None) -> Any:
        if done.output is not None:
            return done.output
        data = sample_mp4() if done.video is None else done.video
        url = self._cdn.put("output.mp4", data, "video/mp4")
        if acl is not None:
            self._cdn.acl[url.removeprefix(self._cdn.url)] = acl
        about = {"content_type": "video/mp4", "file_name": "output.mp4", "file_size": len(data)}
        return {"video": {"url": url} | ({} if done.bare else about), **done.extra}

    def cancel(self, route: Route, head: Head, body: bytes) -> Reply:
        if route.below:
            return not_allowed()
        if (job := self.find(route)) is None:
            return Reply.json(404, {"status": "NOT_FOUND"})
        code, word = job.cancel()
        return Reply.json(code, {"status": word})


def not_allowed() -> Reply:
    """What fal says on `/response` and on the model's full sub-path."""
    return Reply.json(405, {"detail": "Method Not Allowed"})


def wants_logs(head: Head) -> bool:
    """`logs` comes as 1 or as true; without it there are none."""
    return dict(head.query).get("logs", "0").lower() in ("1", "true")


def _acl(headers: Mapping[str, str]) -> str | None:
    """Who may read the files of a request by its own header."""
    wanted = json.loads(headers.get("x-fal-object-lifecycle-preference", "{}"))
    acl: str | None = wanted.get("initial_acl", {}).get("default")
    return acl


def _complaint(head: Head) -> str | None:
    for name in ("x-fal-request-start-timeout", "x-fal-request-timeout"):
        text = head.header(name)
        try:
            if text is not None and float(text) <= 0.1:
                return f"{name} must be more than 0.1"
        except ValueError:
            return f"{name} is not a number: {text}"
    return None


Handler = Callable[[Route, Head, bytes], Reply]
Handlers = Mapping[str, Handler]
