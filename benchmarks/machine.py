"""Where and with what was measured."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

VERSIONS = ("kling_nb", "fal-client", "httpx", "httpcore", "av", "ipykernel", "ipython")


def load() -> str:
    """Processes that wanted a core, over the last 1, 5 and 15 minutes."""
    return " / ".join(f"{value:.1f}" for value in os.getloadavg())


def busy() -> list[str]:
    """A warning, where other programs wanted the cores too."""
    if os.getloadavg()[2] <= (os.cpu_count() or 1):
        return []
    return ["- **more wanted the cores than there are: times are upper bounds; counts and memory hold**"]


def lines(ceiling: float) -> list[str]:
    """The machine, the versions, and how far the server's own limit is away."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return [
        f"- {time.strftime('%Y-%m-%d')}, {system}, {os.cpu_count()} cores, {_processor()}, {_memory()}",
        f"- {python}, {', '.join(f'{name} {version(name)}' for name in VERSIONS)}",
        f"- load before the first row: {load()}",
        f"- ceiling of the loopback server: {ceiling:,.0f} status replies a second",
    ]


def _processor() -> str:
    found = _value("/proc/cpuinfo", "model name")
    return found or platform.processor() or "unknown processor"


def _memory() -> str:
    found = _value("/proc/meminfo", "MemTotal")
    return f"{int(found.split()[0]) / 1e6:.0f} GB" if found else "memory unknown"


def _value(path: str, field: str) -> str:
    file = Path(path)
    found = file.read_text().splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in found if line.startswith(field)), "")
