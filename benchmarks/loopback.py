"""The server's process, seen from the benchmark: started, asked, and loaded to find its own ceiling."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from benchmarks.sides import ENDPOINT

ROOT = Path(__file__).resolve().parent.parent
_PIPELINED = 20
_ROUNDS = 250


class Loopback:
    """A running server. Use it in a `with` block.

    Args:
        sample: The video that results are.
        window: Seconds of log lines that a polled status holds.
    """

    def __init__(self, sample: Path, *, window: float = 5.0) -> None:
        self._sample = sample
        self._window = window

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server"],
            cwd=ROOT,
            env={
                **os.environ,
                "KLING_NB_BENCH_SAMPLE": str(self._sample),
                "KLING_NB_BENCH_WINDOW": str(self._window),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self.base = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def counts(self) -> dict[str, dict[str, int]]:
        """Requests, bytes and kinds of requests, by key."""
        return self._ask("counts")

    def submitted(self) -> list[float]:
        """When each submission arrived, by `time.monotonic`."""
        return self._ask("submitted")["times"]

    def reset(self) -> None:
        self._ask("reset")

    def _ask(self, word: str) -> Any:
        with urllib.request.urlopen(f"{self.base}/bench/{word}") as answer:
            return json.load(answer)

    # -- clients

    def side(
        self, name: str, prompt: str, jobs: int = 1, at_once: int = 0, key: str = ""
    ) -> dict[str, float]:
        """What some jobs cost a client, in a process of its own."""
        return read_result(self.start(name, prompt, jobs, at_once, key))

    def start(
        self, name: str, prompt: str, jobs: int = 1, at_once: int = 0, key: str = ""
    ) -> subprocess.Popen[str]:
        """Start the same in the background. `read_result` waits for it."""
        work = {"prompt": prompt, "jobs": jobs, "at_once": at_once or jobs, "key": key or name}
        return module("benchmarks.sides", name, self.base, json.dumps(work))

    # -- the ceiling

    def ceiling(self) -> float:
        """Status replies a second, to raw sockets that write many requests at once."""
        host, port = self.base.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            body = b'{"prompt":"x"}'
            head = f"POST /{ENDPOINT} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            reply = connection.recv(65_536)
            target = json.loads(reply.partition(b"\r\n\r\n")[2])["status_url"].removeprefix(self.base)
            request = f"GET {target}?logs=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            connection.sendall(request)
            size = len(connection.recv(65_536))
            start = time.perf_counter()
            for _ in range(_ROUNDS):
                connection.sendall(request * _PIPELINED)
                left = size * _PIPELINED
                while left > 0:
                    left -= len(connection.recv(1 << 20))
            return _ROUNDS * _PIPELINED / (time.perf_counter() - start)


def module(name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A module of the benchmark as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", name, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def read_result(process: subprocess.Popen[str]) -> Any:
    """Wait for a process and return the JSON that it prints last.

    Raises:
        RuntimeError: It failed; see its stderr.
    """
    printed, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with {process.returncode}")
    return json.loads(printed.splitlines()[-1])
