"""Saved notebooks opened again, in JupyterLab and Notebook 7: live widgets, or cards that play."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_lab import JupyterLab, ServedFolder
from kernel_environment import pointed_at
from nbformat.sign import NotebookNotary
from notebook_page import PROGRAMS, in_one, saved_notebook
from playwright.sync_api import BrowserContext, Page, expect
from scripted import Done, Hold, Log, Queue, Run, Script, ScriptedFal

from kling_nb.notebook.card.style import CONTROLS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
Opened = Callable[[JupyterLab | ServedFolder, str], Page]
Serve = Callable[..., JupyterLab]
CELLS = (
    "%load_ext kling_nb",
    "%%kling boat\na paper boat",
    "import kling_nb\nkling_nb.Panel()",
    "kling_nb.submit('a paper boat').widget()",
)
SYNCHRONOUS = "jupyter_server.services.contents.largefilemanager.LargeFileManager"
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
OPTIONS = {"jupyterlab": [], "notebook": [f"--ServerApp.contents_manager_class={SYNCHRONOUS}"]}
"""Of the programs' servers: each kind of contents manager is asked."""

SHOWS = """([outputs, videos]) => {
  const cards = [...document.querySelectorAll('.jp-OutputArea-output')]
    .filter((one) => one.querySelector('.kling-card'));
  const found = cards.flatMap((one) => [...one.querySelectorAll('.kling-card video')]);
  const played = (one) => one.readyState >= 2 && one.currentTime > 0.1;
  for (const one of found) if (played(one) && !one.paused) one.pause();
  for (const one of found.filter((other) => !played(other)).slice(0, 4)) if (one.paused) one.play();
  const posters = found.map((one) => one.parentElement.querySelector('img'));
  return cards.length === outputs && found.length === videos
    && cards.every((one) => one.querySelector('video'))
    && posters.every((one) => one?.complete && one.naturalWidth > 10)
    && found.every(played) }"""
"""Return True if so many outputs have a card, and all videos, a few at a time, had a poster and played."""


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """A free port for each program: pages from a port that the browser knows come out of its caches."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return {app: free.getsockname()[1] for app, free in zip(PROGRAMS, (one, other), strict=True)}


@pytest.fixture
def serve(app: str, workspace: Path, ports: dict[str, int]) -> Serve:
    """A server of this test's own, for there are kernels and settings that have to go with it."""

    def server(**environment: str) -> JupyterLab:
        return JupyterLab(workspace, app=app, port=ports[app], options=OPTIONS[app], **environment)

    return server


@pytest.fixture
def opened(window: BrowserContext) -> Iterator[Opened]:
    """Opens a notebook on a page of its own, so that nothing is left of the one before."""
    pages: list[Page] = []

    def close_all() -> None:
        while pages:
            pages.pop().close()

    def on_page(server: JupyterLab | ServedFolder, name: str) -> Page:
        close_all()
        page = window.new_page()
        pages.append(page)
        page.set_viewport_size({"width": 1200, "height": 2600})
        page.goto(server.address(name))
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        return page

    yield on_page
    close_all()


def write(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(metadata=KERNEL)
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, path)
    return path


def run_all(page: Page) -> None:
    if "/doc/tree/" in page.url:
        page.get_by_role("button", name="Idle").wait_for()
    else:  # Notebook 7, whose indicator says "idle" before there is a kernel too
        page.get_by_role("button", name="Python 3 (ipykernel)", exact=True).wait_for()
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def save(page: Page, file: Path, holds: str) -> None:
    """Save until the file holds a text: outputs come to it a moment after they are on the page."""
    page.locator(".jp-Notebook .jp-Cell").first.click()
    for _ in range(100):
        page.keyboard.press("Control+s")
        page.wait_for_timeout(100)
        if holds in file.read_text():
            return
    pytest.fail(f"{holds} never came to the file")


def outputs(file: Path) -> list[dict[str, object]]:
    return [output for cell in saved_notebook(file)["cells"] for output in cell.get("outputs", ())]


def plays(page: Page, count: int) -> None:
    """Wait until that many videos have loaded, and see that nothing on the page says an error."""
    videos = page.locator(".jp-OutputArea video")
    expect(videos).to_have_count(count)
    for video in videos.all():
        handle = video.element_handle()
        page.wait_for_function("(video) => video.readyState >= 2", arg=handle)
    assert has_no_error(page)


def has_no_error(page: Page) -> bool:
    shown = page.locator("body").inner_text()
    return "model not found" not in shown and "Error displaying" not in shown


@in_one("jupyterlab")
@pytest.mark.pace("inf")
def test_widgets_while_the_kernel_lives_and_a_card_that_plays_after(
    lab: ServedFolder, workspace: Path, opened: Opened
) -> None:
    file = write(workspace / "a b.ipynb", *CELLS)
    page = opened(lab, file.name)
    run_all(page)
    widgets = page.get_by_label("Kling job")
    expect(widgets.get_by_role("group", name="Video player")).to_have_count(2)
    expect(page.locator("[data-kling-card]")).to_have_count(0)  # the live view replaces it
    expect(page.locator(".jp-InputArea-prompt", has_text="[*]")).to_have_count(0)
    save(page, file, 'data-kling-state=\\"READY\\"')
    assert len(outputs(file)) == 3  # widget and card are one output
    boat = outputs(file)[0]
    assert len(boat["metadata"]["kling_nb"]["kernel"]) == 36  # type: ignore[index]
    assert len(json.dumps(boat)) <= 30_000
    html = "".join(boat["data"]["text/html"])  # type: ignore[index]
    assert "<video" in html
    assert 'src="kling_media/a-paper-boat-' in html
    assert "base64,AAAA" not in file.read_text()  # an MP4 begins so

    page = opened(lab, file.name)  # the kernel lives
    expect(page.get_by_label("Kling job").get_by_role("group", name="Video player")).to_have_count(2)
    expect(page.get_by_label("Kling panel")).to_be_visible()
    assert has_no_error(page)
    page.close()

    lab.ask(f"kernels/{lab.kernel()}/restart", "POST")  # it keeps its id, and has none of its widgets
    page = opened(lab, file.name)
    plays(page, 3)
    expect(page.get_by_label("Kling job")).to_have_count(0)
    assert page.evaluate(ROOM) == [CONTROLS] * 3
    # Its signature is of another content: it is not trusted any more.
    file.write_text(file.read_text().replace("a paper boat", "a paper ship"))
    page = opened(lab, file.name)
    plays(page, 3)
    assert page.evaluate(ROOM) == [CONTROLS] * 3  # the sanitiser keeps it


@in_one("jupyterlab")
@pytest.mark.parametrize("trusted", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_output_of_every_demo_plays_trusted_or_not(
    app: str, serve: Serve, workspace: Path, home: Path, opened: Opened, trusted: bool
) -> None:
    """All demos are cells of one notebook here: to open a page takes longer than all the rest."""
    shutil.copytree(NOTEBOOKS / "kling_media", workspace / "kling_media")
    demos = [nbformat.read(path, as_version=4) for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    file = workspace / "demos.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(metadata=KERNEL, cells=[cell for demo in demos for cell in demo.cells]), file
    )
    tracker = workspace / ".jupyter" / "settings" / "@jupyterlab" / "notebook-extension"
    tracker.mkdir(parents=True)
    (tracker / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')  # all on the page
    environment = {"KLING_NB_HOME": str(home), "JUPYTER_DATA_DIR": str(workspace / ".data")}
    with serve(**environment) as server:
        if trusted:
            trust(workspace / ".data", file)
        page = opened(server, file.name)
        if OPTIONS[app]:  # Where the server waits for the manager, posters are stored for the next opening.
            page = opened(server, file.name)
        saved = [card for output in outputs(file) if "kling-card" in (card := json.dumps(output))]
        videos = sum(card.count("<video") for card in saved)
        assert videos >= len(saved) > len(demos)
        page.wait_for_function(SHOWS, arg=[len(saved), videos], polling=100, timeout=90_000)
        assert has_no_error(page)
        as_it_is = page.locator("[data-kling-card]").count()  # JupyterLab's sanitiser takes that away
        assert bool(as_it_is) == trusted


ROOM = """() => [...document.querySelectorAll(".kling-card video")].map((video) =>
  (video.offsetHeight - video.parentElement.querySelector("img").offsetHeight) / 2)"""
"""How much longer each player is than its image, above and below."""


def trust(data: Path, *notebooks: Path) -> None:
    """Sign notebooks, as `jupyter trust` does it."""
    notary = NotebookNotary(data_dir=str(data))
    for path in notebooks:
        notary.sign(nbformat.read(path, as_version=4))
    notary.store.close()


@in_one("notebook")
def test_the_card_of_a_job_that_ended_unseen_is_there_on_opening(
    serve: Serve, workspace: Path, tmp_path: Path, opened: Opened
) -> None:
    with ScriptedFal() as fal:
        environment = pointed_at(fal, tmp_path / "home")
        fal.script = Script([Queue(0), Run(), Log("Loading"), Hold(), Done()])
        closed = write(workspace / "closed.ipynb", "%load_ext kling_nb", "%%kling boat\na paper boat")
        killed = write(workspace / "killed.ipynb", "%load_ext kling_nb", "%%kling kite\na red kite")
        with serve(**environment) as server:
            for file in (closed, killed):
                page = opened(server, file.name)
                run_all(page)
                expect(page.get_by_label("Kling job")).to_contain_text("Log · 1 line")
                save(page, file, "kling_nb")
                page.close()
            paths = {one["path"]: one["id"] for one in server.ask("sessions")}
            server.ask(f"sessions/{paths['killed.ipynb']}", "DELETE")
            boat, kite = (submission.request_id for submission in fal.accepted)
            fal.release(boat)
            fal.wait_for(lambda: list((workspace / "kling_media").glob("a-paper-boat-*.json")))

            page = opened(server, "closed.ipynb")  # its tab was closed; the kernel has made the video
            expect(page.get_by_role("group", name="Video player")).to_be_visible()
            assert has_no_error(page)
            page = opened(server, "killed.ipynb")
            expect(page.locator("[data-kling-card]")).to_contain_text("%kling resume")
            assert has_no_error(page)
            page.close()

            fal.release(kite)
            command = [Path(sys.executable).with_name("kling-nb"), "resume", kite]
            subprocess.run(command, cwd=workspace, env={**os.environ, **environment}, check=True, timeout=60)
            server.end_kernels()
            plays(opened(server, "killed.ipynb"), 1)
