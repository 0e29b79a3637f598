"""No ledger is open, and no change to one under way, at the moment its process forks.

SQLite keeps in the process what its connections have locked. A child has a copy of that, not the locks:
one that was forked in the midst of a change would find the ledger locked for ever.
https://www.sqlite.org/howtocorrupt.html, 2.6
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Pausing(Protocol):
    """What must not be carried over a fork."""

    def pause(self) -> None:
        """Wait until nothing is under way, close it, and let nobody in."""

    def resume(self) -> None:
        """Let them in again."""


_guard = threading.RLock()
_watched: WeakSet[Pausing] = WeakSet()
_paused: list[Pausing] = []


def watch(one: Pausing) -> None:
    """Pause it whenever this process forks, for as long as it lives."""
    with _guard:
        _watched.add(one)


def _before() -> None:
    _guard.acquire()
    for one in list(_watched):
        _paused.append(one)  # first: what `pause` has locked is unlocked, whatever becomes of it
        one.pause()


def _after() -> None:
    """In the parent and in the child, where the thread that forked has all locks as before."""
    while _paused:
        _paused.pop().resume()
    _guard.release()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
