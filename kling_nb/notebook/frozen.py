"""`kling-nb freeze`: a notebook that needs neither kernel nor extension to show its videos."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from kling_nb.errors import UsageError
from kling_nb.notebook.mark import Mark
from kling_nb.notebook.renewal import Renewal
from kling_nb.notebook.reopened import Settling, settle
from kling_nb.video.placing import write_whole


def freeze(path: Path) -> bool:
    """Leave only static cards in a notebook's file, brought up to date; whether it changed.

    Nothing else in it changes, and one without outputs of ours is not written.

    Raises:
        UsageError: It is no notebook, or cannot be read or written.
    """
    notebook = read_notebook(path)
    if not settle_for_good(notebook, path.absolute().parent):
        return False
    _break_lines(notebook)
    text = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
    data = text.encode("utf-8", "backslashreplace")  # as a JSON escape, a lone surrogate survives
    target = path.resolve()

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)
        shutil.copymode(target, temporary)

    try:
        write_whole(target, write, overwrite=True)
    except OSError as fault:
        raise UsageError(f"{path} cannot be written: {fault.strerror}.") from fault
    return True


def settle_for_good(notebook: dict[str, Any], folder: Path) -> bool:
    """The same for a notebook in memory that belongs into `folder`."""
    renewal = Renewal()
    return settle(notebook, Settling(folder, lambda mark: False, renewal, renewal.place, forget_kernels=True))


def read_notebook(path: Path) -> dict[str, Any]:
    """The JSON of a notebook of version 4.

    Raises:
        UsageError: It is none, or cannot be read.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as fault:
        raise UsageError(f"{path} cannot be read as a notebook: {fault}.") from fault
    if not isinstance(found, dict) or found.get("nbformat") != 4 or not isinstance(found.get("cells"), list):
        raise UsageError(
            f"{path} is no notebook of version 4.", remedy="Jupyter converts older ones: open and save it."
        )
    return found


def _break_lines(notebook: dict[str, Any]) -> None:
    """Texts of our outputs as lists of lines, which is how Jupyter writes them."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            for kind in ("text/html", "text/plain") if Mark.of(output) else ():
                if isinstance(text := output["data"].get(kind), str):
                    output["data"][kind] = text.splitlines(keepends=True)
