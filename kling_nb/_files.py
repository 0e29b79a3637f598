"""Write files atomically: a reader finds the complete file or no file.

A file is written under a hidden temporary name in the same folder and gets its final name in one step. So a
crash leaves no partial file, and only one of two writers can create the name.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any


def exists(path: str | Path) -> bool:
    """Return True if a file or folder exists. It does not, as far as one can tell, where no one may look.

    Before Python 3.14 `Path.exists` raises PermissionError in a folder that may not be entered.
    """
    return os.path.exists(path)  # noqa: PTH110


def parse_object(data: bytes | str) -> dict[str, Any] | None:
    """Return the JSON object in `data`, or None if it is anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write_file(path: Path, content: bytes | Callable[[Path], object], *, overwrite: bool = False) -> None:
    """Write a file atomically.

    Args:
        path: Final path.
        content: Bytes, or a function that writes the temporary file at the path it receives. Bytes are synced
            to the disk before the file gets its final name.
        overwrite: True to replace an existing file.

    Raises:
        FileExistsError: The file exists, and `overwrite` is False.
        OSError: The file cannot be written.
    """
    temporary = temporary_path(path)
    try:
        if callable(content):
            content(temporary)
        else:
            write_synced(temporary, content)
        if overwrite:
            temporary.replace(path)
        else:
            place(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Return a hidden path in the same folder that no other writer uses."""
    return path.with_name(f".kling-{os.getpid()}-{secrets.token_hex(6)}.part")


def place(temporary: Path, final: Path, *, link: Callable[[Path, Path], None] = os.link) -> None:
    """Give a complete file a second name in its folder. The caller removes the first name.

    `link` makes a hard link, or raises OSError if the disk has none.

    Raises:
        FileExistsError: `final` exists. It stays unchanged.
        OSError: The file cannot be written.
    """
    try:
        link(temporary, final)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        _place_copy(temporary, final)


def _place_copy(temporary: Path, final: Path) -> None:
    """Place a copy, on FAT, exFAT and network shares without hard links.

    An empty file reserves the name. The complete copy replaces it in one step.
    """
    os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    copy = temporary_path(final)
    try:
        copy_file(temporary, copy)
        copy.replace(final)
    except OSError:
        for unfinished in (copy, final):
            unfinished.unlink(missing_ok=True)
        raise


def copy_file(source: Path, target: Path) -> None:
    """Copy a file to a new one. Both share their blocks where the disk can (reflink), and are never one file.

    Raises:
        OSError: The file cannot be read or written, or the target exists.
    """
    with source.open("rb") as read, target.open("xb") as write:
        try:
            import fcntl  # noqa: PLC0415 -- Windows does not have it

            fcntl.ioctl(write, _FICLONE, read.fileno())
        except (ImportError, OSError):
            shutil.copyfileobj(read, write, 2**20)
        write.flush()
        os.fsync(write.fileno())


_FICLONE = 0x40049409  # ioctl_ficlone(2) of Linux


def sync(path: Path) -> None:
    """Sync a file or folder to the disk.

    Windows cannot open a folder for this, but its folder entries are durable without it.
    """
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    try:
        descriptor = os.open(path, flags)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


Step = Callable[[], AbstractContextManager[None]]
"""Surrounds each short change of a folder: a new name, or one less. No file is synced in it."""


def write_synced(path: Path, data: bytes, step: Step = nullcontext) -> None:
    """Write a new file and sync it to the disk. `step` surrounds its creation.

    Raises:
        OSError: It exists, or cannot be written.
    """
    with step():
        file = path.open("xb")
    with file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


# -- Names in a folder, and when they may have changed.


COARSE, _FINE = 2_000_000_000, 50_000_000
"""Nanoseconds after which a change gets another time: on FAT, and where times have digits below 1 ms."""

_listed: tuple[Path, tuple[int, ...], list[str]] | None = None


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted. They are read again only if the folder may have changed.

    Raises:
        OSError: It cannot be read.
    """
    global _listed  # noqa: PLW0603 -- the last folder is enough, and an assignment is atomic
    times, known = times_of(folder.stat()), _listed
    if known is not None and known[:2] == (folder, times):
        return known[2]
    firm = is_old(max(times[2:])) and has_reliable_times(folder)
    names = sorted(os.listdir(folder))  # noqa: PTH208 -- a folder may hold thousands
    _listed = (folder, times, names) if firm else None
    return names


def times_of(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what changes if a file is added to a folder, or removed. A sync tool can set the first time."""
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def is_old(changed: int, enough: int | None = None) -> bool:
    """Return True if a change made now would get a later time than `changed`, in nanoseconds."""
    enough = enough or (_FINE if changed % 1_000_000 else COARSE)
    return time.time_ns() - changed > enough


@lru_cache(64)
def has_reliable_times(folder: Path) -> bool:
    """Return True if the times of a folder change with each file that is added or removed."""
    return os.name != "nt" and not is_network(folder)


# -- On what kind of disk a folder is.


NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {"orangefs", "smb2", "smb3", "smbfs", "webdav"}
    | {f"fuse.{name}" for name in ("cephfs", "drive", "gcsfuse", "glusterfs", "rclone", "s3fs", "sshfs")}
)
"""Types of network file systems. WAL needs memory that all writers share, so SQLite does not support it there
(sqlite.org/wal.html)."""

_REMOTE = 4
"""The constant DRIVE_REMOTE of Windows's GetDriveTypeW."""


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
