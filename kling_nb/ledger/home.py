"""Where the ledger file is, and which process owns a row."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from kling_nb._files import exists

FILE_NAME = "ledger.sqlite3"


def ledger_path(home: Path, media: Path) -> Path:
    """Return the path of the ledger: in the home, or in the media folder if only that is writable."""
    in_home, in_media = home / FILE_NAME, media / FILE_NAME
    return in_media if _is_read_only(in_home) and not _is_read_only(in_media) else in_home


def other_ledger_path(home: Path, media: Path) -> Path:
    """Return the path where the ledger was if the home has become writable, or read-only, since."""
    in_home, in_media = home / FILE_NAME, media / FILE_NAME
    return in_home if ledger_path(home, media) == in_media else in_media


def _is_read_only(file: Path) -> bool:
    """Return True if this user may not write the file, or create it."""
    if exists(file) and not os.access(file, os.W_OK):
        return True
    folder = file.parent
    while not exists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK)


# -- The owner of a row: a process, by host, process id and a random token.


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
    if host != socket.gethostname() or os.name == "nt":  # os.kill would end the process on Windows
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True
