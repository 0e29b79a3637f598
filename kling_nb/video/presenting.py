"""How results show themselves in a notebook: by a presenter that the notebook layer registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kling_nb import _front_end

Presenter = Callable[[Any], Any]
"""Gives a MIME bundle for a `Video` or `MediaFile`, or a pair of it and metadata, as IPython takes them."""


def set_presenter(presenter: Presenter | None) -> None:
    """Let `presenter` decide how results show themselves in a notebook; None goes back to text."""
    _front_end.video_presenter = presenter


def bundle_of(result: Any) -> Any:
    """What IPython shows of a result."""
    shown_by = _front_end.video_presenter
    return {"text/plain": repr(result)} if shown_by is None else shown_by(result)
