"""The takes of one result view, and its messages.

A result view is a job widget, or a result that is open in the panel or in a grid. A command that
cannot be carried out raises a `KlingError`; the view gets it as the answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from kling_nb.errors import KlingError, MediaError, UsageError
from kling_nb.events import Event, JobState
from kling_nb.job.job import Job
from kling_nb.notebook.card.job import is_same, with_earlier
from kling_nb.notebook.card.posters import poster_of
from kling_nb.notebook.card.words import clip, error_text
from kling_nb.notebook.widgets import takes
from kling_nb.notebook.widgets.base import (
    Answer,
    Handler,
    MadeFiles,
    poster_thread,
    read_chunk,
    run_command,
    whole_number,
)
from kling_nb.notebook.widgets.compose import Attachments, with_files
from kling_nb.notebook.widgets.feed import BEAT
from kling_nb.notebook.widgets.takes import StripTake
from kling_nb.video import MediaFile, Video
from kling_nb.video.decisions import Decided, read_decisions

LINES_KEPT = 2_000
"""Log lines that are sent at once, and that a view keeps."""

_LINE_LIMIT = 2_000
_MOST_AT_ONCE = 8
"""The most takes that one press of Generate starts."""


class ResultViews:
    """The results that are open in a view of another kind: the panel, a grid.

    A view sends the command "result", `{"of": name, "kind": …, "msg": …}`; the inner command is that of a job
    widget. Messages to the views are `{"kind": "result", "msg": {"of": name, "kind": …, "msg": …}}`.

    Threads: any.

    Args:
        jobs: Returns the jobs of a name. The first one is shown.
        send: Sends a message to the views.
        notify: Asks for a call of `send_update`.
        on_start: Called with each job that is started or resumed in a result.
    """

    def __init__(
        self,
        jobs: Callable[[str], Sequence[Job]],
        *,
        send: Callable[[dict[str, Any]], None],
        notify: Callable[[], None],
        on_start: Callable[[Job], None],
    ) -> None:
        self._jobs, self._send, self._notify, self._on_start = jobs, send, notify, on_start
        self._strips: dict[str, TakeStrip] = {}
        self._lock = threading.Lock()

    def answer(self, msg: Mapping[str, Any], buffers: Sequence[Any] = ()) -> Answer | Future[Any]:
        """Carry out an inner command and return its answer. `buffers` are those of its message."""
        return run_command(msg, self._strip(str(msg.get("of"))).handlers(buffers))

    def video(self, name: str, key: Any) -> Video:
        """Return the video of a take in a result."""
        return self._strip(name).video(key)

    def forget(self, part: str) -> None:
        """Close the results that have this part in their name, because its job was replaced."""
        with self._lock:
            old = [self._strips.pop(name) for name in list(self._strips) if part in name.split()]
        for strip in old:
            strip.close()

    def refresh(self, part: str) -> None:
        """Send the takes again of the results that have this part in their name."""
        with self._lock:
            strips = [strip for name, strip in self._strips.items() if part in name.split()]
        for strip in strips:
            strip.refresh()

    def _strip(self, name: str) -> TakeStrip:
        with self._lock:
            if (known := self._strips.get(name)) is not None:
                return known

            def send(message: dict[str, Any]) -> None:
                self._send({"kind": "result", "msg": {"of": name, **message}})

            def show() -> None:
                send({"kind": "show", "msg": {"take": strip.shown}})

            strip = TakeStrip(
                self._jobs(name), send=send, notify=self._notify, on_show=show, on_start=self._on_start
            )
            self._strips[name] = strip
            for old in list(self._strips)[:-_OPEN]:
                self._strips.pop(old).close()
        strip.start()
        return strip

    @property
    def due(self) -> bool:
        """True if there is something to send."""
        return bool(self._due())

    @property
    def running(self) -> bool:
        """True while a job of a result runs."""
        with self._lock:
            return any(strip.running for strip in self._strips.values())

    def send_update(self) -> bool:
        """Send one message with what is new; True if there is more. The feed's thread."""
        if due := self._due():
            due[0].send_update()
        return self.due

    def _due(self) -> list[TakeStrip]:
        with self._lock:
            return [strip for strip in self._strips.values() if strip.due]

    def close(self) -> None:
        """End all subscriptions. The jobs go on."""
        with self._lock:
            strips, self._strips = list(self._strips.values()), {}
        for strip in strips:
            strip.close()


_OPEN = 16
"""Results that are kept open."""


class TakeStrip:
    """The takes of one result view. It sends updates to the views and carries out their commands.

    Threads: any. Updates are sent by `send_update`, which the feed calls.

    Args:
        jobs: The job to show first, and others to compare it with. Without others, the earlier takes of its
            request are listed with it.
        send: Sends a message to the views.
        notify: Asks for a call of `send_update`. It must return at once.
        on_show: Called when another take is to be shown, or their number has changed.
        on_start: Called with each job that is started or resumed here.

    Attributes:
        takes: The takes in their order.
        shown: Which of them is shown, from 1.
        changing: A lock for the list of takes, and for what its owner derives from it.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        send: Callable[[dict[str, Any]], None],
        notify: Callable[[], None],
        on_show: Callable[[], None],
        on_start: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.takes: list[StripTake] = []
        self.shown = 1
        self.changing = threading.RLock()
        self._send, self._ask_turn, self._on_show, self._on_start = send, notify, on_show, on_start
        self._keys = 0
        self._list_due = False
        self._revision = 0
        self._numbering = threading.Lock()
        self._gifs = MadeFiles("kling-gif-")
        self._files = Attachments()
        first, *others = jobs
        self._cell = None if others else first.cell
        for one in jobs if others else with_earlier(first):
            self._append(one)
        self._chosen = self._find_chosen()
        self.shown = next(number for number, take in enumerate(self.takes, 1) if take.job is first)

    def start(self) -> None:
        """Subscribe to the jobs that run."""
        for take in self.takes:
            self._follow(take)

    def close(self) -> None:
        """End the subscriptions. The jobs go on."""
        for take in list(self.takes):
            _detach(take)
        self._gifs.close()

    @property
    def current(self) -> StripTake:
        """The take that is shown."""
        return self.takes[min(max(self.shown, 1), len(self.takes)) - 1]

    def video(self, key: Any) -> Video:
        """Return the video of a take."""
        return _video_of(self._take({"key": key}))

    def refresh(self) -> None:
        """Send all takes again."""
        for take in list(self.takes):
            self._notify(take)

    def show_fault(self, fault: str) -> None:
        """Show an observer's exception in the take that is shown."""
        self.current.fault = fault
        self._notify(self.current)

    # -- Takes

    def _find_chosen(self) -> Job | None:
        """Return the job of the take that is chosen for the cell, or None."""
        if self._cell is None:
            return None
        found = [
            (choice.at, number, take.job)
            for number, take in enumerate(self.takes)
            if (sidecar := getattr(take.job.result, "sidecar", None)) is not None
            for choice in read_decisions(sidecar).choices
            if (choice.cell, choice.name) == (self._cell.fingerprint, self._cell.name)
        ]
        return max(found)[2] if found else None

    def _append(self, job: Job) -> StripTake:
        self._keys += 1
        take = StripTake(self._keys, job)
        self.takes.append(take)
        return take

    def _follow(self, take: StripTake) -> None:
        """Subscribe to the job of a take, if it runs."""
        if take.job.done:
            return

        def on_event(_event: Event, state: JobState) -> None:
            self._notify(take)
            if state.state.finished:
                self._list_due = True
                _detach(take)

        take.leave = take.job.subscribe(on_event)
        self._notify(take)  # for events before the subscription

    def _show(self, job: Job, *, instead: StripTake | None = None) -> StripTake:
        """Show a job, and add it to the strip if it is not there, or `instead` of another take."""
        with self.changing:
            known = next((take for take in self.takes if is_same(take.job, job)), None)
            take = known or self._append(job)
            if instead is not None and instead is not take:
                _detach(instead)
                self.takes.remove(take)
                self.takes[self.takes.index(instead)] = take
            if known is None:
                self._follow(take)
            self._send({"kind": "takes", "msg": {"takes": self._list()}})
            self.shown = self.takes.index(take) + 1
            self._on_show()
            return take

    def _add(self, job: Job) -> None:
        """Add a job to the strip without showing it."""
        with self.changing:
            self._follow(self._append(job))
            self._send({"kind": "takes", "msg": {"takes": self._list()}})
            self._on_show()

    def _list(self) -> list[dict[str, Any]]:
        names = {
            "variable": self._cell.name if self._cell else "",
            "scope": self._cell.scope if self._cell else "",
        }
        return [
            {
                **take.describe(self._files.input_of(take.job.request)),
                **names,
                **self._fields(take),
            }
            for take in list(self.takes)
        ]

    def _take(self, msg: Mapping[str, Any]) -> StripTake:
        """Return the take that a command names."""
        for take in list(self.takes):
            if take.key == msg.get("key"):
                return take
        raise UsageError("This take is no longer shown here.")

    # -- To the views

    def _notify(self, take: StripTake) -> None:
        take.changed = True
        self._ask_turn()

    @property
    def running(self) -> bool:
        """True while a job of a take runs."""
        return any(not take.job.done for take in list(self.takes))

    @property
    def due(self) -> bool:
        """True if there is something to send."""
        return self._list_due or any(take.changed for take in list(self.takes))

    def send_update(self) -> StripTake | None:
        """Send one message with what is new. Return the take whose update it was, or None. Feed's thread."""
        take = next((take for take in list(self.takes) if take.changed), None)
        try:
            if take is not None:
                take.changed = False  # before reading, so that later changes are in the next message
                lines = take.job.lines
                fields, count = self._fields(take), len(lines)
                names = {"key": take.key, "job_id": take.job.id}
                new_lines = _lines(lines, take.lines_sent, count)
                self._send({"kind": "update", "msg": {**names, **fields, **new_lines}})
                take.lines_sent = count
            elif self._list_due:
                self._list_due = False
                self._send({"kind": "takes", "msg": {"takes": self._list()}})
        except Exception:
            self._list_due = True  # the list has the state of every take
            raise
        return take

    def _fields(self, take: StripTake) -> dict[str, Any]:
        """Return the changing fields of a take. The larger `revision` is newer."""
        with self._numbering:
            self._revision += 1
            chosen = self._chosen is not None and is_same(self._chosen, take.job)
            return {"revision": self._revision, "chosen": chosen, **take.fields()}

    # -- From the views

    def handlers(self, buffers: Sequence[Any] = ()) -> dict[str, Handler]:
        """Return the handler of each kind of command. `buffers` are those of its message."""
        return {
            "snapshot": self._snapshot,
            "cancel": lambda msg: self._take(msg).job.cancel_soon(),
            "chunk": lambda msg: read_chunk(_file_of(self._take(msg)), msg),
            "poster": lambda msg: ({}, [poster_of(_video_of(self._take(msg)))]),
            "quote": self._quote,
            "generate": self._generate,
            "use": self._use,
            "finals": lambda msg: ({"finals": takes.finals(self._take(msg).job)}, []),
            "resume": self._resume,
            "attach": lambda msg: (self._files.attach(msg, buffers), []),
            "preview": lambda msg: ({}, [self._files.get(msg.get("file")).preview()]),
            "gif": lambda msg: poster_thread().submit(lambda: self._gif(msg)),
            "decide": lambda msg: poster_thread().submit(lambda: self._decide(msg)),
            "frame": lambda msg: poster_thread().submit(lambda: self._frame(msg)),
            "continue": lambda msg: poster_thread().submit(lambda: self._continue(msg)),
        }

    def _snapshot(self, msg: dict[str, Any]) -> Answer:
        """Return everything about a take. `first_line` is also the number of older lines left out."""
        take = self._take(msg) if "key" in msg else self.current
        lines = take.job.lines
        controls = [control.to_json() for control in take.job.request.endpoint.parameters]
        about = {
            "key": take.key,
            "now": time.time(),
            "beat": BEAT,
            "controls": controls,
            "takes": self._list(),
        }
        return {**about, **self._fields(take), **_lines(lines, 0, len(lines))}, []

    def _changes(self, msg: Mapping[str, Any]) -> dict[str, Any]:
        changes = msg.get("changes", {})
        if not isinstance(changes, dict):
            raise UsageError(f"changes is {changes!r}. It must be an object with values by parameter.")
        return {name: with_files(value, self._files) for name, value in changes.items()}

    def _quote(self, msg: dict[str, Any]) -> Answer:
        """Return what a new take would do and cost."""
        return takes.quote(self._take(msg).job, self._changes(msg)), []

    def _generate(self, msg: dict[str, Any]) -> Answer:
        """Start new jobs from a take, and show the first one. The others run in the strip."""
        take, changes = self._take(msg), self._changes(msg)
        count = whole_number("count", msg.get("count", 1), 1, _MOST_AT_ONCE)
        backend, endpoint = msg.get("backend") or None, msg.get("endpoint") or None
        another, quoted = msg.get("new") is True, msg.get("outcome")
        made = takes.submit(
            take.job, changes, backend=backend, endpoint=endpoint, another=another, quoted=quoted
        )
        self._on_start(made)
        first = self._show(made)
        for number in range(2, count + 1):
            try:
                job = takes.submit(take.job, changes, backend=backend, another=True)
            except KlingError as error:
                started = f"{number - 1} of {count} takes were started."
                raise UsageError(f"{started} {error_text(error)}") from error
            self._on_start(job)
            self._add(job)
        return {"key": first.key}, []

    def _use(self, msg: dict[str, Any]) -> Answer:
        """Choose a take for the cell, so that its NAME stands for it."""
        if self._cell is None:
            raise UsageError("Only a %%kling NAME cell can use a take.")
        job: Any = self._take(msg).job
        words = self._cell.choose(job)
        self._chosen = job
        self._send({"kind": "takes", "msg": {"takes": self._list()}})
        return {"words": words}, []

    def _gif(self, msg: dict[str, Any]) -> Answer:
        """Return a piece of a take's GIF. The call for the first piece makes the GIF, which is slow."""
        video = _video_of(self._take(msg))
        return self._gifs.piece(
            f"{video.path.stem}.gif", lambda path: video.to_gif(path, overwrite=True), msg
        )

    def _decide(self, msg: dict[str, Any]) -> Answer:
        """Store the rating or the note of a take in its sidecar. It waits while another process does so."""
        take = self._take(msg)
        result = take.job.result
        if not isinstance(result, Decided):
            raise MediaError("This job has no file yet.")
        if "rating" in msg:
            result.rating = msg["rating"]
        if "note" in msg:
            result.note = msg["note"]
        self._notify(take)
        return {}, []

    def _frame(self, msg: dict[str, Any]) -> Answer:
        """Return a frame of a take, or the image that it is, and a name for its file."""
        take = self._take(msg) if "key" in msg else self.current
        result = take.job.result
        if isinstance(result, MediaFile) and result.kind == "image":
            return {"name": result.path.name, "type": result.content_type}, [result.read()]
        name, png = takes.frame(_video_of(take), msg.get("frame"))
        return {"name": name, "type": "image/png"}, [png]

    def _continue(self, msg: dict[str, Any]) -> Answer:
        """Return the request of a shot that begins with a frame of a take. `cell`: as a cell, with a file."""
        job = self._take(msg).job
        name, png = takes.frame(_video_of(self._take(msg)), msg.get("frame"))
        if msg.get("cell") is True:
            return {"cell": takes.next_cell(job, name, png)}, []
        chosen, start, values = takes.next_request(job)
        about = {"name": name, "type": "image/png"}
        return {**about, "endpoint": chosen.id, "start": start, "values": values}, [png]

    def _resume(self, msg: dict[str, Any]) -> Answer:
        """Resume a job, in the same place of the strip."""
        take = self._take(msg)
        if take.job.maker is None:
            raise UsageError("This job has no session.", remedy="Run %kling resume.")
        job = take.job.maker.get_job(take.job.id)
        self._on_start(job)
        return {"key": self._show(job, instead=take).key}, []


def _detach(take: StripTake) -> None:
    if take.leave:
        take.leave()
        take.leave = None


def _video_of(take: StripTake) -> Video:
    if take.job.video is None:
        raise MediaError("This job has no video yet.")
    return take.job.video


def _file_of(take: StripTake) -> Path:
    job = take.job
    path = job.video.path if job.video else job.file
    if path is None:
        raise MediaError(error_text(job.error) if job.error else "This job has no file yet.")
    return path


def _lines(lines: Any, first: int, end: int) -> dict[str, Any]:
    """Return the log lines from `first` to `end`, at most the last 2,000 of them."""
    first = max(first, end - LINES_KEPT)
    sent = [[line.timestamp, clip(line.message, _LINE_LIMIT), line.level] for line in lines[first:end]]
    return {"first_line": first, "lines": sent}
