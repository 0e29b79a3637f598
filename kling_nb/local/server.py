"""The server: routes, socket, and everything that starts and ends with it."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from kling_nb.errors import UsageError
from kling_nb.local import file_routes, platform_routes, queue_routes, storage_routes, webhook_routes
from kling_nb.local.file_store import LARGEST, FileStore
from kling_nb.local.handler import Engine, Health, Missing
from kling_nb.local.job_queue import JobQueue
from kling_nb.local.pipeline import Pipeline
from kling_nb.local.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve.

    Attributes:
        host: Loopback address or `localhost`.
        port: 0 for a free one.
        key: `id:secret` that requests must carry; None for a random one.
        speed: 1 for the pace of a demo, larger is faster, `inf` for no waiting.
        folder: Where files are kept; None for a temporary folder that goes with the server.
        workers: How many jobs run at once.
        ping: Seconds between two keep-alive comments of a status stream.
    """

    host: str = "127.0.0.1"
    port: int = 0
    key: str | None = None
    speed: float = 1.0
    folder: Path | None = None
    workers: int = 1
    ping: float = 15.0


class Server:
    """A listening server. Make it inside a running loop.

    Raises:
        UsageError: The host is not this machine, or the port cannot be had.
    """

    def __init__(self, settings: Settings) -> None:
        _refuse_foreign(settings.host)
        try:
            sockets = bind_sockets(settings.port, settings.host)
        except OSError as fault:
            raise UsageError(
                f"Cannot listen on {settings.host}:{settings.port}: {fault.strerror or fault}.",
                remedy="Give another --port, or 0 for a free one.",
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
        engine = Engine(
            base=self.url,
            hosts=hosts,
            key=self.key,
            queue=self._queue,
            store=store,
            tokens=set(),
            apps=self._pipeline.apps,
            ping=settings.ping,
            webhooks=self._webhooks,
        )
        self._http = HTTPServer(_application(engine), max_body_size=2 * LARGEST)
        self._http.add_sockets(sockets)

    async def close(self) -> None:
        """Stop listening and rendering, and remove the temporary folder."""
        self._http.stop()
        await self._queue.close()
        await self._webhooks.close()
        self._pipeline.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _application(engine: Engine) -> Application:
    job = r"((?:(?:workflows|comfy)/)?[^/]+/[^/]+)/requests/([^/]+)"
    routes: list[tuple[str, Any]] = [
        (r"/health", Health),
        (r"/\.well-known/jwks\.json", webhook_routes.KeySet),
        (r"/storage/auth/token/?", storage_routes.Token),
        (r"/storage/upload/initiate(-multipart)?/?", storage_routes.Initiate),
        (r"/upload/([0-9a-f]+)", storage_routes.Upload),
        (r"/files/upload", storage_routes.TokenUpload),
        (r"/files/upload/multipart", storage_routes.TokenMultipart),
        (r"/(?:upload/|files/)([0-9a-f]+)(?:/[^/]+)?/multipart/([0-9a-f]+)/(\d+)", storage_routes.Part),
        (
            r"/(?:upload/|files/)([0-9a-f]+)(?:/[^/]+)?/multipart/([0-9a-f]+)/complete",
            storage_routes.Complete,
        ),
        (r"/v1/models/requests/by-endpoint/?", platform_routes.Requests),
        (r"/files/([0-9a-f]+/[^/]+)", file_routes.Download),
        (rf"/{job}/?", queue_routes.Result),
        (rf"/{job}/status/?", queue_routes.Status),
        (rf"/{job}/status/stream/?", queue_routes.StatusStream),
        (rf"/{job}/cancel/?", queue_routes.Cancel),
        (r"/([^/]+/[^/].*)", queue_routes.Submit),
    ]
    return Application(
        [(pattern, handler, {"engine": engine}) for pattern, handler in routes],
        default_handler_class=Missing,
        default_handler_args={"engine": engine},
        log_function=lambda _handler: None,
        compress_response=False,
    )


def _refuse_foreign(host: str) -> None:
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"The local engine serves this machine only, not {host}.",
            remedy="Leave --host out, or give 127.0.0.1, ::1 or localhost.",
        )
