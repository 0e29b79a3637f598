"""`kling-nb freeze`: make a notebook show its videos without a kernel or an extension."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from kling_nb._files import write_file
from kling_nb.errors import UsageError
from kling_nb.notebook.card.mark import Mark
from kling_nb.notebook.saved.renewal import Renewal
from kling_nb.notebook.saved.reopening import OutputContext, update_outputs


def freeze(path: Path) -> bool:
    """Replace the widgets in a notebook's file by current static cards. Return True if the file changed.

    Nothing else changes. A notebook without outputs of kling_nb is not written.

    Raises:
        UsageError: The file is not a notebook, or cannot be read or written.
    """
    notebook = read_notebook(path)
    if not freeze_notebook(notebook, path.absolute().parent):
        return False
    _break_lines(notebook)
    text = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
    data = text.encode("utf-8", "backslashreplace")  # a lone surrogate is kept as a JSON escape
    target = path.resolve()

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)
        shutil.copymode(target, temporary)

    try:
        write_file(target, write, overwrite=True)
    except OSError as fault:
        raise UsageError(f"{path} cannot be written: {fault.strerror}. It is unchanged.") from fault
    return True


def freeze_notebook(notebook: dict[str, Any], folder: Path) -> bool:
    """Freeze a parsed notebook in place, whose file is in `folder`. Return True if it changed."""
    with closing(Renewal()) as renewal, renewal.one_look():
        context = OutputContext(
            folder,
            lambda mark: False,
            renewal.draw_card,
            renewal.find_file,
            renewal.is_replaced,
            forget_kernels=True,
        )
        return update_outputs(notebook, context)


def read_notebook(path: Path) -> dict[str, Any]:
    """Return the parsed JSON of a notebook of format version 4.

    Raises:
        UsageError: The file is not such a notebook, or cannot be read.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as fault:
        raise UsageError(f"{path} cannot be read as a notebook: {fault}.") from fault
    if not isinstance(found, dict) or found.get("nbformat") != 4 or not isinstance(found.get("cells"), list):
        raise UsageError(
            f"{path} is not a notebook of format version 4.",
            remedy="Open and save it in Jupyter, which converts older versions.",
        )
    return found


def _break_lines(notebook: dict[str, Any]) -> None:
    """Split the texts of kling_nb's outputs into lists of lines, as Jupyter writes them."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            for kind in ("text/html", "text/plain") if Mark.of(output) else ():
                if isinstance(text := output["data"].get(kind), str):
                    output["data"][kind] = text.splitlines(keepends=True)
