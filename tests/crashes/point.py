"""Where a kernel can be killed: the server, or a lock on the ledger, stops the job at that point."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripted import ScriptedFal

from kling_nb.ledger import Ledger

Reached = Callable[[], object]


@dataclass(frozen=True)
class Scene:
    """A server, a ledger and a media folder, with one job about to start."""

    fal: ScriptedFal
    ledger: Path
    media: Path

    def takes(self) -> int:
        """Return the number of files under a final name."""
        return len([path for path in self.media.glob("*.mp4") if not path.name.startswith(".")])

    def waits(self) -> bool:
        """Return True if the newest row says that its request was not sent, as before the first try."""
        ledger = Ledger(self.ledger)
        try:
            return ledger.entries(limit=1)[0].sent_at is None
        finally:
            ledger.close()

    @contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Give a function that keeps all others from writing to the ledger until the block ends."""
        self.ledger.parent.mkdir(exist_ok=True)  # Perhaps no kernel has written there yet.
        db = sqlite3.connect(self.ledger, timeout=10.0, isolation_level=None, check_same_thread=False)
        try:
            yield lambda: db.execute("BEGIN IMMEDIATE") and None
        finally:
            db.close()


@dataclass(frozen=True)
class Point:
    """A moment in the life of a job.

    Attributes:
        exchange: The exchange that is stopped; None stops nothing, and the kernel is killed at random.
        at: Where in that exchange.
        frame: Frame of a stream.
        behind: Condition to wait for while the ledger is locked and the exchange goes on.
        refused: True if fal refuses the submission, because the account runs its maximum, and the job waits.
        accepted: True if fal has the job by then.
        answered: True if the ledger is sure to have the request id by then.
    """

    exchange: str | None
    at: str = "before_body"
    frame: int = 0
    behind: Callable[[Scene, int], bool] | None = None
    refused: bool = False
    accepted: bool = True
    answered: bool = True

    @contextmanager
    def held(self, scene: Scene) -> Iterator[Reached]:
        """Arm the point. The yielded function waits until a job is there. All jobs go on after the block."""
        fal = scene.fal
        if self.exchange is None:
            yield lambda: None
            return
        if self.refused:
            fault = fal.fault(self.exchange, "at_limit", times=None)
            yield lambda: fal.wait_for(lambda: fault.used and scene.waits(), timeout=30.0)
            fal.clear_faults()
            return
        options = {"frame": self.frame} if self.frame else {}
        stall = fal.fault(self.exchange, "stall", at=self.at, **options)
        before, accepted = scene.takes(), len(fal.accepted)

        def is_there() -> bool:
            # A fault counts as used before its request is worked on.
            return bool(stall.used) and (len(fal.accepted) > accepted or not self.accepted)

        if self.behind is None:
            yield lambda: fal.wait_for(is_there, timeout=30.0)
        else:
            behind = self.behind
            with scene.lock() as lock:

                def reached() -> None:
                    fal.wait_for(is_there, timeout=30.0)
                    lock()
                    stall.release()
                    fal.wait_for(lambda: behind(scene, before), timeout=30.0)

                yield reached
        stall.release()
        fal.clear_faults()


def _is_answered(scene: Scene, before: int) -> bool:
    """Return True when fal has answered and the kernel waits to write the id to the ledger."""
    return scene.fal.last("submit").complete and bool(scene.fal.accepted)


def _is_stored(scene: Scene, before: int) -> bool:
    return scene.takes() > before


POINTS: Mapping[str, Point] = {
    "submission sent, not read": Point("submit", accepted=False, answered=False),
    "submission accepted, not answered": Point("submit", "after_body", answered=False),
    "answer half sent": Point("submit", "mid_body", answered=False),
    "answer received, id not written down": Point(
        "submit", "after_body", behind=_is_answered, answered=False
    ),
    "refused, waits for its turn": Point("submit", refused=True, accepted=False),
    "id known": Point("stream"),
    "streaming": Point("stream", "after_head", frame=2),
    "last lines asked for": Point("status"),
    "result asked for": Point("result"),
    "result half received": Point("result", "mid_body"),
    "result fetched": Point("download"),
    "file half received": Point("download", "mid_body"),
    "file written, ledger not": Point("download", "mid_body", behind=_is_stored),
    "at random": Point(None, answered=False),
}
"""The points by the names that the counts use."""
