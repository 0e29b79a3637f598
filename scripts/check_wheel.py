"""Check the files of built wheels and sdists. Fail if one is missing or does not belong there."""

from __future__ import annotations

import fnmatch
import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST = (
    "kling_nb/__init__.py",
    "kling_nb/py.typed",
    "kling_nb/static/job.js",
    "kling_nb/static/job.css",
    "kling_nb/static/panel.js",
    "kling_nb/static/panel.css",
    "kling_nb/static/grid.js",
    "kling_nb/static/grid.css",
    "kling_nb/catalog/*.json*",
    "kling_nb-*.dist-info/METADATA",
    "kling_nb-*.dist-info/entry_points.txt",
    "kling_nb-*.dist-info/licenses/LICENSE",
    "kling_nb-*.data/data/etc/jupyter/jupyter_server_config.d/kling_nb.json",
)
"""Patterns of names. Each must match a file that is not empty, except py.typed."""
HOMES = ("kling_nb/*", "kling_nb-*.dist-info/*", "kling_nb-*.data/data/etc/jupyter/*")
STRAYS = (
    "*/tests/*",
    "*/node_modules/*",
    "*/__pycache__/*",
    "*.map",
    "*.pyc",
    "*/kling_media/*",
    "*.sqlite*",
)


MADE = {"node_modules", "__pycache__", ".hypothesis"}
"""Folders in `tests/` that an sdist does not hold."""


def faults(wheel: zipfile.ZipFile) -> Iterator[str]:
    """Yield the faults of a wheel, one sentence each."""
    sizes = {info.filename: info.file_size for info in wheel.infolist()}
    for pattern in LEAST:
        found = fnmatch.filter(sizes, pattern)
        if not found:
            yield f"{pattern} is missing"
        elif pattern != "kling_nb/py.typed" and not any(sizes[name] for name in found):
            yield f"{pattern} is empty"
    metadata = next((name for name in sizes if name.endswith(".dist-info/METADATA")), None)
    readme = wheel.read(metadata).decode() if metadata else ""
    for link in re.findall(r"\]\(([^)]*)\)|\b(?:src|srcset)=\"([^\"]*)\"", readme):
        if not re.match("https?://|mailto:|#", "".join(link)):
            yield f"the README links to {''.join(link)}, which is not on the page of the package"
    for name in sizes:
        if not any(fnmatch.fnmatch(name, home) for home in HOMES):
            yield f"{name} does not belong in the package"
        if any(fnmatch.fnmatch(name, stray) for stray in STRAYS):
            yield f"{name} is not part of the package"
        for path in machine_paths():
            if path.encode() in wheel.read(name):
                yield f"{name} contains a path of this machine, {path}"


def machine_paths() -> list[str]:
    """Return the paths that a package must not contain: the project's folder and the home folder."""
    return [f"{folder}/" for folder in (ROOT.as_posix(), Path.home().as_posix()) if len(folder) > 1]


def missing_files(sdist: tarfile.TarFile) -> Iterator[str]:
    """Yield one sentence for each file that an sdist lacks: of the tests, or of the built front end."""
    names = {name.partition("/")[2] for name in sdist.getnames()}
    needed = [name for name in LEAST if name.startswith("kling_nb/static")]
    for folder, folders, files in os.walk(ROOT / "tests"):
        folders[:] = [name for name in folders if name not in MADE]
        needed += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in files]
    yield from (f"{name} is missing" for name in needed if name not in names)


def check(path: Path) -> bool:
    """Report the faults of one wheel, after its files, or of one sdist. Return True if it has none."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for info in sorted(wheel.infolist(), key=lambda info: info.filename):
                print(f"{info.file_size:>9,}  {info.filename}")
            wrong = list(faults(wheel))
    else:
        with tarfile.open(path) as sdist:
            wrong = list(missing_files(sdist))
    print(f"{path.name}: {path.stat().st_size:,} bytes, {len(wrong)} faults")
    for fault in wrong:
        print(f"{path.name}: {fault}", file=sys.stderr)
    return not wrong


def main(paths: list[str]) -> int:
    """Check the named wheels and sdists. It is an error to name none."""
    if not paths:
        print("usage: check_wheel.py WHEEL_OR_SDIST…", file=sys.stderr)
        return 2
    results = [check(Path(path)) for path in paths]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
