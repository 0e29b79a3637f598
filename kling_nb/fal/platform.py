"""fal's platform API: earlier requests, prices and schemas (FAL-PROTOCOL §12)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from kling_nb import errors
from kling_nb._files import parse_object
from kling_nb._lazy import httpx
from kling_nb.fal.hosts import Hosts, domain_of
from kling_nb.fal.http import Http, unreachable_error
from kling_nb.fal.patience import Patience, Retry
from kling_nb.fal.replies import refusal

PAGE = 100
MAX_PAGES = 200
CLOCK_TOLERANCE = 60.0
"""Seconds by which this machine's clock may differ from fal's without a second query."""
MAX_CLOCK_DIFFERENCE = 10 * 365 * 86_400.0
"""Seconds. A larger difference does not come from a wrong clock, and is ignored."""


@dataclass(frozen=True, slots=True)
class EarlierRequest:
    """An earlier request in fal's list.

    Attributes:
        request_id: fal's id.
        input: The input that was sent, or None if the account stores no payloads.
        sent_at: Unix seconds by fal's clock, or None if fal does not say.
    """

    request_id: str
    input: Mapping[str, Any] | None
    sent_at: float | None


async def earlier_requests(
    http: Http, endpoint_id: str, *, start: float, end: float
) -> tuple[EarlierRequest, ...]:
    """Return the requests that this account sent to an endpoint between two times.

    fal does not document whether its own `start` and `end` mean the submission or the end of a request
    (FAL-PROTOCOL §12.4). So the query reaches until now, and `sent_at` decides here.

    The times are those of this machine. If its clock differs from fal's, the query covers the same times on
    both clocks. Otherwise a request that fal lists at another hour would seem never to have arrived.

    `start` and `end` (excluded) are unix seconds.

    Raises:
        ResponseError: Refused.
        UnreachableError: No answer, or an answer that is not a list.
    """
    query = {
        "endpoint_id": endpoint_id,
        "start": _stamp(start),
        "end": _stamp(time.time() + CLOCK_TOLERANCE),
        "expand": "payloads",
        "limit": str(PAGE),
    }
    found: dict[str, EarlierRequest] = {}
    page, ahead = await _page(http, query)
    if CLOCK_TOLERANCE < abs(ahead) < MAX_CLOCK_DIFFERENCE:
        start, end = start + min(ahead, 0.0), end + max(ahead, 0.0)
        until = time.time() + max(ahead, 0.0) + CLOCK_TOLERANCE
        query |= {"start": _stamp(start), "end": _stamp(until)}
        page, _ = await _page(http, query)
    for _ in range(MAX_PAGES):
        for item in page["items"]:
            request = _request(item, endpoint_id)
            if request and (request.sent_at is None or start <= request.sent_at < end):
                found[request.request_id] = request
        if not _has_next(page, query):
            return tuple(found.values())
        page, _ = await _page(http, query)
    raise errors.UnreachableError(f"fal lists more than {PAGE * MAX_PAGES:,} requests for this time.")


async def _page(http: Http, query: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    """Fetch one page. Return it with the seconds by which fal's clock is ahead of this machine's."""
    answer = await http.exchange("GET", _url(http, "models/requests/by-endpoint", query))
    if not answer.is_success:
        raise refusal(answer, "Looking for the request")
    page = parse_object(answer.content) or {}
    if not isinstance(page.get("items"), list):
        raise errors.UnreachableError("fal's list of requests cannot be read.")
    return page, _clock_difference(answer.headers.get("date"))


def _has_next(page: Mapping[str, Any], query: dict[str, str]) -> bool:
    """Return True if a page has a next one, for which `query` then asks."""
    cursor = page.get("next_cursor")
    query |= {"cursor": str(cursor)} if cursor else {}
    return bool(cursor) and page.get("has_more") is not False


def _url(http: Http, path: str, query: Mapping[str, str]) -> str:
    return f"{http.hosts.api.rstrip('/')}/v1/{path}?{urlencode(query)}"


def _clock_difference(date: str | None) -> float:
    """Return the seconds by which a `Date` header is ahead of this machine's clock, or 0 without a date."""
    with suppress(TypeError, ValueError, OverflowError):
        return parsedate_to_datetime(date or "").timestamp() - time.time()
    return 0.0


def _request(item: Any, endpoint_id: str) -> EarlierRequest | None:
    if not isinstance(item, dict) or item.get("endpoint_id", endpoint_id) != endpoint_id:
        return None
    request_id, given = item.get("request_id"), item.get("json_input")
    if not isinstance(request_id, str) or not request_id:
        return None
    sent_at = None
    with suppress(TypeError, ValueError, OverflowError):
        sent_at = _seconds(str(item.get("sent_at")))
    return EarlierRequest(request_id, given if isinstance(given, dict) else None, sent_at)


def _seconds(stamp: str) -> float:
    """Return the unix seconds of fal's times, which are in UTC."""
    moment = datetime.fromisoformat(stamp)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class LivePrice:
    """fal's price of an endpoint with its default settings (FAL-PROTOCOL §12.2).

    Attributes:
        usd: Price of one unit, in `currency` if that is not USD.
        unit: fal's word for the unit, such as "seconds" or "videos".
        currency: Three letters.
    """

    usd: float
    unit: str
    currency: str

    def __str__(self) -> str:
        amount = f"${self.usd:g}" if self.currency == "USD" else f"{self.usd:g} {self.currency}"
        return f"{amount} per {self.unit.removesuffix('s')}"


async def live_price(http: Http, endpoint_id: str) -> LivePrice:
    """Fetch fal's price of an endpoint. The request needs a key.

    Raises:
        ResponseError: Refused, or fal has no price for this endpoint.
        UnreachableError: No answer.
    """
    answer = await http.exchange("GET", _url(http, "models/pricing", {"endpoint_id": endpoint_id}))
    for entry in _entries(answer, "prices", endpoint_id):
        amount = entry.get("unit_price")
        if isinstance(amount, (int, float)):
            unit, currency = entry.get("unit") or "unit", entry.get("currency") or "USD"
            return LivePrice(float(amount), str(unit), str(currency))
    raise refusal(answer, "Asking for the price")


def _entries(answer: httpx.Response, name: str, endpoint_id: str) -> list[dict[str, Any]]:
    """Return the entries of a list in an answer that are about an endpoint; none of a refusal."""
    found = (parse_object(answer.content) or {}).get(name) if answer.is_success else None
    entries = found if isinstance(found, list) else []
    return [one for one in entries if isinstance(one, dict) and one.get("endpoint_id") == endpoint_id]


@dataclass(frozen=True, slots=True)
class BilledRequest:
    """What fal billed for one request (FAL-PROTOCOL §12.5).

    Attributes:
        request_id: fal's id.
        endpoint_id: Full id.
        billed_at: Unix seconds of the first billing event.
        units: Units of all its events.
        usd: US dollars of all its events, discounts included.
    """

    request_id: str
    endpoint_id: str
    billed_at: float
    units: float
    usd: float


async def billed_requests(http: Http, *, start: float, end: float) -> dict[str, BilledRequest]:
    """Return what fal billed this account between two times, by request id.

    fal's billing events appear with a delay. The key needs ADMIN scope. `start` and `end` (excluded) are unix
    seconds, at most 90 days apart.

    Raises:
        ResponseError: Refused.
        UnreachableError: No answer, or an answer that cannot be read.
    """
    query = {"start": _stamp(start), "end": _stamp(end), "limit": "1000"}
    events: dict[BilledRequest, None] = {}  # new events may move one to the next page, so that it comes twice
    for _ in range(MAX_PAGES):
        answer = await http.exchange("GET", _url(http, "models/billing-events", query))
        page = parse_object(answer.content) or {}
        if not answer.is_success:
            fault = refusal(answer, "Asking for the bill")
            if isinstance(fault, (errors.AuthenticationError, errors.AccessDenied)):
                fault.remedy = (
                    "fal shows its bill only to a key with ADMIN scope: https://fal.ai/dashboard/keys.\n"
                    "Set it with kling_nb.configure(credentials=…) or FAL_KEY, then try again."
                )
            raise fault
        if not isinstance(page.get("billing_events"), list):
            raise errors.UnreachableError("fal's list of billing events cannot be read.")
        events |= dict.fromkeys(filter(None, map(_parse_billing_event, page["billing_events"])))
        if not _has_next(page, query):
            return _by_request(events)
    raise errors.UnreachableError("fal lists too many billing events. Ask for fewer days.")


def _parse_billing_event(event: Any) -> BilledRequest | None:
    """Return a billing event. Its cost is in `cost_total`, in nano dollars, or units times price."""
    with suppress(ArithmeticError, KeyError, TypeError, ValueError):
        units = float(event.get("output_units") or 0.0)
        if event.get("cost_total") is not None:
            usd = float(event["cost_total"])
        elif event.get("cost_estimate_nano_usd") is not None:
            usd = float(event["cost_estimate_nano_usd"]) / 1e9
        else:
            usd = units * float(event["unit_price"]) * (1 - float(event.get("percent_discount") or 0.0) / 100)
        at = _seconds(event["timestamp"])
        if event["request_id"]:
            return BilledRequest(str(event["request_id"]), str(event["endpoint_id"]), at, units, usd)
    return None


def _by_request(events: Iterable[BilledRequest]) -> dict[str, BilledRequest]:
    """Add up the events of each request, for example a charge and its correction."""
    found: dict[str, BilledRequest] = {}
    for event in events:
        known = found.get(event.request_id)
        if known is not None:
            at, units = min(known.billed_at, event.billed_at), known.units + event.units
            event = replace(known, billed_at=at, units=units, usd=known.usd + event.usd)  # noqa: PLW2901
        found[event.request_id] = event
    return found


async def is_deprecated(http: Http, endpoint_id: str) -> bool:
    """Return True if fal lists an endpoint as deprecated (FAL-PROTOCOL §16.10). Ask once.

    False also means that fal does not answer or does not list it: this is only a hint.
    """
    url = _url(http, "models", {"endpoint_id": endpoint_id})
    with suppress(httpx.RequestError, errors.KlingError):
        answer = await http.answer(http.short, "GET", url, headers=http.key_header(url))
        for model in _entries(answer, "models", endpoint_id):
            about = model.get("metadata")
            return isinstance(about, dict) and about.get("status") == "deprecated"
    return False


async def name_deprecation(http: Http, endpoint_id: str, fault: errors.EndpointNotFound) -> None:
    """Add to the error of a 404 that fal lists the endpoint as deprecated, if it does."""
    if await is_deprecated(http, endpoint_id):
        fault.message = f"{fault.message.rstrip('.')}. fal lists {endpoint_id} as deprecated."
        fault.remedy = "Choose another endpoint: %kling endpoints lists the known ones."


SIGNED_SECONDS = 86_400
"""Seconds for which a signed URL works. A download that breaks may continue on a later try."""


async def signed_url(http: Http, url: str) -> str:
    """Return a signed URL of a file on fal's CDN, which works whatever the file's ACL is.

    Written from fal's reference (https://fal.ai/docs/platform-apis/v1/storage/files/sign), not tested against
    the real service. The key needs the permission `assets:read`. Signing is free. An old signature in the
    query of `url` is removed, as fal requires.

    Raises:
        ResponseError: Refused.
        UnreachableError: No answer, or no URL of the same file in it.
    """
    plain = url.partition("?")[0]
    asked = _url(http, "storage/files/sign", {"url": plain})
    headers, body = http.key_header(asked), {"expiration_seconds": SIGNED_SECONDS}
    try:
        answer = await http.answer(http.short, "POST", asked, json=body, headers=headers)
    except httpx.RequestError as fault:
        raise unreachable_error(asked, fault) from fault
    if not answer.is_success:
        raise refusal(answer, "Signing the URL")
    signed = str((parse_object(answer.content) or {}).get("signed_url"))
    if domain_of(signed) == domain_of(plain) != "" and urlsplit(signed).path == urlsplit(plain).path:
        return signed
    raise errors.UnreachableError("The answer names no URL of this file.")


MAX_DOCUMENT_BYTES = 4 * 2**20
"""Bytes of a schema document. A usual one has about 20 kB."""

_TWO_TRIES = Retry(attempts=2, cap=3.0, longest=3.0)
"""Few tries, because a user waits for the answer and a stored document may replace it."""


async def fetch_document(hosts: Hosts, endpoint_id: str, *, patience: Patience | None = None) -> Any:
    """Fetch the OpenAPI document of an endpoint. It is public, so no key is sent (FAL-PROTOCOL §12.6).

    Returns:
        The parsed JSON, or None if fal has no endpoint with this id.

    Raises:
        UnreachableError: No answer, or an answer that is not a document.
    """
    query = f"endpoint_id={quote(endpoint_id, safe='')}"
    url = f"{hosts.schema.rstrip('/')}/api/openapi/queue/openapi.json?{query}"
    http = Http(hosts, lambda: None, retry=_TWO_TRIES, patience=patience)
    try:
        answer = await http.exchange("GET", url)
    finally:
        await http.aclose()
    if answer.status_code == 404:
        return None
    if not answer.is_success:
        raise unreachable_error(url, RuntimeError(f"it answers {answer.status_code}"))
    if len(answer.content) > MAX_DOCUMENT_BYTES:
        raise unreachable_error(url, RuntimeError(f"its document has {len(answer.content):,} bytes"))
    try:
        return answer.json()
    except (ValueError, RecursionError) as fault:
        raise unreachable_error(url, RuntimeError("its answer is not JSON")) from fault
