"""The panel over 1,000 jobs in a real JupyterLab and a real Chromium: how soon, how much on the wire.

    python benchmarks/panel.py

The clock starts when `render` puts the panel on the page and stops when the history's first row
is painted and the prompt takes a letter. Bytes are those of all messages from the kernel in
between and before, the front end's own text left out: that is stored with the notebook.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, Page, sync_playwright

import kling_nb
from kling_nb.events import State
from kling_nb.ledger import Intent, Ledger

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from jupyter_lab import JupyterLab  # noqa: E402 -- a real server, as the tests have it

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
CELL = "import kling_nb\nkling_nb.Panel()"
JOBS = 1000
RUNS = 5
TEXT = "fal-ai/kling-video/v1/pro/text-to-video"
WATCH = """() => { window.times = {};
  const look = () => {
    const panel = document.querySelector('[aria-label="Kling panel"]');
    if (panel && !times.begun) times.begun = performance.now();
    const row = panel?.querySelector('[role=option][aria-posinset="1"]');
    const prompt = panel?.querySelector('textarea');
    if (!row?.textContent.includes('fox number') || !prompt || times.over) return;
    times.over = -1;
    requestAnimationFrame(() => {
      prompt.value = 'a'; prompt.dispatchEvent(new Event('input', { bubbles: true }));
      // A message sent before a frame is painted arrives after it.
      const painted = new MessageChannel();
      painted.port1.onmessage = () => { times.over = performance.now() };
      painted.port2.postMessage(0);
    });
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true }) }"""


def fill(home: Path, media: Path) -> None:
    """A ledger of `JOBS` jobs."""
    ledger = Ledger(home / "ledger.sqlite3")
    for number in range(JOBS):
        prompt = f"fox number {number} crosses a snowy forest clearing at dawn, soft golden light"
        entry, _ = ledger.claim(
            Intent(
                backend="fal",
                endpoint=TEXT,
                input={"prompt": prompt},
                prompt=prompt,
                fingerprint=f"{number:064}",
                folder=media,
                take=None,
            )
        )
        ledger.update(entry.id, state=State.FAILED if number % 10 == 0 else State.READY)
    ledger.close()


def measure(browser: Browser, lab: JupyterLab) -> tuple[float, float]:
    """Milliseconds until the panel can be used, and bytes that came for it."""
    page: Page = browser.new_page(viewport={"width": 1200, "height": 1400})
    page.set_default_timeout(60_000)
    received: list[int] = []

    def on_frame(frame: Any) -> None:
        received.append(len(frame if isinstance(frame, bytes) else frame.encode()))

    page.on("websocket", lambda socket: socket.on("framereceived", on_frame))
    page.goto(lab.address("panel.ipynb"))
    page.get_by_role("button", name="Idle").wait_for()
    page.evaluate(WATCH)
    received.clear()
    page.locator(".jp-CodeCell .jp-InputArea-prompt").first.click()
    page.keyboard.press("Control+Enter")
    page.wait_for_function("times.over > 0")
    times = page.evaluate("times")
    page.context.close()
    return times["over"] - times["begun"], sum(received) - front_end()


def front_end() -> int:
    """Bytes of script and style as they are in the message that opens the widget."""
    static = Path(kling_nb.__file__).parent / "static"
    texts = [(static / name).read_text(encoding="utf-8") for name in ("panel.js", "panel.css")]
    return sum(len(json.dumps(text, ensure_ascii=False).encode()) for text in texts)


def main() -> None:
    find = [sys.executable, str(ROOT / "scripts" / "find_chromium.py")]
    chromium = subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip()
    os.environ["KLING_NB_BACKEND"] = "local"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        place = Path(folder)
        fill(place / "home", place / "kling_media")
        notebook: Any = nbformat.v4.new_notebook(metadata=KERNEL)
        notebook.cells = [nbformat.v4.new_code_cell(CELL)]
        nbformat.write(notebook, place / "panel.ipynb")
        with JupyterLab(place, KLING_NB_HOME=str(place / "home")) as lab:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            runs = [measure(browser, lab) for _ in range(RUNS)]
            browser.close()
    spent, wire = [run[0] for run in runs], [run[1] for run in runs]
    print(f"{JOBS} jobs: usable after {statistics.median(spent):.0f} ms ", end="")
    print(f"({min(spent):.0f} to {max(spent):.0f})   at most 300 ms")
    print(f"bytes from the kernel: {statistics.median(wire) / 1000:.0f} kB   at most 150 kB")


if __name__ == "__main__":
    main()
