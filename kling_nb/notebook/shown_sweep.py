"""A sweep in the outputs of a front end."""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import Any, TextIO

from kling_nb._storyboard import Storyboard
from kling_nb._sweep import Sweep, SweepCell
from kling_nb.notebook import grid_card
from kling_nb.notebook.grid_layout import sizes
from kling_nb.notebook.grid_sweep import SweepSheet
from kling_nb.notebook.live_and_card import LiveAndCard

REFRESH_SECONDS = 0.5


class TerminalSweep:
    """A line for each cell that ends, then the table.

    Args:
        study: What to show.
        stream: Where to print; None is standard output.
        quiet: Print nothing.
    """

    def __init__(self, study: Sweep, stream: TextIO | None, *, quiet: bool) -> None:
        self._study = study
        self._stream = stream
        self._quiet = quiet
        self._settled = False

    def wait(self, timeout: float | None) -> None:
        """Block until every cell has ended, saying how far it is. Whether cells failed is not asked here.

        Raises:
            WaitTimeout: The time ran out.
            Interrupted: Ctrl-C.
        """
        if self._quiet:
            self._study.wait(timeout, check=False)
            return
        ended: queue.SimpleQueue[SweepCell] = queue.SimpleQueue()
        leave = self._study.subscribe(ended.put)
        try:
            self._follow(ended, timeout)
        finally:
            leave()

    def _follow(self, ended: queue.SimpleQueue[SweepCell], timeout: float | None) -> None:
        said = ""
        began = time.monotonic()
        while not self._study.done:
            try:
                ended.get(timeout=REFRESH_SECONDS)
            except queue.Empty:
                pass
            except KeyboardInterrupt:
                self._raise_interrupted()
            if said != (said := self._study.summary()):
                print(said, file=self._stream or sys.stdout)
            if timeout is not None and time.monotonic() > began + timeout:
                self._study.wait(0.001, check=False)

    def _raise_interrupted(self) -> None:
        from kling_nb.engine import wait  # noqa: PLC0415 -- for an interrupt only

        raise wait(self._study.spawn_interrupt()) from None

    def settle(self) -> None:
        """Print the table, once."""
        if not self._quiet and not self._settled:
            self._settled = True
            print(grid_card.text(self._study), file=self._stream or sys.stdout)


class KernelSweep:
    """The live grid, and the card that saved notebooks keep: as `LiveAndCard` places them.

    The card is brought up to date when the last cell has ended: by `settle`, which a waiting cell
    calls so that its output is whole when it ends, or else by a thread of its own.

    Args:
        study: What to show.
        shell: Where to publish.
    """

    def __init__(self, study: Sweep, shell: Any) -> None:
        self._study = study
        self._outputs = LiveAndCard(study.id, f"Sweep: {sizes(study)}", shell)
        self._lock = threading.Lock()
        self._settled = False

    def show(self) -> None:
        """Put both into the cell."""
        if self._study.done:
            self._settled = True
        else:
            self._outputs.show_live(SweepSheet(self._study))
        self._outputs.show_card(self._card())
        if not self._settled:
            self._study.subscribe(self._on_cell)
            if self._study.done:
                self.settle()

    def wait(self, timeout: float | None) -> None:
        """Block until every cell has ended; the outputs tell the rest."""
        self._study.wait(timeout, check=False)

    def settle(self) -> None:
        """Bring the card up to date, once all is done. Any thread but the engine's."""
        with self._lock:
            if self._settled or not self._study.done:
                return
            self._settled = True
            self._outputs.show_card(self._card())

    def _on_cell(self, _cell: SweepCell) -> None:
        if self._study.done:  # posters take long to make: not on the engine's thread
            threading.Thread(target=self.settle, name="kling-grid-card", daemon=True).start()

    def _card(self) -> dict[str, Any]:
        done = self._study.done
        return {
            "text/html": grid_card.html(self._study, pictures=done),
            "text/plain": grid_card.text(self._study),
        }


class Quiet:
    """Shows nothing."""

    def __init__(self, study: Sweep) -> None:
        self._study = study

    def wait(self, timeout: float | None) -> None:
        """Block until every cell has ended."""
        self._study.wait(timeout, check=False)

    def settle(self) -> None:
        """Nothing to bring up to date."""


def show_strip(board: Storyboard, shell: Any) -> None:
    """A storyboard in a cell: the live strip, and the card that saved notebooks keep."""
    from kling_nb.notebook import strip_card  # noqa: PLC0415 -- not before something is shown
    from kling_nb.notebook.grid_strip import StripSheet  # noqa: PLC0415 -- as above

    sheet = StripSheet(board)
    outputs = LiveAndCard(board.id, f"Storyboard: {sheet.summary}", shell)
    outputs.show_live(sheet)
    outputs.show_card({"text/html": strip_card.html(board), "text/plain": strip_card.text(board)})
