"""A page that shows outputs as VS Code does, or as Colab does in its iframes."""

import json
import sys
from pathlib import Path
from typing import Any, Self

from jupyter_lab import JupyterLab
from playwright.sync_api import Locator, Page, Route

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ROOT / "tests" / "hosts"
MODULES = HOSTS / "node_modules"
FILES = {
    "require.js": MODULES / "requirejs" / "require.js",
    "vscode.js": MODULES / "@vscode" / "jupyter-ipywidgets8" / "dist" / "ipywidgets.js",
    "anywidget.js": Path(sys.prefix) / "share" / "jupyter" / "nbextensions" / "anywidget" / "index.js",
}
DOCUMENT = """<!doctype html><html lang="en"><head><title>Notebook</title>
<link rel="stylesheet" href="/page.css">
<style>body {{ background: {background}; color: {ink}; margin: 8px }}
.output_container {{ margin: 8px 0 }}</style>
<script src="/require.js"></script>
<script>requirejs.config({{ paths: {{ anywidget: "/anywidget" }} }})</script></head>
<body><main id="{place}"></main>
<script type="module">{first} await import("/page.js"); document.body.dataset.ready = ""</script>
</body></html>"""
VSCODE = DOCUMENT.format(
    place="",
    background="var(--vscode-editor-background)",
    ink="var(--vscode-foreground)",
    first='import { activate } from "/vscode.js"; activate();',
)
COLAB = DOCUMENT.format(
    place="output-area",
    background="var(--colab-primary-surface-color)",
    ink="var(--colab-primary-text-color)",
    first="",
)
SANDBOX = """<!doctype html><html lang="en"><head><title>Colab</title></head><body>
<iframe title="Output" sandbox="allow-scripts allow-downloads" src="/output" width="860" height="1300">
</iframe>
</body></html>"""
PAGES = {"vscode": VSCODE, "colab": SANDBOX}
# The colours of the themes that VS Code 1.139 comes with ("Dark Modern" and so on), and Colab's.
THEMES = {
    "vscode-light": {"--vscode-foreground": "#3B3B3B", "--vscode-editor-background": "#FFFFFF"},
    "vscode-dark": {"--vscode-foreground": "#CCCCCC", "--vscode-editor-background": "#1F1F1F"},
    "vscode-high-contrast": {
        "--vscode-foreground": "#FFFFFF",
        "--vscode-editor-background": "#000000",
        "--vscode-contrastBorder": "#6FC3DF",
    },
    "vscode-high-contrast vscode-high-contrast-light": {
        "--vscode-foreground": "#292929",
        "--vscode-editor-background": "#FFFFFF",
        "--vscode-contrastBorder": "#0F4A85",
    },
}
COLAB_THEMES = {
    "light": {"--colab-primary-text-color": "#1F1F1F", "--colab-primary-surface-color": "#FFFFFF"},
    "dark": {"--colab-primary-text-color": "#E3E3E3", "--colab-primary-surface-color": "#383838"},
}
PAINT = """([theme, colours, colab]) => {
  const root = document.documentElement;
  root.removeAttribute("style");
  if (colab) root.setAttribute("theme", theme);
  else document.body.className = theme;
  for (const [name, value] of Object.entries(colours)) root.style.setProperty(name, value);
}"""


class Host:
    """The page of a front end, and its kernel.

    Args:
        page: An empty page.
        server: The Jupyter server whose kernels it uses.
        bundle: Folder with the bundle of `page.mjs`.
        kind: "vscode" or "colab".

    Attributes:
        page: The page.
        frame: The document with the outputs: the page's own, or that of Colab's iframe.
        complaints: Uncaught exceptions.
    """

    def __init__(self, page: Page, server: JupyterLab, bundle: Path, kind: str = "vscode") -> None:
        self.page = self.frame = page
        self.complaints: list[str] = []
        self._server, self._colab = server, kind == "colab"
        files = {**FILES, "page.js": bundle / "page.js", "page.css": bundle / "page.css"}
        self._files = {name: path.read_bytes() for name, path in files.items()}
        self._files |= {"": PAGES[kind].encode(), "output": COLAB.encode()}
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def start(self, kernel: str, folder: Path) -> Self:
        """Open the page, start a kernel in a folder, and load kling_nb."""
        base = self._server.base
        for name in self._files:  # from the server's own origin, so that the page may use its kernels
            self.page.route(f"{base}{name}", self._answer)
        self.page.goto(base)
        if self._colab:
            (self.frame,) = self.page.main_frame.child_frames  # type: ignore[assignment]
        self.frame.locator("body[data-ready]").wait_for(state="attached")
        about = {"base": base, "token": self._server.token, "kernel": kernel}
        self.frame.evaluate("(about) => host.start(about)", about)
        self.run(f"import os; os.chdir({str(folder)!r})")
        if not self._colab:  # its Jupyter extension does this first
            self.run(f"__vsc_ipynb_file__ = {str(folder / 'film.ipynb')!r}")
        self.run("%load_ext kling_nb")
        return self

    def clear(self) -> None:
        """Remove all cells, and use the light theme."""
        self.frame.evaluate("host.clear()")
        self.paint("light" if self._colab else "vscode-light")

    def paint(self, theme: str) -> None:
        """Use one of `THEMES` or `COLAB_THEMES`."""
        colours = (COLAB_THEMES if self._colab else THEMES)[theme]
        self.frame.evaluate(PAINT, [theme, colours, self._colab])

    def run(self, code: str) -> str:
        """Run a cell to its end. Return the status of its reply."""
        return str(self.frame.evaluate("(code) => host.run(code)", code))

    def begin(self, code: str) -> Locator:
        """Run a cell without waiting for it. Return its outputs."""
        self.frame.evaluate("(code) => void host.run(code)", code)
        return self.cell

    @property
    def cell(self) -> Locator:
        """The outputs of the newest cell."""
        return self.frame.locator(".cell_container").last

    def saved(self) -> list[list[dict[str, Any]]]:
        """Return the outputs of all cells, as a saved notebook holds them."""
        return list(self.frame.evaluate("host.saved()"))

    def reopen(self) -> None:
        """Show the outputs as they are saved, without a kernel."""
        self.frame.evaluate("(saved) => host.reopen(saved)", json.loads(json.dumps(self.saved())))

    def restart(self) -> None:
        """Restart the kernel."""
        self.frame.evaluate("host.restart()")

    def changed_metadata(self) -> list[str]:
        """Return the displays whose metadata an update has changed."""
        return list(self.frame.evaluate("host.changed"))

    def _answer(self, route: Route) -> None:
        name = route.request.url.split("/", 3)[3].partition("?")[0]
        kind = {"js": "text/javascript", "css": "text/css"}.get(name.rpartition(".")[2], "text/html")
        headers = {"Access-Control-Allow-Origin": "*"}  # modules for an iframe that has no origin
        route.fulfill(body=self._files[name], content_type=kind, headers=headers)
