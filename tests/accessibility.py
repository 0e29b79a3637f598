"""axe-core on a page: what would keep people out."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"


def serious_faults(page: Page, selector: str) -> list[str]:
    """The serious and critical violations within what `selector` finds, in words."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: Any = page.evaluate("(selector) => axe.run(selector, { iframes: false })", selector)
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'][:200] for node in fault['nodes']]}"
        for fault in found["violations"]
        if fault["impact"] in {"serious", "critical"}
    ]
