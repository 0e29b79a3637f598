"""`Session`: one set of settings, and everything that is done with them."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from kling_nb import front_end
from kling_nb import settings as _settings
from kling_nb._lazy import lazy
from kling_nb.background import BackgroundThread, check_can_wait, wait
from kling_nb.catalog import Endpoint
from kling_nb.errors import InputError, TableError, TableProblem, UsageError
from kling_nb.events import State
from kling_nb.fal.options import Lifecycle
from kling_nb.fal.patience import Patience
from kling_nb.fal.webhooks import KeySource, set_key_source
from kling_nb.job.connections import Connections, PreviewServer
from kling_nb.job.job import Job, Listener
from kling_nb.job.plan import Call, Plan, Planner
from kling_nb.job.rebuild import Reconciliation, reconcile
from kling_nb.job.start import JobStarter, SessionJobs
from kling_nb.ledger import Entry, Intent, Ledger, Selection, Spending
from kling_nb.ledger.limits import Grouping
from kling_nb.media import Result, Take, Takes
from kling_nb.request.media_input import for_upload
from kling_nb.request.request import VideoRequest, as_list, as_recorded
from kling_nb.settings import Settings
from kling_nb.sweeps.axes import Axis, combinations, list_parameters, split
from kling_nb.sweeps.batch import Batch, BatchRow
from kling_nb.sweeps.sweep import CONCURRENCY, Sweep, SweepCell, SweepPayment, to_submit
from kling_nb.sweeps.table import calls_of, problem_of, read_table
from kling_nb.video.decisions import check_rating, check_tags

if TYPE_CHECKING:
    from kling_nb.fal import platform
    from kling_nb.job import client as clients
    from kling_nb.library import Shared
else:  # boundary 1 of `_lazy`: they and httpx come with the first job
    platform = lazy("kling_nb.fal.platform")
    clients = lazy("kling_nb.job.client")

log = logging.getLogger(__name__)
S = TypeVar("S", bound=Sweep)


class Session:
    """Makes videos with one set of settings.

    Args:
        patience: How long to wait for answers of fal, and between tries.
        **settings: Those of docs/settings.md, such as `backend`, `endpoint`, `credentials`. A setting that
            is left out is resolved at each call: from `configure()`, the notebook's configuration, the
            environment, or a default.

    Raises:
        UsageError: An unknown setting.
    """

    def __init__(self, *, patience: Patience | None = None, **settings: Any) -> None:
        self._own = settings = _settings.from_code(settings)
        _settings.check_names(settings)
        self._background = BackgroundThread.get_shared()
        self._connections = Connections(
            self._background, patience, lambda: self.settings(backend="local").index
        )
        self._planner = Planner(self.settings, self._connections)
        self._jobs = SessionJobs(self._background, self)
        self._starter = JobStarter(self._background, self._connections, self._planner, self._jobs)
        self._sweeps: WeakSet[Sweep] = WeakSet()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and ledger, and start no further cell of a sweep.

        Jobs that fal has accepted continue there; `get_job` and `resume` of another session find them.
        """
        wait(self._background.spawn(self._close()))
        self._connections.close_files()

    async def _close(self) -> None:
        for study in list(self._sweeps):
            await study._stop_starting()
        await self._jobs.close()
        if "client" in vars(self):
            await self.client._finish_submissions()
        await self._connections.close_backends()

    def settings(self, **call: Any) -> Settings:
        """Return the settings for a call with these arguments."""
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

        An endpoint that makes audio or an image returns a `MediaFile`, one that makes data a dict.

        Args:
            prompt: What the video should show.
            timeout: Seconds to wait at most; the job goes on after that.
            on_event: Called as `on_event(event, state)` from the background thread.
            **arguments: See `submit`.

        Raises:
            KlingError: See `kling_nb.errors`.
        """
        check_can_wait()
        _check_timeout(timeout)
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
        made_from: str | None = None,
        webhook_url: str | None = None,
        fit: str | None = None,
        on_event: Listener | None = None,
        **parameters: Any,
    ) -> Job:
        """Start a job and return it at once.

        An earlier take of the same request is reused if there is one, and an unfinished submission of it is
        resumed.

        Args:
            prompt: What the video should show.
            endpoint: Id or short name.
            image: Start image, for the endpoint's own image parameter. With a text-to-video endpoint its
                image-to-video sister is used.
            end_image: Image to end on, if the endpoint has a parameter for one.
            take: Which take is wanted; 1 is the first.
            new: Make another take, whatever exists.
            backend: "fal" or "local" for this call.
            max_cost: US dollars that this submission may cost; "none" lifts all limits for it.
            frozen: Submit nothing: show the take that is here, or fail.
            notebook: Noted in the ledger.
            made_from: Fingerprint of the request of the cell from which the take is made. Noted in ledger
                and sidecar.
            webhook_url: Where fal delivers the result too; see `kling_nb.fal.webhooks.verify`. It is not
                part of the request, so a take made without one is reused.
            fit: Make an image or a clip that breaks a limit of the endpoint conform: "crop" its edges, "pad"
                it with black bars, or "scale" it, which may distort it. HEIC, AVIF and GIF become JPEG or
                PNG. A clip is also cut if it is too long, and becomes MP4.
            on_event: Called as `on_event(event, state)` from the background thread.
            **parameters: The endpoint's parameters, e.g. `duration=10`, and options of the submission,
                e.g. `priority="low"` or `tags={"project": "reel-7"}`: see `kling_nb.fal.options`. An
                option never makes another request of it.

        Raises:
            InputError: Bad input; nothing was submitted.
            MissingKey: Backend fal without a key.
            LedgerError: The ledger row could not be written; nothing was submitted.
            BudgetExceeded: It would cost more than a limit allows; nothing was submitted.
            NoTake: `frozen`, and the request has no take.
        """
        call = Call(
            prompt=prompt,
            endpoint=endpoint,
            image=image,
            end_image=end_image,
            take=take,
            new=new,
            backend=backend,
            max_cost=max_cost,
            frozen=frozen,
            made_from=made_from,
            webhook_url=webhook_url,
            fit=fit,
            parameters=parameters,
        )
        if on_event is not None and not callable(on_event):
            raise UsageError(
                f"on_event must be a function, not {on_event!r}.",
                remedy="It is called as on_event(event, state).",
                parameter="on_event",
            )
        plan = self._planner.plan(call)
        say = front_end.say or log.warning
        # A cell shows the job's log, which begins with this warning.
        if plan.submits and plan.settings.backend == "fal" and plan.options and plan.options.warning:
            say(plan.options.warning)
        job = self._launch(plan, notebook=notebook, on_event=on_event)
        for line in job.about:
            say(line)
        return job

    def _launch(self, plan: Plan, *, notebook: str | None = None, on_event: Listener | None = None) -> Job:
        """Carry out a plan and return its job, whose `notices` the caller shows."""
        return self._starter.launch(plan, notebook=notebook, on_event=on_event)

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
        or `.wait()`. Existing takes are reused cell by cell. Everything is checked before anything is
        sent: one bad value, or a total price above a limit, and nothing is sent.

        Args:
            prompt: What the videos should show: one text, a list, or a function of a cell's values.
            concurrency: Cells that run at once.
            max_cost: US dollars that the whole may cost; "none" lifts all limits.
            notebook: Noted in the ledger.
            start: False only plans: `.price` says what it would cost, `.start()` starts it.
            axes: Axes of your own making; `arguments` then holds the values of all others.
            **arguments: As for `submit`; a list, tuple, range, generator, pandas Series or array with
                one axis is an axis, also of `endpoint`, `image` and `take`. For a parameter that takes a
                list, it is a list of lists or a tuple.

        Raises:
            InputError: Bad input in any cell; nothing was submitted.
            MissingKey: Backend fal without a key.
            BudgetExceeded: The whole would cost more than a limit allows; nothing was submitted.
            NoTake: `frozen`, and a cell has no take; not with `start=False`.
        """
        _check_concurrency(concurrency)
        given = {"prompt": prompt, **arguments} if prompt is not None else arguments
        if axes is None:
            given = {name: as_list(value) for name, value in given.items()}
            named: Any = given.get("endpoint")
            one = named[0] if isinstance(named, (list, tuple)) and named else named
            found, rest = split(given, list_parameters(self.endpoint(one)))
        else:
            found, rest = tuple(axes), dict(given)
        settings = self.settings(max_cost=max_cost)
        rest |= {"max_cost": "none"} if settings.max_cost == math.inf else {}
        with self._one_look():
            cells = [
                self._make_cell(index, found, place, rest) for index, place in enumerate(combinations(found))
            ]
        return self._study(Sweep, found, cells, settings, concurrency, notebook=notebook, start=start)

    def batch(
        self,
        table: Any,
        prompt: str | None = None,
        *,
        concurrency: int = CONCURRENCY,
        max_cost: float | str | None = None,
        notebook: str | None = None,
        start: bool = True,
        **common: Any,
    ) -> Batch:
        """Make a video for each row of a table, a few at a time.

        The columns are arguments of `submit`: `prompt`, `endpoint`, `image`, any parameter of the endpoint;
        and `name`. An empty cell gives nothing. It returns at once: `await` it or `.wait()`. Everything is
        checked before anything is sent; existing takes are reused row by row.

        Args:
            table: A data frame, dicts, or the path of a CSV, TSV, JSONL or JSON file. Relative paths in a
                file count from its folder.
            prompt: The prompt of all rows, with columns as `{column}`: `"{character} at {place}"`. It is
                looked up as a column name only, and nothing in a table is evaluated.
            concurrency: Rows that run at once.
            max_cost: US dollars that the whole may cost; "none" lifts all limits.
            notebook: Noted in the ledger.
            start: False only plans: `.price` says what it would cost, `.start()` starts it.
            **common: Arguments of `submit` for all rows. A value of a row counts before them.

        Raises:
            TableError: Rows or columns are wrong. It lists all of them; nothing was submitted.
            InputError: The table or the prompt is wrong; nothing was submitted.
            MissingKey: Backend fal without a key.
            BudgetExceeded: The whole would cost more than a limit allows; nothing was submitted.
            NoTake: `frozen`, and a row has no take; not with `start=False`.
        """
        _check_concurrency(concurrency)
        found = read_table(table)
        settings = self.settings(max_cost=max_cost)
        common |= {"max_cost": "none"} if settings.max_cost == math.inf else {}
        problems: list[TableProblem] = []
        rows: list[BatchRow] = []
        with self._one_look():
            for call in calls_of(found, prompt, common, self.endpoint):
                try:
                    plan = self.plan(call.prompt, **call.arguments)
                except InputError as fault:
                    problems.append(problem_of(call, fault))
                else:
                    at = len(rows)
                    rows.append(BatchRow(at, (at,), call.row.values, plan, name=call.name))
        if problems:
            raise TableError.of(found.source, problems)
        return self._study(Batch, found.source, rows, settings, concurrency, notebook=notebook, start=start)

    def _study(
        self,
        kind: Callable[..., S],
        about: Any,
        cells: Sequence[SweepCell],
        settings: Settings,
        concurrency: int,
        *,
        notebook: str | None,
        start: bool,
    ) -> S:
        """Return a new sweep or batch that may be paid for, and start it if that is wanted."""
        payment = SweepPayment(
            [cell.plan for cell in to_submit(cells)],
            settings,
            ledger=self._connections.ledger,
            launch=lambda plan, reservation: self._starter.launch(
                plan, notebook=notebook, reservation=reservation
            ),
        )
        study = kind(about, cells, payment=payment, background=self._background, concurrency=concurrency)
        if start:
            study._check_frozen()
        payment.check()
        self._sweeps.add(study)
        if start:
            study.start()
        return study

    def _one_look(self) -> AbstractContextManager[None]:
        """Let the plans that this thread makes in a block share one look at what exists."""
        return self._planner.one_look()

    def _make_cell(
        self, index: int, axes: Sequence[Axis], place: tuple[int, ...], rest: Mapping[str, Any]
    ) -> SweepCell:
        values = {axis.name: axis.values[at] for axis, at in zip(axes, place, strict=True)}
        own = {axis.name: values[axis.name] for axis in axes if axis.argument}
        if callable(rest.get("prompt")):
            own["prompt"] = rest["prompt"](values)
        if callable(rest.get("earlier")):
            own["earlier"] = rest["earlier"](values)
        labels = {axis.name: axis.labels[at] for axis, at in zip(axes, place, strict=True)}
        return SweepCell(index, place, values, self.plan(**{**rest, **own}), labels=labels)

    def plan(self, prompt: str | None = None, **arguments: Any) -> Plan:
        """Return what `submit` with these arguments would do. Nothing is sent.

        Args:
            prompt: What the video should show.
            **arguments: As for `submit`.

        Raises:
            InputError: Bad input.
        """
        return self._planner.plan(Call.of(prompt, arguments))

    def request(
        self,
        prompt: str | None = None,
        *,
        endpoint: str | None = None,
        image: Any = None,
        end_image: Any = None,
        fit: str | None = None,
        **parameters: Any,
    ) -> VideoRequest:
        """Return a validated request, as `submit` would make it.

        Raises:
            InputError: Bad input.
        """
        call = Call(
            prompt=prompt, endpoint=endpoint, image=image, end_image=end_image, fit=fit, parameters=parameters
        )
        return self._planner.request(call)

    def endpoint(self, name: str | None = None, *, refresh: bool = False, fetch: bool = True) -> Endpoint:
        """Return the endpoint of an id or short name, by default the one that is set.

        An id that does not come with the package is any other endpoint of fal. Its schema is fetched
        without a key, and stored in the home folder with its date. After a week it is fetched again; if
        that fails, the stored one is used and its `notice` says how old it is.

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
        """Return the endpoints on this machine: those that come with the package, then stored ones.

        Args:
            word: Words that must all be in the id, short name, title or category.
        """
        return self._connections.endpoints(self.settings()).all(word)

    def upload(
        self,
        file: Any,
        *,
        content_type: str | None = None,
        expires_in: str | int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> str:
        """Store a file with fal (or the local preview server) and return its URL, for use as an input.

        The same bytes are uploaded once a day, for all kernels of this user.

        Args:
            file: Whatever an image or video parameter takes: a path, bytes, an open file, a data URI,
                a PIL image, a NumPy array, a `Video`. A URL is returned as it is.
            content_type: MIME type; by default from the content or the name.
            expires_in: When fal deletes it: "immediate" (after a minute), "1h", "1d", "7d", "30d", "1y",
                seconds, or "never" and None, which leave it to the account's setting.
            on_progress: Called as `on_progress(sent, total)`, in bytes, from the background thread; not
                where the file is there already.

        Raises:
            MediaInputError: The file cannot be read, is empty, or is not what it says.
            UsageError: `expires_in` makes no sense.
            MissingKey: Backend fal without a key.
            KlingError: The upload failed; nothing is billed for one.
        """
        check_can_wait()
        lifecycle = Lifecycle.parse(expires_in)
        taken = for_upload(file, content_type, read_later=True)
        if isinstance(taken, str):
            return taken
        settings = self.settings()
        settings.need_key()

        async def send() -> str:
            backend = await self._connections.connect(settings)
            return await uploads.url(
                backend.storage, backend.key_fingerprint, taken, lifecycle=lifecycle, on_progress=on_progress
            )

        uploads = self._connections.uploads(settings)
        sending = self._background.spawn(send())
        try:
            url = wait(sending)
            self._background.finish_before_exit(self._background.spawn(uploads.finish()))
            return url
        except BaseException:
            sending.cancel()  # an interrupt ends the upload
            raise

    @cached_property
    def client(self) -> clients.Client:
        """fal's queue call by call, for `await`: submit, status, events, result, cancel."""  # noqa: D403 -- its name
        return clients.Client(self._background, self.settings, self._connections, self._planner)

    # -- jobs ---------------------------------------------------------------------

    def jobs(self, *, limit: int = 50, here: bool = False, unfinished: bool = False) -> list[Entry]:
        """Return rows of the ledger, newest first.

        Args:
            limit: How many at most; -1 gives all.
            here: Only those of this media folder.
            unfinished: Only those still to be completed.
        """
        if not isinstance(limit, int):
            raise UsageError(f"limit must be a whole number, not {limit!r}.", parameter="limit")
        settings = self.settings()
        folder = settings.ledger_folder if here else None
        return self.ledger.entries(Selection(folder=folder, unfinished=unfinished), limit=limit)

    @property
    def ledger(self) -> Ledger:
        """The record of every submission, of all kernels of this user."""
        return self._connections.ledger(self.settings())

    def live_price(self, endpoint: str) -> platform.LivePrice:
        """Return fal's own price of an endpoint, asked for now. It covers the default settings only.

        Raises:
            MissingKey: fal answers only with a key.
            KlingError: Refused, or no answer.
        """
        settings = self.settings(backend="fal")
        settings.need_key()
        chosen = self.endpoint(endpoint)
        return wait(self._background.spawn(self._connections.ask(settings, platform.live_price, chosen.id)))

    def is_deprecated(self, endpoint: str) -> bool:
        """Return True if fal lists an endpoint as deprecated. False also means that fal does not answer."""
        settings, endpoint_id = self.settings(backend="fal"), self.endpoint(endpoint, fetch=False).id
        asking = self._connections.ask(settings, platform.is_deprecated, endpoint_id)
        return wait(self._background.spawn(asking))

    def spending(self, by: Grouping = "day") -> list[Spending]:
        """Return what fal's jobs cost, from the ledger: by "day", "endpoint" or "notebook"."""
        return self.ledger.spending(by)

    def reconcile(self, days: int = 30) -> Reconciliation:
        """Return what fal billed in the last days next to what the ledger expects, request by request.

        Args:
            days: 1 to 90.

        Raises:
            UsageError: Another number of days.
            MissingKey: fal answers only with a key.
            ResponseError: fal refuses. The key needs ADMIN scope.
            UnreachableError: No answer.
        """
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 90:
            raise UsageError(f"days must be a whole number from 1 to 90, not {days!r}.", parameter="days")
        settings = self.settings(backend="fal")
        settings.need_key()
        end = time.time() + 60.0  # fal's clock may be ahead
        since = end - days * 86_400
        asking = self._connections.ask(settings, platform.billed_requests, start=since, end=end)
        bill = wait(self._background.spawn(asking))
        return reconcile(self._connections.ledger(settings), bill, days, since)

    def _fetch_shared(self, key: str) -> Job:
        """Store a take of the studio's library here, unless it is there, and return its job."""
        settings = self.settings()
        studio, media = self._connections.library(settings), self._connections.media(settings.media)
        shared = studio.read(key)
        known = shared.sidecar
        here = (take for take in media.takes(known.fingerprint) if take.sidecar.sha256 == known.sha256)
        take = next(here, None) or studio.fetch(shared, media)
        request = VideoRequest(self._planner.endpoint_of_job(known.endpoint), known.input, {})
        return self._jobs.of_take(as_recorded(request, known.fingerprint, known.input), take)

    def _shared_page(self, first: int, count: int) -> tuple[list[Shared], int]:
        """Return takes of the studio's library, the newest first, and how many there are."""
        return self._connections.library(self.settings()).page(first, count)

    def get_job(self, job_id: str, endpoint: str | None = None) -> Job:
        """Return the job of an id, a request id, or the unique start of one.

        An unfinished job is resumed: followed, downloaded and stored. So is a finished job of fal whose file
        is no longer in its folder, or whose result fal no longer kept. Nothing is paid again.

        Args:
            job_id: Of a job in the ledger; with `endpoint` any whole request id, also of a request that
                was made elsewhere. The ledger then gets a row for it.
            endpoint: Id or short name of the endpoint it was made with.

        Raises:
            UsageError: No such job.
            MissingKey: It is unfinished, it is fal's, and there is no key to ask with.
        """
        job_id = str(job_id)
        known = self._jobs.get_by_name(job_id)
        if known is not None and not known.done:
            return known
        entry = self.ledger.get(job_id)
        if endpoint is not None and (entry is None or job_id not in {entry.id, entry.request_id}):
            entry = self._adopt(job_id, self._planner.endpoint_of_job(endpoint))
        if entry is None:
            raise UsageError(
                f"No job has the id {job_id!r} in the ledger.",
                remedy=(
                    "%kling jobs lists them (API: jobs()). One made elsewhere needs its endpoint:"
                    "\nget_job(request_id, endpoint=…)"
                ),
            )
        settings = self.settings(backend=entry.backend)  # the backend that has the job, not the one set now
        media = self._connections.media_of(entry, settings)
        lost = entry.state is State.READY and media.take_of_request(entry.request_id, entry.backend) is None
        lost = (lost or entry.is_result_gone) and entry.backend == "fal" and settings.key is not None
        ended = entry.state.closed and not entry.has_no_file and not lost
        known = self._jobs.of_row(entry.id)
        if known is not None and (ended or not known.done):
            return known
        request = VideoRequest(self._planner.endpoint_of_job(entry.endpoint), entry.input, {})
        if ended:
            return self._jobs.of_ended_row(request, entry, media)
        settings.need_key()
        return self._starter.start(request, entry, settings, fresh=False)

    def _adopt(self, request_id: str, endpoint: Endpoint) -> Entry:
        """Add a row for a request that was made elsewhere. Its input is not known."""
        settings = self.settings()
        settings.need_key()
        return self._connections.ledger(settings).adopt(
            request_id,
            Intent(
                backend=settings.backend,
                endpoint=endpoint.id,
                input={},
                prompt=endpoint.title,
                fingerprint=hashlib.sha256(f"{endpoint.id} {request_id}".encode()).hexdigest(),
                folder=settings.ledger_folder,
                new=True,
                key_fingerprint=settings.key.fingerprint if settings.key else None,
            ),
        )

    def takes(
        self,
        *,
        rating: int | None = None,
        tag: str | Sequence[str] | None = None,
        endpoint: str | None = None,
        chosen: bool | None = None,
    ) -> Takes:
        """Return the stored takes of the media folder, the newest first.

        Args:
            rating: Only takes with so many stars or more.
            tag: Only takes with this tag, or with all of several.
            endpoint: Id or short name; only its takes.
            chosen: Only takes that were chosen for a cell; False for the others.

        Raises:
            UsageError: A value makes no sense.
            UnknownEndpoint: There is no such endpoint.
        """
        found = self._connections.media(self.settings(backend="local").media).select(
            rating=check_rating(rating),
            tags=check_tags(tag),
            endpoint=None if endpoint is None else self.endpoint(endpoint, fetch=False).id,
            chosen=chosen,
        )
        return Takes(take.file() for take in found)

    def takes_of(self, request: VideoRequest, backend: str, made_from: str | None = None) -> list[Job]:
        """Return the stored takes of a request by one backend as finished jobs, in order of their numbers.

        Args:
            request: The request.
            backend: "fal" or "local".
            made_from: Fingerprint of the request of a cell. All takes that were made from the cell are
                returned instead, by any backend, in the order of their submission.
        """
        media = self._connections.media(self.settings().media)
        if made_from is None:
            takes = [take for take in media.takes(request.fingerprint) if take.sidecar.backend == backend]
        else:
            takes = media.takes_of_cell(made_from, backend)
        jobs = [self._jobs.of_take(self._planner.request_of_take(request, take), take) for take in takes]
        for job in jobs:
            job.made_from = made_from
        return jobs

    def _choose(self, take: Take, cell: str, name: str) -> None:
        """Choose a take for a `%%kling NAME` cell, for all notebooks of the media folder.

        Raises:
            MediaError: The sidecar cannot be written.
        """
        self._connections.media(self.settings(backend="local").media).set_chosen(take, cell, name)

    def resume(self, *, everywhere: bool = False) -> list[Job]:
        """Resume every unfinished submission: follow, download and store it.

        Args:
            everywhere: Also those of other media folders.
        """
        found = self.jobs(limit=-1, here=not everywhere, unfinished=True)
        mine = [entry for entry in found if entry.backend == "fal" or entry.is_ours]
        return [self.get_job(entry.id) for entry in mine]


def _check_timeout(timeout: Any) -> None:
    """Raise unless `timeout` can limit a wait. Afterwards the submission is paid for."""
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout >= 0):  # not NaN either
        raise UsageError(f"timeout must be a number of seconds from 0, not {timeout!r}.", parameter="timeout")


def _check_concurrency(concurrency: Any) -> None:
    if not isinstance(concurrency, int) or concurrency < 1:
        raise UsageError(f"concurrency is {concurrency!r}.", remedy="It must be a whole number from 1.")


def _webhook_keys() -> KeySource:
    """Return where the keys that sign webhooks are: at the backend that is set now."""
    settings = _settings.current()
    local = settings.backend == "local"
    preview = PreviewServer.get_shared(settings.local_speed).known_access if local else None
    base = preview.url if preview else settings.hosts.rest
    return KeySource(base, settings.home, settings.hosts.route)


set_key_source(_webhook_keys)
