"""fal's queue over HTTP: submit, status, stream, result, cancel (FAL-PROTOCOL §3 to §7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any

from kling_nb import errors
from kling_nb._files import parse_object
from kling_nb._lazy import httpx, httpx_sse
from kling_nb.catalog.problem import clip
from kling_nb.fal.download import Beginning, Download, connection_errors, download
from kling_nb.fal.hosts import RequestRef, UrlName
from kling_nb.fal.http import (
    CONNECT_SECONDS,
    Http,
    is_unsent,
    names_failure,
    open_within,
    unreachable_error,
)
from kling_nb.fal.options import SubmitOptions
from kling_nb.fal.patience import parse_retry_after
from kling_nb.fal.replies import (
    LATER_TYPES,
    REMEDY,
    TYPES,
    CancelOutcome,
    QueueResult,
    Status,
    parse_preview,
    parse_status,
    refusal,
    type_in,
)

RESULT_PATIENCE = 8
"""Tries for a result that is "still in progress" although the status was COMPLETED (FAL-PROTOCOL §6.3)."""

_EVENTS = {"Accept": "text/event-stream", "Cache-Control": "no-store"}

NOT_FOUND_PATIENCE = 4
"""404s in a row before a request counts as gone. A single one may come from a replica that is behind."""

UNCERTAIN_REMEDY = (
    "Run the cell again to look for it at fal; only --new (API: new=True) sends it again, at a second charge."
)
"""What to do about a submission without a clear answer."""

_LATER_REMEDY = "fal accepted nothing. Wait for a request of the account to finish, then run the cell again."


@dataclass(frozen=True, slots=True)
class AcceptedRequest:
    """A request that fal has accepted. `queue_position` is None if fal did not send it."""

    ref: RequestRef
    queue_position: int | None


class QueueClient:
    """fal's queue for one set of hosts and one key. For use on one event loop only.

    Args:
        http: The connections.
        preview: True for the local preview server. The last event of its streams has the result, too.
    """

    def __init__(self, http: Http, *, preview: bool = False) -> None:
        self._http = http
        self._is_preview = preview
        self._previews: dict[str, QueueResult] = {}
        self._lines: dict[str, asyncio.Lock] = {}
        self._refused: set[str] = set()

    def line(self, endpoint_id: str) -> asyncio.Lock:
        """Return the lock that orders the submissions to an endpoint while the account runs its maximum.

        The one that holds it tries again from time to time, and the others wait behind it.
        """
        return self._lines.setdefault(endpoint_id, asyncio.Lock())

    async def submit(
        self,
        endpoint_id: str,
        body: Mapping[str, Any],
        *,
        options: SubmitOptions | None = None,
        webhook_url: str | None = None,
    ) -> AcceptedRequest:
        """Send one request, once.

        It is tried again, on the backup host, only if no byte of the request was sent. fal also delivers the
        result to `webhook_url` (FAL-PROTOCOL §8).

        Raises:
            UnreachableError: No connection. Nothing was sent.
            SubmissionUncertain: The request was sent, and no clear answer came.
            TooManyRunning: Refused, because the account runs its maximum of requests.
            ResponseError: Refused.
        """
        chosen = options or SubmitOptions()
        pool = self._http.short if self._is_preview else self._http.submissions  # a preview is free
        failure: errors.UnreachableError | None = None
        query = chosen.to_query() | ({"fal_webhook": webhook_url} if webhook_url else {})
        for base in self._http.hosts.queues:
            url = f"{base}/{endpoint_id}"
            try:
                response = await self._http.answer(
                    pool,
                    "POST",
                    url,
                    params=query or None,
                    json=dict(body),
                    headers={**chosen.to_headers(), **self._http.key_header(url)},
                    limits=httpx.Timeout(self._http.patience.submit, connect=CONNECT_SECONDS, pool=None),
                )
            except httpx.RequestError as fault:
                if not is_unsent(fault):
                    raise _uncertain_error(str(fault) or type(fault).__name__) from fault
                failure = failure or unreachable_error(url, fault)  # it names the host that was asked first
                continue
            if failure is None or not 400 <= response.status_code < 500 or response.status_code == 408:
                return self._parse_acceptance(endpoint_id, response)
        assert failure is not None  # a refusal by the backup host alone is not final
        raise failure

    def _parse_acceptance(self, endpoint_id: str, response: httpx.Response) -> AcceptedRequest:
        data = parse_object(response.content)
        code = response.status_code
        if not response.is_success:
            named = "x-fal-error-type" in response.headers or type_in(data or {}, {}) in TYPES
            if (code >= 500 or code == 408) and not named:
                raise _uncertain_error(f"the answer was {code}")  # fal may have accepted the request.
            fault = refusal(response, "The submission")
            if not _may_come_later(response, data):
                raise fault
            later = errors.TooManyRunning(
                fault.message, remedy=_LATER_REMEDY, status_code=429, error_type=fault.error_type
            )
            later.retry_after = parse_retry_after(response.headers.get("retry-after"))
            raise later
        request_id = data.get("request_id") if data else None
        if not data or not isinstance(request_id, str) or not request_id:
            raise _uncertain_error("the answer has no request id")
        ref = self._http.hosts.ref_from_reply(endpoint_id, request_id, data)
        status = parse_status(data)
        return AcceptedRequest(ref, status.queue_position if status else None)

    async def _ask(
        self,
        method: str,
        ref: RequestRef,
        name: UrlName,
        query: str = "",
        final: Callable[[httpx.Response], bool] | None = None,
    ) -> httpx.Response:
        async def send(url: str) -> httpx.Response:
            return await self._http.exchange(method, url + query, request_id=ref.request_id, final=final)

        return await self._try_urls(ref, name, send)

    async def _try_urls(
        self, ref: RequestRef, name: UrlName, send: Callable[[str], Awaitable[httpx.Response]]
    ) -> httpx.Response:
        """Call `send` with the URL from fal's reply. After a 404 or 405, use the URL built by rule (§16.1).

        At the backup host, any 4xx counts as a 404. A URL that was refused before the later one succeeded is
        not used again.
        """
        *given, rule = ref.urls(name)
        urls = [*(url for url in given if url not in self._refused), rule]
        for url in urls:
            response = await send(url)
            code = response.status_code
            if response.is_success:
                self._refused.update(urls[: urls.index(url)])
            if not (code in {404, 405} or (400 <= code < 500 and self._http.hosts.is_backup(url))):
                break
        return response

    async def status(self, ref: RequestRef, *, logs: bool = False) -> Status:
        """Return the status of a request.

        Raises:
            ResponseError: Refused, or unknown id.
            UnreachableError: No answer after all tries.
        """
        response = await self._ask("GET", ref, "status_url", f"?logs={int(logs)}")
        data = parse_object(response.content)
        status = parse_status(data) if data and response.is_success else None
        if status is None:
            raise refusal(response, "Asking for the status", ref.request_id)
        return status

    async def stream(self, ref: RequestRef) -> AsyncGenerator[Status, None]:
        """Yield status events as they come, until fal closes the stream.

        Raises:
            UnreachableError: Refused, silent for too long, or broken. The request itself goes on.
        """
        parse = httpx_sse.EventSource  # imported now: a fork during the import would leave its lock taken
        try:
            async with (
                aclosing(await self._open_stream(ref)) as response,
                aclosing(parse(response).aiter_sse()) as events,
            ):
                while status := await self._next_status(events, ref):
                    yield status
        except connection_errors(httpx.HTTPStatusError, httpx_sse.SSEError, TimeoutError) as fault:
            raise unreachable_error(ref.status_url, fault, ref.request_id) from fault

    async def _open_stream(self, ref: RequestRef) -> httpx.Response:
        """Open a stream at the same URLs, and on the same hosts, as `_ask`."""

        async def open_at(url: str) -> httpx.Response:
            try:
                response = await self._open_stream_at(url)
            except httpx.RequestError as fault:
                twin = self._http.hosts.twin(url) if is_unsent(fault) else None
                if twin is None:
                    raise
                response = await self._open_stream_at(twin)
            if not response.is_success:
                await response.aclose()
            return response

        return (await self._try_urls(ref, "status_url", open_at)).raise_for_status()

    async def _open_stream_at(self, url: str) -> httpx.Response:
        opening = self._http.streams.open(
            "GET",
            f"{url}/stream?logs=1" + "&result=1" * self._is_preview,
            headers={**_EVENTS, **self._http.key_header(url)},
            limits=httpx.Timeout(self._http.patience.silence, connect=CONNECT_SECONDS, pool=None),
        )
        return await open_within(self._http.patience.news, opening)

    async def _next_status(
        self, events: AsyncIterator[httpx_sse.ServerSentEvent], ref: RequestRef
    ) -> Status | None:
        """Return the next status, or None at the end. Skip keep-alives and unknown events."""
        async with asyncio.timeout(self._http.patience.news):
            async for event in events:
                data = parse_object(event.data)
                status = parse_status(data) if data else None
                if status is not None:
                    if self._is_preview and data and (preview := parse_preview(data)):
                        self._previews[ref.request_id] = preview
                    return status
        return None

    async def result(self, ref: RequestRef, *, reported: bool = False) -> QueueResult:
        """Return the result of a request. Only a 200 here is success, not the status COMPLETED.

        If its status has an `error` (`reported`), a 5xx is the model's answer.

        Raises:
            ResponseError: The model or the platform failed, or the result is gone.
            ResultUnavailable: fal's answer is not about this request.
            UnreachableError: No answer after all tries. The result can still be fetched later.
        """
        if preview := self._previews.pop(ref.request_id, None):
            return preview

        def final(response: httpx.Response) -> bool:
            return names_failure(response) or (reported and _is_own(response, ref))

        for attempt in range(1, RESULT_PATIENCE + 1):
            response = await self._ask("GET", ref, "response_url", final=final)
            data = parse_object(response.content)
            not_yet = _in_progress(response.status_code, data)
            if response.is_success and data is not None and not not_yet:
                return QueueResult(data, response.headers.get("x-fal-billable-units"))
            if not (response.is_success or not_yet):
                failure = _no_result(response, ref, reported=reported)
                passing = isinstance(failure, (errors.RequestNotFound, errors.ResultUnavailable))
                tried = response.status_code in self._http.retry.statuses and not final(response)
                if not passing or tried or attempt >= NOT_FOUND_PATIENCE:
                    raise failure
            if attempt < RESULT_PATIENCE:
                await self._http.sleep(self._http.retry.delay(attempt))
        reason = "there is no result yet" if not_yet else "the result is not a JSON object"
        raise unreachable_error(ref.response_url, RuntimeError(reason), ref.request_id)

    async def cancel(self, ref: RequestRef) -> CancelOutcome:
        """Ask fal to stop the request.

        Raises:
            ResponseError: The answer is none of the four outcomes.
            UnreachableError: No answer after all tries.
        """
        response = await self._ask("PUT", ref, "cancel_url")
        word = str((parse_object(response.content) or {}).get("status"))
        if word in {outcome.value for outcome in CancelOutcome}:
            return CancelOutcome(word)
        if response.is_success:
            return CancelOutcome.REQUESTED
        raise refusal(response, "The cancel", ref.request_id)

    def download(self, url: str, beginning: Beginning | None = None) -> AbstractAsyncContextManager[Download]:
        """Open a result file. See `kling_nb.fal.download.download`."""
        return download(self._http, url, beginning)

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.shield(self._http.aclose())


def _no_result(response: httpx.Response, ref: RequestRef, *, reported: bool) -> errors.KlingError:
    """Return the error for an answer to the result GET that is no result (FAL-PROTOCOL §6.2, §16.3).

    The error ends the job only if it is about this request: a header of fal names the failure, or the body is
    the model's own. If any other error ended the job, the same cell could buy the video a second time.
    """
    code, own = response.status_code, _is_own(response, ref)
    answer = refusal(response, "The request", ref.request_id)
    if isinstance(answer, errors.CALL_REFUSED):
        return answer
    if code == 429:  # Whatever its body says, it never ends the job.
        return errors.RateLimited(
            answer.message,
            remedy=REMEDY[errors.RateLimited],
            request_id=answer.request_id,
            status_code=code,
            error_type=answer.error_type,
        )
    if code == 404 and not own:  # A gateway without the route names a path or an app.
        return errors.RequestNotFound(answer.message, request_id=ref.request_id, status_code=code)
    refused, of_another = 400 <= code < 500, "x-fal-request-id" in response.headers and not own
    if own and (reported or refused):
        return answer
    if not of_another and (names_failure(response) or (refused and answer.details)):
        return answer
    return unavailable_error("result", answer, ref)


def unavailable_error(what: str, answer: errors.ResponseError, ref: RequestRef) -> errors.ResultUnavailable:
    """Return the error of an accepted request whose status or result fal does not give now."""
    return errors.ResultUnavailable(
        f"fal cannot give the {what} now ({clip(answer.message, 200)}).",
        remedy=(
            "The job is paid for. Run the cell again later to fetch the result at no extra charge.\n"
            "To buy another one: --new (API: new=True)."
        ),
        request_id=ref.request_id,
        status_code=answer.status_code,
    )


def _is_own(response: httpx.Response, ref: RequestRef) -> bool:
    """Return True if the header of an answer names this request. Then its body is the model's."""
    return str(response.headers.get("x-fal-request-id", "")).strip() == ref.request_id


def _may_come_later(response: httpx.Response, data: Mapping[str, Any] | None) -> bool:
    """Return True if this is fal's own 429 of a submission that was not accepted (FAL-PROTOCOL §16.11).

    Return False for the page of a proxy, and for an answer that names a request.
    """
    named = bool(data and data.get("request_id")) or "x-fal-request-id" in response.headers
    if response.status_code != 429 or data is None or named:
        return False
    return type_in(data, response.headers) in LATER_TYPES or "concurrent_requests_limit" in response.text


def _in_progress(code: int, data: Mapping[str, Any] | None) -> bool:
    """Return True if there is no result yet. A 200 may say so too for a moment (FAL-PROTOCOL §6.3)."""
    if data is None or code not in {200, 202, 400}:
        return False
    waiting = code != 400 and data.get("status") in ("IN_QUEUE", "IN_PROGRESS")
    return waiting or "still in progress" in str(data.get("detail", ""))


def _uncertain_error(reason: str) -> errors.SubmissionUncertain:
    return errors.SubmissionUncertain(
        f"The request was sent without a clear answer ({reason}): fal may have accepted it.",
        remedy=UNCERTAIN_REMEDY,
    )
