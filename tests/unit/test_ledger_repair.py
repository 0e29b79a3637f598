"""A ledger that is damaged, replaced, or in a read-only home: no row that can be read is lost."""

import logging
import multiprocessing
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import make_clip
from ledger_processes import claim_one, claimed_where, findings_about, has_ledger, intent, without_root

from kling_nb._files import NETWORK, file_system_of, is_network
from kling_nb.errors import LedgerError
from kling_nb.events import State
from kling_nb.job import rebuild as care
from kling_nb.ledger import Ledger
from kling_nb.ledger.database import ledger_path
from kling_nb.ledger.salvage import readable_rows, repair
from kling_nb.ledger.schema import prepare
from kling_nb.media import MediaFolder, TakeDraft

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.sqlite3"


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def open_ledger(path: Path, media: Path) -> Iterator[Callable[[], Ledger]]:
    """Return a function that opens the ledger again, as another kernel does."""
    opened: list[Ledger] = []

    def open_() -> Ledger:
        opened.append(Ledger(path, lambda: care.rows_of(media)))
        return opened[-1]

    yield open_
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    return open_ledger()


def fill(ledger: Ledger, count: int = 60) -> list[str]:
    """Insert rows, every third unfinished. Return the request ids."""
    for number in range(count):
        entry, _ = ledger.claim(intent(number))
        state = State.IN_PROGRESS if number % 3 == 0 else State.READY
        ledger.update(entry.id, state=state, request_id=f"r-{number}")
    ledger.close()
    return [f"r-{number}" for number in range(count)]


def spoil(path: Path) -> None:
    """Put a file there that is not of SQLite."""
    path.parent.mkdir()
    path.write_text("no database, but quite a long text that says so, again and again, " * 20)


def scribble(path: Path, at: float, size: int = 6000) -> None:
    """Overwrite a part of the file, as a broken disk does."""
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * at))
        file.write(b"\xa5" * size)


def at_second_try(act: Callable[[], Any]) -> Any:
    """Return the result. The first try may find the damage; its error says that nothing was sent."""
    try:
        return act()
    except LedgerError as fault:
        text = str(fault)
    assert "Nothing was sent" in text
    assert len(text.splitlines()) <= 4
    return act()


def set_aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob("ledger.set-aside-*.sqlite3"))


async def take(folder: Path, clip: bytes, request_id: str) -> None:
    """Store a result."""

    async def chunks() -> AsyncIterator[bytes]:
        yield clip

    draft = TakeDraft(
        fingerprint="0" * 64,
        take=None,
        endpoint="fal-ai/x",
        input={"prompt": "a heron"},
        prompt="a heron",
        backend="fal",
        request_id=request_id,
        url="https://media/1.mp4",
        kind="video",
        created_at=1767225600.0,
        units="5",
    )
    await MediaFolder(folder).store(chunks(), draft)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4").read_bytes()


# damage


async def test_a_file_that_is_no_database_is_replaced(
    ledger: Ledger, path: Path, media: Path, clip: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await take(media, clip, "r-heron")
    spoil(path)
    with caplog.at_level(logging.WARNING):
        (entry,) = ledger.entries()
    assert (entry.request_id, entry.state, entry.prompt, entry.units) == (
        "r-heron",
        State.READY,
        "a heron",
        "5",
    )
    assert entry.media_path is not None
    assert Path(entry.media_path).parent == media
    assert (entry.created_at, entry.folder) == (1767225600.0, str(media))
    assert not entry.owner_alive or entry.state.closed
    (aside,) = set_aside(path)
    assert aside.read_text().startswith("no database")
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert str(aside) in line
    assert "\n" not in line
    assert ledger.claim(intent(1))[1]


@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_readable_rows_are_kept(
    ledger: Ledger, open_ledger: Callable[[], Ledger], path: Path, at: float
) -> None:
    known = fill(ledger)
    scribble(path, at)
    again = open_ledger()
    rows = at_second_try(lambda: again.entries(limit=1000))
    found = {entry.request_id: entry.state for entry in rows}
    assert found.keys() <= set(known)
    assert len(found) > len(known) / 4
    assert all(
        state is (State.IN_PROGRESS if int(str(name)[2:]) % 3 == 0 else State.READY)
        for name, state in found.items()
    )
    assert at_second_try(lambda: again.claim(intent(1000)))[1]
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_cut_off_file(ledger: Ledger, open_ledger: Callable[[], Ledger], path: Path) -> None:
    fill(ledger)
    os.truncate(path, path.stat().st_size // 2)
    again = open_ledger()
    assert at_second_try(lambda: again.claim(intent(1000)))[1]
    assert len(set_aside(path)) == 1


def test_kernels_that_find_the_damage_at_once_repair_it_once(path: Path) -> None:
    spoil(path)
    context = multiprocessing.get_context("spawn")
    kernels = [context.Process(target=claim_one, args=(path, number)) for number in range(4)]
    for kernel in kernels:
        kernel.start()
    for kernel in kernels:
        kernel.join()
    assert [kernel.exitcode for kernel in kernels] == [0] * 4
    assert len(set_aside(path)) == 1
    ledger = Ledger(path)
    assert len(ledger.entries()) == 4
    ledger.close()
    assert not list(path.parent.glob("*.mending"))
    assert not list(path.parent.glob("*.new"))


def test_a_lock_of_a_killed_process_is_not_waited_for(ledger: Ledger, path: Path) -> None:
    spoil(path)
    mark = path.with_name(f"{path.name}.mending")
    mark.touch()
    os.utime(mark, (0, 0))
    assert ledger.claim(intent(1))[1]


def test_on_windows_a_damaged_ledger_that_another_kernel_has_open_stays_as_it_is(
    ledger: Ledger, path: Path
) -> None:
    ledger.claim(intent(1))
    files = [path, path.with_name(f"{path.name}-wal")]
    before = [file.read_bytes() for file in files]

    def rename(old: Path, new: Path) -> None:
        """Windows renames no file that is open, but it does rename its WAL here."""
        if old == path:
            raise PermissionError(13, "The process cannot access the file", str(old))
        old.replace(new)

    with pytest.raises(LedgerError, match="cannot be renamed") as caught:
        repair(path, tuple, force=True, rename=rename)
    assert "Nothing was sent" in str(caught.value)
    assert [file.read_bytes() for file in files] == before
    assert not set_aside(path)
    assert repair(path, tuple, force=True) == set_aside(path)[0]
    assert len(ledger.entries()) == 1


def loaded(path: Path, media: Path) -> str:
    """Return the output of `%load_ext` with this ledger, and check that the magics work."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "IPython",
            "--no-banner",
            "--simple-prompt",
            "-c",
            "%load_ext kling_nb\n%kling fal",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "KLING_NB_HOME": str(path.parent), "KLING_NB_MEDIA": str(media)},
    )
    assert "Jobs now go to fal" in done.stdout, done.stdout + done.stderr
    return done.stdout + done.stderr


async def test_the_extension_loads_with_a_damaged_ledger_and_repairs_it(
    path: Path, media: Path, clip: bytes, ledger: Ledger
) -> None:
    await take(media, clip, "r-heron")
    spoil(path)
    assert "set-aside" in loaded(path, media)
    assert [entry.request_id for entry in ledger.entries()] == ["r-heron"]


def test_the_extension_loads_with_a_newer_ledger_and_shows_that(path: Path, media: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert "needs a newer kling_nb" in loaded(path, media)


# another file in its place


def test_a_kernel_that_has_the_old_file_open_goes_on_with_the_new_one(
    ledger: Ledger, open_ledger: Callable[[], Ledger], path: Path
) -> None:
    entry, _ = ledger.claim(intent(1))
    aside, rows = care.rebuild(path, [])
    assert (aside, rows) == (set_aside(path)[0], 1)
    ledger.update(entry.id, state=State.IN_QUEUE, request_id="r-1")
    assert ledger.claim(intent(2))[1]
    assert {one.fingerprint: one.request_id for one in open_ledger().entries()} == {"f-1": "r-1", "f-2": None}


def test_a_write_into_a_file_that_was_just_replaced_does_not_count(ledger: Ledger, path: Path) -> None:
    ledger.claim(intent(1))

    def write() -> None:
        with ledger._file.transaction() as db:
            db.execute("UPDATE jobs SET units = '1'")
            path.rename(path.with_name("moved.sqlite3"))

    with pytest.raises(LedgerError, match="replaced"):
        write()


def test_a_removed_ledger_is_created_again(ledger: Ledger, path: Path) -> None:
    ledger.claim(intent(1))
    for file in path.parent.iterdir():
        file.unlink()
    assert ledger.entries() == []
    assert ledger.claim(intent(1))[1]


# check and rebuild


async def test_check_and_rebuild(ledger: Ledger, path: Path, media: Path, clip: bytes) -> None:
    assert care.check(path, [media]).whole is None
    await take(media, clip, "r-heron")
    entry, _ = ledger.claim(intent(1))
    ledger.update(entry.id, state=State.READY, request_id="r-lost")
    ledger.claim(intent(2))
    health = care.check(path, [media])
    assert (health.whole, health.rows, health.unfinished) == (True, 2, 1)
    assert health.lost == (entry.id,)
    assert [file.suffix for file in health.unrecorded] == [".mp4"]
    for _ in range(2):
        aside, rows = care.rebuild(path, [media])
        assert rows == 3
        assert aside is not None
    health = care.check(path, [media])
    assert (health.rows, health.unfinished, health.unrecorded) == (3, 1, ())
    assert {one.request_id for one in ledger.entries()} == {"r-lost", "r-heron", None}


def test_check_finds_damage_and_changes_nothing(ledger: Ledger, path: Path) -> None:
    fill(ledger)
    scribble(path, 0.5)
    before = path.read_bytes()
    assert care.check(path, []).whole is False
    assert path.read_bytes() == before
    assert readable_rows(path)


# other disks

MOUNTS = """\
22 1 259:1 / / rw,relatime - ext4 /dev/root rw
30 22 0:40 / /home rw shared:1 - nfs4 server:/home rw,vers=4.2
31 30 0:41 / /home/me/scratch\\040disk rw - xfs /dev/sdb rw
32 22 0:42 / /mnt/win rw - cifs //server/share rw
33 22 0:43 / /mnt/win rw - ext4 /dev/sdc rw
broken line
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/home/me/.local", "nfs4"),
        ("/home", "nfs4"),
        ("/homes/me", "ext4"),
        ("/home/me/scratch disk/x", "xfs"),
        ("/mnt/win/x", "ext4"),
        ("/", "ext4"),
    ],
)
def test_the_file_system_of_a_place(place: str, kind: str) -> None:
    assert file_system_of(place, MOUNTS) == kind


def test_network_file_systems_and_this_one() -> None:
    assert {"nfs", "nfs4", "cifs", "smbfs", "fuse.sshfs", "9p"} <= NETWORK
    assert not {"ext4", "xfs", "btrfs", "apfs", "tmpfs", "overlay", "zfs"} & NETWORK
    assert file_system_of("/", "") is None
    assert not is_network(Path("/proc/nowhere"))


def test_without_wal_a_file_is_as_durable_and_as_shared(path: Path) -> None:
    path.parent.mkdir()
    for wal, mode in ((True, "wal"), (False, "delete"), (True, "wal")):  # a home may move from disk to disk
        db = sqlite3.connect(path, isolation_level=None)
        prepare(db, wal=wal)
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == mode
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
        db.close()


@pytest.mark.parametrize("with_ledger", [False, True])
def test_with_a_read_only_home_the_ledger_is_in_the_media_folder(
    open_folder: Path, with_ledger: bool
) -> None:
    home, media = open_folder / "home", open_folder / "media"
    media.mkdir()
    media.chmod(0o777)
    home.mkdir()
    if with_ledger:
        ledger = Ledger(home / "ledger.sqlite3")
        ledger.claim(intent(7))
        ledger.close()
    home.chmod(0o555)
    assert without_root(claimed_where, home, media) == str(media / "ledger.sqlite3")


def test_a_home_that_may_not_be_entered_is_reported(open_folder: Path) -> None:
    locked, media = open_folder / "locked", open_folder / "media"
    (locked / "home").mkdir(parents=True)
    (locked / "home" / "ledger.sqlite3").touch()
    media.mkdir()
    media.chmod(0o777)
    locked.chmod(0o000)
    try:
        status, finding = without_root(findings_about, locked / "home", media)
    finally:
        locked.chmod(0o700)
    assert str(media / "ledger.sqlite3") in status
    assert finding.endswith("is not writable")


def test_with_a_home_that_cannot_be_entered_the_ledger_is_in_the_media_folder(open_folder: Path) -> None:
    closed, media = open_folder / "closed", open_folder / "media"
    media.mkdir()
    media.chmod(0o777)
    closed.mkdir()
    closed.chmod(0)
    home = closed / "home"
    assert without_root(claimed_where, home, media) == str(media / "ledger.sqlite3")
    assert without_root(claimed_where, home, home) == "LedgerError"
    assert without_root(has_ledger, home) is False
    closed.chmod(0o700)  # for pytest, which removes it


def test_if_neither_can_be_written_nothing_is_claimed(open_folder: Path) -> None:
    home, media = open_folder / "home", open_folder / "media"
    for folder in (home, media):
        folder.mkdir()
        folder.chmod(0o555)
    assert without_root(claimed_where, home, media) == "LedgerError"


def test_a_home_is_used_where_it_can_be_made(tmp_path: Path) -> None:
    home, media = tmp_path / "a" / "b" / "home", tmp_path / "media"
    assert ledger_path(home, media) == home / "ledger.sqlite3"


async def test_rows_in_the_media_folder_go_into_the_rebuilt_ledger(path: Path, media: Path) -> None:
    second = Ledger(media / "ledger.sqlite3")
    entry, _ = second.claim(intent(1))
    second.update(entry.id, state=State.IN_PROGRESS, request_id="r-1")
    second.close()
    assert care.rebuild(path, [media]) == (None, 1)


# a full disk, many kernels


def test_a_full_disk(ledger: Ledger) -> None:
    entry, _ = ledger.claim(intent(1))
    db = ledger._file._connection
    assert db is not None
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own SQLITE_FULL
    with pytest.raises(LedgerError, match="full") as caught:
        fill(ledger, 50)
    assert "Nothing was sent" in str(caught.value)
    assert not set_aside(ledger.path)
    db.execute("PRAGMA max_page_count = 1000000")
    ledger.update(entry.id, state=State.READY)
    assert ledger.claim(intent(50))[1]


def test_many_kernels_at_one_ledger() -> None:
    """The long form, `ledger_load.py 8 200`, is part of `make soak`."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "ledger_load.py"), "4", "25"],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "100 rows, 0 lost, 0 errors" in done.stdout
