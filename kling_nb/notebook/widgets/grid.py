"""The live view of a sweep or a storyboard. Its JavaScript is `js/grid/`.

A command that cannot be carried out raises a `KlingError`; the view gets it as the answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from traitlets import Int, Unicode

from kling_nb.api import default_session
from kling_nb.errors import KlingError, MediaError, UsageError
from kling_nb.events import Ending
from kling_nb.job.job import Job
from kling_nb.job.plan import WORDS, Outcome
from kling_nb.notebook.card.grid import is_local, layout_of, length_of, shot_prompt
from kling_nb.notebook.card.mark import served_url
from kling_nb.notebook.card.posters import poster_of
from kling_nb.notebook.card.sheet import sheet
from kling_nb.notebook.card.words import NOT_SUBMITTED, clip, cost, error_text
from kling_nb.notebook.widgets.base import (
    Answer,
    Handler,
    LiveWidget,
    MadeFiles,
    poster_thread,
    read_chunk,
    whole_number,
)
from kling_nb.notebook.widgets.feed import BEAT, FEED, Feed
from kling_nb.notebook.widgets.strip import ResultViews
from kling_nb.notebook.widgets.takes import button_price, steps_of
from kling_nb.request.request import shape_of
from kling_nb.sweeps.storyboard import Storyboard, document_path
from kling_nb.sweeps.sweep import Sweep, SweepCell
from kling_nb.video import Video

_STATIC = Path(__file__).parents[2] / "static"
_FIRST_WHOLE = 0.5
"""Seconds until pages that were not answered are sent everything. By then, most have asked."""
_COMPARED = 4
"""Cells that are compared at most."""


class Wholes:
    """When to send everything, to pages whose question was not answered.

    ipykernel 6 answers no page while a cell waits, so a new page would know nothing until the cell ends. A
    message is lost if the page still loads its code, so there are several: after half a second, then each
    time twice as long after the one before. Once a page was answered, there are none. In an hour they are 13.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pause = _FIRST_WHOLE
        self._due: float | None = clock() + _FIRST_WHOLE

    def answered(self) -> None:
        """Send everything no more, because a page was answered."""
        self._due = None

    def delay(self) -> float | None:
        """Return the seconds until the next time, or None if there is none."""
        return None if self._due is None else max(0.0, self._due - self._clock())

    def take(self) -> bool:
        """Return True if it is time, and set the next one."""
        if self.delay() != 0.0:
            return False
        self._pause *= 2
        self._due = self._clock() + self._pause
        return True


class GridWidget(LiveWidget):
    """Several videos in a notebook: the state of every cell, and finally all videos, which play in step.

    Traits hold what may be saved. The rest is custom messages, and a view asks for it ("snapshot"). Until one
    was answered, some updates have everything too: see `Wholes`.

    Args:
        source: The sweep or storyboard.
        feed: Sends the updates; by default the kernel's feed.
    """

    _esm = _STATIC / "grid.js"
    _css = _STATIC / "grid.css"

    sweep_id = Unicode(help="Id of the sweep or storyboard.").tag(sync=True)
    count = Int(help="Number of cells.").tag(sync=True)
    summary = Unicode(help="The progress as text.").tag(sync=True)

    def __init__(self, source: GridSource, *, feed: Feed = FEED) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._changed: set[int] = set()
        self._revision = 0
        self._wholes = Wholes()
        self._sheets = MadeFiles("kling-sheet-")
        self._results = ResultViews(self._jobs_of, send=self.send, notify=self._notify, on_start=source.adopt)
        super().__init__(sweep_id=source.id, count=source.count, summary=source.summary)
        self._connect(feed)
        self._leave = source.subscribe(self._on_cell)
        if not source.done:
            self._on_cell(0)  # for events before the subscription

    def close(self) -> None:
        """Remove the views and the subscription. The sweep goes on."""
        if self._channel:
            self._leave()
            self._results.close()
            self._sheets.close()
        super().close()

    def __repr__(self) -> str:
        return f"<GridWidget {self._source.summary}>"

    # -- To the views

    def _on_cell(self, at: int) -> None:
        """Note that a cell has changed. The background thread."""
        with self._lock:
            self._changed.add(at)
        self._notify()

    def _jobs_of(self, name: str) -> list[Job]:
        """Return the jobs of the cells in `name`, separated by spaces: of one that is opened, or of some."""
        cells = [int(cell) if cell.isdecimal() else cell for cell in name.split()[:_COMPARED]]
        return [self._source.job(self._number({"cell": cell})) for cell in cells]

    def _send_updates(self) -> bool:
        """Send one message with all cells that changed, or with everything. The feed's thread."""
        with self._lock:
            changed, self._changed = sorted(self._changed), set()
            whole = self._wholes.take()
            next_whole = self._wholes.delay()
        if next_whole is not None and not self._source.done and self._channel:
            self._channel.notify(after=next_whole)
        running = self._running
        self._beat(running=running)
        try:
            if whole:
                state = self._snapshot()
            elif changed:
                state = self._progress()  # before the cells: what changes from here on is in the next message
                state["cells"] = [self._source.cell(at) for at in changed]
            else:
                if running and not self._results.due:
                    self.send({"kind": "beat"})
                return self._results.send_update()
            self.send({"kind": "update", "msg": state})
        except Exception:
            with self._lock:
                self._wholes = Wholes()  # the next message has everything
            raise
        self._set_traits(summary=state["summary"])
        return True

    @property
    def _running(self) -> bool:
        """True while a job of a cell or of an opened result runs, or a film is made."""
        return (self._source.started and not self._source.done) or self._results.running

    def _show_fault(self, fault: str) -> None:
        self.send({"kind": "fault", "msg": {"error": fault}})

    def _progress(self) -> dict[str, Any]:
        """Return the fields that every message has. The larger `revision` is newer."""
        with self._lock:
            self._revision += 1
            source = self._source
            state = {
                "done": source.done,
                "started": source.started,
                "summary": source.summary,
                "money": source.money,
                "board": source.board(),
            }
            return {"revision": self._revision, **state}

    # -- From the views

    def _handlers(self, buffers: Sequence[Any]) -> Mapping[str, Handler]:
        return {
            "snapshot": lambda msg: self._answer_snapshot(),
            "poster": lambda msg: poster_thread().submit(lambda: ({}, [poster_of(self._video(msg))])),
            "chunk": lambda msg: read_chunk(self._video(msg).path, msg),
            "result": lambda msg: self._answer_result(msg, buffers),
            "rate": lambda msg: poster_thread().submit(lambda: self._rate(msg)),
            "start": lambda msg: self._act(self._source.start),
            "retry": lambda msg: self._act(lambda: self._again(self._source.retry, msg)),
            "resume": lambda msg: self._act(lambda: self._again(self._source.resume, msg)),
            "cancel": lambda msg: self._source.cancel(self._number(msg) if "cell" in msg else None),
            "sheet": lambda msg: poster_thread().submit(lambda: self._sheet(msg)),
            "arrange": lambda msg: self._source.change("arrange", msg),
            "replace": lambda msg: self._source.change("replace", self._with_take(msg)),
            "join": lambda msg: self._source.change("join", msg),
            "save": lambda msg: self._source.change("save", msg),
        }

    def _answer_snapshot(self) -> Answer:
        with self._lock:
            self._wholes.answered()
        return self._snapshot(), []

    def _snapshot(self) -> dict[str, Any]:
        """Return everything that a new view needs."""
        source = self._source
        progress = self._progress()  # before the cells, as in `_send_updates`
        cells = [source.cell(at) for at in range(source.count)]
        return {"now": time.time(), "beat": BEAT, **source.describe(), **progress, "cells": cells}

    def _answer_result(self, msg: Mapping[str, Any], buffers: Sequence[Any]) -> Answer | Future[Any]:
        """Carry out a command of an opened result. A rating is shown on the cells, too."""
        answer = self._results.answer(msg, buffers)

        def on_stored(_: Future[Any]) -> None:
            for cell in str(msg.get("of")).split():
                self._on_cell(int(cell))

        if msg.get("kind") == "decide" and isinstance(answer, Future):
            answer.add_done_callback(on_stored)
        return answer

    def _rate(self, msg: Mapping[str, Any]) -> Answer:
        """Store the rating of a cell's video, and show it where its result is open."""
        at = self._number(msg)
        self._source.video(at).rating = msg.get("rating")
        self._results.refresh(str(at))
        self._on_cell(at)
        return {}, []

    def _again(self, act: Callable[[int], None], msg: Mapping[str, Any]) -> None:
        """Run or resume a cell. What shows its job from now on shows the new one."""
        at = self._number(msg)
        act(at)
        self._results.forget(str(at))

    def _act(self, start: Callable[[], None]) -> Answer:
        """Start what a page asked for, and send what is new."""
        start()
        self._on_cell(0)
        return {}, []

    def _sheet(self, msg: Mapping[str, Any]) -> Answer:
        """Return a piece of a contact sheet. The call for the first piece makes the sheet, which is slow."""
        name = "contact-sheet.png" if msg.get("png") else "contact-sheet.html"
        return self._sheets.piece(name, lambda path: sheet(self._source.items, path, overwrite=True), msg)

    def _with_take(self, msg: Mapping[str, Any]) -> dict[str, Any]:
        """Return the message with the video of the take that it names, in the result of its shot."""
        return {**msg, "video": self._results.video(str(msg.get("cell")), msg.get("key"))}

    def _number(self, msg: Mapping[str, Any]) -> int:
        return whole_number("cell", msg.get("cell"), 0, self._source.count - 1)

    def _video(self, msg: Mapping[str, Any]) -> Video:
        return self._source.video(self._number(msg))


NO_JOB = {
    "state": "READY",
    "message": "",
    "reused": False,
    "queue_position": None,
    "held": False,
    "received": 0,
    "total": None,
    "created_at": None,
    "expected": None,
    "shape": 0.0,
    "job": "",
    "plan": "",
    "steps": [],
    "price": "",
    "cost": "",
}
"""The fields of a cell that is a video without a job. Others replace what they know better."""


class SweepSource:
    """A sweep as a `GridSource`. Threads: any.

    Args:
        sweep: The sweep to show.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self.id = sweep.id
        self.count = len(sweep)
        self._new = {cell.index for cell in sweep._new}
        self._takes: dict[int, Job] = {}

    @property
    def done(self) -> bool:
        """True if no job of the sweep runs or waits."""
        return self._sweep.done

    @property
    def started(self) -> bool:
        """True once the sweep has started."""
        return self._sweep.started

    @property
    def summary(self) -> str:
        """The progress as text."""
        return self._sweep.summary()

    @property
    def money(self) -> str:
        """What it cost so far, and what is to come, as text."""
        return self._sweep._money_words

    @property
    def items(self) -> Sweep:
        """What a contact sheet shows."""
        return self._sweep

    def board(self) -> None:
        """Return None: a sweep has no order of shots."""

    def change(self, _kind: str, _msg: Mapping[str, Any]) -> Future[Answer]:
        """Raise `UsageError`: a sweep has no order of shots."""
        raise UsageError("Only the shots of a storyboard can be arranged and joined.")

    def describe(self) -> dict[str, Any]:
        """Return the fields that do not change."""
        sweep, layout = self._sweep, layout_of(self._sweep)
        return {
            "mode": "together",
            "local": is_local(sweep),
            "title": sweep[0].request.endpoint.title,
            "price": sweep.price,
            "start_price": _brief_price(sweep),
            "rows": [clip(label, 400) for label in layout.rows],
            "columns": [clip(label, 400) for label in layout.columns],
            "row_axis": layout.row_axis,
            "column_axis": layout.column_axis,
            "captions": [clip(caption, 400) for caption in layout.captions],
            "places": layout.places and [list(place) for place in layout.places],
        }

    def cell(self, at: int) -> dict[str, Any]:
        """Return the fields of a cell that change."""
        cell = self._sweep[at]
        job = cell.job or self._made(cell)
        shown: dict[str, Any] = {
            "state": cell.state if job is None else job.state.state.value,
            "message": error_text(cell.error) if cell.error is not None else "",
            "shape": shape_of(cell.request),
            "prompt": clip(cell.request.prompt, 2_000),
            "plan": self._plan_of(cell),
            "steps": steps_of(cell._ending),
            "price": button_price(cell._plan_again),
            "cost": NOT_SUBMITTED if cell.error is not None else "",
        }
        if job is not None:
            received, total = job.state.bytes_transferred
            shown |= {
                "job": job.id,
                "reused": job.reused,
                "queue_position": job.state.queue_position,
                "held": job.state.held,
                "received": received,
                "total": total,
                "created_at": job.created_at,
                "expected": job.expected_seconds,
                "cost": cost(job),
            }
        return {**NO_JOB, "cell": cell.index, **shown, **measures(job.video if job else None)}

    def _made(self, cell: SweepCell) -> Job | None:
        """Return the job of a cell that has not started, if its take exists: it is shown before the start."""
        if cell.plan.found is None or cell.error is not None:
            return None
        if cell.index not in self._takes:
            with suppress(KlingError, OSError):  # a start says what is wrong with the file
                self._takes[cell.index] = self._sweep._payment.launch(cell.plan)
        return self._takes.get(cell.index)

    def _plan_of(self, cell: SweepCell) -> str:
        """Return what a start does with a cell: the price of a new submission, else why there is none."""
        if cell.plan.outcome is not Outcome.SUBMIT:
            return WORDS[cell.plan.outcome].brief
        return cell.plan.price if cell.index in self._new else "the same as another"

    def video(self, at: int) -> Video:
        """Return the video of a cell."""
        job = self._job(at)
        if job is None or job.video is None:
            raise MediaError("This cell has no video.")
        return job.video

    def job(self, at: int) -> Job:
        """Return the job of a cell."""
        job = self._job(at)
        if job is None:
            raise UsageError("This cell has not started.")
        return job

    def _job(self, at: int) -> Job | None:
        return self._sweep[at].job or self._made(self._sweep[at])

    def start(self) -> None:
        """Start the sweep, within the limits and at the price of its plan."""
        self._sweep.start()

    def retry(self, at: int) -> None:
        """Run a cell that ended without a result, or was left out, within the limits of the sweep."""
        self._sweep._retry(self._sweep[at])

    def resume(self, at: int) -> None:
        """Follow the job of a cell again of which fal may have a result."""
        self._sweep._resume(self._sweep[at])

    def adopt(self, job: Job) -> None:
        """Let the cell follow its job, which was resumed in an opened result."""
        for cell in self._sweep:
            if cell._ending is Ending.OPEN and cell.job is not None and cell.job.id == job.id:
                self._sweep._resume(cell, job)

    def cancel(self, at: int | None) -> Future[str]:
        """Cancel the job of a cell, or all jobs with None."""
        return self._sweep._spawn_cancel() if at is None else self.job(at).cancel_soon()

    def subscribe(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call `listener(number)` for every change of a cell."""

        def on_cell(cell: SweepCell) -> None:
            listener(cell.index)

        return self._sweep.subscribe(on_cell)


def _brief_price(sweep: Sweep) -> str:
    """Return what a start of the sweep costs, for its button."""
    if sweep._is_local:
        return "free"
    return "no price on record" if sweep.estimate is None else f"about ${sweep.estimate:.2f}"


def measures(video: Video | None) -> dict[str, Any]:
    """Return what a page needs to play a video; None for each value without a video."""
    return {
        "width": video.width if video else None,
        "height": video.height if video else None,
        "duration": video.duration if video else None,
        "fps": video.fps if video else None,
        "rating": video.rating if video else None,
        "name": video.path.name if video else "",
        "url": served_url(video.path) if video else None,
    }


class StoryboardSource:
    """A storyboard as a `GridSource`. Each video that was ever a shot is a cell. Threads: any.

    Args:
        board: The storyboard to show, which the view changes.
    """

    started = True
    money = ""

    def __init__(self, board: Storyboard) -> None:
        self._board = board
        self.id = board.id
        self._videos = list(board.shots)
        self._order = list(range(len(board)))
        self._film: dict[str, Any] = {}
        self._changing = threading.RLock()
        self._listeners: dict[object, Callable[[int], None]] = {}

    @property
    def count(self) -> int:
        """Number of cells: of all videos that are or were shots, and of films."""
        return len(self._videos)

    @property
    def done(self) -> bool:
        """True if no film is being made."""
        return "progress" not in self._film

    @property
    def items(self) -> Storyboard:
        """What a contact sheet shows."""
        return self._board

    @property
    def summary(self) -> str:
        """Number of shots and total duration as text."""
        return length_of(self._board)

    def describe(self) -> dict[str, Any]:
        """Return the fields that do not change."""
        return {
            "mode": "sequence",
            "local": any(shot.backend == "local" for shot in self._board),
            "title": "Storyboard",
            "price": "",
            "start_price": "",
            "rows": [],
            "columns": [],
            "row_axis": "",
            "column_axis": "",
            "captions": [],
            "places": None,
        }

    def board(self) -> dict[str, Any]:
        """Return the order of the shots with their points, the document, and the film that is made."""
        with self._changing:
            shots = zip(self._order, self._board.trims, strict=True)
            return {
                "shots": [
                    {"cell": cell, "in": trim and trim[0], "out": trim and trim[1]} for cell, trim in shots
                ],
                "document": self._board.path.name if self._board.path else "",
                "film": self._film,
            }

    def cell(self, at: int) -> dict[str, Any]:
        """Return the fields of a shot, as of a sweep's cell."""
        shot = self._videos[at]
        return {**NO_JOB, "cell": at, "prompt": clip(shot_prompt(shot), 2_000), **measures(shot)}

    def video(self, at: int) -> Video:
        """Return the video of a cell."""
        return self._videos[at]

    def job(self, at: int) -> Job:
        """Return the finished job of a shot. A file of the user, or of another person's ledger, has none."""
        shot = self._videos[at]
        if shot.request_id is None:
            raise UsageError("This shot is a file without a job.")
        return default_session().get_job(shot.request_id)

    def start(self) -> None:
        """Do nothing: a storyboard has no jobs."""

    def retry(self, _at: int) -> None:
        """Raise `UsageError`: a storyboard has no jobs."""
        raise UsageError("A shot of a storyboard has no job.")

    resume = retry

    def adopt(self, _job: Job) -> None:
        """Do nothing: its shots have ended."""

    def cancel(self, _at: int | None) -> Future[str]:
        """Stop the film that is being made."""
        self._film = {**self._film, "stop": True}
        stopped: Future[str] = Future()
        stopped.set_result("")
        return stopped

    def change(self, kind: str, msg: Mapping[str, Any]) -> Future[Answer]:
        """Arrange the shots, replace one by another take, save the document, or join the film."""
        work = {"arrange": self._arrange, "replace": self._replace, "save": self._save, "join": self._join}[
            kind
        ]
        # A thread of its own, because a film takes long and reading shots takes a while.
        answer: Future[Answer] = Future()

        def run() -> None:
            try:
                work(msg)
            except BaseException as error:  # noqa: BLE001 -- the view shows it
                answer.set_exception(error)
            else:
                answer.set_result(({}, []))
            self._notify()

        threading.Thread(target=run, name="kling-storyboard", daemon=True).start()
        return answer

    def _arrange(self, msg: Mapping[str, Any]) -> None:
        """Give the board these shots, in this order, with these points."""
        shots = msg.get("shots")
        cells = [one.get("cell") for one in shots] if isinstance(shots, list) else []
        if not all(isinstance(cell, int) and 0 <= cell < self.count for cell in cells):
            raise UsageError("shots must be a list with the cell of each shot.")
        trims = [
            None
            if one.get("in") is None and one.get("out") is None
            else (one.get("in") or 0.0, one.get("out"))
            for one in shots or ()
        ]
        with self._changing:
            self._board.edit([self._videos[cell] for cell in cells], trims)
            self._order = cells

    def _replace(self, msg: Mapping[str, Any]) -> None:
        """Put another take in the place of a shot. It is used from its beginning to its end."""
        with self._changing:
            place, new = self._order.index(msg["cell"]), self._add(msg["video"])
            order = [*self._order[:place], new, *self._order[place + 1 :]]
            trims = [*self._board.trims[:place], None, *self._board.trims[place + 1 :]]
            self._board.edit([self._videos[cell] for cell in order], trims)
            self._order = order

    def _save(self, msg: Mapping[str, Any]) -> None:
        """Store the board in a new document next to the notebook."""
        name = str(msg.get("name") or "").strip()
        if not name or Path(name).name != name:
            raise UsageError("Give a name without a folder, such as film.", parameter="name")
        if document_path(name).exists():
            raise UsageError(
                f"{document_path(name).name} exists already.",
                remedy=f"Choose another name, or open it: Storyboard.load({name!r}).",
                parameter="name",
            )
        with self._changing:
            self._board.save(name)

    def _join(self, msg: Mapping[str, Any]) -> None:
        """Join the film. Its progress is in `board()`."""

        def report(done: float, total: float) -> None:
            if self._film.get("stop"):
                raise UsageError("The film was stopped.")
            self._film = {**self._film, "progress": done / total}
            self._notify()

        with self._changing:
            if "progress" in self._film:
                raise UsageError("A film of this storyboard is being made.")
            self._film = {"progress": 0.0}
        how = {name: msg[name] for name in ("fit", "transition") if name in msg}
        try:
            film = self._board.join(**how, on_progress=report)
            self._film = {"cell": self._add(film), "notes": list(film.notes), "path": str(film.path)}
        finally:
            if "progress" in self._film:
                self._film = {}

    def _add(self, video: Video) -> int:
        """Return the number of the cell of a video."""
        with self._changing:
            known = (at for at, one in enumerate(self._videos) if one.path == video.path)
            if (at := next(known, None)) is None:
                self._videos.append(video)
                at = self.count - 1
            return at

    def _notify(self) -> None:
        for listener in list(self._listeners.values()):
            listener(self.count - 1)  # the newest cell may be new to the views

    def subscribe(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call `listener(number)` for every change."""
        self._listeners[key := object()] = listener

        def leave() -> None:
            self._listeners.pop(key, None)

        return leave


GridSource = SweepSource | StoryboardSource
"""What the grid shows."""


def live_view(shown: Sweep | Storyboard) -> GridWidget:
    """Return a new live view of a sweep or a storyboard."""
    return GridWidget(SweepSource(shown) if isinstance(shown, Sweep) else StoryboardSource(shown))
