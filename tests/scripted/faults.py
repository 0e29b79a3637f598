"""What can go wrong with an exchange.

    fal.fault("submit", "reset")                         # body taken, job accepted, then RST
    fal.fault("submit", "reset", at="before_body")       # RST before the body is read: nothing accepted
    fal.fault("download", "close", at="mid_body")        # half a file, then FIN
    fal.fault("status", "status", status=503, times=3)
    fal.fault("stream", "stall", at="after_head", frame=1)
    fal.fault("submit", "nginx", handled=True)           # 502 page, and the job is in the queue all the same

Three families, which differ in the place of the fault:

*cuts* (`reset`, `close`, `stall`) end or hold the connection `at` a place: "before_body", "in_body"
(half of it was read), "after_body", "mid_head", "after_head", "mid_body", or a number of bytes of
the reply. All but the first two come after the work was done. `frame=n` lets n events of a stream pass first.

*replies* stand in for the real answer, and the work is not done unless `handled=True`:
`status` (status, body, headers), `named` (status, body, request_id),
`nginx` (status, headers), `no_money`, `busy` (retry_after:
seconds or a moment), `at_limit` (retry_after, request_id), `platform` (error_type, status),
`in_progress` (status), `redirect` (to, status).

*edits* change the real answer, so the work is done: `truncated_json`, `invalid_json`,
`wrong_types`, `not_an_object`, `empty`, `drip`, `no_items`, `missing_keys` (keys), `wrong_length` (by),
`unsized`, `foreign_urls` (to), `response_suffix`, `whole_path`, `other_app`,
`edit` (edit: Reply -> Reply); and for the stream those of `stream_faults`:
`repeat`, `replay`, `reorder`, `garbage`, `end` (frame),
`linger`, `endless`, `shred` (size), `crlf`, `megabyte`, `bad_utf8`. `kinds_for(exchange)` lists what
can befall an exchange.

Faults of one exchange are used up in the order they were set.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .kinds import KINDS, Effect, Hosts, kinds_for
from .routes import FAULT_POINTS


@dataclass
class Fault:
    """An armed fault. `used` counts; `release()` ends a stall."""

    exchange: str
    kind: str
    effect: Effect
    times: int | None
    skip: int
    handled: bool
    on_loop: Callable[[Callable[[], None]], None]
    client: str = ""
    used: int = field(default=0, init=False)

    @property
    def spent(self) -> bool:
        return self.times is not None and self.used >= self.times

    @property
    def before_body(self) -> bool:
        return self.effect.cut is not None and self.effect.cut.at in ("before_body", "in_body")

    def release(self) -> None:
        """Release a stalled exchange. Later ones are not held."""
        if self.effect.cut is not None:
            self.on_loop(self.effect.cut.gate.set)


class FaultList:
    """Armed faults, used up in the order they were set. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, exchange: str, client: str = "") -> Fault | None:
        """The fault that meets this exchange of a client, counted as used."""
        with self._lock:
            for fault in self._faults:
                if fault.exchange != exchange or fault.spent or fault.client not in client:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.used += 1
                return fault
        return None

    @property
    def unused(self) -> tuple[Fault, ...]:
        with self._lock:
            return tuple(fault for fault in self._faults if not fault.used)


def make(exchange: str, kind: str, hosts: Hosts, options: Mapping[str, Any]) -> Effect:
    """The effect of a kind of fault on an exchange.

    Raises:
        ValueError: there is no such exchange, kind or place, or the two do not go together.
        TypeError: the kind has no such option.
    """
    if exchange not in FAULT_POINTS:
        raise ValueError(f"no exchange {exchange!r}; there are {', '.join(FAULT_POINTS)}")
    if kind not in kinds_for(exchange):
        raise ValueError(f"{exchange} knows no fault {kind!r}; there are {', '.join(kinds_for(exchange))}")
    return KINDS[kind](hosts, **options)
