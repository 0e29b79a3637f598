"""What stands for a panel where there is no kernel: what to do, and the latest take of its folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from kling_nb.errors import KlingError
from kling_nb.media import MediaFolder

_SAID = "Kling panel: run this cell to compose, queue and browse."


def panel_card(media: Path, folder: Path | None = None) -> dict[str, Any]:
    """Its MIME bundle.

    Args:
        media: Folder of takes.
        folder: The notebook's; the working folder where left out.
    """
    from kling_nb.notebook import card  # noqa: PLC0415 -- not before something is shown
    from kling_nb.notebook.job_card import card_of_take  # noqa: PLC0415 -- as above

    latest = ""
    with suppress(KlingError, OSError):
        take = MediaFolder(media).latest()
        latest = card.html(card_of_take(take, None, folder or Path.cwd())) if take else ""
    note = f'<div style="margin:4px 0;opacity:0.8">{_SAID}{" The latest take here:" if latest else ""}</div>'
    return {"text/html": f"<div>{note}{latest}</div>", "text/plain": _SAID}
