"""Photograph every state of widgets and cards in JupyterLab: light, dark and high contrast, narrow to wide.

`make states` writes `build/states/KIND/THEME-WIDTH.png`: sheets with all scenes of a kind. What is to be seen
comes from `tests/widget/scenes.py`. `python scripts/states.py job grid --only ready --themes dark --each`
makes some kinds, scenes and themes only, and a file of each scene as well.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from shutil import copytree, ignore_patterns, rmtree
from typing import Any

import nbformat
from nbformat.sign import NotebookNotary
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from jupyter_lab import JupyterLab  # type: ignore[import-not-found]  # noqa: E402 -- from the tests

OUT = ROOT / "build" / "states"
THEMES = ("light", "dark", "contrast")
FORCED = ("--force-high-contrast", "--force-dark-mode")
"""A browser with forced colours. Playwright's emulation of them stops at images, so the controls of a video,
which are images of the browser, have the colours of another palette than their text."""
WIDTHS = (320, 700, 1200)
PATIENCE_MS = 60_000
FADE_MS = 10_000
"""Until JupyterLab's widget manager has asked a new kernel for its widgets; those made meanwhile are dead."""
NO_SUBSHELLS = '{"commsOverSubshells": "disabled"}'
FURNISHED, FURNITURE = "furnished", ("home", "kling_media")
"""A copy of the ledger and the clips with which each kind begins."""
TALLEST = 4_000
"""Pixels after which a sheet begins another column."""
SHOWN = ".kling-job, .kling-sweep, .kling-panel, .kling-card"
STYLE = f"""
.jp-Cell .jp-OutputArea-output:has({SHOWN}) {{ width: var(--shot); max-width: none; padding: 0; flex: none; }}
.jp-InputArea, .jp-OutputPrompt, .jp-OutputArea-promptOverlay {{ display: none; }}
"""

RUNNING = """(count) => document.querySelector('.jp-OutputArea') && count ===
  [...document.querySelectorAll('.jp-InputPrompt')].filter((one) => one.textContent === '[*]:').length"""

Pose = Callable[[Locator], None]


@dataclass(frozen=True)
class Kind:
    """Scenes of one kind.

    Attributes:
        function: Of `widget.scenes`, which shows a scene by its name; empty for saved cards.
        scenes: Their names, each with what the reader does there.
        last: A cell at the end of the notebook, for `after` to run.
        after: What happens to all of them in the end.
    """

    function: str
    scenes: Mapping[str, Pose | None]
    last: str = ""
    after: Callable[[Page, Any], None] | None = None


def main() -> None:
    """Make what the command line asks for."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("kinds", nargs="*", help=", ".join(KINDS))
    words.add_argument("--only", default="", metavar="WORD", help="scenes with this in their name")
    words.add_argument("--themes", nargs="+", default=[*THEMES], choices=[*THEMES])
    words.add_argument("--widths", nargs="+", type=int, default=WIDTHS, metavar="PIXELS")
    words.add_argument("--each", action="store_true", help="a file of each scene, too")
    words.add_argument(
        "--place", type=Path, metavar="FOLDER", help="keep the clips and the ledger there, for the next time"
    )
    asked = words.parse_args()
    with studio(asked.place) as (browsers, lab):
        for name in asked.kinds or KINDS:
            kind = KINDS[name]
            scenes = {scene: pose for scene, pose in kind.scenes.items() if asked.only in scene}
            for forced, browser in browsers.items():
                themes = [theme for theme in asked.themes if (theme == "contrast") == forced]
                if scenes and themes:
                    clean(lab)
                    page, shown = stage(browser, lab, name, scenes, max(asked.widths))
                    photograph(page, shown, OUT / name, themes, asked)


@contextmanager
def studio(kept: Path | None) -> Iterator[tuple[dict[bool, Browser], Any]]:
    """Give browsers by whether they force colours, and JupyterLab over a folder with all that is shown."""
    with tempfile.TemporaryDirectory() as folder:
        place = (kept or Path(folder)).resolve()
        settings = place / ".jupyter" / "settings" / "@jupyterlab"
        write(settings / "notebook-extension" / "tracker.jupyterlab-settings", '{"windowingMode": "none"}')
        # As in front ends that have none: a busy kernel answers by them.
        write(settings / "apputils-extension" / "kernels-settings.jupyterlab-settings", NO_SUBSHELLS)
        data = place / ".jupyter" / "data"
        data.mkdir(parents=True, exist_ok=True)
        os.environ["JUPYTER_DATA_DIR"] = str(data)
        furnish(place)
        home, tests = str(place / "home"), str(ROOT / "tests")
        with (
            JupyterLab(place, PYTHONPATH=tests, KLING_NB_HOME=home, KLING_NB_LOCAL_SPEED="0.02") as lab,
            sync_playwright() as playwright,
        ):
            theme = '{"adaptive-theme": true, "preferred-dark-theme": "JupyterLab Dark"}'
            write(settings / "apputils-extension" / "themes.jupyterlab-settings", theme)
            browsers = {
                forced: playwright.chromium.launch(
                    executable_path=os.environ.get("KLING_NB_CHROMIUM"),
                    args=["--no-sandbox", "--disable-gpu", *(FORCED if forced else ())],
                )
                for forced in (False, True)
            }
            yield browsers, lab
            for browser in browsers.values():
                browser.close()


def furnish(place: Path) -> None:
    """Make the clips and the ledger that kernels will find, and the cards."""
    os.environ["KLING_NB_LOCAL_SPEED"] = "inf"
    with chdir(place):
        from widget import scenes  # type: ignore[import-not-found]  # noqa: PLC0415 -- from the tests

        if (place / FURNISHED).exists():
            restore(place)
        elif (place / "home").exists():
            raise SystemExit(f"{place} was not furnished completely. Remove it, and try again.")
        else:
            scenes.fill_ledger()
        made = scenes.cards()
    if not (place / FURNISHED).exists():
        part = place / f"{FURNISHED}.part"
        for name in FURNITURE:
            copytree(place / name, part / name, ignore=ignore_patterns("*-shm"))
        part.rename(place / FURNISHED)
    for name in ("card", "untrusted"):
        compose_notebook(place / f"{name}.ipynb", [f"# {name}"] * len(made))
        saved = nbformat.read(place / f"{name}.ipynb", as_version=4)  # type: ignore[no-untyped-call]
        for cell, html in zip(saved.cells, made.values(), strict=True):
            cell.outputs = [nbformat.v4.new_output("display_data", data={"text/html": html})]  # type: ignore[no-untyped-call]
        nbformat.write(saved, place / f"{name}.ipynb")  # type: ignore[no-untyped-call]
        if name == "card":
            NotebookNotary(data_dir=os.environ["JUPYTER_DATA_DIR"]).sign(saved)  # type: ignore[no-untyped-call]
    CARDS.update(dict.fromkeys(made))


def restore(place: Path) -> None:
    """Bring ledger and clips back to what they were at first: poses submit jobs and choose takes."""
    for name in (*FURNITURE, "empty-home", "empty-media", "fal"):
        rmtree(place / name, ignore_errors=True)
    for name in FURNITURE:
        copytree(place / FURNISHED / name, place / name)


def clean(lab: Any) -> None:
    """End the kernels of the kind before, and restore what it changed."""
    lab.end_kernels()
    restore(lab.folder)


def write(path: Path, text: str) -> None:
    """A file, with the folder for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def photograph(
    page: Page, shown: Mapping[str, Locator], folder: Path, themes: list[str], asked: argparse.Namespace
) -> None:
    """Make the sheets of a kind in some themes."""
    folder.mkdir(parents=True, exist_ok=True)
    for theme in themes:
        set_theme(page, theme)
        for width in asked.widths:
            set_width(page, width)
            pictures = {scene: picture_of(one) for scene, one in shown.items()}
            sheet(pictures, dark=theme != "light").save(folder / f"{theme}-{width}.png")
            for scene, picture in pictures.items() if asked.each else ():
                picture.save(folder / f"{theme}-{width}-{scene.replace(' ', '-')}.png")
        print(f"{folder.relative_to(ROOT)}/{theme}-*.png", flush=True)
    page.context.close()


def stage(
    browser: Browser, lab: Any, name: str, scenes: Mapping[str, Pose | None], width: int
) -> tuple[Page, dict[str, Locator]]:
    """Show all scenes of a kind in one notebook, and bring them into their pose."""
    kind = KINDS[name]
    page = browser.new_page(
        viewport={"width": width + 120, "height": 3_000}, color_scheme="null", forced_colors="null"
    )
    page.set_default_timeout(PATIENCE_MS)
    if kind.function:
        cells = [f"from widget import scenes\nscenes.{kind.function}({scene!r})" for scene in scenes]
        compose_notebook(lab.folder / f"{name}.ipynb", [*cells, *filter(None, [kind.last])])
    page.goto(lab.address(f"{name}.ipynb"))
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.get_by_role("button", name="Idle").wait_for()
    if kind.function:
        page.wait_for_timeout(FADE_MS)
        run_scenes(page, kind)
        page.wait_for_function(RUNNING, arg=0)
    page.add_style_tag(content=STYLE)
    set_width(page, width)
    held = [*scenes] if kind.function else [*CARDS]
    shown = {scene: page.locator(".jp-Cell").nth(held.index(scene)).locator(SHOWN).first for scene in scenes}
    for scene, pose in scenes.items():
        shown[scene].scroll_into_view_if_needed()
        if pose:
            pose(shown[scene])
    if kind.after:
        kind.after(page, lab)
    return page, shown


def compose_notebook(path: Path, cells: list[str]) -> None:
    """A notebook of these cells."""
    new = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    new.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]  # type: ignore[no-untyped-call]
    nbformat.write(new, path)  # type: ignore[no-untyped-call]


def run_scenes(page: Page, kind: Kind) -> None:
    """As the menu does."""
    cells = page.locator(".jp-Notebook .jp-Cell")
    (cells.last if kind.last else cells.first).click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    item = "Run All Above Selected Cell" if kind.last else "Run All Cells"
    page.get_by_role("menuitem", name=item, exact=True).click()


def set_theme(page: Page, theme: str) -> None:
    """Let the system ask for a theme, and wait until JupyterLab has it."""
    if theme != "contrast":  # that browser has no other
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.locator(f"body[data-jp-theme-light={str(theme == 'light').lower()}]").wait_for(state="attached")


def set_width(page: Page, width: int) -> None:
    """Let all outputs be so many pixels wide."""
    page.evaluate("(width) => document.body.style.setProperty('--shot', `${width}px`)", width)


def picture_of(shown: Locator) -> Image.Image:
    """Take a picture of it once it is visible."""
    shown.scroll_into_view_if_needed()
    return Image.open(BytesIO(shown.screenshot(animations="disabled")))


def sheet(pictures: Mapping[str, Image.Image], *, dark: bool) -> Image.Image:
    """All pictures on one, each under its name."""
    ink, paper = ("white", "#111") if dark else ("black", "white")
    width = max(one.width for one in pictures.values()) + 16
    places: list[tuple[int, int]] = []
    x = y = deepest = 0
    for one in pictures.values():
        if y and y + one.height > TALLEST:
            x, y = x + width, 0
        places.append((x, y))
        y += one.height + 32
        deepest = max(deepest, y)
    made = Image.new("RGB", (x + width, deepest), paper)
    draw = ImageDraw.Draw(made)
    for (name, one), (left, top) in zip(pictures.items(), places, strict=True):
        draw.text((left + 8, top + 4), name, ink)
        made.paste(one, (left + 8, top + 22))
    return made


# -- what the reader does --------------------------------------------------------------


def at_frame(job: Locator, number: int) -> None:
    """Go to a frame."""
    job.get_by_role("slider", name="Frame").fill(f"{number}")
    job.locator("video").first.wait_for()


def loop(job: Locator) -> None:
    """Play between two frames."""
    for frame in (24, 84):
        at_frame(job, frame)
        job.get_by_role("group", name="Video player").press("a")
    at_frame(job, 54)
    job.get_by_role("button", name="Play").click()


def compare_takes(job: Locator) -> None:
    """Show another take next to this one."""
    job.get_by_role("button", name="Compare").click()
    job.get_by_role("slider", name="Frame of all").fill("48")
    job.locator("video").nth(1).wait_for()


def use_take(job: Locator) -> None:
    """Choose a take for the cell, and look at it. The browser for high contrast finds it chosen."""
    button, words = job.get_by_role("button", name="Use this take"), job.get_by_text("kite is this take")
    button.or_(words).first.wait_for()
    if button.is_visible():
        button.click()
    words.wait_for()


def show_both(job: Locator) -> None:
    """Look at a take, then at the one that failed: the first one stays on the stage."""
    takes = job.get_by_role("group", name="Takes").get_by_role("button")
    takes.first.click()
    job.get_by_role("group", name="Video player").wait_for()
    takes.last.click()
    job.get_by_role("button", name="Retry").wait_for()


def change(job: Locator) -> None:
    """Change two parameters."""
    job.get_by_role("radio", name="10 s").check(force=True)
    job.get_by_role("radio", name="1:1").check(force=True)
    job.get_by_role("button", name="Generate · about $").wait_for()


def open_cell(grid: Locator) -> None:
    """Open the first cell, and go to a frame of it."""
    grid.get_by_role("button", name="Open").first.click()
    at_frame(grid.get_by_role("region", name="Opened cell"), 24)


def open_failed_cell(grid: Locator) -> None:
    """Open a cell that has no video."""
    grid.get_by_role("button", name="Details").click()
    grid.get_by_role("region", name="Opened cell").get_by_role("button", name="Edit").wait_for()


def search_log(job: Locator) -> None:
    """Look for a word in the log."""
    job.get_by_text("Details").click()
    job.get_by_role("searchbox").fill("sampling 5")


def compose_of(panel: Locator) -> Locator:
    """Where a request is composed."""
    return panel.get_by_role("region", name="Compose")


def ask(panel: Locator, prompt: str) -> None:
    """Compose a prompt."""
    compose_of(panel).get_by_role("textbox", name="Prompt", exact=True).fill(prompt)


PASTE = """async (node) => {
  const canvas = new OffscreenCanvas(640, 360);
  const draw = canvas.getContext("2d");
  draw.fillStyle = "steelblue";
  draw.fillRect(0, 0, 640, 360);
  draw.fillStyle = "gold";
  draw.arc(420, 150, 80, 0, 7);
  draw.fill();
  const file = new File([await canvas.convertToBlob()], "sun over the lake.png", { type: "image/png" });
  const clipboardData = new DataTransfer();
  clipboardData.items.add(file);
  node.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
}"""


def compose(panel: Locator) -> None:
    """A request with a picture, for an endpoint with every kind of control."""
    ask(panel, "The sun goes down over the lake, and its light breaks in the waves")
    panel.get_by_role("textbox", name="Start image").evaluate(PASTE)
    panel.get_by_role("img", name="sun over the lake.png").wait_for()
    panel.get_by_role("button", name="Generate · about").wait_for()


def many(panel: Locator) -> None:
    """Three jobs at once."""
    for prompt in (
        "a slow snail on a leaf",
        "a slower sloth",
        "the slowest glacier, seen from above, for a year",
    ):
        ask(panel, prompt)
        compose_of(panel).get_by_role("button", name="Generate · free").click()
        panel.get_by_role("list", name="Running").get_by_text(prompt).wait_for()


def found(panel: Locator, words: str) -> Locator:
    """Rows of the history that hold these words."""
    panel.get_by_role("searchbox", name="Search the library").fill(words)
    return panel.get_by_role("listbox", name="Library").get_by_role("option").filter(has_text=words)


def open_job(panel: Locator) -> None:
    """Open a finished job, with its parameters."""
    found(panel, "golden light").first.click()
    opened = panel.get_by_role("region", name="Result")
    opened.get_by_role("group", name="Video player").wait_for()
    opened.get_by_text("Details").click()


def open_failed(panel: Locator) -> None:
    """Open a job that failed."""
    panel.get_by_role("combobox", name="State of the library").select_option("FAILED")
    rows = panel.get_by_role("listbox", name="Library").get_by_role("option")
    rows.filter(has_text="study").first.click()
    panel.get_by_role("region", name="Result").get_by_text("Failed").first.wait_for()


def compare(panel: Locator) -> None:
    """Open two, side by side."""
    rows = found(panel, "golden light")
    for number in (0, 1):
        rows.nth(number).get_by_title("Mark to compare").click()
    panel.get_by_role("columnheader", name="Take 1").wait_for()


def search_in_vain(panel: Locator) -> None:
    """Search what is not there."""
    panel.get_by_role("searchbox", name="Search the library").fill("zebra")
    panel.get_by_text("No job matches.").wait_for()


def make_busy(page: Page, _lab: Any) -> None:
    """Ask something of a kernel that computes, once each has had its first answer."""
    page.locator(".kling-sweep").get_by_role("button", name="Cancel all").wait_for()
    page.get_by_role("listbox", name="Library").get_by_role("option").first.wait_for()
    page.locator(".jp-Notebook .jp-Cell").last.click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(RUNNING, arg=1)
    page.locator(".kling-job").get_by_role("button", name="Cancel").click()
    page.locator(".kling-sweep").get_by_role("button", name="Cancel all").click()
    ask(page.locator(".kling-panel"), "a fox")
    page.get_by_text("The kernel is busy").nth(2).wait_for()


def end_kernel(page: Page, lab: Any) -> None:
    """Let the kernel go while a job runs in the panel."""
    panel = page.locator(".kling-panel")
    ask(panel, "a slow snail on a leaf")
    compose_of(panel).get_by_role("button", name="Generate · free").click()
    panel.get_by_role("list", name="Running").get_by_text("a slow snail").wait_for()
    lab.end_kernels()
    page.get_by_text("The kernel was restarted or shut down").nth(2).wait_for()


CARDS: dict[str, Pose | None] = {}
KINDS = {
    "job": Kind(
        "job",
        {
            **dict.fromkeys(
                (
                    "submitting",
                    "uploading",
                    "waiting for its turn",
                    "queued",
                    "running, time unknown",
                    "running",
                    "downloading",
                )
            ),
            **dict.fromkeys(("ready, wide", "ready, tall", "ready, square")),
            "use this take": None,
            "take used": use_take,
            "playing A-B": loop,
            "takes": None,
            "three takes": compare_takes,
            "parameters": change,
            "log": search_log,
            **dict.fromkeys(("failed", "failed after another")),
            "failed next to another": show_both,
            **dict.fromkeys(("refused", "refused by policy", "cancelled", "uncertain")),
        },
    ),
    "grid": Kind(
        "grid",
        {
            # First, because answers to later ones are sometimes lost; what runs is sent again.
            "opened": open_cell,
            "opened, failed": open_failed_cell,
            **dict.fromkeys(("done", "partly failed", "planning", "running", "flowing", "tall")),
            "storyboard": None,
            "storyboard, not joining": None,
        },
    ),
    "panel": Kind(
        "panel",
        {
            "empty": None,
            "composing": compose,
            "many jobs": many,
            "opened": open_job,
            "failed": open_failed,
            "comparing": compare,
            "no hit": search_in_vain,
        },
    ),
    "busy": Kind(
        "any_widget", dict.fromkeys(("job", "grid", "panel")), "import time\ntime.sleep(600)", make_busy
    ),
    "gone": Kind("any_widget", dict.fromkeys(("job", "grid", "panel")), "", end_kernel),
    "card": Kind("", CARDS),
    "untrusted": Kind("", CARDS),
}


if __name__ == "__main__":
    main()
