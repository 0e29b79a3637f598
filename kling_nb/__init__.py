"""Kling video on fal.ai, in the notebook.

Run `%load_ext kling_nb`, then write a prompt in a cell that starts with `%%kling`. In Python:
`kling_nb.generate("a heron lands on a frozen lake")`. Names are imported when they are first used, so that
importing the package takes almost no time.
"""

from importlib import import_module
from sys import modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kling_nb import errors
    from kling_nb.api import (
        batch,
        configure,
        endpoint,
        endpoints,
        generate,
        get_job,
        jobs,
        resume,
        submit,
        sweep,
        takes,
        upload,
    )
    from kling_nb.job.job import Job
    from kling_nb.notebook import load_ipython_extension, unload_ipython_extension
    from kling_nb.notebook.card.sheet import sheet
    from kling_nb.notebook.widgets.panel import Panel
    from kling_nb.request.request import VideoRequest
    from kling_nb.session import Session
    from kling_nb.sweeps.batch import Batch
    from kling_nb.sweeps.storyboard import Storyboard, join
    from kling_nb.sweeps.sweep import Sweep
    from kling_nb.video import Video

_MODULES = {
    "api": "batch configure endpoint endpoints generate get_job jobs resume submit sweep takes upload",
    "job.job": "Job",
    "session": "Session",
    "sweeps.batch": "Batch",
    "sweeps.storyboard": "Storyboard join",
    "sweeps.sweep": "Sweep",
    "notebook": "load_ipython_extension unload_ipython_extension",
    "notebook.card.sheet": "sheet",
    "notebook.widgets.panel": "Panel",
    "notebook.saved.server_extension": "_jupyter_server_extension_points _load_jupyter_server_extension",
    "request.request": "VideoRequest",
    "video": "Video",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "Batch",
    "Job",
    "Panel",
    "Session",
    "Storyboard",
    "Sweep",
    "Video",
    "VideoRequest",
    "batch",
    "configure",
    "endpoint",
    "endpoints",
    "errors",
    "generate",
    "get_job",
    "jobs",
    "join",
    "load_ipython_extension",
    "resume",
    "sheet",
    "submit",
    "sweep",
    "takes",
    "unload_ipython_extension",
    "upload",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("kling_nb.errors")
    if name == "__version__":
        return import_module("importlib.metadata").version("kling_nb")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if "marimo" in modules:  # marimo has no extensions, so nothing else registers its output.
        import_module("kling_nb.notebook.output.marimo").register()
    value = getattr(import_module(f"kling_nb.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
