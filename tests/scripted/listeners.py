"""The thread, its loop and the two listening sockets."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial

from .records import Listener

PATIENCE = 30.0  # seconds; only ever reached when something is wrong

ACCEPTING_TURNS = 5  # accept, make the transport, tell the protocol, start its task; and one to spare

Serve = Callable[[Listener, asyncio.StreamReader, asyncio.StreamWriter], None]


class Listeners:
    """Two doors on 127.0.0.1, each with a port that it keeps when it is shut and opened again.

    All methods are for another thread than the loop's own, and return when it is done.
    """

    def __init__(self) -> None:
        self.ports: dict[Listener, int] = {"fal": 0, "media": 0}
        self._doors: list[asyncio.Server] = []
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-fal", daemon=True)

    def start(self) -> None:
        """Start thread and loop; the doors are still shut."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the scripted server did not stop"

    def call(self, act: Callable[[], None]) -> None:
        """Run something on the loop."""

        async def run() -> None:
            act()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE)

    def open(self, serve: Serve) -> None:
        """Listen; `serve` is given each connection, on the loop."""
        asyncio.run_coroutine_threadsafe(self._open(serve), self._loop).result(PATIENCE)

    def shut(self, hang_up: Callable[[], Awaitable[None]]) -> None:
        """Stop listening, and end the open connections with `hang_up`."""
        asyncio.run_coroutine_threadsafe(self._shut(hang_up), self._loop).result(PATIENCE)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._stop.wait()

    async def _open(self, serve: Serve) -> None:
        for listener, port in self.ports.items():
            door = await asyncio.start_server(partial(serve, listener), "127.0.0.1", port)
            self._doors.append(door)
            self.ports[listener] = door.sockets[0].getsockname()[1]

    async def _shut(self, hang_up: Callable[[], Awaitable[None]]) -> None:
        for door in self._doors:
            door.close()
        # A connection that was just accepted reaches `serve` only some turns of the loop later, and one
        # that no one ends is warned of when the loop is gone.
        for _ in range(ACCEPTING_TURNS):
            await asyncio.sleep(0)
        await hang_up()
        for door in self._doors:
            await door.wait_closed()
        self._doors.clear()
