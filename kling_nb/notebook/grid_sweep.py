"""What the grid widget shows of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from kling_nb._sweep import Sweep, SweepCell
from kling_nb.errors import MediaError, UsageError
from kling_nb.notebook.grid_card import is_local
from kling_nb.notebook.grid_layout import layout_of
from kling_nb.notebook.served import served_url
from kling_nb.notebook.takes import clip, cost, words
from kling_nb.video import Video


class SweepSheet:
    """A sweep as a `Sheet`. Threads: any.

    Args:
        study: What to show.
    """

    def __init__(self, study: Sweep) -> None:
        self._study = study
        self.id = study.id
        self.count = len(study)

    @property
    def done(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self._study.done

    @property
    def summary(self) -> str:
        """How far it is."""
        return self._study.summary()

    def about(self) -> dict[str, Any]:
        """What does not change."""
        study, layout = self._study, layout_of(self._study)
        return {
            "mode": "together",
            "local": is_local(study),
            "title": study[0].request.endpoint.title,
            "price": study.price,
            "rows": [clip(label, 400) for label in layout.rows],
            "columns": [clip(label, 400) for label in layout.columns],
            "row_axis": layout.row_axis,
            "column_axis": layout.column_axis,
            "captions": [clip(caption, 400) for caption in layout.captions],
            "places": layout.places and [list(place) for place in layout.places],
        }

    def cell(self, at: int) -> dict[str, Any]:
        """What a view knows of a cell."""
        cell = self._study[at]
        job, state = cell.job, cell.job.state if cell.job is not None else None
        return {
            "cell": cell.index,
            "state": cell.state,
            "message": words(cell.error) if cell.error is not None and cell.state != "SKIPPED" else "",
            "reused": bool(job and job.reused),
            "queue_position": state.queue_position if state else None,
            "received": state.received if state else 0,
            "total": state.total if state else None,
            "created_at": job.created_at if job else None,
            "expected": job.expected_seconds if job else None,
            "prompt": clip(cell.request.prompt, 2_000),
            "cost": cost(job) if job is not None else "",
            **measures(cell.video),
        }

    def video(self, at: int) -> Video:
        """The video of a cell.

        Raises:
            MediaError: There is none.
        """
        video = self._study[at].video
        if video is None:
            raise MediaError("This cell has no video.")
        return video

    def cancel(self, at: int | None) -> Future[str]:
        """Stop a cell, or with None the whole."""
        if at is None:
            return self._study.spawn_cancel()
        job = self._study[at].job
        if job is None:
            raise UsageError("This cell has not begun.")
        return job.cancel_soon()

    def subscribe(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call `listener(number)` for every change of a cell."""

        def on_cell(cell: SweepCell) -> None:
            listener(cell.index)

        return self._study.subscribe(on_cell)


def measures(video: Video | None) -> dict[str, Any]:
    """What a page needs to play a video."""
    return {
        "width": video.width if video else None,
        "height": video.height if video else None,
        "duration": video.duration if video else None,
        "fps": video.fps if video else None,
        "name": video.path.name if video else "",
        "url": served_url(video.path) if video else None,
    }
