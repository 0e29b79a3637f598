"""Every fenced block of README.md and docs/ runs without a key: a page in order, in one kernel.

- Blocks without a language and `python` blocks are cells. A question for input is answered.
- `sh` blocks run in a shell. Of `make` commands only the targets are checked (`make --dry-run`): they
  install, serve, or are this very test. `kling-nb local` is started at a free port, which stands for 8787 in
  what follows.
- `js` blocks run in Node, `json` blocks are read.
- `text` blocks are no code. Those, and what cannot run here and says so in its fence, are listed in `KEPT`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import pytest
from fenced import PAGES, ROOT, Block, blocks
from PIL import Image
from running_kernel import RunningKernel

from hatch_build import node_of_wheel, node_on_path

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]
KEPT = [
    ("docs/architecture.md", " cell, panel, Python, shell", "no code"),
    ("docs/architecture.md", " SUBMITTING ─► IN_QUEUE ─► IN_PROGRESS ─► DOWNLOADING ─► READY", "no code"),
    ("docs/files.md", "demo.ipynb", "no code"),
    (
        "docs/files.md",
        (
            '<div class="kling-card …" data-kling-card="0123456789ab" data-kling-state="READY"'
            ' data-kling-request="…" data-kling-takes="…" style="…">'
        ),
        "no code",
    ),
    (
        "docs/library.md",
        "takes/<fingerprint>/<backend>-<take>.json    the sidecar, as in docs/files.md",
        "no code",
    ),
    (
        "docs/webhooks.md",
        "# receiver.py",
        "a program of its own; tests/local/test_webhook_page.py runs it",
    ),
]
"""Each block that does not run: its page, its first line, and the words on its fence."""

ENGINE = "127.0.0.1:8787"
QUICK = {"KLING_NB_LOCAL_SPEED": "inf"}
DRY_MAKE = f"make() {{ command make --no-print-directory -C '{ROOT}' --dry-run \"$@\" >/dev/null; }}\n"
RUNNING = [page for page in PAGES if any(not block.kept for block in blocks(page))]


class Reader:
    """Types a page into a notebook and a shell, in a folder with two images and a notebook.

    Args:
        folder: The working folder.
        stack: Ends what the reader starts.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._engine = ENGINE
        # A page may write to IPython's configuration, which must not reach the kernels of other tests.
        self._own = {**QUICK, "IPYTHONDIR": str(folder.with_name("ipython"))}
        folder.mkdir()
        for name in ("cat.png", "dog.png"):
            Image.linear_gradient("L").resize((480, 320)).save(folder / name)
        shutil.copy(ROOT / "notebooks" / "storyboard.ipynb", folder / "demo.ipynb")
        shutil.copytree(ROOT / "notebooks" / "kling_media", folder / "kling_media")

    def type(self, block: Block) -> None:
        """Run one block."""
        runs: dict[str, Callable[[str], None]] = {
            "": self._cell,
            "python": self._cell,
            "sh": self._serve if block.text.startswith("kling-nb local") else self._shell,
            "js": self._node,
            "json": json.loads,
        }
        runs[block.language](block.text.replace(ENGINE, self._engine))

    @cached_property
    def _kernel(self) -> RunningKernel:
        return self._stack.enter_context(RunningKernel(self._folder, **self._own))

    def _cell(self, text: str) -> None:
        cell = self._kernel.start(text.rstrip("\n"))
        self._kernel.wait_until(lambda: cell.done or self._kernel.asks)
        if not cell.done:
            self._kernel.answer("key-of:nobody")
        self._kernel.finish(cell)
        assert cell.ok, cell.message or cell.reply

    def _shell(self, text: str) -> None:
        self._run("sh", "-euc", DRY_MAKE + text)

    def _node(self, text: str) -> None:
        node = node_on_path() or node_of_wheel()
        assert node is not None, "there is no Node: make test sees to one"
        modules = self._folder / "node_modules"
        if not modules.exists():
            modules.symlink_to(ROOT / "node_modules")
        (self._folder / "page.mjs").write_text(text, encoding="utf-8")
        self._run(node.program, "page.mjs")

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def _serve(self, text: str) -> None:
        command = [*text.replace("--port 8787", "--port 0").split(), "--speed", "inf", "--parent"]
        self._engine = self._stack.enter_context(serving(command, self._environment))

    @property
    def _environment(self) -> dict[str, str]:
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        return {**own, **self._own, "PATH": programs}


@contextmanager
def serving(command: list[str], environment: dict[str, str]) -> Iterator[str]:
    """An engine, for as long as its standard input is open; gives its address."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"].removeprefix("http://")
    finally:
        process.communicate(timeout=20)


def test_only_these_blocks_do_not_run() -> None:
    kept = [block for page in PAGES for block in blocks(page) if block.kept]
    assert [(block.page, block.head, block.kept) for block in kept] == KEPT


@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.stem)
def test_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path, home: Path) -> None:
    with ExitStack() as stack:
        reader = Reader(tmp_path / "work", stack)
        for block in blocks(page):
            if block.kept:
                continue
            try:
                reader.type(block)
            except (AssertionError, ValueError, KeyError) as fault:
                pytest.fail(f"{block}\n{block.text}\n{fault}", pytrace=False)
