"""Addresses under which the notebook server itself plays a file: no kernel is needed then."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

ROOT, BASE = "KLING_NB_SERVER_ROOT", "KLING_NB_SERVER_BASE"
"""Set for kernels on the server's own machine: the folder it serves, and its base URL such as `/`."""


def served_here(environ: Mapping[str, str] | None = None) -> bool:
    """Whether a server with our extension, on this machine, is where this kernel came from."""
    return bool((os.environ if environ is None else environ).get(ROOT))


def served_url(path: Path, environ: Mapping[str, str] | None = None) -> str | None:
    """The `files/` URL of a file, relative to the server's host; None where it is not served."""
    env = os.environ if environ is None else environ
    root = env.get(ROOT)
    if not root:
        return None
    try:
        inside = path.resolve().relative_to(Path(root).resolve())
    except (ValueError, OSError):
        return None
    if any(part.startswith(".") for part in inside.parts):  # servers keep hidden files to themselves
        return None
    base = "/" + env.get(BASE, "/").strip("/")
    return f"{base.rstrip('/')}/files/{quote(inside.as_posix())}"
