"""How long fal is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits, in seconds. A value of its own, so that tests need not wait as people do.

    Attributes:
        submit: For the answer to a submission, once it is sent.
        silence: For the next byte of a status stream: three times fal's keep-alive of 15 s (FAL-PROTOCOL §5).
        news: For the next status on a stream that keeps alive; then one is asked for. A stream may go on
            after its job, or stand before a gateway that has lost the other end.
        answer: For the next byte of any other reply, and of a file.
        whole: For all of a reply, once its request is sent: one that comes byte by byte, as from a proxy that
            only keeps its line alive, would never end.
        upload: For each answer of an upload; None is as long as for a submission.
        sleep: Waits between two tries.
    """

    submit: float = 120.0
    silence: float = 45.0
    news: float = 60.0
    answer: float = 30.0
    whole: float = 600.0
    upload: float | None = None
    sleep: Sleep = asyncio.sleep
