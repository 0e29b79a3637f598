"""The panel over 1,000 jobs in a real JupyterLab and a real Chromium: how soon, how much on the wire.

    python -m benchmarks.run panel

The clock starts when `render` puts the panel on the page and stops when the history's first row
is painted and the prompt takes a letter. Bytes are those of all messages from the kernel in
between and before, the front end's own text left out: that is stored with the notebook.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

import kling_nb
from benchmarks.lab import notebook, opened, run_cell
from benchmarks.sides import ENDPOINT
from benchmarks.table import Row
from kling_nb.events import State
from kling_nb.ledger import Intent, Ledger

CELL = "import kling_nb\nkling_nb.Panel()"
JOBS = 1000
RUNS = 5
WATCH = """() => { window.times = {};
  const look = () => {
    const panel = document.querySelector('[aria-label="Kling panel"]');
    if (panel && !times.started) times.started = performance.now();
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


def fill(place: Path) -> None:
    """A ledger of `JOBS` jobs of that folder."""
    ledger = Ledger(place / "home" / "ledger.sqlite3")
    for number in range(JOBS):
        prompt = f"fox number {number} crosses a snowy forest clearing at dawn, soft golden light"
        entry, _ = ledger.claim(
            Intent(
                backend="fal",
                endpoint=ENDPOINT,
                input={"prompt": prompt},
                prompt=prompt,
                fingerprint=f"{number:064}",
                folder=place / "kling_media",
                take=None,
            )
        )
        ledger.update(entry.id, state=State.FAILED if number % 10 == 0 else State.READY)
    ledger.close()


def measure(browser: Browser, url: str) -> tuple[float, float]:
    """Milliseconds until the panel can be used, and bytes that came for it."""
    received: list[int] = []

    def on_frame(frame: Any) -> None:
        received.append(len(frame if isinstance(frame, bytes) else frame.encode()))

    page = opened(browser, url, 1400, lambda socket: socket.on("framereceived", on_frame))
    page.evaluate(WATCH)
    received.clear()
    run_cell(page, 0)
    page.wait_for_function("times.over > 0")
    times = page.evaluate("times")
    page.context.close()
    return times["over"] - times["started"], sum(received) - front_end()


def front_end() -> int:
    """Bytes of script and style as they are in the message that opens the widget."""
    static = Path(kling_nb.__file__).parent / "static"
    texts = [(static / name).read_text(encoding="utf-8") for name in ("panel.js", "panel.css")]
    return sum(len(json.dumps(text, ensure_ascii=False).encode()) for text in texts)


def rows() -> Iterator[Row]:
    """The figures, of a new page and kernel each time."""
    with notebook([CELL], fill) as (browser, url):
        runs = [measure(browser, url) for _ in range(RUNS)]
    spent, wire = [run[0] for run in runs], [run[1] for run in runs]
    median, sent = statistics.median(spent), statistics.median(wire)
    name = f"panel over {JOBS:,} jobs"
    yield Row(
        f"{name}: `render` → usable",
        f"{median:.0f} ms ({min(spent):.0f} to {max(spent):.0f})",
        goal="≤ 300 ms",
        met=median <= 300,
    )
    yield Row(f"{name}: bytes over the comm", f"{sent / 1000:.0f} kB", goal="≤ 150 kB", met=sent <= 150_000)
