"""Hooks that a front end registers: the `%config` values, and how jobs and videos are shown.

This module imports nothing of the package, so that `%load_ext` can register first. There is one front end
per process.
"""

from collections.abc import Callable, Mapping
from typing import Any

config: Callable[[], Mapping[str, Any]] = dict
"""Returns the values set by `%config`."""

job_presenter: Callable[[], Any] | None = None
"""Returns the `Presenter` of jobs. None shows them as text."""

video_presenter: Callable[[Any], Any] | None = None
"""Returns the MIME bundle of a `Video`, or a pair of bundle and metadata. None shows it as text."""

sweep_presenter: Callable[[Any], Any] | None = None
"""Shows a `Sweep` that is the value of a cell. None shows it as text."""

strip_presenter: Callable[[Any], Any] | None = None
"""Shows a `Storyboard` that is the value of a cell. None shows it as text."""

grid_widget: Callable[[Any], Any] | None = None
"""Returns the live view of a `Sweep` or a `Storyboard`. None: there are no widgets."""

say: Callable[[str], None] | None = None
"""Shows a line of text to the user. None shows nothing."""

open_line: Callable[[], Callable[[str], None]] | None = None
"""Opens a line in the output of a cell, and returns the function that rewrites it. None without a kernel."""
