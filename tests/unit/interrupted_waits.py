"""Interrupts a nested wait at each of its lines, one a round, and looks whether both loops are sound then.

A program of its own, run by test_engine.py: an interrupt may leave anything behind. Prints how many
lines there were.
"""

import asyncio
import gc
import signal
import sys
from concurrent.futures import Future
from types import FrameType
from typing import Any

from kling_nb.background import BackgroundThread, wait

WATCHED = ("nest_asyncio2.py", "contextlib.py", "background.py")


class Strike:
    """Raises SIGINT at the `line`-th event of the wait."""

    def __init__(self, line: int) -> None:
        self._left = line
        self.struck = False

    def trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(WATCHED) or frame.f_code.co_name == "__del__":
            return None  # nothing can be raised from a `__del__`
        if not self.struck:
            self._left -= 1
            if self._left < 0:
                self.struck = True
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
        return self.trace


async def soundness(kept: list[BaseException]) -> bool:
    """On the background thread, drop what the interrupt left, and return True if the loop is sound."""
    mine = asyncio.get_running_loop()
    kept.clear()
    gc.collect()
    return asyncio.get_running_loop() is mine


async def one_round(line: int) -> bool:
    loop = asyncio.get_running_loop()
    future: Future[int] = Future()
    strike = Strike(line)

    def finish() -> None:
        if not strike.struck:  # so that only a wait that heard of the interrupt ends
            future.set_result(7)

    loop.call_soon(loop.call_soon, finish)
    kept: list[BaseException] = []
    try:
        sys.settrace(strike.trace)
        assert wait(future) == 7
        sys.settrace(None)
        assert not strike.struck, "the interrupt was lost"
    except KeyboardInterrupt as interrupt:
        kept.append(interrupt)
    finally:
        sys.settrace(None)
    sound = BackgroundThread.get_shared().spawn(soundness(kept))
    assert wait(sound, 10), f"line {line} took the engine's loop"
    assert asyncio.get_running_loop() is loop
    assert asyncio.current_task() is not None
    return strike.struck


async def main() -> None:
    line = 0
    wait(BackgroundThread.get_shared().spawn(soundness([])))
    while await one_round(line):
        line += 1
    print(line)


if __name__ == "__main__":
    asyncio.new_event_loop().run_until_complete(main())  # `asyncio.run` has an interrupt handler of its own
