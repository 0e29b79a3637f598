"""Measure the upload of a file of 100 MB: time and memory, compared to plain httpx.

    python benchmarks/uploads.py [runs]

Both sides send the same file to the same loopback server, taking turns. The server is a process of
its own that throws the bytes away as the kernel hands them over. Memory is the peak of the resident
set above that of the idle process just before, in a process of its own for each side.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

SIZE = 100_000_000
RUNS = 15
GOALS = "goals: at least 0.9 of plain httpx, at most 40 MB above idle"


def serve() -> None:
    """The server: takes any request, answers with places to upload to. Its process ends with its input."""
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        print(port, flush=True)
        base = f"http://127.0.0.1:{port}/files/x"
        place = {"upload_url": f"{base}?signature=1", "file_url": base, "etag": '"1"', "parts": []}
        while True:
            threading.Thread(target=converse, args=(server.accept()[0], place), daemon=True).start()


def converse(connection: socket.socket, place: dict[str, object]) -> None:
    reply = json.dumps(place).encode()
    room = bytearray(1 << 20)
    received = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in received:
                more = connection.recv(65_536)
                if not more:
                    return
                received += more
            head, _, received = received.partition(b"\r\n\r\n")
            sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            left = int(sizes[0].split(b":")[1]) if sizes else 0
            left, received = left - len(received), received[max(left, 0) :] if left < len(received) else b""
            while left > 0:
                left -= connection.recv_into(room, min(left, len(room)))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply)


class Plain:
    """What a careful user of httpx writes: one PUT, streamed from the open file."""

    def __init__(self, base: str, path: Path) -> None:
        import httpx

        self._client = httpx.Client(trust_env=False)
        self._url, self._path = f"{base}/files/x?signature=1", path

    def send(self) -> None:
        with self._path.open("rb") as file:
            headers = {"Content-Length": str(SIZE), "Content-Type": "video/mp4"}
            self._client.put(self._url, content=file, headers=headers).raise_for_status()

    def rest(self) -> None:
        """Wait for work that goes on after `send`, so that it does not count in another side's time."""


class PlainBytes(Plain):
    """The same, with the file read into memory first."""

    def send(self) -> None:
        self._client.put(self._url, content=self._path.read_bytes()).raise_for_status()


class Ours:
    """`Storage.upload`: initiate, parts, complete."""

    def __init__(self, base: str, path: Path) -> None:
        from kling_nb.fal.hosts import Hosts
        from kling_nb.fal.http import Http
        from kling_nb.fal.storage import Storage
        from kling_nb.request.media_input import for_upload

        self._loop = asyncio.new_event_loop()
        self._storage = Storage(Http(Hosts(queue=base, rest=base, api=base), lambda: None))
        self._file = for_upload(path)

    def send(self) -> None:
        self._loop.run_until_complete(self._storage.upload(self._file))

    def rest(self) -> None:
        pass


class Session:
    """`Session.upload`, the look into the ledger included; with another lifetime each time, so that
    nothing is known from before. Closing it waits until the file is read and known by its hash."""

    def __init__(self, base: str, path: Path) -> None:
        self._base = base
        self._path, self._lifetimes = path, count(1_000)
        self.until_known: list[float] = []
        self._open()

    def _open(self) -> None:
        from kling_nb import Session as OurSession

        base, path = self._base, self._path
        self._session = OurSession(
            backend="fal",
            credentials="bench:mark",
            queue_url=base,
            rest_url=base,
            api_url=base,
            home=tempfile.mkdtemp(dir=path.parent),
        )

    def send(self) -> None:
        self._start = time.perf_counter()
        self._session.upload(self._path, expires_in=next(self._lifetimes))

    def rest(self) -> None:
        self._session.close()
        self.until_known.append(time.perf_counter() - self._start)
        self._open()


KNOWN = "Session.upload, until it is known by its hash"
SIDES = {
    "httpx, from disk": Plain,
    "httpx, from memory": PlainBytes,
    "Storage.upload": Ours,
    "Session.upload": Session,
}


def compare(base: str, path: Path, runs: int) -> dict[str, float]:
    """Median seconds by side; the first round warms up and does not count."""
    sides = {name: make(base, path) for name, make in SIDES.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for run in range(runs + 1):
        order = [*sides][run % len(sides) :] + [*sides][: run % len(sides)]  # no one is always second
        for name, side in ((name, sides[name]) for name in order):
            start = time.perf_counter()
            side.send()
            if run:
                times[name].append(time.perf_counter() - start)
            side.rest()
    times[KNOWN] = sides["Session.upload"].until_known[1:]
    return {name: statistics.median(values) for name, values in times.items()}


def memory(side: str, base: str, path: Path) -> float:
    """Peak MB above idle of a process that uploads three times."""
    program = [sys.executable, __file__, "--memory", side, base, str(path)]
    return float(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


def measure_memory(name: str, base: str, path: Path) -> None:
    side = SIDES[name](base, path)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    idle = status("VmRSS")
    for _ in range(3):
        side.send()
        side.rest()
    print((status("VmHWM") - idle) / 1e6)


def status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def make_file(folder: Path) -> Path:
    """Write a file with the first bytes of a video. Wait, because a new file is read twice."""
    path = folder / "clip.mp4"
    path.write_bytes(b"\0\0\0\x18ftypisom" + os.urandom(SIZE - 12))
    time.sleep(3)
    return path


@contextmanager
def serving() -> Iterator[str]:
    """Yield the URL of a running server."""
    program = [sys.executable, __file__, "--serve"]
    server = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.communicate()


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder, serving() as base:
        path = make_file(Path(folder))
        medians = compare(base, path, runs)
        peaks = {name: memory(name, base, path) for name in SIDES}
    report(medians, peaks, runs)


def report(medians: dict[str, float], peaks: dict[str, float], runs: int) -> None:
    print(f"100 MB to a loopback server, medians of {runs} interleaved runs; {GOALS}\n")
    plain = medians["httpx, from disk"]
    memory_first = medians["httpx, from memory"]
    print("| | ms | MB/s | of httpx from disk | of httpx from memory | peak MB above idle |")
    print("|---|---|---|---|---|---|")
    for name, seconds in medians.items():
        ratios = f"{plain / seconds:.2f} | {memory_first / seconds:.2f}"
        peak = f"{peaks[name]:.0f}" if name in peaks else ""
        print(f"| {name} | {seconds * 1000:.0f} | {SIZE / seconds / 1e6:.0f} | {ratios} | {peak} |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve"]:
            serve()
        case ["--memory", name, base, path]:
            measure_memory(name, base, Path(path))
        case arguments:
            main(int(arguments[0]) if arguments else RUNS)
