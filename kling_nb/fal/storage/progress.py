"""How far an upload is."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called as `on_progress(sent, total)`, in bytes, from the engine thread."""


class Progress:
    """Counts bytes that were sent, and tells about every hundredth of them.

    What a failed try sent is taken back, so the count may fall, and it ends at `total`.
    """

    def __init__(self, total: int, tell: OnProgress | None) -> None:
        self._total = total
        self._tell = tell
        self._sent = 0
        self._told = 0

    def begin(self) -> None:
        """Nothing is sent yet."""
        self._say()

    def add(self, count: int) -> None:
        """So many more bytes are sent; a negative number takes back."""
        self._sent += count
        if abs(self._sent - self._told) * 100 >= self._total and self._sent < self._total:
            self._say()

    def end(self) -> None:
        """All of it is there."""
        self._sent = self._total
        self._say()

    def _say(self) -> None:
        self._told = self._sent
        if self._tell is None:
            return
        try:
            self._tell(self._sent, self._total)
        except Exception:  # whoever watches does not end the upload
            log.exception("A listener of an upload failed")
