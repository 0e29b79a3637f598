"""The embedded engine as a process of its own, tied to this one.

It is started by the first local job and ends when this process does, however it ends:
its standard input closes then.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, ClassVar

from kling_nb.errors import UnreachableError
from kling_nb.fal.auth import KEY_VARIABLES


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Where an embedded engine listens, and the key it wants."""

    url: str
    key: str


class EmbeddedEngine:
    """Starts `python -m kling_nb.local` when first asked for its address. Any thread may ask."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._address: Address | None = None

    _shared: ClassVar[dict[float, EmbeddedEngine]] = {}

    @classmethod
    def shared(cls, speed: float) -> EmbeddedEngine:
        """The one of this process for a pace."""
        return cls._shared.setdefault(speed, cls(speed))

    def address(self) -> Address:
        """The address, once the engine listens (about half a second the first time).

        Raises:
            UnreachableError: It could not be started; the message holds what it said.
        """
        with self._lock:
            if self._address is None or not self._running():
                self._address = self._start()
            return self._address

    @property
    def known_address(self) -> Address | None:
        """The address of an engine that runs; none is started for the asking."""
        return self._address if self._running() else None

    @property
    def gone(self) -> bool:
        """Whether it was started and has ended, and with it every job it had."""
        return self._process is not None and not self._running()

    def _running(self) -> bool:
        return self._process is not None and self._pid == os.getpid() and self._process.poll() is None

    def _start(self) -> Address:
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(  # noqa: S603 -- our own module in our own interpreter
                [sys.executable, "-m", "kling_nb.local", "--parent", "--speed", str(self._speed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,  # an interrupt of the kernel goes to its whole process group
                env=_without_keys(os.environ),
            )
            assert process.stdout is not None
            line = process.stdout.readline()
            try:
                hello = json.loads(line)
                address = Address(str(hello["url"]), str(hello["key"]))
            except (ValueError, KeyError, TypeError) as fault:
                process.kill()
                process.communicate()
                raise _not_started(complaints) from fault
        self._process, self._pid = process, os.getpid()
        atexit.register(self.stop)
        return address

    def stop(self) -> None:
        """End the process; its jobs end with it."""
        process, self._process, self._address = self._process, None, None
        if process is None or self._pid != os.getpid():
            return
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """The engine has a key of its own and no use for fal's, which other programs could read of it there."""
    return {name: value for name, value in environ.items() if name not in KEY_VARIABLES}


def _not_started(complaints: IO[bytes]) -> UnreachableError:
    complaints.seek(0)
    last = complaints.read().decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
    return UnreachableError(
        f"The embedded engine did not start: {last[0][:300]}",
        remedy="Try `kling-nb local` in a terminal to see more, or set a key to use fal.",
    )
