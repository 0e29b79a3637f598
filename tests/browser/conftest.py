"""JupyterLab and Notebook 7 with a page on them.

A server costs seconds and so does a page whose scripts are not in the browser's cache. So there is one
browser, and each program has one server. A test has a folder, a ledger and kernels of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from jupyter_lab import JupyterLab, ServedFolder
from notebook_page import NotebookPage
from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, expect, sync_playwright

expect.set_options(timeout=45_000)
VIEWPORT = {"width": 1200, "height": 1400}
BASE_URLS = {"jupyterlab": "/user/ana/work/"}
"""That of a named server of JupyterHub. The server of Notebook 7 is at the root of its host."""


@pytest.fixture(scope="package")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the browser's caches: with them a page takes two thirds of the work of a first one."""
    return tmp_path_factory.mktemp("browser")


# For a package, not the session: while it is open an event loop runs in this thread, which other
# tests must not find.
@pytest.fixture(scope="package")
def window(profile: Path, chromium_path: str, chromium_args: list[str]) -> Iterator[BrowserContext]:
    """A browser with caches. Its empty page stays: it would end with its last one."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium_path,
            args=chromium_args,
            viewport=VIEWPORT,  # type: ignore[arg-type]
            reduced_motion="reduce",  # drawn without a graphics card, a moving bar takes a core
        )
        context.set_default_timeout(45_000)
        yield context
        context.close()


@pytest.fixture
def complaints() -> list[str]:
    """Errors of the page's console and uncaught exceptions."""
    return []


@pytest.fixture
def page(window: BrowserContext, complaints: list[str]) -> Iterator[Page]:
    opened = window.new_page()

    def on_console(message: ConsoleMessage) -> None:
        source = message.location.get("url", "")
        # The program asks for kernels of the test before, which end meanwhile. Our files are not there.
        if message.type == "error" and "/api/" not in source:
            complaints.append(f"{message.text} {source}")

    def on_error(error: Error) -> None:
        # Notebook 7 has faults of its own while it starts. Our scripts come as blobs, not from its server.
        if "blob:" in (error.stack or "blob:") or "/static/" not in error.stack:
            complaints.append(str(error))

    opened.on("console", on_console)
    opened.on("pageerror", on_error)
    yield opened
    opened.close()
    window.clear_permissions()


@pytest.fixture(scope="package")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], JupyterLab]]:
    """The server of a program, started when it is first asked for. It serves the folders of all tests."""
    servers: dict[str, JupyterLab] = {}
    with ExitStack() as running:

        def serve(app: str) -> JupyterLab:
            if app not in servers:
                started = JupyterLab(
                    tmp_path_factory.getbasetemp(),
                    own=tmp_path_factory.mktemp("server"),
                    app=app,
                    options=[f"--ServerApp.base_url={BASE_URLS.get(app, '/')}"],
                )
                servers[app] = running.enter_context(started)
            return servers[app]

        yield serve


@pytest.fixture
def app() -> str:
    """The program that a test runs in, unless `@in_both` chooses it."""
    return "jupyterlab"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The folder in which the notebooks of this test are."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(home: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """Of the kernels: a ledger of this test's, and the local preview server at `@pytest.mark.pace(speed)`."""
    pace = request.node.get_closest_marker("pace")
    return {"KLING_NB_HOME": str(home), "KLING_NB_LOCAL_SPEED": str(pace.args[0]) if pace else "1"}


@pytest.fixture
def lab(
    app: str,
    workspace: Path,
    environment: dict[str, str],
    server_of: Callable[[str], JupyterLab],
) -> Iterator[ServedFolder]:
    """The folder of this test on a server, with kernels of its own."""
    server = server_of(app)
    server.paint(dark=False)  # the test before may have left it dark
    with ServedFolder(server, workspace, **environment) as folder:
        yield folder


@pytest.fixture
def notebook(page: Page, lab: ServedFolder) -> NotebookPage:
    """A notebook of this test, still to be opened."""
    return NotebookPage(page, lab)
