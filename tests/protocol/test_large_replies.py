"""Replies larger than any of fal's: they end as a fault of the network, and the memory stays free."""

import gzip
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from kling_nb import errors
from kling_nb.fal.hosts import Hosts
from kling_nb.fal.http import Http
from kling_nb.fal.patience import Patience
from kling_nb.fal.queue import QueueClient

HOSTS = Hosts(queue="http://127.0.0.1:9", rest="http://127.0.0.1:9", api="http://127.0.0.1:9")
REF = HOSTS.ref("fal-ai/kling-video/v1/pro/text-to-video", "r-1")
RESULT = {"video": {"url": "https://v3.fal.media/a.mp4"}, "notes": "é" * 200}


class Answers(httpx.AsyncBaseTransport):
    """A network that always answers alike, and counts the bytes it was asked for."""

    def __init__(self, body: bytes | None, **headers: str) -> None:
        self._body = body
        self._headers = headers
        self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=self._headers, stream=Stream(self))

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._body is not None:
            yield self._body
        while self._body is None:
            self.sent += 4096
            yield b" " * 4096


class Stream(httpx.AsyncByteStream):
    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answers.pieces()


async def at_once(seconds: float) -> None:
    pass


def client_of(answers: Answers, largest: int) -> QueueClient:
    patience = Patience(sleep=at_once)
    return QueueClient(Http(HOSTS, lambda: None, patience=patience, transport=answers, largest=largest))


@pytest.mark.parametrize("what", ["status", "result", "cancel"])
async def test_a_reply_without_end_is_left(what: str) -> None:
    answers = Answers(None)
    client = client_of(answers, 100_000)
    with pytest.raises(errors.UnreachableError, match="more than 100,000 bytes"):
        await getattr(client, what)(REF)
    await client.aclose()
    assert answers.sent < 6 * 110_000


async def test_a_submission_whose_answer_has_no_end_is_uncertain() -> None:
    client = client_of(Answers(None), 100_000)
    with pytest.raises(errors.SubmissionUncertain, match="more than 100,000 bytes"):
        await client.submit("fal-ai/kling-video/v1/pro/text-to-video", {"prompt": "a cat"})
    await client.aclose()


async def test_a_packed_reply_counts_as_it_is_unpacked() -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    assert len(bomb) < 20_000
    client = client_of(Answers(bomb, **{"content-encoding": "gzip"}), 100_000)
    with pytest.raises(errors.UnreachableError, match="more than 100,000 bytes"):
        await client.result(REF)
    await client.aclose()


async def test_a_packed_reply_is_read_and_its_headers_are_kept() -> None:
    body = gzip.compress(json.dumps(RESULT).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json", "x-fal-billable-units": "5"}
    client = client_of(Answers(body, **headers), 100_000)
    result = await client.result(REF)
    await client.aclose()
    assert (result.data, result.units) == (RESULT, "5")
