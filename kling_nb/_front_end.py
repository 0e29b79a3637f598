"""What a front end registers with the package: where `%config` values are, how jobs and videos are shown.

It imports nothing, so that `%load_ext` can register before anything else is loaded.
One front end a process.
"""

from collections.abc import Callable, Mapping
from typing import Any

config: Callable[[], Mapping[str, Any]] = dict
"""Gives the values set by `%config`."""

job_presenter: Callable[[], Any] | None = None
"""Gives the `Presenter` of jobs; None shows them as text."""

video_presenter: Callable[[Any], Any] | None = None
"""Gives the MIME bundle of a `Video`, or a pair of bundle and metadata; None shows it as text."""

sweep_presenter: Callable[[Any], Any] | None = None
"""Shows a `Sweep` that ends a cell; None shows it as text."""

strip_presenter: Callable[[Any], Any] | None = None
"""Shows a `Storyboard` that ends a cell; None shows it as text."""

say: Callable[[str], None] | None = None
"""Shows a line to the user; None keeps it to itself."""
