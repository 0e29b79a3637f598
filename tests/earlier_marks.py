"""Outputs as earlier versions saved them: the mark is in the metadata only, not in the card."""

import copy
import re
from typing import Any

from kling_nb.notebook.card.mark import KEY, Mark


def as_saved_earlier(output: dict[str, Any]) -> dict[str, Any]:
    """Return the same output as an earlier version would have saved it."""
    found = copy.deepcopy(output)
    mark = Mark.of(found)
    if mark is None:
        return found
    html = found["data"].get("text/html")
    if html is not None:
        found["data"]["text/html"] = re.sub(r' data-kling-(state|request|parts)="[^"]*"', "", html)
    elif mark.state is None:
        # A view alone: that of a job had its state when it appeared, that of a sweep its last one.
        mark = Mark(state="SUBMITTING" if mark.fingerprint else "READY")
    shown = {"state": mark.state, "request": mark.request, "parts": [one.to_json() for one in mark.parts]}
    found["metadata"][KEY] |= {name: value for name, value in shown.items() if value}
    return found
