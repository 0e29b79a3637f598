"""A page in a browser whose widgets run in this process: without a server, a kernel, or fakes in between.

Playwright calls `LivePage._kernel` while a test waits for the page, so commands are handled on the
test's thread, as a kernel handles them on its own.
"""

import base64
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import ipywidgets
from comm.base_comm import BaseComm
from ipywidgets.widgets.widget import _instances
from playwright.sync_api import BrowserContext, Locator, expect

from kling_nb import Job, Panel, Session
from kling_nb.notebook.widgets.grid import GridWidget
from kling_nb.notebook.widgets.job import JobWidget
from views.window import ADDRESS, Window

PATIENCE = 45.0
STATIC = "kling_nb/static"
VIEWS = {JobWidget: "job", Panel: "panel", GridWidget: "grid"}
NAMES = [f"{view}.{kind}" for view in VIEWS.values() for kind in ("js", "css")]
FILES = {
    "/live_page.js": "js/test/live_page.js",
    **{f"/{name}": f"{STATIC}/{name}" for name in NAMES},
}
LINK = '<link rel="stylesheet" href="/{}.css">'
DOCUMENT = """<!doctype html><html lang="en"><title>Notebook</title>{}
<style>:root {{ color-scheme: light dark }}</style>
<body><main></main><script type="module" src="/live_page.js"></script>"""
NOT_SENT = {"_esm", "_css", "layout"}
"""What anywidget does with these is done by the page."""


@contextmanager
def opened(**settings: Any) -> Iterator[Session]:
    """A session, closed on another thread: here a wait would find the browser's loop and change it."""
    session = Session(**settings)
    try:
        yield session
    finally:
        ipywidgets.Widget.close_all()
        closing = Thread(target=session.close)
        closing.start()
        closing.join()


class LiveComm(BaseComm):
    """A comm whose messages the page fetches."""

    def __init__(self, news: deque[Any], model: int) -> None:
        self._news, self._model = news, model
        super().__init__(target_name="jupyter.widget")

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        texts = [base64.b64encode(buffer).decode() for buffer in buffers or ()]
        self._news.append({"model": self._model, "data": data or {}, "buffers": texts})


class LivePage:
    """A page that shows widgets of this process.

    Args:
        window: Where.
        styles: The views whose styles the page has, the first one first.
    """

    def __init__(self, window: Window, styles: tuple[str, ...] = ("job", "panel", "grid")) -> None:
        self.page = window.page
        self._news: deque[Any] = deque()
        self._widgets: list[Any] = []
        self._views: list[int] = []
        self._held: tuple[str, list[dict[str, Any]]] | None = None
        window.kernel = self._kernel
        window.serve(DOCUMENT.format("".join(map(LINK.format, styles))), FILES)
        self.open()

    def open(self) -> None:
        """Load or reload the page. Every view is shown again."""
        self._news.clear()
        self.page.goto(ADDRESS)
        self.page.wait_for_function("window.show !== undefined")

    def panel(self, panel: Panel) -> Locator:
        """Show a panel, or one more view of it, and wait until it can be used."""
        self._show(panel)
        shown = self.page.get_by_role("region", name="Kling panel").last
        expect(shown.get_by_role("textbox", name="Prompt", exact=True)).to_be_visible()
        return shown

    def job(self, widget: JobWidget) -> Locator:
        """Show a job."""
        self._show(widget)
        return self.page.get_by_label("Kling job").last

    def grid(self, widget: GridWidget) -> Locator:
        """Show a sweep or a storyboard."""
        self._show(widget)
        return self.page.get_by_label("Kling videos").last

    @contextmanager
    def holding(self, kind: str) -> Iterator[None]:
        """Let commands of this kind wait until the block ends, as in a kernel that is slow."""
        self._held = kind, []
        try:
            yield
        finally:
            (_, waiting), self._held = self._held, None
            for message in waiting:
                self._kernel(message)

    def draw_again(self) -> None:
        """Remove all views and show them again, as a front end does where an output is replaced."""
        self.page.evaluate("() => leave()")
        for number in self._views:
            self.page.evaluate("(widget) => show(widget)", self._describe(number))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for what the page brings about in Python."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "never became true"
            self.page.wait_for_timeout(20)  # meanwhile its messages are handled

    def finish(self, job: Job) -> Job:
        """Wait for a job's end. `job.wait()` would find the browser's loop in this thread and change it."""
        self.until(lambda: job.done)
        return job

    def allow_clipboard(self) -> None:
        """Let the page write to the clipboard and the test read it."""
        context: BrowserContext = self.page.context
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin="http://localhost")

    def clipboard(self) -> str:
        """What was copied last."""
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def _show(self, widget: Any) -> None:
        number = self._number(widget)
        self._views.append(number)
        self.page.evaluate("(widget) => show(widget)", self._describe(number))

    def _number(self, widget: Any) -> int:
        """The number of a widget's model on the page."""
        if widget not in self._widgets:
            widget.comm = LiveComm(self._news, len(self._widgets))
            self._widgets.append(widget)
        return self._widgets.index(widget)

    def _describe(self, number: int) -> dict[str, Any]:
        widget = self._widgets[number]
        state = {name: value for name, value in widget.get_state().items() if name not in NOT_SENT}
        view = next(name for kind, name in VIEWS.items() if isinstance(widget, kind))
        return {"id": number, "view": view, "state": state}

    def _kernel(self, message: dict[str, Any]) -> Any:
        match message["kind"]:
            case "widgets":
                return [self._describe(number) for number in self._views]
            case "model":
                return self._describe(self._number(_instances[message["name"]]))
            case "news":
                return [self._news.popleft() for _ in range(len(self._news))]
        if self._held and self._kind(message) == self._held[0]:
            self._held[1].append(message)
            return None
        buffers = [base64.b64decode(text) for text in message["buffers"]]
        content = {"content": {"data": message["data"]}, "buffers": buffers}
        self._widgets[message["model"]].comm.handle_msg(content)
        return None

    @staticmethod
    def _kind(message: dict[str, Any]) -> str:
        """The kind of a command, or of the one in it."""
        content = message["data"].get("content", {})
        inner = content.get("msg", {}) if content.get("kind") == "result" else content
        return str(inner.get("kind"))
