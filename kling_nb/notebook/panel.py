"""The panel: compose, watch many jobs, browse everything made. `js/panel/` is its other end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from traitlets import Bool, Instance

from kling_nb._default import default_session
from kling_nb._job import Job
from kling_nb._session import Session
from kling_nb.errors import UsageError
from kling_nb.notebook import panel_history, panel_rows
from kling_nb.notebook.answering import Answer, reply
from kling_nb.notebook.bundles import panel_bundle
from kling_nb.notebook.feed import FEED, Channel, Feed
from kling_nb.notebook.observed import Observed
from kling_nb.notebook.panel_desk import Desk
from kling_nb.notebook.panel_draft import Draft
from kling_nb.request import VideoRequest
from kling_nb.video import Video

NOTICES = ("reply", "update", "draft", "fault")
"""Kinds of message to a view."""
_STATIC = Path(__file__).parent.parent / "static"


class Panel(Observed):
    """A place to work in: compose, run many jobs at once, and browse all that was ever made.

    It shows itself when it ends a cell. `value` is the latest video made here; `observe` it:
    `panel.observe(lambda change: print(change.new), "value")`. Observers are called on a thread of
    kling_nb's and must not wait for jobs.

    Nothing of it is saved with the notebook but the switch for desktop notices: a page asks the
    kernel for the rest ("snapshot"), also after a reload.

    Threads: make it on the cell's thread; `submit` may be called from any. Commands may arrive on
    any thread, updates leave from the feed's.

    Args:
        session: Makes the jobs; that of the plain functions by default.
        endpoint: Id or short name of the endpoint to begin with.
        feed: Paces the updates; the kernel's own by default.

    Attributes:
        value: The latest `Video` made here, or None.
        request: What the compose area asks for, as a `VideoRequest`; None while it is not complete.
        notices: Whether pages show a desktop notice when a job ends.
    """

    _esm = _STATIC / "panel.js"
    _css = _STATIC / "panel.css"

    value = Instance(Video, allow_none=True, help="The latest video made here.")
    request = Instance(VideoRequest, allow_none=True, help="What is composed, once it is complete.")
    notices = Bool(help="Whether a page shows a desktop notice when a job ends.").tag(sync=True)

    _channel: Channel | None = None

    def __init__(
        self, session: Session | None = None, endpoint: str | None = None, *, feed: Feed = FEED
    ) -> None:
        self._revision = 0  # of updates; the feed's thread only
        self._desk = Desk(session or default_session(), endpoint, notify=self._notify, drafted=self._drafted)
        super().__init__()
        self.on_msg(self._on_message)
        self._channel = feed.channel(self._tell)

    def submit(self, **changes: Any) -> Job:
        """Start what the compose area holds, with these changes, and follow it in the panel.

        Args:
            **changes: As for `kling_nb.submit`: `prompt`, parameters of the endpoint, `endpoint`, `image`,
                `take`, `new` and so on. With another endpoint, values that it does not know are left out.

        Raises:
            KlingError: As `kling_nb.submit`; nothing was submitted then.
        """
        draft = self._desk.draft
        if (name := changes.pop("endpoint", None)) is not None:
            other = self._desk.session.endpoint(name)
            known = {control.name for control in other.parameters}
            draft = Draft(other, {key: value for key, value in draft.values.items() if key in known})
        kept = {key: value for key, value in draft.values.items() if key not in changes}
        return self._desk.start(Draft(draft.endpoint, kept), changes)

    def close(self) -> None:
        """Take the views away and stop listening. The jobs go on."""
        if self._channel:  # the last thing to be made: without it there was an error on the way
            self._channel.close()
            self._desk.queue.close()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return panel_bundle(super()._repr_mimebundle_(**kwargs))

    def __repr__(self) -> str:
        return f"<Panel {self._desk.draft.endpoint.short_name}>"

    # -- to the views ------------------------------------------------------------

    def _notify(self) -> None:
        if self._channel:
            self._channel.notify()

    def _tell(self) -> bool:
        """Say in one message what is new of all jobs. The feed's thread."""
        rows, ended = self._desk.queue.news()
        if not rows:
            return False
        self._revision += 1
        self.send({"kind": "update", "msg": {"revision": self._revision, "jobs": rows}})
        for job in ended:
            if job.video is not None:
                self._settle(value=job.video)
        return False

    def _drafted(self, draft: Draft, request: VideoRequest | None) -> None:
        """Tell the other pages what was composed in one of them."""
        self._settle(request=request)
        self.send({"kind": "draft", "msg": draft.to_json(self._desk.files)})

    def _show_fault(self, fault: str) -> None:
        self.send({"kind": "fault", "msg": {"error": fault}})

    # -- from the views ----------------------------------------------------------

    def _on_message(self, _widget: Any, content: Any, buffers: Any) -> None:
        """Answer a command, whatever it is."""
        command = content if isinstance(content, dict) else {}
        number, kind, msg = command.get("id"), command.get("kind"), command.get("msg")
        do = _ANSWERS.get(kind) if isinstance(kind, str) else None
        if do is None:
            reply(self.send, number, lambda: _unknown(kind))
        else:
            given = msg if isinstance(msg, dict) else {}
            reply(self.send, number, lambda: do(self._desk, given, buffers or []))


def _unknown(kind: Any) -> Answer:
    raise UsageError(f"Unknown command {kind!r}; known are {', '.join(COMMANDS)}.")


@cache
def _side_thread() -> ThreadPoolExecutor:
    """Where posters are decoded: a page asks for a screenful of them, and the kernel has better to do."""
    return ThreadPoolExecutor(1, "kling-posters")


def _cancel(desk: Desk, job_id: Any) -> Future[str]:
    """Ask for the end of a job; answered when fal's answer is there."""
    job = desk.queue.get(str(job_id))
    if job is None:
        raise UsageError("This job is not in the panel's queue.", remedy=f"%kling cancel {job_id}")
    return job.cancel_soon()


def _poster(desk: Desk, job_id: Any) -> Future[Answer]:
    def picture() -> Answer:
        found = desk.poster(job_id)
        return {"found": bool(found)}, [found] if found else []

    return _side_thread().submit(picture)


def _cleared(desk: Desk) -> dict[str, Any]:
    desk.queue.forget_finished()
    return {"jobs": desk.queue.rows()}


def _preview(desk: Desk, file: Any) -> Answer:
    found = desk.files.get(file).preview()
    return {"found": bool(found)}, [found] if found else []


_Do = Callable[[Desk, Mapping[str, Any], Any], "Answer | Future[Any]"]
_ANSWERS: dict[str, _Do] = {
    "snapshot": lambda desk, msg, buffers: (desk.snapshot(), []),
    "controls": lambda desk, msg, buffers: (desk.controls(msg.get("endpoint")), []),
    "compose": lambda desk, msg, buffers: (desk.compose(msg), []),
    "attach": lambda desk, msg, buffers: (desk.attach(msg, buffers), []),
    "preview": lambda desk, msg, buffers: _preview(desk, msg.get("file")),
    "submit": lambda desk, msg, buffers: ({"job": panel_rows.job_row(desk.submit(msg))}, []),
    "resume": lambda desk, msg, buffers: ({"job": panel_rows.job_row(desk.resume(msg.get("job")))}, []),
    "cancel": lambda desk, msg, buffers: _cancel(desk, msg.get("job")),
    "clear": lambda desk, msg, buffers: (_cleared(desk), []),
    "history": lambda desk, msg, buffers: (panel_history.page(desk.session.ledger, msg), []),
    "open": lambda desk, msg, buffers: (desk.open(msg.get("job")), []),
    "reuse": lambda desk, msg, buffers: (desk.reuse(msg.get("job")), []),
    "code": lambda desk, msg, buffers: ({"text": desk.code(msg.get("job"))}, []),
    "poster": lambda desk, msg, buffers: _poster(desk, msg.get("job")),
    "chunk": lambda desk, msg, buffers: desk.chunk(msg),
}
COMMANDS = tuple(_ANSWERS)
"""What a view may ask, as `{id, kind, msg}`. Each is answered by one "reply"."""
