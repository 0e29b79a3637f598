"""The owner of a row: a process, by host, process id and a random token."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable
from typing import Any

_TOKEN = secrets.token_hex(4)


def owner_of_this_process() -> str:
    """Return the name of this process as `owner` of a row. It ends in `session_of_this_process()`."""
    return f"{socket.gethostname()}:{os.getpid()}:{_TOKEN}"


def session_of_this_process() -> str:
    """Return eight characters that identify this process and the processes forked from it."""
    return _TOKEN


def is_alive(owner: str) -> bool:
    """Return False if the process with this owner's name has ended. If that cannot be known, return True."""
    host, pid, _ = owner.rsplit(":", 2) if owner.count(":") >= 2 else ("", "", "")
    if host != socket.gethostname():
        return True
    try:
        return has_process(int(pid))
    except (ValueError, OverflowError):
        return True


def has_process(pid: int) -> bool:
    """Return False if no process of this machine has the id. If that cannot be known, return True.

    Raises:
        OverflowError: No process can have this id.
    """
    if sys.platform == "win32":  # os.kill would end the process
        import ctypes  # noqa: PLC0415 -- used on Windows only

        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        return has_windows_process(pid, kernel32, ctypes.get_last_error)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def has_windows_process(pid: int, kernel32: Any, last_error: Callable[[], int]) -> bool:
    """Ask Windows about a process. An id exists also while another process keeps a handle of an ended one."""
    # SYNCHRONIZE, ERROR_INVALID_PARAMETER and WAIT_OBJECT_0 in the headers of Windows
    synchronize, invalid_parameter, ended = 0x0010_0000, 87, 0
    handle = kernel32.OpenProcess(synchronize, False, pid)
    if not handle:
        return last_error() != invalid_parameter
    try:
        return bool(kernel32.WaitForSingleObject(handle, 0) != ended)
    finally:
        kernel32.CloseHandle(handle)
