"""The ledger: claims, look-ups, files that cannot be used."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ledger_processes import claimed_where, without_root

from kling_nb.errors import LedgerError
from kling_nb.events import State
from kling_nb.ledger import Entry, Intent, Ledger, Selection
from kling_nb.ledger.owner import has_windows_process
from kling_nb.ledger.schema import SCHEMA_VERSION, SUBMIT_LEASE_SECONDS


def intent(fingerprint: str = "f-1", **more: Any) -> Intent:
    return Intent(
        **{
            "backend": "fal",
            "endpoint": "fal-ai/kling-video/v1/pro/text-to-video",
            "input": {"prompt": "a cat – ünïcode"},
            "prompt": "a cat",
            "fingerprint": fingerprint,
            "folder": Path("/media"),
            **more,
        }
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path)
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def dead_owner() -> str:
    """Return an owner on this machine whose process has ended."""
    import socket

    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{socket.gethostname()}:{process.pid}:deadbeef"


def only(ledger: Ledger) -> Entry:
    (entry,) = ledger.entries()
    return entry


def test_a_new_row(ledger: Ledger, path: Path) -> None:
    before = time.time()
    entry, new = ledger.claim(intent(notebook="cats.ipynb", key_fingerprint="01234567"))
    assert new
    assert entry == only(ledger) == ledger.get(entry.id)
    assert len(entry.id) == 12
    assert entry.state is State.SUBMITTING
    assert entry.input == {"prompt": "a cat – ünïcode"}
    assert (entry.take, entry.folder, entry.notebook) == (1, "/media", "cats.ipynb")
    assert entry.is_ours
    assert entry.owner_alive
    assert not entry.is_abandoned
    assert before <= entry.created_at <= time.time()
    assert entry.sent_at is None
    assert path.exists()


def test_the_same_request_is_claimed_once(ledger: Ledger, path: Path) -> None:
    first, _ = ledger.claim(intent())
    other = Ledger(path)
    assert other.claim(intent()) == (first, False)
    other.close()


@pytest.mark.parametrize(
    "different",
    [
        {"fingerprint": "f-2"},
        {"folder": Path("/elsewhere")},
        {"take": 2},
        {"new": True},
        {"backend": "local"},
    ],
    ids=str,
)
def test_what_makes_another_request(ledger: Ledger, different: dict[str, Any]) -> None:
    ledger.claim(intent())
    assert ledger.claim(intent(**different))[1]


def test_another_take_is_always_new(ledger: Ledger) -> None:
    assert all(ledger.claim(intent(new=True))[1] for _ in range(3))


@pytest.mark.parametrize("state", list(State))
def test_which_states_keep_a_request_from_being_sent(ledger: Ledger, state: State) -> None:
    entry, _ = ledger.claim(intent())
    ledger.update(entry.id, state=state)
    assert ledger.claim(intent())[1] == (state in {State.FAILED, State.CANCELLED})
    assert (only_or_newest(ledger, entry.id).finished_at is not None) == (
        state in {State.READY, State.FAILED, State.CANCELLED}
    )


@pytest.mark.parametrize("state", list(State))
def test_a_finished_preview_is_made_again(ledger: Ledger, state: State) -> None:
    entry, _ = ledger.claim(intent(backend="local"))
    ledger.update(entry.id, state=state)
    assert ledger.claim(intent(backend="local"))[1] == state.closed


def test_a_lost_result_keeps_its_request_from_being_sent(ledger: Ledger) -> None:
    entry, _ = ledger.claim(intent())
    ledger.update(entry.id, state=State.FAILED, error_type="result_gone")
    found, fresh = ledger.claim(intent())
    assert (found.id, found.is_result_gone, fresh) == (entry.id, True, False)
    assert ledger.claim(intent(new=True))[1]


def test_without_a_take_number_a_job_for_any_take_is_used(ledger: Ledger) -> None:
    """A cell with --new was run, the kernel died, and the cell is run without it."""
    another, _ = ledger.claim(intent(new=True))
    ledger.update(another.id, state=State.IN_PROGRESS, request_id="r-1")
    assert ledger.claim(intent())[0].id == another.id
    usual, fresh = ledger.claim(intent(take=1))
    assert fresh
    assert ledger.claim(intent())[0].id == usual.id


def only_or_newest(ledger: Ledger, job_id: str) -> Entry:
    found = ledger.get(job_id)
    assert found is not None
    return found


# races


def test_threads_that_claim_at_once(path: Path) -> None:
    ledgers = [Ledger(path) for _ in range(4)]
    barrier = threading.Barrier(16)

    def claim(number: int) -> bool:
        barrier.wait()
        return ledgers[number % 4].claim(intent())[1]

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(claim, range(16))) == 1
    assert len(ledgers[0].entries()) == 1
    for ledger in ledgers:
        ledger.close()


CLAIM = """
import sys
from pathlib import Path
from kling_nb.ledger import Intent, Ledger
path = Path(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    ledger = Ledger(path / line.strip() / "ledger.sqlite3")
    print(ledger.claim(Intent("fal", "e", {}, "p", "f", path))[1], flush=True)
    ledger.close()
"""


def test_processes_that_claim_at_once_in_a_new_file(tmp_path: Path) -> None:
    """Two kernels that make a new file a WAL file need its lock at once."""
    processes = [
        subprocess.Popen([sys.executable, "-c", CLAIM, str(tmp_path)], stdin=-1, stdout=-1, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for number in range(12):
        for process in processes:
            process.stdin.write(f"home-{number}\n")
            process.stdin.flush()
        answers = [process.stdout.readline().strip() for process in processes]
        assert sorted(answers) == ["False"] * 3 + ["True"]
    for process in processes:
        process.communicate()
        assert process.returncode == 0


def test_many_writers_at_once(path: Path) -> None:
    ledgers = [Ledger(path) for _ in range(3)]
    ids = [ledgers[0].claim(intent(f"f-{number}"))[0].id for number in range(6)]

    def write(number: int) -> None:
        for state in (State.IN_QUEUE, State.IN_PROGRESS, State.READY):
            ledgers[number % 3].update(ids[number], state=state)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert {entry.state for entry in ledgers[1].entries()} == {State.READY}
    for ledger in ledgers:
        ledger.close()


# rows of processes that have ended


def test_a_submission_of_a_dead_process_is_not_made_again(ledger: Ledger, dead_owner: str) -> None:
    entry, _ = ledger.claim(intent())
    assert ledger.mark_sending(entry.id)
    ledger.update(entry.id, owner=dead_owner)
    found, new = ledger.claim(intent())
    assert not new
    assert found.is_abandoned
    assert not found.is_ours


def test_a_row_of_a_dead_process_that_never_sent_is_taken_over(ledger: Ledger, dead_owner: str) -> None:
    entry, _ = ledger.claim(intent())
    assert entry.sent_at is None
    ledger.update(entry.id, owner=dead_owner)
    found, new = ledger.claim(intent())
    assert new
    assert found.id == entry.id
    assert found.is_ours
    assert ledger.mark_sending(found.id)
    assert only(ledger).sent_at is not None
    assert not ledger.mark_sending(found.id)  # once


def test_a_row_that_was_taken_over_is_not_sent_by_its_first_owner(ledger: Ledger) -> None:
    entry, _ = ledger.claim(intent())
    ledger.update(entry.id, owner="elsewhere:1:cafe0000")
    assert not ledger.mark_sending(entry.id)
    assert only(ledger).sent_at is None


def test_a_request_that_fal_refused_for_now_may_be_sent_again(ledger: Ledger) -> None:
    entry, _ = ledger.claim(intent())
    assert not ledger.mark_unsent(entry.id)  # it was not sent
    assert ledger.renew(entry.id)
    assert ledger.mark_sending(entry.id, {"image_url": "https://files/1"})
    assert not ledger.renew(entry.id)
    ledger.update(entry.id, created_at=0.0)
    assert ledger.mark_unsent(entry.id)
    row = only(ledger)
    assert (row.sent_at, row.addresses, row.state) == (None, None, State.SUBMITTING)
    assert row.created_at > 0  # its lease starts again
    assert ledger.mark_sending(entry.id)


@pytest.mark.parametrize(
    "change", [{"owner": "elsewhere:1:cafe0000"}, {"request_id": "r-1"}, {"state": State.UNCERTAIN}], ids=str
)
def test_a_row_that_another_process_changed_is_not_put_back(ledger: Ledger, change: dict[str, Any]) -> None:
    entry, _ = ledger.claim(intent())
    assert ledger.mark_sending(entry.id)
    ledger.update(entry.id, **change)
    assert not ledger.mark_unsent(entry.id)
    assert only(ledger).sent_at is not None


def test_a_process_elsewhere_counts_as_alive_until_its_lease_ends(ledger: Ledger) -> None:
    entry, _ = ledger.claim(intent())
    ledger.update(entry.id, owner="another-host:1:cafe0000")
    assert only(ledger).owner_alive
    assert not only(ledger).is_abandoned
    ledger.update(entry.id, created_at=time.time() - SUBMIT_LEASE_SECONDS - 1)
    assert only(ledger).is_abandoned


def test_a_row_from_the_future_is_abandoned(ledger: Ledger) -> None:
    """The clock was a day ahead when it was made, and is right again: its lease would last that day."""
    entry, _ = ledger.claim(intent())
    ledger.update(entry.id, owner="another-host:1:cafe0000", created_at=time.time() + 86_400)
    assert only(ledger).is_unsent
    again, new = ledger.claim(intent())
    assert (again.id, new) == (entry.id, True)
    assert again.created_at <= time.time()
    ledger.update(entry.id, owner="another-host:1:cafe0000", created_at=time.time() + 60)
    assert not only(ledger).is_abandoned  # two clocks are never quite the same


def test_an_owner_that_makes_no_sense_counts_as_alive(ledger: Ledger) -> None:
    import socket

    entry, _ = ledger.claim(intent())
    ledger.update(entry.id, owner=f"{socket.gethostname()}:x:cafe0000")
    assert only(ledger).owner_alive


class Kernel32:
    """The three functions of Windows's library, for a process that runs, has ended, or may not be opened."""

    def __init__(self, handle: int | None, error: int = 0, waited: int = 0) -> None:
        self.handle, self.error, self.waited = handle, error, waited
        self.closed: list[int] = []

    def OpenProcess(self, access: int, inherit: bool, pid: int) -> int | None:  # noqa: N802 -- its name
        return self.handle

    def WaitForSingleObject(self, handle: int, milliseconds: int) -> int:  # noqa: N802
        return self.waited

    def CloseHandle(self, handle: int) -> None:  # noqa: N802
        self.closed.append(handle)


@pytest.mark.parametrize(
    ("kernel32", "alive"),
    [
        (Kernel32(7, waited=0x102), True),  # WAIT_TIMEOUT
        (Kernel32(7), False),  # it has ended, and another process keeps a handle of it
        (Kernel32(7, waited=0xFFFF_FFFF), True),  # WAIT_FAILED
        (Kernel32(None, error=87), False),  # ERROR_INVALID_PARAMETER: no such process
        (Kernel32(None, error=5), True),  # ERROR_ACCESS_DENIED
    ],
)
def test_on_windows_an_owner_lives_until_its_process_ends(kernel32: Kernel32, alive: bool) -> None:
    assert has_windows_process(1234, kernel32, lambda: kernel32.error) is alive
    assert kernel32.closed == ([7] if kernel32.handle else [])


def test_a_preview_of_a_dead_process_is_made_again(ledger: Ledger, dead_owner: str) -> None:
    entry, _ = ledger.claim(intent(backend="local"))
    assert ledger.claim(intent(backend="local")) == (entry, False)
    ledger.update(entry.id, owner=dead_owner, state=State.IN_PROGRESS)
    found, new = ledger.claim(intent(backend="local"))
    assert new
    assert found.id != entry.id
    assert only_or_newest(ledger, entry.id).state is State.FAILED


def test_a_row_can_be_withdrawn_until_it_is_sent(ledger: Ledger) -> None:
    first, _ = ledger.claim(intent())
    ledger.withdraw(first.id)
    assert ledger.entries() == []
    second, _ = ledger.claim(intent())
    ledger.update(second.id, state=State.IN_QUEUE)
    ledger.withdraw(second.id)
    assert only(ledger).id == second.id


# looking up


def test_by_id_request_id_and_prefix(ledger: Ledger) -> None:
    rows = [ledger.claim(intent(f"f-{number}"))[0] for number in range(3)]
    for row, (new_id, request_id) in zip(
        rows,
        [("aaaa00000001", "019e-1"), ("aaaa00000002", "019e-10"), ("b_%\\00000003", "019e-100")],
        strict=True,
    ):
        ledger.update(row.id, id=new_id, request_id=request_id)
    by = {
        "aaaa00000001": "019e-1",
        "aaaa00000002": "019e-10",
        "019e-1": "019e-1",  # exact, though it begins two others
        "019e-10": "019e-10",
        "019e-100": "019e-100",
        "b": "019e-100",
        "b_": "019e-100",
        "b_%": "019e-100",
        "b_%\\": "019e-100",
    }
    for any_id, request_id in by.items():
        found = ledger.get(any_id)
        assert found is not None, any_id
        assert found.request_id == request_id, any_id
    for none in ("", "aaaa", "019e", "%", "_", "\\", "a%1", "a___00000001", "'; DROP TABLE jobs"):
        assert ledger.get(none) is None, none


def test_an_exact_id_among_many_that_it_begins(ledger: Ledger) -> None:
    for number in range(8):
        entry, _ = ledger.claim(intent(f"f-{number}"))
        ledger.update(entry.id, id=f"0{number}", request_id="r" + "x" * number)
    found = ledger.get("r")
    assert found is not None
    assert found.id == "00"


def test_entries(ledger: Ledger) -> None:
    for number in range(5):
        entry, _ = ledger.claim(intent(f"f-{number}", folder=Path("/a" if number % 2 else "/b")))
        ledger.update(entry.id, created_at=float(number), state=State.READY if number < 2 else State.IN_QUEUE)

    def seen(limit: int = 50, **wanted: Any) -> list[str]:
        return [entry.fingerprint for entry in ledger.entries(Selection(**wanted), limit=limit)]

    assert seen() == ["f-4", "f-3", "f-2", "f-1", "f-0"]
    assert seen(limit=2) == ["f-4", "f-3"]
    assert seen(folder=Path("/a")) == ["f-3", "f-1"]
    assert seen(unfinished=True) == ["f-4", "f-3", "f-2"]
    assert seen(folder=Path("/a"), unfinished=True) == ["f-3"]


def test_reading_creates_no_ledger(ledger: Ledger, path: Path) -> None:
    assert ledger.entries() == []
    assert ledger.get("x") is None
    assert ledger.expected_seconds("e", "fal") is None
    assert not ledger.exists()
    assert not path.parent.exists()


def test_expected_seconds_is_the_median_of_the_last_twenty(ledger: Ledger) -> None:
    def note(seconds: float, at: float, **more: Any) -> None:
        entry, _ = ledger.claim(intent(new=True, **more))
        ledger.update(entry.id, state=State.READY, created_at=at, finished_at=at + seconds)

    endpoint = intent().endpoint
    for number in range(21):
        note(1000.0 if number == 0 else number, at=float(number))
    assert ledger.expected_seconds(endpoint, "fal") == 11
    assert ledger.expected_seconds(endpoint, "local") is None
    note(7, at=50, backend="local")
    assert ledger.expected_seconds(endpoint, "local") == 7
    failed, _ = ledger.claim(intent("other", endpoint="fal-ai/other"))
    ledger.update(failed.id, state=State.FAILED)
    assert ledger.expected_seconds("fal-ai/other", "fal") is None


# files that cannot be used


def refused(ledger: Ledger, words: str) -> None:
    for act in (lambda: ledger.claim(intent()), lambda: ledger.update("x", state=State.READY)):
        with pytest.raises(LedgerError, match=words) as caught:
            act()
        text = str(caught.value)
        assert str(ledger.path) in text
        assert "KLING_NB_HOME" in text
        assert len(text.splitlines()) <= 4


def test_a_file_of_a_newer_version_is_left_as_it_is(ledger: Ledger, path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE jobs (something_new TEXT)")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    before = path.read_bytes()
    refused(ledger, "needs a newer kling_nb")
    with pytest.raises(LedgerError):
        ledger.entries()
    assert path.read_bytes() == before


def test_a_folder_in_its_place(ledger: Ledger, path: Path) -> None:
    path.mkdir(parents=True)
    refused(ledger, "cannot be used")


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ledger = Ledger(tmp_path / "file" / "home" / "ledger.sqlite3")
    refused(ledger, "cannot be used")


def test_a_home_that_cannot_be_written(open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir()
    home.chmod(0o555)
    assert without_root(claimed_where, home, home) == "LedgerError"


def test_it_is_safe_against_a_power_cut(ledger: Ledger) -> None:
    ledger.claim(intent())
    assert ledger._file._connection is not None
    assert ledger._file._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert ledger._file._connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_an_error_in_a_transaction_changes_nothing(ledger: Ledger) -> None:
    entry, _ = ledger.claim(intent())
    with pytest.raises(LedgerError):
        ledger.update(entry.id, no_such_column=1)
    ledger.update(entry.id, state=State.READY)
    assert only(ledger).state is State.READY


FORKING = """
import os, sys, threading
from pathlib import Path
from kling_nb.ledger import Intent, Ledger

ledger = Ledger(Path(sys.argv[1]))

def claim(name):
    ledger.claim(Intent("fal", "fal-ai/x", {"prompt": name}, name, name, Path("/media")))

def forked_claim(name):
    child = os.fork()
    if not child:
        claim(name)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
"""A program of its own, because a fork of the tests' process, with its threads, may hang."""


def fork(path: Path, source: str) -> None:
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING + source, str(path)], check=True, timeout=50
    )


def test_a_fork_waits_for_the_change_that_another_thread_makes(ledger: Ledger, path: Path) -> None:
    """A child that is forked during the change would find the ledger locked for ever."""
    source = """
began, forking = threading.Event(), threading.Event()

def change():
    with ledger._file.transaction() as db:
        began.set()
        forking.wait()
        for number in range(2_000):
            db.execute("UPDATE jobs SET sent_at = ?", (number,))

claim("f-1")
thread = threading.Thread(target=change)
thread.start()
began.wait()
threading.Thread(target=forking.set).start()
forked_claim("f-2")
thread.join()
"""
    fork(path, source)
    assert len(ledger.entries()) == 2


def test_a_forked_child_has_its_own_connection(ledger: Ledger, path: Path) -> None:
    fork(path, 'claim("f-1")\nforked_claim("f-2")\nclaim("f-3")')
    assert len(ledger.entries()) == 3
