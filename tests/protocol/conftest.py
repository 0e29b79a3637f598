"""The client against the scripted server: real HTTP on loopback, and no waiting by the clock."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedFal

from kling_nb import settings as _settings
from kling_nb.fal.auth import Key
from kling_nb.fal.follow import Follower
from kling_nb.fal.hosts import Hosts
from kling_nb.fal.http import Http
from kling_nb.fal.patience import Patience
from kling_nb.fal.queue import QueueClient
from kling_nb.ledger import Ledger
from kling_nb.session import Session


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell `make check` which tests start programs."""
    for item in items:
        if "run" in getattr(item, "fixturenames", ()):
            item.add_marker("program")


class Clock:
    """A clock that does not make anybody wait, and notes how long it was asked to."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0.001)  # others get their turn


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """`configure()` in one test must not reach the next."""
    yield
    _settings.configure(dict.fromkeys(_settings.NAMES))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settings_for(fal: ScriptedFal, folder: Path) -> dict[str, Any]:
    return {
        "backend": "fal",
        "credentials": fal.key,
        "queue_url": fal.url,
        "rest_url": fal.url,
        "api_url": fal.url,
        "home": folder / "home",
        "media": folder / "media",
    }


@pytest.fixture
def make_session(fal: ScriptedFal, tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Session]]:
    """Makes sessions that share ledger and media folder, as kernels of one user do."""

    made: list[Session] = []

    def make(
        *,
        submit: float = 10.0,
        silence: float = 10.0,
        news: float = 10.0,
        whole: float = 600.0,
        **changes: Any,
    ) -> Session:
        patience = Patience(submit=submit, silence=silence, news=news, whole=whole, sleep=clock.sleep)
        made.append(Session(patience=patience, **{**settings_for(fal, tmp_path), **changes}))
        return made[-1]

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(make_session: Callable[..., Session]) -> Session:
    return make_session()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of the sessions, as another process would open it."""
    ledger = Ledger(tmp_path / "home" / "ledger.sqlite3")
    yield ledger
    ledger.close()


@pytest.fixture
async def client(fal: ScriptedFal, clock: Clock) -> Any:
    """A queue client on the test's own loop."""
    hosts = Hosts(queue=fal.url, rest=fal.url, api=fal.url)
    patience = Patience(submit=10.0, silence=10.0, sleep=clock.sleep)
    client = QueueClient(Http(hosts, lambda: Key(fal.key, "the test"), patience=patience))
    yield client
    await client.aclose()


@pytest.fixture
def follower(client: QueueClient, clock: Clock) -> Follower:
    return Follower(client, sleep=clock.sleep)


class Program:
    """A Python program in a process of its own, with the scripted server for fal.

    `started` waits for a line that it prints; `finish` gives the rest.
    """

    def __init__(self, source: str, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def says(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def finish(self, timeout: float = 30) -> tuple[int, str, str]:
        """Exit code, what it still printed, and what it complained of."""
        out, complaints = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, complaints


@pytest.fixture
def run(fal: ScriptedFal, tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    """Start programs, and kill those that still run at the end."""
    import os

    environment = {
        **os.environ,
        "KLING_NB_BACKEND": "fal",
        "KLING_NB_QUEUE_URL": fal.url,
        "KLING_NB_REST_URL": fal.url,
        "KLING_NB_API_URL": fal.url,
        "KLING_NB_HOME": str(tmp_path / "home"),
        "KLING_NB_MEDIA": str(tmp_path / "media"),
        "FAL_KEY": fal.key,
    }
    programs: list[Program] = []

    def start(source: str, **more: str) -> Program:
        programs.append(Program(source, {**environment, **more}))
        return programs[-1]

    yield start
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
        program.process.communicate()


@pytest.fixture
def make_picture(tmp_path: Path) -> Callable[..., Path]:
    """Makes small JPEGs."""
    from PIL import Image

    def make(name: str, colour: str = "orange") -> Path:
        path = tmp_path / name
        Image.new("RGB", (320, 320), colour).save(path)
        return path

    return make


@pytest.fixture
def picture(make_picture: Callable[..., Path]) -> Path:
    """A small JPEG."""
    return make_picture("cat.jpg")


@pytest.fixture(scope="session")
def dead_owner() -> str:
    """An owner of rows whose process, on this machine, has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{socket.gethostname()}:{process.pid}:deadbeef"
