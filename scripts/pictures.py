"""Make the README's pictures from the real page: a cell of the quickstart in JupyterLab, light and dark.

Run it with `make pictures`. It uses the server of the browser tests and a Chromium.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from jupyter_lab import JupyterLab  # type: ignore[import-not-found]  # noqa: E402 -- from the tests

PATIENCE_MS = 60_000
WIDTH, HEIGHT = 1000, 900
SETTLED_MS = 1500  # the browser's own controls fade out, its spinner too
SECONDS_IN = 4.0
"""Where the video is stopped for the picture: its title has come in by then."""


def main() -> None:
    """Write docs/quickstart.png and docs/quickstart-dark.png."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("KLING_NB_CHROMIUM"), args=["--no-sandbox", "--disable-gpu"]
        )
        for dark in (False, True):
            target = ROOT / "docs" / f"quickstart{'-dark' if dark else ''}.png"
            take(browser, target, dark=dark)
            print(f"{target.relative_to(ROOT)}  {target.stat().st_size / 1000:.0f} kB")
        browser.close()


def take(browser: Browser, target: Path, *, dark: bool) -> None:
    """Run the first cells of the quickstart and photograph them."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        notebook = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4)  # type: ignore[no-untyped-call]
        notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:2]
        nbformat.write(notebook, place / "quickstart.ipynb")  # type: ignore[no-untyped-call]
        with JupyterLab(place, dark=dark, KLING_NB_HOME=str(place / "home")) as lab:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=1.5)
            page.set_default_timeout(PATIENCE_MS)
            page.goto(lab.address("quickstart.ipynb"))
            page.get_by_role("button", name="Idle").wait_for()
            page.locator(".jp-Notebook .jp-Cell").first.click()
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            page.get_by_label("Kling job").get_by_role("button", name="Play").click()
            video = page.get_by_label("Kling job").locator("video")
            video.wait_for()
            video.evaluate(
                "(v, t) => new Promise(done => { v.onseeked = done; v.pause(); v.currentTime = t })",
                SECONDS_IN,
            )
            page.mouse.move(2, 2)
            page.wait_for_timeout(SETTLED_MS)
            page.screenshot(path=target)
            page.context.close()


if __name__ == "__main__":
    main()
