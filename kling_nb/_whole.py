"""The submissions of a sweep taken together: checked before any is sent, and paid for as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from kling_nb._budget import check_whole, cost_of, limits_of, no_take
from kling_nb._job import Job
from kling_nb._plan import Plan
from kling_nb._settings import Settings
from kling_nb.catalog import Endpoint
from kling_nb.errors import InputError, LedgerError, MissingKey
from kling_nb.ledger import Ledger, Limit


class Whole:
    """What a sweep is to submit. Its price is held in the ledger from the start, so that it can be completed.

    Threads: any.

    Args:
        plans: The new submissions, each request once.
        settings: Those of the whole: its `max_cost` is a limit for all of them together.
        ledger: Gives the ledger of settings.
        launch: Does what was planned, with money of a hold.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        settings: Settings,
        *,
        ledger: Callable[[Settings], Ledger],
        launch: Callable[[Plan, str | None], Job],
    ) -> None:
        self._plans = plans
        self._settings = settings
        self._ledger = ledger
        self._launch = launch
        self._hold: str | None = None

    def check(self) -> None:
        """See that all of it is within the limits now, and can be made. Nothing is reserved.

        Raises:
            MissingKey: There is no key for it.
            InputError: The embedded engine cannot make it.
            BudgetExceeded: It would cost more than a limit allows.
        """
        for plan in self._plans:
            check_possible(plan)
        check_whole([(plan.request, plan.settings) for plan in self._plans], self._settings)
        limits, cost, unsent = self._terms()
        if limits:
            self._ledger(self._settings).check_limits(limits, cost, unsent)

    def check_frozen(self) -> None:
        """See that nothing has to be submitted where nothing may be.

        Raises:
            NoTake: It has.
        """
        if self._plans and self._plans[0].settings.frozen:
            first = self._plans[0]
            raise no_take(first.request, first.settings, new=first.new, take=first.take)

    def reserve(self) -> None:
        """Hold the price of all of it, where there is a limit.

        Raises:
            BudgetExceeded: It would go over one. Nothing is held.
        """
        limits, cost, unsent = self._terms()
        if limits and self._hold is None:
            self._hold = self._ledger(self._settings).reserve(limits, cost, unsent)

    def launch(self, plan: Plan) -> Job:
        """Do what was planned for one cell."""
        return self._launch(plan, self._hold)

    def release(self) -> None:
        """Give back what is held for submissions that do not come any more. Blocks."""
        hold, self._hold = self._hold, None
        if hold is not None:
            with suppress(LedgerError):  # it is void when this process ends
                self._ledger(self._settings).release(hold)

    def _terms(self) -> tuple[tuple[Limit, ...], float, list[str]]:
        """The limits, the price, and the rows that were left unsent and are among what it pays for."""
        paid = [plan for plan in self._plans if plan.settings.backend == "fal"]
        limits = limits_of(paid[0].settings) if paid else ()
        cost = sum(cost_of(plan.request, plan.settings) or 0.0 for plan in paid)
        return limits, cost, [plan.unfinished.id for plan in paid if plan.unfinished is not None]


def check_possible(plan: Plan) -> None:
    """See that a submission can be made at all.

    Raises:
        MissingKey: Backend fal without a key.
        InputError: The embedded engine has no preview of it.
    """
    if plan.settings.backend == "fal" and plan.settings.key is None:
        raise MissingKey
    if plan.settings.backend == "local" and plan.request.endpoint.fetched_at:
        raise _no_preview(plan.request.endpoint)


def _no_preview(chosen: Endpoint) -> InputError:
    return InputError(
        f"The embedded engine has previews only of endpoints that come with kling_nb, not of {chosen.id}.",
        remedy="With a key it goes to fal: %kling fal (API: backend='fal'). Nothing was sent.",
        parameter="endpoint",
    )
