"""Hooks that a front end registers: the `%config` values, how jobs, videos and progress are shown.

`base_folder` is the notebook's folder, `progress_line` shows how far a film or a GIF is.

This module imports nothing of the package, so that `%load_ext` can register first. There is one front end
per process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

config: Callable[[], Mapping[str, Any]] = dict
"""Returns the values set by `%config`."""

job_presenter: Callable[[], Any] | None = None
"""Returns the `Presenter` of jobs. None shows them as text."""

video_presenter: Callable[[Any], Any] | None = None
"""Returns the MIME bundle of a `Video`, or a pair of bundle and metadata. None shows it as text."""

sweep_presenter: Callable[[Any], Any] | None = None
"""Shows a `Sweep` that is the value of a cell. None shows it as text."""

storyboard_presenter: Callable[[Any], Any] | None = None
"""Shows a `Storyboard` that is the value of a cell. None shows it as text."""

grid_widget: Callable[[Any], Any] | None = None
"""Returns the live view of a `Sweep` or a `Storyboard`. None: there are no widgets."""

say: Callable[[str], None] | None = None
"""Shows a line of text to the user. None shows nothing."""

open_line: Callable[[], Callable[[str], None]] | None = None
"""Opens a line in the output of a cell, and returns the function that rewrites it. None without a kernel."""

VSCODE_NOTEBOOK = "__vsc_ipynb_file__"
"""Name of the variable in which VS Code's Jupyter extension tells a kernel the path of its notebook."""

_named: list[Path] = []


def notebook_name(shell: Any) -> str | None:
    """Return the notebook's path as the front end gives it, or None.

    VS Code comes first, because it gives kernels of a remote server a made-up JPY_SESSION_NAME.
    """
    name = shell.user_ns.get(VSCODE_NOTEBOOK) or os.environ.get("JPY_SESSION_NAME")
    return str(name) if name else None


def base_folder() -> Path:
    """Return the folder from which relative paths in settings count.

    In a kernel it is the notebook's folder, which `os.chdir` and `%cd` do not change: that of the file that
    VS Code names, or Jupyter Server if that file exists, else the folder in which the kernel started. In any
    other program it is the current folder.
    """
    ipython = sys.modules.get("IPython.core.getipython")  # a program that has not imported it is no kernel
    shell = ipython.get_ipython() if ipython else None
    if not hasattr(shell, "kernel"):
        return Path.cwd()
    if not _named:  # found once, because `%reset` deletes VS Code's variable
        _named.extend(_notebook_file(shell).parents[:1])
    return _named[0] if _named else Path(getattr(shell, "starting_dir", None) or Path.cwd()).resolve()


def _notebook_file(shell: Any) -> Path:
    """Return the path of the notebook, or an empty path if no program names it."""
    name = notebook_name(shell)
    if name and VSCODE_NOTEBOOK in shell.user_ns:
        return Path(name).resolve()
    request = shell.get_parent() if hasattr(shell, "get_parent") else {}
    # A program that a notebook starts, such as papermill, passes the name on to its own kernel, which runs
    # another notebook. Such programs allow no input.
    if name and request.get("content", {}).get("allow_stdin", True):
        path = Path(shell.starting_dir, name)
        return path.resolve() if path.is_file() else Path()
    return Path()


# -- progress of films and GIFs

OnProgress = Callable[[float, float], None]
"""Called as `on_progress(done, total)`, in seconds of the film, about a hundred times."""


@contextmanager
def progress_line(
    what: str, on_progress: OnProgress | None, *, verbs: tuple[str, str], after: float = 1.0
) -> Iterator[OnProgress]:
    """Give the function that reports progress: the user's, or one that rewrites a line.

    The line has one of two `verbs`, such as "Joining" and "Joined", and what is made, or of what ("3 shots").
    It appears after so many seconds of work.
    """
    started = time.monotonic()
    lines: list[Callable[[str], None]] = []

    def report(done: float, total: float) -> None:
        if time.monotonic() - started < after:
            return
        if not lines:
            lines.append((open_line or _terminal_line)())
        lines[0](f"{verbs[0]} {what}: {100 * done / total:.0f} %")

    ended = f"{verbs[0]} {what} was stopped."
    try:
        yield on_progress or report
        ended = f"{verbs[1]} {what} in {time.monotonic() - started:.0f} s."
    finally:
        for show in lines:
            show(ended)


def _terminal_line() -> Callable[[str], None]:
    """Return the function that rewrites a line of the terminal, if there is one."""

    def show(text: str) -> None:
        if sys.stderr is not None and sys.stderr.isatty():
            end = "" if text.endswith("%") else "\n"
            sys.stderr.write(f"\r\x1b[K{text}{end}")
            sys.stderr.flush()

    return show
