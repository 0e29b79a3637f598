"""`Session`: settings, and everything that acts on them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from kling_nb import _settings
from kling_nb._axes import Axis, combinations, split, taking_lists
from kling_nb._embedded import EmbeddedEngine
from kling_nb._job import Job, Listener
from kling_nb._launch import Launcher
from kling_nb._past import PastJobs
from kling_nb._places import Places
from kling_nb._plan import Plan, Planner
from kling_nb._running import RunningJobs
from kling_nb._settings import Settings
from kling_nb._sweep import CONCURRENCY, Sweep, SweepCell, to_submit
from kling_nb._whole import Whole
from kling_nb.catalog import Endpoint
from kling_nb.catalog.media_input import for_upload
from kling_nb.engine import Engine, wait
from kling_nb.errors import MissingKey, UsageError
from kling_nb.events import State
from kling_nb.fal.jwks import KeySource
from kling_nb.fal.patience import Patience
from kling_nb.fal.webhooks import set_key_source
from kling_nb.ledger import Entry, Intent, Ledger, Selection, Spending
from kling_nb.ledger.spending import Grouping
from kling_nb.media import Result
from kling_nb.request import VideoRequest

if TYPE_CHECKING:  # both need httpx, which costs `%load_ext` more than all the rest
    from kling_nb._client import Client
    from kling_nb.fal.pricing import LivePrice


class Session:
    """Makes videos with one set of settings.

    Args:
        patience: How long fal is waited for, between tries and for answers.
        **settings: Any of `backend`, `endpoint`, `credentials`, `media`, `home`, `timeout`, `queue_url`,
            `rest_url`, `api_url`, `schema_url`, `local_speed`. What is left out comes from `configure()`, the
            notebook's configuration, the environment, or a default, at each call.

    Raises:
        UsageError: An unknown setting.
    """

    def __init__(self, *, patience: Patience | None = None, **settings: Any) -> None:
        self._own = settings = _settings.Unshown(settings)
        _settings.check_names(settings)
        self._engine = Engine.shared()
        self._places = Places(self._engine, patience)
        self._planner = Planner(self.settings, self._places)
        self._running = RunningJobs(self._engine)
        self._past = PastJobs(self._engine, self)
        self._launcher = Launcher(self._engine, self._places, self._planner, self._running, self._past)
        self._sweeps: WeakSet[Sweep] = WeakSet()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave all jobs alone, begin no further cell of a sweep, and close connections and ledger.

        What fal has accepted goes on there; `get_job` and `resume` of another session take it up.
        """
        wait(self._engine.spawn(self._close()))
        self._places.close_ledgers()

    async def _close(self) -> None:
        for study in list(self._sweeps):
            await study.begin_no_more()
        await self._running.settle()
        if "client" in vars(self):
            await self.client.settle()
        await self._places.close_backends()

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
    ) -> Result:
        """Make a video, wait for it and return it. Arguments as for `submit`.

        An endpoint that gives a sound or a picture returns a `MediaFile`, one that gives data a dict.

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
        end_image: Any = None,
        take: int | None = None,
        new: bool = False,
        backend: str | None = None,
        max_cost: float | str | None = None,
        frozen: bool | None = None,
        notebook: str | None = None,
        webhook_url: str | None = None,
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
            end_image: Picture to end on, where the endpoint has a parameter for one.
            take: Which take is wanted; 1 is the first.
            new: Make another take, whatever exists.
            backend: "fal" or "local" for this call.
            max_cost: US dollars that this submission may cost; "none" lifts all limits for it.
            frozen: Submit nothing: show the take that is here, or fail.
            notebook: Noted in the ledger.
            webhook_url: Where fal is to deliver the result too; see `kling_nb.fal.webhooks.verify`. It
                is not part of the request, so a take made without one is reused all the same.
            on_event: Called as `on_event(event, state)` from the engine thread.
            **parameters: The endpoint's parameters, e.g. `duration=10`, and options of the submission,
                e.g. `priority="low"` or `tags={"project": "reel-7"}`: see `kling_nb.fal.options`. An
                option never makes it another request.

        Raises:
            InputError: Bad input; nothing was submitted.
            MissingKey: Backend fal without a key.
            LedgerError: The intent could not be made durable; nothing was submitted.
            BudgetExceeded: It would cost more than a limit allows; nothing was submitted.
            NoTake: `frozen`, and there is no take of it.
        """
        plan = self.plan(
            prompt,
            endpoint=endpoint,
            image=image,
            end_image=end_image,
            take=take,
            new=new,
            backend=backend,
            max_cost=max_cost,
            frozen=frozen,
            webhook_url=webhook_url,
            **parameters,
        )
        return self._launcher.launch(plan, notebook=notebook, on_event=on_event)

    def sweep(
        self,
        prompt: str | Sequence[str] | Callable[[Mapping[str, Any]], str] | None = None,
        *,
        concurrency: int = CONCURRENCY,
        max_cost: float | str | None = None,
        notebook: str | None = None,
        start: bool = True,
        axes: Sequence[Axis] | None = None,
        **arguments: Any,
    ) -> Sweep:
        """Make every combination of the values given as lists, a few at a time.

        `sweep(["a fox", "a wolf"], duration=[5, 10])` makes four videos. It returns at once: `await` it
        or `.wait()`. Takes that exist are reused cell by cell. Everything is checked before anything is
        sent: one bad value, or a price of the whole above a limit, and nothing is.

        Args:
            prompt: What the videos should show: one text, a list, or a function of a cell's values.
            concurrency: Cells under way at once.
            max_cost: US dollars that the whole may cost; "none" lifts all limits.
            notebook: Noted in the ledger.
            start: False only plans: `.price` says what it would cost, `.start()` begins.
            axes: Axes of your own making; `arguments` then holds the values of all others.
            **arguments: As for `submit`; a list or tuple of values is an axis, also of `endpoint`, `image`
                and `take`. For a parameter that takes a list, it is a list of lists or a tuple.

        Raises:
            InputError: Bad input in any cell; nothing was submitted.
            MissingKey: Backend fal without a key.
            BudgetExceeded: The whole would cost more than a limit allows; nothing was submitted.
            NoTake: `frozen`, and a cell has no take; not with `start=False`.
        """
        if not isinstance(concurrency, int) or concurrency < 1:
            raise UsageError(f"concurrency is {concurrency!r}.", remedy="It must be a whole number from 1.")
        given = {"prompt": prompt, **arguments} if prompt is not None else arguments
        if axes is None:
            named: Any = given.get("endpoint")
            one = named[0] if named and isinstance(named, (list, tuple)) else named
            found, rest = split(given, taking_lists(self.endpoint(one)))
        else:
            found, rest = tuple(axes), dict(given)
        settings = self.settings(max_cost=max_cost)
        rest |= {"max_cost": "none"} if settings.max_cost == math.inf else {}
        cells = [self._swept(index, found, place, rest) for index, place in enumerate(combinations(found))]
        whole = Whole(
            [cell.plan for cell in to_submit(cells)],
            settings,
            ledger=self._places.ledger,
            launch=lambda plan, hold: self._launcher.launch(plan, notebook=notebook, hold=hold),
        )
        study = Sweep(found, cells, whole=whole, engine=self._engine, concurrency=concurrency)
        if start:
            study.check_frozen()
        whole.check()
        self._sweeps.add(study)
        return study.start() if start else study

    def _swept(
        self, index: int, axes: Sequence[Axis], place: tuple[int, ...], rest: Mapping[str, Any]
    ) -> SweepCell:
        """One cell, with its plan."""
        values = {axis.name: axis.values[at] for axis, at in zip(axes, place, strict=True)}
        own = {axis.name: values[axis.name] for axis in axes if axis.argument}
        if callable(rest.get("prompt")):
            own["prompt"] = rest["prompt"](values)
        labels = {axis.name: axis.labels[at] for axis, at in zip(axes, place, strict=True)}
        return SweepCell(index, place, values, self.plan(**{**rest, **own}), labels=labels)

    def plan(
        self,
        prompt: str | None = None,
        *,
        endpoint: str | None = None,
        image: Any = None,
        end_image: Any = None,
        take: int | None = None,
        new: bool = False,
        backend: str | None = None,
        max_cost: float | str | None = None,
        frozen: bool | None = None,
        webhook_url: str | None = None,
        **parameters: Any,
    ) -> Plan:
        """What `submit` with these arguments would do, without doing it.

        Raises:
            InputError: Bad input.
        """
        return self._planner.plan(
            prompt,
            endpoint=endpoint,
            pictures={"image": image, "end_image": end_image},
            take=take,
            new=new,
            settings=self.settings(backend=backend, max_cost=max_cost, frozen=frozen),
            webhook_url=webhook_url,
            parameters=parameters,
        )

    def request(
        self,
        prompt: str | None = None,
        *,
        endpoint: str | None = None,
        image: Any = None,
        end_image: Any = None,
        **parameters: Any,
    ) -> VideoRequest:
        """A validated request, as `submit` would make it.

        Raises:
            InputError: Bad input.
        """
        return self._planner.request(
            prompt,
            endpoint=endpoint or self.settings().endpoint,
            pictures={"image": image, "end_image": end_image},
            parameters=parameters,
        )

    def endpoint(self, name: str | None = None, *, refresh: bool = False, fetch: bool = True) -> Endpoint:
        """The endpoint of an id or short name, by default the one that is set.

        An id that does not come with the package is any other endpoint of fal: its schema is fetched
        (no key goes along) and stored in the home folder with its date. It is fetched anew after a week;
        where that fails, the stored one is used and its `notice` says how old it is.

        Args:
            name: Short name or id.
            refresh: Fetch its schema now.
            fetch: False uses only what is on this machine.

        Raises:
            UnknownEndpoint: There is none, or its schema could not be had; the message says why.
            UnreachableError: `refresh`, and fal did not answer. The stored schema stays in use.
        """
        return self._planner.endpoint(name, refresh=refresh, fetch=fetch)

    def endpoints(self, word: str | None = None) -> tuple[Endpoint, ...]:
        """The endpoints on this machine: those that come with the package, then those stored.

        Args:
            word: Only those which have every one of these words in id, short name, title or category.
        """
        return self._places.endpoints(self.settings()).all(word)

    def upload(
        self,
        file: Any,
        *,
        content_type: str | None = None,
        expires_in: str | int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> str:
        """Store a file with fal (or the embedded engine) and return its address, for use as an input.

        The same bytes are uploaded once a day, for all kernels of this user.

        Args:
            file: Whatever a picture or video parameter takes: a path, bytes, an open file, a data URI,
                a PIL image, a NumPy array, a `Video`. A web address is returned as it is.
            content_type: MIME type; told from the content or the name where left out.
            expires_in: When fal deletes it: "immediate" (after a minute), "1h", "1d", "7d", "30d", "1y",
                seconds, or "never" and None, which leave it to the account's setting.
            on_progress: Called as `on_progress(sent, total)`, in bytes, from the engine thread; not
                where the file is there already.

        Raises:
            MediaInputError: The file cannot be read, is empty, or is not what it says.
            UsageError: `expires_in` makes no sense.
            MissingKey: Backend fal without a key.
            KlingError: The upload failed; nothing is billed for one.
        """
        from kling_nb.fal.storage import Lifecycle  # noqa: PLC0415 -- with httpx

        lifecycle = Lifecycle.parse(expires_in)
        taken = for_upload(file, content_type, read_later=True)
        if isinstance(taken, str):
            return taken
        settings = self.settings()
        if settings.backend == "fal" and settings.key is None:
            raise MissingKey

        async def send() -> str:
            backend = await self._places.connect(settings)
            return await uploads.address(
                backend.storage, backend.key_fingerprint, taken, lifecycle=lifecycle, on_progress=on_progress
            )

        uploads = self._places.uploads(settings)
        sending = self._engine.spawn(send())
        try:
            url = wait(sending)
            self._engine.finish_before_exit(self._engine.spawn(uploads.settle()))
            return url
        except BaseException:
            sending.cancel()  # an interrupt ends the upload
            raise

    @cached_property
    def client(self) -> Client:
        """fal's queue call by call, for `await`: submit, status, events, result, cancel."""  # noqa: D403 -- its name
        from kling_nb._client import Client, Surroundings  # noqa: PLC0415 -- with httpx

        return Client(
            Surroundings(
                self._engine,
                self.settings,
                self._places.connect,
                self._places.ledger,
                self._planner.once_used,
            )
        )

    # -- jobs ---------------------------------------------------------------------

    def jobs(self, *, limit: int = 50, here: bool = False, unfinished: bool = False) -> list[Entry]:
        """Rows of the ledger, newest first.

        Args:
            limit: How many at most; -1 gives all.
            here: Only those of this media folder.
            unfinished: Only those still to be completed.
        """
        settings = self.settings()
        folder = settings.media if here else None
        return self.ledger.entries(Selection(folder=folder, unfinished=unfinished), limit=limit)

    @property
    def ledger(self) -> Ledger:
        """The record of every submission, of all kernels of this user."""
        return self._places.ledger(self.settings())

    def live_price(self, endpoint: str) -> LivePrice:
        """fal's own price of an endpoint, asked for now. It covers the default settings only.

        Raises:
            MissingKey: fal tells prices to those with a key.
            KlingError: Refused, or no answer.
        """  # noqa: D403 -- that is how fal writes itself
        from kling_nb.fal.pricing import live_price  # noqa: PLC0415 -- with httpx

        settings = self.settings(backend="fal")
        if settings.key is None:
            raise MissingKey
        chosen = self.endpoint(endpoint)

        async def ask() -> LivePrice:
            return await live_price((await self._places.connect(settings)).http, chosen.id)

        return wait(self._engine.spawn(ask()))

    def spending(self, by: Grouping = "day") -> list[Spending]:
        """What fal's jobs cost, from the ledger: by "day", "endpoint" or "notebook"."""
        return self._places.ledger(self.settings()).spending(by)

    def get_job(self, job_id: str, endpoint: str | None = None) -> Job:
        """The job of an id, a request id, or the unique start of one.

        An unfinished one is taken up again: followed, downloaded and filed. So is a finished one of fal
        whose file is no longer in its folder, or whose result fal kept no longer: nothing is paid again.

        Args:
            job_id: Of a job in the ledger; with `endpoint` any whole request id, also of a request
                that was made elsewhere. It gets a row in the ledger then.
            endpoint: Id or short name of the endpoint it was made with.

        Raises:
            UsageError: No such job.
            MissingKey: It is unfinished, it is fal's, and there is no key to ask with.
        """
        known = self._running.named(job_id)
        if known is not None and not known.done:
            return known
        entry = self._places.ledger(self.settings()).get(job_id)
        if endpoint is not None and (entry is None or job_id not in {entry.id, entry.request_id}):
            entry = self._adopt(job_id, self._planner.once_used(endpoint))
        if entry is None:
            raise UsageError(
                f"No job has the id {job_id!r} in the ledger.",
                remedy=(
                    "%kling jobs lists them (API: jobs()). One made elsewhere needs its endpoint:"
                    "\nget_job(request_id, endpoint=…)"
                ),
            )
        settings = self.settings(backend=entry.backend)  # whatever is set for new ones: that one has the job
        media = self._places.media(Path(entry.folder))
        lost = entry.state is State.READY and media.filed(entry.request_id or "", entry.backend) is None
        lost = (lost or entry.gone) and entry.backend == "fal" and settings.key is not None
        ended = entry.state.closed and not entry.unfiled and not lost
        known = self._running.of_row(entry.id)
        if known is not None and (ended or not known.done):
            return known
        request = VideoRequest(self._planner.once_used(entry.endpoint), entry.input, {})
        if ended:
            return self._past.of_row(request, entry, media)
        if entry.backend == "fal" and settings.key is None:
            raise MissingKey
        return self._launcher.start(request, entry, settings, fresh=False)

    def _adopt(self, request_id: str, endpoint: Endpoint) -> Entry:
        """A row for a request that was made elsewhere. Its input is not known."""
        settings = self.settings()
        if settings.backend == "fal" and settings.key is None:
            raise MissingKey
        return self._places.ledger(settings).adopt(
            request_id,
            Intent(
                backend=settings.backend,
                endpoint=endpoint.id,
                input={},
                prompt=endpoint.title,
                fingerprint=hashlib.sha256(f"{endpoint.id} {request_id}".encode()).hexdigest(),
                folder=settings.media,
                take=None,
                key_fingerprint=settings.key.fingerprint if settings.key else None,
            ),
        )

    def takes_of(self, request: VideoRequest, backend: str) -> list[Job]:
        """The stored takes of a request by one backend, as finished jobs, in order of their numbers."""
        takes = self._places.media(self.settings().media).takes(request.fingerprint)
        return [self._past.of_take(request, take) for take in takes if take.sidecar.backend == backend]

    def resume(self, *, everywhere: bool = False) -> list[Job]:
        """Take up every unfinished submission again: follow, download and file it.

        Args:
            everywhere: Also those of other media folders.
        """
        found = self.jobs(limit=-1, here=not everywhere, unfinished=True)
        mine = [entry for entry in found if entry.backend == "fal" or entry.ours]
        return [self.get_job(entry.id) for entry in mine]


def _webhook_keys() -> KeySource:
    """Whose keys webhooks are checked with: those of the backend that is set now."""
    settings = _settings.current()
    local = settings.backend == "local"
    engine = EmbeddedEngine.shared(settings.local_speed).known_address if local else None
    return KeySource(engine.url if engine else settings.hosts.rest, settings.home)


set_key_source(_webhook_keys)
