"""The live view of one job and its takes. Its JavaScript is `js/job/`; `protocol.js` lists the messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import traitlets
from traitlets import Float, Int, Unicode

from kling_nb.errors import KlingError, MediaError, UsageError
from kling_nb.events import Event, JobState
from kling_nb.job.job import Job, Presenter
from kling_nb.notebook.card import html as card
from kling_nb.notebook.card.html import poster_of
from kling_nb.notebook.card.job import Bundle, card_of_file, job_bundle, text_bundle, view_of
from kling_nb.notebook.card.mark import VIEW, Mark
from kling_nb.notebook.ipykernel_quirks import has_viewer
from kling_nb.notebook.widgets import takes
from kling_nb.notebook.widgets.base import (
    Answer,
    Handler,
    LiveWidget,
    answer_command,
    poster_thread,
    read_chunk,
)
from kling_nb.notebook.widgets.feed import FEED, Channel, Feed
from kling_nb.notebook.widgets.takes import (
    JobLike,
    StripTake,
    clip,
    earlier_takes,
    error_text,
    saved_fields,
    shape_of,
)
from kling_nb.video import MediaFile, Video

COMMANDS = ("snapshot", "cancel", "chunk", "poster", "quote", "generate", "resume", "gif")
"""Kinds of command from a view, `{id, kind, msg}`. Each is answered by one "reply"."""
NOTICES = ("reply", "update", "takes")
"""Kinds of message to a view."""
LINES_KEPT = 2_000
"""Log lines that are sent at once, and that a view keeps."""

_LINE_LIMIT = 2_000
_STATIC = Path(__file__).parents[2] / "static"


class JobWidget(LiveWidget):
    """A job in a notebook: its state, log, Cancel, its video at the end, and the other takes of its request.

    Traits hold what may be saved with the notebook. They describe the take that is shown. Log lines,
    progress, posters and the bytes of a video are custom messages. A view asks for what it missed
    ("snapshot").

    `take` and `value` are for programs: set `take` to show another take, observe `value` to get the path of
    the video that is shown. Both can be linked (`jslink`) to other widgets.

    Threads: create it on the cell's thread. Commands may arrive on any thread (ipykernel 7.0 to 7.3 runs
    them on a subshell's). Updates are sent from the feed's thread, the answer to a cancel from the background
    thread.

    Args:
        job: The job to show.
        feed: Sends the updates; by default the kernel's feed.
    """

    _esm = _STATIC / "job.js"
    _css = _STATIC / "job.css"

    job_id = Unicode(help="kling_nb's id of the job.").tag(sync=True)
    state = Unicode(help="Name of a `State`.").tag(sync=True)
    request_id = Unicode(None, allow_none=True, help="fal's id, once known.").tag(sync=True)
    endpoint = Unicode(help="Full endpoint id.").tag(sync=True)
    title = Unicode(help="The endpoint's title.").tag(sync=True)
    prompt = Unicode(help="The prompt, at most 2,000 characters.").tag(sync=True)
    backend = Unicode(help='"fal" or "local".').tag(sync=True)
    created_at = Float(help="Unix seconds of the submission.").tag(sync=True)
    finished_at = Float(None, allow_none=True, help="Unix seconds of the end.").tag(sync=True)
    shape = Float(help="Width by height, as the request asks for it; 0 where it does not say.").tag(sync=True)
    message = Unicode(help="Why the finished job has no video.").tag(sync=True)
    width = Int(None, allow_none=True, help="Width of the video in pixels.").tag(sync=True)
    height = Int(None, allow_none=True, help="Height of the video in pixels.").tag(sync=True)
    duration = Float(None, allow_none=True, help="Duration of the video in seconds.").tag(sync=True)
    take = Int(1, help="Which of the takes is shown, from 1. Set it to show another one.").tag(sync=True)
    takes = Int(1, help="Number of takes.").tag(sync=True)
    value = Unicode(help="Path of the video that is shown; empty until there is one.").tag(sync=True)

    _channel: Channel | None = None
    _gifs: TemporaryDirectory[str] | None = None
    _takes: list[StripTake]

    def __init__(self, job: JobLike, *, feed: Feed = FEED) -> None:
        self._takes: list[StripTake] = []
        self._keys = 0
        self._traits_due = False  # the feed's thread only
        self._strip_due = False
        self._revision = 0
        self._numbering = threading.Lock()
        self._changing = threading.RLock()  # traits, and the list of takes
        others = [other for other in earlier_takes(job) if not _is_same(other, job)]
        for one in sorted([*others, job], key=_number):
            self._append(one)
        at = next(number for number, take in enumerate(self._takes, 1) if take.job is job)
        super().__init__(take=at, takes=len(self._takes), **_job_traits(job))
        self.on_msg(self._on_message)
        self._channel = feed.channel(self._send_updates)
        for take in self._takes:
            self._follow(take)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        view = super()._repr_mimebundle_(**kwargs)
        job = self._current.job
        return job_bundle(job, view) if isinstance(job, Job) else view

    def close(self) -> None:
        """Remove the views and the subscriptions to the jobs."""
        for take in list(getattr(self, "_takes", ())):  # none if `__init__` failed
            _detach(take)
        if self._channel:
            self._channel.close()
        if self._gifs is not None:
            self._gifs.cleanup()
        super().close()

    @property
    def video(self) -> Video | None:
        """Video of the take that is shown, or None."""
        return self._current.job.video

    @property
    def _current(self) -> StripTake:
        return self._takes[min(max(self.take, 1), len(self._takes)) - 1]

    @traitlets.validate("take")
    def _clamp(self, proposal: Any) -> int:
        return min(max(int(proposal["value"]), 1), len(self._takes))

    @traitlets.observe("take")
    def _on_take(self, _change: Any) -> None:
        if self._channel:  # not during `__init__`
            self._update_traits()

    # -- Takes

    def _append(self, job: JobLike) -> StripTake:
        self._keys += 1
        take = StripTake(self._keys, job)
        self._takes.append(take)
        return take

    def _follow(self, take: StripTake) -> None:
        """Subscribe to the job of a take, if it runs."""
        if take.job.done:
            return

        def on_event(_event: Event, state: JobState) -> None:
            self._notify(take)
            if state.state.finished:
                self._strip_due = True
                _detach(take)

        take.leave = take.job.subscribe(on_event)
        self._notify(take)  # for events before the subscription

    def _show(self, job: JobLike, *, instead: StripTake | None = None) -> StripTake:
        """Show a job, and add it to the strip if it is not there.

        Args:
            job: The job.
            instead: The take that it replaces in the strip.
        """
        with self._changing:
            known = next((take for take in self._takes if _is_same(take.job, job)), None)
            take = known or self._append(job)
            if instead is not None and instead is not take:
                _detach(instead)
                self._takes.remove(take)
                self._takes[self._takes.index(instead)] = take
            if known is None:
                self._follow(take)
            self.send({"kind": "takes", "msg": {"takes": self._strip()}})
            self.takes = len(self._takes)
            self.take = self._takes.index(take) + 1
            self._update_traits()
            return take

    def _strip(self) -> list[dict[str, Any]]:
        return [{**take.describe(), **self._fields(take)} for take in list(self._takes)]

    def _take(self, msg: Mapping[str, Any]) -> StripTake:
        """Return the take that a command names."""
        for take in list(self._takes):
            if take.key == msg.get("key"):
                return take
        raise UsageError("This take is no longer shown here.")

    # -- To the views

    def _notify(self, take: StripTake) -> None:
        take.changed = True
        if self._channel:
            self._channel.notify()

    def _send_updates(self) -> bool:
        """Send one message with what is new: updates first, traits in the last turn. The feed's thread."""
        take = next((take for take in list(self._takes) if take.changed), None)
        if take is not None:
            take.changed = False  # before reading, so that later changes are in the next message
            lines = take.job.lines
            fields = self._fields(take)
            new_lines = _lines(lines, take.lines_sent, len(lines))
            take.lines_sent = len(lines)
            names = {"key": take.key, "job_id": take.job.id}
            self.send({"kind": "update", "msg": {**names, **fields, **new_lines}})
            self._traits_due = self._traits_due or (take is self._current and self._traits_differ())
        elif self._strip_due:
            self._strip_due = False
            self.send({"kind": "takes", "msg": {"takes": self._strip()}})
        elif self._traits_due:
            self._traits_due = False
            self._update_traits()
        return self._traits_due or self._strip_due or any(take.changed for take in list(self._takes))

    def _traits_differ(self) -> bool:
        """Return True if the traits are not up to date. A log line alone does not change them."""
        traits = _job_traits(self._current.job)
        return any(getattr(self, name) != value for name, value in traits.items())

    def _update_traits(self) -> None:
        """Make the traits describe the take that is shown."""
        with self._changing, self.hold_sync():
            self._set_traits(**_job_traits(self._current.job))

    def _show_fault(self, fault: str) -> None:
        """Show an observer's exception in the take that is shown."""
        self._current.fault = fault
        self._notify(self._current)

    def _fields(self, take: StripTake) -> dict[str, Any]:
        """Return the changing fields of a take. The larger `revision` is newer."""
        with self._numbering:
            self._revision += 1
            return {"revision": self._revision, **take.fields()}

    # -- From the views

    def _on_message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        handlers: dict[str, Handler] = {
            "snapshot": self._snapshot,
            "cancel": lambda msg: self._take(msg).job.cancel_soon(),
            "chunk": lambda msg: read_chunk(_video_of(self._take(msg)).path, msg),
            "poster": lambda msg: ({}, [poster_of(_video_of(self._take(msg)))]),
            "quote": self._quote,
            "generate": self._generate,
            "resume": self._resume,
            "gif": lambda msg: poster_thread().submit(lambda: self._gif(msg)),
        }
        answer_command(self.send, content, handlers)

    def _snapshot(self, msg: dict[str, Any]) -> Answer:
        """Return everything about a take. `first_line` is also the number of older lines left out."""
        take = self._take(msg) if "key" in msg else self._current
        lines = take.job.lines
        controls = [control.to_json() for control in take.job.request.endpoint.parameters]
        about = {"key": take.key, "now": time.time(), "controls": controls, "takes": self._strip()}
        return {**about, **self._fields(take), **_lines(lines, 0, len(lines))}, []

    def _quote(self, msg: dict[str, Any]) -> Answer:
        """Return what new takes would do and cost."""
        return takes.quote(self._take(msg).job, _changes(msg), _count(msg)), []

    def _generate(self, msg: dict[str, Any]) -> Answer:
        """Start new jobs from a take, and show the first one. The others run in the strip."""
        take, changes, count = self._take(msg), _changes(msg), _count(msg)
        backend = msg.get("backend") or None
        first = self._show(takes.submit(take.job, changes, backend=backend))
        for number in range(2, count + 1):
            try:
                job = takes.submit(take.job, changes, backend=backend, another=True)
            except KlingError as error:
                started = f"{number - 1} of {count} takes were started."
                raise UsageError(f"{started} {error_text(error)}") from error
            self._add(job)
        return {"key": first.key}, []

    def _add(self, job: JobLike) -> None:
        """Add a job to the strip, and go on showing what is shown."""
        with self._changing:
            self._follow(self._append(job))
            self.send({"kind": "takes", "msg": {"takes": self._strip()}})
            self.takes = len(self._takes)

    def _gif(self, msg: dict[str, Any]) -> Answer:
        """Return a piece of a take's GIF. The first piece makes it; slow."""
        video = _video_of(self._take(msg))
        if self._gifs is None:
            self._gifs = TemporaryDirectory(prefix="kling-gif-")
        path = Path(self._gifs.name) / f"{video.path.stem}.gif"
        if not path.exists() or not msg.get("offset"):
            video.to_gif(path, overwrite=True)
        return read_chunk(path, msg)

    def _resume(self, msg: dict[str, Any]) -> Answer:
        """Resume a job, in the same place of the strip."""
        take = self._take(msg)
        if take.job.maker is None:
            raise UsageError("This job has no session.", remedy="Run %kling resume.")
        return {"key": self._show(take.job.maker.get_job(take.job.id), instead=take).key}, []


def _job_traits(job: JobLike) -> dict[str, Any]:
    """Return the traits that describe a job."""
    request = job.request
    return {
        "job_id": job.id,
        "endpoint": request.endpoint.id,
        "title": request.endpoint.title,
        "prompt": clip(request.prompt, _LINE_LIMIT),
        "backend": job.backend,
        "created_at": job.created_at,
        "shape": shape_of(request),
        "value": str(job.video.path) if job.video else "",
        **saved_fields(job),
    }


def _number(job: JobLike) -> float:
    """Return the number of a job's take. A take without a number comes last."""
    return (job.video.take if job.video else None) or float("inf")


def _is_same(one: JobLike, other: JobLike) -> bool:
    """Return True if two jobs are the same object or have the same file."""
    return one is other or (one.file is not None and one.file == other.file)


def _detach(take: StripTake) -> None:
    if take.leave:
        take.leave()
        take.leave = None


def _video_of(take: StripTake) -> Video:
    if take.job.video is None:
        raise MediaError("This job has no video yet.")
    return take.job.video


def _changes(msg: dict[str, Any]) -> dict[str, Any]:
    changes = msg.get("changes", {})
    if not isinstance(changes, dict):
        raise UsageError(f"changes is {changes!r}. It must be an object with values by parameter.")
    return changes


_MOST_AT_ONCE = 8
"""Takes that one press of Generate starts at most."""


def _count(msg: Mapping[str, Any]) -> int:
    count = msg.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MOST_AT_ONCE:
        raise UsageError(f"count is {count!r}. It must be a whole number from 1 to {_MOST_AT_ONCE}.")
    return count


def _lines(lines: Any, first: int, end: int) -> dict[str, Any]:
    """Return the log lines from `first` to `end`, at most the last 2,000 of them."""
    first = max(first, end - LINES_KEPT)
    sent = [[line.timestamp, clip(line.message, _LINE_LIMIT), line.level] for line in lines[first:end]]
    return {"first_line": first, "lines": sent}


# -- How jobs and videos are shown that are the last expression of a cell.


def widget_bundle(job: Job) -> Bundle:
    """Return a job's live view; empty outside of a kernel."""
    drawn = view_of(JobWidget(job)._repr_mimebundle_())
    return {VIEW: drawn[VIEW], **text_bundle(job)} if VIEW in drawn else {}


class NotebookPresenter(Presenter):
    """Shows a job as a widget with its card."""

    def widget(self, job: Job) -> Any:
        """Return a live view of the job."""
        return JobWidget(job)

    def bundle(self, job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the widget and the card, or the card alone without a viewer; and the output's metadata."""
        return job_bundle(job, widget_bundle(job) if has_viewer() else None)


def video_bundle(result: Video | MediaFile) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the card of a video, audio file or image, and a mark, by which a reader finds its take again."""
    file_card = card_of_file(result)
    bundle = {"text/html": card.html(file_card), "text/plain": repr(result)}
    return bundle, Mark(file_card.job_id).to_metadata()
