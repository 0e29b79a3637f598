"""`python -m kling_nb.local` and `kling-nb local`: run the local preview server until it is stopped.

`Server` has the routes, the socket, and everything that starts and ends with them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from kling_nb.catalog.endpoint import APP_PATTERN, number_of
from kling_nb.errors import KlingError, UsageError
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
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise UsageError(
                f"{folder} cannot be used as a folder: {fault.strerror or fault}.",
                remedy="Use another --folder, or leave it out.",
            ) from fault
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server and return the exit code.

    Print one line of JSON on standard output when the server listens: `url`, `key`, `pid`. Nothing else is
    printed there; errors go to standard error.
    """
    options = _parser().parse_args(argv)
    settings = Settings(**{name: value for name, value in vars(options).items() if name != "parent"})
    try:
        asyncio.run(_serve(settings, watch_parent=options.parent))
    except KlingError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(settings: Settings, *, watch_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    server = Server(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # On Windows an interrupt ends the loop without a handler.
            break
    if watch_parent:
        _watch_parent(lambda: loop.call_soon_threadsafe(stop.set))
    print(json.dumps({"url": server.url, "key": server.key, "pid": os.getpid()}), flush=True)
    try:
        await stop.wait()
    finally:
        await server.close()


def _watch_parent(on_end: Callable[[], object]) -> None:
    """Call `on_end` from a thread when standard input ends, because the parent has closed it or has ended."""

    def watch() -> None:
        descriptor = sys.stdin.fileno()
        # sys.stdin is not used: a thread that waits in its buffer crashes the interpreter at its end.
        while _read(descriptor):
            pass
        on_end()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kling-nb local",
        description="Run the local preview server: fal's queue and storage on this machine.",
    )
    parser.add_argument(
        "--port", type=_port, default=0, help="port to listen on; 0 (the default) for a free one"
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback host to listen on")
    parser.add_argument("--key", default=None, help="key of all requests, id:secret; random by default")
    parser.add_argument(
        "--speed", type=_speed, default=1.0, help="1 is the speed of a demo, 10 is faster, inf does not wait"
    )
    parser.add_argument(
        "--folder", type=Path, default=None, help="folder for files; by default a temporary one"
    )
    parser.add_argument("--workers", type=_workers, default=1, help="number of jobs that run at once (1)")
    parser.add_argument(
        "--ping", type=_speed, default=15.0, help="seconds between keep-alive comments of a stream (15)"
    )
    parser.add_argument(
        "--list-by",
        choices=("sent", "ended"),
        default="sent",
        help="what start and end of the list of requests mean: the submission (sent) or the end (ended)",
    )
    parser.add_argument("--list-finished", action="store_true", help="list finished requests only")
    parser.add_argument("--parent", action="store_true", help="end when standard input ends")
    return parser


def _port(text: str) -> int:
    return int(
        _number(text, lambda value: value.is_integer() and 0 <= value <= 65535, "a port from 0 to 65535")
    )


def _speed(text: str) -> float:
    return _number(text, lambda value: value > 0, "a number above 0")


def _workers(text: str) -> int:
    return int(_number(text, lambda value: value.is_integer() and 1 <= value <= 64, "from 1 to 64"))


def _number(text: str, allows: Callable[[float], bool], allowed: str) -> float:
    value = number_of(text)
    if value is None or not allows(value):  # no comparison is true for NaN
        raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
    return value


if __name__ == "__main__":
    sys.exit(main())
