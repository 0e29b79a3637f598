"""The panel: compose a request, watch many jobs, browse all takes. Its JavaScript is `js/panel/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from traitlets import Bool, Instance

from kling_nb.api import default_session
from kling_nb.errors import UsageError
from kling_nb.job.job import Job
from kling_nb.notebook.card.job import panel_bundle
from kling_nb.notebook.widgets import library
from kling_nb.notebook.widgets.base import Answer, Handler, LiveWidget, poster_thread
from kling_nb.notebook.widgets.compose import Desk, Draft, is_shared
from kling_nb.notebook.widgets.feed import FEED, Feed
from kling_nb.notebook.widgets.grid import GridWidget, live_view
from kling_nb.notebook.widgets.strip import ResultViews
from kling_nb.request.request import VideoRequest
from kling_nb.session import Session
from kling_nb.sweeps.storyboard import Storyboard
from kling_nb.video import Video

_STATIC = Path(__file__).parents[2] / "static"


class Panel(LiveWidget):
    """A panel to compose requests, run many jobs at once, and browse everything that was made.

    The panel is displayed if it is the last expression of a cell. `value` is the latest video made in the
    panel. Observe it with `panel.observe(lambda change: print(change.new), "value")`. Observers are called on
    a thread of kling_nb and must not wait for jobs.

    The notebook saves only the switch for desktop notices. A page asks the kernel for everything else
    ("snapshot"), also after a reload.

    Threads: create it on the cell's thread. `submit` may be called from any thread.

    Args:
        session: Runs the jobs; by default the session of the plain functions.
        endpoint: Id or short name of the first endpoint.
        feed: Sends the updates; by default the kernel's feed.

    Attributes:
        value: The latest `Video` made in the panel, or None.
        request: The request in the compose area, as a `VideoRequest`; None while it is not complete.
        notices: True if pages show a desktop notice when a job ends.
        storyboard: The latest `Storyboard` made in the panel, or None.
    """

    _esm = _STATIC / "panel.js"
    _css = _STATIC / "panel.css"

    value = Instance(Video, allow_none=True, help="The latest video made in the panel.")
    request = Instance(VideoRequest, allow_none=True, help="The composed request, once it is complete.")
    notices = Bool(help="True if a page shows a desktop notice when a job ends.").tag(sync=True)

    _board: GridWidget | None = None

    def __init__(
        self, session: Session | None = None, endpoint: str | None = None, *, feed: Feed = FEED
    ) -> None:
        if session is not None and not isinstance(session, Session):
            raise UsageError(
                f"session must be a Session, not {session!r}.",
                remedy='For an endpoint, write Panel(endpoint="v3-pro").',
            )
        self._revision = 0  # of updates; the feed's thread only
        self.storyboard: Storyboard | None = None
        self._desk = Desk(
            session or default_session(), endpoint, notify=self._notify, on_draft=self._send_draft
        )
        self._results = ResultViews(
            self._desk.jobs_of, send=self.send, notify=self._notify, on_start=self._desk.queue.add
        )
        super().__init__()
        self._connect(feed)

    def submit(self, **changes: Any) -> Job:
        """Submit the request of the compose area with these changes, and show the job in the panel.

        Args:
            **changes: Arguments of `kling_nb.submit`: `prompt`, parameters of the endpoint, `endpoint`,
                `image`, `take`, `new` and so on. With another endpoint, values that it does not have are
                left out.

        Raises:
            KlingError: As `kling_nb.submit`. Nothing was sent.
        """
        draft = self._desk.draft
        if (name := changes.pop("endpoint", None)) is not None:
            other = self._desk.session.endpoint(name)
            known = {control.name for control in other.parameters}
            draft = Draft(other, {key: value for key, value in draft.values.items() if key in known})
        kept = {key: value for key, value in draft.values.items() if key not in changes}
        return self._desk.start(Draft(draft.endpoint, kept), changes)

    def close(self) -> None:
        """Remove the views and the subscriptions. The jobs go on."""
        if self._channel:  # None if `__init__` failed
            self._desk.queue.close()
            self._results.close()
        if self._board is not None:
            self._board.close()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return panel_bundle(self.view_data())

    def __repr__(self) -> str:
        return f"<Panel {self._desk.draft.endpoint.short_name}>"

    # -- To the views

    def _send_updates(self) -> bool:
        """Send one message with what is new in all jobs. The feed's thread."""
        running = bool(self._desk.queue.running)
        self._beat(running=running)
        if not self._desk.queue.due:
            if running and not self._results.due:
                self.send({"kind": "beat"})
            return self._results.send_update()
        for job in self._desk.queue.send_changes(self._send_rows):
            if job.video is not None:
                self._set_traits(value=job.video)
        return True

    def _send_rows(self, rows: list[dict[str, Any]]) -> None:
        self._revision += 1
        self.send({"kind": "update", "msg": {"revision": self._revision, "jobs": rows}})

    def _send_draft(self, draft: Draft, request: VideoRequest | None) -> None:
        """Send the draft of one page to the other pages."""
        self._set_traits(request=request)
        self.send({"kind": "draft", "msg": draft.to_json(self._desk.files)})

    def _show_fault(self, fault: str) -> None:
        self.send({"kind": "fault", "msg": {"error": fault}})

    # -- From the views

    def _handlers(self, buffers: Sequence[Any]) -> Mapping[str, Handler]:
        desk = self._desk
        return {
            "snapshot": lambda msg: (desk.snapshot(), []),
            "controls": lambda msg: (desk.controls(msg.get("endpoint")), []),
            "prices": lambda msg: ({"prices": desk.prices(msg)}, []),
            "compose": lambda msg: (desk.compose(msg), []),
            "attach": lambda msg: (desk.files.attach(msg, buffers), []),
            "preview": lambda msg: _image_answer(desk.files.get(msg.get("file")).preview()),
            "submit": lambda msg: ({"job": library.job_row(desk.submit(msg))}, []),
            "resume": lambda msg: ({"job": library.job_row(desk.resume(msg.get("job")))}, []),
            "cancel": lambda msg: _cancel(desk, msg.get("job")),
            "history": lambda msg: _apart(lambda: desk.history(msg), far=msg.get("kept") == "studio"),
            "open": lambda msg: _apart(lambda: desk.open(msg.get("job")), far=is_shared(msg.get("job"))),
            "reuse": lambda msg: (desk.reuse(msg.get("job")), []),
            "code": lambda msg: ({"text": desk.code(msg.get("job"))}, []),
            "poster": lambda msg: poster_thread().submit(lambda: _image_answer(desk.poster(msg.get("job")))),
            "result": lambda msg: self._results.answer(msg, buffers),
            "storyboard": self._open_storyboard,
        }

    def _open_storyboard(self, msg: Mapping[str, Any]) -> Answer:
        """Make a storyboard of jobs, and return the model of its view, which the page shows in the panel."""
        names = msg.get("jobs")
        if not isinstance(names, list):
            raise UsageError("jobs must be a list of job ids.")
        self.storyboard = Storyboard([self._desk.job(name) for name in names])
        if self._board is not None:
            self._board.close()
        self._board = live_view(self.storyboard)
        return {"model": self._board.model_id}, []


def _cancel(desk: Desk, job_id: Any) -> Future[str]:
    """Cancel a job of the queue; the future has the outcome."""
    job = desk.queue.get(str(job_id))
    if job is None:
        raise UsageError("This job is not in the panel's queue.", remedy=f"Run %kling cancel {job_id}.")
    return job.cancel_soon()


def _image_answer(jpeg: bytes) -> Answer:
    return {"found": bool(jpeg)}, [jpeg] if jpeg else []


def _apart(work: Callable[[], dict[str, Any]], *, far: bool) -> Answer | Future[Answer]:
    """Do work at once, or on the thread of the posters if it goes over the network."""
    return poster_thread().submit(lambda: (work(), [])) if far else (work(), [])
