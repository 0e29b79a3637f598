"""The live view of a sweep. `js/grid/` is its other end; `protocol.js` lists what crosses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
from traitlets import Int, Unicode

from kling_nb._sweep import Sweep, SweepCell
from kling_nb.errors import MediaError, UsageError
from kling_nb.notebook.chunk import read_chunk
from kling_nb.notebook.feed import FEED, Channel, Feed
from kling_nb.notebook.grid_card import is_local
from kling_nb.notebook.grid_layout import layout_of
from kling_nb.notebook.served import served_url
from kling_nb.notebook.takes import clip, cost, words
from kling_nb.video import Video

COMMANDS = ("snapshot", "poster", "chunk", "cancel")
"""What a view may ask, as `{id, kind, msg}`. Each is answered by one "reply"."""
NOTICES = ("reply", "update")
"""Kinds of message to a view."""
_STATIC = Path(__file__).parent.parent / "static"

Answer = tuple[dict[str, Any], list[bytes]]


class GridWidget(anywidget.AnyWidget):
    """A sweep in a notebook: every cell with its state, and in the end all videos, played in step.

    Traits hold what may be saved; the rest goes by custom messages, and a view asks for it ("snapshot").

    Threads: make it on the cell's thread. Commands may arrive on any thread, updates leave from the
    feed's.

    Args:
        study: What to show.
        feed: Paces the updates; the kernel's own by default.
    """

    _esm = _STATIC / "grid.js"
    _css = _STATIC / "grid.css"

    sweep_id = Unicode(help="Names the sweep in a notebook's outputs.").tag(sync=True)
    count = Int(help="How many cells there are.").tag(sync=True)
    summary = Unicode(help="How far it is, in words.").tag(sync=True)

    _channel: Channel | None = None

    def __init__(self, study: Sweep, *, feed: Feed = FEED) -> None:
        self._study = study
        self._lock = threading.Lock()
        self._news: set[int] = set()
        self._revision = 0
        super().__init__(sweep_id=study.id, count=len(study), summary=study.summary())
        self.on_msg(self._on_message)
        self._channel = feed.channel(self._tell)
        self._leave = study.subscribe(self._on_cell)
        self._on_cell(study[0])  # for what happened before

    def close(self) -> None:
        """Take the views away and stop listening. The sweep goes on."""
        if self._channel:
            self._channel.close()
            self._leave()
        super().close()

    def __repr__(self) -> str:
        return f"<GridWidget {self._study!r}>"

    # -- to the views ------------------------------------------------------------

    def _on_cell(self, cell: SweepCell) -> None:
        """Note that a cell has changed. The engine's thread."""
        with self._lock:
            self._news.add(cell.index)
        if self._channel:
            self._channel.notify()

    def _tell(self) -> bool:
        """Say in one message what is new of all cells. The feed's thread."""
        with self._lock:
            news, self._news = sorted(self._news), set()
        self.send(
            {"kind": "update", "msg": {**self._whole(), "cells": [fields(self._study[at]) for at in news]}}
        )
        if self.summary != (said := self._study.summary()):
            self.summary = said
        return False

    def _whole(self) -> dict[str, Any]:
        """What is said of the whole each time. Of two, the one with the larger revision is newer."""
        with self._lock:
            self._revision += 1
            return {"revision": self._revision, "done": self._study.done, "summary": self._study.summary()}

    # -- from the views ----------------------------------------------------------

    def _on_message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Answer a command, whatever it is."""
        command = content if isinstance(content, dict) else {}
        number, kind = command.get("id"), command.get("kind")
        msg = command["msg"] if isinstance(command.get("msg"), dict) else {}
        handlers: dict[Any, Callable[[], Answer | Future[Any]]] = {
            "snapshot": lambda: (self._snapshot(), []),
            "poster": lambda: _side_thread().submit(lambda: ({}, [self._video(msg).poster])),
            "chunk": lambda: self._chunk(msg),
            "cancel": lambda: self._cancel(msg),
        }
        known = isinstance(kind, str) and kind in handlers
        self._reply(number, handlers[kind] if known else lambda: _unknown(kind))

    def _reply(self, number: Any, answer: Callable[[], Answer | Future[Any]]) -> None:
        """Send what `answer` gives, or what it raises; where it gives a future, as soon as that is done."""
        try:
            given = answer()
            if isinstance(given, Future):
                given.add_done_callback(lambda done: self._reply(number, lambda: _answer(done.result())))
                return
        except Exception as error:  # noqa: BLE001 -- a command is always answered
            self.send({"id": number, "kind": "reply", "ok": False, "msg": {"error": words(error)}})
            return
        msg, buffers = given
        self.send({"id": number, "kind": "reply", "ok": True, "msg": msg}, buffers)

    def _snapshot(self) -> dict[str, Any]:
        """Everything, for a page that opens."""
        study, layout = self._study, layout_of(self._study)
        return {
            "now": time.time(),
            "local": is_local(study),
            "title": study[0].request.endpoint.title,
            "price": study.price,
            "rows": [clip(label, 400) for label in layout.rows],
            "columns": [clip(label, 400) for label in layout.columns],
            "row_axis": layout.row_axis,
            "column_axis": layout.column_axis,
            "captions": [clip(caption, 400) for caption in layout.captions],
            "places": layout.places and [list(place) for place in layout.places],
            **self._whole(),
            "cells": [fields(cell) for cell in study],
        }

    def _cell(self, msg: Mapping[str, Any]) -> SweepCell:
        at = msg.get("cell")
        if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < len(self._study):
            raise UsageError(f"cell is {at!r}; there are {len(self._study)}, from 0.")
        return self._study[at]

    def _video(self, msg: Mapping[str, Any]) -> Video:
        video = self._cell(msg).video
        if video is None:
            raise MediaError("This cell has no video.")
        return video

    def _chunk(self, msg: dict[str, Any]) -> Answer:
        about, piece = read_chunk(self._video(msg).path, msg)
        return about, [piece]

    def _cancel(self, msg: Mapping[str, Any]) -> Future[str]:
        """Stop one cell's job, or without a number the whole; answered when fal's answer is there."""
        if "cell" not in msg:
            return self._study.spawn_cancel()
        job = self._cell(msg).job
        if job is None:
            raise UsageError("This cell has not begun.")
        return job.cancel_soon()


def fields(cell: SweepCell) -> dict[str, Any]:
    """What a view knows of a cell."""
    job, video = cell.job, cell.video
    state = job.state if job is not None else None
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
        "width": video.width if video else None,
        "height": video.height if video else None,
        "duration": video.duration if video else None,
        "fps": video.fps if video else None,
        "name": video.path.name if video else "",
        "url": served_url(video.path) if video else None,
    }


def _answer(given: Any) -> Answer:
    return given if isinstance(given, tuple) else ({"outcome": given}, [])


@cache
def _side_thread() -> ThreadPoolExecutor:
    """Where posters are decoded: a page asks for all of them at once."""
    return ThreadPoolExecutor(1, "kling-grid-posters")


def _unknown(kind: Any) -> Answer:
    raise UsageError(f"Unknown command {kind!r}; known are {', '.join(COMMANDS)}.")
