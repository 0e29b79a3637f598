"""What tests of the ledger do in other processes.

These are not functions of the test files, because another process could not import those: IPython 7 puts a
folder with a package `tests` on the path.
"""

import multiprocessing
import os
from collections.abc import Callable
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kling_nb import Session, doctor
from kling_nb.errors import LedgerError
from kling_nb.ledger import Intent, Ledger
from kling_nb.ledger.database import ledger_path
from kling_nb.notebook import tables

NOBODY = 65534


def without_root(act: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of `act` in a process that may not write everywhere, as root may.

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


def intent(number: int, **more: Any) -> Intent:
    prompt = f"a cat {number} " + "with whiskers " * 40
    return Intent("fal", "fal-ai/x", {"prompt": prompt}, prompt, f"f-{number}", Path("/media"), **more)


def claim_one(path: Path, number: int) -> None:
    ledger = Ledger(path)
    assert ledger.claim(intent(number))[1]
    ledger.close()


def claimed_where(home: Path, media: Path) -> str:
    path = ledger_path(home, media)
    ledger = Ledger(path)
    try:
        assert ledger.claim(intent(1))[1]
        return str(path)
    except LedgerError as fault:
        return type(fault).__name__
    finally:
        ledger.close()


def has_ledger(home: Path) -> bool:
    return Ledger(home / "ledger.sqlite3").exists()


def findings_about(home: Path, media: Path) -> list[str]:
    with closing(Session(home=home, media=media, backend="local")) as session:
        return [tables.status(session), doctor._folder("Ledger folder", home).text]
