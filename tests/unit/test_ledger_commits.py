"""Changes of several threads share one commit, and its error."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from kling_nb.errors import LedgerError
from kling_nb.ledger.database import Change, SharedCommits


class Disk:
    """Records commits. The first one waits for `go`."""

    def __init__(self, *faults: BaseException | None) -> None:
        self.commits: list[list[str]] = []
        self.started, self.go = threading.Event(), threading.Event()
        self._faults = list(faults)

    def write(self, changes: Sequence[Change]) -> None:
        self.commits.append([change.job_id for change in changes])
        self.started.set()
        assert self.go.wait(10)
        fault = self._faults.pop(0) if self._faults else None
        if fault is not None:
            raise fault


def together(disk: Disk) -> dict[str, BaseException | None]:
    """Make three changes while one is being written. Return the exception of each."""
    commits = SharedCommits(disk.write)
    with ThreadPoolExecutor(4) as threads:
        made = {"first": threads.submit(commits.make, Change("first", {}))}
        assert disk.started.wait(10)
        for name in ("b", "c", "d"):
            made[name] = threads.submit(commits.make, Change(name, {}))
        tick = threading.Event()
        while len(commits._waiting) < 3:
            tick.wait(0.001)
        disk.go.set()
        return {name: future.exception() for name, future in made.items()}


def test_changes_during_a_commit_share_the_next_one() -> None:
    disk = Disk()
    assert set(together(disk).values()) == {None}
    assert [sorted(commit) for commit in disk.commits] == [["first"], ["b", "c", "d"]]


def test_an_error_of_the_disk_is_raised_for_all_changes_of_the_commit() -> None:
    fault = LedgerError("full")
    assert together(Disk(None, fault)) == {"first": None, "b": fault, "c": fault, "d": fault}


def test_an_interrupt_is_raised_for_one_caller_only() -> None:
    disk = Disk(None, KeyboardInterrupt())
    raised = list(together(disk).values())
    assert [type(fault) for fault in raised if fault] == [KeyboardInterrupt]
    assert len(disk.commits) == 3
    assert len(disk.commits[2]) == 3, "the others write again, what was interrupted too"


def test_changes_one_after_the_other_are_two_commits() -> None:
    disk = Disk()
    disk.go.set()
    commits = SharedCommits(disk.write)
    for name in ("a", "b"):
        commits.make(Change(name, {}))
    assert disk.commits == [["a"], ["b"]]


@pytest.mark.parametrize("fault", [LedgerError("full"), KeyboardInterrupt()])
def test_an_error_with_one_change_only(fault: BaseException) -> None:
    disk = Disk(fault)
    disk.go.set()
    with pytest.raises(type(fault)):
        SharedCommits(disk.write).make(Change("a", {}))
