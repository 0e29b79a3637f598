"""Whose a row of the ledger is: a process, by host, number and a word of its own."""

from __future__ import annotations

import os
import secrets
import socket

_TOKEN = secrets.token_hex(4)


def owner_of_this_process() -> str:
    """Names this process, for what it is responsible for. Ends in `session_of_this_process()`."""
    return f"{socket.gethostname()}:{os.getpid()}:{_TOKEN}"


def session_of_this_process() -> str:
    """Eight characters that this process shares with those forked from it, and with no other."""
    return _TOKEN


def is_alive(owner: str) -> bool:
    """Whether the process of that name may still run. Unknown counts as alive."""
    host, pid, _ = owner.rsplit(":", 2) if owner.count(":") >= 2 else ("", "", "")
    if host != socket.gethostname() or os.name == "nt":  # os.kill ends the process on Windows
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True
