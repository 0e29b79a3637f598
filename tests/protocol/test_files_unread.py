"""Files that are sent before they are read for their hash: still each once a day."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scripted import ScriptedFal

from kling_nb import Session
from kling_nb.errors import MediaInputError
from kling_nb.request.media_input import for_upload

CONTENT = b"\0\0\0\x18ftypisom\0\0\x02\0isommp41" + bytes(4096)


def unread(path: Path) -> bool:
    return for_upload(path, read_later=True).sha256 == ""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("old") / "clip.mp4"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def old(clip: Path) -> Path:
    """A file that was changed long ago, so that the next change will have another time."""
    tick = threading.Event()
    while not unread(clip):
        tick.wait(0.05)
    return clip


@pytest.fixture
def copied(old: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.mp4"
    path.write_bytes(old.read_bytes())
    return path


def test_it_is_there_and_the_next_time_known(session: Session, fal: ScriptedFal, old: Path) -> None:
    url = session.upload(old)
    assert fal.cdn.get(url).data == CONTENT
    assert session.upload(old) == url
    assert fal.count("upload") == 1


def test_the_same_bytes_elsewhere_are_known(
    session: Session, fal: ScriptedFal, old: Path, copied: Path
) -> None:
    assert session.upload(old) == session.upload(copied)
    assert fal.count("upload") == 1


def test_two_that_ask_at_once(session: Session, fal: ScriptedFal, old: Path, copied: Path) -> None:
    fault = fal.fault("upload", "stall", at="after_body")
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(session.upload, old)
        fal.wait_for("upload")
        others = [threads.submit(session.upload, path) for path in (old, copied)]
        fault.release()
        assert {first.result(), *(other.result() for other in others)} == {first.result()}
    assert fal.count("upload") == 1


def test_another_session_knows_it(make_session: Callable[..., Session], fal: ScriptedFal, old: Path) -> None:
    first = make_session()
    url = first.upload(old)
    first.close()  # waits until it is known by its hash
    assert make_session().upload(old) == url
    assert fal.count("upload") == 1


def test_a_program_that_ends_has_it_noted(run: Callable[..., object], fal: ScriptedFal, old: Path) -> None:
    program = f"import kling_nb\nprint(kling_nb.upload({str(old)!r}))"
    ended = [run(program).finish() for _ in range(2)]  # type: ignore[attr-defined]
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert ended[0][1] == ended[1][1]
    assert fal.count("upload") == 1


def test_one_of_another_size_is_not_read_before(session: Session, fal: ScriptedFal, old: Path) -> None:
    session.upload(b"something else")
    assert fal.cdn.get(session.upload(old)).data == CONTENT
    assert fal.count("upload") == 2


def test_one_that_was_written_to_is_not_taken_for_what_it_was(old: Path) -> None:
    file = for_upload(old, read_later=True)
    os.utime(old)
    with pytest.raises(MediaInputError, match="has changed"):
        file.with_hash()
