"""The local preview server as a real process, and a client that speaks plain HTTP to it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from gate import Gate

TEXT = "fal-ai/kling-video/v1/pro/text-to-video"
IMAGE = "fal-ai/kling-video/v1/pro/image-to-video"
LONG = "fal-ai/kling-video/v3/pro/text-to-video"
APP = "/fal-ai/kling-video"


class RunningServer:
    """One server process, tied to this one by its standard input."""

    def __init__(self, *flags: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kling_nb.local", "--parent", *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode()
        self.hello = json.loads(line)
        self.url, self.key = self.hello["url"], self.hello["key"]
        self.http = httpx.Client(base_url=self.url, headers=self.auth, timeout=30, trust_env=False)
        self._gates: dict[str, Gate] = {}

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Key {self.key}"}

    def close(self) -> None:
        """End it by closing its standard input. It must have had nothing to complain of."""
        self.http.close()
        for gate in self._gates.values():
            gate.__exit__()
        out, complaints = self.process.communicate(timeout=20)
        assert (self.process.returncode, out, complaints) == (0, b"", b"")

    def submit(self, endpoint: str = TEXT, values: Any = None, **options: Any) -> dict[str, Any]:
        """Submit an input and give the reply."""
        reply = self.http.post(f"/{endpoint}", json=values or {"prompt": "a red kite"}, **options)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def submit_held(self) -> dict[str, Any]:
        """A job that its runner has taken, and that runs until it is cancelled: its picture does not come."""
        gate = Gate().__enter__()
        job = self.submit(IMAGE, {"prompt": "a long walk through a neon city", "image_url": gate.url})
        self._gates[job["request_id"]] = gate
        self.until(job, lambda status: status["status"] == "IN_PROGRESS")
        return job

    def status(self, job: dict[str, Any], **params: Any) -> httpx.Response:
        return self.http.get(job["status_url"], params=params)

    def until(self, job: dict[str, Any], good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first status that is `good`, by the event stream."""
        for status in self.events(job):
            if good(status):
                return status
        raise AssertionError(f"never came: {status}")

    def events(self, job: dict[str, Any], **params: str) -> Iterator[dict[str, Any]]:
        """The status objects of the event stream, to its end."""
        for line in self.raw_events(job, **params):
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))

    def raw_events(self, job: dict[str, Any], **params: str) -> Iterator[str]:
        params = {"logs": "1", **params}
        with self.http.stream("GET", job["status_url"] + "/stream", params=params) as stream:
            assert stream.status_code == 200
            assert stream.headers["content-type"].startswith("text/event-stream")
            yield from stream.iter_lines()

    def finish(self, job: dict[str, Any]) -> dict[str, Any]:
        """The last status of a job."""
        return self.until(job, lambda status: status["status"] == "COMPLETED")

    def result(self, endpoint: str = TEXT, values: Any = None) -> httpx.Response:
        """Submit, wait, and give the answer of the result URL."""
        job = self.submit(endpoint, values)
        self.finish(job)
        return self.http.get(job["response_url"])

    def cancel(self, job: dict[str, Any]) -> httpx.Response:
        reply = self.http.put(job["cancel_url"])
        if gate := self._gates.pop(job["request_id"], None):
            gate.__exit__()
        return reply


@contextmanager
def running(*flags: str, env: dict[str, str] | None = None) -> Iterator[RunningServer]:
    server = RunningServer(*flags, env=env)
    try:
        yield server
    finally:
        server.close()


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """The first true value of `condition`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "never became true"
        time.sleep(0.01)
    return value
