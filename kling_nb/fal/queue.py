"""The queue: submit once, then ask (FAL-PROTOCOL §3 to §7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

from kling_nb import errors
from kling_nb.fal.download import CUT_OFF, Beginning, Download, download
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.http import (
    CONNECT_SECONDS,
    Http,
    is_platforms_verdict,
    never_sent,
    opened_within,
    unreachable,
)
from kling_nb.fal.libraries import ServerSentEvent, SSEError, aconnect_sse, httpx
from kling_nb.fal.options import SubmitOptions
from kling_nb.fal.refusals import REMEDY, from_response
from kling_nb.fal.replies import CancelOutcome, Result, Status, json_object, parse_status

RESULT_PATIENCE = 8
"""Asks for a result that is "still in progress" although the status was COMPLETED (§6.3)."""

NOT_FOUND_PATIENCE = 4
"""404s in a row before a request counts as gone: one may come from a replica that is behind."""


@dataclass(frozen=True, slots=True)
class Submission:
    """An accepted request. `queue_position` is None where fal did not say it."""

    ref: RequestRef
    queue_position: int | None


class QueueClient:
    """fal's queue for one set of hosts and one key. For use on one event loop only."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def submit(
        self,
        endpoint_id: str,
        body: Mapping[str, Any],
        *,
        options: SubmitOptions | None = None,
        webhook_url: str | None = None,
    ) -> Submission:
        """Send one request, once.

        Only a fault from before any byte was sent leads to another try, on the backup host.

        Args:
            endpoint_id: Full id.
            body: The model's input, as fal takes it.
            options: How the queue is to treat it.
            webhook_url: Where fal is to deliver the result (§8), besides keeping it.

        Raises:
            UnreachableError: No connection; nothing was sent.
            SubmissionUncertain: Sent, and no answer that tells.
            ResponseError: Refused.
        """
        chosen = options or SubmitOptions()
        query = chosen.to_query() | ({"fal_webhook": webhook_url} if webhook_url else {})
        for base in self._http.hosts.queues:
            url = f"{base}/{endpoint_id}"
            try:
                response = await self._http.answer(
                    self._http.submissions,
                    "POST",
                    url,
                    params=query or None,
                    json=dict(body),
                    headers={**chosen.to_headers(), **self._http.key_header(url)},
                    timeout=httpx.Timeout(self._http.patience.submit, connect=CONNECT_SECONDS, pool=None),
                )
            except httpx.RequestError as fault:
                if not never_sent(fault):
                    raise _uncertain(str(fault) or type(fault).__name__) from fault
                failure = unreachable(url, fault)
                continue
            return self._accepted(endpoint_id, response)
        raise failure

    def _accepted(self, endpoint_id: str, response: httpx.Response) -> Submission:
        data = json_object(response.content)
        code = response.status_code
        if not response.is_success:
            if (code >= 500 or code == 408) and not _named(response, data):
                raise _uncertain(f"the answer was {code}")  # fal may have taken the request all the same
            raise from_response(code, response.headers, response.content, what="The submission")
        request_id = data.get("request_id") if data else None
        if not data or not isinstance(request_id, str) or not request_id:
            raise _uncertain("the answer holds no request id")
        ref = self._http.hosts.ref_from_reply(
            endpoint_id,
            request_id,
            status_url=data.get("status_url"),
            response_url=data.get("response_url"),
            cancel_url=data.get("cancel_url"),
        )
        status = parse_status(data)
        return Submission(ref, status.queue_position if status else None)

    async def status(self, ref: RequestRef, *, logs: bool = False) -> Status:
        """Where the request stands now.

        Raises:
            ResponseError: Refused, or unknown id.
            UnreachableError: No answer after all tries.
        """
        response = await self._http.exchange(
            "GET", f"{ref.status_url}?logs={int(logs)}", request_id=ref.request_id
        )
        data = json_object(response.content)
        status = parse_status(data) if data and response.is_success else None
        if status is None:
            raise from_response(
                response.status_code,
                response.headers,
                response.content,
                request_id=ref.request_id,
                what="Asking for the status",
            )
        return status

    async def stream(self, ref: RequestRef) -> AsyncGenerator[Status, None]:
        """Status events as they come, until fal closes the stream.

        Raises:
            UnreachableError: Refused, silent for too long, or cut. Nothing is wrong with the request.
        """
        url = f"{ref.stream_url}?logs=1"
        try:
            async with AsyncExitStack() as until_closed:
                opening = aconnect_sse(
                    self._http.streams,
                    "GET",
                    url,
                    headers=self._http.key_header(url),
                    timeout=httpx.Timeout(self._http.patience.silence, connect=CONNECT_SECONDS, pool=None),
                )
                source = await opened_within(self._http.patience.news, opening, until_closed)
                source.response.raise_for_status()
                events = source.aiter_sse()
                while status := await self._next_status(events):
                    yield status
        except (*CUT_OFF, httpx.HTTPStatusError, SSEError, TimeoutError) as fault:
            raise unreachable(url, fault, ref.request_id) from fault

    async def _next_status(self, events: AsyncIterator[ServerSentEvent]) -> Status | None:
        """The next event that is a status; None at the end. Keep-alives and odd events are no news."""
        async with asyncio.timeout(self._http.patience.news):
            async for event in events:
                data = json_object(event.data)
                status = parse_status(data) if data else None
                if status is not None:
                    return status
        return None

    async def result(self, ref: RequestRef, *, reported: bool = False) -> Result:
        """Return what the model returned. Success is a 200 here, not the word COMPLETED.

        Args:
            ref: The request.
            reported: Whether its status carries an `error`, so that a 5xx is the model's answer.

        Raises:
            ResponseError: The model or the platform failed, or the result is gone.
            ResultUnavailable: fal answers, but with nothing that is about this request.
            UnreachableError: No answer after all tries; the result is still there to be fetched.
        """
        url = ref.response_url

        def final(response: httpx.Response) -> bool:
            return is_platforms_verdict(response) or (reported and _is_own(response, ref))

        for attempt in range(1, RESULT_PATIENCE + 1):
            response = await self._http.exchange("GET", url, request_id=ref.request_id, final=final)
            if response.status_code == 405 and url.endswith("/response"):
                url = url.removesuffix("/response")
                continue
            data = json_object(response.content)
            not_yet = _in_progress(response.status_code, data)
            if response.is_success and data is not None and not not_yet:
                return Result(data, response.headers.get("x-fal-billable-units"))
            if not (response.is_success or not_yet):
                failure = _no_result(response, ref, reported=reported)
                passing = isinstance(failure, (errors.RequestNotFound, errors.ResultUnavailable))
                tried = response.status_code in self._http.retry.statuses and not final(response)
                if not passing or tried or attempt >= NOT_FOUND_PATIENCE:
                    raise failure
            if attempt < RESULT_PATIENCE:
                await self._http.sleep(self._http.retry.delay(attempt))
        reason = "the result is still not there" if not_yet else "the result is not a JSON object"
        raise unreachable(url, RuntimeError(reason), ref.request_id)

    async def cancel(self, ref: RequestRef) -> CancelOutcome:
        """Ask fal to stop the request.

        Raises:
            ResponseError: Refused for another reason than the four outcomes.
            UnreachableError: No answer after all tries.
        """
        response = await self._http.exchange("PUT", ref.cancel_url, request_id=ref.request_id)
        word = str((json_object(response.content) or {}).get("status"))
        if word in {outcome.value for outcome in CancelOutcome}:
            return CancelOutcome(word)
        if response.is_success:
            return CancelOutcome.REQUESTED
        raise from_response(
            response.status_code,
            response.headers,
            response.content,
            request_id=ref.request_id,
            what="The cancel",
        )

    def download(self, url: str, beginning: Beginning | None = None) -> AbstractAsyncContextManager[Download]:
        """Open a result's file: see `kling_nb.fal.download`.

        Raises:
            MediaError: The host refuses, or the address is not one to fetch from.
            UnreachableError: No answer, or cut.
        """
        return download(self._http, url, beginning)

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.shield(self._http.aclose())


def _no_result(response: httpx.Response, ref: RequestRef, *, reported: bool) -> errors.KlingError:
    """Return the error for an answer to the result GET that is no result (FAL-PROTOCOL §6.2, §16.3).

    It ends the job only if it is about this request: fal names the failure in a header, or the body is the
    model's own. A wrong verdict here would let the same cell buy the video again.
    """
    code = response.status_code
    answer = from_response(
        code, response.headers, response.content, request_id=ref.request_id, what="The request"
    )
    if isinstance(answer, _ABOUT_THE_CALLER):
        return answer
    if code == 429:
        return _rate_limited(answer)
    if code == 404 and not _is_own(
        response, ref
    ):  # a gateway that lost the route says "Path" or "Application"
        return errors.RequestNotFound(answer.message, request_id=ref.request_id, status_code=code)
    named = is_platforms_verdict(response) and not _is_anothers(response, ref)
    own = _is_own(response, ref) and (reported or 400 <= code < 500)
    refused = 400 <= code < 500 and bool(answer.details) and not _is_anothers(response, ref)
    if named or own or refused:
        return answer
    return errors.ResultUnavailable(
        f"fal cannot give the result now ({_clip(answer.message)}).",
        remedy=(
            "The job is paid for. Run the cell again later: it asks for the result, at no new charge.\n"
            "To buy another one: --new (API: new=True)."
        ),
        request_id=ref.request_id,
        status_code=code,
    )


_ABOUT_THE_CALLER = (
    errors.AuthenticationError,
    errors.AccessDenied,
    errors.InsufficientBalance,
    errors.RateLimited,
)
"""Refusals of this call, which say nothing about the request that it asks for."""


def _rate_limited(answer: errors.ResponseError) -> errors.RateLimited:
    """Return the error of a 429, whatever its body lists: it is never a verdict."""
    return errors.RateLimited(
        answer.message,
        remedy=REMEDY[errors.RateLimited],
        request_id=answer.request_id,
        status_code=answer.status_code,
        error_type=answer.error_type,
    )


def _is_own(response: httpx.Response, ref: RequestRef) -> bool:
    """Return True if an answer names this request in its header, so that its body is the model's."""
    return str(response.headers.get("x-fal-request-id", "")).strip() == ref.request_id


def _is_anothers(response: httpx.Response, ref: RequestRef) -> bool:
    """Return True if an answer names another request: its body says nothing about this one."""
    return "x-fal-request-id" in response.headers and not _is_own(response, ref)


def _clip(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"


def _named(response: httpx.Response, data: Mapping[str, Any] | None) -> bool:
    """Whether a refusal is one of those that fal documents; it says so itself (FAL-PROTOCOL §11.2)."""
    return "x-fal-error-type" in response.headers or bool(data and data.get("error_type"))


def _in_progress(code: int, data: Mapping[str, Any] | None) -> bool:
    """Whether a result says "not yet", which it may for a moment, even with a 200 (FAL-PROTOCOL §6.3)."""
    if data is None or code not in {200, 202, 400}:
        return False
    waiting = code != 400 and data.get("status") in ("IN_QUEUE", "IN_PROGRESS")
    return waiting or "still in progress" in str(data.get("detail", ""))


def _uncertain(reason: str) -> errors.SubmissionUncertain:
    return errors.SubmissionUncertain(
        f"The request was sent, but no clear answer came ({reason}): fal may have accepted it.",
        remedy=(
            "It was not sent again, so it is not paid twice. Run the cell again: it is looked for at fal.\n"
            "https://fal.ai/dashboard/requests shows it too. If it is not there: --new (API: new=True)."
        ),
    )
