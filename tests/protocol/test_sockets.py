"""Connections below httpcore: what ends a wait, what is an unsent request, and what stays open."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpcore
import httpx
import pytest
from loop_server import Handler, certificate, serving

from kling_nb.fal.http import is_unsent
from kling_nb.fal.lanes import BUFFERED, Lanes, Socket, connect

Tls = tuple[Path, ssl.SSLContext] | None
MUCH = bytes(range(256)) * (8 * 2**20 // 256)


@asynccontextmanager
async def connected(handler: Handler, tls: Tls = None) -> AsyncIterator[Socket]:
    trusted = ssl.create_default_context(cafile=tls[0]) if tls else None
    async with serving(handler, tls[1] if tls else None) as port:
        connection = await connect("localhost", port, trusted, 20)
        try:
            yield connection
        finally:
            await connection.aclose()


@pytest.fixture(params=["plain", "TLS"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> Tls:
    return certificate(tmp_path, "localhost") if request.param == "TLS" else None


async def read_all(connection: Socket) -> bytes:
    pieces = []
    while piece := await connection.read(65_536, 20):
        pieces.append(piece)
    return b"".join(pieces)


async def write_much(connection: Socket) -> None:
    for _ in range(8):
        await connection.write(MUCH, 0.05)


async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_bytes_come_as_they_were_sent_and_then_the_end(tls: Tls) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(MUCH)))
        await writer.drain()

    async with connected(echo, tls) as connection:
        await connection.write(MUCH, 20)
        assert await read_all(connection) == MUCH
        assert await connection.read(1, 20) == b""


async def test_what_nobody_reads_stays_at_the_server(tls: Tls) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(8):
            writer.write(MUCH)
            await writer.drain()

    async with connected(pour, tls) as connection:
        first = await connection.read(65_536, 20)
        for _ in range(10_000):  # as often as the loop would read if it could
            await asyncio.sleep(0)
        assert connection._size < BUFFERED + 2**19
        assert first + await read_all(connection) == MUCH * 8


async def test_a_silent_server_ends_the_wait_and_nothing_else(
    tls: Tls,
) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"late")

    async with connected(late, tls) as connection:
        with pytest.raises(httpcore.ReadTimeout):
            await connection.read(65_536, 0.01)
        await connection.write(b"!", 20)
        assert await connection.read(65_536, 20) == b"late"


async def test_a_server_that_takes_nothing_ends_the_write(tls: Tls) -> None:
    asked = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked.wait()

    async with connected(deaf, tls) as connection:
        with pytest.raises(httpcore.WriteTimeout):
            await write_much(connection)
        asked.set()


async def test_a_reset_is_an_error_of_the_read_and_of_later_writes(
    tls: Tls,
) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        at_once = struct.pack("ii", 1, 0)
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()

    async with connected(reset, tls) as connection:
        await connection.write(b"!", 20)
        with pytest.raises(httpcore.ReadError):
            await connection.read(65_536, 20)
        assert connection.get_extra_info("is_readable")
        with pytest.raises(httpcore.WriteError):
            await connection.write(b"!", 20)


async def test_a_server_that_only_stops_sending_still_gets_the_request() -> None:
    got = asyncio.get_running_loop().create_future()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        got.set_result(await reader.readexactly(3))

    async with connected(half) as connection:
        assert await connection.read(65_536, 20) == b""
        await connection.write(b"all", 20)
        assert await got == b"all"


async def test_without_a_handshake_nothing_is_sent() -> None:
    seen = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.read())

    context = ssl.create_default_context()
    async with (
        serving(listen) as port,
        httpx.AsyncClient(
            transport=Lanes(lambda _: {"verify": context}), timeout=httpx.Timeout(20, connect=0.2)
        ) as client,
    ):
        with pytest.raises(httpx.ConnectTimeout) as caught:
            await client.post(f"https://localhost:{port}/", content=b"a paid request")
    assert is_unsent(caught.value)
    assert b"paid" not in seen


async def test_a_certificate_that_is_not_trusted_is_an_unsent_request(tmp_path: Path) -> None:
    context = ssl.create_default_context()
    async with (
        serving(quiet, certificate(tmp_path, "localhost")[1]) as port,
        httpx.AsyncClient(transport=Lanes(lambda _: {"verify": context})) as client,
    ):
        with pytest.raises(httpx.ConnectError) as caught:
            await client.post(f"https://localhost:{port}/", content=b"a paid request")
    assert is_unsent(caught.value)
    assert isinstance(caught.value.__cause__.__cause__, ssl.SSLCertVerificationError)  # type: ignore[union-attr]


@pytest.mark.parametrize("host", ["127.0.0.1", "x.invalid", f"{'x' * 64}.invalid"])
async def test_a_host_that_does_not_answer_is_an_unsent_request(host: str) -> None:
    async with serving(quiet) as port:
        pass  # the port is closed now
    async with httpx.AsyncClient(transport=Lanes(lambda _: {"verify": True})) as client:
        with pytest.raises(httpx.ConnectError) as caught:
            await client.post(f"http://{host}:{port}/", content=b"a paid request")
    assert is_unsent(caught.value)
    assert str(caught.value)


async def test_the_second_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(quiet) as port:
        loop = asyncio.get_running_loop()
        found = [
            (2, 1, 6, "", ("127.0.0.2", port)),
            (2, 1, 6, "", ("127.0.0.1", port)),
        ]

        async def two(*_: object, **__: object) -> list[object]:
            return found  # type: ignore[return-value]

        monkeypatch.setattr(loop, "getaddrinfo", two)
        connection = await connect("two.invalid", port, None, 20)
        assert connection.get_extra_info("server_addr") == ("127.0.0.1", port)
        await connection.aclose()


async def test_a_cancelled_handshake_leaves_no_connection() -> None:
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        arrived.set()
        await reader.read()
        closed.set()

    async with serving(listen) as port:
        opening = asyncio.create_task(connect("localhost", port, ssl.create_default_context(), None))
        await arrived.wait()
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        await closed.wait()
