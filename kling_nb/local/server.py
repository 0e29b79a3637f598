"""`Server`: the routes, the socket, and everything that starts and ends with them."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from kling_nb.catalog.endpoint import APP_PATTERN
from kling_nb.errors import UsageError
from kling_nb.local import routes, storage
from kling_nb.local.files import LARGEST, FileStore
from kling_nb.local.handler import Health, NotFound, Services, Settings
from kling_nb.local.job import JobQueue
from kling_nb.local.pipeline import Pipeline
from kling_nb.local.webhooks import Webhooks


class Server:
    """A listening server. Create it inside a running loop.

    Raises:
        UsageError: The host is not this machine, or the port is not free.
    """

    def __init__(self, settings: Settings) -> None:
        _check_host(settings.host)
        try:
            sockets = bind_sockets(settings.port, settings.host)
        except OSError as fault:
            raise UsageError(
                f"Cannot listen on {settings.host}:{settings.port}: {fault.strerror or fault}.",
                remedy="Use another --port, or 0 for a free one.",
            ) from fault
        self.port: int = sockets[0].getsockname()[1]
        shown = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"http://{shown}:{self.port}"
        self.key = settings.key or f"local-{secrets.token_hex(6)}:{secrets.token_hex(16)}"
        self._temporary = None if settings.folder else Path(tempfile.mkdtemp(prefix="kling-nb-local-"))
        folder = settings.folder or self._temporary
        assert folder is not None
        folder.mkdir(parents=True, exist_ok=True)
        store = FileStore(folder)
        self._pipeline = Pipeline(store, self.url, runners=settings.workers, speed=settings.speed)
        self._queue = JobQueue(self._pipeline.run, runners=settings.workers, speed=settings.speed)
        self._webhooks = Webhooks(speed=settings.speed)
        hosts = frozenset(f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]", shown))
        services = Services(
            base=self.url,
            hosts=hosts,
            key=self.key,
            queue=self._queue,
            store=store,
            tokens=set(),
            apps=self._pipeline.apps,
            webhooks=self._webhooks,
            settings=settings,
        )
        self._http = HTTPServer(_application(services), max_body_size=2 * LARGEST)
        self._http.add_sockets(sockets)

    async def close(self) -> None:
        """Stop listening and rendering, and remove the temporary folder."""
        self._http.stop()
        await self._queue.close()
        await self._webhooks.close()
        self._pipeline.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _application(services: Services) -> Application:
    job = rf"({APP_PATTERN})/requests/([^/]+)"
    handlers: list[tuple[str, Any]] = [
        (r"/health", Health),
        (r"/\.well-known/jwks\.json", routes.KeySet),
        (r"/storage/auth/token/?", storage.Token),
        (r"/storage/upload/initiate(-multipart)?/?", storage.Initiate),
        (r"/upload/([0-9a-f]+)", storage.Upload),
        (r"/files/upload", storage.TokenUpload),
        (r"/files/upload/multipart", storage.TokenMultipart),
        (r"/(?:upload/|files/)([0-9a-f]+)(?:/[^/]+)?/multipart/([0-9a-f]+)/(\d+)", storage.Part),
        (
            r"/(?:upload/|files/)([0-9a-f]+)(?:/[^/]+)?/multipart/([0-9a-f]+)/complete",
            storage.Complete,
        ),
        (r"/v1/models/requests/by-endpoint/?", routes.Requests),
        (r"/v1/models/billing-events/?", routes.BillingEvents),
        (r"/v1/models/?", routes.Models),
        (r"/v1/storage/files/sign/?", routes.Sign),
        (r"/files/([0-9a-f]+/[^/]+)", storage.Download),
        (rf"/{job}/?", routes.Result),
        (rf"/{job}/status/?", routes.Status),
        (rf"/{job}/status/stream/?", routes.StatusStream),
        (rf"/{job}/cancel/?", routes.Cancel),
        (r"/([^/]+/[^/].*)", routes.Submit),
    ]
    return Application(
        [(pattern, handler, {"services": services}) for pattern, handler in handlers],
        default_handler_class=NotFound,
        default_handler_args={"services": services},
        log_function=lambda _handler: None,
        compress_response=False,
    )


def _check_host(host: str) -> None:
    """Raise `UsageError` unless the host is this machine."""
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"The local preview server listens on this machine only, not on {host}.",
            remedy="Leave --host out, or use 127.0.0.1, ::1 or localhost.",
        )
