"""The live view of one job. `js/job/` is its other end; `js/job/protocol.js` lists what crosses."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

import anywidget
from traitlets import Float, Int, Unicode

from kling_nb.errors import KlingError, MediaError, UsageError
from kling_nb.events import Event, JobState, Logged
from kling_nb.notebook.chunk import read_chunk
from kling_nb.notebook.feed import FEED, Channel, Feed
from kling_nb.request import VideoRequest
from kling_nb.video import Video

COMMANDS = ("snapshot", "cancel", "chunk")
"""What a view may ask, as `{id, kind, msg}`. Each is answered by one "reply"."""
NOTICES = ("reply", "update")
"""Kinds of message to a view."""
LINES_KEPT = 2_000
"""Log lines sent at once, and kept by a view."""

_TEXT_LIMIT = 2_000
_VALUE_LIMIT = 300
_STATIC = Path(__file__).parent.parent / "static"

Answer = tuple[dict[str, Any], list[bytes]]


class JobLike(Protocol):
    """What the widget needs of a job. `state`, `lines`, `video` are up to date when a listener is called."""

    @property
    def id(self) -> str: ...  # noqa: D102 -- this and the rest: as `kling_nb.Job`
    @property
    def request(self) -> VideoRequest: ...  # noqa: D102
    @property
    def backend(self) -> str: ...  # noqa: D102
    @property
    def created_at(self) -> float: ...  # noqa: D102
    @property
    def finished_at(self) -> float | None: ...  # noqa: D102
    @property
    def state(self) -> JobState: ...  # noqa: D102
    @property
    def lines(self) -> Sequence[Logged]: ...  # noqa: D102
    @property
    def video(self) -> Video | None: ...  # noqa: D102
    @property
    def error(self) -> Exception | None: ...  # noqa: D102
    def subscribe(self, listener: Callable[[Event, JobState], None]) -> Callable[[], None]: ...  # noqa: D102
    def cancel_soon(self) -> Future[str]: ...  # noqa: D102


class JobWidget(anywidget.AnyWidget):
    """A job in a notebook: its state, log, Cancel, and in the end its video.

    Traits hold what may be saved with the notebook. Log lines, progress and the bytes of the
    video go by custom messages only, and a view asks for what it missed ("snapshot").

    Threads: make it on the cell's thread. Commands may arrive on any thread (ipykernel 7.0-7.3
    runs them on a subshell's), updates leave from the feed's thread, a cancel's answer from
    the engine's.

    Args:
        job: What to show.
        feed: Paces the updates; the kernel's own by default.
    """

    _esm = _STATIC / "job.js"
    _css = _STATIC / "job.css"

    job_id = Unicode(help="Our id of the job.").tag(sync=True)
    state = Unicode(help="A `State`.").tag(sync=True)
    request_id = Unicode(None, allow_none=True, help="fal's id, once known.").tag(sync=True)
    endpoint = Unicode(help="Full endpoint id.").tag(sync=True)
    title = Unicode(help="The endpoint's title.").tag(sync=True)
    prompt = Unicode(help="What the job is about, at most 2,000 characters.").tag(sync=True)
    backend = Unicode(help='"fal" or "local".').tag(sync=True)
    created_at = Float(help="Unix seconds of the submission.").tag(sync=True)
    finished_at = Float(None, allow_none=True, help="Unix seconds of the end.").tag(sync=True)
    message = Unicode(help="Why there is no video, once that is sure.").tag(sync=True)
    width = Int(None, allow_none=True, help="Of the video, in pixels.").tag(sync=True)
    height = Int(None, allow_none=True, help="Of the video, in pixels.").tag(sync=True)
    duration = Float(None, allow_none=True, help="Of the video, in seconds.").tag(sync=True)

    _channel: Channel | None = None
    _unsubscribe: Callable[[], None] | None = None

    def __init__(self, job: JobLike, *, feed: Feed = FEED) -> None:
        self._job = job
        self._told = 0  # log lines sent; the feed's thread only
        self._traits_due = False  # likewise
        self._news = False
        self._revision = 0
        self._numbering = threading.Lock()
        request = job.request
        super().__init__(
            job_id=job.id,
            endpoint=request.endpoint.id,
            title=request.endpoint.title,
            prompt=_clip(request.prompt, _TEXT_LIMIT),
            backend=job.backend,
            created_at=job.created_at,
            **self._saved(),
        )
        self.on_msg(self._on_message)
        self._channel = feed.channel(self._tell)
        if job.finished_at is None:
            self._unsubscribe = job.subscribe(self._on_event)
            self._notify()  # for what happened before the subscription

    def close(self) -> None:
        """Take the views away and stop listening to the job."""
        self._detach()
        if self._channel:
            self._channel.close()
        super().close()

    # -- to the views ------------------------------------------------------------

    def _on_event(self, _event: Event, state: JobState) -> None:
        self._notify()
        if state.state.finished:
            self._detach()

    def _notify(self) -> None:
        self._news = True
        if self._channel:
            self._channel.notify()

    def _detach(self) -> None:
        if self._unsubscribe:
            self._unsubscribe()
            self._unsubscribe = None

    def _tell(self) -> bool:
        """Say in one message what is new: the update first, what is saved in the next turn."""
        if self._traits_due:
            self._traits_due = False
            with self.hold_sync():
                for name, value in self._saved().items():
                    self.set_trait(name, value)
            return self._news
        self._news = False  # before reading: what comes from here on is told next time
        fields = self._fields()
        lines = self._job.lines
        first, self._told = self._told, len(lines)
        self.send({"kind": "update", "msg": {**fields, **_lines(lines, first, self._told)}})
        self._traits_due = any(getattr(self, name) != value for name, value in self._saved().items())
        return self._traits_due

    def _saved(self) -> dict[str, Any]:
        """Traits that change as the job goes on."""
        job, video = self._job, self._job.video
        return {
            "state": job.state.state.value,
            "request_id": job.state.request_id,
            "finished_at": job.finished_at,
            "message": "" if job.error is None else _words(job.error),
            "width": video.width if video else None,
            "height": video.height if video else None,
            "duration": video.duration if video else None,
        }

    def _fields(self) -> dict[str, Any]:
        """All that changes, but for the log lines. Of two, the one with the larger revision is newer."""
        with self._numbering:
            self._revision += 1
            now = self._job.state
            return {
                "revision": self._revision,
                "resumed": now.resumed,
                "queue_position": now.queue_position,
                "received": now.received,
                "total": now.total,
                **self._saved(),
            }

    # -- from the views ----------------------------------------------------------

    def _on_message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Answer a command, whatever it is."""
        command = content if isinstance(content, dict) else {}
        number, kind, msg = command.get("id"), command.get("kind"), command.get("msg")
        if kind == "cancel":
            self._reply(number, self._cancel_then(number))
        elif kind == "snapshot":
            self._reply(number, self._snapshot)
        elif kind == "chunk":
            self._reply(number, lambda: self._chunk(msg if isinstance(msg, dict) else {}))
        else:
            self._reply(number, lambda: _unknown(kind))

    def _reply(self, number: Any, answer: Callable[[], Answer | None]) -> None:
        """Send what `answer` gives, or what it raises. None means that the answer comes later."""
        try:
            given = answer()
        except Exception as error:  # noqa: BLE001 -- a command is always answered
            self.send({"id": number, "kind": "reply", "ok": False, "msg": {"error": _words(error)}})
            return
        if given is not None:
            msg, buffers = given
            self.send({"id": number, "kind": "reply", "ok": True, "msg": msg}, buffers)

    def _snapshot(self) -> Answer:
        """Everything up to now. `first_line` is also the number of older lines left out."""
        request, lines = self._job.request, self._job.lines
        asked = [[name, _value(value)] for name, value in request.input.items() if value != request.prompt]
        snapshot = {**self._fields(), "now": time.time(), "parameters": asked}
        return {**snapshot, **_lines(lines, 0, len(lines))}, []

    def _cancel_then(self, number: Any) -> Callable[[], None]:
        """Ask for the end of the job; the answer is sent when fal's is there, from the engine's thread."""

        def later(asked: Future[str]) -> None:
            self._reply(number, lambda: ({"outcome": asked.result()}, []))

        return lambda: self._job.cancel_soon().add_done_callback(later)

    def _chunk(self, msg: dict[str, Any]) -> Answer:
        """A piece of the video's file, as one buffer."""
        if self._job.video is None:
            raise MediaError("This job has no video yet.")
        about, piece = read_chunk(self._job.video.path, msg)
        return about, [piece]


def _lines(lines: Sequence[Logged], first: int, end: int) -> dict[str, Any]:
    """Log lines `first` up to `end`, the last 2,000 of them at most."""
    first = max(first, end - LINES_KEPT)
    sent = [[line.timestamp, _clip(line.message, _TEXT_LIMIT), line.level] for line in lines[first:end]]
    return {"first_line": first, "lines": sent}


def _unknown(kind: Any) -> Answer:
    raise UsageError(f"Unknown command {kind!r}; known are {', '.join(COMMANDS)}.")


def _value(value: Any) -> str:
    """A parameter as text. Pictures inside data URIs are long; their beginning says enough."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _clip(text, _VALUE_LIMIT)


def _words(error: Exception) -> str:
    """What an error says to the user."""
    text = str(error) if isinstance(error, KlingError) else f"{type(error).__name__}: {error}"
    return _clip(text, _TEXT_LIMIT)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
