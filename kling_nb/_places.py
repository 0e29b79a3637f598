"""What a session works with, opened when first needed: ledgers, folders, upload books, connections."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb import _settings
from kling_nb._embedded import EmbeddedEngine
from kling_nb._endpoints import EndpointBook
from kling_nb._ledger_care import rows_of
from kling_nb._process_lock import ProcessLock
from kling_nb._settings import Settings
from kling_nb.engine import Engine, wait
from kling_nb.errors import LedgerError
from kling_nb.fal.hosts import Hosts
from kling_nb.fal.patience import Patience
from kling_nb.ledger import Ledger
from kling_nb.ledger.bringing import rows_about
from kling_nb.ledger.home import elsewhere, ledger_path
from kling_nb.media import MediaFolder

if TYPE_CHECKING:  # both need httpx, which costs `%load_ext` more than all the rest
    from kling_nb._backend import Backend
    from kling_nb._uploads import Uploads

log = logging.getLogger(__name__)


class Places:
    """One of each for the same settings. Any thread, but for `connect` and `close_backends`.

    Args:
        engine: Runs what has to be awaited.
        patience: How long fal is waited for.
    """

    def __init__(self, engine: Engine, patience: Patience | None) -> None:
        self._engine = engine
        self._patience = patience
        self._lock = ProcessLock()
        self._ledgers: dict[Path, Ledger] = {}
        self._brought: set[tuple[Path, Path]] = set()
        self._folders: dict[Path, MediaFolder] = {}
        self._backends: dict[tuple[object, ...], Backend] = {}
        self._upload_books: dict[Path, Uploads] = {}
        self._endpoint_books: dict[tuple[Path, str, Path], EndpointBook] = {}

    def ledger(self, settings: Settings) -> Ledger:
        """The ledger of these settings."""
        path = ledger_path(settings.home, settings.media)
        with self._lock:
            if path not in self._ledgers:
                if path.parent == settings.media:
                    log.warning("%s can only be read: the ledger is kept in %s.", settings.home, path)
                self._ledgers[path] = Ledger(path, lambda: rows_of(settings.media))
            if (path, settings.media) not in self._brought:
                self._brought.add((path, settings.media))
                self._bring(self._ledgers[path], settings)
            return self._ledgers[path]

    def _bring(self, ledger: Ledger, settings: Settings) -> None:
        """What was kept elsewhere of this folder's jobs, before the home could, or could not, be written."""
        other = elsewhere(settings.home, settings.media)
        if other.exists() and (rows := rows_about(other, settings.media)):
            with suppress(LedgerError):
                ledger.bring(rows)

    def media(self, folder: Path) -> MediaFolder:
        """The takes in a folder."""
        with self._lock:
            return self._folders.setdefault(folder, MediaFolder(folder))

    def uploads(self, settings: Settings) -> Uploads:
        """The addresses of uploaded files."""
        from kling_nb._uploads import Uploads  # noqa: PLC0415 -- with httpx, at the first upload

        with self._lock:
            ledger = self.ledger(settings)
            return self._upload_books.setdefault(ledger.path, Uploads(ledger))

    def endpoints(self, settings: Settings) -> EndpointBook:
        """The endpoints that are known here, or can be fetched."""
        hosts = settings.hosts

        def fetch(endpoint_id: str) -> Any:
            from kling_nb.fal.schemas import fetch_document  # noqa: PLC0415 -- with httpx

            fetching = self._engine.spawn(fetch_document(hosts, endpoint_id, patience=self._patience))
            try:
                return wait(fetching)
            except BaseException:
                fetching.cancel()  # an interrupt ends it
                raise

        with self._lock:
            book = EndpointBook(settings.home / "schemas", fetch, settings.media / "schemas")
            return self._endpoint_books.setdefault((settings.home, hosts.schema, settings.media), book)

    async def connect(self, settings: Settings) -> Backend:
        """The backend of these settings. Engine thread."""
        if settings.backend == "fal":
            return self._opened("fal", settings.hosts, settings)
        embedded = EmbeddedEngine.shared(settings.local_speed)
        address = await asyncio.to_thread(embedded.address)
        hosts = Hosts(queue=address.url, rest=address.url, api=address.url)
        settings = _settings.with_key(settings, address.key)
        return self._opened("local", hosts, settings, gone=lambda: embedded.gone)

    def _opened(
        self, name: str, hosts: Hosts, settings: Settings, *, gone: Callable[[], bool] = lambda: False
    ) -> Backend:
        from kling_nb._backend import open_backend  # noqa: PLC0415 -- with httpx, at the first job

        handle = (os.getpid(), name, hosts, settings.key)  # connections must not be carried over a fork
        if handle not in self._backends:
            self._backends[handle] = open_backend(
                name, hosts, settings.key, gone=gone, patience=self._patience
            )
        return self._backends[handle]

    async def close_backends(self) -> None:
        """Note what is still to be noted, then close all connections. Engine thread."""
        for uploads in self._upload_books.values():
            await uploads.settle()
        for backend in self._backends.values():
            await backend.client.aclose()
        self._backends.clear()

    def close_ledgers(self) -> None:
        """Close the files."""
        for ledger in self._ledgers.values():
            ledger.close()
