"""Magics, outputs and widgets. `%load_ext kling_nb` starts here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kling_nb._lazy import lazy

if TYPE_CHECKING:
    from kling_nb.notebook import magics
else:
    magics = lazy("kling_nb.notebook.magics")  # boundary 2 of `_lazy`


def load_ipython_extension(shell: Any) -> None:
    """Register the magics for `%load_ext kling_nb`. Nothing is started or sent."""
    magics.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Undo `load_ipython_extension` for `%unload_ext kling_nb`."""
    magics.unload(shell)
