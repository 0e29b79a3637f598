"""Run a function in a process that may not write everywhere, as root may."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

NOBODY = 65534


def without_root(act: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of `act`, a function of a module.

    The process is forked from one without threads: a fork of the tests' own process may hang.
    """
    context = multiprocessing.get_context("forkserver")
    answer, ask = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(ask, act, arguments))
    child.start()
    ask.close()  # so that a child that ends early raises EOFError here
    with answer:
        found = answer.recv()
    child.join()
    return found


def _run(ask: Connection, act: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    ask.send(act(*arguments))
