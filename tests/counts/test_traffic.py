"""What a job costs in requests, bytes and memory, counted by the benchmark's server. No clock is read."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import sample_mp4

from benchmarks.loopback import Loopback, module, read_result

WINDOW = 0.05
"""Seconds of log lines that a status repeats: only a line or two, so that what is counted is ours."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    sample = tmp_path_factory.mktemp("sample") / "sample.mp4"
    sample.write_bytes(sample_mp4())
    with Loopback(sample, window=WINDOW) as running:
        yield running


def counted(server: Loopback, prompt: str, jobs: int = 1) -> tuple[dict[str, int], int]:
    """Return what the server counted for jobs that log, without the warm-up, and the lines received."""
    server.reset()
    server.side("kling", "instant", key="warm")
    heard = server.side("kling", prompt, jobs, key="job")["lines"]
    counts = server.counts()
    work = {kind: number - counts["warm"].get(kind, 0) // 2 for kind, number in counts["job"].items()}
    return work, int(heard)


@pytest.mark.parametrize("jobs", [1, 20])
def test_a_job_is_five_requests_however_long_it_logs(server: Loopback, jobs: int) -> None:
    work, lines = counted(server, "seconds=1 lines=20", jobs)
    kinds = ("submit", "stream", "status", "result", "file")
    assert {kind: work[kind] for kind in kinds} == dict.fromkeys(kinds, jobs)
    assert work["requests"] == 5 * jobs
    assert lines == 20 * jobs


def test_log_lines_come_once(server: Loopback) -> None:
    work, lines = counted(server, "seconds=1 lines=1000 burst=25")
    assert lines == 1000
    assert work["bytes"] <= 1.3 * work["line bytes"]


def test_a_job_in_flight_takes_little_memory(server: Loopback) -> None:
    work = {"prompt": "seconds=300 lines=300", "jobs": 200, "at_once": 200, "key": "allocated"}
    found = read_result(module("benchmarks.sides", "allocated", server.base, json.dumps(work)))
    assert found["over"] == []
    assert found["each"] <= 60_000


def test_the_sample_is_what_a_job_gives(server: Loopback, tmp_path: Path) -> None:
    work, _ = counted(server, "file=3000000")
    assert work["bytes"] >= 3_000_000
