"""`PreviewServer`: the local preview server, started as a child process.

The first local job starts it. It ends with this process, however this process ends, because its standard
input closes then.
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
from typing import IO, Any, ClassVar

from kling_nb.errors import UnreachableError
from kling_nb.fal.auth import is_key_variable

MOST_WORKERS = 8
"""Previews that are drawn at once. Each needs 25 MB."""


@dataclass(frozen=True, slots=True, repr=False)
class ServerAccess:
    """The URL of a local preview server, and the key that it requires."""

    url: str
    key: str


class PreviewServer:
    """Starts `python -m kling_nb.local` at the first call of `access`. Any thread."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._access: ServerAccess | None = None

    _shared: ClassVar[dict[float, PreviewServer]] = {}

    @classmethod
    def get_shared(cls, speed: float) -> PreviewServer:
        """Return the server of this process for a speed."""
        return cls._shared.setdefault(speed, cls(speed))

    def access(self) -> ServerAccess:
        """Return URL and key of the server. The first call starts it and takes about half a second.

        Raises:
            UnreachableError: The server did not start. The message has the last line of its error output.
        """
        with self._lock:
            if self._access is None or not self._running():
                self._access = self._start()
            return self._access

    @property
    def known_access(self) -> ServerAccess | None:
        """URL and key of the server if it runs, else None. This does not start it."""
        return self._access if self._running() else None

    @property
    def has_ended(self) -> bool:
        """True if the server was started and has ended, and all its jobs with it."""
        return self._process is not None and not self._running()

    def _running(self) -> bool:
        return self._process is not None and self._pid == os.getpid() and self._process.poll() is None

    def _start(self) -> ServerAccess:
        with tempfile.TemporaryFile() as error_output:
            process = subprocess.Popen(  # noqa: S603 -- our own module in our own interpreter
                [sys.executable, "-m", "kling_nb.local", "--parent", *_options(self._speed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error_output,
                env=_without_keys(os.environ),
                **group_options(),
            )
            assert process.stdout is not None
            line = process.stdout.readline()
            try:
                hello = json.loads(line)
                access = ServerAccess(str(hello["url"]), str(hello["key"]))
            except (ValueError, KeyError, TypeError) as fault:
                process.kill()
                process.communicate()
                raise _start_error(error_output) from fault
        self._process, self._pid = process, os.getpid()
        atexit.register(self.stop)
        return access

    def stop(self) -> None:
        """End the process and all its jobs."""
        process, self._process, self._access = self._process, None, None
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


def _options(speed: float) -> list[str]:
    """Return the speed, and a worker for each core: the previews of a sweep are drawn on all of them."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS and Windows do not have it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return ["--speed", str(speed), "--workers", str(min(cores, MOST_WORKERS))]


def group_options(platform: str = sys.platform) -> dict[str, Any]:
    """Return options that protect a process from the interrupts of its kernel's process group.

    On Windows, where sessions are unknown, no console window opens either. The numbers are those of
    `subprocess`, which has the names on Windows only.
    """
    create_new_process_group, create_no_window = 0x200, 0x0800_0000
    if platform == "win32":
        return {"creationflags": create_new_process_group | create_no_window}
    return {"start_new_session": True}


def _without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without fal's keys. The server needs none, and others might read them there."""
    return {name: value for name, value in environ.items() if not is_key_variable(name)}


def _start_error(error_output: IO[bytes]) -> UnreachableError:
    error_output.seek(0)
    last = error_output.read().decode("utf-8", "replace").strip().splitlines()[-1:] or ["no error output"]
    return UnreachableError(
        f"The local preview server did not start: {last[0][:300]}",
        remedy="Run `kling-nb local` in a terminal to see why, or set a key to use fal.",
    )
