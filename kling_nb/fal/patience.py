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
        sleep: Waits between two tries.
    """

    submit: float = 120.0
    silence: float = 45.0
    sleep: Sleep = asyncio.sleep
