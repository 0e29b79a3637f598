"""A studio's object store on loopback: moto's S3, with faults on the wire."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Environ = dict[str, Any]
Fault = Callable[[Environ, Callable[..., Any]], Iterable[bytes] | None]

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "studio",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-studio",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Studio:
    """The server. `requests` has each request as `"GET /bucket/key"`; `fault` answers some of them.

    Attributes:
        url: Of the server, for `AWS_ENDPOINT_URL`.
    """

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.requests: list[str] = []
        self._faults: list[tuple[str, Fault]] = []
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reset(self) -> None:
        """Delete all buckets."""
        reply = urlopen(Request(f"{self.url}/moto-api/reset", method="POST"), timeout=30)
        reply.close()

    def new_library(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """Return the URL of an empty bucket, the only one, that this process may use."""
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url}.items():
            monkeypatch.setenv(name, value)
        self.reset()
        self.make_bucket("studio")
        return "s3://studio/kling"

    def make_bucket(self, name: str) -> None:
        given = {
            "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            "region_name": CREDENTIALS["AWS_DEFAULT_REGION"],
        }
        client = boto3.client("s3", endpoint_url=self.url, **given)
        client.create_bucket(Bucket=name)
        client.close()

    @contextmanager
    def fault(self, request: str, fault: Fault) -> Iterator[None]:
        """Let a fault answer each request that starts with a text, such as `"PUT /studio/media"`."""
        self._faults.append((request, fault))
        try:
            yield
        finally:
            self._faults.remove((request, fault))

    def _serve(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        self.requests.append(request)
        for wanted, fault in list(self._faults):
            if request.startswith(wanted):
                answer = fault(environ, start)
                if answer is not None:
                    return answer
        found: Iterable[bytes] = self._moto(environ, start)
        return found


def refuse(status: str, code: str) -> Fault:
    """Answer with an error of S3, such as `refuse("403 Forbidden", "AccessDenied")`."""

    def answer(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def be_silent(until: threading.Event) -> Fault:
    """Answer only when an event is set."""

    def answer(_: Environ, _start: Callable[..., Any]) -> None:
        until.wait(30)

    return answer


def cut(data: bytes, length: int) -> Fault:
    """Promise `length` bytes, and close the connection after `data`."""

    def answer(_: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", str(length)), ("ETag", '"x"')])
        return [data]

    return answer
