"""The Jupyter Server extension: updates kling_nb's outputs when a notebook is opened.

Installing the package enables it (`jupyter-config/kling_nb.json`); `jupyter server extension list` shows it
as `kling_nb`. Environment variables tell kernels that it is there. An error here must never prevent a
notebook from opening.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb._lazy import lazy
from kling_nb.notebook.card.mark import BASE, ROOT, Mark
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
        policy = app.web_app.settings.get("headers", {}).get("Content-Security-Policy", "")
        if not allows_widgets(policy):
            os.environ[CARDS_ONLY] = "1"
        update_on_read(app.contents_manager, app.kernel_manager, Path(root))
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


def update_on_read(contents: Any, kernels: Any, root: Path) -> None:
    """Replace `contents.get` by one that updates the outputs of every notebook before it returns it.

    The `get` of a contents manager may be a coroutine.
    """
    get = contents.get

    @functools.cache
    def renewal() -> renewals.Renewal:
        return renewals.Renewal()

    def update(model: Any) -> Any:
        folder = (root / model["path"].strip("/")).parent
        context = OutputContext(folder, alive_check(kernels), renewal().draw_card, renewal().find_file)
        try:
            update_outputs(model["content"], context)
        except Exception:
            log.exception("%s: the outputs could not be updated. It opens as saved.", model.get("path"))
        return model

    async def await_and_update(found: Any) -> Any:
        model = await found
        return await asyncio.to_thread(update, model) if is_kling_notebook(model) else model

    @functools.wraps(get)
    def get_updated(*arguments: Any, **options: Any) -> Any:
        found = get(*arguments, **options)
        if inspect.isawaitable(found):
            return await_and_update(found)
        return update(found) if is_kling_notebook(found) else found

    contents.get = get_updated


def drop_models_on_save(model: Any, **_: Any) -> None:
    """Drop kling_nb's widget models from a notebook before it is saved ("Save Widget State")."""
    if is_kling_notebook(model):
        drop_models(model["content"])


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
    if os.name == "nt":  # on Windows, os.kill would end the process
        return False
    try:  # the process may be a child of the program that the server started
        os.kill(process, 0)
    except (OSError, OverflowError):
        return False
    return True
