"""`Session`: settings, and everything that acts on them."""

from __future__ import annotations

import asyncio
import mimetypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb import _settings
from kling_nb._arguments import build_request, storable
from kling_nb._embedded import EmbeddedEngine
from kling_nb._job import Job, Listener
from kling_nb._settings import Settings
from kling_nb.catalog import endpoint as find_endpoint
from kling_nb.catalog.estimate import estimate
from kling_nb.catalog.media_type import HEAD, detect
from kling_nb.engine import Engine, wait
from kling_nb.errors import KlingError, MediaInputError, MissingKey, UsageError
from kling_nb.events import Failed, JobState, Logged, State
from kling_nb.fal.hosts import Hosts
from kling_nb.ledger import Entry, Intent, Ledger
from kling_nb.media import MediaFolder, Take
from kling_nb.request import VideoRequest
from kling_nb.video import Video

if TYPE_CHECKING:  # both need httpx, which costs `%load_ext` more than all the rest
    from kling_nb._backend import Backend

REUSABLE = {"fal": ("fal",), "local": ("fal", "local")}
"""Whose takes satisfy a backend: a key must never leave a preview in place of the real thing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call would do. Nothing was sent.

    Attributes:
        request: The validated request.
        settings: What holds for it.
        found: The take that would be shown instead of a submission.
        unfinished: The submission that would be taken up instead of a new one.
    """

    request: VideoRequest
    settings: Settings
    found: Take | None
    unfinished: Entry | None

    @property
    def estimate(self) -> float | None:
        """US dollars that fal would ask for it, or None where no price is known."""
        return estimate(self.request.endpoint, self.request.resolved)


class Session:
    """Makes videos with one set of settings.

    Args:
        **settings: Any of `backend`, `endpoint`, `credentials`, `media`, `home`, `timeout`, `queue_url`,
            `rest_url`, `api_url`, `local_speed`. What is left out comes from `configure()`, the
            notebook's configuration, the environment, or a default, at each call.

    Raises:
        UsageError: An unknown setting.
    """

    def __init__(self, **settings: Any) -> None:
        _settings.check_names(settings)
        self._own = settings
        self._engine = Engine.shared()
        self._jobs: dict[str, Job] = {}
        self._lock = threading.RLock()
        self._ledgers: dict[Path, Ledger] = {}
        self._folders: dict[Path, MediaFolder] = {}
        self._backends: dict[tuple[object, ...], Backend] = {}

    def settings(self, **call: Any) -> Settings:
        """The settings that hold for a call with these arguments."""
        return _settings.current(call, self._own)

    # -- making videos -----------------------------------------------------------

    def generate(
        self,
        prompt: str | None = None,
        *,
        timeout: float | None = None,
        on_event: Listener | None = None,
        **arguments: Any,
    ) -> Video | None:
        """Make a video, wait for it and return it. Arguments as for `submit`.

        Args:
            prompt: What the video should show.
            timeout: Seconds to wait at most; the job goes on after that.
            on_event: Called as `on_event(event, state)` from the engine thread.
            **arguments: See `submit`.

        Raises:
            KlingError: See `kling_nb.errors`.
        """
        job = self.submit(prompt, on_event=on_event, **arguments)
        limit = timeout if timeout is not None else self.settings().timeout
        return job.wait(limit)

    def submit(
        self,
        prompt: str | None = None,
        *,
        endpoint: str | None = None,
        image: Any = None,
        take: int | None = None,
        new: bool = False,
        backend: str | None = None,
        notebook: str | None = None,
        on_event: Listener | None = None,
        **parameters: Any,
    ) -> Job:
        """Start a job and return it at once.

        An earlier take of the same request is used instead where there is one, and an unfinished
        submission of it is taken up again.

        Args:
            prompt: What the video should show.
            endpoint: Id or short name.
            image: Start picture, for the endpoint's own picture parameter. With a text-to-video
                endpoint its image-to-video sister is used.
            take: Which take is wanted; 1 is the first.
            new: Make another take, whatever exists.
            backend: "fal" or "local" for this call.
            notebook: Noted in the ledger.
            on_event: Called as `on_event(event, state)` from the engine thread.
            **parameters: The endpoint's parameters, e.g. `duration=10`.

        Raises:
            InputError: Bad input; nothing was submitted.
            MissingKey: Backend fal without a key.
            LedgerError: The intent could not be made durable; nothing was submitted.
        """
        plan = self.plan(
            prompt, endpoint=endpoint, image=image, take=take, new=new, backend=backend, **parameters
        )
        if plan.found is not None:
            return self._finished_job(plan.request, plan.found)
        if plan.settings.backend == "fal" and plan.settings.key is None:
            raise MissingKey
        wanted = None if new else take or 1
        request = plan.request
        entry, fresh = self._ledger(plan.settings).claim(
            Intent(
                backend=plan.settings.backend,
                endpoint=request.endpoint.id,
                input=storable(request),
                prompt=request.prompt,
                fingerprint=request.fingerprint,
                folder=plan.settings.media,
                take=wanted,
                key_fingerprint=plan.settings.key.fingerprint if plan.settings.key else None,
                notebook=notebook,
                sends_at_once=not request.files,
            )
        )
        return self._start(request, entry, plan.settings, fresh=fresh, on_event=on_event)

    def plan(
        self,
        prompt: str | None = None,
        *,
        endpoint: str | None = None,
        image: Any = None,
        take: int | None = None,
        new: bool = False,
        backend: str | None = None,
        **parameters: Any,
    ) -> Plan:
        """What `submit` with these arguments would do, without doing it.

        Raises:
            InputError: Bad input.
        """
        settings = self.settings(backend=backend)
        request = self.request(prompt, endpoint=endpoint or settings.endpoint, image=image, **parameters)
        if new and take is not None:
            raise UsageError("take and new contradict each other.", remedy="Give one of them.")
        if take is not None and (not isinstance(take, int) or take < 1):
            raise UsageError(f"take is {take!r}.", remedy="It must be a whole number from 1.")
        if new:
            return Plan(request, settings, None, None)
        found = self._media(settings).find(
            request.fingerprint, take=take, backends=REUSABLE[settings.backend]
        )
        unfinished = None if found else self._unfinished_like(request, settings, take or 1)
        return Plan(request, settings, found, unfinished)

    def request(
        self, prompt: str | None = None, *, endpoint: str | None = None, image: Any = None, **parameters: Any
    ) -> VideoRequest:
        """A validated request, as `submit` would make it.

        Raises:
            InputError: Bad input.
        """
        name = endpoint or self.settings().endpoint
        return build_request(name, prompt=prompt, image=image, parameters=parameters)

    def _unfinished_like(self, request: VideoRequest, settings: Settings, take: int) -> Entry | None:
        for entry in self._ledger(settings).entries(folder=settings.media, unfinished=True, limit=1000):
            same = (entry.fingerprint, entry.backend, entry.take) == (
                request.fingerprint,
                settings.backend,
                take,
            )
            if same and (entry.backend == "fal" or entry.ours):
                return entry
        return None

    def upload(self, file: str | Path | bytes, *, content_type: str | None = None) -> str:
        """Store a file with fal (or the embedded engine) and return its address, for use as an input.

        Args:
            file: A path, or the bytes.
            content_type: MIME type; told from the content or the name where left out.

        Raises:
            MediaInputError: The file cannot be read, or is empty.
            MissingKey: Backend fal without a key.
            KlingError: The upload failed; nothing is billed for one.
        """
        settings = self.settings()
        if settings.backend == "fal" and settings.key is None:
            raise MissingKey
        data, name = _read(file)
        found = detect(data[:HEAD])
        kind = content_type or (found.mime if found else mimetypes.guess_type(name)[0])

        async def send() -> str:
            backend = await self._connect(settings)
            return await backend.storage.upload(
                data, content_type=kind or "application/octet-stream", file_name=name
            )

        return wait(self._engine.spawn(send()))

    # -- jobs ---------------------------------------------------------------------

    def jobs(self, *, limit: int = 50, here: bool = False, unfinished: bool = False) -> list[Entry]:
        """Rows of the ledger, newest first.

        Args:
            limit: How many at most.
            here: Only those of this media folder.
            unfinished: Only those still to be completed.
        """
        settings = self.settings()
        folder = settings.media if here else None
        return self._ledger(settings).entries(limit=limit, folder=folder, unfinished=unfinished)

    def get_job(self, job_id: str) -> Job:
        """The job of an id, a request id, or the unique start of one.

        An unfinished one is taken up again: followed, downloaded and filed.

        Raises:
            UsageError: No such job.
        """
        for job in self._jobs.values():
            if job_id in {job.id, job.request_id}:
                return job
        settings = self.settings()
        entry = self._ledger(settings).get(job_id)
        if entry is None:
            raise UsageError(
                f"No job has the id {job_id!r} in the ledger.", remedy="%kling jobs lists them (API: jobs())."
            )
        if entry.id in self._jobs:
            return self._jobs[entry.id]
        request = VideoRequest(find_endpoint(entry.endpoint), entry.input, {})
        if entry.state is State.READY or (entry.state.finished and entry.state is not State.UNCERTAIN):
            return self._past_job(request, entry)
        return self._start(request, entry, settings, fresh=False)

    def resume(self, *, everywhere: bool = False) -> list[Job]:
        """Take up every unfinished submission again: follow, download and file it.

        Args:
            everywhere: Also those of other media folders.
        """
        found = self.jobs(limit=1000, here=not everywhere, unfinished=True)
        mine = [entry for entry in found if entry.backend == "fal" or entry.ours]
        return [self.get_job(entry.id) for entry in mine]

    def _past_job(self, request: VideoRequest, entry: Entry) -> Job:
        """A job that ended in an earlier session."""
        job = self._job(request, entry)
        if entry.state is State.READY:
            take = self._media_at(Path(entry.folder)).filed(entry.request_id or "", entry.backend)
            if take is not None:
                return self._finished_job(request, take, job=job, units=entry.units, reused=False)
            text = f"The file of job {entry.id} is no longer in {entry.folder}."
            job.apply(Failed(KlingError(text, request_id=entry.request_id)))
        elif entry.state is State.CANCELLED:
            job.restore(JobState(state=State.CANCELLED, request_id=entry.request_id))
        else:
            text = entry.error or "It failed."
            job.apply(Failed(KlingError(text, request_id=entry.request_id)))
        job.finished_at = entry.finished_at
        return job

    def _job(self, request: VideoRequest, entry: Entry) -> Job:
        return Job(
            entry.id,
            request=request,
            backend=entry.backend,
            engine=self._engine,
            created_at=entry.created_at,
        )

    def _finished_job(
        self,
        request: VideoRequest,
        take: Take,
        *,
        job: Job | None = None,
        units: str | None = None,
        reused: bool = True,
    ) -> Job:
        """A job that is READY because its take exists."""
        sidecar = take.sidecar
        job = job or Job(
            f"take-{sidecar.fingerprint[:8]}-{sidecar.take}",
            request=request,
            backend=sidecar.backend,
            engine=self._engine,
        )
        job.reused = reused
        job.file = take.path
        job.video = take.video() if sidecar.kind == "video" else None
        job.restore(
            JobState(
                state=State.READY,
                request_id=sidecar.request_id,
                units=units or sidecar.billable_units,
                lines=len(sidecar.lines),
            ),
            lines=[Logged(message, timestamp) for timestamp, message in sidecar.lines],
        )
        return job

    def _start(
        self,
        request: VideoRequest,
        entry: Entry,
        settings: Settings,
        *,
        fresh: bool,
        on_event: Listener | None = None,
    ) -> Job:
        """The running job of a ledger row; there is one for each row in a session."""
        with self._lock:
            known = self._jobs.get(entry.id)
            if known is not None and not (known.done and not fresh):
                if on_event is not None:
                    known.subscribe(on_event)
                return known
            job = self._jobs[entry.id] = self._job(request, entry)
        if on_event is not None:
            job.subscribe(on_event)
        from kling_nb._pursuit import Pursuit  # noqa: PLC0415 -- with httpx, at the first job

        ledger = self._ledger(settings)
        job.expected_seconds = ledger.expected_seconds(entry.endpoint, entry.backend)
        pursuit = Pursuit(
            job,
            entry,
            fresh=fresh,
            connect=lambda: self._connect(settings),
            ledger=ledger,
            media=self._media_at(Path(entry.folder)),
            take=entry.take,
        )
        self._engine.spawn(pursuit.run())
        return job

    # -- parts, made when first needed -------------------------------------------

    def _ledger(self, settings: Settings) -> Ledger:
        with self._lock:
            return self._ledgers.setdefault(settings.home, Ledger(settings.home / "ledger.sqlite3"))

    def _media(self, settings: Settings) -> MediaFolder:
        return self._media_at(settings.media)

    def _media_at(self, folder: Path) -> MediaFolder:
        with self._lock:
            return self._folders.setdefault(folder, MediaFolder(folder))

    async def _connect(self, settings: Settings) -> Backend:
        """The backend of these settings. Engine thread."""
        if settings.backend == "fal":
            return self._opened("fal", settings.hosts, settings)
        embedded = EmbeddedEngine.shared(settings.local_speed)
        address = await asyncio.to_thread(embedded.address)
        hosts = Hosts(queue=address.url, rest=address.url, api=address.url)
        settings = _settings.with_key(settings, address.key)
        return self._opened("local", hosts, settings, gone=lambda: embedded.gone)

    def _opened(
        self, name: str, hosts: Hosts, settings: Settings, *, gone: Callable[[], bool] = lambda: False
    ) -> Backend:
        from kling_nb._backend import open_backend  # noqa: PLC0415 -- with httpx, at the first job

        handle = (name, hosts, settings.key)
        if handle not in self._backends:
            self._backends[handle] = open_backend(name, hosts, settings.key, gone=gone)
        return self._backends[handle]


def _read(file: str | Path | bytes) -> tuple[bytes, str]:
    """Bytes and name of what is to be uploaded."""
    if isinstance(file, bytes):
        data, name = file, "upload"
    else:
        path = Path(file).expanduser()
        try:
            data, name = path.read_bytes(), path.name
        except OSError as fault:
            raise MediaInputError(
                f"{path} cannot be read: {fault.strerror or fault}.", remedy="Give a path or bytes."
            ) from fault
    if not data:
        raise MediaInputError(f"{name} is empty.", remedy="Nothing was uploaded.")
    return data, name
