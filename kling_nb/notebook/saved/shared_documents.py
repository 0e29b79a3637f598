"""Update outputs in the documents of jupyter-collaboration, which stay open on the server.

A page that joins a room gets the room's document. The file is not read again, so `contents.get` cannot
update its outputs: after a restart of the kernel the page would show "model not found" in their place.
Here the document is updated when a page joins. All pages of the room then see the change.

Tried with jupyter-collaboration 5.0 (jupyter-server-ydoc 3.0).
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable
from typing import Any

from kling_nb.notebook.saved.reopening import has_kling_outputs

log = logging.getLogger(__name__)

EXTENSION = "jupyter_server_ydoc"
JOINED = "https://schema.jupyter.org/jupyter_collaboration/awareness/v1"
"""The event that the extension emits when a page joins or leaves a room, with the room's id."""


def update_on_join(app: Any, update: Callable[[Any, str], bool]) -> None:
    """Update the outputs of a room's notebook whenever a page joins it, if the server has rooms.

    Args:
        app: The application of Jupyter Server.
        update: Updates the parsed JSON of the notebook at a path. Returns True if it changed.
    """

    async def on_event(*, data: dict[str, Any], **_: Any) -> None:
        room = data.get("roomid", "")
        if data.get("action") == "join" and ":notebook:" in room:
            try:
                rooms = app.extension_manager.extension_points[EXTENSION].app
                document = await rooms.get_document(room_id=room, copy=False)
                await update_document(document, update)
            except Exception:
                log.exception("%s: the outputs of the open notebook could not be updated.", room)

    if EXTENSION in getattr(getattr(app, "extension_manager", None), "extension_points", ()):
        app.event_logger.add_listener(schema_id=JOINED, listener=on_event)


async def update_document(document: Any, update: Callable[[Any, str], bool]) -> None:
    """Update the outputs of a shared notebook (a `YNotebook`).

    Cards are drawn from a copy in another thread. An output that changed meanwhile stays as it is.
    """
    shared = [one for one in document.ycells if one.get("outputs") is not None]
    cells = [{"outputs": one["outputs"].to_py()} for one in shared]
    if not has_kling_outputs({"cells": cells}):
        return
    before = copy.deepcopy(cells)
    listed = [[*cell["outputs"]] for cell in cells]
    if not await asyncio.to_thread(update, {"cells": cells}, document.path):
        return
    with document.ydoc.transaction():
        for own, saved, outputs, cell in zip(shared, before, listed, cells, strict=True):
            if own["outputs"].to_py() == saved["outputs"]:
                kept = {id(output) for output in cell["outputs"]}
                _write(own["outputs"], saved["outputs"], outputs, kept)


def _write(shared: Any, saved: list[Any], outputs: list[Any], kept: set[int]) -> None:
    """Set the outputs of a shared cell that changed, and remove those that are not kept."""
    for at in reversed(range(len(outputs))):
        if id(outputs[at]) not in kept:
            del shared[at]
        elif outputs[at] != saved[at]:
            shared[at] = type(shared[at])(outputs[at])
