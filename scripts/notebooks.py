"""Make the outputs of the demos in notebooks/ anew, with the small media that they show.

    python scripts/notebooks.py [--anew]

Every notebook is run from top to bottom on the local engine, in a copy of the folder; then it, and
the takes that its cells used, are put back. Takes that exist are kept, so only what changed is made;
`--anew` begins with an empty folder of takes. What is saved are the static cards: they play wherever
the notebook is opened, without a kernel, and find their file again where it was moved.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from kling_nb.notebook.frozen import settle_for_good

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
DEMOS = ("quickstart", "panel", "parameter-study", "storyboard", "fal-api", "from-a-clone")
"""In this order: the last one uses takes of the first."""

SMALL = "0.42"
"""`KLING_NB_LOCAL_SCALE`: the media of all demos together are some hundred kB."""


def execute(path: Path) -> Any:
    """Run a notebook in its own folder; gives it with its outputs, widgets left out."""
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
    """The same as `kling-nb freeze` leaves it, without what tells one run from the next."""
    settle_for_good(notebook, folder)
    notebook.metadata = {
        "kernelspec": notebook.metadata["kernelspec"],
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


def put_back(work: Path, notebooks: dict[str, Any]) -> None:
    """Write the notebooks, and in their folder just the takes that these runs used."""
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
    """Run all demos and say how large their media are."""
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "KLING_NB_MEDIA"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "notebooks"
        left_out = shutil.ignore_patterns("kling_media") if "--anew" in sys.argv[1:] else None
        shutil.copytree(NOTEBOOKS, work, ignore=left_out)
        os.environ.update(
            KLING_NB_BACKEND="local",
            KLING_NB_HOME=str(Path(folder) / "home"),
            KLING_NB_LOCAL_SPEED="inf",
            KLING_NB_LOCAL_SCALE=SMALL,
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
