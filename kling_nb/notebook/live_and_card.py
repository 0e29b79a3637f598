"""A live view of many videos and its card, in the outputs of a cell."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from kling_nb.notebook.bundles import Bundle, view_of, watched
from kling_nb.notebook.mark import here
from kling_nb.notebook.reopened import VIEW
from kling_nb.notebook.served import served_here


class LiveAndCard:
    """Shows both by the same rules as for a job.

    That is one output where our server extension settles notebooks when they are opened, two elsewhere,
    and the card alone where nobody watches.

    Args:
        name: Id of what is shown.
        title: What it is, in a line that stays true: for readers that show neither view nor card.
        shell: Where to publish.
    """

    def __init__(self, name: str, title: str, shell: Any) -> None:
        # The same for all publications; `mark` has the reason.
        self._metadata = replace(here(), job=name).to_metadata()
        self._title = title
        self._shell = shell
        self._display_id = f"kling-{name}-{os.urandom(4).hex()}"
        self._view: Bundle = {}
        self._shown = False

    def show_live(self, sheet: Any) -> None:
        """Show a `Sheet`, where somebody watches. Before the card, and once."""
        if not watched():
            return
        view = _grid_view(sheet)
        if served_here():
            self._view = view  # for one output with the card
        elif view:
            self._publish({**view, "text/plain": self._title})

    def show_card(self, card: Bundle) -> None:
        """Show the card, or bring it up to date."""
        update, self._shown = self._shown, True
        self._publish({**self._view, **card}, display_id=self._display_id, update=update)

    def _publish(self, data: Bundle, *, display_id: str | None = None, update: bool = False) -> None:
        self._shell.display_pub.publish(
            data,
            metadata=self._metadata,
            transient={"display_id": display_id} if display_id else {},
            update=update,
        )


def _grid_view(sheet: Any) -> Bundle:
    """The view of a `Sheet`; nothing outside of a kernel."""
    from kling_nb.notebook.grid_widget import GridWidget  # noqa: PLC0415 -- 100 ms of imports, at the first one

    drawn = view_of(GridWidget(sheet)._repr_mimebundle_())
    return {VIEW: drawn[VIEW]} if VIEW in drawn else {}
