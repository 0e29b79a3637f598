"""One background thread with one event loop for the I/O of all jobs, and waits for its results.

Jobs go on there while the kernel computes. The thread starts with the first coroutine, not at import, and
again in a forked child. Only this module uses `nest_asyncio2`.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401 -- registers its exit hook first, see `finish_before_exit`
import contextlib
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_all
from types import FrameType, TracebackType
from typing import Any, ClassVar, Generic, TypeVar

from kling_nb.errors import Interrupted, UsageError, WaitTimeout, without_frames

T = TypeVar("T")
EXIT_SECONDS = 20.0
"""How long the end of a process waits for work that must finish."""

THREAD_NAME = "kling_nb background"

TICK_SECONDS = 0.2
"""How often a waiting cell wakes the loop of its kernel. ipykernel 7 passes an interrupt to a loop that
sleeps in `select` without waking it (tornado's `add_callback` in a signal handler), so ■ would do nothing."""


class BackgroundThread:
    """Runs coroutines on its own thread. Any other thread may call `spawn` and `wait`."""

    _shared: ClassVar[list[BackgroundThread]] = []

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._unfinished: set[Future[Any]] = set()
        self._waits_at_exit = False

    @classmethod
    def get_shared(cls) -> BackgroundThread:
        """Return the background thread of this process."""
        if not cls._shared:
            cls._shared.append(cls())
        return cls._shared[0]

    def spawn(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` on the background thread and return at once."""
        return asyncio.run_coroutine_threadsafe(_strip_frames(work), self._running_loop())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # A forked child has the loop but not its thread.
            if self._loop is None or self._pid != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._pid = os.getpid()
                threading.Thread(target=self._loop.run_forever, name=THREAD_NAME, daemon=True).start()
            return self._loop

    def finish_before_exit(self, future: Future[Any]) -> None:
        """Keep the process alive until `future` is done or `EXIT_SECONDS` have passed.

        A script that submits and ends would otherwise abort its own submission, and would not know if fal
        accepted it.
        """
        with self._lock:
            self._unfinished.add(future)
            if not self._waits_at_exit:
                self._waits_at_exit = True
                # `atexit` runs too late: thread pools, and with them host name look-ups, no longer work then.
                # The pools' hook must be registered first, because hooks run in reverse order.
                register = getattr(threading, "_register_atexit", atexit.register)
                register(self._wait_at_exit)
        future.add_done_callback(self._unfinished.discard)

    def _wait_at_exit(self) -> None:
        end = time.monotonic() + EXIT_SECONDS
        # A request that waited for its turn may be sent meanwhile, which adds another future.
        while self._pid == os.getpid() and self._unfinished and (left := end - time.monotonic()) > 0:
            wait_for_all(list(self._unfinished), left)


async def _strip_frames(work: Coroutine[Any, Any, T]) -> T:
    """Await work, and remove frames that hold the API key from its error."""
    try:
        return await work
    except Exception as error:
        without_frames(error)
        raise


def wait(future: Future[T], timeout: float | None = None) -> T:
    """Block until `future` is done, without stopping the caller's own event loop.

    Without a running loop this waits on the future. In a cell or in marimo, `nest_asyncio2` makes the running
    loop re-entrant. This happens at the first such wait and not earlier, because below Python 3.14 it
    replaces C tasks with Python ones in the whole process (about 1.8 times slower). A loop that cannot nest
    (uvloop) stops meanwhile: `check_can_wait` refuses waits that may take minutes there.

    It never cancels the future.

    Raises:
        TimeoutError: `timeout` seconds passed.
    """
    if timeout is not None and timeout >= threading.TIMEOUT_MAX:  # This includes infinity.
        timeout = None
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return future.result(timeout)
    if future.done():
        return future.result()
    return _wait_nested(loop, future, timeout) if _can_nest(loop) else future.result(timeout)


def check_can_wait(running: str = "") -> None:
    """Raise if a wait of minutes would stop the caller's own event loop. A cell has no other work to stop.

    Args:
        running: What goes on meanwhile, such as "Job k7x2". Empty if nothing was sent yet.

    Raises:
        UsageError: The remedy names `await` and `asyncio.to_thread`.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if not _can_nest(loop) and not _in_cell(inspect.currentframe()):
        goes_on = f" {running} goes on, and nothing was sent again." if running else ""
        kind = type(loop).__module__
        raise UsageError(
            f"A blocking call would stop the running event loop: {kind} cannot nest.{goes_on}",
            remedy=(
                "Write `await kling_nb.submit(…)` (a job or a sweep can be awaited),\n"
                "or use another thread: await asyncio.to_thread(kling_nb.generate, …)"
            ),
        )


def _can_nest(loop: asyncio.AbstractEventLoop) -> bool:
    return isinstance(loop, asyncio.BaseEventLoop)  # `nest_asyncio2` can change no other loop


def _wait_nested(loop: asyncio.AbstractEventLoop, future: Future[T], timeout: float | None) -> T:
    waiting: asyncio.Task[T] | None = None

    def wake() -> None:
        if waiting is not None:
            loop.call_soon_threadsafe(waiting.cancel)

    with DeferredInterrupts(wake) as interrupts, _own_interrupts(interrupts):
        import nest_asyncio2  # noqa: PLC0415 -- at the first wait only, see `wait`

        nest_asyncio2.apply(loop)
        waiting = loop.create_task(wait_async(future, timeout))
        if interrupts.pending:  # The interrupt came before there was a task to wake.
            waiting.cancel()
        try:
            return loop.run_until_complete(waiting)
        finally:
            waiting.cancel()  # This has an effect only if an error in another callback has stopped the loop.


async def wait_async(future: Future[T], timeout: float | None = None) -> T:  # noqa: ASYNC109 -- one argument for both kinds of wait
    """Await `future` on the caller's loop. Cancelling the caller does not cancel the future.

    `asyncio.wrap_future` would forward the cancellation and stop the task of a paid job.

    Raises:
        TimeoutError: `timeout` seconds passed.
    """
    loop, thread = asyncio.get_running_loop(), threading.get_ident()
    woken = asyncio.Event()

    def wake(_: Future[T]) -> None:
        if threading.get_ident() == thread:  # The loop is awake.
            woken.set()
            return
        with contextlib.suppress(RuntimeError):  # The caller's loop is closed, so no caller waits.
            loop.call_soon_threadsafe(woken.set)

    future.add_done_callback(wake)
    deadline = None if timeout is None else loop.time() + timeout
    # The background thread has no cell. A sweep would wake it for each of its jobs.
    ticks = "ipykernel" in sys.modules and threading.current_thread().name != THREAD_NAME
    while not woken.is_set():
        waits = [TICK_SECONDS] if ticks else []
        if deadline is not None:
            waits.append(deadline - loop.time())
        left = min(waits, default=None)
        if left is not None and left <= 0:
            raise TimeoutError
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), left)
    return future.result()


# -- Interrupts


STUCK_SECONDS = 0.5
"""A second interrupt this long after the first one is raised at once, because the block does not end."""


class DeferredInterrupts:
    """Defers what SIGINT raises until the block ends, and calls `wake` so that the block ends soon.

    A nested event loop keeps the state of the outer loop in generators. A KeyboardInterrupt inside one of
    them leaves it suspended. The garbage collector closes it later, on any thread, and that thread then seems
    to run the loop of another one.

    The earlier handler is still called. If it raises nothing (asyncio's), `wake` is not called. ipykernel's
    handler for a cell with an await is replaced: it cancels the task of the cell, which is blocked here, and
    the reply of the cell would never be sent (ipykernel 7.4). Outside the main thread this class has no
    effect, because signals are raised only there.

    Args:
        wake: Makes the block end soon. It is called in the signal handler.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._before: Any = None
        self.handler: Callable[[int, FrameType | None], object] | None = None
        self._raised: BaseException | None = None
        self._since = 0.0

    @property
    def pending(self) -> bool:
        """True if an interrupt is deferred."""
        return self._raised is not None

    def put_off(self) -> None:
        """Raise KeyboardInterrupt when the block ends, and end it soon."""
        self._raised = self._raised or KeyboardInterrupt()
        self._wake()

    def __enter__(self) -> DeferredInterrupts:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            return self
        self._before = before
        # Of two nested blocks the inner one ends first and raises, which ends the outer one too.
        outer = getattr(before, "__self__", None)
        self.handler = outer.handler if isinstance(outer, DeferredInterrupts) else before
        signal.signal(signal.SIGINT, self._defer)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised from None

    def _defer(self, number: int, frame: FrameType | None) -> None:
        assert self.handler is not None
        try:
            if _in_cell(frame):
                signal.default_int_handler(number, frame)
            self.handler(number, frame)
        except BaseException as error:
            if self._raised is None:
                self._raised, self._since = error, time.monotonic()
            elif time.monotonic() - self._since > STUCK_SECONDS:
                raise
            self._wake()


def _in_cell(frame: FrameType | None) -> bool:
    """Return True if an exception raised in this frame ends an IPython cell, not the loop of the kernel."""
    module = sys.modules.get("IPython.core.interactiveshell")
    runs_cells = module.InteractiveShell.run_code.__code__ if module else None
    while frame is not None:
        if frame.f_code is runs_cells:
            return True
        frame = frame.f_back
    return False


def cell_was_interrupted() -> bool:
    """Return True if ■ cancelled the current task: that of a cell in ipykernel, or one that it gathers.

    Another cancel, such as that of `asyncio.timeout`, does not count.
    """
    current = asyncio.current_task()
    return any(_was_interrupted(task) and _gathers(task, current) for task in asyncio.all_tasks())


@contextlib.contextmanager
def _own_interrupts(interrupts: DeferredInterrupts) -> Iterator[None]:
    """Let an interrupt of the cell that is not handled yet end the block, not cancel the task of the cell.

    ■ just before the block waits in the loop that the block runs. The reply of the cell would never be sent.
    """
    futures = _interrupt_futures(asyncio.current_task())
    kept = [
        (future, callback) for future in futures for callback, *_ in getattr(future, "_callbacks", None) or ()
    ]

    def put_off(_: object) -> None:
        interrupts.put_off()

    for future, callback in kept:
        future.remove_done_callback(callback)
    for future in futures:
        future.add_done_callback(put_off)
    try:
        yield
    finally:
        for future in futures:
            future.remove_done_callback(put_off)
        for future, callback in kept:
            if not future.done():
                future.add_done_callback(callback)


def _interrupt_futures(task: asyncio.Task[Any] | None) -> Sequence[asyncio.Future[Any]]:
    """Return the futures by which ■ cancels a task that runs a cell."""
    for callback, *_ in getattr(task, "_callbacks", None) or ():
        made = getattr(callback, "func", None)
        if getattr(made, "__qualname__", "").startswith("IPythonKernel._cancel_on_sigint."):
            futures: Sequence[asyncio.Future[Any]] = callback.args
            return futures
    return ()


def _was_interrupted(task: asyncio.Task[Any]) -> bool:
    """Return True if ■ cancelled a task that runs a cell."""
    return any(future.done() and not future.cancelled() for future in _interrupt_futures(task))


def _gathers(task: Any, other: Any) -> bool:
    """Return True if a task is another one, or waits for it in `asyncio.gather`."""
    children = getattr(getattr(task, "_fut_waiter", None), "_children", ())
    return task is other or any(_gathers(child, other) for child in children)


class Waitable(Generic[T]):
    """A job or a sweep: what waits for its future `_done`. ■ ends a wait and calls `_handle_interrupt`."""

    _done: Future[T]
    _background: BackgroundThread

    def _wait(self, timeout: float | None) -> T:
        """Block until it is done. See `wait`.

        Raises:
            WaitTimeout: `timeout` seconds passed; it goes on.
            Interrupted: Ctrl-C or ■.
        """
        try:
            return wait(self._done, timeout)
        except TimeoutError as fault:
            if self._done.done():
                return self._done.result()
            raise self._timeout_error(timeout) from fault
        except KeyboardInterrupt as fault:
            raise wait(self._spawn_interrupt()) from fault

    async def _wait_async(self, timeout: float | None) -> T:  # noqa: ASYNC109 -- as `_wait`
        """Wait as `_wait` does, for `await`. No other cancel than that of ■ stops anything."""
        try:
            return await wait_async(self._done, timeout)
        except asyncio.CancelledError:
            if cell_was_interrupted():
                raise await self._interrupt_error() from None
            raise
        except TimeoutError as fault:
            if self._done.done():
                return self._done.result()
            raise self._timeout_error(timeout) from fault

    def _spawn_interrupt(self) -> Future[Interrupted]:
        """Run `_handle_interrupt` on the background thread."""
        return self._background.spawn(self._handle_interrupt())

    async def _interrupt_error(self) -> Interrupted:
        """Handle the interrupt of a cell that awaits it, and return the error for the cell."""
        try:
            return await wait_async(self._spawn_interrupt())
        except asyncio.CancelledError:  # ■ twice
            return self._unknown_error()

    async def _handle_interrupt(self) -> Interrupted:
        """Stop what has not started, and return the error for the cell. Background thread."""
        raise NotImplementedError

    def _unknown_error(self) -> Interrupted:
        """Return the error if ■ also ended the wait for `_handle_interrupt`."""
        raise NotImplementedError

    def _timeout_error(self, timeout: float | None) -> WaitTimeout:
        """Return the error of a wait that took longer than `timeout` seconds."""
        raise NotImplementedError


class ProcessLock:
    """A re-entrant lock for any thread. In a forked child it is free, even if the parent had locked it."""

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()

    def __enter__(self) -> None:
        if self._pid != os.getpid():  # A new child has no other thread, so there is no race.
            self._renew()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
