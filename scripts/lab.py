"""Open the quickstart in JupyterLab: in the browser if there is a display, otherwise print its URL.

JupyterLab opens copies of the demos in `lab/`. The copies have no outputs and no `kling_media/`, so that
each cell makes its video on its first run: a reader sees the log lines and Cancel. A copy that exists
stays as it is, with the reader's changes; a folder `lab/` that was deleted starts from nothing, because
the ledger of these runs is inside it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
LAB = ROOT / "lab"
DEMOS = ("quickstart", "panel", "parameter-study", "storyboard", "fal-api")
"""Without `colab`, and without `from-a-clone`, which needs the saved outputs and media in notebooks/."""


def copy_demos(folder: Path) -> None:
    """Copy the demos that a folder does not have yet, without their outputs."""
    folder.mkdir(exist_ok=True)
    for name in DEMOS:
        copy = folder / f"{name}.ipynb"
        if copy.exists():
            continue
        notebook = nbformat.read(NOTEBOOKS / copy.name, as_version=4)  # type: ignore[no-untyped-call]
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, copy)  # type: ignore[no-untyped-call]


def write_page_config() -> Path:
    """Turn off JupyterLab's question about news, which covers a part of the notebook; return the folder."""
    folder = LAB / ".jupyter"
    page = folder / "labconfig" / "page_config.json"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}})
    )
    return folder


def main() -> None:
    """Copy the demos and become JupyterLab."""
    copy_demos(LAB)
    for name in [name for name in os.environ if name.startswith("FAL_KEY") or name == "KLING_NB_MEDIA"]:
        del os.environ[name]
    configured = os.pathsep.join(
        filter(None, [str(write_page_config()), os.environ.get("JUPYTER_CONFIG_PATH")])
    )
    os.environ.update(
        KLING_NB_BACKEND="local", KLING_NB_HOME=str(LAB / ".kling_nb"), JUPYTER_CONFIG_PATH=configured
    )
    options = [
        f"--ServerApp.root_dir={LAB}",
        # The URL that is printed opens the notebook too; that of a file on the command line does not.
        "--LabApp.default_url=/lab/tree/quickstart.ipynb",
        # JupyterLab fetches no news and looks for no updates, so that nothing leaves this machine.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        # The search for language servers starts Node.js several times and finds none.
        "--LanguageServerManager.autodetect=False",
    ]
    if sys.platform != "darwin" and not any(map(os.environ.get, ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))):
        options.append("--no-browser")
    if os.geteuid() == 0:
        options.append("--allow-root")
    # The server replaces this process, so that it gets Ctrl-C directly.
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *options, *sys.argv[1:]])  # noqa: S606 -- a shell is not needed


if __name__ == "__main__":
    main()
