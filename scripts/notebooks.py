"""Run the demos in notebooks/ and save their outputs and media.

    python scripts/notebooks.py [--all]

Each notebook runs from top to bottom on the local preview server, in a copy of the folder. Then the
notebook, and the takes that its cells used, replace the old ones. Takes that exist are reused, so that
only changed cells make new media; `--all` makes all of them again. The outputs saved are static cards:
they play wherever the notebook is opened, without a kernel, and find their file after a move.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from kling_nb.notebook.saved.renewal import freeze_notebook

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
DEMOS = ("quickstart", "panel", "parameter-study", "storyboard", "film", "fal-api", "from-a-clone", "colab")
"""In this order: the last two use takes of the first."""

SCALE = "0.6"
"""`KLING_NB_LOCAL_SCALE`: 576 × 324 pixels at 16:9, as previews are by default."""


def execute(path: Path) -> Any:
    """Run a notebook in its own folder and return it with its outputs, without widgets."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],
        store_widget_state=False,
        record_timing=False,
    ).execute()
    return static(notebook, path.parent)


def static(notebook: Any, folder: Path) -> Any:
    """Return the notebook as `kling-nb freeze` leaves it, without anything that differs between two runs."""
    freeze_notebook(notebook, folder)
    notebook.metadata = {
        "kernelspec": notebook.metadata["kernelspec"],
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


def put_back(work: Path, notebooks: dict[str, Any]) -> None:
    """Write the notebooks and, in their folder, only the takes that these runs used."""
    for name, notebook in notebooks.items():
        nbformat.write(notebook, NOTEBOOKS / f"{name}.ipynb")  # type: ignore[no-untyped-call]
    media = NOTEBOOKS / "kling_media"
    shutil.rmtree(media, ignore_errors=True)
    media.mkdir()
    shown = "".join(nbformat.writes(notebook) for notebook in notebooks.values())  # type: ignore[no-untyped-call]
    for file in sorted((work / "kling_media").iterdir()):
        if f"{file.stem}.mp4" in shown:
            shutil.copy2(file, media)


def main() -> int:
    """Run all demos and print how large their media are."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--all", action="store_true", help="make all media again")
    arguments = words.parse_args()
    for name in [name for name in os.environ if name.startswith("FAL_KEY") or name == "KLING_NB_MEDIA"]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "notebooks"
        shutil.copytree(
            NOTEBOOKS, work, ignore=shutil.ignore_patterns("kling_media") if arguments.all else None
        )
        os.environ.update(
            KLING_NB_BACKEND="local",
            KLING_NB_HOME=str(Path(folder) / "home"),
            KLING_NB_LOCAL_SPEED="inf",
            KLING_NB_LOCAL_SCALE=SCALE,
        )
        done = {}
        for name in DEMOS:
            print(f"  {name}", flush=True)
            done[name] = execute(work / f"{name}.ipynb")
        put_back(work, done)
    sizes = {path.name: path.stat().st_size for path in (NOTEBOOKS / "kling_media").iterdir()}
    print(f"{len(sizes)} files of media, {sum(sizes.values()) / 1000:,.0f} kB in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
