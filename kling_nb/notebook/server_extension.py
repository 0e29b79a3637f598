"""The Jupyter Server extension: settles our outputs when a notebook is opened, and tells kernels of itself.

Installing the package enables it (`jupyter-config/kling_nb.json`); `jupyter server extension list`
shows it as `kling_nb`. Nothing here is allowed to keep a notebook from being opened.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kling_nb.notebook.mark import Mark
from kling_nb.notebook.reopened import Settling, has_ours, settle
from kling_nb.notebook.served import BASE, ROOT

log = logging.getLogger(__name__)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where Jupyter Server finds the extension."""
    return [{"module": __name__, "name": "kling_nb"}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Begin, with the server's application."""
    root = getattr(app.contents_manager, "root_dir", None)
    if root and Path(root).is_dir():  # else notebooks are kept somewhere without folders
        os.environ[ROOT], os.environ[BASE] = str(Path(root).resolve()), app.base_url
        watch(app.contents_manager, app.kernel_manager, Path(root))
    app.log.debug("kling_nb settles its outputs when notebooks are opened")


def watch(contents: Any, kernels: Any, root: Path) -> None:
    """Let every notebook that `contents` gives out be settled first. Its `get` may be a coroutine."""
    get = contents.get
    renew = functools.cache(_renewal)

    def settled(model: Any) -> Any:
        folder, renewal = (root / model["path"].strip("/")).parent, renew()
        settling = Settling(folder, alive(kernels), renewal, renewal.place)
        try:
            settle(model["content"], settling)
        except Exception:
            log.exception("Outputs of %s stay as they were saved", model.get("path"))
        return model

    async def later(found: Any) -> Any:
        model = await found
        return await asyncio.to_thread(settled, model) if concerns_us(model) else model

    @functools.wraps(get)
    def reading(*arguments: Any, **options: Any) -> Any:
        found = get(*arguments, **options)
        if inspect.isawaitable(found):
            return later(found)
        return settled(found) if concerns_us(found) else found

    contents.get = reading


def concerns_us(model: Any) -> bool:
    """Whether a model of the contents API is a notebook with its content, and something of ours in that."""
    try:
        return model["type"] == "notebook" and bool(model["content"]) and has_ours(model["content"])
    except Exception:  # noqa: BLE001 -- whatever it is, it is none of ours
        return False


def alive(kernels: Any) -> Callable[[Mark], bool]:
    """Tells which marks are of a kernel that runs, and still is the process that it was."""

    def runs(mark: Mark) -> bool:
        if mark.kernel is None or mark.kernel not in kernels.list_kernel_ids():
            return False
        return mark.process is None or _runs_as(mark.process, kernels.get_kernel(mark.kernel))

    return runs


def _runs_as(process: int, kernel: Any) -> bool:
    if getattr(getattr(kernel, "provisioner", None), "pid", None) == process:
        return True
    if os.name == "nt":  # os.kill ends the process on Windows
        return False
    try:  # a kernel may be started through another program
        os.kill(process, 0)
    except (OSError, OverflowError):
        return False
    return True


def _renewal() -> Any:
    from kling_nb.notebook.renewal import Renewal  # noqa: PLC0415 -- not before there is something of ours

    return Renewal()
