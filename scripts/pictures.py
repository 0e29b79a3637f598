"""Take the README's pictures of the real page, light and dark: a cell of the quickstart, and the panel.

Run it with `make pictures`. It uses the server of the browser tests and a Chromium.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from jupyter_lab import JupyterLab  # type: ignore[import-not-found]  # noqa: E402 -- from the tests

PATIENCE_MS = 60_000
FADE_MS = 4_000  # Hover effects and the controls of a video that plays fade.
SECONDS_IN = 4.0
"""The moment of the video in a picture: late enough for the progress line to be seen."""
FRAMES_A_SECOND = 24
SCALE = "1"
"""`KLING_NB_LOCAL_SCALE`: 960 × 540 pixels, because a picture shows a preview larger than its usual size."""

PANEL = (
    "%load_ext kling_nb",
    """import kling_nb
for prompt in (
    "A hot air balloon over a desert at sunset", "A lighthouse in a storm", "Snow falls on a quiet street"
):
    kling_nb.generate(prompt, endpoint="v1-pro")""",
    "%kling use v2.5-turbo-pro\n%kling panel",
)
PROMPT = "A red fox crosses a snowy forest clearing at dawn, soft golden light"


def main() -> None:
    """Write docs/quickstart.png, docs/panel.png, and both with `-dark`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("KLING_NB_CHROMIUM"), args=["--no-sandbox", "--disable-gpu"]
        )
        for dark in (False, True):
            take(browser, "quickstart", quickstart_cells(), (1000, 990), pose_of_quickstart, dark=dark)
            take(browser, "panel", PANEL, (1100, 1460), pose_of_panel, dark=dark)
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
    """Run cells in JupyterLab, prepare the page, and take a picture of it or of a part."""
    target = ROOT / "docs" / f"{name}{'-dark' if dark else ''}.png"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],  # type: ignore[no-untyped-call]
        )
        nbformat.write(notebook, place / f"{name}.ipynb")  # type: ignore[no-untyped-call]
        with JupyterLab(
            place, dark=dark, KLING_NB_HOME=str(place / "home"), KLING_NB_LOCAL_SCALE=SCALE
        ) as lab:
            page = browser.new_page(viewport={"width": size[0], "height": size[1]}, device_scale_factor=1.5)
            page.set_default_timeout(PATIENCE_MS)
            page.goto(lab.address(f"{name}.ipynb"))
            page.get_by_role("button", name="Idle").wait_for()
            page.locator(".jp-Notebook .jp-Cell").first.click()
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            part = pose(page)
            page.mouse.move(2, 2)
            page.wait_for_timeout(FADE_MS)
            # All colours: a palette would show as dots and bands in the soft ones.
            Image.open(BytesIO((part or page).screenshot())).convert("RGB").save(target, optimize=True)
            page.context.close()
    print(f"{target.relative_to(ROOT)}  {target.stat().st_size / 1000:.0f} kB")


def quickstart_cells() -> tuple[str, ...]:
    """Return the first two code cells of the quickstart."""
    notebook = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    return tuple(cell.source for cell in notebook.cells if cell.cell_type == "code")[:2]


def pose_of_quickstart(page: Page) -> None:
    """Stop the video of the job's widget at `SECONDS_IN`."""
    stop_at_moment(page.get_by_label("Kling job"))
    # The toolbar of the selected cell would cover a part of the widget.
    page.locator(".jp-Notebook .jp-Cell").first.locator(".jp-InputArea-prompt").click()


def pose_of_panel(page: Page) -> Locator:
    """Open a finished job in the panel, with the next prompt in the form."""
    panel = page.get_by_role("region", name="Kling panel")
    compose = panel.get_by_role("region", name="Compose")
    prompt = compose.get_by_role("textbox", name="Prompt", exact=True)
    prompt.fill(PROMPT)
    compose.get_by_role("button", name="Generate · free").click()
    stop_at_moment(panel.get_by_role("region", name="Result"))
    prompt.fill(f"{PROMPT}, and looks into the lens")
    compose.get_by_text("Free preview").wait_for()
    return panel


def stop_at_moment(result: Locator) -> None:
    """Show the frame at `SECONDS_IN`, once the result is ready."""
    result.get_by_role("group", name="Video player").wait_for()
    result.get_by_role("slider", name="Frame").fill(f"{SECONDS_IN * FRAMES_A_SECOND:.0f}")
    result.locator("video").wait_for()


if __name__ == "__main__":
    main()
