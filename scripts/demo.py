"""Run the quickstart from top to bottom on the local preview server, and print where its videos are.

The notebook, its videos and the ledger of this run go to `demo/`, which is emptied first, so that every
run makes its videos and reuses none.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
DEMO = ROOT / "demo"
CELL_SECONDS = 120


class Progress:
    """Prints a line for each code cell: its number, its first words, its seconds."""

    def __init__(self, notebook: nbformat.NotebookNode) -> None:
        self.codes = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        self.started = 0.0

    def start(self, cell: nbformat.NotebookNode, cell_index: int, **_: Any) -> None:
        """Print what the cell is; nbclient calls this before a cell runs."""
        number = self.codes.index(cell_index) + 1
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        print(f"  cell {number:2} of {len(self.codes)}  {first[:60]:60}", end="", flush=True)
        self.started = time.monotonic()

    def end(self, **_: Any) -> None:
        """Print the seconds; nbclient calls this after a cell ran, whether it failed or not."""
        print(f" {time.monotonic() - self.started:5.1f} s", flush=True)


def prepare() -> Path:
    """Empty `demo/`, copy the notebook and the images next to it, and return the copy."""
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    for pattern in ("quickstart.ipynb", "*.png", "*.jpg", "*.jpeg", "*.webp"):
        for source in NOTEBOOKS.glob(pattern):
            shutil.copy2(source, DEMO)
    return DEMO / "quickstart.ipynb"


def execute(path: Path) -> CellExecutionError | None:
    """Run the notebook in its own folder and save it, also where a cell failed."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    progress = Progress(notebook)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],  # ipykernel warns of loopback without encryption
        store_widget_state=False,  # the cards play without it
        on_cell_execute=progress.start,
        on_cell_executed=progress.end,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        return error
    finally:
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return None


def listing(paths: list[Path]) -> str:
    """Return each path from the project's folder, with its size."""
    return "\n".join(f"  {path.relative_to(ROOT)}  {path.stat().st_size / 1000:,.0f} kB" for path in paths)


def main() -> int:
    """Run the notebook and print what it made; return 1 if a cell failed or there is no video."""
    for name in [name for name in os.environ if name.startswith("FAL_KEY") or name == "KLING_NB_MEDIA"]:
        del os.environ[name]
    os.environ.update(KLING_NB_BACKEND="local", KLING_NB_HOME=str(DEMO / "home"))
    path = prepare()
    print("Running notebooks/quickstart.ipynb on the local preview server (no key, no network)")
    failure = execute(path)
    if failure:
        print(f"\nA cell failed:\n{failure}", file=sys.stderr)
        print(f"The notebook as far as it ran: {path.relative_to(ROOT)}", file=sys.stderr)
        return 1
    videos = sorted(DEMO.rglob("*.mp4"))
    if not videos:
        print("The notebook ran and left no video in demo/.", file=sys.stderr)
        return 1
    print(f"\nVideos:\n{listing(videos)}\nExecuted notebook:\n{listing([path])}")
    print("\nTo run the cells yourself: make lab")
    return 0


if __name__ == "__main__":
    sys.exit(main())
