"""The notebook side: magics, outputs, widgets. `%load_ext kling_nb` starts here."""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext kling_nb`: register the magics. Starts nothing and asks nothing."""
    from kling_nb.notebook.extension import load  # noqa: PLC0415 -- `import kling_nb` needs none of it

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext kling_nb`: take back what `load_ipython_extension` did."""
    from kling_nb.notebook.extension import unload  # noqa: PLC0415 -- as above

    unload(shell)
