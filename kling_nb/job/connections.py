"""`Connections`: the ledgers, folders, uploads and backends of a session, opened at first use.

`PreviewServer` is the local backend: a child process, which the first local job starts. It ends with this
process, however this process ends, because its standard input closes then.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import logging
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar

from kling_nb._files import exists
from kling_nb._lazy import lazy
from kling_nb.background import EXIT_SECONDS, BackgroundThread, ProcessLock, wait
from kling_nb.catalog import Endpoint
from kling_nb.catalog.live import EndpointBook, PriceBook
from kling_nb.errors import LedgerError, ResponseError, UnreachableError
from kling_nb.fal.auth import Key, is_key_variable
from kling_nb.fal.hosts import Hosts
from kling_nb.fal.patience import Patience, Sleep
from kling_nb.job.rebuild import rows_of
from kling_nb.ledger import Entry, Ledger
from kling_nb.ledger.database import ledger_path, other_ledger_path
from kling_nb.ledger.salvage import rows_of_folder
from kling_nb.media import MediaFolder
from kling_nb.settings import Settings

if TYPE_CHECKING:
    from kling_nb import library
    from kling_nb.fal import follow, http, platform, queue, storage
    from kling_nb.job import inputs
else:  # boundary 1 of `_lazy`: with the first job, upload or schema
    follow = lazy("kling_nb.fal.follow")
    http = lazy("kling_nb.fal.http")
    platform = lazy("kling_nb.fal.platform")
    queue = lazy("kling_nb.fal.queue")
    storage = lazy("kling_nb.fal.storage")
    inputs = lazy("kling_nb.job.inputs")
    library = lazy("kling_nb.library")

log = logging.getLogger(__name__)
K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
P = ParamSpec("P")

PATH_SECONDS = 1.0
"""How long the place of a ledger stays valid. One submission asks for it seven times."""

PRICE_WAIT_SECONDS = 10.0
"""How long a call waits for fal's price."""


class Connections:
    """Opens each ledger, folder and backend once. Any thread, except `connect` and `close_backends`.

    `index` returns the folder of the indexes of media folders.
    """

    def __init__(
        self, background: BackgroundThread, patience: Patience | None, index: Callable[[], Path]
    ) -> None:
        self._background = background
        self._patience = patience
        self._index = index
        self._lock = ProcessLock()
        self._ledgers: dict[Path, Ledger] = {}
        self._ledger_paths: dict[tuple[Path, Path], tuple[float, Path]] = {}
        self._merged: set[tuple[Path, Path]] = set()
        self._folders: dict[Path, MediaFolder] = {}
        self._backends: dict[tuple[object, ...], Backend] = {}
        self._upload_books: dict[Path, inputs.Uploads] = {}
        self._price_books: dict[Path, PriceBook] = {}
        self._endpoint_books: dict[tuple[Path, Hosts, Path], EndpointBook] = {}
        self._libraries: dict[tuple[int, str], library.Library] = {}
        self._pushes: set[Future[None]] = set()

    def ledger(self, settings: Settings) -> Ledger:
        """Return the ledger of these settings."""
        folder = settings.ledger_folder
        path = self._ledger_path(settings.home, folder)
        with self._lock:
            if path not in self._ledgers:
                if path.parent == folder:
                    log.warning("%s is read-only, so the ledger is %s.", settings.home, path)
                self._ledgers[path] = Ledger(path, lambda: rows_of(folder))
            if (path, folder) not in self._merged:
                self._merged.add((path, folder))
                self._merge_other_ledger(self._ledgers[path], settings.home, folder)
            return self._ledgers[path]

    def _ledger_path(self, home: Path, folder: Path) -> Path:
        """Return the path of the ledger. Which folders can be written is checked once in a second."""
        now, handle = time.monotonic(), (home, folder)
        checked_at, path = self._ledger_paths.get(handle, (-math.inf, home))
        if now - checked_at > PATH_SECONDS:
            path = ledger_path(home, folder)
            self._ledger_paths[handle] = now, path
        return path

    def _merge_other_ledger(self, ledger: Ledger, home: Path, folder: Path) -> None:
        """Add the rows of this folder that are in the other place: in the folder itself or in the home.

        The place of the ledger changes when the home becomes writable or read-only.
        """
        other = other_ledger_path(home, folder)
        if exists(other) and (rows := rows_of_folder(other, folder)):
            with suppress(LedgerError):
                ledger.merge_rows(rows)

    def _open_once(self, opened: dict[K, V], key: K, make: Callable[[], V]) -> V:
        """Return what was opened for this key, or open it."""
        with self._lock:
            if key not in opened:
                opened[key] = make()
            return opened[key]

    def media(self, folder: Path) -> MediaFolder:
        """Return the takes of a folder."""
        return self._open_once(self._folders, folder, lambda: MediaFolder(folder, self._index()))

    def media_of(self, entry: Entry, settings: Settings) -> MediaFolder:
        """Return the folder of a row's file: if it is that of the settings, by the name it has there."""
        here = entry.folder == str(settings.ledger_folder)
        return self.media(settings.media if here else Path(entry.folder))

    def library(self, settings: Settings) -> library.Library:
        """Return the studio's library of these settings, which must have one."""
        assert settings.library is not None
        url = settings.library
        limits = {} if self._patience is None else {"answer": self._patience.answer}
        # By process, because a forked one must not use its parent's connections.
        return self._open_once(self._libraries, (os.getpid(), url), lambda: library.Library(url, **limits))

    @property
    def sleep(self) -> Sleep:
        """Wait between two tries."""
        return asyncio.sleep if self._patience is None else self._patience.sleep

    def spawn(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        """Start a coroutine on the background thread. Nothing waits for its end."""
        return self._background.spawn(work)

    def push(self, work: Coroutine[Any, Any, None]) -> None:
        """Store a take in the library in the background. The end of the session or process waits for it."""
        future = self.spawn(work)
        self._pushes.add(future)
        future.add_done_callback(self._pushes.discard)
        self._background.finish_before_exit(future)

    def uploads(self, settings: Settings) -> inputs.Uploads:
        """Return the uploads of these settings."""
        ledger = self.ledger(settings)
        return self._open_once(self._upload_books, ledger.path, lambda: inputs.Uploads(ledger))

    def endpoints(self, settings: Settings) -> EndpointBook:
        """Return the endpoints that are known here or can be fetched."""
        hosts = settings.hosts

        def fetch(endpoint_id: str) -> Any:
            fetching = self._background.spawn(
                platform.fetch_document(hosts, endpoint_id, patience=self._patience)
            )
            try:
                return wait(fetching)
            except BaseException:
                fetching.cancel()  # an interrupt ends it
                raise

        return self._open_once(
            self._endpoint_books,
            (settings.home, hosts, settings.media),
            lambda: EndpointBook(settings.home / "schemas", fetch, settings.media / "schemas"),
        )

    def with_price_of_today(self, endpoint: Endpoint, settings: Settings, *, ask: bool) -> Endpoint:
        """Return the endpoint with fal's price of today if it has none. Wait for fal if `ask` is set."""

        def ask_fal(endpoint_id: str) -> tuple[float, str, str] | None:
            asking = self._background.spawn(self.ask(settings, platform.live_price, endpoint_id))
            try:
                price = wait(asking, PRICE_WAIT_SECONDS)
            except ResponseError as fault:
                if fault.status_code == 404:
                    return None
                raise
            finally:
                asking.cancel()  # an interrupt ends it
            return price.usd, price.unit, price.currency

        path = settings.home / "prices.json"
        book = self._open_once(self._price_books, path, lambda: PriceBook(path))
        return book.with_price(endpoint, ask_fal if ask else None)

    async def ask(
        self,
        settings: Settings,
        question: Callable[Concatenate[http.Http, P], Awaitable[T]],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """Return the answer to a question of `fal/platform.py`, a function. Background thread."""
        return await question((await self.connect(settings)).http, *arguments, **named)

    async def connect(self, settings: Settings) -> Backend:
        """Return the backend of these settings. Background thread."""
        if settings.backend == "fal":
            return self._backend("fal", settings.hosts, settings)
        server = PreviewServer.get_shared(settings.local_speed)
        access = server.known_access
        if access is None:
            access = await asyncio.to_thread(server.access)
        hosts = Hosts(queue=access.url, rest=access.url, api=access.url)
        settings = replace(settings, key=Key(access.key, "local preview server"))
        return self._backend("local", hosts, settings, has_ended=lambda: server.has_ended)

    def _backend(
        self, name: str, hosts: Hosts, settings: Settings, *, has_ended: Callable[[], bool] = lambda: False
    ) -> Backend:
        """Return a backend. Its clients belong to the loop of the background thread."""
        # A forked process must not use its parent's connections.
        handle = (os.getpid(), name, hosts, settings.key)
        if handle not in self._backends:
            key = settings.key
            pool = http.Http(hosts, lambda: key, patience=self._patience)
            client = queue.QueueClient(pool, preview=name == "local")
            self._backends[handle] = Backend(
                name=name,
                client=client,
                follower=follow.Follower(
                    client, has_ended=has_ended, has_all_lines=name == "local", sleep=pool.sleep
                ),
                storage=storage.Storage(pool),
                http=pool,
                key_fingerprint=key.fingerprint if key else None,
            )
        self._backends[handle].http.check_route()  # before the first upload, so that nothing is half-done
        return self._backends[handle]

    async def close_backends(self) -> None:
        """Wait until all uploads are in the ledger, then close all connections. Background thread."""
        if self._pushes:
            await asyncio.wait(map(asyncio.wrap_future, self._pushes), timeout=EXIT_SECONDS)
        for uploads in self._upload_books.values():
            await uploads.finish()
        for backend in self._backends.values():
            await backend.client.aclose()
        self._backends.clear()

    def close_files(self) -> None:
        """Close the files of the ledgers and of the indexes of media folders."""
        for ledger in self._ledgers.values():
            ledger.close()
        for media in self._folders.values():
            media.close()


@dataclass(frozen=True, slots=True)
class Backend:
    """fal, or the local preview server, which has the same API.

    Attributes:
        name: "fal" or "local".
        http: Its HTTP connections, for all calls that `client` and `storage` do not have, with its URLs.
        key_fingerprint: Fingerprint of the key, or None.
    """

    name: str
    client: queue.QueueClient
    follower: follow.Follower
    storage: storage.Storage
    http: http.Http
    key_fingerprint: str | None


# -- the local preview server ----------------------------------------------------------

MOST_WORKERS = 8
"""Previews that are drawn at once. Each needs 25 MB."""


@dataclass(frozen=True, slots=True, repr=False)
class ServerAccess:
    """The URL of a local preview server, and the key that it requires."""

    url: str
    key: str


class PreviewServer:
    """Starts `python -m kling_nb.local` at the first call of `access`. Any thread."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._access: ServerAccess | None = None

    _shared: ClassVar[dict[float, PreviewServer]] = {}

    @classmethod
    def get_shared(cls, speed: float) -> PreviewServer:
        """Return the server of this process for a speed."""
        return cls._shared.setdefault(speed, cls(speed))

    def access(self) -> ServerAccess:
        """Return URL and key of the server. The first call starts it and takes about half a second.

        Raises:
            UnreachableError: The server did not start. The message has the last line of its error output.
        """
        with self._lock:
            if self._access is None or not self._running():
                self._access = self._start()
            return self._access

    @property
    def known_access(self) -> ServerAccess | None:
        """URL and key of the server if it runs, else None. This does not start it."""
        return self._access if self._running() else None

    @property
    def has_ended(self) -> bool:
        """True if the server was started and has ended, and all its jobs with it."""
        return self._process is not None and not self._running()

    def _running(self) -> bool:
        return self._process is not None and self._pid == os.getpid() and self._process.poll() is None

    def _start(self) -> ServerAccess:
        with tempfile.TemporaryFile() as error_output:
            process = subprocess.Popen(  # noqa: S603 -- our own module in our own interpreter
                [sys.executable, "-m", "kling_nb.local", "--parent", *_options(self._speed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error_output,
                # The server needs none of fal's keys, and others might read them there.
                env={name: value for name, value in os.environ.items() if not is_key_variable(name)},
                **group_options(),
            )
            assert process.stdout is not None
            line = process.stdout.readline()
            try:
                hello = json.loads(line)
                access = ServerAccess(str(hello["url"]), str(hello["key"]))
            except (ValueError, KeyError, TypeError) as fault:
                process.kill()
                process.communicate()
                raise _start_error(error_output) from fault
        self._process, self._pid = process, os.getpid()
        atexit.register(self.stop)
        return access

    def stop(self) -> None:
        """End the process and all its jobs."""
        process, self._process, self._access = self._process, None, None
        if process is None or self._pid != os.getpid():
            return
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _options(speed: float) -> list[str]:
    """Return the speed, and a worker for each core: the previews of a sweep are drawn on all of them."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS and Windows do not have it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return ["--speed", str(speed), "--workers", str(min(cores, MOST_WORKERS))]


def group_options(platform: str = sys.platform) -> dict[str, Any]:
    """Return options that protect a process from the interrupts of its kernel's process group.

    On Windows, where sessions are unknown, no console window opens either. The numbers are those of
    `subprocess`, which has the names on Windows only.
    """
    create_new_process_group, create_no_window = 0x200, 0x0800_0000
    if platform == "win32":
        return {"creationflags": create_new_process_group | create_no_window}
    return {"start_new_session": True}


def _start_error(error_output: IO[bytes]) -> UnreachableError:
    error_output.seek(0)
    last = error_output.read().decode("utf-8", "replace").strip().splitlines()[-1:] or ["no error output"]
    return UnreachableError(
        f"The local preview server did not start: {last[0][:300]}",
        remedy="Run `kling-nb local` in a terminal to see why, or set a key to use fal.",
    )
