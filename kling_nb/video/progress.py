"""The line that shows how far a film or a GIF is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kling_nb import front_end

OnProgress = Callable[[float, float], None]
"""Called as `on_progress(done, total)`, in seconds of the film, about a hundred times."""

_PATIENCE = 1.0
"""Seconds after which work shows its progress."""


@contextmanager
def progress_line(
    what: str, on_progress: OnProgress | None, *, verbs: tuple[str, str], after: float = _PATIENCE
) -> Iterator[OnProgress]:
    """Give the function that reports progress: the user's, or one that rewrites a line.

    Args:
        what: What is made, or of what: "3 shots".
        on_progress: The user's function, or None.
        verbs: What is done and what was done: "Joining" and "Joined".
        after: Seconds of work before the line appears.
    """
    started = time.monotonic()
    lines: list[Callable[[str], None]] = []

    def report(done: float, total: float) -> None:
        if time.monotonic() - started < after:
            return
        if not lines:
            lines.append((front_end.open_line or _terminal_line)())
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
