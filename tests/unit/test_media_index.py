"""The index of a folder with many takes reads only what changed."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
opened: dict[str, list[str]] = {"open": [], "os.scandir": []}
"""Names of opened files, and of listed folders."""
watched: list[str] = []


def on_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event in opened and watched and str(arguments[0]).startswith(watched[0]):
        opened[event].append(Path(str(arguments[0])).name)


sys.addaudithook(on_open)  # It stays for the life of the process, and acts only while a folder is watched.


@contextmanager
def opens(folder: MediaFolder, event: str = "open") -> Iterator[list[str]]:
    """Give a list to which the names of files opened in a folder are added."""
    opened[event].clear()
    watched[:] = [str(folder.folder)]
    try:
        yield opened[event]
    finally:
        watched.clear()


def listings(folder: MediaFolder) -> AbstractContextManager[list[str]]:
    """Give a list to which a name is added each time the folder is listed."""
    return opens(folder, "os.scandir")


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


def test_each_sidecar_is_read_once_and_again_when_it_is_returned(large: MediaFolder) -> None:
    with opens(large) as files:
        assert found(large, 7)
        assert len([name for name in files if name.endswith(".json")]) == TAKES  # its own is known
        files.clear()
        assert found(large, 8)
        assert large.take_of_request("request-9", "fal")
        assert [name for name in files if name.endswith(".json")] == ["heron-8-1.json", "heron-9-1.json"]


def test_another_take_opens_nothing_of_those_before(large: MediaFolder) -> None:
    assert found(large, 7)
    with opens(large) as files:
        draft = replace(DRAFT, fingerprint=mark(TAKES), request_id="request-new", prompt="An owl")
        assert asyncio.run(large.store(in_chunks(CLIP), draft)).path.name.startswith("an-owl-")
        assert not [name for name in files if name.startswith(("heron", "a-heron"))]


def stored(folder: MediaFolder, number: int) -> Take:
    facts = {"fingerprint": mark(number), "request_id": f"request-{number}", "prompt": f"An owl {number}"}
    return asyncio.run(folder.store(in_chunks(CLIP), replace(DRAFT, **facts)))


def previewed(folder: MediaFolder, number: int) -> Take | None:
    return folder.find(mark(number), backends={"fal", "local"})


def test_own_takes_need_no_listing(large: MediaFolder) -> None:
    assert found(large, 7)
    counts = []
    for number in range(TAKES, TAKES + 5):
        with listings(large) as folders:
            assert previewed(large, number) is None
            take = stored(large, number)
            assert previewed(large, number) == take
        counts.append(len(folders))
    assert counts[1:] == [0] * 4, "only the first look-up follows changes by another program"


def test_a_recent_look_is_enough_for_a_preview_and_own_takes_are_found(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path / "media")
    stored(folder, 1)
    assert folder.find(mark(2), backends={"fal", "local"}, recent=60) is None
    with listings(folder) as folders:
        take = stored(folder, 2)
        assert folder.find(mark(2), backends={"fal", "local"}, recent=60) == take
    assert folders == []
    for path in folder.folder.glob("*.mp4"):  # the first one has the same bytes
        path.unlink()
    assert folder.find(mark(2), backends={"fal", "local"}, recent=60) is None


def test_a_take_of_another_program_between_own_ones_is_seen(large: MediaFolder) -> None:
    assert found(large, 7)
    for number in range(TAKES, TAKES + 5):
        stored(large, 2 * number)
        content = json.loads(note(large, 7).read_bytes()) | {"fingerprint": mark(number)}
        (large.folder / f"by hand {number}.json").write_text(json.dumps(content))
        stored(large, 2 * number + 1)
        assert previewed(large, number)
        note(large, number - TAKES + 10).unlink()
        assert previewed(large, number - TAKES + 10) is None


def test_own_takes_do_not_hide_a_sidecar_that_is_still_written(large: MediaFolder) -> None:
    assert found(large, 7)
    content = json.loads(note(large, 7).read_bytes()) | {"fingerprint": mark(TAKES)}
    with (large.folder / "slow.json").open("w") as file:
        file.write(json.dumps(content)[:100])
        file.flush()
        assert previewed(large, TAKES) is None
        stored(large, TAKES + 1)
        file.write(json.dumps(content)[100:])
    assert previewed(large, TAKES)


def test_a_miss_that_may_cost_money_trusts_own_changes_for_a_second_only(large: MediaFolder) -> None:
    assert found(large, 7)
    with large._index.own_change():  # Another program changes the folder in the very instant.
        content = json.loads(note(large, 9).read_bytes()) | {"fingerprint": mark(TAKES)}
        note(large, TAKES).write_text(json.dumps(content))
    assert previewed(large, TAKES) is None
    while found(large, TAKES) is None:
        pass


def test_a_sidecar_that_a_look_up_returns_is_always_checked(large: MediaFolder) -> None:
    take = found(large, 7)
    assert take
    note = take.path.with_suffix(".json")
    content = json.loads(note.read_bytes())
    note.write_text(json.dumps({**content, "fingerprint": mark(7777)}))
    assert found(large, 7) is None  # The index finds it at once.
    note.write_text(json.dumps(content))
    while found(large, 7) is None:  # A sidecar that was not returned is checked a moment later.
        pass
    note.unlink()
    assert found(large, 7) is None


# -- the file of the index, which other processes read


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "index"


def other(folder: MediaFolder, store: Path) -> MediaFolder:
    """Return the folder as another process has it, with the same file of the index."""
    return MediaFolder(folder.folder, store)


def truth(folder: MediaFolder) -> dict[int, Path | None]:
    """Return what a look at the files shows, without a file of the index."""
    plain = MediaFolder(folder.folder)
    return {number: take.path if (take := found(plain, number)) else None for number in (7, 8, 9, TAKES)}


def seen(folder: MediaFolder) -> dict[int, Path | None]:
    return {number: take.path if (take := found(folder, number)) else None for number in (7, 8, 9, TAKES)}


def test_another_process_reads_only_the_sidecar_that_it_returns(large: MediaFolder, store: Path) -> None:
    first = other(large, store)
    wait_until_old(large.folder)
    assert found(first, 7)
    with opens(large) as files:
        assert found(other(large, store), 8)
        assert [name for name in files if name.endswith(".json")] == ["heron-8-1.json"]
    assert [path.suffix for path in store.iterdir()].count(".sqlite3") == 1


def test_a_small_folder_has_no_file_of_the_index(large: MediaFolder, store: Path, tmp_path: Path) -> None:
    small = MediaFolder(tmp_path / "small", store)
    assert small.find("ab" * 32, backends={"fal"}) is None
    asyncio.run(small.store(in_chunks(CLIP), DRAFT))
    assert small.find("ab" * 32, backends={"fal"})
    assert not store.exists()


def test_without_a_place_for_the_index_takes_are_found(large: MediaFolder, store: Path) -> None:
    store.write_text("a file stands here")
    assert seen(other(large, store)) == truth(large)


def wait_until_old(path: Path) -> None:
    """Wait until a change would give the folder another time."""
    while time.time_ns() - path.stat().st_mtime_ns < 100_000_000:
        time.sleep(0.01)


def note(folder: MediaFolder, number: int) -> Path:
    return folder.folder / f"heron-{number}-1.json"


def added(folder: MediaFolder) -> None:
    content = json.loads(note(folder, 7).read_bytes())
    note(folder, TAKES).write_text(json.dumps({**content, "fingerprint": mark(TAKES), "request_id": "new"}))


def removed(folder: MediaFolder) -> None:
    note(folder, 8).unlink()


def moved(folder: MediaFolder) -> None:
    (folder.folder / "best").mkdir()
    for path in (note(folder, 7), note(folder, 7).with_suffix(".mp4")):
        path.rename(folder.folder / "best" / path.name)


def renamed(folder: MediaFolder) -> None:
    note(folder, 8).rename(note(folder, 8).with_name("a note.json"))


def replaced_with_its_old_times(folder: MediaFolder) -> None:
    """Do what a sync tool does: the new file has the old one's size and times."""
    status, old = note(folder, 8).stat(), note(folder, 8).read_text()
    new = note(folder, 8).with_name(".sync")
    new.write_text(old.replace(mark(8), mark(TAKES)))
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.replace(note(folder, 8))


def edited_in_place(folder: MediaFolder) -> None:
    note(folder, 8).write_text(note(folder, 8).read_text().replace(mark(8), mark(TAKES)))


def file_deleted(folder: MediaFolder) -> None:
    note(folder, 9).with_suffix(".mp4").write_bytes(b"other")


def index_of(folder: MediaFolder) -> Path:
    return next((folder.folder.parent / "index").glob("*.sqlite3"))


def index_deleted(folder: MediaFolder) -> None:
    shutil.rmtree(folder.folder.parent / "index")


def index_is_no_database(folder: MediaFolder) -> None:
    index_of(folder).write_bytes(b"not a database" * 1000)


def index_cut_short(folder: MediaFolder) -> None:
    os.truncate(index_of(folder), 8_192)


def index_of_another_folder(folder: MediaFolder) -> None:
    away = folder.folder.rename(folder.folder.with_name("away"))
    shutil.copytree(away, folder.folder)
    removed(folder)


CHANGES = (added, removed, moved, renamed, replaced_with_its_old_times, edited_in_place, file_deleted)
FAULTS = (index_deleted, index_is_no_database, index_cut_short, index_of_another_folder)


@pytest.mark.parametrize("change", [*CHANGES, *FAULTS], ids=lambda change: change.__name__)
def test_the_files_decide_whatever_the_index_has(
    large: MediaFolder, store: Path, change: Callable[[MediaFolder], None]
) -> None:
    warm = other(large, store)
    wait_until_old(large.folder)
    before = seen(warm)
    assert before == truth(large)
    change(large)
    after = truth(large)
    assert seen(other(large, store)) == after
    while seen(warm) != after:  # An edit in place is noticed a moment later if the take was not returned.
        assert change in {edited_in_place, replaced_with_its_old_times}
    wait_until_old(large.folder)
    assert seen(other(large, store)) == seen(warm) == after


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no forks")
def test_a_forked_child_uses_no_connection_of_its_parent(large: MediaFolder, store: Path) -> None:
    parent = other(large, store)
    assert found(parent, 7)
    program = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from kling_nb.media import MediaFolder

        folder = MediaFolder(Path(sys.argv[1]), Path(sys.argv[2]))
        look = lambda: folder.find(f"{7:064x}", backends={"fal"}) is not None
        assert look()
        child = os.fork()
        if not child:
            os._exit(0 if look() and folder._index._store is None else 1)
        assert os.waitpid(child, 0)[1] == 0 and look()
        """
    )
    run(program, large, store)


KILLED = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from kling_nb.media import MediaFolder

    folder, last = MediaFolder(Path(sys.argv[1]), Path(sys.argv[2])), int(sys.argv[3])
    steps = iter(range(last))

    def on_statement(_: str) -> None:
        if next(steps, None) is None:
            os.kill(os.getpid(), 9)

    folder._index._run(lambda db: db.set_trace_callback(on_statement))
    folder.find(f"{7:064x}", backends={"fal"})
    """
)


def run(program: str, folder: MediaFolder, store: Path, *arguments: str, killed: bool = False) -> None:
    command = [sys.executable, "-c", program, str(folder.folder), str(store), *arguments]
    assert subprocess.run(command, check=False).returncode == (-9 if killed else 0)


@pytest.mark.parametrize("statement", [3, 200, TAKES + 4])
def test_a_process_killed_while_it_writes_the_index_loses_nothing(
    large: MediaFolder, store: Path, statement: int
) -> None:
    wait_until_old(large.folder)
    run(KILLED, large, store, str(statement), killed=True)
    assert seen(other(large, store)) == truth(large)
    removed(large)
    run(KILLED, large, store, "3", killed=True)
    assert seen(other(large, store)) == truth(large)


KILLED_WITH_A_NEW_TAKE = textwrap.dedent(
    """
    import asyncio, os, sys
    from dataclasses import replace
    from pathlib import Path
    sys.path[:0] = sys.argv[4:]
    from test_media_index import CLIP, DRAFT, TAKES, in_chunks, mark
    from kling_nb.media import MediaFolder

    folder, steps = MediaFolder(Path(sys.argv[1]), Path(sys.argv[2])), iter(range(int(sys.argv[3])))
    assert folder.find(mark(TAKES), backends={"fal"}) is None  # It lists the folder.

    def on_statement(statement: str) -> None:
        if statement.startswith(("BEGIN", "INSERT", "COMMIT")) and next(steps, None) is None:
            os.kill(os.getpid(), 9)

    folder._index._run(lambda db: db.set_trace_callback(on_statement))
    draft = replace(DRAFT, fingerprint=mark(TAKES), request_id="new", prompt="An owl")
    asyncio.run(folder.store(in_chunks(CLIP), draft))
    """
)


@pytest.mark.parametrize("statement", [0, 1, 2])
def test_a_process_killed_while_it_adds_its_take_loses_nothing(
    large: MediaFolder, store: Path, statement: int
) -> None:
    warm = other(large, store)
    wait_until_old(large.folder)
    assert found(warm, 7)
    here = Path(__file__).parent
    run(KILLED_WITH_A_NEW_TAKE, large, store, str(statement), str(here), str(here.parent), killed=True)
    assert truth(large)[TAKES]
    assert seen(warm) == seen(other(large, store)) == truth(large)


WRITER = textwrap.dedent(
    """
    import asyncio, sys
    from dataclasses import replace
    from pathlib import Path
    sys.path[:0] = sys.argv[5:]
    from test_media_index import DRAFT, in_chunks
    from kling_nb.media import MediaFolder

    folder, name = MediaFolder(Path(sys.argv[1]), Path(sys.argv[2])), sys.argv[3]
    for number in range(int(sys.argv[4])):
        draft = replace(DRAFT, kind="data", request_id=f"{name}-{number}", fingerprint=f"{number % 20:064x}")
        assert folder.find(draft.fingerprint, take=77, backends={"fal"}) is None
        asyncio.run(folder.store(in_chunks(f"{name} {number}".encode()), draft))
        assert folder.take_of_request(draft.request_id, "fal")
    """
)


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_two_kernels_that_write_takes_lose_none(large: MediaFolder, store: Path, count: int) -> None:
    here = Path(__file__).parent
    command = [sys.executable, "-c", WRITER, str(large.folder), str(store)]
    paths = (str(here), str(here.parent))
    kernels = [subprocess.Popen([*command, name, str(count), *paths]) for name in ("a", "b")]
    while any(kernel.poll() is None for kernel in kernels):
        shutil.rmtree(store, ignore_errors=True)  # at any time
        time.sleep(0.1)
    assert [kernel.returncode for kernel in kernels] == [0, 0]
    for folder in (other(large, store), MediaFolder(large.folder)):
        takes = [take for number in range(20) for take in folder.takes(mark(number))]
        stored = [take.sidecar.request_id for take in takes if take.sidecar.kind == "data"]
        assert sorted(stored) == sorted(f"{name}-{number}" for name in "ab" for number in range(count))
        numbers = [(take.sidecar.fingerprint, take.sidecar.take) for take in takes]
        assert len(set(numbers)) == len(numbers)


def test_misses_are_remembered_until_the_folder_changes(large: MediaFolder) -> None:
    lost = CLIP + b"the longest"
    for number in (7, 8):
        content = json.loads(note(large, number).read_bytes())
        facts = {"size": len(lost), "sha256": hashlib.sha256(lost).hexdigest()}
        note(large, number).write_text(json.dumps({**content, **facts}))
    for path in large.folder.iterdir():
        os.utime(path, (1, 1))  # Else any of them may still be written.
    wait_until_old(large.folder)
    assert found(large, 7) is None
    with listings(large) as folders:
        assert found(large, 7) is None
        assert found(large, 8) is None
        assert folders == []
        (large.folder / "lost and found.mp4").write_bytes(lost)
        assert found(large, 7)


def test_one_look_serves_many_look_ups(large: MediaFolder) -> None:
    with listings(large) as folders, large.one_look():
        for number in range(1, 50):
            assert found(large, number)
            note(large, 100 + number).touch()
            (large.folder / f"{number}.txt").touch()  # The folder changes all the time.
        assert len(folders) == 1
    with listings(large) as folders:
        assert found(large, 7)
        assert len(folders) == 1
