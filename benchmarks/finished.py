"""Thirty finished cells in a real JupyterLab and a real Chromium: how they scroll, how large they are.

python -m benchmarks.run finished
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page

from benchmarks.lab import NOTEBOOK, finished, notebook, opened, run_cell
from benchmarks.table import Row

CELLS = 30
SETUP = 'import kling_nb\nkling_nb.configure(local_speed=float("inf"))\n%load_ext kling_nb'
SCROLL = """() => new Promise((done) => {
  const pane = document.querySelector('.jp-WindowedPanel-outer');
  const frames = [];
  let last = performance.now();
  const next = (now) => {
    frames.push(now - last);
    last = now;
    const before = pane.scrollTop;
    pane.scrollBy(0, 60);
    pane.scrollTop === before ? done(frames.slice(1)) : requestAnimationFrame(next);
  };
  pane.scrollTo(0, 0);
  requestAnimationFrame(next);
})"""
"""Scrolls 60 pixels a frame, from the first cell to the last."""


def rows() -> Iterator[Row]:
    """The figures, of one notebook."""
    cells = [SETUP, *(f"%%kling --duration {5 + 5 * (at % 2)}\nfox number {at}" for at in range(CELLS))]
    place: list[Path] = []
    os.environ["KLING_NB_LOCAL_SPEED"] = "inf"
    with notebook(cells, place.append) as (browser, url):
        page = opened(browser, url, height=900)
        for number in range(CELLS + 1):
            run_cell(page, number)
            finished(page, number)
        page.keyboard.press("Control+s")
        page.wait_for_function("!document.querySelector('.jp-mod-dirty')")
        frames = sorted(_scroll(page))
        size = (place[0] / NOTEBOOK).stat().st_size
    p95 = frames[len(frames) * 95 // 100]
    yield Row(
        f"{CELLS} finished cells: frame while scrolling, p95",
        f"{p95:.0f} ms; median {statistics.median(frames):.0f} ms of {len(frames)}",
        goal="≤ 33 ms",
        met=p95 <= 33,
        why="drawn without a GPU",
    )
    name = f"{CELLS} finished cells: the saved notebook"
    yield Row(name, f"{size / 1000:.0f} kB", goal="≤ 1,000 kB", met=size <= 1_000_000)


def _scroll(page: Page) -> list[float]:
    """Milliseconds between frames, the second time: posters are there."""
    page.evaluate(SCROLL)
    frames: list[float] = page.evaluate(SCROLL)
    return frames
