"""Whether there may be a submission: the price that is known, the limits that are set, or none at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from kling_nb._settings import Settings
from kling_nb.catalog import Endpoint
from kling_nb.catalog.estimate import estimate, with_price
from kling_nb.errors import BudgetExceeded, NoTake
from kling_nb.ledger import Limit, session_of_this_process
from kling_nb.request import VideoRequest


def cost_of(request: VideoRequest, settings: Settings) -> float | None:
    """US dollars that fal is expected to ask for `request`, or None where no price is known.

    A price the user set goes before the catalogue's.
    """
    own = _own_price(request.endpoint, settings)
    chosen = request.endpoint if own is None else with_price(request.endpoint, own)
    return estimate(chosen, request.resolved)


def _own_price(endpoint: Endpoint, settings: Settings) -> float | None:
    return settings.prices.get(endpoint.short_name, settings.prices.get(endpoint.id))


def limits_of(settings: Settings) -> tuple[Limit, ...]:
    """The limits that hold across submissions; none for free previews, or where they are lifted."""
    if settings.backend != "fal" or settings.max_cost == math.inf:
        return ()
    limits = []
    if settings.budget is not None:
        limits.append(Limit("the budget of this session", settings.budget, session=session_of_this_process()))
    if settings.daily_budget is not None:
        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        limits.append(Limit("the budget of today", settings.daily_budget, since=midnight.timestamp()))
    return tuple(limits)


def check_cost(request: VideoRequest, settings: Settings) -> float | None:
    """The expected cost, where it is within the limit for one submission.

    Raises:
        BudgetExceeded: It is above `max_cost`; or a limit is set and no price is known.
    """
    cost = cost_of(request, settings)
    if settings.backend != "fal" or settings.max_cost == math.inf:
        return cost
    limited = settings.max_cost is not None or bool(limits_of(settings))
    if limited and cost is None:
        name = request.endpoint.short_name
        raise BudgetExceeded(
            f"There is a spending limit, and no price is known for {name}. Nothing was sent.",
            remedy=(
                "Lift the limit for this one: --max-cost none (API: max_cost='none'),\n"
                f"or say its price in US dollars a second: kling_nb.configure(prices={{{name!r}: 0.1}})"
            ),
        )
    if settings.max_cost is not None and cost is not None and cost > settings.max_cost:
        raise BudgetExceeded(
            f"This would cost about ${cost:.2f}, over --max-cost {settings.max_cost:g}. Nothing was sent.",
            remedy="Raise --max-cost (API: max_cost=), make it shorter, or choose another endpoint.",
        )
    return cost


def check_whole(requests: Sequence[tuple[VideoRequest, Settings]], settings: Settings) -> None:
    """See that each part of a sweep, and the whole, may cost what it is expected to.

    Args:
        requests: What needs a submission, each with the settings that hold for it.
        settings: Those of the whole: its `max_cost` is a limit for all of them together.

    Raises:
        BudgetExceeded: It is above `max_cost`; or a limit is set and a price is not known.
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
            remedy="Raise --max-cost (API: max_cost=), or vary fewer things.",
        )


def no_take(
    request: VideoRequest, settings: Settings, *, new: bool = False, take: int | None = None
) -> NoTake:
    """The error of a request that would have to be submitted while that is not allowed."""
    shown = request.prompt if len(request.prompt) <= 60 else request.prompt[:59] + "…"
    wanted = f"Take {take}" if take is not None else "No take"
    missing = (
        "A new take was asked for"
        if new
        else f"{wanted} of it is {'not ' * (take is not None)}in {settings.media.name}/"
    )
    return NoTake(
        f"Frozen: {' '.join(shown.split())!r} was not submitted. {missing}.",
        remedy=(
            "kling-nb verify NOTEBOOK says what is missing, and why. To make it, end the freeze: leave out\n"
            "--frozen, unset KLING_NB_FROZEN, or kling_nb.configure(frozen=False)."
        ),
    )
