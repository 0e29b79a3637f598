"""A transfer that is cut continues where it stopped, but only if the file is surely the same."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clips import clip_bytes
from scripted import Done, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.media.incoming import CHECKPOINT_EVERY
from kling_nb.session import Session

CLIP = clip_bytes(frames=30, size=(320, 240))


@pytest.fixture(autouse=True)
def script(fal: ScriptedFal) -> None:
    fal.script = Script([Run(), Done(video=CLIP)])


def asked(fal: ScriptedFal) -> list[tuple[str | None, bool]]:
    """Of each download: the part that was asked for, and whether on a condition."""
    return [
        (record.headers.get("range"), "if-range" in record.headers)
        for record in fal.requests
        if record.exchange == "download"
    ]


def edited(change: Callable[[Any], Any]) -> dict[str, Any]:
    """A change of the answers to requests for a part."""
    return {"edit": lambda reply: change(reply) if reply.status == 206 else reply}


def header(reply: Any, name: str, value: str | None) -> Any:
    kept = tuple(pair for pair in reply.headers if pair[0] != name)
    return replace(reply, headers=kept if value is None else (*kept, (name, value)))


@pytest.mark.parametrize("kind", ["reset", "close"])
def test_the_rest_is_asked_for(session: Session, fal: ScriptedFal, tmp_path: Path, kind: str) -> None:
    fal.fault("download", kind, at="mid_body", times=2)
    video = session.generate("a cat")
    assert video.path.read_bytes() == CLIP
    first, *rest = asked(fal)
    assert first == (None, False)
    assert len(rest) == 2
    starts = [int(str(part).removeprefix("bytes=").rstrip("-")) for part, _ in rest]
    assert 0 < starts[0] < starts[1] < len(CLIP)
    assert all(conditional for _, conditional in rest)
    assert sorted(path.suffix for path in (tmp_path / "media").iterdir()) == [".json", ".mp4"]
    assert not any("authorization" in one.headers for one in fal.requests if one.exchange == "download")


def test_a_host_that_gives_no_parts_gives_all_of_it(session: Session, fal: ScriptedFal) -> None:
    fal.cdn.ranges = False
    fal.fault("download", "close", at="mid_body")
    assert session.generate("a cat").path.read_bytes() == CLIP
    assert [part for part, _ in asked(fal)][0::2] == [None, None]


@pytest.mark.parametrize("tag", ['W/"weak"', ""])
def test_a_host_without_a_strong_etag_is_asked_for_all_of_it(
    session: Session, fal: ScriptedFal, tag: str
) -> None:
    fal.cdn.tag = lambda data: tag
    fal.fault("download", "close", at="mid_body")
    assert session.generate("a cat").path.read_bytes() == CLIP
    assert asked(fal) == [(None, False)] * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: header(reply, "content-range", None),
        lambda reply: header(reply, "content-range", "bytes 0-9/10"),
        lambda reply: header(reply, "content-range", "pages 1-2/3"),
        lambda reply: header(reply, "content-range", f"bytes 5-{len(CLIP) - 1}/{len(CLIP)}"),
        lambda reply: header(reply, "content-range", f"bytes {'9' * 30}-1/*"),
        lambda reply: header(reply, "etag", '"another"'),
        lambda reply: replace(reply, status=416, body=b""),
        lambda reply: replace(reply, status=204, body=b""),
        lambda reply: replace(reply, status=503, body=b"busy"),
    ],
)
def test_a_part_that_is_not_the_rest_is_not_used(
    session: Session, fal: ScriptedFal, change: Callable[[Any], Any]
) -> None:
    fal.fault("download", "close", at="mid_body")
    fal.fault("download", "edit", times=None, **edited(change))
    assert session.generate("a cat").path.read_bytes() == CLIP


def test_a_file_that_was_replaced_meanwhile_begins_again(session: Session, fal: ScriptedFal) -> None:
    """Half of one version and half of another would be no video, and might yet play."""
    other = clip_bytes(frames=30, size=(320, 240), fps=12)
    fal.fault("download", "close", at="mid_body")
    fal.fault(
        "download", "edit", edit=lambda reply: header(replace(reply, status=200, body=other), "etag", "new")
    )
    assert session.generate("a cat").path.read_bytes() == CLIP
    assert [conditional for _, conditional in asked(fal)] == [False, True, False]


def test_a_transfer_that_is_cut_again_and_again_is_given_up(
    session: Session, fal: ScriptedFal, tmp_path: Path
) -> None:
    fal.fault("download", "close", at="mid_body", times=None)
    job = session.submit("a cat")
    with pytest.raises((errors.UnreachableError, errors.MediaError)):
        job.wait()
    assert fal.count("download") <= 40
    assert not list((tmp_path / "media").glob("*"))


# killed while the file came

LARGE = CLIP + (2 * CHECKPOINT_EVERY + 1000).to_bytes(4, "big") + b"free" + bytes(2 * CHECKPOINT_EVERY + 992)
"""A clip with a box of nothing behind it, as players skip."""

SOURCE = "import kling_nb; kling_nb.generate('a cat')"


def killed_in_the_middle(fal: ScriptedFal, run: Any, folder: Path) -> Path:
    """A process that is killed when a good part of the file is on the disk; gives that part."""
    fal.script = Script([Run(), Done(video=LARGE)])
    stall = fal.fault("download", "stall", at=len(LARGE) - 2000)
    program = run(SOURCE)
    fal.wait_for("download")
    fal.wait_for(lambda: bool(list(folder.glob("*.at"))))
    program.process.kill()
    program.process.wait()
    stall.release()
    (part,) = folder.glob("*.part")
    return part


def parts(fal: ScriptedFal) -> list[str | None]:
    return [part for part, _ in asked(fal)][1:]


def test_the_next_kernel_fetches_only_the_rest(
    session: Session, fal: ScriptedFal, run: Any, tmp_path: Path
) -> None:
    killed_in_the_middle(fal, run, tmp_path / "media")
    video = session.generate("a cat")
    assert video.path.read_bytes() == LARGE
    (part,) = parts(fal)
    assert part is not None
    assert int(part.removeprefix("bytes=").rstrip("-")) >= CHECKPOINT_EVERY
    assert sorted(path.suffix for path in (tmp_path / "media").iterdir()) == [".json", ".mp4"]
    assert len(fal.accepted) == 1


def cut_short(part: Path) -> None:
    os.truncate(part, 1000)


def altered(part: Path) -> None:
    with part.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5")


def unreadable(part: Path) -> None:
    part.with_name(part.name + ".at").write_text('{"size": 5}')


@pytest.mark.parametrize("change", [cut_short, altered, unreadable])
def test_a_part_that_is_not_what_was_shown_is_fetched_again(
    session: Session, fal: ScriptedFal, run: Any, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    change(killed_in_the_middle(fal, run, tmp_path / "media"))
    assert session.generate("a cat").path.read_bytes() == LARGE
    assert parts(fal) == [None]


def test_a_part_of_another_version_is_fetched_again(
    session: Session, fal: ScriptedFal, run: Any, tmp_path: Path
) -> None:
    killed_in_the_middle(fal, run, tmp_path / "media")
    ((path, file),) = fal.cdn.files.items()
    fal.cdn.files[path] = replace(file, data=CLIP)
    assert session.generate("a cat").path.read_bytes() == CLIP
    asked, *again = parts(fal)  # it is shorter than the result says, which is asked about a few times
    assert asked is not None
    assert set(again) == {None}
    assert sorted(one.suffix for one in (tmp_path / "media").iterdir()) == [".json", ".mp4"]


def test_a_part_that_a_living_kernel_is_at_is_left_to_it(
    session: Session, fal: ScriptedFal, run: Any, tmp_path: Path
) -> None:
    fal.script = Script([Run(), Done(video=LARGE)])
    stall = fal.fault("download", "stall", at=len(LARGE) - 2000)
    program = run(SOURCE)
    fal.wait_for(lambda: bool(list((tmp_path / "media").glob("*.at"))))
    assert session.generate("a cat").path.read_bytes() == LARGE
    assert parts(fal) == [None]
    stall.release()
    assert program.finish()[0] == 0
    assert sorted(path.suffix for path in (tmp_path / "media").iterdir()) == [".json", ".mp4"]
