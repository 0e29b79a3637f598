"""One thread with one event loop, where all I/O of all jobs lives.

Jobs go on there while the kernel computes. The thread starts with the first piece of work,
never at import, and again in a forked child. This is the only module with `nest_asyncio2`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_all
from typing import Any, ClassVar, TypeVar

from kling_nb._interrupts import HeldInterrupts
from kling_nb.errors import without_frames

T = TypeVar("T")
EXIT_SECONDS = 20.0
"""How long the end of a process waits for what must not be cut off."""

TICK_SECONDS = 0.2
"""How often a waiting cell of a kernel wakes its loop. ipykernel 7 hands an interrupt to a loop that sleeps
in `select` without waking it (tornado's `add_callback` from a signal handler), so ■ would do nothing."""


class Engine:
    """Runs coroutines on its own thread. `spawn` and `wait` may be called from any other thread."""

    _shared: ClassVar[list[Engine]] = []

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._unfinished: set[Future[Any]] = set()
        self._waits_at_exit = False

    @classmethod
    def shared(cls) -> Engine:
        """The engine of this process."""
        if not cls._shared:
            cls._shared.append(cls())
        return cls._shared[0]

    def spawn(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` on the engine thread and return at once."""
        return asyncio.run_coroutine_threadsafe(_told(work), self._running_loop())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if (
                self._loop is None or self._pid != os.getpid()
            ):  # a forked child has the loop but not its thread
                self._loop = asyncio.new_event_loop()
                self._pid = os.getpid()
                threading.Thread(target=self._loop.run_forever, name="kling_nb engine", daemon=True).start()
            return self._loop

    def finish_before_exit(self, future: Future[Any]) -> None:
        """Let the process not end before `future` is done, or `EXIT_SECONDS` have passed.

        A script that submits and ends would otherwise cut its own submission off, and never know
        whether fal has taken it.
        """
        with self._lock:
            self._unfinished.add(future)
            if not self._waits_at_exit:
                self._waits_at_exit = True
                # `atexit` comes too late: no thread pool, so no host name look-up, works by then. The
                # pools end in the same way, last one registered first: so theirs has to be there already.
                import concurrent.futures.thread  # noqa: F401, PLC0415

                register = getattr(threading, "_register_atexit", atexit.register)
                register(self._wait_at_exit)
        future.add_done_callback(self._unfinished.discard)

    def _wait_at_exit(self) -> None:
        if self._pid == os.getpid():
            wait_for_all(list(self._unfinished), EXIT_SECONDS)


async def _told(work: Coroutine[Any, Any, T]) -> T:
    """Its result, or its error without the frames that hold the key."""
    try:
        return await work
    except Exception as error:
        without_frames(error)
        raise


def wait(future: Future[T], timeout: float | None = None) -> T:
    """Block until `future` is done, without stopping the caller's own event loop.

    In a plain thread this waits on the future. Where a loop runs already (a cell, marimo), the
    loop is made re-entrant with `nest_asyncio2` at the first such wait, because below Python 3.14
    it swaps C tasks for Python ones process-wide (about 1.8 times slower).

    The future itself is never cancelled by this.

    Raises:
        TimeoutError: `timeout` seconds passed.
    """
    if timeout is not None and timeout >= threading.TIMEOUT_MAX:  # infinity among them
        timeout = None
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return future.result(timeout)
    if future.done():
        return future.result()
    return _wait_nested(loop, future, timeout)


def _wait_nested(loop: asyncio.AbstractEventLoop, future: Future[T], timeout: float | None) -> T:
    waiting: asyncio.Task[T] | None = None

    def wake() -> None:
        if waiting is not None:
            loop.call_soon_threadsafe(waiting.cancel)

    with HeldInterrupts(wake) as interrupts:
        import nest_asyncio2  # noqa: PLC0415 -- late on purpose, see `wait`

        nest_asyncio2.apply(loop)
        waiting = loop.create_task(wait_async(future, timeout))
        if interrupts.struck:  # before there was a task to wake
            waiting.cancel()
        try:
            return loop.run_until_complete(waiting)
        finally:
            waiting.cancel()  # no effect unless an error of another callback has ended the loop


async def wait_async(future: Future[T], timeout: float | None = None) -> T:  # noqa: ASYNC109 -- one argument for both kinds of wait
    """Await `future` on the caller's loop. Cancelling the caller leaves the future alone.

    `asyncio.wrap_future` would pass the cancellation on, and with it end a paid job's task.

    Raises:
        TimeoutError: `timeout` seconds passed.
    """
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def wake(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the caller's loop is closed: nobody waits any more
            loop.call_soon_threadsafe(woken.set)

    future.add_done_callback(wake)
    deadline = None if timeout is None else loop.time() + timeout
    while not woken.is_set():
        waits = [TICK_SECONDS] if "ipykernel" in sys.modules else []
        if deadline is not None:
            waits.append(deadline - loop.time())
        left = min(waits, default=None)
        if left is not None and left <= 0:
            raise TimeoutError
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), left)
    return future.result()
