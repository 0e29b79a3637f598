"""Connections side by side, against a server that counts them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from loop_server import serving

from kling_nb.fal.hosts import Hosts
from kling_nb.fal.http import Http, is_unsent
from kling_nb.fal.lanes import Lanes

TLS = httpx.create_ssl_context()


def connection(url: str) -> dict[str, Any]:
    return {"verify": TLS}


class Counting:
    """A server whose answers begin with the number of their connection."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.asked = asyncio.Semaphore(0)  # released by each request
        self.answer = asyncio.Event()
        self.answer.set()
        self.last_words = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        number = str(self.connections).encode()
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked.release()
                await self.answer.wait()
                if self.last_words:
                    writer.write(self.last_words)
                    break
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n" + number)
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.open -= 1


@pytest.fixture
async def server() -> AsyncIterator[tuple[Counting, str]]:
    counting = Counting()
    async with serving(counting.serve) as port:
        yield counting, f"http://127.0.0.1:{port}/"


async def test_one_after_the_other_share_a_connection(server: tuple[Counting, str]) -> None:
    _, url = server
    async with httpx.AsyncClient(transport=Lanes(connection, kept=2)) as client:
        numbers = [(await client.get(url)).text for _ in range(5)]
    assert numbers == ["1"] * 5


async def test_where_none_is_kept_each_has_its_own(server: tuple[Counting, str]) -> None:
    _, url = server
    async with httpx.AsyncClient(transport=Lanes(connection)) as client:
        numbers = [(await client.get(url)).text for _ in range(3)]
    assert numbers == ["1", "2", "3"]


async def test_so_many_at_once_and_as_many_kept(server: tuple[Counting, str]) -> None:
    counting, url = server
    counting.answer.clear()
    async with httpx.AsyncClient(transport=Lanes(connection, at_once=3, kept=2)) as client:
        asking = [asyncio.create_task(client.get(url)) for _ in range(9)]
        for _ in range(3):
            await counting.asked.acquire()
        assert counting.connections == 3
        counting.answer.set()
        answers = await asyncio.gather(*asking)
        assert {answer.status_code for answer in answers} == {200}
        # Three ran in parallel. Each that ended while two connections were kept closed its own.
        before = counting.connections
        await client.get(url)
        assert counting.connections == before


async def test_a_waiting_request_gets_the_place_of_one_that_was_given_up(
    server: tuple[Counting, str],
) -> None:
    counting, url = server
    counting.answer.clear()
    async with httpx.AsyncClient(transport=Lanes(connection, at_once=1, kept=1)) as client:
        given_up = asyncio.create_task(client.get(url))
        await counting.asked.acquire()
        waiting = asyncio.create_task(client.get(url))
        given_up.cancel()
        await counting.asked.acquire()  # it arrives, on a connection of its own
        counting.answer.set()
        assert (await waiting).text == "2"


async def test_a_connection_that_was_cut_is_not_used_again(server: tuple[Counting, str]) -> None:
    counting, url = server
    counting.last_words = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"
    async with httpx.AsyncClient(transport=Lanes(connection, at_once=1, kept=1)) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(url)
        counting.last_words = b""
        assert (await client.get(url)).text == "2"


async def test_hosts_do_not_share_one(server: tuple[Counting, str]) -> None:
    _, url = server
    async with httpx.AsyncClient(transport=Lanes(connection, kept=2)) as client:
        await client.get(url)
        assert (await client.get(url.replace("127.0.0.1", "localhost"))).text == "2"
        assert (await client.get(url)).text == "1"


async def test_a_proxy_of_the_environment_is_asked_for_other_machines_only(
    server: tuple[Counting, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counting, url = server
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")

    async with serving(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy}")
        http = Http(Hosts(), lambda: None)
        with pytest.raises(httpx.ProxyError) as caught:
            await http.answer(http.submissions, "POST", "https://queue.fal.invalid/x")
        assert is_unsent(caught.value)
        assert asked == [b"CONNECT queue.fal.invalid:443 HTTP/1.1\r\n"]
        assert (await http.answer(http.short, "GET", url)).text == "1"
        assert len(asked) == counting.connections == 1
        await http.aclose()


async def test_a_cookie_is_not_sent_back() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\ncontent-length: 0\r\n\r\n")

    async with serving(serve) as port:
        http = Http(Hosts(), lambda: None)
        for _ in range(2):
            await http.answer(http.short, "GET", f"http://127.0.0.1:{port}/")
        await http.aclose()
    first, second = asked
    assert first == second
    assert b"cookie" not in second.lower()
    assert b"User-Agent: kling_nb/" in second


async def test_a_request_may_be_cancelled_at_any_step(server: tuple[Counting, str]) -> None:
    """httpcore leaves a connection neither idle nor closed where a response is cancelled as it is closed."""
    _, url = server
    async with httpx.AsyncClient(transport=Lanes(connection, at_once=1, kept=1), timeout=None) as client:
        for steps in range(120):
            asking = asyncio.create_task(client.get(url))
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            async with asyncio.timeout(20):
                assert (await client.get(url)).status_code == 200
