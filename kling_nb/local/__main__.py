"""`python -m kling_nb.local` and `kling-nb local`: run the local preview server until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from kling_nb.errors import KlingError
from kling_nb.local.handler import Settings
from kling_nb.local.server import Server


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
        "--port", type=int, default=0, help="port to listen on; 0 (the default) for a free one"
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


def _speed(text: str) -> float:
    value = float(text)
    if not value > 0 or math.isnan(value):
        raise argparse.ArgumentTypeError(f"{text} is not greater than 0")
    return value


def _workers(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 64")
    return value


if __name__ == "__main__":
    sys.exit(main())
