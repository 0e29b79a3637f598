"""Widgets where nobody watches: what runs unattended (nbclient, papermill) keeps no model of ours."""

from __future__ import annotations

from typing import Any

import anywidget

from kling_nb.notebook.bundles import watched


class UnseenWidget(anywidget.AnyWidget):
    """A widget that no front end hears of where nobody watches, unless another widget holds it.

    Who runs a notebook unattended saves every model that was ever opened, with its source. A box
    around this one asks for `model_id`, and must get one: it is opened then.
    """

    _asleep = False

    def open(self) -> None:
        """Tell the front end of it, where somebody may be looking."""
        if watched():
            super().open()
        else:
            self._asleep = True

    @property
    def model_id(self) -> str:
        """Its id for the front end, which hears of it now at the latest."""
        if self._asleep:
            self._asleep = False
            super().open()
        return str(super().model_id)

    def close(self) -> None:
        """Take the views away."""
        self._asleep = False
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Its view; nothing where there is none."""
        return ({}, {}) if self._asleep else super()._repr_mimebundle_(**kwargs)
