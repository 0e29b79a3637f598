"""A notebook on a page of JupyterLab or Notebook 7, worked in as a person does."""

import json
import os
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_lab import KERNEL, ServedFolder
from playwright.sync_api import Locator, Page, expect

PICTURES = Path(__file__).parents[1] / "build" / "screenshots"
PROGRAMS = {"jupyterlab": "JupyterLab", "notebook": "Notebook 7"}
EVERYWHERE = "KLING_NB_SLOW" in os.environ
"""Set by `make test-all`: every test in both programs."""

in_both = pytest.mark.parametrize("app", PROGRAMS, ids=PROGRAMS.values())
"""Runs a test in both programs."""


def in_one(app: str) -> pytest.MarkDecorator:
    """Runs a test in that program; in both with `make test-all`."""
    apps = list(PROGRAMS) if EVERYWHERE else [app]
    return pytest.mark.parametrize("app", apps, ids=[PROGRAMS[app] for app in apps])


MARKED = """() => {
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(document.activeElement);
  const ring = outlineStyle !== 'none' && parseFloat(outlineWidth) > 0;
  return document.activeElement.matches(':focus-visible') && (ring || boxShadow !== 'none') }"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
NEXT_CELL = """(count) => {
  const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
  return cells.length > count && cells.at(-1).contains(document.activeElement) }"""


def saved_notebook(file: Path) -> Any:
    """Return a notebook as JSON once the server has written all of it, because it writes in place."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return json.loads(file.read_text())
        except ValueError:
            if time.monotonic() > deadline:
                raise


class NotebookPage:
    """A notebook that is opened, run, and written on.

    Args:
        page: Of the browser.
        lab: Where the notebook is.
        name: Of its file.
    """

    def __init__(self, page: Page, lab: ServedFolder, name: str = "a notebook.ipynb") -> None:
        self.page, self.lab = page, lab
        self.file: Path = lab.folder / name

    def open(self, *cells: str) -> None:
        """Open it with these cells, and wait for its kernel."""
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(notebook, self.file)
        self.page.goto(self.lab.address(self.file.name))
        # The indicator says "idle" before there is a kernel too; a cell that is run then gets one of its own.
        self.page.get_by_role("button", name=KERNEL, exact=True).wait_for()
        self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()

    def run(self, *cells: str) -> None:
        """Open it with these cells and run all of them."""
        self.open(*cells)
        self.page.locator(".jp-Notebook .jp-Cell").first.click()
        self.menu("Run", "Run All Cells")

    def menu(self, menu: str, item: str) -> None:
        """Choose from a menu."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=item).first.click()

    def darken(self) -> None:
        """Change the theme of the open page to the dark one, and wait until that is saved."""
        self.page.get_by_role("menuitem", name="Settings", exact=True).click()
        self.page.get_by_role("menu").get_by_text("Theme", exact=True).hover()
        with self.page.expect_response(
            lambda answer: answer.request.method == "PUT" and "theme" in answer.url
        ):
            self.page.get_by_role("menu").get_by_text("JupyterLab Dark", exact=True).click()
        self.page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")  # its style is there

    def wait_until_idle(self) -> None:
        """Wait until no cell runs. The notebook takes the focus again when its last cell ends."""
        expect(self.page.locator(".jp-InputArea-prompt", has_text="[*]")).to_have_count(0, timeout=120_000)

    def begin(self) -> None:
        """Begin to write in the first cell without a mouse.

        The page gives it the focus as soon as it is drawn. At times Notebook 7 forgets to: Tab leads there.
        """
        expect(self.page.locator(".jp-Spinner")).to_have_count(0)
        self.page.evaluate(DRAWN)
        for _ in range(60):
            if self.page.evaluate("() => document.activeElement.matches('.jp-Cell, .jp-Cell .cm-content')"):
                break
            self.page.keyboard.press("Tab")
        if self.page.evaluate("() => document.activeElement.matches('.jp-Cell')"):
            self.page.keyboard.press("Enter")
        self.page.wait_for_function("() => document.activeElement.matches('.jp-mod-editMode .cm-content')")

    def type_cell(self, text: str) -> None:
        """Write on where the cursor is, run the cell, and wait for the next one."""
        count = self.page.locator(".jp-Notebook .jp-Cell").count()
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(NEXT_CELL, arg=count)

    def tab_to(self, target: Locator, key: str = "Tab") -> None:
        """Go to `target` from one element to the next; it must be seen that it has the focus."""
        for _ in range(60):
            self.page.keyboard.press(key)
            if target.evaluate("(node) => node === document.activeElement"):
                assert self.page.evaluate(MARKED), f"it cannot be seen that {target} has the focus"
                return
        raise AssertionError(f"{key} does not lead to {target}")

    def jobs(self) -> Locator:
        """The job widgets."""
        return self.page.get_by_label("Kling job")

    def ready(self, at: int = 0) -> Locator:
        """A job widget, once there is its video and all cells are done."""
        job = self.jobs().nth(at)
        expect(job.get_by_role("group", name="Video player")).to_be_visible()
        self.wait_until_idle()
        return job

    def panel(self, at: int = 0) -> Locator:
        """A panel, once it can be used."""
        panel = self.page.get_by_role("region", name="Kling panel").nth(at)
        expect(panel.get_by_role("combobox", name="Endpoint", exact=True)).to_be_visible()
        return panel

    def photograph(self, name: str) -> None:
        """Keep a picture of the page."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")
