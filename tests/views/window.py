"""The one page of a browser, as new for each test: to open another costs more than most tests."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Route, ViewportSize

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://localhost/"
TYPES = {".js": "text/javascript", ".css": "text/css", ".mp4": "video/mp4", ".jpg": "image/jpeg"}


class Window:
    """A page, what it is served, and what it complains of.

    Args:
        browser: Where it is opened.

    Attributes:
        page: The page.
        complaints: Its uncaught exceptions and, where `strict`, the errors of its console.
        kernel: Answers the calls of the function of that name on the page.
    """

    def __init__(self, browser: Browser) -> None:
        self.page: Page = browser.new_page(reduced_motion="reduce")
        self.complaints: list[str] = []
        self.strict = False
        self.kernel: Callable[[dict[str, Any]], Any] | None = None
        self._document = ""
        self._files: Mapping[str, bytes] = {}
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)
        self.page.route(f"{ADDRESS}**", self._answer)
        self.page.expose_function("kernel", lambda message: self.kernel and self.kernel(message))

    def renew(self, width: int, height: int) -> Page:
        """Leave nothing of the test before: its page, its wishes, its permissions."""
        page = self.page
        self.kernel, self.strict = None, False
        page.goto("about:blank")
        self.complaints.clear()
        page.set_viewport_size(ViewportSize(width=width, height=height))
        page.emulate_media(color_scheme="light", reduced_motion="reduce", forced_colors="none")
        page.context.clear_permissions()
        return page

    def serve(self, document: str, files: Mapping[str, str], **made: bytes) -> None:
        """Give the page its document, files of the project by address, and bytes by name."""
        self._document = document
        self._files = {address: (ROOT / file).read_bytes() for address, file in files.items()}
        self._files |= {f"/{name.replace('_', '.')}": body for name, body in made.items()}

    def _hear(self, message: ConsoleMessage) -> None:
        if self.strict and message.type == "error":
            self.complaints.append(message.text)

    def _answer(self, route: Route) -> None:
        path = "/" + route.request.url.split("/", 3)[3]
        if path in self._files:
            route.fulfill(body=self._files[path], content_type=TYPES[Path(path).suffix])
        else:
            route.fulfill(body=self._document if path == "/" else "", content_type="text/html")
