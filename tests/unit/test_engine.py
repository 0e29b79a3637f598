"""The engine: one thread with one loop, and waiting for it from anywhere."""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest

from kling_nb.background import BackgroundThread, wait, wait_async


async def thread_name() -> str:
    return threading.current_thread().name


async def forever() -> None:
    await asyncio.Event().wait()


def test_work_runs_on_one_thread_that_is_not_ours() -> None:
    engine = BackgroundThread()
    names = {wait(engine.spawn(thread_name())) for _ in range(3)}
    assert names == {"kling_nb background"}
    assert BackgroundThread.get_shared() is BackgroundThread.get_shared()


def test_the_thread_starts_with_the_first_work() -> None:
    source = """
import threading
import kling_nb.background
engine = kling_nb.background.BackgroundThread.get_shared()
assert threading.active_count() == 1
async def work(): pass
kling_nb.background.wait(engine.spawn(work()))
assert threading.active_count() == 2
import sys
assert "nest_asyncio2" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", source], check=True)


def test_many_threads_start_it_once() -> None:
    engine = BackgroundThread()
    barrier = threading.Barrier(8)
    loops: list[Any] = []

    async def loop() -> Any:
        return asyncio.get_running_loop()

    def work() -> None:
        barrier.wait()
        loops.append(wait(engine.spawn(loop())))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(loops)) == 1


def test_what_work_raises_is_raised() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wait(BackgroundThread.get_shared().spawn(fails()))


def test_a_wait_that_runs_out_leaves_the_work_alone() -> None:
    work = BackgroundThread.get_shared().spawn(forever())
    with pytest.raises(TimeoutError):
        wait(work, 0.01)
    assert not work.done()
    work.cancel()
    with pytest.raises(CancelledError):
        wait(work)


@pytest.mark.parametrize("limit", [float("inf"), 1e300, None])
def test_a_wait_without_limit(limit: float | None) -> None:
    assert wait(BackgroundThread.get_shared().spawn(thread_name()), limit) == "kling_nb background"


async def test_a_coroutine_waits_without_stopping_its_loop() -> None:
    future: Future[int] = Future()
    waiting = asyncio.create_task(wait_async(future))
    await asyncio.sleep(0)
    assert not waiting.done()
    threading.Thread(target=future.set_result, args=(7,)).start()
    assert await waiting == 7
    assert await wait_async(future) == 7


async def test_a_coroutine_that_is_cancelled_leaves_the_work_alone() -> None:
    future: Future[int] = Future()
    waiting = asyncio.create_task(wait_async(future))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not future.cancelled()
    future.set_result(1)


async def test_a_coroutine_whose_wait_runs_out() -> None:
    future: Future[int] = Future()
    with pytest.raises(TimeoutError):
        await wait_async(future, 0.01)
    future.set_result(1)
    assert await wait_async(future, float("inf")) == 1


def test_a_loop_that_is_closed_before_the_work_ends() -> None:
    future: Future[int] = Future()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await wait_async(future, 0.01)

    asyncio.run(give_up())
    future.set_result(1)  # no one waits any more; nothing is raised or logged


NESTED = """
import asyncio, threading
from concurrent.futures import Future
from kling_nb.background import wait

async def main():
    ticks = []
    future = Future()
    async def tick():
        while len(ticks) < 5:
            ticks.append(1)
            await asyncio.sleep(0)
        threading.Thread(target=future.set_result, args=(7,)).start()
    asyncio.create_task(tick())
    assert wait(future) == 7
    assert len(ticks) == 5
    try:
        wait(Future(), 0.01)
    except TimeoutError:
        print("ran out")
    done = Future()
    done.set_result(1)
    assert wait(done) == 1

{before}
asyncio.run(main())
"""


@pytest.mark.parametrize(
    "before",
    ["", "import nest_asyncio2; nest_asyncio2.apply()"],
    ids=["alone", "applied before"],
)
def test_inside_a_running_loop(before: str) -> None:
    """Run in a process of its own, because the loop stays re-entrant."""
    source = NESTED.format(before=before)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran out\n", "")


def test_an_interrupt_at_any_line_of_a_nested_wait_leaves_both_loops_sound() -> None:
    program = Path(__file__).with_name("interrupted_waits.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 100


def output_of(source: str) -> tuple[str, str]:
    """What a program of its own prints, and complains of."""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


SECOND_INTERRUPT = """
import asyncio, signal
from concurrent.futures import Future
from kling_nb import background as _interrupts
from kling_nb.background import wait

async def main():
    def stuck():
        signal.raise_signal(signal.SIGINT)
        print("first is kept")
        _interrupts.STUCK_SECONDS = 0.0
        signal.raise_signal(signal.SIGINT)
        print("never")
    asyncio.get_running_loop().call_soon(stuck)
    try:
        wait(Future())
    except KeyboardInterrupt:
        print("interrupted")

asyncio.new_event_loop().run_until_complete(main())
"""


def test_a_second_interrupt_gets_out_of_a_callback_that_does_not_end() -> None:
    assert output_of(SECOND_INTERRUPT) == ("first is kept\ninterrupted\n", "")


INNER_INTERRUPT = """
import asyncio, signal
from concurrent.futures import Future
from kling_nb.background import wait

async def inner():
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
    try:
        wait(Future())
    except KeyboardInterrupt:
        print("inner")
        raise

async def main():
    task = asyncio.get_running_loop().create_task(inner())
    try:
        wait(Future())
    except KeyboardInterrupt:
        print("outer")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        await task
    except KeyboardInterrupt:
        pass

asyncio.new_event_loop().run_until_complete(main())
"""


def test_an_interrupt_ends_a_wait_within_a_wait() -> None:
    assert output_of(INNER_INTERRUPT) == ("inner\nouter\n", "")


OWN_HANDLER = """
import asyncio, signal, threading
from concurrent.futures import Future
from kling_nb.background import wait

async def main():
    future = Future()
    signal.signal(signal.SIGINT, lambda *_: (print("noted"), future.set_result(7)))
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
    print(wait(future))

asyncio.new_event_loop().run_until_complete(main())
"""


def test_a_handler_of_the_caller_that_raises_nothing_ends_no_wait() -> None:
    assert output_of(OWN_HANDLER) == ("noted\n7\n", "")


def test_a_loop_that_never_waits_so_is_not_touched() -> None:
    source = """
import asyncio, sys
from kling_nb.background import BackgroundThread, wait, wait_async
async def work(): return 1
async def main(): return await wait_async(BackgroundThread.get_shared().spawn(work()))
assert asyncio.run(main()) == 1
assert wait(BackgroundThread.get_shared().spawn(work())) == 1
assert "nest_asyncio2" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", source], check=True)


def test_a_forked_child_has_a_thread_of_its_own() -> None:
    """In a program of its own, because a fork of the tests' process, with its threads, may hang."""
    source = """
import os, threading
from kling_nb.background import BackgroundThread, wait
engine = BackgroundThread()
async def name(): return threading.current_thread().name
print(wait(engine.spawn(name())), flush=True)
child = os.fork()
if not child:
    print(wait(engine.spawn(name()), 10), flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    # Since Python 3.12 the fork itself warns on standard error.
    assert output_of(source)[0] == "kling_nb background\n" * 2 + "0\n"


def test_a_process_ends_only_when_what_must_be_finished_is() -> None:
    source = """
import asyncio, socket, threading
from kling_nb.background import BackgroundThread

printed = threading.Event()

async def work():
    while not printed.is_set():
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)   # needs a thread
    print("finished", flush=True)

engine = BackgroundThread.get_shared()
engine.finish_before_exit(engine.spawn(work()))
print("last line", flush=True)
printed.set()
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    # Python 3.12.0 to 3.12.2 start no thread while a process ends: docs/compatibility.md.
    finished = "" if (3, 12) <= sys.version_info < (3, 12, 3) else "finished"
    assert (done.stdout.split("\n")[:2], done.stderr) == (["last line", finished], "")
