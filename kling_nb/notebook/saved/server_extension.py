"""The Jupyter Server extension: updates kling_nb's outputs when a notebook is opened, or its room joined.

Installing the package enables it (`jupyter-config/kling_nb.json`); `jupyter server extension list` shows it
as `kling_nb`. Environment variables tell kernels that it is there. An error here must never prevent a
notebook from opening.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb._lazy import lazy
from kling_nb.ledger.owner import has_process
from kling_nb.notebook.card.mark import BASE, ROOT, Mark, Part
from kling_nb.notebook.card.posters import poster_of, postpone_posters
from kling_nb.notebook.ipykernel_quirks import CARDS_ONLY
from kling_nb.notebook.saved.reopening import (
    OutputContext,
    drop_models,
    has_kling_outputs,
    update_outputs,
)

if TYPE_CHECKING:
    from kling_nb.notebook.saved import renewal as renewals
else:
    # Boundary 2 of `_lazy`: loaded with the first notebook that has kling_nb's outputs.
    renewals = lazy("kling_nb.notebook.saved.renewal")

log = logging.getLogger(__name__)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Return the module of the extension. Jupyter Server calls this."""
    return [{"module": __name__, "name": "kling_nb"}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Start the extension. Jupyter Server calls this with its application."""
    root = getattr(app.contents_manager, "root_dir", None)
    if root and Path(root).is_dir():  # a contents manager without folders has no media folders either
        os.environ[ROOT], os.environ[BASE] = str(Path(root).resolve()), app.base_url
        settings = getattr(getattr(app, "web_app", None), "settings", {})
        policy = settings.get("headers", {}).get("Content-Security-Policy", "")
        if not allows_widgets(policy):
            os.environ[CARDS_ONLY] = "1"
        update = update_on_read(app.contents_manager, app.kernel_manager, Path(root))
        update_on_join(app, update)
        app.contents_manager.register_pre_save_hook(drop_models_on_save)
    app.log.debug("kling_nb updates its outputs when notebooks are opened")


def allows_widgets(policy: str) -> bool:
    """Return True if a Content-Security-Policy lets a page load scripts from `blob:`, as anywidget does."""
    words = [directive.split() for directive in policy.lower().split(";")]
    sources = {name: values for name, *values in filter(None, reversed(words))}  # the first of a name counts
    for name in ("script-src-elem", "script-src", "default-src"):
        if name in sources:
            return not {"blob:", "'strict-dynamic'"}.isdisjoint(sources[name])
    return True


def update_on_read(contents: Any, kernels: Any, root: Path) -> Update:
    """Replace `contents.get` by one that updates the outputs of every notebook before it returns it.

    The `get` of a contents manager may be a coroutine. Return the function that updates a notebook.
    """
    get = contents.get

    @functools.cache
    def cards() -> BoundedCards:
        return BoundedCards(renewals.Renewal())

    def update(content: Any, path: str, *, on_loop: bool = False) -> bool:
        try:
            limits = (SECONDS_ON_LOOP, 1) if on_loop else (SECONDS, AT_LEAST)
            folder = (root / path.strip("/")).parent
            with cards().within(folder, alive_check(kernels), *limits, on_loop=on_loop) as context:
                return update_outputs(content, context)
        except Exception:
            log.exception("%s: the outputs could not be updated. It opens as saved.", path)
            return False

    async def await_and_update(found: Any) -> Any:
        model = await found
        if is_kling_notebook(model):
            await asyncio.to_thread(update, model["content"], model["path"])
        return model

    @functools.wraps(get)
    def get_updated(*arguments: Any, **options: Any) -> Any:
        found = get(*arguments, **options)
        if inspect.isawaitable(found):
            return await_and_update(found)
        if is_kling_notebook(found):
            update(found["content"], found["path"], on_loop=_is_loop_running())
        return found

    contents.get = get_updated
    return update


def drop_models_on_save(model: Any, **_: Any) -> None:
    """Drop kling_nb's widget models from a notebook before it is saved ("Save Widget State")."""
    if is_kling_notebook(model):
        drop_models(model["content"])


SECONDS, AT_LEAST = 1.5, 50
"""Limit for the update of a notebook in a thread. So many cards are drawn in any case."""

POSTER_SECONDS = 0.8
"""How long posters are decoded for an opening. Cards whose poster is stored take a tenth of the time."""

SECONDS_ON_LOOP = 0.01
"""The limit on the server's loop, where everything else waits. Only synchronous contents managers need it."""

SECONDS_KEPT = 60.0
"""How long a card that was drawn for the next opening may be shown. Its job may end meanwhile."""

Update = Callable[[Any, str], bool]
"""Updates the parsed JSON of the notebook at a path of the server. Returns True if it changed."""

Card = dict[str, Any] | None


class BoundedCards:
    """Draws cards until a time limit. Later ones stay as they were saved, and are drawn for the next opening.

    Threads: any.
    """

    def __init__(self, renewal: renewals.Renewal) -> None:
        self._renewal = renewal
        self._drawn: dict[tuple[Mark, Path], tuple[float, Card]] = {}  # until when, and the card
        self._thread = ThreadPoolExecutor(1, "kling-cards")

    @contextmanager
    def within(
        self,
        folder: Path,
        alive: Callable[[Mark], bool],
        seconds: float,
        at_least: int = 0,
        *,
        on_loop: bool = False,
    ) -> Iterator[OutputContext]:
        """Give the context of a notebook in a folder. After the limit its functions return nothing.

        Posters are decoded for `POSTER_SECONDS`. On the loop none is: the first one takes 200 ms. A thread
        decodes the others for the next opening.
        """
        deadline, late, calls = time.monotonic() + seconds, list[tuple[Mark, Path]](), count()

        def draw_card(mark: Mark, folder: Path) -> Card:
            until, drawn = self._drawn.pop((mark, folder), (0.0, None))
            if time.monotonic() < until:
                return drawn
            if next(calls) < at_least or time.monotonic() < deadline:
                return self._renewal.draw_card(mark, folder)
            late.append((mark, folder))
            return None

        def find_file(part: Part, folder: Path) -> Path | None:
            in_time = next(calls) < at_least or time.monotonic() < deadline
            return self._renewal.find_file(part, folder) if in_time else None

        def is_outdated(mark: Mark, folder: Path) -> bool:
            return time.monotonic() < deadline and self._renewal.is_outdated(mark, folder)

        def remedy(mark: Mark, folder: Path) -> str:
            return self._renewal.remedy(mark, folder) if time.monotonic() < deadline else ""

        decoding = 0.0 if on_loop else POSTER_SECONDS
        with self._renewal.one_look(), postpone_posters(decoding) as missing:
            yield OutputContext(folder, alive, draw_card, find_file, is_outdated, remedy=remedy)
        for video in missing:
            self._thread.submit(poster_of, video)
        if late:
            self._thread.submit(self._draw, late)

    def _draw(self, late: list[tuple[Mark, Path]]) -> None:
        for wanted, (until, _) in list(self._drawn.items()):
            if until < time.monotonic():
                self._drawn.pop(wanted, None)
        try:
            with self._renewal.one_look():
                for wanted in late:
                    card = self._renewal.draw_card(*wanted)
                    self._drawn[wanted] = time.monotonic() + SECONDS_KEPT, card
        except Exception:
            log.exception("Some cards could not be drawn. They are shown as saved.")


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def is_kling_notebook(model: Any) -> bool:
    """Return True if a model of the contents API is a notebook with content and outputs of kling_nb."""
    try:
        return model["type"] == "notebook" and bool(model["content"]) and has_kling_outputs(model["content"])
    except Exception:  # noqa: BLE001 -- a malformed model has no outputs of kling_nb
        return False


def alive_check(kernels: Any) -> Callable[[Mark], bool]:
    """Return a function that returns True if the kernel of a mark runs and is still the same process."""

    def is_alive(mark: Mark) -> bool:
        if mark.kernel is None or mark.kernel not in kernels.list_kernel_ids():
            return False
        return mark.process is None or _has_process(kernels.get_kernel(mark.kernel), mark.process)

    return is_alive


def _has_process(kernel: Any, process: int) -> bool:
    if getattr(getattr(kernel, "provisioner", None), "pid", None) == process:
        return True
    try:  # the process may be a child of the program that the server started
        return has_process(process)
    except OverflowError:
        return False


# -- documents of jupyter-collaboration, which stay open on the server.
#
# A page that joins a room gets the room's document. The file is not read again, so `contents.get` cannot
# update its outputs: after a restart of the kernel the page would show "model not found" in their place. So
# the document is updated when a page joins. All pages of the room then see the change. Tried with
# jupyter-collaboration 5.0 (jupyter-server-ydoc 3.0).

EXTENSION = "jupyter_server_ydoc"
JOINED = "https://schema.jupyter.org/jupyter_collaboration/awareness/v1"
"""The event that its extension emits when a page joins or leaves a room, with the room's id."""


def update_on_join(app: Any, update: Update) -> None:
    """Update the outputs of a room's notebook whenever a page joins it, if the server has rooms."""

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


async def update_document(document: Any, update: Update) -> None:
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
