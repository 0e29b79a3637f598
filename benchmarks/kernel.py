"""A Jupyter kernel as a front end drives it, with the times at which things are seen."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from typing import Any, Self

from jupyter_client.manager import KernelManager

PATIENCE = 120.0


class Kernel:
    """A real kernel in an empty folder. Use it in a `with` block."""

    def __init__(self, **environment: str) -> None:
        self._environment = environment

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="kling_nb-bench-")
        place = self._folder.name
        variables = {**os.environ, "KLING_NB_HOME": f"{place}/home", "IPYTHONDIR": place, **self._environment}
        self._manager = KernelManager(kernel_name="python3")
        # What it says on stderr is about its transport; a cell's errors come as messages.
        self._manager.start_kernel(cwd=place, env=variables, stderr=subprocess.DEVNULL)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
        self._folder.cleanup()

    def run(self, code: str) -> dict[str, Any]:
        """Run a cell: when Enter was pressed, when its first display came, and what it printed.

        Raises:
            RuntimeError: The cell failed.
        """
        found: dict[str, Any] = {"text": "", "shown": None, "entered": time.monotonic()}
        cell = self._client.execute(code)
        while True:
            message = self._client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != cell:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "display_data" and found["shown"] is None:
                found["shown"] = time.monotonic()
            elif kind == "stream":
                found["text"] += content["text"]
            elif kind == "error":
                raise RuntimeError("\n".join(content["traceback"]))
            elif kind == "status" and content["execution_state"] == "idle":
                self._client.get_shell_msg(timeout=PATIENCE)
                return found

    def value(self, code: str) -> Any:
        """The JSON that a cell prints last."""
        return json.loads(self.run(code)["text"].splitlines()[-1])
