"""What the commands of a panel's views do. Knows no widget: answers are plain data and bytes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kling_nb._job import Job
from kling_nb._plan import Plan
from kling_nb._session import Session
from kling_nb.errors import KlingError, MediaError, UsageError
from kling_nb.events import State
from kling_nb.ledger import Entry
from kling_nb.notebook import panel_history, panel_rows
from kling_nb.notebook.answering import Answer
from kling_nb.notebook.as_cell import as_cell
from kling_nb.notebook.chunk import read_chunk
from kling_nb.notebook.panel_draft import Draft, checked_values
from kling_nb.notebook.panel_files import Attachments
from kling_nb.notebook.panel_queue import JobQueue
from kling_nb.notebook.takes import words
from kling_nb.request import VideoRequest

OPENED = 32
"""Ended jobs that are kept at hand, so that their pieces need no look-up."""


class Desk:
    """The state of a panel. Any thread.

    Args:
        session: Makes the jobs, and has the ledger.
        endpoint: Id or short name of the first endpoint.
        notify: The queue has something new to say.
        drafted: The draft changed; called with the draft, and the request where it makes one.
    """

    def __init__(
        self,
        session: Session,
        endpoint: str | None,
        *,
        notify: Callable[[], None],
        drafted: Callable[[Draft, VideoRequest | None], None],
    ) -> None:
        self.session = session
        self.files = Attachments()
        self.queue = JobQueue(notify)
        self.draft = Draft(session.endpoint(endpoint))
        self._quote: dict[str, Any] | None = None
        self._drafted = drafted
        self._lock = threading.RLock()
        self._opened: dict[str, Job] = {}

    # -- composing ---------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """All that a page needs to begin with."""
        return {
            "now": time.time(),
            "catalogue": [panel_rows.catalogue_row(one) for one in self.session.endpoints()],
            "draft": self.draft.to_json(self.files),
            "controls": [control.to_json() for control in self.draft.endpoint.parameters],
            "quote": self._quote or self._first_quote(),
            "jobs": self.queue.rows(),
            "history": self._first_page(),
        }

    def _first_page(self) -> dict[str, Any]:
        try:
            return panel_history.page(self.session.ledger, {})
        except KlingError as error:  # the rest works all the same
            return {"page": 0, "total": 0, "rows": [], "endpoints": {}, "states": {}, "error": words(error)}

    def controls(self, name: Any) -> dict[str, Any]:
        """The controls of an endpoint.

        Raises:
            UnknownEndpoint: There is none of that name.
        """
        one = self.session.endpoint(str(name))
        return {"endpoint": one.id, "controls": [control.to_json() for control in one.parameters]}

    def compose(self, msg: Mapping[str, Any]) -> dict[str, Any]:
        """Take in what a page's compose area holds now, and say what it would do and cost."""
        with self._lock:
            self.draft = Draft(
                endpoint=self.session.endpoint(str(msg.get("endpoint"))),
                values=checked_values(msg.get("values")),
                revision=self.draft.revision + 1,
                author=int(msg.get("author") or 0),
            )
            draft = self.draft
        request, self._quote = self._plan(draft)
        self._drafted(draft, request)
        return {"revision": draft.revision, "quote": self._quote}

    def _plan(self, draft: Draft) -> tuple[VideoRequest | None, dict[str, Any]]:
        try:
            plan = self.session.plan(endpoint=draft.endpoint.id, **draft.arguments(self.files))
        except KlingError as error:
            parameter = getattr(error, "parameter", None)
            return None, {**self._first_quote(), "problem": words(error), "parameter": parameter}
        return plan.request, quote(plan)

    def _first_quote(self) -> dict[str, Any]:
        backend = self.session.settings().backend
        return {"backend": backend, "estimate": None, "take": None, "unfinished": None, "problem": None}

    def submit(self, msg: Mapping[str, Any]) -> Job:
        """Start what a page has composed. `backend` is the one that its price was told for."""
        draft = Draft(self.session.endpoint(str(msg.get("endpoint"))), checked_values(msg.get("values")))
        return self.start(draft, {"new": msg.get("new") is True, "backend": msg.get("backend") or None})

    def start(self, draft: Draft, options: Mapping[str, Any]) -> Job:
        """Submit a draft, and follow its job."""
        job = self.session.submit(endpoint=draft.endpoint.id, **draft.arguments(self.files), **options)
        self.queue.add(job)
        return job

    # -- jobs ----------------------------------------------------------------------

    def job(self, job_id: Any) -> Job:
        """A job of the queue, or one of the ledger that has ended.

        Raises:
            UsageError: There is none, or it is unfinished and nobody here follows it.
        """
        known = self.queue.get(str(job_id)) or self._opened.get(str(job_id))
        if known is not None:
            return known
        entry = self.session.ledger.get(str(job_id))
        if entry is not None and _open_ended(entry):
            raise UsageError("It is unfinished, and not followed here.", remedy="Take it up again.")
        job = self.session.get_job(str(job_id))
        with self._lock:
            self._opened[job.id] = job
            for old in list(self._opened)[:-OPENED]:
                del self._opened[old]
        return job

    def open(self, job_id: Any) -> dict[str, Any]:
        """Everything about one job. An unfinished one of the ledger that nobody here follows has its row."""
        if self.queue.get(str(job_id)) is None and str(job_id) not in self._opened:
            entry = self.session.ledger.get(str(job_id))
            if entry is not None and _open_ended(entry):
                return {"row": panel_rows.entry_row(entry), "resumable": True}
        job = self.job(job_id)
        return {"row": panel_rows.job_row(job), "resumable": False, **panel_rows.detail(job)}

    def resume(self, job_id: Any) -> Job:
        """Take up an unfinished submission of the ledger again."""
        job = self.session.get_job(str(job_id))
        self.queue.add(job)
        return job

    def reuse(self, job_id: Any) -> dict[str, Any]:
        """Endpoint and values of a job, for the compose area; and the files that are not here any more."""
        entry = None if self.queue.get(str(job_id)) else self.session.ledger.get(str(job_id))
        if entry is not None:
            one, given = self.session.endpoint(entry.endpoint), dict(entry.input)
        else:
            request = self.job(job_id).request
            adopted = {path: self.files.adopt(file).to_json() for path, file in request.files.items()}
            # `body` puts texts into the places of files; here those are the marks of our own files.
            one, given = request.endpoint, request.body(adopted)  # type: ignore[arg-type]
        values, missing = {}, []
        for name, value in given.items():
            kept = self._at_hand(value)
            if kept is None:
                missing.append(name)
            else:
                values[name] = kept
        return {"endpoint": one.id, "values": values, "missing": missing}

    def _at_hand(self, value: Any) -> Any:
        """The value with the panel's marks for files; None where a file is not here."""
        if isinstance(value, Mapping):
            if set(value) == {"sha256", "name"}:
                known = self.files.known(value["sha256"])
                return self.files.get(value["sha256"]).to_json() if known else None
            parts = {name: self._at_hand(part) for name, part in value.items()}
            return None if None in parts.values() else parts
        if isinstance(value, list):
            items = [self._at_hand(part) for part in value]
            return None if None in items else items
        return value

    def code(self, job_id: Any) -> str:
        """A job, or the draft, as the text of a cell.

        Raises:
            KlingError: No cell can say it, or the draft is not complete.
        """
        if job_id:
            job = self.job(job_id)
            take = job.video.take if job.video else None
            return as_cell(job.request.endpoint, job.request.input, take=take)
        draft = self.draft
        request = self.session.plan(endpoint=draft.endpoint.id, **draft.arguments(self.files)).request
        return as_cell(request.endpoint, request.input)

    def chunk(self, msg: Mapping[str, Any]) -> Answer:
        """A piece of a job's file, as one buffer.

        Raises:
            MediaError: It has none.
        """
        about, piece = read_chunk(self._file(msg.get("key")), dict(msg))
        return about, [piece]

    def _file(self, job_id: Any) -> Path:
        job = self.job(job_id)
        if job.file is None:
            raise MediaError(words(job.error) if job.error else "This job has no file yet.")
        return job.file

    def poster(self, job_id: Any) -> bytes:
        """A small JPEG of a job's video; empty where there is none. Decodes: not for the cell's thread."""
        with suppress(KlingError, OSError):
            video = self.job(job_id).video
            return video.poster if video is not None else b""
        return b""

    def attach(self, msg: Mapping[str, Any], buffers: Sequence[Any]) -> dict[str, Any]:
        """A piece of a file; with the last one, what the file is."""
        whole = self.files.take_piece(msg, buffers)
        return {"file": whole.to_json() if whole else None}


def _open_ended(entry: Entry) -> bool:
    """Whether looking at it would mean taking it up again."""
    return not entry.state.finished or entry.state is State.UNCERTAIN or entry.gone


def quote(plan: Plan) -> dict[str, Any]:
    """What a plan would do and cost."""
    return {
        "backend": plan.settings.backend,
        "estimate": plan.estimate,
        "take": plan.found.sidecar.take if plan.found else None,
        "unfinished": plan.unfinished.id if plan.unfinished and not plan.submits else None,
        "problem": None,
    }
