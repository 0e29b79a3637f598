"""`Plan`: what a call would do, found out without doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kling_nb._arguments import build_request, notices, with_picture
from kling_nb._budget import cost_of
from kling_nb._places import Places
from kling_nb._settings import Settings
from kling_nb.catalog import Endpoint
from kling_nb.errors import UnknownEndpoint, UsageError
from kling_nb.fal.options import SubmitOptions
from kling_nb.fal.webhook_address import check_webhook
from kling_nb.ledger import Entry, Selection
from kling_nb.media import Take
from kling_nb.request import VideoRequest

REUSABLE = {"fal": ("fal",), "local": ("fal", "local")}
"""Whose takes satisfy a backend: a key must never leave a preview in place of the real thing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call would do. Nothing was sent.

    Attributes:
        request: The validated request.
        settings: What holds for it.
        found: The take that would be shown instead of a submission.
        unfinished: The submission that would be taken up instead of a new one: one that is under way, one
            that was filed, and whose file is no longer there, or one whose result fal kept no longer.
        webhook_url: Where a new submission's result would be delivered too, or None.
        notices: What is to be said of the endpoint: that it is the sister of the one named, that its
            schema is old.
        options: How fal's queue would be asked to treat a new submission.
        take: Which take is wanted, or None for the first there is.
        new: Whether it is to be another one, whatever exists.
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

    @property
    def submits(self) -> bool:
        """Whether a new submission would come of it. What was written down and never sent still is one."""
        return self.found is None and (self.unfinished is None or self.unfinished.never_sent)

    @property
    def estimate(self) -> float | None:
        """US dollars that fal would ask for it, or None where no price is known."""
        return cost_of(self.request, self.settings)


class Planner:
    """Turns the arguments of a call into a plan. Any thread.

    Args:
        settings: The settings of a call.
        places: Where takes, rows and endpoints are looked up.
    """

    def __init__(self, settings: Callable[..., Settings], places: Places) -> None:
        self._settings = settings
        self._places = places

    def plan(
        self,
        prompt: str | None,
        *,
        endpoint: str | None,
        pictures: Mapping[str, Any],
        take: int | None,
        new: bool,
        settings: Settings,
        webhook_url: str | None,
        parameters: Mapping[str, Any],
    ) -> Plan:
        """The plan of a call; see `Session.submit` for what the arguments mean.

        Raises:
            InputError: Bad input.
        """
        named, chosen = self._chosen(endpoint or settings.endpoint, pictures, settings)
        options, rest = SubmitOptions.split(parameters)
        request = build_request(chosen, prompt=prompt, **pictures, parameters=rest)
        said = notices(named, chosen)
        if new and take is not None:
            raise UsageError("take and new contradict each other.", remedy="Give one of them.")
        if take is not None and (not isinstance(take, int) or take < 1):
            raise UsageError(f"take is {take!r}.", remedy="It must be a whole number from 1.")
        if webhook_url is not None:
            check_webhook(webhook_url, local=settings.backend == "local" or settings.hosts.loopback)
        if new:
            return Plan(request, settings, None, None, webhook_url, said, options, new=True)
        found = self.find(request, settings, take)
        unfinished = None if found else self._paid_like(request, settings, take)
        return Plan(request, settings, found, unfinished, webhook_url, said, options, take)

    def request(
        self, prompt: str | None, *, endpoint: str, pictures: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> VideoRequest:
        """A validated request.

        Raises:
            InputError: Bad input.
        """
        _, chosen = self._chosen(endpoint, pictures, self._settings())
        return build_request(chosen, prompt=prompt, **pictures, parameters=parameters)

    def endpoint(self, name: str | None = None, *, refresh: bool = False, fetch: bool = True) -> Endpoint:
        """The endpoint of an id or short name, by default the one that is set. See `Session.endpoint`."""
        settings = self._settings()
        book = self._places.endpoints(settings)
        return book.find(name or settings.endpoint, refresh=refresh, fetch=fetch)

    def once_used(self, endpoint_id: str) -> Endpoint:
        """The endpoint of a job. One whose schema is not here any more must not keep its result away."""
        try:
            return self.endpoint(endpoint_id, fetch=False)
        except UnknownEndpoint:
            if "/" not in endpoint_id:  # a short name, mistyped
                raise
            return Endpoint(endpoint_id, endpoint_id, title=endpoint_id, category="")

    def find(self, request: VideoRequest, settings: Settings, take: int | None) -> Take | None:
        """The take that answers a request, or None."""
        backends = REUSABLE[settings.backend]
        return self._places.media(settings.media).find(request.fingerprint, take=take, backends=backends)

    def _chosen(
        self, name: str, pictures: Mapping[str, Any], settings: Settings
    ) -> tuple[Endpoint, Endpoint]:
        """The endpoint that is named, and the one to use: its sister where a picture asks for it."""
        find = self._places.endpoints(settings).find
        named = find(name)
        pictured = any(picture is not None for picture in pictures.values())
        return named, with_picture(named, find) if pictured else named

    def _paid_like(self, request: VideoRequest, settings: Settings, take: int | None) -> Entry | None:
        """What was submitted already for this take, or any if none is named: it is not bought again."""
        unfinished = self._unfinished_like(request, settings, take)
        if unfinished is not None or settings.backend != "fal":
            return unfinished
        paid = self._places.ledger(settings).paid_like(
            request.fingerprint, settings.media, take or 1, any_take=take is None
        )
        return next(iter(paid), None)

    def _unfinished_like(self, request: VideoRequest, settings: Settings, take: int | None) -> Entry | None:
        alike = Selection(fingerprint=request.fingerprint, unfinished=True)
        found = [
            entry
            for entry in self._places.ledger(settings).entries(alike, limit=1000)
            if entry.backend == settings.backend
            and take in {None, entry.take}
            and (entry.backend == "fal" or entry.ours)
            and entry.belongs_in(settings.media)
        ]
        here, usual = str(settings.media), take or 1
        found.sort(key=lambda entry: (entry.folder != here, entry.take != usual))
        return next(iter(found), None)
