"""Heavy packages and modules, imported when one of their names is first read.

`import kling_nb`, `%load_ext` and the first cell import only what they use. There are three such boundaries.
Everything else is imported normally:

1. Heavy packages, below: httpx 60 ms, PyAV with NumPy and Pillow 120 ms, jsonschema-rs 40 ms, filelock 50 ms.
   Also the modules that send a job (`job/start.py`, `connections.py`), 50 ms that a reused take does not
   need.
2. The magics and the server extension: they are registered at once, and import their code at the first use
   (`notebook/magics.py`, `saved/server_extension.py`; 30 ms).
3. Widgets: ipywidgets and anywidget, 100 ms, with the first job that is shown (`notebook/output/`).

`python -m benchmarks.run startup` measured these times, in a kernel that has imported IPython.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = [
    "av",
    "dotenv",
    "filelock",
    "httpx",
    "httpx_sse",
    "image_draw",
    "image_font",
    "image_ops",
    "jsonschema_rs",
    "lazy",
    "np",
    "pillow",
    "platformdirs",
]


class _LazyModule(ModuleType):
    """A placeholder for a module until one of its names is read. Any thread may read it."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._load(), name)
        self.__dict__[name] = value  # The next read does not call this method.
        return value

    def _load(self) -> ModuleType:
        return import_module(self.__name__)


class _LazyHttpx(_LazyModule):
    """httpx without its command line.

    If click and rich are installed, httpx imports its command line too: 75 of the 120 ms of the first job's
    imports.
    """

    def _load(self) -> ModuleType:
        command_line = "httpx._main"
        if "httpx" in sys.modules or command_line in sys.modules:
            return import_module(self.__name__)
        sys.modules[command_line] = None  # type: ignore[assignment]  # Its import fails then, which httpx handles.
        try:
            return import_module(self.__name__)
        finally:
            sys.modules.pop(command_line, None)  # another thread at the same place may have been quicker


def lazy(name: str) -> Any:
    """Return a placeholder for a module, which is imported when one of its names is first read.

    Use it only at the boundaries above. Import the module under `TYPE_CHECKING` too, so that mypy and
    import-linter see it.
    """
    return _LazyModule(name)


if TYPE_CHECKING:
    import av
    import dotenv
    import filelock
    import httpx
    import httpx_sse
    import jsonschema_rs
    import numpy as np
    import platformdirs
    from PIL import Image as pillow  # noqa: N813 -- this is a module, not the class of the same name
    from PIL import ImageDraw as image_draw  # noqa: N813 -- this is a module, not a class
    from PIL import ImageFont as image_font  # noqa: N813 -- this is a module, not a class
    from PIL import ImageOps as image_ops  # noqa: N813 -- this is a module, not a class
else:
    av = lazy("av")
    dotenv = lazy("dotenv")
    filelock = lazy("filelock")
    httpx = _LazyHttpx("httpx")
    httpx_sse = _LazyHttpx("httpx_sse")
    image_draw = lazy("PIL.ImageDraw")
    image_font = lazy("PIL.ImageFont")
    image_ops = lazy("PIL.ImageOps")
    jsonschema_rs = lazy("jsonschema_rs")
    np = lazy("numpy")
    platformdirs = lazy("platformdirs")
    pillow = lazy("PIL.Image")
