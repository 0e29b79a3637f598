"""Giving a finished file its name, without ever overwriting one.

A file is written under a hidden temporary name beside its target and takes the final
name in one step, so nobody sees half of it, and two writers cannot both succeed.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def temporary_beside(path: Path) -> Path:
    """A hidden name in the same folder, free for all practical purposes."""
    return path.with_name(f".kling-{os.getpid()}-{secrets.token_hex(6)}.part")


def place(temporary: Path, final: Path, *, link: Callable[[Path, Path], None] = os.link) -> None:
    """Make the content of `temporary` known as `final` too. `temporary` stays for its owner to remove.

    Args:
        temporary: A finished file in the same folder.
        final: The name it gets.
        link: Gives a file a second name, or raises OSError where the disk cannot.

    Raises:
        FileExistsError: `final` is taken. It is left as it is.
        OSError: The disk refuses.
    """
    try:
        link(temporary, final)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        _place_copy(temporary, final)


def _place_copy(temporary: Path, final: Path) -> None:
    """For FAT, exFAT and network shares without hard links.

    An empty file reserves the name and is replaced by the whole copy in one step.
    """
    os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    copy = temporary_beside(final)
    try:
        shutil.copyfile(temporary, copy)
        sync(copy)
        copy.replace(final)
    except OSError:
        for unfinished in (copy, final):
            unfinished.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Have the disk, not only the system's memory, hold the file or folder.

    A folder cannot be opened for that on Windows, where its entries are durable anyway.
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


def write_whole(path: Path, write: Callable[[Path], None], *, overwrite: bool = False) -> None:
    """Let `write` fill a temporary file, then give it the name `path`.

    Raises:
        FileExistsError: `path` is taken and `overwrite` is False.
        OSError: The disk refuses.
    """
    temporary = temporary_beside(path)
    try:
        write(temporary)
        if overwrite:
            temporary.replace(path)
        else:
            place(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
