"""JupyterLab with a page on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_lab import JupyterLab
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

expect.set_options(timeout=45_000)


# For a module, not the session: while it is open an event loop runs in this thread, which other
# tests must not find.
@pytest.fixture(scope="module")
def browser(chromium_path: str, chromium_args: list[str]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium_path, args=chromium_args)
        yield started
        started.close()


@pytest.fixture
def complaints() -> list[str]:
    """Errors of the page's console and uncaught exceptions."""
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 1400})
    opened = context.new_page()

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    opened.on("console", on_console)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.set_default_timeout(45_000)
    yield opened
    context.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def lab(workspace: Path, home: Path, request: pytest.FixtureRequest) -> Iterator[JupyterLab]:
    """A server whose kernels use the embedded engine at the pace of `@pytest.mark.parametrize("pace", …)`."""
    pace = request.node.get_closest_marker("pace")
    speed = str(pace.args[0]) if pace else "1"
    with JupyterLab(workspace, KLING_NB_HOME=str(home), KLING_NB_LOCAL_SPEED=speed) as server:
        yield server
