"""marimo, Voilà and an exported page, in Chromium: what plays outside JupyterLab."""

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from jupyter_lab import JupyterLab, ServedFolder
from nbclient import NotebookClient
from notebook_page import NotebookPage
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(120)]
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
MARIMO = """
    import marimo

    app = marimo.App()

    @app.cell
    def _():
        import marimo as mo
        import kling_nb
        return kling_nb, mo

    @app.cell
    def _(kling_nb):
        video = kling_nb.generate("a paper boat")
        video
        return (video,)

    @app.cell
    def _(kling_nb, video):
        kling_nb.submit("a paper boat")
        return

    @app.cell
    def _(kling_nb):
        kling_nb.submit("a red kite")
        return

    @app.cell
    def _(kling_nb, mo):
        panel = mo.ui.anywidget(kling_nb.Panel())
        panel
        return (panel,)

    if __name__ == "__main__":
        app.run()
"""


@contextmanager
def serving(folder: Path, home: Path, *command: str) -> Iterator[str]:
    """Start a front end's own server on a free port and yield its URL. The command must end in `--port=`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "KLING_NB_HOME": str(home), "KLING_NB_LOCAL_SPEED": "inf"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, f"--port={port}"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    deadline = time.monotonic() + 60
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                shown = (folder / "server.log").read_text(errors="replace")
                assert process.poll() is None, shown
                assert time.monotonic() < deadline, shown
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def plays(videos: Locator, count: int) -> None:
    """Wait until so many videos are there and have loaded."""
    expect(videos).to_have_count(count)
    for video in videos.all():
        videos.page.wait_for_function("(video) => video.readyState >= 2", arg=video.element_handle())


def test_marimo_plays_videos_and_runs_widgets(page: Page, workspace: Path, home: Path) -> None:
    (workspace / "app.py").write_text(textwrap.dedent(MARIMO))
    command = ("marimo", "-y", "run", "app.py", "--headless", "--host=127.0.0.1", "--no-token")
    with serving(workspace, home, *command) as address:
        page.goto(address)
        plays(page.locator("[data-kling-card] video"), 2)
        kite = page.get_by_label("Kling job")
        expect(kite.get_by_role("group", name="Video player")).to_be_visible()
        panel = page.get_by_label("Kling panel")
        panel.get_by_role("textbox", name="Prompt", exact=True).fill("a lantern in the fog")
        panel.get_by_role("button", name="Generate").click()
        expect(panel.get_by_text("a lantern in the fog").filter(visible=True).first).to_be_visible()
        expect(panel.locator("[data-state=READY]").first).to_be_visible()


def test_voila_shows_the_widget_and_plays_the_card(page: Page, workspace: Path, home: Path) -> None:
    notebook = nbformat.v4.new_notebook(metadata=KERNEL)
    cells = ("%load_ext kling_nb", "%%kling boat\na paper boat", "boat", "import kling_nb\nkling_nb.Panel()")
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, workspace / "app.ipynb")
    allowed = r"--VoilaConfiguration.file_allowlist=['.*\.(png|jpg|gif|svg|mp4|webm)']"
    command = ("voila", "app.ipynb", "--no-browser", "--Voila.ip=127.0.0.1", allowed)
    with serving(workspace, home, *command) as address:
        page.goto(address)
        job = page.get_by_label("Kling job")
        expect(job.get_by_role("group", name="Video player")).to_be_visible()
        expect(page.get_by_label("Kling panel")).to_be_visible()
        plays(page.locator("[data-kling-card] video:visible"), 1)
        assert "model not found" not in page.locator("body").inner_text()


def test_an_exported_page_is_one_file_that_plays_anywhere(
    page: Page, workspace: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_NB_LOCAL_SPEED", "inf")
    notebook = nbformat.v4.new_notebook(metadata=KERNEL)
    prompt = "a paper boat\n\n# no heading\n\n<b>no tag</b>, no $maths$"
    notebook.cells = [
        nbformat.v4.new_code_cell("%load_ext kling_nb"),
        nbformat.v4.new_code_cell(f"%%kling --raw boat\n{prompt}"),
        nbformat.v4.new_code_cell(
            "import kling_nb\nkling_nb.submit(boat.request['input']['prompt']).widget()"
        ),
    ]
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(workspace)}}).execute()
    nbformat.write(notebook, workspace / "a.ipynb")
    convert = [sys.executable, "-m", "nbconvert", "--log-level=ERROR", "a.ipynb", "--to"]
    for name in ("kling_html", "markdown"):
        subprocess.run([*convert, name], cwd=workspace, check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(workspace / "a.html", elsewhere)

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url[:60]))
    page.goto(f"file://{elsewhere}/a.html")
    plays(page.locator("video"), 2)
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.locator(".kling-card h1, .kling-card b").count() == 0

    shown = (workspace / "a.md").read_text()
    assert shown.count('src="kling_media/a-paper-boat') >= 2
    inside = shown[shown.index('<div class="kling-card') :].partition("</div></div>")[0]
    assert "\n\n" not in inside  # a blank line ends HTML in Markdown


def test_where_a_policy_forbids_widgets_the_card_is_shown(tmp_path: Path, home: Path, page: Page) -> None:
    """JupyterLab shows `Click to show javascript error` in place of a widget if its script is blocked."""
    policy = "script-src 'self' 'unsafe-inline' 'unsafe-eval'"
    headers = f"--ServerApp.tornado_settings={{'headers': {{'Content-Security-Policy': \"{policy}\"}}}}"
    folder = tmp_path / "work"
    folder.mkdir()
    server = JupyterLab(folder, own=tmp_path / "own", options=[headers])
    with server, ServedFolder(server, folder, KLING_NB_HOME=str(home), KLING_NB_LOCAL_SPEED="inf") as lab:
        NotebookPage(page, lab).run(
            "%load_ext kling_nb", "%%kling boat\na paper boat", "print(6 * 7)", "boat"
        )
        expect(page.get_by_text("42", exact=True)).to_be_visible()
        expect(page.locator(".kling-card video")).to_have_count(2)
        expect(page.get_by_text("javascript error")).to_have_count(0)
        expect(page.locator(".kling-widget")).to_have_count(0)
