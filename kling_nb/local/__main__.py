"""`python -m kling_nb.local`, and `kling-nb local`: serve until told to stop."""

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
from kling_nb.local.server import Server, Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; returns the exit code.

    Prints one line of JSON on standard output once it listens: `url`, `key`, `pid`. Nothing
    else goes there; complaints go to standard error.
    """
    options = _parser().parse_args(argv)
    settings = Settings(
        options.host, options.port, options.key, options.speed, options.folder, options.workers, options.ping
    )
    try:
        asyncio.run(_serve(settings, tied=options.parent))
    except KlingError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(settings: Settings, *, tied: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    server = Server(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: an interrupt ends the loop by itself
            break
    if tied:
        _watch_parent(lambda: loop.call_soon_threadsafe(stop.set))
    print(json.dumps({"url": server.url, "key": server.key, "pid": os.getpid()}), flush=True)
    try:
        await stop.wait()
    finally:
        await server.close()


def _watch_parent(gone: Callable[[], object]) -> None:
    """Call `gone` when standard input ends: the parent closed it, or is no more, however it went."""

    def watch() -> None:
        descriptor = sys.stdin.fileno()
        # Not through sys.stdin: a thread that waits in its buffer makes the interpreter's end fatal.
        while _read(descriptor):
            pass
        gone()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kling-nb local",
        description="Serve the embedded engine: fal's queue and storage on this machine, with previews.",
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on; 0 (the default) for a free one"
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument(
        "--key", default=None, help="key that requests must carry, id:secret; random by default"
    )
    parser.add_argument(
        "--speed", type=_speed, default=1.0, help="1 is a demo's pace, 10 is faster, inf does not wait"
    )
    parser.add_argument(
        "--folder", type=Path, default=None, help="keep files here; by default they go with the server"
    )
    parser.add_argument("--workers", type=_workers, default=1, help="jobs that run at once (1)")
    parser.add_argument(
        "--ping", type=_speed, default=15.0, help="seconds between keep-alive comments of a stream (15)"
    )
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
