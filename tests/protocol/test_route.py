"""The route to fal: proxies and certificates of the environment and of the settings."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from loop_server import certificate, serving

from kling_nb import Session
from kling_nb.errors import KlingError, UnreachableError, UsageError
from kling_nb.fal.hosts import Hosts, Proxy, Route
from kling_nb.fal.http import Http, proxy_for
from kling_nb.fal.patience import Retry
from kling_nb.fal.queue import QueueClient
from kling_nb.fal.webhooks import KeySource, WebhookKeys
from kling_nb.settings import resolve

FAL = "https://queue.fal.invalid"
NOT_A_PROXY = "ftp://proxy.invalid"
PASSWORD = "hunter2"
UNREADABLE = {
    "NO_PROXY": "localhost,fd00::/8,[half",
    "ALL_PROXY": "socks5://proxy.invalid:x",
    "HTTPS_PROXY": NOT_A_PROXY,
    "SSL_CERT_FILE": "/nowhere/ca.pem",
}


def test_a_local_preview_never_looks_at_proxies_or_certificates(
    make_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in UNREADABLE.items():
        monkeypatch.setenv(name, value)
    job = make_session(backend="local", local_speed=float("inf")).submit("a cat")
    assert job.wait(30) is not None


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("HTTPS_PROXY", NOT_A_PROXY, "Write http://HOST:PORT"),
        ("https_proxy", f"http://me:{PASSWORD}@proxy:port", "Write http://HOST:PORT"),
        ("ALL_PROXY", "socks://proxy.invalid:1080", "socks5://"),
        ("ALL_PROXY", "http://", "or unset it"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "PEM"),
        ("SSL_CERT_FILE", __file__, "PEM"),
        ("KLING_NB_CA_BUNDLE", "/nowhere/ca.pem", "PEM"),
        ("KLING_NB_PROXY", NOT_A_PROXY, "Write http://HOST:PORT"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_before_anything_is_sent(
    make_session: Callable[..., Session],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as caught:
        make_session(queue_url=FAL, rest_url=FAL).submit("a cat").wait(20)
    text = str(caught.value)
    assert variable.replace("KLING_NB_", "").lower() in text.lower()
    assert words in text
    assert "Nothing was sent" in text
    assert "Unexpected" not in text
    assert PASSWORD not in text
    assert len(text.splitlines()) <= 4


def test_socks_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "socksio", None)  # as if it were not installed
    with pytest.raises(UsageError, match="ALL_PROXY") as caught:
        Http(Hosts(), lambda: None).check_route()
    assert "pip install 'kling_nb[socks]'" in str(caught.value)


def test_which_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, secure = "http://queue.fal.invalid/x", f"{FAL}/x"
    route = Route()
    assert proxy_for(secure, route) is None
    monkeypatch.setenv("ALL_PROXY", "all.invalid:1")
    assert proxy_for(secure, route) == Proxy("http://all.invalid:1", "ALL_PROXY")
    monkeypatch.setenv("https_proxy", "http://secure.invalid:1")
    assert proxy_for(secure, route) == Proxy("http://secure.invalid:1", "https_proxy")
    assert proxy_for(plain, route) == Proxy("http://all.invalid:1", "ALL_PROXY")
    for here in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"):
        assert proxy_for(here, route) is None
    monkeypatch.setenv("NO_PROXY", "fd00::/8, 10.0.0.0/8, fal.invalid")
    assert proxy_for(secure, route) is None
    assert proxy_for("https://other.invalid", route) is not None
    own = replace(route, proxy="http://own.invalid:1")
    assert proxy_for(secure, own) == Proxy("http://own.invalid:1", "The setting proxy")
    assert proxy_for("https://other.invalid", replace(route, proxy="none")) is None


def test_proxy_and_certificates_are_settings_and_a_password_is_never_shown(tmp_path: Path) -> None:
    proxy = f"http://me:{PASSWORD}@proxy.invalid:1"
    settings = resolve(
        {"backend": "local", "proxy": proxy, "ca_bundle": str(tmp_path / "ca.pem")}, environ={}
    )
    assert settings.hosts.route == Route(proxy, str(tmp_path / "ca.pem"))
    assert PASSWORD not in repr(settings)


# -- A host with a certificate that nothing here trusts, behind a SOCKS proxy.


class Socks:
    """A SOCKS 5 proxy: it passes everything on to one server of this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        methods = await reader.readexactly(2)
        await reader.readexactly(methods[1])
        writer.write(b"\x05\x00")
        *_, length = await reader.readexactly(5)
        self.asked.append((await reader.readexactly(length)).decode())
        await reader.readexactly(2)
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))


async def carry(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(65536):
            to.write(piece)
            await to.drain()
    except OSError:
        pass
    finally:
        to.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")


@pytest.fixture
async def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Socks, Path]]:
    trusted, context = certificate(tmp_path, "queue.fal.invalid")
    async with serving(answer, context) as host:
        socks = Socks(host)
        async with serving(socks.serve) as proxy:
            monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy}")
            monkeypatch.setenv("NO_PROXY", "localhost,fd00::/8")  # httpx itself cannot read this
            yield socks, trusted


async def test_socks_and_a_certificate_of_the_company_work(
    company: tuple[Socks, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    socks, trusted = company
    http = Http(Hosts(queue=FAL, route=Route(ca_bundle=str(trusted))), lambda: None)
    assert (await http.exchange("GET", FAL)).text == "ok"
    await http.aclose()
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    http = Http(Hosts(queue=FAL), lambda: None)
    assert (await http.exchange("GET", FAL)).text == "ok"
    await http.aclose()
    assert socks.asked == ["queue.fal.invalid"] * 2


async def test_a_proxy_that_is_not_there_is_named_without_its_password() -> None:
    route = Route(proxy=f"http://me:{PASSWORD}@127.0.0.1:9")
    http = Http(Hosts(queue=FAL, route=route), lambda: None, retry=Retry(attempts=1))
    with pytest.raises(
        UnreachableError, match=r"queue\.fal\.invalid: the proxy http://127\.0\.0\.1:9 does"
    ) as caught:
        await http.exchange("GET", FAL)
    assert "HTTPS_PROXY" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    await http.aclose()


async def test_a_certificate_that_is_not_trusted_names_the_host_asked_first_and_the_remedy(
    company: tuple[Socks, Path],
) -> None:
    socks, _ = company
    http = Http(Hosts(), lambda: None)
    with pytest.raises(UnreachableError, match=r"queue\.fal\.run: its certificate is not trusted") as caught:
        await QueueClient(http).submit("fal-ai/kling-video/v1/pro/text-to-video", {"prompt": "a cat"})
    assert socks.asked == ["queue.fal.run", "queue.falrun.com"]
    assert "SSL_CERT_FILE" in str(caught.value)
    assert "falrun" not in str(caught.value)
    await http.aclose()


async def test_webhook_keys_take_the_same_route(company: tuple[Socks, Path]) -> None:
    socks, trusted = company
    keys = WebhookKeys(KeySource(FAL, route=Route(ca_bundle=str(trusted))))
    with pytest.raises(KlingError, match="webhook keys"):  # the host answers "ok", which is no key set
        await asyncio.to_thread(keys.keys)
    assert socks.asked == ["queue.fal.invalid"]
