"""The server that a process starts for its own previews."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kling_nb import Session
from kling_nb.events import State
from kling_nb.fal.replies import QueueResult, parse_preview
from kling_nb.media import read_sidecar
from kling_nb.video import probe

PROMPT = "a fox in the snow"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.skipif(CORES < 2, reason="one core draws one preview at once")
def test_previews_are_drawn_on_all_cores(home: Path, tmp_path: Path) -> None:
    session = Session(backend="local", media=str(tmp_path), local_speed=0.5)
    jobs = [session.submit(f"a fox {number}", duration="10") for number in range(2)]
    try:
        while any(job.state.state is not State.IN_PROGRESS for job in jobs):
            assert not any(job.done for job in jobs)
            time.sleep(0.01)
    finally:
        for job in jobs:
            job.cancel()
        session.close()


@pytest.fixture
def session(home: Path, tmp_path: Path) -> Iterator[Session]:
    with Session(backend="local", home=str(home), media=str(tmp_path / "media"), local_speed=1e9) as found:
        yield found


def test_a_preview_takes_two_requests(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "kling_nb.fal.lanes"):
        video = session.generate(PROMPT)
    requests = [
        record.getMessage().partition(" ")[0] for record in caplog.records if "http://" in record.getMessage()
    ]
    assert requests == ["POST", "GET"]
    sidecar = read_sidecar(video.sidecar)
    assert sidecar is not None
    found = probe(video.path)
    assert (sidecar.width, sidecar.height, sidecar.fps) == (found.width, found.height, found.fps)
    assert (sidecar.duration, sidecar.frame_count) == (found.duration, found.frame_count)
    assert sidecar.sha256 == hashlib.sha256(video.path.read_bytes()).hexdigest()


def change_files(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let the last event of a stream describe its files otherwise."""

    def parse(data: Any) -> QueueResult | None:
        found = parse_preview(data)
        if found is None:
            return None
        files = {url: replace(file, **changes) for url, file in found.files.items()}
        return replace(found, files=files)

    monkeypatch.setattr("kling_nb.fal.queue.parse_preview", parse)


def test_a_preview_whose_file_is_gone_here_is_downloaded(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_files(monkeypatch, path=Path("/nowhere.mp4"))
    assert session.generate(PROMPT).frame_count == 120


def test_a_preview_is_measured_if_the_bytes_are_not_those_of_the_server(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"width": 1, "height": 1, "fps": 1.0, "duration": 1.0, "frame_count": 1}
    change_files(monkeypatch, sha256="0" * 64, measures=wrong)
    assert session.generate(PROMPT).frame_count == 120


def test_the_ledger_knows_the_steps_of_a_long_preview_and_the_result_of_each(session: Session) -> None:
    session.generate(PROMPT)
    (quick,) = session.ledger.entries()
    assert (quick.state, quick.units) == (State.READY, "5")
    assert json.loads(quick.result or "")["video"]["url"]
    slow = Session(
        backend="local", home=session.settings().home, media=session.settings().media, local_speed=0.2
    )
    with slow:
        job = slow.submit(PROMPT, new=True)
        while (slow.ledger.get(job.id) or quick).state is not State.IN_PROGRESS:
            assert not job.done
            time.sleep(0.01)
        job.cancel()
