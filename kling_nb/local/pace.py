"""How fast a render may go, and whether to stop it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


class Cancelled(Exception):
    """The order was called off while it was being made."""


@dataclass(slots=True)
class Pace:
    """Shared by the server's loop, which stops, and the render's thread, which waits.

    Attributes:
        seconds: What five seconds of video should take at least; 0 for no waiting.
        stop: Set to call the order off.
    """

    seconds: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> None:
        """Sleep, unless or until the order is called off.

        Raises:
            Cancelled: It was.
        """
        if self.stop.wait(seconds) if seconds > 0 else self.stop.is_set():
            raise Cancelled
