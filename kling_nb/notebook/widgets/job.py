"""The live view of one job and its takes. Its JavaScript is `js/job/`; `protocol.js` lists the messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import traitlets
from traitlets import Float, Int, Unicode

from kling_nb.errors import UsageError
from kling_nb.job.job import Job, Presenter
from kling_nb.notebook.card.job import job_bundle
from kling_nb.notebook.card.words import clip
from kling_nb.notebook.ipykernel_quirks import has_viewer
from kling_nb.notebook.widgets.base import Handler, LiveWidget
from kling_nb.notebook.widgets.feed import FEED, Feed
from kling_nb.notebook.widgets.strip import TakeStrip
from kling_nb.notebook.widgets.takes import saved_fields
from kling_nb.request.request import shape_of
from kling_nb.video import Video

_PROMPT_LIMIT = 2_000
_STATIC = Path(__file__).parents[2] / "static"


class JobWidget(LiveWidget):
    """A job in a notebook: its state, log, Cancel, its video at the end, and the other takes of its request.

    Traits hold what may be saved with the notebook. They describe the take that is shown. Log lines,
    progress, posters and the bytes of a video are custom messages. A view asks for what it missed
    ("snapshot").

    `take` and `value` are for programs: set `take` to show another take, observe `value` to get the path of
    the video that is shown. Both can be linked (`jslink`) to other widgets.

    The answer to a cancel is sent from the background thread.

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

    _strip: TakeStrip | None = None

    def __init__(self, job: Job, *, feed: Feed = FEED) -> None:
        self._traits_due = False  # the feed's thread only
        strip = TakeStrip([job], send=self.send, notify=self._notify, on_show=self._show)
        super().__init__(take=strip.shown, takes=len(strip.takes), **_job_traits(job))
        self._strip = strip
        self._connect(feed)
        strip.start()
        self._beat(running=strip.running)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return job_bundle(self._takes.current.job, self.view_data())

    def close(self) -> None:
        """Remove the views and the subscriptions to the jobs."""
        if self._strip is not None:  # None if `__init__` failed
            self._strip.close()
        super().close()

    @property
    def video(self) -> Video | None:
        """Video of the take that is shown, or None."""
        return self._takes.current.job.video

    @property
    def _takes(self) -> TakeStrip:
        if self._strip is None:
            raise UsageError("The widget is not ready yet.")
        return self._strip

    @traitlets.validate("take")
    def _clamp(self, proposal: Any) -> int:
        most = len(self._strip.takes) if self._strip else int(proposal["value"])
        return min(max(int(proposal["value"]), 1), most)

    @traitlets.observe("take")
    def _on_take(self, _change: Any) -> None:
        if self._strip is not None:  # not during `__init__`
            self._strip.shown = self.take
            self._update_traits()

    def _show(self) -> None:
        """Make the traits say which take the strip shows."""
        strip = self._takes
        self.takes = len(strip.takes)
        self.take = strip.shown
        self._update_traits()

    def _send_updates(self) -> bool:
        """Send one message with what is new: updates first, traits in the last turn. The feed's thread."""
        strip = self._takes
        if strip.due:
            take = strip.send_update()
            self._traits_due = self._traits_due or (take in {None, strip.current} and self._traits_differ())
        elif self._traits_due:
            self._update_traits()
            self._traits_due = False
        elif strip.running:
            self.send({"kind": "beat"})
        self._beat(running=strip.running)
        return self._traits_due or strip.due

    def _traits_differ(self) -> bool:
        """Return True if the traits are not up to date. A log line alone does not change them."""
        traits = _job_traits(self._takes.current.job)
        return any(getattr(self, name) != value for name, value in traits.items())

    def _update_traits(self) -> None:
        """Make the traits describe the take that is shown."""
        strip = self._takes
        with strip.changing, self.hold_sync():
            self._set_traits(**_job_traits(strip.current.job))

    def _show_fault(self, fault: str) -> None:
        """Show an observer's exception in the take that is shown."""
        self._takes.show_fault(fault)

    def _handlers(self, buffers: Sequence[Any]) -> Mapping[str, Handler]:
        return self._takes.handlers(buffers)


def _job_traits(job: Job) -> dict[str, Any]:
    """Return the traits that describe a job."""
    request = job.request
    return {
        "job_id": job.id,
        "endpoint": request.endpoint.id,
        "title": request.endpoint.title,
        "prompt": clip(request.prompt, _PROMPT_LIMIT),
        "backend": job.backend,
        "created_at": job.created_at,
        "shape": shape_of(request),
        "value": str(job.video.path) if job.video else "",
        **saved_fields(job),
    }


# -- How jobs and videos are shown that are the last expression of a cell.


class NotebookPresenter(Presenter):
    """Shows a job as a widget with its card."""

    def widget(self, job: Job) -> Any:
        """Return a live view of the job."""
        return JobWidget(job)

    def bundle(self, job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the widget and the card, or the card alone without a viewer; and the output's metadata."""
        return job_bundle(job, JobWidget(job).view_data() if has_viewer() else {})
