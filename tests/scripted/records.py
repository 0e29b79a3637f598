"""What arrived, kept for the test, and waiting for it without sleeping."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .message import Head

Listener = Literal["fal", "media"]


@dataclass(frozen=True)
class Record:
    """One request as it arrived.

    Attributes:
        exchange: what it was, see `routes.EXCHANGES`.
        listener: "fal" (queue, REST, platform) or "media" (the CDN).
        headers: lower-case names.
        complete: the whole body was read.
        fault: kind of the fault that met it.
        time: `time.monotonic()` at arrival.
    """

    number: int
    exchange: str
    listener: Listener
    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    complete: bool
    fault: str | None
    time: float

    @classmethod
    def of(
        cls,
        number: int,
        exchange: str,
        listener: Listener,
        head: Head,
        body: bytes,
        complete: bool,
        fault: str | None,
    ) -> "Record":
        query, headers = dict(head.query), dict(head.headers)
        place = (head.method, head.target, head.path, query, headers)
        return cls(number, exchange, listener, *place, body, complete, fault, time.monotonic())

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def carries(self, secret: str) -> bool:
        """Whether `secret` stands in the address or in any header."""
        return any(secret in text for text in (self.target, *self.headers.values()))


class Recorder:
    """The list of records, and the condition that everything which changes rings. Any thread may call it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._records: list[Record] = []
        self._rung = 0

    def add(
        self, exchange: str, listener: Listener, head: Head, body: bytes, complete: bool, fault: str | None
    ) -> None:
        with self.changed:
            number = len(self._records)
            self._records.append(Record.of(number, exchange, listener, head, body, complete, fault))
            self.ring()

    def ring(self) -> None:
        """Something has changed."""
        with self.changed:
            self._rung += 1
            self.changed.notify_all()

    @property
    def all(self) -> tuple[Record, ...]:
        with self.changed:
            return tuple(self._records)

    def of(self, exchange: str) -> tuple[Record, ...]:
        return tuple(record for record in self.all if record.exchange == exchange)

    def wait_for(self, what: str | Callable[[], object], count: int, timeout: float) -> object:
        """Wait until `what` holds, or until so many of that exchange have arrived.

        Raises:
            AssertionError: it did not within `timeout` seconds; the message lists what arrived.
        """

        def met() -> object:
            return what() if callable(what) else len(self.of(what)) >= count

        deadline = time.monotonic() + timeout
        while True:
            rung = self._rung
            found, left = met(), deadline - time.monotonic()
            if found or left <= 0:
                break
            with self.changed:
                if self._rung == rung:
                    # things outside the server may be part of the condition, so look now and then
                    self.changed.wait(min(left, 0.02))
        if found:
            return found
        arrived = dict(Counter(record.exchange for record in self.all))
        wanted = "the condition" if callable(what) else f"{count} × {what}"
        raise AssertionError(f"waited {timeout} s for {wanted}; arrived: {arrived}")
