"""Requests that fal lists, by endpoint and time (FAL-PROTOCOL §12.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from kling_nb import errors
from kling_nb.fal.http import Http
from kling_nb.fal.replies import json_object

PAGE = 100
MOST_PAGES = 50


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
    for _ in range(MOST_PAGES):
        page = await _page(http, query)
        for item in page["items"]:
            if request := _request(item, endpoint_id):
                found[request.request_id] = request
        cursor = page.get("next_cursor")
        if not cursor or page.get("has_more") is False:
            return tuple(found.values())
        query["cursor"] = str(cursor)
    raise errors.UnreachableError(f"fal lists more than {PAGE * MOST_PAGES:,} requests of that time.")


async def _page(http: Http, query: Mapping[str, str]) -> dict[str, Any]:
    url = f"{http.hosts.api.rstrip('/')}/v1/models/requests/by-endpoint?{urlencode(query)}"
    answer = await http.exchange("GET", url)
    page = json_object(answer.content)
    if answer.is_success and page is not None and isinstance(page.get("items"), list):
        return page
    if answer.is_success:
        raise errors.UnreachableError("fal's list of requests does not read.")
    raise errors.from_response(
        answer.status_code, answer.headers, answer.content, what="Looking for the request"
    )


def _request(item: Any, endpoint_id: str) -> EarlierRequest | None:
    if not isinstance(item, dict) or item.get("endpoint_id", endpoint_id) != endpoint_id:
        return None
    request_id, given = item.get("request_id"), item.get("json_input")
    if not isinstance(request_id, str) or not request_id:
        return None
    return EarlierRequest(request_id, given if isinstance(given, dict) else None)


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
