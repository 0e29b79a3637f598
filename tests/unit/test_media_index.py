"""The index of a folder with many takes reads only what changed."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clips import clip_bytes, in_chunks

from kling_nb.media import MediaFolder, Take, TakeDraft

TAKES = 400
CLIP = clip_bytes(frames=2)
DRAFT = TakeDraft(
    fingerprint="ab" * 32,
    take=None,
    endpoint="fal-ai/kling-video/v1/pro/text-to-video",
    input={"prompt": "A heron lands"},
    prompt="A heron lands",
    backend="fal",
    request_id="request-0",
    url="https://v3.fal.media/files/a/output.mp4",
    kind="video",
)
opened: list[str] = []
watched: list[str] = []


def on_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and watched and str(arguments[0]).startswith(watched[0]):
        opened.append(Path(str(arguments[0])).name)


sys.addaudithook(on_open)  # It stays for the life of the process, and acts only while a folder is watched.


@contextmanager
def opens(folder: MediaFolder) -> Iterator[list[str]]:
    """Give a list to which the names of files opened in a folder are added."""
    opened.clear()
    watched[:] = [str(folder.folder)]
    try:
        yield opened
    finally:
        watched.clear()


def mark(number: int) -> str:
    return f"{number:064x}"


@pytest.fixture
def large(tmp_path: Path) -> MediaFolder:
    """Return a folder of many takes: one that was stored, and others like it."""
    folder = MediaFolder(tmp_path / "media")
    first = asyncio.run(folder.store(in_chunks(CLIP), DRAFT))
    for number in range(1, TAKES):
        path = folder.folder / f"heron-{number}-1.mp4"
        path.write_bytes(CLIP)
        like = replace(
            first.sidecar, fingerprint=mark(number), request_id=f"request-{number}", file=path.name
        )
        path.with_suffix(".json").write_bytes(like.to_json())
    return folder


def found(folder: MediaFolder, number: int) -> Take | None:
    return folder.find(mark(number), backends={"fal"})


def test_each_sidecar_is_read_once(large: MediaFolder) -> None:
    with opens(large) as files:
        assert found(large, 7)
        assert len([name for name in files if name.endswith(".json")]) == TAKES
        files.clear()
        assert found(large, 8)
        assert large.take_of_request("request-9", "fal")
        assert [name for name in files if name.endswith(".json")] == []


def test_another_take_opens_nothing_of_those_before(large: MediaFolder) -> None:
    assert found(large, 7)
    with opens(large) as files:
        draft = replace(DRAFT, fingerprint=mark(TAKES), request_id="request-new", prompt="An owl")
        assert asyncio.run(large.store(in_chunks(CLIP), draft)).path.name.startswith("an-owl-")
        assert not [name for name in files if name.startswith(("heron", "a-heron"))]


def test_a_sidecar_that_a_look_up_returns_is_always_checked(large: MediaFolder) -> None:
    take = found(large, 7)
    assert take
    note = take.path.with_suffix(".json")
    content = json.loads(note.read_bytes())
    note.write_text(json.dumps({**content, "fingerprint": mark(7777)}))
    assert found(large, 7) is None  # The index finds it at once, even just after a full check.
    note.write_text(json.dumps(content))
    while found(large, 7) is None:  # A sidecar that was not returned is checked a moment later.
        pass
    note.unlink()
    assert found(large, 7) is None
