"""SIGINT kept out of code that must not be left half-way."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

STUCK_SECONDS = 0.5
"""A second interrupt so long after the first strikes at once: the block does not come to its end."""


class HeldInterrupts:
    """What SIGINT raises while the block runs is raised where the block ends, and `wake` is called meanwhile.

    A nested event loop puts the state of the outer one aside in generators. A KeyboardInterrupt between
    their lines leaves one of them suspended, to be closed by the garbage collector, later and on whatever
    thread that runs: which then takes itself to be running the loop of another.

    The handler that was there is called as ever, and one that raises nothing (asyncio's) wakes nobody.
    Not so ipykernel's for a cell with an await: it has the cell's task cancelled, which is the one that is
    blocked here, and the cell's reply would never be sent (ipykernel 7.4). No effect outside the main
    thread, where no signal ever raises.

    Args:
        wake: Called in the signal's handler: makes the block end soon.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._before: Any = None
        self.handler: Callable[[int, FrameType | None], object] | None = None
        self._raised: BaseException | None = None
        self._since = 0.0

    @property
    def struck(self) -> bool:
        """Whether the block is to end soon."""
        return self._raised is not None

    def __enter__(self) -> HeldInterrupts:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            return self
        self._before = before
        # In a block within a block the inner one ends first; raised there, it reaches the outer one.
        outer = getattr(before, "__self__", None)
        self.handler = outer.handler if isinstance(outer, HeldInterrupts) else before
        signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised from None

    def _take(self, number: int, frame: FrameType | None) -> None:
        assert self.handler is not None
        try:
            if _in_cell(frame):
                signal.default_int_handler(number, frame)
            self.handler(number, frame)
        except BaseException as error:
            if self._raised is None:
                self._raised, self._since = error, time.monotonic()
            elif time.monotonic() - self._since > STUCK_SECONDS:
                raise
            self._wake()


def _in_cell(frame: FrameType | None) -> bool:
    """Whether what is raised here ends a cell of IPython, not the loop below it."""
    module = sys.modules.get("IPython.core.interactiveshell")
    runs_cells = module.InteractiveShell.run_code.__code__ if module else None
    while frame is not None:
        if frame.f_code is runs_cells:
            return True
        frame = frame.f_back
    return False
