"""Notebooks in JupyterLab with jupyter-collaboration: a room on the server keeps the document of each."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_lab import JupyterLab
from playwright.sync_api import BrowserContext, Page, expect

from browser.test_reopening import has_no_error, plays, run_all, write

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]
PACKAGES = Path(__file__).parents[2] / "build" / "collaboration"
SPEED = {"KLING_NB_LOCAL_SPEED": "inf"}
BOAT = ("%load_ext kling_nb", "%%kling boat\na paper boat")


@pytest.fixture
def server(workspace: Path, home: Path) -> Iterator[JupyterLab]:
    """A JupyterLab of this test's own, with the extension and its page."""
    assert PACKAGES.is_dir(), "`make test-all` installs jupyter-collaboration there"
    own = workspace / ".jupyter"
    (own / "share").mkdir(parents=True)
    (own / "share" / "labextensions").symlink_to(PACKAGES / "share" / "jupyter" / "labextensions")
    (own / "jupyter_server_config.d").symlink_to(PACKAGES / "etc" / "jupyter" / "jupyter_server_config.d")
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(PACKAGES)])
    with JupyterLab(workspace, own=own, PYTHONPATH=path, KLING_NB_HOME=str(home), **SPEED) as started:
        yield started
        assert "Traceback" not in started.log()


def shown(page: Page, server: JupyterLab, name: str) -> Page:
    page.goto(server.address(name))
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    return page


def kernel_of(server: JupyterLab, name: str) -> str:
    return next(str(one["kernel"]["id"]) for one in server.ask("sessions") if one["path"] == name)


def test_after_a_restart_of_the_kernel_every_page_of_a_room_shows_cards(
    server: JupyterLab, workspace: Path, window: BrowserContext, page: Page
) -> None:
    file = write(workspace / "room.ipynb", *BOAT)
    run_all(shown(page, server, file.name))
    widget = page.get_by_label("Kling job")
    expect(widget.get_by_role("group", name="Video player")).to_be_visible()
    expect(page.locator(".jp-InputArea-prompt", has_text="[*]")).to_have_count(0)

    other = shown(window.new_page(), server, file.name)  # the widget lives: a second person sees it too
    expect(other.get_by_label("Kling job").get_by_role("group", name="Video player")).to_be_visible()
    assert has_no_error(other)

    server.ask(f"kernels/{kernel_of(server, file.name)}/restart", "POST")
    shown(page, server, file.name)  # the room stayed open for the other page
    plays(page, 1)
    plays(other, 1)
    expect(widget).to_have_count(0)
    expect(page.locator(".cm-content").nth(1)).to_have_text("%%kling boata paper boat")
    other.close()
