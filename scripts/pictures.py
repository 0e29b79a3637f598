"""Make the README's pictures from the real page, light and dark: a cell of the quickstart, and the panel.

Run it with `make pictures`. It uses the server of the browser tests and a Chromium.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from jupyter_lab import JupyterLab  # type: ignore[import-not-found]  # noqa: E402 -- from the tests

PATIENCE_MS = 60_000
SETTLED_MS = 1500  # hover effects fade, a spinner goes
SECONDS_IN = 4.0
"""Where the video is stopped for the picture: its title has come in by then."""
FRAMES_A_SECOND = 24
LARGEST = 400_000
"""Bytes of a picture."""
OWN_COLOURS = 48
"""The most frequent colours of a picture, those of text and controls."""

PANEL = (
    "%load_ext kling_nb",
    """import kling_nb
for prompt in (
    "A hot air balloon over a desert at sunset", "A lighthouse in a storm", "Snow falls on a quiet street"
):
    kling_nb.generate(prompt, endpoint="v2.5-turbo-pro")""",
    "%kling panel",
)
PROMPT = "A red fox crosses a snowy forest clearing at dawn, soft golden light"


def main() -> None:
    """Write docs/quickstart.png, docs/panel.png, and both with `-dark`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("KLING_NB_CHROMIUM"), args=["--no-sandbox", "--disable-gpu"]
        )
        for dark in (False, True):
            take(browser, "quickstart", quickstart_cells(), (1000, 900), pose_of_quickstart, dark=dark)
            take(browser, "panel", PANEL, (1100, 1060), pose_of_panel, dark=dark)
        browser.close()


def take(
    browser: Browser,
    name: str,
    cells: tuple[str, ...],
    size: tuple[int, int],
    pose: Callable[[Page], Locator | None],
    *,
    dark: bool,
) -> None:
    """Run cells in JupyterLab, bring the page into its pose, and photograph it or a part of it."""
    target = ROOT / "docs" / f"{name}{'-dark' if dark else ''}.png"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],  # type: ignore[no-untyped-call]
        )
        nbformat.write(notebook, place / f"{name}.ipynb")  # type: ignore[no-untyped-call]
        with JupyterLab(place, dark=dark, KLING_NB_HOME=str(place / "home")) as lab:
            page = browser.new_page(viewport={"width": size[0], "height": size[1]}, device_scale_factor=1.5)
            page.set_default_timeout(PATIENCE_MS)
            page.goto(lab.address(f"{name}.ipynb"))
            page.get_by_role("button", name="Idle").wait_for()
            page.locator(".jp-Notebook .jp-Cell").first.click()
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            part = pose(page)
            page.mouse.move(2, 2)
            page.wait_for_timeout(SETTLED_MS)
            save(Image.open(BytesIO((part or page).screenshot())), target)
            page.context.close()
    print(f"{target.relative_to(ROOT)}  {target.stat().st_size / 1000:.0f} kB")


def save(picture: Image.Image, target: Path) -> None:
    """Write it small enough for a front page: in 256 colours, of which the page's own stay as they are."""
    picture = picture.convert("RGB")
    counted: list[tuple[int, Any]] = picture.getcolors(picture.width * picture.height) or []
    own = [colour for _, colour in sorted(counted, reverse=True)[:OWN_COLOURS]]
    rest = picture.quantize(256 - OWN_COLOURS, Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(part for colour in own for part in colour), *rest][:768])
    pixels = np.array(picture)
    for dither in (Image.Dither.FLOYDSTEINBERG, Image.Dither.NONE):
        places = np.array(picture.quantize(palette=palette, dither=dither))
        for number, colour in enumerate(own):
            places[(pixels == colour).all(axis=-1)] = number
        made = Image.fromarray(places, "P")
        made.putpalette(palette.getpalette() or [])
        made.save(target, optimize=True)
        if target.stat().st_size <= LARGEST:
            return


def quickstart_cells() -> tuple[str, ...]:
    """The first two cells of code of the quickstart."""
    notebook = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    return tuple(cell.source for cell in notebook.cells if cell.cell_type == "code")[:2]


def pose_of_quickstart(page: Page) -> None:
    """The job's widget, its video stopped where the title stands."""
    job = page.get_by_label("Kling job")
    job.get_by_role("slider", name="Frame").fill(f"{SECONDS_IN * FRAMES_A_SECOND:.0f}")
    job.locator("video").wait_for()
    # The tools of the cell that has the focus would lie over the picture.
    page.locator(".jp-Notebook .jp-Cell").first.locator(".jp-InputArea-prompt").click()


def pose_of_panel(page: Page) -> Locator:
    """The panel with a finished job open and another one under way."""
    panel = page.get_by_role("region", name="Kling panel")
    prompt = panel.get_by_role("textbox", name="Prompt", exact=True)
    prompt.fill(PROMPT)
    panel.get_by_role("button", name="Generate preview").click()
    video = panel.get_by_role("region", name="Opened").locator("video")
    video.wait_for()
    prompt.fill(f"{PROMPT}, and looks into the lens")
    panel.get_by_role("button", name="Generate preview").wait_for()
    stop_at(video)
    return panel


def stop_at(video: Locator) -> None:
    """Hold the video at `SECONDS_IN`."""
    video.wait_for()
    video.evaluate(
        "(v, t) => new Promise(done => { v.onseeked = done; v.pause(); v.currentTime = t })", SECONDS_IN
    )


if __name__ == "__main__":
    main()
