"""Writing a file where a user wants it, with every fault in words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from kling_nb.errors import MediaError, UsageError
from kling_nb.video.placing import write_whole


def save_copy(source: Path, path: str | Path, *, overwrite: bool) -> Path:
    """Copy `source` to `path`, or into it where it is a folder; gives the new file.

    Raises:
        UsageError: There is such a file already, and `overwrite` is False.
        MediaError: The copy cannot be written, or `source` is gone.
    """
    target = Path(path).absolute()
    target = target / source.name if target.is_dir() else target
    if target.exists() and target.samefile(source):
        return target
    write_new(target, lambda temporary: _copy(source, temporary), overwrite=overwrite)
    return target


def write_new(target: Path, write: Callable[[Path], None], *, overwrite: bool) -> None:
    """Let `write` fill `target`, which appears whole or not at all.

    Raises:
        UsageError: There is such a file already, and `overwrite` is False.
        MediaError: It cannot be written.
    """
    try:
        if target.exists() and not overwrite:  # before the work, not only after it
            raise FileExistsError
        write_whole(target, write, overwrite=overwrite)
    except FileExistsError:
        raise UsageError(
            f"There is a file {target.name} in {target.parent} already.",
            remedy="Choose another name, or say overwrite=True.",
            parameter="path",
        ) from None
    except OSError as error:
        raise MediaError(f"{target} cannot be written: {error.strerror or error}.") from error


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise MediaError(
            f"{source.name} is no longer in {source.parent}.", remedy="Run its cell again to get it back."
        )
    shutil.copyfile(source, target)
