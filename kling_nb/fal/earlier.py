"""Requests that fal lists, by endpoint and time (FAL-PROTOCOL §12.4)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from kling_nb import errors
from kling_nb.fal.http import Http
from kling_nb.fal.refusals import from_response
from kling_nb.fal.replies import json_object

PAGE = 100
MOST_PAGES = 50
CLOCKS_AGREE = 60.0
"""Seconds by which this machine's clock and fal's may differ before it makes a difference."""
NO_CLOCK = 10 * 365 * 86_400.0
"""Seconds from which on a difference is none of clocks."""


@dataclass(frozen=True, slots=True)
class EarlierRequest:
    """A request as fal lists it.

    Attributes:
        request_id: fal's id.
        input: What was sent; None where the account keeps no payloads.
    """

    request_id: str
    input: Mapping[str, Any] | None


async def earlier_requests(
    http: Http, endpoint_id: str, *, start: float, end: float
) -> tuple[EarlierRequest, ...]:
    """All requests of an endpoint that this account sent between two times.

    The times are this machine's. Where its clock is wrong, by fal's answer, those between the same times by
    fal's clock are among them: a request listed at another hour must not be taken for one that is not.

    Args:
        http: Connections, with a key of the account.
        endpoint_id: Full id.
        start: Unix seconds.
        end: Unix seconds, excluded.

    Raises:
        ResponseError: Refused.
        UnreachableError: No answer, or none that is a list.
    """
    query = {
        "endpoint_id": endpoint_id,
        "start": _stamp(start),
        "end": _stamp(end),
        "expand": "payloads",
        "limit": str(PAGE),
    }
    found: dict[str, EarlierRequest] = {}
    page, ahead = await _page(http, query)
    if CLOCKS_AGREE < abs(ahead) < NO_CLOCK:
        query |= {"start": _stamp(start + min(ahead, 0.0)), "end": _stamp(end + max(ahead, 0.0))}
        page, _ = await _page(http, query)
    for _ in range(MOST_PAGES):
        for item in page["items"]:
            if request := _request(item, endpoint_id):
                found[request.request_id] = request
        cursor = page.get("next_cursor")
        if not cursor or page.get("has_more") is False:
            return tuple(found.values())
        query["cursor"] = str(cursor)
        page, _ = await _page(http, query)
    raise errors.UnreachableError(f"fal lists more than {PAGE * MOST_PAGES:,} requests of that time.")


async def _page(http: Http, query: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    """One page, and by how many seconds fal's clock is ahead of this machine's."""
    url = f"{http.hosts.api.rstrip('/')}/v1/models/requests/by-endpoint?{urlencode(query)}"
    answer = await http.exchange("GET", url)
    page = json_object(answer.content)
    if answer.is_success and page is not None and isinstance(page.get("items"), list):
        return page, _ahead(answer.headers.get("date"))
    if answer.is_success:
        raise errors.UnreachableError("fal's list of requests does not read.")
    raise from_response(answer.status_code, answer.headers, answer.content, what="Looking for the request")


def _ahead(date: str | None) -> float:
    """How far the clock of a `Date` header is ahead of this machine's; 0 where that is not told."""
    with suppress(TypeError, ValueError, OverflowError):
        return parsedate_to_datetime(date or "").timestamp() - time.time()
    return 0.0


def _request(item: Any, endpoint_id: str) -> EarlierRequest | None:
    if not isinstance(item, dict) or item.get("endpoint_id", endpoint_id) != endpoint_id:
        return None
    request_id, given = item.get("request_id"), item.get("json_input")
    if not isinstance(request_id, str) or not request_id:
        return None
    return EarlierRequest(request_id, given if isinstance(given, dict) else None)


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
