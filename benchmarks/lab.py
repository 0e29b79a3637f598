"""A notebook in a real JupyterLab, and a real Chromium to open it: what the rows about pages stand on."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, Page, WebSocket, sync_playwright

from benchmarks.loopback import ROOT

sys.path += [str(ROOT / "tests"), str(ROOT / "scripts")]

from find_chromium import find
from jupyter_lab import JupyterLab

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
NOTEBOOK = "measured.ipynb"
PATIENCE_MS = 60_000


@contextmanager
def notebook(
    cells: Sequence[str], before: Callable[[Path], None] = lambda place: None
) -> Iterator[tuple[Browser, str]]:
    """Yield a browser, and the URL of a notebook with these cells.

    Args:
        cells: Their code.
        before: Called with the server's folder before it starts; its `home` is the kernels' `KLING_NB_HOME`.
    """
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        place = Path(folder)
        before(place)
        made: Any = nbformat.v4.new_notebook(metadata=KERNEL)
        made.cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in cells]
        nbformat.write(made, place / NOTEBOOK)
        with JupyterLab(place, KLING_NB_HOME=str(place / "home"), KLING_NB_BACKEND="local") as lab:
            browser = playwright.chromium.launch(
                executable_path=find(), args=["--no-sandbox", "--disable-gpu"]
            )
            yield browser, lab.address(NOTEBOOK)
            browser.close()


def opened(
    browser: Browser, url: str, height: int, on_socket: Callable[[WebSocket], object] | None = None
) -> Page:
    """Open a page on which the notebook has its kernel. `on_socket` gets each of its connections."""
    page = browser.new_page(viewport={"width": 1200, "height": height})
    page.set_default_timeout(PATIENCE_MS)
    if on_socket is not None:
        page.on("websocket", on_socket)
    page.goto(url)
    page.get_by_role("button", name="Idle").wait_for()
    return page


def run_cell(page: Page, number: int) -> None:
    """Select the cell, start it, and return."""
    page.locator(".jp-CodeCell").nth(number).locator(".jp-InputArea-prompt").click()
    page.keyboard.press("Control+Enter")


def finished(page: Page, number: int) -> None:
    """Wait for the cell's number."""
    prompt = page.locator(".jp-CodeCell").nth(number).locator(".jp-InputArea-prompt")
    page.wait_for_function("(e) => /\\[\\d+\\]/.test(e.textContent)", arg=prompt.element_handle())
