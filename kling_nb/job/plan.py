"""`Plan`: what a call would do and cost. `Outcome`: the name for it. This module sends nothing."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from kling_nb.catalog import Endpoint
from kling_nb.catalog.endpoint import estimate, with_price
from kling_nb.catalog.problem import quote
from kling_nb.errors import (
    NOTHING_SENT,
    BudgetExceeded,
    InputError,
    KlingError,
    LibraryError,
    NoTake,
    UnknownEndpoint,
    UsageError,
    without_frames,
)
from kling_nb.events import State
from kling_nb.fal.options import SubmitOptions
from kling_nb.fal.webhooks import check_webhook
from kling_nb.job.connections import Connections
from kling_nb.ledger import Entry, Intent, Ledger, Limit, session_of_this_process
from kling_nb.media import MediaFolder, Take
from kling_nb.request.request import (
    VideoRequest,
    as_recorded,
    build_request,
    image_endpoint,
    notices,
    stored_input,
)
from kling_nb.settings import Settings, reloaded_module

if TYPE_CHECKING:
    from kling_nb.library import Shared

T = TypeVar("T")

REUSABLE = {"fal": ("fal",), "local": ("fal", "local")}
"""The backends whose takes are reused. With a key, a preview is never shown instead of a video by fal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The arguments of `Session.submit` that a plan depends on. See there.

    Attributes:
        earlier: The same call as an earlier version understood it, if that differs.
        cell: NAME of the `%%kling` cell that makes the call, or an empty text; None for all other callers.
        made_from: Fingerprint of the request of another cell, from which the take is made.
        fault: The error with which this version refuses the call. Then only what was paid for as `earlier`
            is shown.
        parameters: All other arguments: the endpoint's parameters and the options of the submission.
    """

    prompt: str | None = None
    endpoint: str | None = None
    image: Any = None
    end_image: Any = None
    take: int | None = None
    new: bool = False
    backend: str | None = None
    max_cost: float | str | None = None
    frozen: bool | None = None
    webhook_url: str | None = None
    fit: str | None = None
    earlier: Call | None = None
    cell: str | None = None
    made_from: str | None = None
    fault: KlingError | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, prompt: str | None, arguments: Mapping[str, Any]) -> Call:
        """Return the call with these keyword arguments."""
        names = {one.name for one in fields(cls)} - {"prompt", "parameters"}
        named = {name: value for name, value in arguments.items() if name in names}
        return cls(
            prompt=prompt,
            parameters={name: value for name, value in arguments.items() if name not in names},
            **named,
        )

    @property
    def images(self) -> dict[str, Any]:
        """The start and end image by argument."""
        return {"image": self.image, "end_image": self.end_image}


class Outcome(StrEnum):
    """What a call does. Only SUBMIT sends a new job; all others cost nothing more.

    `WORDS` has the text for users.
    """

    REUSE = "REUSE"
    """The take is in the folder."""
    COPY = "COPY"
    """The take was paid for in another folder. It is copied into this one."""
    LIBRARY = "LIBRARY"
    """The take is in the studio's library. It is stored in this folder, too."""
    FOLLOW = "FOLLOW"
    """The same request is already running, in this process or in another one."""
    LOOK_UP = "LOOK_UP"
    """The request was sent without an answer. It is looked up in fal's list of requests."""
    ASK_RESULT = "ASK_RESULT"
    """fal has finished the job, and its file is not stored yet."""
    REFETCH = "REFETCH"
    """The job was paid for and stored, and its file is missing."""
    RESULT_GONE = "RESULT_GONE"
    """fal no longer had the result when last asked. A run asks once more; only `new` buys another take."""
    SUBMIT = "SUBMIT"
    """A new job is sent. This includes a job whose ledger row was written but which was never sent."""

    @property
    def is_take(self) -> bool:
        """True if the take exists, so that no job runs."""
        return self in {Outcome.REUSE, Outcome.COPY, Outcome.LIBRARY}


@dataclass(frozen=True, slots=True)
class Wording:
    """The text for users about an outcome.

    Attributes:
        brief: For counts and table rows: "2 already made, free".
        sentence: For all other places. `{price}` stands for `Plan.price`.
    """

    brief: str
    sentence: str


WORDS = {
    Outcome.REUSE: Wording("already made, free", "Already made, free."),
    Outcome.COPY: Wording(
        "copied from another folder, free", "Already made in another folder, and copied from there, free."
    ),
    Outcome.LIBRARY: Wording("from the studio library, free", "From the studio library, free."),
    Outcome.FOLLOW: Wording("already running, no extra charge", "Already running. No extra charge."),
    Outcome.LOOK_UP: Wording(
        "sent earlier, no answer",
        "Sent earlier, but fal did not answer. fal is asked whether it has the job; nothing is sent again.",
    ),
    Outcome.ASK_RESULT: Wording(
        "finished, no extra charge", "Finished at fal; the result is fetched. No extra charge."
    ),
    Outcome.REFETCH: Wording(
        "paid for, file missing", "Paid for; the file is missing and is fetched again. No extra charge."
    ),
    Outcome.RESULT_GONE: Wording(
        "result no longer at fal",
        "fal no longer keeps the result and is asked once more. Another take: {price}.",
    ),
    Outcome.SUBMIT: Wording("to make", "{price}."),
}
"""The only table of this text. Dry runs, cells, panel, job widget, sweeps and `kling-nb verify` read it."""

GET_BACK = "Run its cell again to get it back: free while fal keeps it."
"""What to do if a file of fal is missing whose job is in the ledger."""
PREVIEW_AGAIN = "Run its cell again: previews are free."
"""The same for a local preview."""
NO_RECORD = "There is no record of its job here: running its cell again sends a new one, at a new charge."
"""The same if the ledger does not have the job."""


def outcome_of(entry: Entry) -> Outcome:
    """Return what a call does if its request has this ledger row."""
    if entry.is_result_gone:
        return Outcome.RESULT_GONE
    if entry.state is State.READY:
        return Outcome.ASK_RESULT if entry.has_no_file else Outcome.REFETCH
    if entry.state is State.DOWNLOADING:
        return Outcome.ASK_RESULT
    if entry.is_unsent:
        return Outcome.SUBMIT
    unanswered = entry.state is State.UNCERTAIN or entry.is_abandoned
    return Outcome.LOOK_UP if unanswered and entry.request_id is None else Outcome.FOLLOW


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call would do. Nothing was sent.

    A plan is advice, because other kernels may submit the same request meanwhile. The claim in the ledger
    decides, and `Job.outcome` has the decision.

    Attributes:
        request: The validated request.
        settings: The settings of the call.
        found: The take that would be reused, or None.
        unfinished: The ledger row of the job that would be resumed instead of a new submission, or None: the
            job is running, its file is missing, or fal no longer has its result.
        webhook_url: Where fal would also deliver the result of a new submission, or None.
        notices: What the user should know about the endpoint, e.g. that its schema is old.
        options: How fal's queue would treat a new submission.
        take: Number of the take that is wanted, or None for the first one.
        new: True to make another take, whatever exists.
        elsewhere: The take in another folder that would be copied, or None.
        shared: The take in the studio's library that would be stored here, or None.
        library_fault: Why the library could not be asked, although it must be asked before a submission.
        refusal: The error that a run would raise at once, or None: `NoTake` (frozen), `MissingKey`,
            `BudgetExceeded` (also if a limit is set and no price is known), `LibraryError`, `UsageError`
            after the reload of a module, or an `InputError` if there is no local preview of the endpoint.
        about_earlier: If an earlier version sent the call in another form, a line about that; else empty.
        about_choice: If the take was chosen for the cell and differs from its request, or if the chosen one
            is missing, a line about that; else empty.
        made_from: Fingerprint of the request of the cell from which it is made, or None.
    """

    request: VideoRequest
    settings: Settings
    found: Take | None
    unfinished: Entry | None
    webhook_url: str | None = None
    notices: tuple[str, ...] = ()
    options: SubmitOptions | None = None
    take: int | None = None
    new: bool = False
    elsewhere: Take | None = None
    shared: Shared | None = None
    library_fault: LibraryError | None = None
    refusal: KlingError | None = None
    about_earlier: str = ""
    about_choice: str = ""
    made_from: str | None = None

    @property
    def about(self) -> tuple[str, ...]:
        """Lines for the user about a take that differs from the call."""
        return tuple(filter(None, (self.about_earlier, self.about_choice)))

    @property
    def outcome(self) -> Outcome:
        """What a run would do, unless it is refused."""
        if self.found is not None:
            return Outcome.REUSE
        if self.elsewhere is not None:
            return Outcome.COPY
        if self.shared is not None:
            return Outcome.LIBRARY
        return Outcome.SUBMIT if self.unfinished is None else outcome_of(self.unfinished)

    @property
    def submits(self) -> bool:
        """True if a run would send a new job."""
        return self.outcome is Outcome.SUBMIT

    @property
    def may_copy(self) -> bool:
        """True if a take of another folder may be copied, because fal would be paid for a new one."""
        wanted = not self.new and self.settings.reuse_elsewhere
        return wanted and self.settings.backend == "fal" and not self.settings.frozen

    @property
    def words(self) -> str:
        """What a run would do and cost, and how the take differs from the call."""
        text = WORDS[self.outcome].sentence.replace("{price}", self.price)
        return " ".join([text[:1].upper() + text[1:] if self.submits else text, *self.about])

    @property
    def price(self) -> str:
        """The cost of a submission in words, e.g. "about $0.70"."""
        usd = None if self.estimate is None else f"about ${self.estimate:.2f}"
        if self.settings.backend == "local":
            kind = "no local preview" if self.request.endpoint.fetched_at else "free preview"
            return f"{kind} ({usd} on fal)" if usd else kind
        return usd or f"no price on record for {self.request.endpoint.short_name}"

    @property
    def estimate(self) -> float | None:
        """The price of a submission at fal in US dollars, or None if no price is known."""
        return cost_of(self.request, self.settings)


class Planner:
    """Makes plans from the arguments of calls. Any thread."""

    def __init__(self, settings: Callable[..., Settings], connections: Connections) -> None:
        self._current = settings
        self._connections = connections
        self._shared = threading.local()

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Let the plans that this thread makes in the block share one look at settings, takes and ledger."""
        outer = getattr(self._shared, "look", None)
        self._shared.look = {} if outer is None else outer
        media = self._connections.media(self._settings(backend="local").media)
        try:
            with media.one_look():
                yield
        finally:
            self._shared.look = outer

    def _once(self, key: object, make: Callable[[], T]) -> T:
        """Call `make` and return its result. Within `one_look`, call it only once for each key.

        If a key contains the `id` of an object, the object must live as long as the look. Otherwise another
        object could get the same `id`.
        """
        look: dict[object, Any] | None = getattr(self._shared, "look", None)
        if look is None:
            return make()
        if key not in look:
            look[key] = make()
        found: T = look[key]
        return found

    def _settings(self, **call: Any) -> Settings:
        return self._once(repr(call), lambda: self._current(**call))  # a value may not be hashable

    def _may_have(self, of: MediaFolder | Ledger, request: VideoRequest) -> bool:
        """Return False if, by the current look, a folder has no sidecar or a ledger no row of the request."""
        if getattr(self._shared, "look", None) is None:
            return True
        return request.fingerprint in self._once(of, of.fingerprints)

    def _ledger(self, settings: Settings) -> Ledger:
        return self._once(("ledger", id(settings)), lambda: self._connections.ledger(settings))

    def plan(self, call: Call) -> Plan:
        """Return the plan of a call, or raise an `InputError`."""
        if call.fault is not None:
            return self._plan_refused(call, call.fault)
        try:
            return self._plan_accepted(call)
        except InputError as fault:
            return self._plan_refused(call, fault)

    def _plan_accepted(self, call: Call) -> Plan:
        take, new, webhook_url = call.take, call.new, call.webhook_url
        settings = self._settings(backend=call.backend, max_cost=call.max_cost, frozen=call.frozen)
        options, rest = SubmitOptions.split(call.parameters)
        request, about_endpoint = self._request(replace(call, parameters=rest), settings)
        if new and take is not None:
            raise UsageError("take and new cannot be used together.", remedy="Give only one of them.")
        if take is not None and (not isinstance(take, int) or take < 1):
            raise UsageError(f"take is {take!r}.", remedy="It must be a whole number from 1.")
        if webhook_url is not None:
            check_webhook(webhook_url, local=settings.backend == "local" or settings.hosts.loopback)
        made_from = call.made_from or (None if call.cell is None else request.fingerprint)
        chosen, about_choice = self._find_chosen(call, request, settings)
        if chosen is not None:
            request = self.request_of_take(request, chosen)
        found = chosen or (None if new else self.find(request, settings, take))
        unfinished = None if new or found else self._find_paid(request, settings, take)
        if settings.backend == "fal" and not (found or unfinished):
            about_endpoint += options.notices
        plan = Plan(request, settings, found, unfinished, webhook_url, about_endpoint, options, take, new)
        if plan.submits and not new:
            plan = self._find_earlier(plan)
        if plan.submits and plan.may_copy:
            plan = self._find_elsewhere(plan)
        if settings.library is not None and not new and plan.outcome in _MAY_BE_SHARED:
            plan = self._find_shared(plan)
        if plan.submits:
            if not settings.frozen:
                request.check(rehearsal=settings.backend == "local")
            plan = replace(plan, request=self.with_price_of_today(plan.request, settings))
        plan = replace(plan, about_choice=about_choice, made_from=made_from)
        return replace(plan, refusal=self._refusal(plan))

    def _find_chosen(self, call: Call, request: VideoRequest, settings: Settings) -> tuple[Take | None, str]:
        """Return the take that was chosen for a `%%kling NAME` cell, and a line for the user."""
        if not call.cell or call.new or call.take is not None:
            return None, ""
        media = self._connections.media(settings.media)
        take, missing = media.find_chosen(request.fingerprint, call.cell, REUSABLE[settings.backend])
        if missing is not None:
            again = missing.backend == "fal" and missing.request_id
            remedy = f" To fetch it again, free: %kling show {missing.request_id}." if again else ""
            return take, f"The take that you chose for {call.cell} is missing: {missing.file}.{remedy}"
        return take, _about_choice(call.cell, request, take) if take else ""

    def request_of_take(self, request: VideoRequest, take: Take) -> VideoRequest:
        """Return the request of a take that was made from the cell of `request`, whose files it may share."""
        known = take.sidecar
        if known.fingerprint == request.fingerprint:
            return request
        same = known.endpoint == request.endpoint.id
        chosen = request.endpoint if same else self.endpoint_of_job(known.endpoint)
        return as_recorded(replace(request, endpoint=chosen), known.fingerprint, known.input)

    def _find_earlier(self, plan: Plan) -> Plan:
        """Return the plan that shows what was paid for under an earlier fingerprint, or `plan` itself."""
        for fingerprint in plan.request.earlier:
            request = replace(plan.request, earlier=(), recorded=fingerprint)
            found = self.find(request, plan.settings, plan.take)
            row = None if found else self._find_paid(request, plan.settings, plan.take)
            if found is None and (row is None or outcome_of(row) is Outcome.SUBMIT):
                continue
            stored = found.sidecar.input if found else row.input if row else {}
            return _with_find(plan, fingerprint, stored, found=found, unfinished=row)
        return plan

    def _plan_refused(self, call: Call, fault: KlingError) -> Plan:
        """Return the plan of a refused call, if an earlier version accepted it and it was paid for.

        Else raise `fault`.
        """
        if call.earlier is None or call.new:
            raise fault
        try:
            plan = self.plan(call.earlier)
        except KlingError:
            raise fault from None
        if plan.submits:
            raise fault
        stored = plan.found.sidecar.input if plan.found else stored_input(plan.request)
        request = as_recorded(plan.request, plan.request.fingerprint, stored)
        return replace(plan, request=request, about_earlier=_about_earlier(None, stored))

    def with_price_of_today(self, request: VideoRequest, settings: Settings) -> VideoRequest:
        """Return the request with fal's price of today if none is on record. Ask fal if a limit needs it."""
        if not lacks_price(request, settings):
            return request
        known, ask = request.endpoint, is_limited(settings)
        _, endpoint = self._once(
            ("price", id(known), id(settings)),
            lambda: (known, self._connections.with_price_of_today(known, settings, ask=ask)),
        )
        return request if endpoint is request.endpoint else replace(request, endpoint=endpoint)

    def _find_elsewhere(self, plan: Plan) -> Plan:
        """Return the plan with the take or the running job of another folder, or `plan` itself."""
        request, ledger = plan.request, self._ledger(plan.settings)
        if not request.earlier and not self._may_have(ledger, request):
            return plan
        folder = plan.settings.ledger_folder
        for fingerprint in (request.fingerprint, *request.earlier):
            for entry in ledger.find_elsewhere(fingerprint, folder, plan.take):
                runs = entry.state is not State.READY
                found = None if runs else self.take_of(entry, plan.settings)
                if not runs and found is None:
                    continue
                stored = found.sidecar.input if found else entry.input
                unfinished = entry if runs else plan.unfinished
                return _with_find(plan, fingerprint, stored, elsewhere=found, unfinished=unfinished)
        return plan

    def _find_shared(self, plan: Plan) -> Plan:
        """Return the plan with the take of the studio's library, or `plan` itself."""
        request, settings = plan.request, plan.settings
        library = self._connections.library(settings)
        try:
            for fingerprint in (request.fingerprint, *request.earlier):
                shared = library.find(fingerprint, plan.take, REUSABLE[settings.backend])
                if shared is not None:
                    break
            else:
                return plan
        except LibraryError as fault:
            if plan.submits and not settings.library_optional:
                fault = LibraryError(f"{fault.message} {NOTHING_SENT}", remedy=fault.remedy)
                return replace(plan, library_fault=fault)
            return replace(plan, notices=(*plan.notices, f"The library was not asked. {fault.message}"))
        return _with_find(plan, fingerprint, shared.sidecar.input, shared=shared)

    def take_of(self, entry: Entry, settings: Settings) -> Take | None:
        """Return the stored take of a ledger row, or None."""
        media = self._connections.media_of(entry, settings)
        return media.take_of_request(entry.request_id, entry.backend)

    def _refusal(self, plan: Plan) -> KlingError | None:
        """Return the error that a run would raise now."""
        try:
            check_allowed(plan)
            if plan.submits:
                self._once("reloaded", lambda: check_not_reloaded(plan.settings.backend))
            limits = limits_of(plan.settings) if plan.submits else ()
            if limits:
                unsent = [plan.unfinished.id] if plan.unfinished else []
                self._connections.ledger(plan.settings).check_limits(limits, plan.estimate or 0.0, unsent)
        except KlingError as fault:
            without_frames(fault)
            return fault.with_traceback(None)  # the frames hold the settings, and with them the key
        return None

    def request(self, call: Call) -> VideoRequest:
        """Return the validated request of a call, or raise an `InputError`."""
        return self._request(call, self._settings())[0]

    def _request(self, call: Call, settings: Settings) -> tuple[VideoRequest, tuple[str, ...]]:
        """Return the request of a call and the notices about its endpoint."""
        named, chosen = self._choose_endpoint(_name(call.endpoint, settings), call.images, settings)
        try:
            request = _build(chosen, call)
        except InputError as fault:
            newer = self._newer(chosen, fault.parameter, settings)
            if newer is None:
                raise
            try:
                request = _build(newer, call)
            except InputError:
                raise fault from None
        if call.earlier is not None:
            with suppress(KlingError):  # what this version does not accept has no fingerprint
                rest = SubmitOptions.split(call.earlier.parameters)[1]
                was = self._request(replace(call.earlier, parameters=rest), settings)[0]
                others = dict.fromkeys((was.fingerprint, *was.earlier, *request.earlier))
                others.pop(request.fingerprint, None)
                request = replace(request, earlier=tuple(others))
        return request, (*notices(named, chosen), *request.warnings)

    def _newer(self, chosen: Endpoint, parameter: str | None, settings: Settings) -> Endpoint | None:
        """Return an endpoint of the package with its live schema, if the choices of `parameter` may be old.

        fal adds choices to long lists, such as effects. A live schema is fetched only for such a list, only
        with a key, and once a week. A mistake in any other parameter sends no request to fal.
        """
        known = chosen.input_schema.get("properties", {}).get(parameter, {})
        if settings.backend != "fal" or settings.key is None or "enum" not in known or chosen.fetched_at:
            return None
        try:
            is_long = len(known["enum"]) > _LONG_LIST
            newer = self._connections.endpoints(settings).find_newer(chosen, fetch=is_long)
            return newer if newer.fetched_at else None
        except KlingError:
            return None

    def endpoint(
        self,
        name: str | None = None,
        settings: Settings | None = None,
        *,
        refresh: bool = False,
        fetch: bool = True,
    ) -> Endpoint:
        """Return the endpoint of an id or short name, by default the usual one. See `Session.endpoint`."""
        settings = settings or self._settings()
        book = self._connections.endpoints(settings)
        return book.find(_name(name, settings), refresh=refresh, fetch=fetch)

    def endpoint_of_job(self, endpoint_id: str, settings: Settings | None = None) -> Endpoint:
        """Return the endpoint of an existing job. A missing schema must not block the job's result."""
        try:
            return self.endpoint(endpoint_id, settings, fetch=False)
        except UnknownEndpoint:
            if "/" not in endpoint_id:  # a mistyped short name
                raise
            return Endpoint(endpoint_id, endpoint_id, title=endpoint_id, category="")

    def find(
        self, request: VideoRequest, settings: Settings, take: int | None, *, recent: float = 0.0
    ) -> Take | None:
        """Return the take of a request, or None. See `MediaFolder.find`."""
        backends = REUSABLE[settings.backend]
        media = self._connections.media(settings.media)
        if not self._may_have(media, request):
            return None
        return media.find(request.fingerprint, take=take, backends=backends, recent=recent)

    def _choose_endpoint(
        self, name: str, images: Mapping[str, Any], settings: Settings
    ) -> tuple[Endpoint, Endpoint]:
        """Return the named endpoint and the one to use: with an image, its image-to-video counterpart."""
        book = self._once(("endpoints", id(settings)), lambda: self._connections.endpoints(settings))
        named = book.find(name)
        has_image = any(image is not None for image in images.values())
        return named, image_endpoint(named, book.find) if has_image else named

    def _find_paid(self, request: VideoRequest, settings: Settings, take: int | None) -> Entry | None:
        """Return the row that paid for this take (None: for any take), so that it is not bought again."""
        if not self._may_have(self._ledger(settings), request):
            return None
        return self._ledger(settings).find_same(
            settings.backend, request.fingerprint, settings.ledger_folder, take
        )


def _name(endpoint: Any, settings: Settings) -> str:
    """Return the name of the endpoint as a text. None and an empty text mean the one that is set."""
    return str(settings.endpoint if endpoint is None else endpoint) or settings.endpoint


def _build(chosen: Endpoint, call: Call) -> VideoRequest:
    return build_request(chosen, prompt=call.prompt, **call.images, parameters=call.parameters, fit=call.fit)


def _with_find(plan: Plan, fingerprint: str, stored: Mapping[str, Any], **found: Any) -> Plan:
    """Return the plan with what was found under a fingerprint, and the input that was sent for it."""
    plan = replace(plan, **found)
    if fingerprint == plan.request.fingerprint:
        return plan
    request, about = as_recorded(plan.request, fingerprint, stored), _about_earlier(plan.request, stored)
    return replace(plan, request=request, about_earlier=about)


def _about_earlier(request: VideoRequest | None, stored: Mapping[str, Any]) -> str:
    """Return the line about a request that an earlier version made of the same call.

    Args:
        request: The request of this version; None if this version does not accept the call.
        stored: The input that the earlier version sent.
    """
    now = stored_input(request) if request is not None else {"prompt": None}
    differing = [name for name in stored if name in now and stored[name] != now[name]]
    sent = [f"the {name} as {quote(stored[name], _SHOWN)}" for name in differing] or ["it in another form"]
    return f"Made by an earlier version, which sent {', '.join(sent)}. Nothing is sent now." + (
        " To send it as it is now, at a new charge: --new (API: new=True)." if request else ""
    )


def _about_choice(name: str, request: VideoRequest, take: Take) -> str:
    """Return the line about a chosen take whose parameters differ from those of its cell; else nothing."""
    wanted, stored = stored_input(request), take.sidecar.input
    differing = [one for one in {**wanted, **stored} if wanted.get(one) != stored.get(one)]
    if take.sidecar.endpoint != request.endpoint.id:
        differing.insert(0, "endpoint")
    if not differing or take.sidecar.fingerprint == request.fingerprint:
        return ""
    return (
        f"{name} is the take that you chose, with another {', '.join(differing)}."
        " That of the cell itself: --take 1."
    )


_MAY_BE_SHARED = {Outcome.SUBMIT, Outcome.LOOK_UP, Outcome.RESULT_GONE, Outcome.REFETCH}
"""Before these, the studio's library is asked."""

_LONG_LIST = 15
_SHOWN = 200  # characters of a value in a notice


# -- Price, limits, and the other reasons to refuse a submission.


def cost_of(request: VideoRequest, settings: Settings) -> float | None:
    """Return the expected price of `request` at fal in US dollars, or None if no price is known.

    A price from the setting `prices` overrides that of the catalogue.
    """
    endpoint = request.endpoint
    own = own_price(endpoint, settings)
    priced = endpoint if own is None else with_price(endpoint, own)
    return estimate(priced, request.resolved, request.input_seconds)


def intent_of(request: VideoRequest, settings: Settings, **more: Any) -> Intent:
    """Return the intent to submit a request, with `more` of its fields."""
    return Intent(
        backend=settings.backend,
        endpoint=request.endpoint.id,
        input=stored_input(request),
        fingerprint=request.fingerprint,
        folder=settings.ledger_folder,
        key_fingerprint=settings.key.fingerprint if settings.key else None,
        cost=cost_of(request, settings),
        limits=limits_of(settings),
        **more,
    )


def own_price(endpoint: Endpoint, settings: Settings) -> float | None:
    """Return the user's own price of an endpoint, in US dollars per second."""
    return settings.prices.get(endpoint.short_name, settings.prices.get(endpoint.id))


def lacks_price(request: VideoRequest, settings: Settings) -> bool:
    """Return True if a request may cost money and no price of its endpoint is on record."""
    charged = settings.backend == "fal" and settings.key is not None and not settings.frozen
    return charged and request.endpoint.price is None and own_price(request.endpoint, settings) is None


def is_limited(settings: Settings) -> bool:
    """Return True if a spending limit is set, so that a submission needs a price."""
    return settings.max_cost != math.inf and (settings.max_cost is not None or bool(limits_of(settings)))


def limits_of(settings: Settings) -> tuple[Limit, ...]:
    """Return the limits for all submissions together; none for free previews or if they are lifted."""
    if settings.backend != "fal" or settings.max_cost == math.inf:
        return ()
    limits = []
    whose = " (all accounts together)" if settings.account else ""
    if settings.budget is not None:
        name = f"the budget of this session{whose}"
        limits.append(Limit(name, settings.budget, session=session_of_this_process()))
    if settings.daily_budget is not None:
        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        limits.append(Limit(f"the budget of today{whose}", settings.daily_budget, since=midnight.timestamp()))
    return tuple(limits)


def check_cost(request: VideoRequest, settings: Settings) -> float | None:
    """Return the expected cost of one submission in US dollars, or None if no price is known.

    Raises:
        BudgetExceeded: The cost is above `max_cost`, or a limit is set and no price is known.
    """
    cost = cost_of(request, settings)
    if settings.backend != "fal" or settings.max_cost == math.inf:
        return cost
    if is_limited(settings) and cost is None:
        name = request.endpoint.short_name
        raise BudgetExceeded(
            f"A spending limit is set, and no price is known for {name}. Nothing was sent.",
            remedy=(
                "Lift the limit for this call: --max-cost none (API: max_cost='none'),\n"
                f"or set the price in US dollars per second: kling_nb.configure(prices={{{name!r}: 0.1}})"
            ),
        )
    if settings.max_cost is not None and cost is not None and cost > settings.max_cost:
        raise BudgetExceeded(
            f"This would cost about ${cost:.2f}, over --max-cost {settings.max_cost:g}. Nothing was sent.",
            remedy="Raise --max-cost (API: max_cost=), make it shorter, or choose another endpoint.",
        )
    return cost


def check_total_cost(requests: Sequence[tuple[VideoRequest, Settings]], settings: Settings) -> None:
    """Raise unless the submissions of a sweep, each and all together, are within `max_cost`.

    `settings` are those of the sweep. Their `max_cost` is the limit for all submissions together.

    Raises:
        BudgetExceeded: The cost is above `max_cost`, or a limit is set and a price is not known.
    """
    costs = [check_cost(request, own) for request, own in requests]
    limit = settings.max_cost
    if settings.backend != "fal" or limit is None or limit == math.inf:
        return
    for (request, _), cost in zip(requests, costs, strict=True):
        if cost is None:
            check_cost(request, settings)
    total = sum(cost or 0.0 for cost in costs)
    if total > limit + 1e-9:
        raise BudgetExceeded(
            f"{len(costs)} submissions would cost about ${total:.2f}, over --max-cost {limit:g}."
            " Nothing was sent.",
            remedy="Raise --max-cost (API: max_cost=), or give fewer values.",
        )


def no_take(
    request: VideoRequest, settings: Settings, *, new: bool = False, take: int | None = None
) -> NoTake:
    """Return the error of a request that needs a submission while `frozen` forbids one."""
    shown = request.prompt if len(request.prompt) <= 60 else request.prompt[:59] + "…"
    prompt, folder = repr(" ".join(shown.split())), f"{settings.media.name}/"
    if new:
        reason = f"no new take of {prompt} may be generated"
    elif take is None:
        reason = f"no take of {prompt} is in {folder}"
    else:
        reason = f"take {take} of {prompt} is not in {folder}"
    return NoTake(
        f"Frozen: {reason}. Nothing was sent.",
        remedy=(
            "kling-nb verify NOTEBOOK shows what is missing and why. To generate it, leave out --frozen,\n"
            "unset KLING_NB_FROZEN, or call kling_nb.configure(frozen=False)."
        ),
    )


def check_allowed(plan: Plan) -> None:
    """Raise unless the plan may run, as far as is known without the ledger. See `Plan.refusal`."""
    if plan.outcome.is_take:
        return
    if plan.library_fault is not None:
        raise plan.library_fault
    if plan.settings.frozen:
        raise no_take(plan.request, plan.settings, new=plan.new, take=plan.take)
    check_backend(plan)
    if plan.submits:
        check_cost(plan.request, plan.settings)


def check_not_reloaded(backend: str) -> None:
    """Raise a `UsageError` if a submission costs money and a module was reloaded, which may lose a limit."""
    module = reloaded_module() if backend == "fal" else None
    if module is not None:
        raise UsageError(
            f"{module} was changed and loaded again in this process, so settings and limits may be lost."
            " Nothing was sent.",
            remedy="Restart the kernel and run the notebook again. What runs at fal is resumed.",
        )


def check_backend(plan: Plan) -> None:
    """Raise `MissingKey` if fal needs a key, or `InputError` if there is no preview of the endpoint."""
    plan.settings.need_key()
    if plan.settings.backend == "local" and plan.request.endpoint.fetched_at:
        raise InputError(
            f"There is no local preview of {plan.request.endpoint.id}: it does not come with kling_nb.",
            remedy="Set a key and use fal: %kling fal (API: backend='fal'). Nothing was sent.",
            parameter="endpoint",
        )
