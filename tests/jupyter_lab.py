"""A real JupyterLab or Notebook 7 server, as a test holds it."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Self
from urllib.parse import quote
from urllib.request import Request, urlopen

PATIENCE = 60.0
KERNEL = "Python 3"
"""What a page calls the kernels."""

SERVER = {
    "ServerApp": {"open_browser": False, "allow_root": True, "terminals_enabled": False},
    "LanguageServerManager": {"autodetect": False},  # it starts Node.js several times and finds none
}
NOTIFICATIONS = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
"""No question of a new JupyterLab may lie over the notebook."""


class JupyterLab:
    """JupyterLab over a folder. Use it in a `with` block.

    Args:
        folder: What it serves.
        own: Where its configuration and its log go; a hidden folder there by default.
        dark: JupyterLab's dark theme.
        app: "jupyterlab" or "notebook".
        port: One whose pages the browser has in its caches from a server before; by default a free one.
        options: Further words of its command line.
        environment: Added to this process's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        own: Path | None = None,
        dark: bool = False,
        app: str = "jupyterlab",
        port: int = 0,
        options: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self.folder = folder
        self._own = own or folder / ".jupyter"
        self._app, self._port, self._options = app, port, options
        self._dark = dark
        self._environment = {**os.environ, **environment}
        self._token = secrets.token_hex(16)

    def __enter__(self) -> Self:
        self._own.mkdir(exist_ok=True)
        (self._own / "jupyter_server_config.json").write_text(json.dumps(SERVER))
        settings = self._own / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(NOTIFICATIONS))
        self.paint(dark=self._dark)
        runtime = self._own / "runtime"
        self._log = (self._own / "server.log").open("wb")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", self._app, f"--port={self._port}", "--ip=127.0.0.1", *self._options),
                *(f"--ServerApp.root_dir={self.folder}", f"--IdentityProvider.token={self._token}"),
            ],
            cwd=self.folder,
            env={
                **self._environment,
                "JUPYTER_CONFIG_DIR": str(self._own),
                "JUPYTER_PATH": str(self._own / "share"),
                "JUPYTER_RUNTIME_DIR": str(runtime),
                "JUPYTERLAB_SETTINGS_DIR": str(self._own / "settings"),
                "JUPYTERLAB_WORKSPACES_DIR": str(self._own / "workspaces"),
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

    @property
    def base(self) -> str:
        """URL of the server, which ends with a slash."""
        return self._base

    @property
    def token(self) -> str:
        """What a page must send to be let in."""
        return self._token

    def paint(self, *, dark: bool) -> None:
        """The theme of the pages that are opened from now on."""
        themes = self._own / "settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
        themes.write_text(json.dumps({"theme": f"JupyterLab {'Dark' if dark else 'Light'}"}))

    def log(self) -> str:
        return (self._own / "server.log").read_text(errors="replace")[-3000:]

    def address(self, notebook: str) -> str:
        """Where a notebook opens, alone on the page."""
        page = "doc/tree" if self._app == "jupyterlab" else "notebooks"
        return f"{self._base}{page}/{quote(notebook)}?token={self._token}"

    def ask(self, what: str, method: str = "GET", body: object = None) -> Any:
        """An answer of the server's REST API; None where there is nothing in it."""
        request = Request(
            f"{self._base}api/{what}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"token {self._token}"},
        )
        with urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    def add_kernel(self, environment: Mapping[str, str]) -> str:
        """Add a kernel spec with the server's environment and these additions. Return its name."""
        name = f"kernel-{secrets.token_hex(4)}"
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": KERNEL,
            "language": "python",
            "env": dict(environment),
        }
        place = self._own / "share" / "kernels" / name
        place.mkdir(parents=True)
        (place / "kernel.json").write_text(json.dumps(spec))
        return name

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


class ServedFolder:
    """A folder on a server that several tests share, with kernels of its own. Use it in a `with` block.

    Args:
        server: Serves a folder around it.
        folder: Where the notebooks are.
        environment: Of the kernels, added to the server's.
    """

    def __init__(self, server: JupyterLab, folder: Path, **environment: str) -> None:
        self.server, self.folder = server, folder
        self._kernel = server.add_kernel(environment)
        self._inside = folder.relative_to(server.folder).as_posix()

    def __enter__(self) -> Self:
        return self

    def address(self, notebook: str) -> str:
        """Where a notebook opens, alone on the page, with a kernel of this folder, which starts meanwhile."""
        path = f"{self._inside}/{notebook}"
        content = json.loads((self.folder / notebook).read_text())
        if content["metadata"].get("kernelspec", {}).get("name") != self._kernel:  # or it loses its trust
            content["metadata"]["kernelspec"] = {"name": self._kernel, "display_name": KERNEL}
            (self.folder / notebook).write_text(json.dumps(content))
        kernel = {"name": self._kernel}
        self.ask("sessions", "POST", {"path": path, "type": "notebook", "name": "", "kernel": kernel})
        return self.server.address(path)

    def ask(self, what: str, method: str = "GET", body: object = None) -> Any:
        """An answer of the server's REST API."""
        return self.server.ask(what, method, body)

    def kernel(self) -> str:
        """The id of the one kernel that runs here."""
        (session,) = self._sessions()
        return str(session["kernel"]["id"])

    def __exit__(self, *_: object) -> None:
        # Tests do not wait until the kernels have shut down. That would take a second for each test.
        Thread(target=self._end_kernels, daemon=True).start()

    def _end_kernels(self) -> None:
        with suppress(OSError):  # the server may go first, and takes them with it
            for session in self._sessions():
                self.ask(f"sessions/{session['id']}", "DELETE")

    def _sessions(self) -> list[Any]:
        return [one for one in self.ask("sessions") if one["path"].startswith(f"{self._inside}/")]
