"""The live view of a sweep or a storyboard. `js/grid/` is its other end; `protocol.js` lists what crosses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import anywidget
from traitlets import Int, Unicode

from kling_nb.errors import UsageError
from kling_nb.notebook.answering import Answer, reply
from kling_nb.notebook.chunk import read_chunk
from kling_nb.notebook.feed import FEED, Channel, Feed
from kling_nb.video import Video

COMMANDS = ("snapshot", "poster", "chunk", "cancel")
"""What a view may ask, as `{id, kind, msg}`. Each is answered by one "reply"."""
NOTICES = ("reply", "update")
"""Kinds of message to a view."""
_STATIC = Path(__file__).parent.parent / "static"


class Sheet(Protocol):
    """What the widget shows."""

    id: str
    count: int

    @property
    def done(self) -> bool: ...  # noqa: D102 -- this and the rest: as `SweepSheet`
    @property
    def summary(self) -> str: ...  # noqa: D102
    def about(self) -> dict[str, Any]: ...  # noqa: D102
    def cell(self, at: int) -> dict[str, Any]: ...  # noqa: D102
    def video(self, at: int) -> Video: ...  # noqa: D102
    def cancel(self, at: int | None) -> Future[str]: ...  # noqa: D102
    def subscribe(self, listener: Callable[[int], None]) -> Callable[[], None]: ...  # noqa: D102


class GridWidget(anywidget.AnyWidget):
    """Many videos in a notebook: every cell with its state, and in the end all of them, played in step.

    Traits hold what may be saved; the rest goes by custom messages, and a view asks for it ("snapshot").

    Threads: make it on the cell's thread. Commands may arrive on any thread, updates leave from the
    feed's.

    Args:
        sheet: What to show.
        feed: Paces the updates; the kernel's own by default.
    """

    _esm = _STATIC / "grid.js"
    _css = _STATIC / "grid.css"

    sweep_id = Unicode(help="Names the sweep in a notebook's outputs.").tag(sync=True)
    count = Int(help="How many cells there are.").tag(sync=True)
    summary = Unicode(help="How far it is, in words.").tag(sync=True)

    _channel: Channel | None = None

    def __init__(self, sheet: Sheet, *, feed: Feed = FEED) -> None:
        self._sheet = sheet
        self._lock = threading.Lock()
        self._news: set[int] = set()
        self._revision = 0
        super().__init__(sweep_id=sheet.id, count=sheet.count, summary=sheet.summary)
        self.on_msg(self._on_message)
        self._channel = feed.channel(self._tell)
        self._leave = sheet.subscribe(self._on_cell)
        if not sheet.done:
            self._on_cell(0)  # for what happened before

    def close(self) -> None:
        """Take the views away and stop listening. The sweep goes on."""
        if self._channel:
            self._channel.close()
            self._leave()
        super().close()

    def __repr__(self) -> str:
        return f"<GridWidget {self._sheet.summary}>"

    # -- to the views ------------------------------------------------------------

    def _on_cell(self, at: int) -> None:
        """Note that a cell has changed. The engine's thread."""
        with self._lock:
            self._news.add(at)
        if self._channel:
            self._channel.notify()

    def _tell(self) -> bool:
        """Say in one message what is new of all cells. The feed's thread."""
        with self._lock:
            news, self._news = sorted(self._news), set()
        whole = self._whole()  # its number first: what changes while it is written is told next time
        self.send({"kind": "update", "msg": {**whole, "cells": [self._sheet.cell(at) for at in news]}})
        self.summary = self._sheet.summary
        return False

    def _whole(self) -> dict[str, Any]:
        """What is said of the whole each time. Of two, the one with the larger revision is newer."""
        with self._lock:
            self._revision += 1
            return {"revision": self._revision, "done": self._sheet.done, "summary": self._sheet.summary}

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
        reply(self.send, number, handlers[kind] if known else lambda: _unknown(kind))

    def _snapshot(self) -> dict[str, Any]:
        """Everything, for a page that opens."""
        sheet = self._sheet
        whole = self._whole()  # its number first, as in `_tell`
        cells = [sheet.cell(at) for at in range(sheet.count)]
        return {"now": time.time(), **sheet.about(), **whole, "cells": cells}

    def _number(self, msg: Mapping[str, Any]) -> int:
        at = msg.get("cell")
        if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < self._sheet.count:
            raise UsageError(f"cell is {at!r}; there are {self._sheet.count}, from 0.")
        return at

    def _video(self, msg: Mapping[str, Any]) -> Video:
        return self._sheet.video(self._number(msg))

    def _chunk(self, msg: dict[str, Any]) -> Answer:
        about, piece = read_chunk(self._video(msg).path, msg)
        return about, [piece]

    def _cancel(self, msg: Mapping[str, Any]) -> Future[str]:
        """Stop one cell's job, or without a number the whole; answered when fal's answer is there."""
        return self._sheet.cancel(self._number(msg) if "cell" in msg else None)


@cache
def _side_thread() -> ThreadPoolExecutor:
    """Where posters are decoded: a page asks for all of them at once."""
    return ThreadPoolExecutor(1, "kling-grid-posters")


def _unknown(kind: Any) -> Answer:
    raise UsageError(f"Unknown command {kind!r}; known are {', '.join(COMMANDS)}.")
