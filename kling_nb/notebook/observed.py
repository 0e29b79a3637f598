"""Says what observers raise. Where nobody catches it, it would vanish: on a thread, or in a message."""

from __future__ import annotations

from typing import Any

from traitlets import TraitError

from kling_nb.notebook.takes import words
from kling_nb.notebook.unwatched import UnseenWidget


class Observed(UnseenWidget):
    """A widget whose views show what goes wrong in the observers of its traits.

    Whoever sets a trait gets the exception too, as everywhere.
    """

    def notify_change(self, change: Any) -> None:
        """Tell the observers of a change."""
        try:
            super().notify_change(change)
        except Exception as error:
            self._show_fault(f"An observer of `{change['name']}` raised {words(error)}")
            raise

    def _settle(self, **values: Any) -> None:
        """Set traits where nobody catches what observers raise; one that does keeps none from being set."""
        for name, value in values.items():
            try:
                self.set_trait(name, value)
            except TraitError:
                raise
            except Exception:  # noqa: BLE001, S112 -- it was shown
                continue

    def _show_fault(self, fault: str) -> None:
        """Say it in the views. Any thread."""
        raise NotImplementedError
