"""What a look into ledger and media folder costs does not grow with them. No clock is read.

The steps of SQLite's machine are counted, and the calls that ask the system about files.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.rows_ledger import ENDPOINT, fill, fingerprint
from kling_nb.background import BackgroundThread
from kling_nb.job.connections import Connections
from kling_nb.job.rebuild import stored_files
from kling_nb.ledger import Intent, Ledger, Limit, Selection, session_of_this_process
from kling_nb.media import MediaFolder, TakeDraft
from kling_nb.settings import _own_modules, current, reloaded_module


def steps(ledger: Ledger, work: Callable[[], object]) -> int:
    """Instructions of SQLite's machine that `work` takes."""
    taken = [0]

    def count() -> int:
        taken[0] += 1
        return 0

    with ledger._file.connection() as db:
        db.set_progress_handler(count, 1)
        work()
        db.set_progress_handler(None, 1)
    return taken[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def ledgers(folder: Path) -> Iterator[list[Ledger]]:
    """A short one and a long one."""
    made = []
    for rows in (500, 8_000):
        made.append(Ledger(folder / f"{rows}.sqlite3"))
        fill(made[-1], rows, folder)
    yield made
    for ledger in made:
        ledger.close()


def looks(ledger: Ledger, folder: Path) -> dict[str, Callable[[], object]]:
    alike = Selection(folder=folder, fingerprint=fingerprint(77), unfinished=True)
    budget = Limit("the budget of this session", 5.0, session=session_of_this_process())
    today = Limit("the budget of today", 5.0, since=2e9)
    intent = Intent("fal", "fal-ai/x", {}, "a cat", fingerprint("another"), folder, cost=0.1)
    return {
        "page": ledger.entries,
        "fingerprint": lambda: ledger.entries(alike),
        "paid": lambda: ledger.find_same("fal", fingerprint(77), folder, None),
        "expected": lambda: ledger.expected_seconds("fal-ai/another", "fal"),
        "expected of the first preview": lambda: ledger.expected_seconds(ENDPOINT, "local"),
        "request": lambda: ledger.get("request-77"),
        "start of an id": lambda: ledger.get(f"{77:012x}"[:-1]),
        "mark of a take": lambda: ledger.get("take-0123abcd-1"),
        "unfinished": lambda: ledger.entries(Selection(folder=folder, unfinished=True)),
        "limits": lambda: ledger.check_limits((budget, today), 0.1),
        "claim": lambda: ledger.claim(replace(intent, limits=(budget, today))),
        "answer": lambda: ledger.knows("request-77", but="0"),
        "match": lambda: ledger.match(f"{77:012x}", ["request-77", "request-78", "request-79"]),
    }


@pytest.mark.parametrize("look", looks(Ledger(Path("nowhere")), Path("nowhere")))
def test_a_look_into_a_large_ledger_takes_the_same_steps(
    ledgers: list[Ledger], folder: Path, look: str
) -> None:
    short, long = (steps(ledger, looks(ledger, folder)[look]) for ledger in ledgers)
    assert long <= short * 1.1


# -- the media folder


def calls(work: Callable[[], object]) -> int:
    """Return how often `work` asks the system about files, or a listing about an entry."""
    taken = [0]

    def count(_frame: object, event: str, called: object) -> None:
        names = {"stat", "lstat", "scandir", "listdir", "inode", "is_file", "open"}
        taken[0] += event == "c_call" and getattr(called, "__name__", "") in names

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return taken[0]


SIDECAR = {
    "kling_nb": 1, "take": 1, "endpoint": "fal-ai/x", "input": {}, "backend": "fal", "kind": "data",
    "content_type": "text/plain",
    "sha256": hashlib.sha256(b"text").hexdigest(), "size": 4,
    "created_at": "2025-01-01T00:00:00Z", "finished_at": "2025-01-01T00:00:00Z", "lines": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A folder with a few takes, and one with more."""
    made = []
    for takes in (250, 750):
        made.append(tmp_path_factory.mktemp("takes"))
        for number in range(takes):
            own = {"fingerprint": fingerprint(number), "request_id": f"r-{number}", "file": f"{number}.txt"}
            (made[-1] / f"{number}.txt").write_text("text")
            (made[-1] / f"{number}.json").write_text(json.dumps(SIDECAR | own))
    return made


MEDIA_LOOKS: dict[str, Callable[[MediaFolder], object]] = {
    "take": lambda media: media.find(fingerprint(76), backends={"fal"}),
    "no take": lambda media: media.find(fingerprint("never"), backends={"fal"}),
    "request": lambda media: media.take_of_request("r-76", "fal"),
    "newest": lambda media: media.latest(),
}


@pytest.mark.parametrize("look", MEDIA_LOOKS)
def test_a_look_into_a_large_folder_asks_the_system_as_often(folders: list[Path], look: str) -> None:
    costs = []
    for place in folders:
        media = MediaFolder(place)
        MEDIA_LOOKS[look](media)
        wait_until_known(media)
        # A look after a while checks the stamps of some sidecars, too. So the least of a few counts.
        costs.append(min(calls(lambda media=media: MEDIA_LOOKS[look](media)) for _ in range(5)))
    assert costs[1] <= costs[0] <= 30


def wait_until_known(media: MediaFolder) -> None:
    """Wait until the folder has not changed for so long that one listing of it stays valid."""
    while calls(lambda: media.find(fingerprint("never"), backends={"fal"})) > 30:
        pass


async def _text() -> AsyncIterator[bytes]:
    yield b"text"


def test_a_look_after_an_own_take_asks_the_system_as_often(folders: list[Path]) -> None:
    costs = []
    for place in folders:
        media = MediaFolder(place)
        media.find(fingerprint("never"), backends={"fal", "local"})
        found = []
        for number in range(5):
            name = f"own-{number}"
            draft = TakeDraft(fingerprint(name), None, "fal-ai/x", {}, name, "local", name, "", "data")
            asyncio.run(media.store(_text(), draft))
            looks = (fingerprint(name), fingerprint("never"))
            found += [calls(partial(media.find, look, backends={"fal", "local"})) for look in looks]
        costs.append(max(sorted(found)[:5]))  # The others check the stamps of some sidecars, too.
    assert costs[1] <= costs[0] <= 30


def test_a_new_process_reads_one_sidecar(folders: list[Path], tmp_path: Path) -> None:
    for place in folders:
        wait_until_known(first := MediaFolder(place, tmp_path))
        assert first.find(fingerprint(76), backends={"fal"})
        other = MediaFolder(place, tmp_path)
        assert calls(lambda other=other: other.find(fingerprint(76), backends={"fal"})) <= 30


def test_a_check_of_all_files_asks_for_each_once(folders: list[Path]) -> None:
    costs = []
    for place in folders:
        media = MediaFolder(place)
        costs.append(min(calls(lambda media=media: stored_files(media.folder)) for _ in range(3)))
    assert costs[1] <= 3.3 * costs[0]


def test_a_submission_looks_for_its_ledger_once(tmp_path: Path) -> None:
    settings = current({"backend": "local", "home": tmp_path / "home", "media": tmp_path / "media"})
    connections = Connections(BackgroundThread(), None, lambda: tmp_path)
    connections.ledger(settings)
    assert calls(lambda: [connections.ledger(settings) for _ in range(7)]) == 0


def test_whether_a_folder_can_be_written_is_tried_once_for_many_jobs(tmp_path: Path) -> None:
    media = MediaFolder(tmp_path)
    first = calls(media.check_writable)
    assert calls(media.check_writable) < first


def test_modules_are_listed_again_only_when_one_was_added(monkeypatch: pytest.MonkeyPatch) -> None:
    reloaded_module()
    names = _own_modules()
    assert _own_modules() is names
    monkeypatch.setitem(sys.modules, "kling_nb.added", ModuleType("kling_nb.added"))
    assert "kling_nb.added" in _own_modules()
