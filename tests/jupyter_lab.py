"""A real JupyterLab or Notebook 7 server, as a test holds it."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

PATIENCE = 60.0

SERVER = {"ServerApp": {"open_browser": False, "allow_root": True, "terminals_enabled": False}}
NOTIFICATIONS = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
"""No question of a new JupyterLab may lie over the notebook."""


class JupyterLab:
    """JupyterLab over a folder, on a free port. Use it in a `with` block.

    Args:
        folder: What it serves; its configuration goes into a hidden folder there.
        dark: JupyterLab's dark theme.
        app: "jupyterlab" or "notebook".
        options: Further words of its command line.
        environment: Added to this process's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dark: bool = False,
        app: str = "jupyterlab",
        options: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self.folder = folder
        self._app, self._options = app, options
        self._theme = {"theme": f"JupyterLab {'Dark' if dark else 'Light'}"}
        self._environment = {**os.environ, **environment}
        self._token = secrets.token_hex(16)

    def __enter__(self) -> Self:
        own = self.folder / ".jupyter"
        own.mkdir(exist_ok=True)
        (own / "jupyter_server_config.json").write_text(json.dumps(SERVER))
        settings = own / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(NOTIFICATIONS))
        (settings / "themes.jupyterlab-settings").write_text(json.dumps(self._theme))
        runtime = own / "runtime"
        self._log = (own / "server.log").open("wb")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", self._app, "--port=0", "--ip=127.0.0.1", *self._options),
                *(f"--ServerApp.root_dir={self.folder}", f"--IdentityProvider.token={self._token}"),
            ],
            cwd=self.folder,
            env={
                **self._environment,
                "JUPYTER_CONFIG_DIR": str(own),
                "JUPYTER_RUNTIME_DIR": str(runtime),
                "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
                "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
            },
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._base = self._wait_for_address(runtime)
        return self

    def _wait_for_address(self, runtime: Path) -> str:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for info in runtime.glob("jpserver-*.json"):
                try:
                    return str(json.loads(info.read_text())["url"])
                except ValueError:
                    break  # still being written
            assert self._process.poll() is None, self.log()
            time.sleep(0.05)
        raise AssertionError(f"JupyterLab did not start:\n{self.log()}")

    def log(self) -> str:
        return (self.folder / ".jupyter" / "server.log").read_text(errors="replace")[-3000:]

    def address(self, notebook: str) -> str:
        """Where a notebook opens, alone on the page."""
        page = "doc/tree" if self._app == "jupyterlab" else "notebooks"
        return f"{self._base}{page}/{notebook}?token={self._token}"

    def ask(self, what: str, method: str = "GET") -> Any:
        """An answer of the server's REST API; None where there is nothing in it."""
        request = Request(
            f"{self._base}api/{what}", method=method, headers={"Authorization": f"token {self._token}"}
        )
        with urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    def end_kernels(self) -> None:
        """Shut down every kernel, as the menu does."""
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
