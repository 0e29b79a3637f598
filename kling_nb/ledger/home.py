"""Where the ledger is: in the home or beside the files; on this machine's disk, or one that several share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {"orangefs", "smb2", "smb3", "smbfs", "webdav"}
    | {f"fuse.{name}" for name in ("cephfs", "gcsfuse", "glusterfs", "rclone", "s3fs", "sshfs")}
)
"""Types of file systems on which several machines write. WAL needs memory that all writers share, so SQLite
does not allow it there (sqlite.org/wal.html)."""

FILE_NAME = "ledger.sqlite3"

_REMOTE = 4
"""DRIVE_REMOTE of GetDriveTypeW."""


def ledger_path(home: Path, media: Path) -> Path:
    """Where the ledger is: in the home, or beside the files where the home is there to be read only."""
    beside = media / FILE_NAME
    return beside if _read_only(home / FILE_NAME) and not _read_only(beside) else home / FILE_NAME


def elsewhere(home: Path, media: Path) -> Path:
    """Where the ledger may have been kept while the home could, or could not, be written."""
    here = ledger_path(home, media)
    return home / FILE_NAME if here == media / FILE_NAME else media / FILE_NAME


def _read_only(file: Path) -> bool:
    """Whether it cannot be written because this user may not, or the disk is mounted so."""
    if file.exists() and not os.access(file, os.W_OK):
        return True
    folder = file.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK)


def is_network(folder: Path) -> bool:
    """Whether `folder`, which need not exist yet, is on a network file system; no, where that is not told."""
    if sys.platform == "win32":
        return _is_network_drive(folder)
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return _is_network_mount(folder)
    return file_system_of(os.path.realpath(folder), mounts) in NETWORK


def file_system_of(path: str, mounts: str) -> str | None:
    """Type of the file system of `path`, by the text of Linux's mountinfo (proc(5)).

    The deepest mount point above the path holds it; of two at the same place the later one.
    """
    best, kind = -1, None
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:
            continue
        point = _unescaped(fields[4]).rstrip("/")
        if (path == point or path.startswith(f"{point}/")) and len(point) >= best:
            best, kind = len(point), after.split(" ")[0]
    return kind


def _unescaped(text: str) -> str:
    """Blanks and the like stand as octal numbers in mountinfo."""
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, letter)
    return text


def _is_network_mount(folder: Path) -> bool:
    """By the command `mount`, as macOS and the BSDs have it: `//host/share on /Volumes/share (smbfs, …)`."""
    import re  # noqa: PLC0415 -- only there
    import subprocess  # noqa: PLC0415

    try:
        said = subprocess.run(["/sbin/mount"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    lines = re.findall(r" on (/.*) \((\w+)", said.stdout.decode("utf-8", "replace"))
    mounts = "\n".join(f"0 0 0 / {point.replace(' ', chr(92) + '040')} - {kind} x" for point, kind in lines)
    return file_system_of(os.path.realpath(folder), mounts) in NETWORK


def _is_network_drive(folder: Path) -> bool:
    import ctypes  # noqa: PLC0415 -- only there

    place = os.path.realpath(folder)
    if place.startswith("\\\\"):
        return True
    windll = getattr(ctypes, "windll", None)
    return (
        windll is not None and windll.kernel32.GetDriveTypeW(os.path.splitdrive(place)[0] + "\\") == _REMOTE
    )
