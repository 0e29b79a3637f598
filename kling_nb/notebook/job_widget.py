"""The live view of one job and its takes. `js/job/` is its other end; `protocol.js` lists what crosses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import traitlets
from traitlets import Float, Int, Unicode

from kling_nb._job import Job
from kling_nb.errors import MediaError, UsageError
from kling_nb.events import Event, JobState
from kling_nb.notebook import again
from kling_nb.notebook.answering import Answer, reply
from kling_nb.notebook.bundles import job_bundle
from kling_nb.notebook.chunk import read_chunk
from kling_nb.notebook.feed import FEED, Channel, Feed
from kling_nb.notebook.observed import Observed
from kling_nb.notebook.takes import JobLike, Take, clip, found_beside, saved
from kling_nb.video import Video

COMMANDS = ("snapshot", "cancel", "chunk", "poster", "quote", "generate", "resume")
"""What a view may ask, as `{id, kind, msg}`. Each is answered by one "reply"."""
NOTICES = ("reply", "update", "takes")
"""Kinds of message to a view."""
LINES_KEPT = 2_000
"""Log lines sent at once, and kept by a view."""

_LINE_LIMIT = 2_000
_STATIC = Path(__file__).parent.parent / "static"


class JobWidget(Observed):
    """A job in a notebook: its state, log, Cancel, and in the end its video, with the takes beside it.

    Traits hold what may be saved with the notebook; they speak of the take that is shown. Log
    lines, progress, posters and the bytes of a video go by custom messages only, and a view asks
    for what it missed ("snapshot").

    `take` and `value` are for programs: set `take` to show another one, observe `value` to get
    the file of what is shown. Both can be linked (`jslink`) to other widgets.

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
    take = Int(1, help="Which of the takes is shown, from 1. Set it to show another.").tag(sync=True)
    takes = Int(1, help="How many takes there are to show.").tag(sync=True)
    value = Unicode(help="Path of the video that is shown; empty until there is one.").tag(sync=True)

    _channel: Channel | None = None
    _takes: list[Take]

    def __init__(self, job: JobLike, *, feed: Feed = FEED) -> None:
        self._takes: list[Take] = []
        self._keys = 0
        self._traits_due = False  # the feed's thread only
        self._strip_due = False
        self._revision = 0
        self._numbering = threading.Lock()
        self._changing = threading.RLock()  # traits, and the list of takes
        beside = [found for found in found_beside(job) if not _same(found, job)]
        for one in sorted([*beside, job], key=_number):
            self._append(one)
        at = next(number for number, take in enumerate(self._takes, 1) if take.job is job)
        super().__init__(take=at, takes=len(self._takes), **_described(job))
        self.on_msg(self._on_message)
        self._channel = feed.channel(self._tell)
        for take in self._takes:
            self._follow(take)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        view = super()._repr_mimebundle_(**kwargs)
        job = self._shown.job
        return job_bundle(job, view) if isinstance(job, Job) else view

    def close(self) -> None:
        """Take the views away and stop listening to the jobs."""
        for take in list(getattr(self, "_takes", ())):  # none where making it failed
            _detach(take)
        if self._channel:
            self._channel.close()
        super().close()

    @property
    def video(self) -> Video | None:
        """The video of the take that is shown, once there is one."""
        return self._shown.job.video

    @property
    def _shown(self) -> Take:
        return self._takes[min(max(self.take, 1), len(self._takes)) - 1]

    @traitlets.validate("take")
    def _within(self, proposal: Any) -> int:
        return min(max(int(proposal["value"]), 1), len(self._takes))

    @traitlets.observe("take")
    def _on_take(self, _change: Any) -> None:
        if self._channel:  # not while the widget is being made
            self._settle_traits()

    # -- takes -------------------------------------------------------------------

    def _append(self, job: JobLike) -> Take:
        self._keys += 1
        take = Take(self._keys, job)
        self._takes.append(take)
        return take

    def _follow(self, take: Take) -> None:
        """Listen to its job, as long as that runs."""
        if take.job.done:
            return

        def on_event(_event: Event, state: JobState) -> None:
            self._notify(take)
            if state.state.finished:
                self._strip_due = True
                _detach(take)

        take.leave = take.job.subscribe(on_event)
        self._notify(take)  # for what happened before the subscription

    def _show(self, job: JobLike, *, instead: Take | None = None) -> Take:
        """Bring a job into the strip, where it is not yet, and show it."""
        with self._changing:
            known = next((take for take in self._takes if _same(take.job, job)), None)
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
            self._settle_traits()
            return take

    def _strip(self) -> list[dict[str, Any]]:
        return [{**take.about(), **self._fields(take)} for take in list(self._takes)]

    def _take(self, msg: Mapping[str, Any]) -> Take:
        """The take that a command names."""
        for take in list(self._takes):
            if take.key == msg.get("key"):
                return take
        raise UsageError("This take is not shown here any more.")

    # -- to the views ------------------------------------------------------------

    def _notify(self, take: Take) -> None:
        take.news = True
        if self._channel:
            self._channel.notify()

    def _tell(self) -> bool:
        """Say in one message what is new: updates first, what is saved in the last turn."""
        take = next((take for take in list(self._takes) if take.news), None)
        if take is not None:
            take.news = False  # before reading: what comes from here on is told next time
            lines = take.job.lines
            fields = self._fields(take)
            first, take.told = take.told, len(lines)
            self.send(
                {"kind": "update", "msg": {"key": take.key, **fields, **_lines(lines, first, take.told)}}
            )
            self._traits_due = self._traits_due or (take is self._shown and self._traits_behind())
        elif self._strip_due:
            self._strip_due = False
            self.send({"kind": "takes", "msg": {"takes": self._strip()}})
        elif self._traits_due:
            self._traits_due = False
            self._settle_traits()
        return self._traits_due or self._strip_due or any(take.news for take in list(self._takes))

    def _traits_behind(self) -> bool:
        """Whether they say other things than the job; a log line alone should cost no turn of its own."""
        described = _described(self._shown.job)
        return any(getattr(self, name) != value for name, value in described.items())

    def _settle_traits(self) -> None:
        """Let the traits speak of the take that is shown."""
        with self._changing, self.hold_sync():
            self._settle(**_described(self._shown.job))

    def _show_fault(self, fault: str) -> None:
        """Say it with the take that is shown."""
        self._shown.fault = fault
        self._notify(self._shown)

    def _fields(self, take: Take) -> dict[str, Any]:
        """What changes in a take. Of two, the one with the larger revision is newer."""
        with self._numbering:
            self._revision += 1
            return {"revision": self._revision, **take.fields()}

    # -- from the views ----------------------------------------------------------

    def _on_message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Answer a command, whatever it is."""
        command = content if isinstance(content, dict) else {}
        number, kind = command.get("id"), command.get("kind")
        msg = command["msg"] if isinstance(command.get("msg"), dict) else {}
        handlers: dict[Any, Callable[[], Answer | Future[Any]]] = {
            "snapshot": lambda: self._snapshot(msg),
            "cancel": lambda: self._cancel(msg),
            "chunk": lambda: self._chunk(msg),
            "poster": lambda: self._poster(msg),
            "quote": lambda: (again.quote(self._take(msg).job, _changes(msg)), []),
            "generate": lambda: self._generate(msg),
            "resume": lambda: self._resume(msg),
        }
        known = isinstance(kind, str) and kind in handlers
        reply(self.send, number, handlers[kind] if known else lambda: _unknown(kind))

    def _snapshot(self, msg: dict[str, Any]) -> Answer:
        """Everything of a take up to now. `first_line` is also the number of older lines left out."""
        take = self._take(msg) if "key" in msg else self._shown
        lines = take.job.lines
        controls = [control.to_json() for control in take.job.request.endpoint.parameters]
        about = {"key": take.key, "now": time.time(), "controls": controls, "takes": self._strip()}
        return {**about, **self._fields(take), **_lines(lines, 0, len(lines))}, []

    def _cancel(self, msg: dict[str, Any]) -> Future[str]:
        """Ask for the end of the job; answered when fal's answer is there."""
        return self._take(msg).job.cancel_soon()

    def _chunk(self, msg: dict[str, Any]) -> Answer:
        """A piece of the video's file, as one buffer."""
        about, piece = read_chunk(_video_of(self._take(msg)).path, msg)
        return about, [piece]

    def _poster(self, msg: dict[str, Any]) -> Answer:
        """A small JPEG of the video, as one buffer."""
        return {}, [_video_of(self._take(msg)).poster]

    def _generate(self, msg: dict[str, Any]) -> Answer:
        """Start a new job from a take, and show it."""
        backend = msg.get("backend")
        job = again.submit(self._take(msg).job, _changes(msg), backend=backend or None)
        return {"key": self._show(job).key}, []

    def _resume(self, msg: dict[str, Any]) -> Answer:
        """Take a job up again, in the same place."""
        take = self._take(msg)
        if take.job.maker is None:
            raise UsageError("This job belongs to no session.", remedy="%kling resume")
        return {"key": self._show(take.job.maker.get_job(take.job.id), instead=take).key}, []


def _described(job: JobLike) -> dict[str, Any]:
    """The traits that speak of a job."""
    request = job.request
    return {
        "job_id": job.id,
        "endpoint": request.endpoint.id,
        "title": request.endpoint.title,
        "prompt": clip(request.prompt, _LINE_LIMIT),
        "backend": job.backend,
        "created_at": job.created_at,
        "value": str(job.video.path) if job.video else "",
        **saved(job),
    }


def _number(job: JobLike) -> float:
    """Its place among the takes: what has no number yet comes last."""
    return (job.video.take if job.video else None) or float("inf")


def _same(one: JobLike, other: JobLike) -> bool:
    """Whether two jobs are one: the object itself, or the same file."""
    return one is other or (one.file is not None and one.file == other.file)


def _detach(take: Take) -> None:
    if take.leave:
        take.leave()
        take.leave = None


def _video_of(take: Take) -> Video:
    if take.job.video is None:
        raise MediaError("This job has no video yet.")
    return take.job.video


def _changes(msg: dict[str, Any]) -> dict[str, Any]:
    changes = msg.get("changes", {})
    if not isinstance(changes, dict):
        raise UsageError(f"changes is {changes!r}; it must hold values by parameter.")
    return changes


def _lines(lines: Any, first: int, end: int) -> dict[str, Any]:
    """Log lines `first` up to `end`, the last 2,000 of them at most."""
    first = max(first, end - LINES_KEPT)
    sent = [[line.timestamp, clip(line.message, _LINE_LIMIT), line.level] for line in lines[first:end]]
    return {"first_line": first, "lines": sent}


def _unknown(kind: Any) -> Answer:
    raise UsageError(f"Unknown command {kind!r}; known are {', '.join(COMMANDS)}.")
