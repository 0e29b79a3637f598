"""What the server extension costs when a notebook is opened, and what a result adds to a saved one.

    python -m benchmarks.run opening

A notebook of 200 cells with outputs, none of them ours, goes through the extension as Jupyter Server's
own contents manager gives it out; the time is what that adds. Then the same with ours.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager, LargeFileManager

from benchmarks.table import Row
from kling_nb.notebook.card.mark import Mark
from kling_nb.notebook.saved.reopening import VIEW
from kling_nb.notebook.saved.server_extension import is_kling_notebook, update_on_read

CELLS, RUNS, OURS = 200, 200, 20


class NoKernels:
    """A kernel manager without kernels."""

    def list_kernel_ids(self) -> list[str]:
        return []


def notebook(*, ours: int) -> Any:
    """Cells with a table, an image and text each; so many have a card of ours, too."""
    made = nbformat.v4.new_notebook()
    for number in range(CELLS):
        table = "<table>" + f"<tr><td>{number}</td></tr>" * 50 + "</table>"
        data = {"text/html": table, "image/png": "iVBORw0KGgo" * 2_000, "text/plain": "a table"}
        cell = nbformat.v4.new_code_cell(f"print({number})\n" * 5)
        cell.outputs = [
            nbformat.v4.new_output("stream", text="line\n" * 20),
            nbformat.v4.new_output("display_data", data, metadata={"needs_background": "light"}),
        ]
        if number < ours:
            mark = Mark(f"job{number}", "0" * 36, state="READY")
            html = f'<div class="kling-card"{mark.to_attributes()}>' + "x" * 20_000 + "</div>"
            card = {VIEW: {"model_id": f"{number}"}, "text/html": html}
            cell.outputs.append(nbformat.v4.new_output("display_data", card, metadata=mark.to_metadata()))
        made.cells.append(cell)
    return made


def adds(manager: Any, root: Path, name: str) -> tuple[float, float]:
    """Median milliseconds of opening it without the extension, and what the extension adds."""
    read = manager.get

    def opened(get: Any) -> float:
        begin = time.perf_counter()
        found = get(name)
        if asyncio.iscoroutine(found):
            asyncio.run(found)
        return 1000 * (time.perf_counter() - begin)

    plain = [opened(read) for _ in range(20)]
    found = read(name)
    model = asyncio.run(found) if asyncio.iscoroutine(found) else found
    look = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        is_kling_notebook(model)
        look.append(1000 * (time.perf_counter() - begin))
    update_on_read(manager, NoKernels(), root)
    watched = [opened(manager.get) for _ in range(20)]
    if is_kling_notebook(model):
        return statistics.median(plain), statistics.median(watched) - statistics.median(plain)
    return statistics.median(plain), statistics.median(look)


def rows() -> Iterator[Row]:
    """What opening costs without outputs of ours, with both kinds of contents manager."""
    for kind in (LargeFileManager, AsyncLargeFileManager):
        plain, more = added(kind, ours=0)
        _, with_ours = added(kind, ours=OURS)
        yield Row(
            f"opening a notebook of {CELLS} cells without outputs of ours, `{kind.__name__}`",
            f"{more:.2f} ms; with {OURS} of ours {with_ours:.1f} ms",
            f"reading it {plain:.0f} ms",
            goal="≤ 2 ms",
            met=more <= 2,
        )


def added(kind: type, *, ours: int) -> tuple[float, float]:
    """`adds` with a contents manager of that kind, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "opened.ipynb").write_text(json.dumps(notebook(ours=ours)))
        return adds(kind(root_dir=folder), root, "opened.ipynb")
