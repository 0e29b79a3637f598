"""What the server extension costs when a notebook is opened, and what a result adds to a saved one.

    python benchmarks/opening.py

A notebook of 200 cells with outputs, none of them ours, goes through the extension as Jupyter Server's
own contents manager gives it out; the time is what that adds. Then the same with ours.
"""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager, LargeFileManager

from kling_nb.notebook.mark import Mark
from kling_nb.notebook.reopened import VIEW
from kling_nb.notebook.server_extension import concerns_us, watch

CELLS, RUNS = 200, 200


class NoKernels:
    """A kernel manager without kernels."""

    def list_kernel_ids(self) -> list[str]:
        return []


def notebook(*, ours: int) -> Any:
    """Cells with a table, a picture and text each; so many have a card of ours, too."""
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
            mark = Mark(f"job{number}", "0" * 36, state="READY").to_metadata()
            card = {VIEW: {"model_id": f"{number}"}, "text/html": "<div>" + "x" * 20_000 + "</div>"}
            cell.outputs.append(nbformat.v4.new_output("display_data", card, metadata=mark))
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
        concerns_us(model)
        look.append(1000 * (time.perf_counter() - begin))
    watch(manager, NoKernels(), root)
    watched = [opened(manager.get) for _ in range(20)]
    if concerns_us(model):
        return statistics.median(plain), statistics.median(watched) - statistics.median(plain)
    return statistics.median(plain), statistics.median(look)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for ours in (0, 20):
            path = root / f"{ours}.ipynb"
            path.write_text(json.dumps(notebook(ours=ours)))
            for kind in (LargeFileManager, AsyncLargeFileManager):
                plain, more = adds(kind(root_dir=str(root)), root, path.name)
                limit = "at most 2 ms" if not ours else ""
                name = f"{CELLS} cells, {ours} outputs of ours, {kind.__name__}"
                print(f"{name:60} opens in {plain:6.1f} ms, of the extension {more:6.2f} ms   {limit}")


if __name__ == "__main__":
    main()
