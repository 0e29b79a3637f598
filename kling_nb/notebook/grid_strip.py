"""What the grid widget shows of a storyboard."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from kling_nb._storyboard import Storyboard
from kling_nb.errors import UsageError
from kling_nb.notebook.grid_sweep import measures
from kling_nb.notebook.takes import clip
from kling_nb.video import Video


class StripSheet:
    """A storyboard as a `Sheet`: all is there from the start. Threads: any.

    Args:
        board: What to show.
    """

    done = True

    def __init__(self, board: Storyboard) -> None:
        self._board = board
        self.id = board.id
        self.count = len(board)

    @property
    def summary(self) -> str:
        """How long it is."""
        return f"{len(self._board)} shots, {self._board.duration:.4g} s"

    def about(self) -> dict[str, Any]:
        """What does not change."""
        return {
            "mode": "sequence",
            "local": any(shot.backend == "local" for shot in self._board),
            "title": "Storyboard",
            "price": "",
            "rows": [],
            "columns": [],
            "row_axis": "",
            "column_axis": "",
            "captions": [clip(caption(shot, number), 400) for number, shot in enumerate(self._board, 1)],
            "places": None,
        }

    def cell(self, at: int) -> dict[str, Any]:
        """What a view knows of a shot."""
        shot = self._board[at]
        return {
            "cell": at,
            "state": "READY",
            "message": "",
            "reused": False,
            "queue_position": None,
            "received": 0,
            "total": None,
            "created_at": None,
            "expected": None,
            "prompt": clip(said(shot), 2_000),
            "cost": "",
            **measures(shot),
        }

    def video(self, at: int) -> Video:
        """The video of a shot."""
        return self._board[at]

    def cancel(self, _at: int | None) -> Future[str]:
        """There is nothing to stop.

        Raises:
            UsageError: Always.
        """
        raise UsageError("A storyboard has nothing to cancel.")

    def subscribe(self, _listener: Callable[[int], None]) -> Callable[[], None]:
        """Nothing changes."""
        return lambda: None


def said(shot: Video) -> str:
    """The prompt of a shot, or its file's name."""
    made = (shot.request or {}).get("input") or {}
    return str(made.get("prompt") or made.get("text") or shot.path.name)


def caption(shot: Video, number: int) -> str:
    """What to call a shot."""
    return f"{number} · {said(shot)}"
