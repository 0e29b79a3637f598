"""The backup host of fal's queue: for connections that fail, and for nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from scripted import Hold, Queue, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import Completed
from kling_nb.fal.auth import Key
from kling_nb.fal.follow import Follower
from kling_nb.fal.hosts import Hosts, RequestRef
from kling_nb.fal.http import Http
from kling_nb.fal.patience import Patience
from kling_nb.fal.queue import QueueClient
from kling_nb.fal.replies import CancelOutcome

MODEL = "fal-ai/kling-video/v1/pro/text-to-video"
QUEUE, BACKUP = "queue.fal.run", "queue.falrun.com"
Faults = dict[str, type[httpx.TransportError] | int]


class Detour(httpx.AsyncBaseTransport):
    """The network, with fal's own host names led to the scripted server, to a fault, or to a status."""

    def __init__(self, fal: ScriptedFal, faults: Faults) -> None:
        self.asked: list[str] = []
        self._to = httpx.URL(fal.url)
        self.faults = faults
        self._network = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.host)
        fault = self.faults.get(request.url.host)
        if isinstance(fault, int):
            return httpx.Response(fault, json={"detail": "Not found", "status": "NOT_FOUND"})
        if fault is not None:
            raise fault("on the way", request=request)
        request.url = request.url.copy_with(scheme="http", host=self._to.host, port=self._to.port)
        return await self._network.handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


async def submitted_by_way_of(fal: ScriptedFal, faults: Faults) -> Any:
    detour = Detour(fal, faults)
    client = QueueClient(Http(Hosts(), lambda: Key(fal.key, "the test"), transport=detour))
    try:
        return await client.submit(MODEL, {"prompt": "a cat"}), detour.asked
    except errors.KlingError as error:
        return error, detour.asked
    finally:
        await client.aclose()


@pytest.mark.parametrize("fault", [httpx.ConnectError, httpx.ConnectTimeout])
async def test_the_backup_host_is_for_connections_that_fail(
    fal: ScriptedFal, fault: type[httpx.TransportError]
) -> None:
    submission, asked = await submitted_by_way_of(fal, {QUEUE: fault})
    assert asked == [QUEUE, BACKUP]
    assert submission.ref.request_id == fal.accepted[0].request_id
    # The reply named addresses of the scripted server, which is no host of fal: they are not used.
    assert submission.ref.status_url.startswith(f"https://{QUEUE}/fal-ai/kling-video/requests/")


@pytest.mark.parametrize(
    "fault",
    [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError],
)
async def test_the_backup_host_is_not_asked_once_a_byte_has_left(
    fal: ScriptedFal, fault: type[httpx.TransportError]
) -> None:
    error, asked = await submitted_by_way_of(fal, {QUEUE: fault})
    assert isinstance(error, errors.SubmissionUncertain)
    assert asked == [QUEUE]


async def test_both_hosts_away(fal: ScriptedFal) -> None:
    away: Faults = {QUEUE: httpx.ConnectError, BACKUP: httpx.ConnectTimeout}
    error, asked = await submitted_by_way_of(fal, away)
    assert isinstance(error, errors.UnreachableError)
    assert asked == [QUEUE, BACKUP]
    assert not fal.requests


def test_another_host_than_fals_has_no_backup() -> None:
    assert Hosts(queue="https://queue.example").queues == ("https://queue.example",)
    assert Hosts().queues == (f"https://{QUEUE}", f"https://{BACKUP}")


@pytest.mark.parametrize("status", [401, 403, 404, 422, 429])
async def test_a_refusal_by_the_backup_host_is_no_verdict_on_a_submission(
    fal: ScriptedFal, status: int
) -> None:
    error, asked = await submitted_by_way_of(fal, {QUEUE: httpx.ConnectError, BACKUP: status})
    assert type(error) is errors.UnreachableError
    assert asked == [QUEUE, BACKUP]


async def test_a_408_of_the_backup_host_may_have_accepted_it(fal: ScriptedFal) -> None:
    error, _ = await submitted_by_way_of(fal, {QUEUE: httpx.ConnectError, BACKUP: 408})
    assert isinstance(error, errors.SubmissionUncertain)


@asynccontextmanager
async def accepted(
    fal: ScriptedFal, clock: Any, on_backup: bool = False
) -> AsyncIterator[tuple[QueueClient, RequestRef, Detour]]:
    """A client with an accepted request, whose URLs are on the queue, or on its backup."""
    detour = Detour(fal, {})
    hosts = Hosts()
    patience = Patience(sleep=clock.sleep)
    client = QueueClient(Http(hosts, lambda: Key(fal.key, "the test"), transport=detour, patience=patience))
    try:
        ref = (await client.submit(MODEL, {"prompt": "a cat"})).ref
        if on_backup:
            urls = {name: getattr(ref, name).replace(QUEUE, BACKUP) for name in URLS}
            ref = hosts.ref_from_reply(MODEL, ref.request_id, urls)
            assert BACKUP in ref.status_url
        detour.asked.clear()
        yield client, ref, detour
    finally:
        await client.aclose()


URLS = ("status_url", "response_url", "cancel_url")


@pytest.mark.parametrize("fault", [httpx.ConnectError, httpx.ConnectTimeout])
async def test_it_gives_stream_status_and_result(
    fal: ScriptedFal, clock: Any, fault: type[httpx.TransportError]
) -> None:
    async with accepted(fal, clock) as (client, ref, detour):
        detour.faults[QUEUE] = fault
        events = [event async for event in Follower(client, sleep=clock.sleep).follow(ref)]
        assert isinstance(events[-1], Completed)
        assert (await client.result(ref)).data["video"]
    assert (fal.count("stream"), fal.count("status"), fal.count("result")) == (1, 1, 1)
    assert detour.asked == [QUEUE, BACKUP] * 3
    assert not clock.waits
    assert not fal.stray_keys


async def test_it_passes_a_cancel_on(fal: ScriptedFal, clock: Any) -> None:
    fal.script = Script([Queue(1), Hold(), Run()])
    async with accepted(fal, clock) as (client, ref, detour):
        detour.faults[QUEUE] = httpx.ConnectError
        assert await client.cancel(ref) is CancelOutcome.REMOVED
    assert fal.job().cancel_asked


@pytest.mark.parametrize("fault", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError])
async def test_an_answer_that_breaks_off_is_asked_for_at_the_same_host(
    fal: ScriptedFal, clock: Any, fault: type[httpx.TransportError]
) -> None:
    async with accepted(fal, clock) as (client, ref, detour):
        detour.faults[QUEUE] = fault
        with pytest.raises(errors.UnreachableError):
            await client.status(ref)
        assert set(detour.asked) == {QUEUE}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422])
async def test_its_4xx_is_no_verdict(fal: ScriptedFal, clock: Any, status: int) -> None:
    async with accepted(fal, clock) as (client, ref, detour):
        detour.faults |= {QUEUE: httpx.ConnectError, BACKUP: status}
        for ask in (client.status, client.result, client.cancel):
            with pytest.raises(errors.UnreachableError, match="on the way"):
                await ask(ref)
        del detour.faults[QUEUE]
        assert (await client.status(ref)).state


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422])
async def test_its_4xx_is_checked_at_the_queue_where_the_reply_named_it(
    fal: ScriptedFal, clock: Any, status: int
) -> None:
    async with accepted(fal, clock, on_backup=True) as (client, ref, detour):
        detour.faults[BACKUP] = status
        events = [event async for event in Follower(client, sleep=clock.sleep).follow(ref)]
        assert isinstance(events[-1], Completed)
        assert (await client.result(ref)).data["video"]
        assert await client.cancel(ref) is CancelOutcome.ALREADY_COMPLETED
        first = len(detour.asked)
        assert first == 7  # each URL once at the backup, and the stream is one of the status
        await client.status(ref)
        assert detour.asked[first:] == [QUEUE]
        detour.faults[QUEUE] = httpx.ConnectError
        with pytest.raises(errors.UnreachableError):
            await client.result(ref)
