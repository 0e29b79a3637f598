"""`MediaFolder`: takes are found by their sidecars, stored once, and overwrite nothing."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from clips import clip_bytes, in_chunks, numbered

from kling_nb.errors import MediaError
from kling_nb.media import MediaFolder, Take, TakeDraft
from kling_nb.media.incoming import disk_errors

CLIP = clip_bytes()
OTHER = clip_bytes(paint=lambda index, width, height: 255 - numbered(index, width, height))
DRAFT = TakeDraft(
    fingerprint="ab" * 32,
    take=None,
    endpoint="fal-ai/kling-video/v1/pro/text-to-video",
    input={"prompt": "A heron lands"},
    prompt="A heron lands",
    backend="fal",
    request_id="request-1",
    url="https://v3.fal.media/files/a/output.mp4",
    kind="video",
    file_name="output.mp4",
    created_at=1_700_000_000.0,
    units="5",
    lines=(("2023-11-14T22:13:25Z", "Generating"), (None, "done")),
)
BOTH = {"fal", "local"}


@pytest.fixture
def folder(tmp_path: Path) -> MediaFolder:
    return MediaFolder(tmp_path / "kling_media")


def store(folder: MediaFolder, data: bytes = CLIP, **about: object) -> Take:
    return asyncio.run(folder.store(in_chunks(data), replace(DRAFT, **about)))


def fresh(folder: MediaFolder) -> MediaFolder:
    """Return the folder as another kernel has it, with an empty index."""
    return MediaFolder(folder.folder)


def names(folder: MediaFolder) -> list[str]:
    return sorted(path.name for path in folder.folder.rglob("*") if path.is_file())


# -- storing -----------------------------------------------------------------------


def test_a_take_is_a_file_with_a_complete_sidecar(folder: MediaFolder) -> None:
    assert not folder.folder.exists()
    take = store(folder)
    assert names(folder) == ["a-heron-lands-abababab-1.json", "a-heron-lands-abababab-1.mp4"]
    assert take.path == folder.folder / "a-heron-lands-abababab-1.mp4"
    assert take.path.read_bytes() == CLIP
    content = json.loads(take.path.with_suffix(".json").read_bytes())
    wanted = {
        "kling_nb": 1,
        "take": 1,
        "file": take.path.name,
        "content_type": "video/mp4",
        "size": len(CLIP),
        "width": 64,
        "height": 48,
        "fps": 10.0,
        "duration": 2.0,
        "frame_count": 20,
        "request_id": "request-1",
        "billable_units": "5",
        "created_at": "2023-11-14T22:13:20.000Z",
        "lines": [["2023-11-14T22:13:25Z", "Generating"], [None, "done"]],
    }
    assert {name: content[name] for name in wanted} == wanted


def test_a_take_gives_its_video(folder: MediaFolder) -> None:
    video = store(folder).video()
    assert (video.width, video.height, video.fps, video.duration, video.frame_count) == (64, 48, 10, 2, 20)
    assert (video.take, video.backend, video.request_id) == (1, "fal", "request-1")
    assert video.request == {"endpoint": DRAFT.endpoint, "input": {"prompt": "A heron lands"}}
    assert video.url == DRAFT.url
    assert len(list(video.frames())) == 20


def test_a_sidecar_without_measures_still_gives_the_video(folder: MediaFolder) -> None:
    take = store(folder)
    bare = replace(take, sidecar=replace(take.sidecar, width=None, fps=None))
    assert (bare.video().width, bare.video().fps) == (64, 10)


def test_progress_is_reported(folder: MediaFolder) -> None:
    reported: list[int] = []
    big = CLIP + bytes(3 * 2**20)  # bytes after an MP4's boxes are allowed; three batches' worth
    asyncio.run(
        folder.store(in_chunks(big, 100_000), DRAFT, expected_size=len(big), on_progress=reported.append)
    )
    assert reported == sorted(reported)
    assert reported[-1] == len(big)


def test_only_the_last_lines_are_kept_and_odd_text_survives(folder: MediaFolder) -> None:
    lines = tuple((None, f"line {number} \ud83d\u202e") for number in range(300))
    store(folder, lines=lines, prompt="\ud83d odd")
    found = fresh(folder).find(DRAFT.fingerprint, backends=BOTH)
    assert found
    assert found.sidecar.lines == lines[100:]


@pytest.mark.parametrize(
    ("kind", "data", "extension", "content_type"),
    [
        ("audio", b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), ".wav", "audio/wav"),
        ("image", b"\x89PNG\r\n\x1a\n" + bytes(40), ".png", "image/png"),
        ("data", b'{"text": "hello"}', ".data.json", "application/json"),
    ],
)
def test_other_kinds_are_stored_by_their_content(
    folder: MediaFolder, kind: str, data: bytes, extension: str, content_type: str
) -> None:
    take = store(folder, data, kind=kind, file_name="x.exe")
    assert take.path.name == f"a-heron-lands-abababab-1{extension}"
    assert take.path.read_bytes() == data
    assert take.sidecar.content_type == content_type
    assert take.sidecar.duration is None
    assert fresh(folder).find(DRAFT.fingerprint, backends=BOTH) == take


def test_a_result_that_looks_like_a_sidecar_is_none(folder: MediaFolder) -> None:
    forged = store(folder).path.with_suffix(".json").read_bytes().replace(b"abab", b"efef")
    store(folder, forged, kind="data", fingerprint="cd" * 32, request_id="request-2")
    assert fresh(folder).find("ef" * 32, backends=BOTH) is None


# -- numbers and names --------------------------------------------------------------


def test_takes_are_numbered_in_turn(folder: MediaFolder) -> None:
    numbers = [store(folder, request_id=f"request-{n}").sidecar.take for n in range(3)]
    assert numbers == [1, 2, 3]
    assert [take.sidecar.take for take in fresh(folder).takes(DRAFT.fingerprint)] == [1, 2, 3]


def test_a_wanted_number_is_used_where_it_is_free(folder: MediaFolder) -> None:
    assert store(folder, take=5).sidecar.take == 5
    assert store(folder, take=5, request_id="request-2").sidecar.take == 6
    assert store(folder, request_id="request-3").sidecar.take == 1


def test_a_preview_leaves_the_number_free_for_fal(folder: MediaFolder) -> None:
    store(folder, backend="local", request_id="preview")
    real = store(folder, OTHER)
    assert real.sidecar.take == 1
    assert real.path.name == "a-heron-lands-abababab-1-fal.mp4"
    other = fresh(folder)
    assert other.find(DRAFT.fingerprint, take=1, backends={"fal"}) == real
    assert other.find(DRAFT.fingerprint, backends=BOTH) == real
    assert [take.sidecar.backend for take in other.takes(DRAFT.fingerprint)] == ["fal", "local"]


def test_a_deleted_take_frees_its_number_though_its_sidecar_stays(folder: MediaFolder) -> None:
    store(folder).path.unlink()
    again = store(folder, OTHER, request_id="request-2")
    assert again.sidecar.take == 1
    assert names(folder) == [
        "a-heron-lands-abababab-1-fal.json",
        "a-heron-lands-abababab-1-fal.mp4",
        "a-heron-lands-abababab-1.json",
    ]
    assert fresh(folder).find(DRAFT.fingerprint, take=1, backends={"fal"}) == again


def test_a_file_of_the_user_is_never_overwritten(folder: MediaFolder) -> None:
    folder.folder.mkdir()
    (folder.folder / "a-heron-lands-abababab-1.mp4").write_text("mine")
    (folder.folder / "a-heron-lands-abababab-2.json").write_text("mine too")
    wanted = store(folder, take=1)
    assert wanted.sidecar.take == 1
    assert wanted.path.name == "a-heron-lands-abababab-1-fal.mp4"
    free = store(folder, request_id="request-2")
    assert free.sidecar.take == 3
    assert (folder.folder / "a-heron-lands-abababab-1.mp4").read_text() == "mine"
    assert (folder.folder / "a-heron-lands-abababab-2.json").read_text() == "mine too"


# -- the same request twice ----------------------------------------------------------


def test_a_stored_request_is_not_stored_again(folder: MediaFolder) -> None:
    first = store(folder)
    again = asyncio.run(fresh(folder).store(in_chunks(CLIP, 500), DRAFT))
    assert again == first
    assert names(folder) == ["a-heron-lands-abababab-1.json", "a-heron-lands-abababab-1.mp4"]
    assert fresh(folder).take_of_request("request-1", "fal") == first
    assert fresh(folder).take_of_request("request-1", "local") is None
    assert fresh(folder).take_of_request("", "fal") is None


def test_kernels_that_store_the_same_request_at_once_make_one_file(folder: MediaFolder) -> None:
    async def all_at_once() -> list[Take]:
        kernels = [MediaFolder(folder.folder) for _ in range(6)]
        return await asyncio.gather(*(kernel.store(in_chunks(CLIP, 500), DRAFT) for kernel in kernels))

    takes = asyncio.run(all_at_once())
    assert len({take.path for take in takes}) == 1
    assert names(folder) == ["a-heron-lands-abababab-1.json", "a-heron-lands-abababab-1.mp4"]


@pytest.mark.parametrize("alike", [True, False])
def test_different_requests_stored_at_once_are_different_takes(folder: MediaFolder, alike: bool) -> None:
    async def all_at_once() -> list[Take]:
        return await asyncio.gather(
            *(
                MediaFolder(folder.folder).store(
                    in_chunks(CLIP if alike else CLIP + bytes([number])),
                    replace(DRAFT, request_id=f"request-{number}"),
                )
                for number in range(8)
            )
        )

    takes = asyncio.run(all_at_once())
    assert len({take.path for take in takes}) == 8
    assert len({take.sidecar.take for take in takes}) == 8
    assert len(fresh(folder).takes(DRAFT.fingerprint)) == 8


def test_processes_share_a_folder(folder: MediaFolder, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(CLIP)
    program = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from clips import in_chunks
        from test_media_folder import DRAFT
        from kling_nb.media import MediaFolder

        folder, clip = map(Path, sys.argv[1:])
        print("ready", flush=True)
        sys.stdin.readline()
        take = asyncio.run(MediaFolder(folder).store(in_chunks(clip.read_bytes()), DRAFT))
        print(take.path.name)
        """
    )
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder.folder), str(tmp_path / "clip.mp4")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        for _ in range(3)
    ]
    for kernel in kernels:
        assert kernel.stdout
        assert kernel.stdout.readline() == "ready\n"
    for kernel in kernels:
        assert kernel.stdin
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    answers = [kernel.communicate(timeout=30)[0].strip() for kernel in kernels]
    assert answers == ["a-heron-lands-abababab-1.mp4"] * 3
    assert names(folder) == ["a-heron-lands-abababab-1.json", "a-heron-lands-abababab-1.mp4"]


def test_a_file_without_its_sidecar_is_used(folder: MediaFolder) -> None:
    take = store(folder)
    take.path.with_suffix(".json").unlink()  # A crash between the two files leaves that.
    again = asyncio.run(fresh(folder).store(in_chunks(CLIP), DRAFT))
    assert again.path == take.path
    assert len(names(folder)) == 2


# -- finding ------------------------------------------------------------------------


def moved_both(take: Take) -> None:
    take.path.with_suffix(".json").rename(take.path.with_name("renamed.json"))
    take.path.rename(take.path.with_name("renamed.mp4"))


def renamed_media(take: Take) -> None:
    take.path.rename(take.path.with_name("best one.mp4"))


def renamed_sidecar(take: Take) -> None:
    take.path.with_suffix(".json").rename(take.path.with_name("notes.json"))


def moved_into_sub_folder(take: Take) -> None:
    inner = take.path.parent / "birds" / "2023"
    inner.mkdir(parents=True)
    for path in (take.path, take.path.with_suffix(".json")):
        path.rename(inner / path.name)


def moved_media_alone(take: Take) -> None:
    (take.path.parent / "best").mkdir()
    take.path.rename(take.path.parent / "best" / "first.mp4")


@pytest.mark.parametrize(
    "change", [moved_both, renamed_media, renamed_sidecar, moved_into_sub_folder, moved_media_alone]
)
@pytest.mark.parametrize("remembered", [True, False])
def test_takes_survive_what_a_user_does_with_the_files(folder: MediaFolder, change, remembered: bool) -> None:
    store(folder, OTHER, fingerprint="cd" * 32, request_id="other")  # the same size, other bytes
    take = store(folder)
    change(take)
    found = (folder if remembered else fresh(folder)).find(DRAFT.fingerprint, backends={"fal"})
    assert found
    assert found.path.read_bytes() == CLIP
    assert found.sidecar == take.sidecar


def deleted(take: Take) -> None:
    take.path.unlink()


def cut_short(take: Take) -> None:
    take.path.write_bytes(CLIP[:-10])


def other_bytes_of_the_same_size(take: Take) -> None:
    take.path.write_bytes(bytes(len(CLIP)))


def sidecar_deleted(take: Take) -> None:
    take.path.with_suffix(".json").unlink()


def sidecar_broken(take: Take) -> None:
    take.path.with_suffix(".json").write_text('{"kling_nb": 1, "file": ')


@pytest.mark.parametrize(
    "change", [deleted, cut_short, other_bytes_of_the_same_size, sidecar_deleted, sidecar_broken]
)
@pytest.mark.parametrize("remembered", [True, False])
def test_what_is_gone_or_changed_does_not_count(folder: MediaFolder, change, remembered: bool) -> None:
    take = store(folder)
    change(take)
    seen = folder if remembered else fresh(folder)
    assert seen.find(DRAFT.fingerprint, backends=BOTH) is None
    assert seen.takes(DRAFT.fingerprint) == ()


def test_find_looks_at_number_and_backend(folder: MediaFolder) -> None:
    first = store(folder)
    second = store(folder, take=2, backend="local", request_id="preview")
    assert folder.find(DRAFT.fingerprint, backends={"local"}) == second
    assert folder.find(DRAFT.fingerprint, take=2, backends={"fal"}) is None
    assert folder.find(DRAFT.fingerprint, take=2, backends=BOTH) == second
    assert folder.find(DRAFT.fingerprint, backends=BOTH) == first
    assert folder.find("00" * 32, backends=BOTH) is None
    assert folder.find(DRAFT.fingerprint, backends=()) is None


def test_a_missing_folder_is_empty_and_not_created(folder: MediaFolder) -> None:
    assert folder.find(DRAFT.fingerprint, backends=BOTH) is None
    assert not folder.folder.exists()


def test_a_sidecar_cannot_lead_out_of_its_folder(folder: MediaFolder, tmp_path: Path) -> None:
    take = store(folder)
    take.path.rename(tmp_path / "secret.mp4")
    note = take.path.with_suffix(".json")
    content = json.loads(note.read_bytes())
    note.write_text(json.dumps({**content, "file": "../secret.mp4"}))
    assert fresh(folder).find(DRAFT.fingerprint, backends=BOTH) is None


def test_folders_that_lead_in_a_circle_and_hidden_ones_do_no_harm(folder: MediaFolder) -> None:
    take = store(folder)
    (folder.folder / "again").symlink_to(folder.folder, target_is_directory=True)
    hidden = folder.folder / ".ipynb_checkpoints"
    hidden.mkdir()
    (hidden / "copy.json").write_bytes(take.path.with_suffix(".json").read_bytes())
    found = fresh(folder).takes(DRAFT.fingerprint)
    assert {one.path.resolve() for one in found} == {take.path}


def test_a_relative_folder_stays_where_it_was_meant(tmp_cwd: Path, tmp_path: Path) -> None:
    folder = MediaFolder(Path("kling_media"))
    os.chdir(tmp_path)
    assert store(folder).path.parent == tmp_cwd / "kling_media"


# -- faults ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected_size", "words"),
    [
        (b"", None, "empty: 0 bytes"),
        (CLIP[:500], len(CLIP), f"cut short: 500 of {len(CLIP):,} bytes"),
        (CLIP + b"x", len(CLIP), "More bytes were received than announced"),
        (CLIP[:-100], None, "output.mp4 (does not decode|has no frame)"),
        (b"<!doctype html><title>502</title>", None, "output.mp4 should be a video, but it is a web page"),
        (b'{"detail": "gone"}', None, "is application/json"),
    ],
    ids=["nothing", "cut", "longer", "damaged", "page", "json"],
)
def test_what_is_not_the_promised_file_is_not_stored(
    folder: MediaFolder, data: bytes, expected_size: int | None, words: str
) -> None:
    with pytest.raises(MediaError, match=words) as caught:
        asyncio.run(folder.store(in_chunks(data), DRAFT, expected_size=expected_size))
    assert len(str(caught.value).splitlines()) <= 4
    assert names(folder) == []


def test_an_error_of_the_sender_is_raised_and_leaves_nothing(folder: MediaFolder) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield CLIP[:100]
        raise ConnectionResetError("peer")

    with pytest.raises(ConnectionResetError, match="peer"):
        asyncio.run(folder.store(breaking(), DRAFT))
    assert names(folder) == []


def test_cancelling_a_download_leaves_nothing(folder: MediaFolder) -> None:
    async def scene() -> None:
        started = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield bytes(2**20)
                if any(name.endswith(".part") for name in names(folder)):
                    started.set()
                await asyncio.sleep(0)

        task = asyncio.create_task(folder.store(endless(), DRAFT))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert names(folder) == []


def test_a_folder_that_cannot_be_created_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "kling_media").write_text("a file stands here")
    with pytest.raises(MediaError, match="cannot be stored in"):
        store(MediaFolder(tmp_path / "kling_media"))


def test_a_full_disk_leaves_nothing_behind(folder: MediaFolder) -> None:
    program = textwrap.dedent(
        """
        import asyncio, resource, sys
        from pathlib import Path
        from clips import in_chunks
        from test_media_folder import CLIP, DRAFT
        from kling_nb.errors import MediaError
        from kling_nb.media import MediaFolder

        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            asyncio.run(MediaFolder(Path(sys.argv[1])).store(in_chunks(CLIP), DRAFT))
        except MediaError as error:
            print(error.message)
        """
    )
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder.folder)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert "cannot be stored" in done.stdout
    assert names(folder) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "disk is full"), (errno.EROFS, "cannot be written to")],
)
def test_the_error_has_the_cause(number: int, words: str, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=words) as caught, disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert "%kling resume" in caught.value.remedy
    assert len(str(caught.value).splitlines()) <= 4


def test_old_downloads_of_a_killed_process_are_deleted(folder: MediaFolder) -> None:
    folder.folder.mkdir()
    old, young, mine = (
        folder.folder / name
        for name in (".kling-77-0123456789ab.part", ".kling-78-0123456789ab.part", ".notes.part")
    )
    for path in (old, young, mine):
        path.write_text("half")
        days = 0 if path is young else 3
        os.utime(path, (time.time() - days * 86_400,) * 2)
    store(folder)
    assert not old.exists()
    assert young.exists()
    assert mine.exists()
