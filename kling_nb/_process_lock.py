"""A lock that a forked process has for itself."""

from __future__ import annotations

import os
import threading


class ProcessLock:
    """A re-entrant lock. In a child it is free, whoever held it in the parent at the moment of the fork.

    Threads: any.
    """

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()

    def __enter__(self) -> None:
        if self._pid != os.getpid():  # nobody else runs in a child that has just begun
            self._renew()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
