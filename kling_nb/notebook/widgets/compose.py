"""The state of a panel and what its commands do. It knows no widget: answers are plain data and bytes.

A command that cannot be carried out raises a `KlingError`; the view gets it as the answer.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kling_nb._lazy import pillow
from kling_nb.catalog import Endpoint
from kling_nb.catalog.endpoint import with_price
from kling_nb.errors import KlingError, MediaInputError, UsageError
from kling_nb.events import Event, JobState, State
from kling_nb.job.job import Job
from kling_nb.job.plan import Outcome, Plan, own_price
from kling_nb.ledger import Entry
from kling_nb.notebook.card.posters import poster_of
from kling_nb.notebook.card.words import error_text
from kling_nb.notebook.flags import as_cell
from kling_nb.notebook.widgets import library
from kling_nb.notebook.widgets.base import whole_number
from kling_nb.notebook.widgets.feed import BEAT
from kling_nb.notebook.widgets.takes import cell_of, check_quote, quote_of
from kling_nb.request.local_file import LocalFile
from kling_nb.request.request import VideoRequest, is_recorded_file
from kling_nb.session import Session

OPENED = 32
"""Finished jobs that are kept, so that a piece of a file needs no look-up in the ledger."""


class Desk:
    """The state of a panel. Any thread.

    Args:
        session: Runs the jobs, and has the ledger.
        endpoint: Id or short name of the first endpoint.
        notify: Called when something is new in the queue.
        on_draft: Called when the draft has changed, with the draft and its request; None if it is incomplete.
    """

    def __init__(
        self,
        session: Session,
        endpoint: str | None,
        *,
        notify: Callable[[], None],
        on_draft: Callable[[Draft, VideoRequest | None], None],
    ) -> None:
        self.session = session
        self.files = Attachments()
        self.queue = PanelQueue(notify)
        self.draft = Draft(session.endpoint(endpoint))
        self._quote: dict[str, Any] | None = None
        self._on_draft = on_draft
        self._lock = threading.RLock()
        self._opened: dict[str, Job] = {}

    # -- Compose

    def snapshot(self) -> dict[str, Any]:
        """Return everything that a new view needs."""
        return {
            "now": time.time(),
            "beat": BEAT,
            "catalogue": [library.catalogue_row(one) for one in self.session.endpoints()],
            "draft": self.draft.to_json(self.files),
            "controls": [control.to_json() for control in self.draft.endpoint.parameters],
            "quote": self._quote or self._first_quote(),
            "studio": self.session.settings().library is not None,
            "jobs": [library.job_row(job) for job in self.queue.running],
            "history": self._first_page(),
        }

    def history(self, msg: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of the ledger, without the jobs that run here; or of the studio's library."""
        if msg.get("kept") == "studio":
            number = whole_number("page", msg.get("page", 0), 0)
            found, total = self.session._shared_page(number * library.PAGE, library.PAGE)
            return {"page": number, "total": total, "rows": [library.shared_row(one) for one in found]}
        return library.page(self.session.ledger, msg, tuple(job.id for job in self.queue.running))

    def _first_page(self) -> dict[str, Any]:
        try:
            return self.history({})
        except KlingError as error:  # the other parts of the panel work without the ledger
            return {
                "page": 0,
                "total": 0,
                "rows": [],
                "endpoints": {},
                "states": {},
                "error": error_text(error),
            }

    def controls(self, name: Any) -> dict[str, Any]:
        """Return the controls of an endpoint."""
        one = self.session.endpoint(str(name))
        return {"endpoint": one.id, "controls": [control.to_json() for control in one.parameters]}

    def prices(self, msg: Mapping[str, Any]) -> dict[str, str]:
        """Return what the composed values would cost with each endpoint, in words."""
        values, settings = check_values(msg.get("values")), self.session.settings()
        found = {}
        for one in self.session.endpoints():
            own = own_price(one, settings)
            found[one.id] = library.request_price(one if own is None else with_price(one, own), values)
        return found

    def compose(self, msg: Mapping[str, Any]) -> dict[str, Any]:
        """Store the draft of a page, and return what it would do and cost."""
        with self._lock:
            self.draft = Draft(
                endpoint=self.session.endpoint(str(msg.get("endpoint"))),
                values=check_values(msg.get("values")),
                revision=self.draft.revision + 1,
                author=int(msg.get("author") or 0),
            )
            draft = self.draft
        request, self._quote = self._plan(draft)
        self._on_draft(draft, request)
        return {"revision": draft.revision, "quote": self._quote}

    def _plan(self, draft: Draft) -> tuple[VideoRequest | None, dict[str, Any]]:
        try:
            plan = self._plan_of(draft)
        except KlingError as error:
            parameter = getattr(error, "parameter", None)
            return None, {**self._first_quote(), "problem": error_text(error), "parameter": parameter}
        return plan.request, quote_of(plan)

    def _plan_of(self, draft: Draft, **options: Any) -> Plan:
        return self.session.plan(endpoint=draft.endpoint.id, **draft.arguments(self.files), **options)

    def _first_quote(self) -> dict[str, Any]:
        backend = self.session.settings().backend
        return {
            "backend": backend,
            "estimate": None,
            "outcome": Outcome.SUBMIT.value,
            "words": "",
            "notices": "",
            "take": None,
            "refusal": None,
            "problem": None,
        }

    def submit(self, msg: Mapping[str, Any]) -> Job:
        """Submit the draft of a page. `backend` and `outcome` are those that the page showed."""
        draft = Draft(self.session.endpoint(str(msg.get("endpoint"))), check_values(msg.get("values")))
        options = {"new": msg.get("new") is True, "backend": msg.get("backend") or None}
        if "outcome" in msg and not options["new"]:
            check_quote(self._plan_of(draft, **options), msg["outcome"])
        return self.start(draft, options)

    def start(self, draft: Draft, options: Mapping[str, Any]) -> Job:
        """Submit a draft, and add its job to the queue."""
        job = self.session.submit(endpoint=draft.endpoint.id, **draft.arguments(self.files), **options)
        self.queue.add(job)
        return job

    # -- Jobs

    def job(self, job_id: Any) -> Job:
        """Return a job of the queue, or a finished one of the ledger. An unfinished one must be resumed."""
        known = self.queue.get(str(job_id)) or self._opened.get(str(job_id))
        if known is not None:
            return known
        if is_shared(job_id):
            job = self.session._fetch_shared(job_id)
        else:
            entry = self.session.ledger.get(str(job_id))
            if entry is not None and _needs_resume(entry):
                raise UsageError("The job is unfinished, and not in this panel.", remedy="Resume it first.")
            job = self.session.get_job(str(job_id))
        with self._lock:
            self._opened[job_id if is_shared(job_id) else job.id] = job
            for old in list(self._opened)[:-OPENED]:
                del self._opened[old]
        return job

    def open(self, job_id: Any) -> dict[str, Any]:
        """Return the row of a job, and whether it must be resumed before its result can be shown."""
        if self.queue.get(str(job_id)) is None and str(job_id) not in self._opened:
            entry = self.session.ledger.get(str(job_id))
            if entry is not None and _needs_resume(entry):
                return {"row": library.entry_row(entry), "resumable": True}
        return {"row": library.job_row(self.job(job_id)), "resumable": False}

    def jobs_of(self, name: str) -> list[Job]:
        """Return the jobs whose ids are in `name`, separated by spaces: one, or some to compare."""
        return [self.job(one) for one in name.split()[:_COMPARED]]

    def resume(self, job_id: Any) -> Job:
        """Resume an unfinished submission of the ledger, and add it to the queue."""
        job = self.session.get_job(str(job_id))
        self.queue.add(job)
        return job

    def reuse(self, job_id: Any) -> dict[str, Any]:
        """Return endpoint and values of a job for the compose area, and the names of missing files."""
        entry = None if self.queue.get(str(job_id)) else self.session.ledger.get(str(job_id))
        if entry is not None:
            endpoint, inputs = self.session.endpoint(entry.endpoint), dict(entry.input)
        else:
            request = self.job(job_id).request
            endpoint, inputs = request.endpoint, self.files.input_of(request)
        values, missing = {}, []
        for name, value in inputs.items():
            try:
                values[name] = _replace_objects(value, self._reference)
            except MediaInputError:
                missing.append(name)
        return {"endpoint": endpoint.id, "values": values, "missing": missing}

    def _reference(self, one: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the panel's reference to the file of an earlier request, or None for another object."""
        return self.files.get(one["sha256"]).to_json() if is_recorded_file(one) else None

    def code(self, job_id: Any) -> str:
        """Return a job, or the draft, as the text of a cell."""
        if job_id:
            return cell_of(self.job(job_id))
        draft = self.draft
        request = self._plan_of(draft).request
        return as_cell(request.endpoint, request.input, usual=self.session.settings().endpoint)

    def poster(self, job_id: Any) -> bytes:
        """Return a small JPEG of a job's video, or no bytes. Slow: do not call it on a cell's thread."""
        with suppress(KlingError, OSError):
            video = self.job(job_id).video
            return poster_of(video) if video is not None else b""
        return b""


def is_shared(job_id: Any) -> bool:
    """Return True for the key of a take in the studio's library. Its job comes over the network."""
    return str(job_id).startswith("takes/")


_COMPARED = 4
"""Jobs that are compared at most."""


def _needs_resume(entry: Entry) -> bool:
    """Return True if opening the job would resume it."""
    if library.is_lost_preview(entry):
        return False
    return not entry.state.finished or entry.state is State.UNCERTAIN or entry.is_result_gone


# -- The jobs that a panel follows.


class PanelQueue:
    """The jobs of a panel in the order in which they were added, and what is new in each.

    Threads: any. `notify` is called on the background thread for every event of every job, and must return
    at once.

    Args:
        notify: Called when something is new.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._leave: dict[str, Callable[[], None]] = {}
        self._new: set[str] = set()
        self._changed: set[str] = set()

    def add(self, job: Job) -> None:
        """Add a job and subscribe to it. A job that is there already is sent to the views again."""

        def on_event(_event: Event, _state: JobState) -> None:
            with self._lock:
                self._changed.add(job.id)
            self._notify()

        with self._lock:
            known = self._jobs.get(job.id)
            self._jobs[job.id] = job
            self._new.add(job.id)
            if known is not job and (leave := self._leave.pop(job.id, None)):
                leave()
            if known is not job and not job.done:
                self._leave[job.id] = job.subscribe(on_event)
        self._notify()

    def get(self, job_id: str) -> Job | None:
        """Return the job of an id, or None if it is not in the queue."""
        return self._jobs.get(job_id)

    @property
    def running(self) -> list[Job]:
        """The jobs that are not finished, newest first."""
        with self._lock:
            return [job for job in reversed(self._jobs.values()) if not job.done]

    @property
    def due(self) -> bool:
        """True if there is something to send."""
        return bool(self._new or self._changed)

    def send_changes(self, send: Callable[[list[dict[str, Any]]], None]) -> list[Job]:
        """Send what is new: rows of new and fields of changed jobs. Return those of them that have ended.

        What cannot be sent stays new.
        """
        with self._lock:
            new, changed = self._new, self._changed - self._new
            self._new, self._changed = set(), set()
            jobs = {name: self._jobs[name] for name in (*new, *changed) if name in self._jobs}
        try:
            send(
                [
                    library.job_row(job) if name in new else library.live_fields(job)
                    for name, job in jobs.items()
                ]
            )
        except Exception:
            with self._lock:
                self._new |= new
                self._changed |= changed
            raise
        return [job for job in jobs.values() if job.state.state.finished]

    def close(self) -> None:
        """End all subscriptions. The jobs go on."""
        with self._lock:
            for leave in self._leave.values():
                leave()
            self._leave.clear()


# -- The draft in the compose area.


@dataclass(frozen=True, slots=True)
class Draft:
    """An endpoint and values for it, not validated yet.

    Attributes:
        endpoint: The endpoint.
        values: Plain JSON by parameter name. A reference `{"file": id, …}` stands for a file of the panel.
        revision: The larger revision is newer.
        author: The page that wrote it. That page ignores the draft when it comes back.
    """

    endpoint: Endpoint
    values: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    author: int = 0

    def arguments(self, files: Attachments) -> dict[str, Any]:
        """Return the values as arguments of `Session.submit`, with the content of files."""
        return {name: with_files(value, files) for name, value in self.values.items()}

    def to_json(self, files: Attachments) -> dict[str, Any]:
        """Return the draft as a view needs it."""
        used = {one: files.get(one).to_json() for one in _file_ids(self.values) if files.has(one)}
        return {
            "revision": self.revision,
            "author": self.author,
            "endpoint": self.endpoint.id,
            "values": dict(self.values),
            "files": used,
        }


def check_values(values: Any) -> dict[str, Any]:
    """Return the values of a message."""
    if not isinstance(values, dict):
        raise UsageError("values must be an object with parameters by name.")
    return values


def with_files(value: Any, files: Attachments) -> Any:
    """Return a value with the content of files in the place of their references."""
    return _replace_objects(value, lambda one: files.get(one["file"]).content if "file" in one else None)


def _replace_objects(value: Any, replacement: Callable[[Mapping[str, Any]], Any]) -> Any:
    """Return a JSON value with other values in the place of those objects for which there is one."""
    if isinstance(value, Mapping):
        new = replacement(value)
        if new is not None:
            return new
        return {name: _replace_objects(part, replacement) for name, part in value.items()}
    if isinstance(value, list):
        return [_replace_objects(part, replacement) for part in value]
    return value


def _file_ids(value: Any) -> Iterator[str]:
    """Yield the ids of the files in a value."""
    if isinstance(value, Mapping):
        if isinstance(value.get("file"), str):
            yield value["file"]
        else:
            for part in value.values():
                yield from _file_ids(part)
    elif isinstance(value, list):
        for part in value:
            yield from _file_ids(part)


# -- Files that were dropped into a panel. They come in pieces, and stay in memory.


LARGEST = 512 * 1024 * 1024
"""Largest file that a panel accepts, in bytes. A larger file is given by its path."""
PATIENCE = 300.0
"""Seconds without a further piece after which an upload is dropped: its page was closed or reloaded."""
_PREVIEW = 192  # pixels of the longer side


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the compose area.

    Attributes:
        id: SHA-256 of its bytes, in hex.
        name: File name; not trusted.
        content_type: MIME type from the browser or from the request.
        content: The bytes, or the file that has them.
    """

    id: str
    name: str
    content_type: str
    content: bytes | LocalFile

    def to_json(self) -> dict[str, Any]:
        """Return the file's reference and what a view shows of it."""
        size = self.content.size if isinstance(self.content, LocalFile) else len(self.content)
        return {"file": self.id, "name": self.name[:200], "type": self.content_type[:100], "size": size}

    def preview(self) -> bytes:
        """Return a small JPEG of an image, or no bytes if the file is no image."""
        if isinstance(self.content, LocalFile) and not self.content.content_type.startswith("image/"):
            return b""
        data = self.content.read() if isinstance(self.content, LocalFile) else self.content
        try:
            with pillow.open(io.BytesIO(data)) as image:
                image.draft("RGB", (_PREVIEW, _PREVIEW))
                image.thumbnail((_PREVIEW, _PREVIEW))
                small = io.BytesIO()
                image.convert("RGB").save(small, "JPEG", quality=80)
        except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError):
            return b""  # audio, video, or a format that only fal reads
        return small.getvalue()


@dataclass(slots=True)
class _Upload:
    """The bytes of a file so far, and the time of its last piece."""

    touched: float
    data: bytearray = field(default_factory=bytearray)


class Attachments:
    """The files of one panel. Any thread.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._files: dict[str, Attachment] = {}
        self._uploads: dict[str, _Upload] = {}

    def attach(self, msg: Mapping[str, Any], buffers: Sequence[Any]) -> dict[str, Any]:
        """Store one piece of a file. The pieces must come in order. Only a request sends the file to fal.

        Args:
            msg: `{"upload": the view's id of the upload, "offset", "total", "name", "type"}`.
            buffers: The piece.

        Returns:
            The answer: `file` is None, and after the last piece the file as a view needs it.
        """
        upload, offset, total = msg.get("upload"), msg.get("offset"), msg.get("total")
        piece = bytes(buffers[0]) if buffers else b""
        if not isinstance(upload, str) or not isinstance(offset, int) or not isinstance(total, int):
            raise UsageError("A piece of a file needs upload, offset and total.")
        if not 0 < total <= LARGEST:
            limit = LARGEST // (1024 * 1024)
            raise MediaInputError(
                f"The file has {total:,} bytes. The panel accepts 1 byte to {limit} MiB.",
                remedy="Use the path of a larger file in a cell.",
            )
        with self._lock:
            if offset == 0:
                self._start_upload(upload)
            current = self._uploads.get(upload)
            if current is None or len(current.data) != offset or not piece or offset + len(piece) > total:
                self._uploads.pop(upload, None)
                raise UsageError("A piece of the file was lost. Drop the file again.")
            current.data += piece
            current.touched = self._clock()
            if len(current.data) < total:
                return {"file": None}
            del self._uploads[upload]
            name, content_type = str(msg.get("name") or "file"), str(msg.get("type") or "")
            return {"file": self._store(bytes(current.data), name, content_type).to_json()}

    def _start_upload(self, upload: str) -> None:
        """Add an upload, and drop those without a recent piece."""
        now = self._clock()
        for name in [name for name, one in self._uploads.items() if now - one.touched > PATIENCE]:
            del self._uploads[name]
        self._uploads.setdefault(upload, _Upload(now))

    def _store(self, content: bytes, name: str, content_type: str) -> Attachment:
        digest = hashlib.sha256(content).hexdigest()
        # If the same bytes come with another name, the latest name is shown.
        self._files[digest] = file = Attachment(digest, name, content_type, content)
        return file

    def input_of(self, request: VideoRequest) -> dict[str, Any]:
        """Add the files of an earlier request. Return its input with a reference in the place of each."""
        references: Any = {}  # `body` puts a text in the place of each file; here it is a reference
        for path, file in request.files.items():
            with self._lock:
                attachment = Attachment(file.sha256, file.name, file.content_type, file)
                references[path] = self._files.setdefault(file.sha256, attachment).to_json()
        return request.body(references) if references else dict(request.input)

    def get(self, digest: Any) -> Attachment:
        """Return the file of an id. Another kernel may have received it, and this one does not have it."""
        file = self._files.get(digest) if isinstance(digest, str) else None
        if file is None:
            raise MediaInputError("This kernel does not have the file.", remedy="Choose the file again.")
        return file

    def has(self, digest: Any) -> bool:
        """Return True if the file of an id is there."""
        return isinstance(digest, str) and digest in self._files
