"""Ratings, notes and tags of takes: stored in the sidecar, never lost, never a reason to lose a take."""

import asyncio
import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clips import clip_bytes, in_chunks, make_clip

import kling_nb
from kling_nb import Session, Video
from kling_nb.cli import main
from kling_nb.errors import MediaError, UnknownEndpoint, UsageError
from kling_nb.media import MediaFolder, Sidecar, Take, TakeDraft
from kling_nb.notebook.line import run_line
from kling_nb.notebook.output.terminal import Outputs
from kling_nb.video import decisions

PRO, STANDARD = ("fal-ai/kling-video/v1/pro/text-to-video", "fal-ai/kling-video/v1/standard/text-to-video")
CLIP = clip_bytes(frames=4)


def store(media: MediaFolder, request: str, *, data: bytes = CLIP, kind: str = "video", **more: Any) -> Take:
    draft = TakeDraft(
        fingerprint=f"{request.replace(' ', ''):x>64}",
        take=None,
        input={"prompt": request},
        prompt=request,
        request_id=f"id of {request}",
        url="",
        kind=kind,
        **{"endpoint": PRO, "backend": "fal", **more},
    )
    return asyncio.run(media.store(in_chunks(data), draft))


def user_of(take: Take) -> Any:
    return json.loads(take.sidecar_path.read_text()).get("user")


@pytest.fixture
def media(tmp_cwd: Path, home: Path) -> MediaFolder:
    return MediaFolder(tmp_cwd / "kling_media")


def test_a_job_takes_no_rating(tmp_path: Path) -> None:
    with Session(backend="local", home=tmp_path / "home", media=tmp_path, local_speed=1e6) as session:
        job = session.submit("a cat")
        for name, value in (("rating", 4), ("note", "good"), ("tags", ["hero"])):
            with pytest.raises(UsageError, match=f"A Job has no {name}: it belongs to a video"):
                setattr(job, name, value)
        sweep = session.sweep(["a cat"], start=False)
        with pytest.raises(UsageError, match="A Sweep has no rating"):
            sweep.rating = 4  # type: ignore[attr-defined] -- a user's mistake
        with pytest.raises(UsageError, match="A SweepCell has no rating"):
            sweep[0].rating = 4  # type: ignore[attr-defined] -- a user's mistake
        job.wait()


def test_what_is_set_is_in_the_sidecar_and_nothing_else_of_it_changes(media: MediaFolder) -> None:
    take = store(media, "a fox")
    before = take.sidecar_path.read_text()
    video = take.video()
    assert (video.rating, video.note, video.tags) == (None, "", ())
    video.rating, video.note, video.tags = 4, "the best\nlight", ["hero", "night", "hero"]
    again = media.takes(take.sidecar.fingerprint)[0].video()
    assert (again.rating, again.note, again.tags) == (4, "the best\nlight", ("hero", "night"))
    after = take.sidecar_path.read_text()
    assert after.splitlines()[:-2] == [*before.splitlines()[:-2], before.splitlines()[-2] + ","]
    user = user_of(take)
    assert {name: entry["value"] for name, entry in user.items()} == {
        "rating": 4,
        "note": "the best\nlight",
        "tags": ["hero", "night"],
    }
    assert all(entry["at"].endswith("Z") for entry in user.values())
    again.rating = again.tags = again.note = None
    assert (video.rating, video.note, video.tags) == (None, "", ())
    video.tags = "hero"
    assert video.tags == ("hero",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("rating", value) for value in (0, 6, True, 3.5, "4")],
        *[("note", value) for value in (7, "x" * 10_001)],
        *[("tags", value) for value in ([""], [3], 3, ["a\nb"], [str(number) for number in range(101)])],
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name: str, value: Any, media: MediaFolder) -> None:
    take = store(media, "a fox")
    with pytest.raises(UsageError):
        setattr(take.video(), name, value)
    assert user_of(take) is None


def test_other_attributes_stay_fixed_and_files_of_your_own_have_no_rating(media: MediaFolder) -> None:
    video = store(media, "a fox").video()
    with pytest.raises(AttributeError):
        video.take = 3  # type: ignore[misc]
    own = Video.from_file(make_clip(media.folder / "own.mp4"))
    assert (own.rating, own.note, own.tags) == (None, "", ())
    with pytest.raises(UsageError, match="no sidecar"):
        own.rating = 3


def test_a_file_that_is_no_video_can_be_rated(media: MediaFolder) -> None:
    result = store(media, "a word", data=b"RIFF\x24\0\0\0WAVEfmt ", kind="data").file()
    result.rating = 2
    assert [take.rating for take in kling_nb.takes(rating=2)] == [2]


@pytest.mark.parametrize("damage", ["damaged", {"rating": 4}, {"rating": {"value": 17}}, ["x"], {"tags": []}])
def test_a_damaged_user_is_ignored_with_a_warning_and_never_loses_a_take(
    damage: Any, media: MediaFolder, caplog: pytest.LogCaptureFixture
) -> None:
    take = store(media, "a fox")
    decisions._warn.cache_clear()
    content = json.loads(take.sidecar_path.read_text()) | {"user": damage}
    take.sidecar_path.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        (found,) = kling_nb.takes()
    assert (found.rating, found.note, found.tags) == (None, "", ())
    assert "is ignored. The take stays usable." in caplog.text
    assert media.find(take.sidecar.fingerprint, backends={"fal"}) is not None
    found.rating = 5
    assert found.rating == 5


def test_entries_of_a_later_version_and_names_that_are_not_known_are_kept(media: MediaFolder) -> None:
    take = store(media, "a fox")
    more = {"mood": "blue", "user": {"chosen_for": [CHOICE], "score": {"value": 1, "at": ""}}}
    take.sidecar_path.write_text(json.dumps(json.loads(take.sidecar_path.read_text()) | more))
    take.video().rating = 3
    content = json.loads(take.sidecar_path.read_text())
    assert content["mood"] == "blue"
    assert list(content["user"]) == ["chosen_for", "score", "rating"]
    assert Sidecar.from_json(take.sidecar_path.read_bytes()).user == content["user"]
    assert [found.path for found in kling_nb.takes(chosen=True)] == [take.path]


def test_a_folder_that_is_read_only_or_gone_gives_a_clear_error(media: MediaFolder, tmp_path: Path) -> None:
    video = store(media, "a fox").video()
    if os.geteuid() == 0:  # A superuser may write anywhere, so put a folder in place of the lock file.
        assert video.sidecar is not None
        (media.folder / decisions.LOCK).mkdir()
    else:
        media.folder.chmod(0o555)
    try:
        with pytest.raises(MediaError, match=r"cannot be written to: .*\. Nothing was stored\.") as caught:
            video.rating = 4
    finally:
        media.folder.chmod(0o755)
    assert "Make the folder writable." in str(caught.value)
    assert os.strerror(errno.EACCES) in str(caught.value) or os.geteuid() == 0
    (media.folder / decisions.LOCK).rmdir() if os.geteuid() == 0 else None
    store(media, "a wolf")
    video.sidecar.unlink()
    with pytest.raises(MediaError, match="is no longer in"):
        video.rating = 4


CHOICE = {"cell": "ab" * 32, "name": "kite", "at": "2026-11-03T10:00:00.000Z", "by": "me"}
RATE = """
import sys
from pathlib import Path
from kling_nb.video.decisions import decide
name, folder = sys.argv[1:]
notes = sorted(Path(folder).glob("*.json"))
print("ready", flush=True)
sys.stdin.readline()
for number, note in enumerate(notes):
    decide(note, **{name: {"rating": 1 + number % 5, "tags": [f"t{number}"]}[name]})
"""


def test_two_kernels_that_rate_200_takes_at_once_lose_nothing(media: MediaFolder) -> None:
    first = store(media, "a fox")
    for number in range(1, 200):
        first.sidecar_path.with_name(f"copy-{number:03}.json").write_bytes(first.sidecar_path.read_bytes())
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", RATE, name, str(media.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("rating", "tags")
    ]
    assert [kernel.stdout.readline() for kernel in kernels if kernel.stdout] == ["ready\n", "ready\n"]
    for kernel in kernels:
        kernel.communicate("go\n")
    assert [kernel.returncode for kernel in kernels] == [0, 0]
    notes = sorted(media.folder.glob("*.json"))
    assert len(notes) == 200
    for number, note in enumerate(notes):
        found = decisions.read_decisions(note)
        assert (found.rating, found.tags) == (1 + number % 5, (f"t{number}",))
    assert not list(media.folder.glob(".kling-*.part"))


def test_takes_are_found_by_what_was_decided(media: MediaFolder, capsys: pytest.CaptureFixture[str]) -> None:
    fox, wolf, crow = (
        store(media, "a fox").video(),
        store(media, "a wolf", endpoint=STANDARD, data=clip_bytes(frames=5)).video(),
        store(media, "a crow", backend="local", data=clip_bytes(frames=6)).video(),
    )
    fox.rating, fox.tags = 5, ["hero", "night"]
    wolf.rating, wolf.note = 4, "too dark"

    def found(**conditions: Any) -> set[Path]:
        return {take.path for take in kling_nb.takes(**conditions)}

    assert found() == {fox.path, wolf.path, crow.path}
    assert found(rating=4) == {fox.path, wolf.path}
    assert found(rating=5, tag="hero") == found(tag=["night", "hero"]) == {fox.path}
    assert found(endpoint="v1-standard") == {wolf.path}
    assert found(chosen=True) == set()
    with pytest.raises(UsageError, match="rating"):
        kling_nb.takes(rating=9)
    with pytest.raises(UnknownEndpoint):
        kling_nb.takes(endpoint="v0-nothing")
    (row,) = [row for row in kling_nb.takes(rating=4).records if row["note"]]
    assert (row["prompt"], row["rating"], row["seconds"], row["backend"]) == ("a wolf", 4, 0.5, "fal")
    assert "2 takes" in repr(kling_nb.takes(rating=4))
    fox.path.unlink()
    assert found(rating=4) == {wolf.path}

    assert main(["takes", "--rating", "4"]) == 0
    shown = capsys.readouterr().out
    assert "★★★★ " in shown
    assert "too dark" in shown
    assert "a-crow" not in shown
    run_line("takes --tag nothing", Session(), Outputs(), {})
    assert "No take meets these conditions." in capsys.readouterr().out
    with pytest.raises(UsageError, match="--stars"):
        run_line("takes --stars 4", Session(), Outputs(), {})


def test_a_rating_by_another_process_is_found_through_the_index_of_a_large_folder(
    tmp_path: Path, home: Path
) -> None:
    media = MediaFolder(tmp_path / "many", home / "index")
    first = store(media, "a fox")
    content = json.loads(first.sidecar_path.read_text())
    for number in range(300):
        note = first.sidecar_path.with_name(f"other-{number}.json")
        note.write_text(json.dumps(content | {"fingerprint": f"{number:064}", "request_id": f"r{number}"}))
    assert media.select(rating=1) == []
    command = "import sys; from pathlib import Path; from kling_nb.video.decisions import decide"
    subprocess.run(
        [sys.executable, "-c", f"{command}; decide(Path(sys.argv[1]), rating=4)", first.sidecar_path],
        check=True,
    )
    (found,) = media.select(rating=1)
    assert found.video().rating == 4


def test_a_copy_into_another_folder_leaves_the_ratings_behind(media: MediaFolder, tmp_path: Path) -> None:
    take = store(media, "a fox")
    take.video().rating = 4
    copy = MediaFolder(tmp_path / "other").copy(media.takes(take.sidecar.fingerprint)[0])
    assert copy.video().rating is None


def test_a_storyboard_finds_its_takes_after_they_were_renamed(media: MediaFolder) -> None:
    takes = [store(media, name, data=clip_bytes(frames=4 + n)) for n, name in enumerate(("a fox", "a wolf"))]
    kling_nb.Storyboard([take.video() for take in takes], [None, (0.1, 0.3)]).save("film")
    renamed = takes[1].path.rename(takes[1].path.with_name("the best.mp4"))
    board = kling_nb.Storyboard.load("film")
    assert [shot.path for shot in board] == [takes[0].path, renamed]
    assert (board.trims, board[1].request_id) == ((None, (0.1, 0.3)), "id of a wolf")
    takes[0].path.unlink()
    with pytest.raises(UsageError, match=r"missing or changed: kling_media/a-fox.*\.mp4"):
        kling_nb.Storyboard.load("film")
