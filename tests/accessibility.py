"""axe-core on a page: what would keep people out."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Frame, Page

AXE = Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"


def serious_faults(page: Page | Frame, selector: str, *rules: str) -> list[str]:
    """Return the serious and critical violations within `selector`, in words; only of `rules` if given."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    options = {"iframes": False, **({"runOnly": rules} if rules else {})}
    found: Any = page.evaluate("([selector, options]) => axe.run(selector, options)", [selector, options])
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'][:200] for node in fault['nodes']]}"
        for fault in found["violations"]
        if fault["impact"] in {"serious", "critical"}
    ]
