"""Where the ledger file is, on what kind of disk, and which process owns a row."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
from pathlib import Path

NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {"orangefs", "smb2", "smb3", "smbfs", "webdav"}
    | {f"fuse.{name}" for name in ("cephfs", "gcsfuse", "glusterfs", "rclone", "s3fs", "sshfs")}
)
"""Types of network file systems. WAL needs memory that all writers share, so SQLite does not support it there
(sqlite.org/wal.html)."""

FILE_NAME = "ledger.sqlite3"

_REMOTE = 4
"""The constant DRIVE_REMOTE of Windows's GetDriveTypeW."""


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
    if file.exists() and not os.access(file, os.W_OK):
        return True
    folder = file.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK)


def is_network(folder: Path) -> bool:
    """Return True if `folder`, which need not exist, is known to be on a network file system."""
    if sys.platform == "win32":
        return _is_network_drive(folder)
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return _is_network_mount(folder)
    return file_system_of(os.path.realpath(folder), mounts) in NETWORK


def file_system_of(path: str, mounts: str) -> str | None:
    """Return the type of the file system of `path`, read from the text of Linux's mountinfo (proc(5)).

    It is that of the deepest mount point above the path. If two are mounted there, the later one counts.
    """
    best, kind = -1, None
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:
            continue
        point = _unescape(fields[4]).rstrip("/")
        if (path == point or path.startswith(f"{point}/")) and len(point) >= best:
            best, kind = len(point), after.split(" ")[0]
    return kind


def _unescape(text: str) -> str:
    """Return a path of mountinfo with its octal escapes replaced."""
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, letter)
    return text


def _is_network_mount(folder: Path) -> bool:
    """Ask the command `mount` of macOS and the BSDs: `//host/share on /Volumes/share (smbfs, …)`."""
    try:
        listing = subprocess.run(["/sbin/mount"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    lines = re.findall(r" on (/.*) \((\w+)", listing.stdout.decode("utf-8", "replace"))
    mounts = "\n".join(f"0 0 0 / {point.replace(' ', chr(92) + '040')} - {kind} x" for point, kind in lines)
    return file_system_of(os.path.realpath(folder), mounts) in NETWORK


def _is_network_drive(folder: Path) -> bool:
    path = os.path.realpath(folder)
    if path.startswith("\\\\"):
        return True
    import ctypes  # noqa: PLC0415 -- used on Windows only

    windll = getattr(ctypes, "windll", None)
    drive = os.path.splitdrive(path)[0] + "\\"
    return windll is not None and windll.kernel32.GetDriveTypeW(drive) == _REMOTE


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
