"""Where a kernel can be killed: the server, or a lock on the ledger, holds the job at that very point."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripted import ScriptedFal

Reached = Callable[[], object]


@dataclass(frozen=True)
class Scene:
    """A server, a ledger and a media folder, with one job about to begin."""

    fal: ScriptedFal
    ledger: Path
    media: Path

    def takes(self) -> int:
        """Files under a final name."""
        return len([path for path in self.media.glob("*.mp4") if not path.name.startswith(".")])

    @contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Gives a function after which nobody else writes to the ledger, up to the end of the block."""
        self.ledger.parent.mkdir(exist_ok=True)  # no kernel may have written there yet
        db = sqlite3.connect(self.ledger, timeout=10.0, isolation_level=None, check_same_thread=False)
        try:
            yield lambda: db.execute("BEGIN IMMEDIATE") and None
        finally:
            db.close()


@dataclass(frozen=True)
class Point:
    """A moment in the life of a job.

    Attributes:
        exchange: which is held; None holds nothing, and the kernel is killed at random.
        at: where in that exchange.
        frame: of a stream.
        behind: the ledger is locked there and the exchange let go; then what must be seen, besides that.
        accepted: whether fal has the job by then.
        answered: whether the ledger is sure to have the request id by then.
    """

    exchange: str | None
    at: str = "before_body"
    frame: int = 0
    behind: Callable[[Scene, int], bool] | None = None
    accepted: bool = True
    answered: bool = True

    @contextmanager
    def held(self, scene: Scene) -> Iterator[Reached]:
        """Arm it; the value waits until a job stands there. Leaving the block lets everything go."""
        fal = scene.fal
        if self.exchange is None:
            yield lambda: None
            return
        options = {"frame": self.frame} if self.frame else {}
        hold = fal.fault(self.exchange, "stall", at=self.at, **options)
        before, accepted = scene.takes(), len(fal.accepted)

        def stands() -> bool:
            """A fault counts as used before its request is worked on."""
            return bool(hold.used) and (len(fal.accepted) > accepted or not self.accepted)

        if self.behind is None:
            yield lambda: fal.wait_for(stands, timeout=30.0)
        else:
            behind = self.behind
            with scene.lock() as lock:

                def reached() -> None:
                    fal.wait_for(stands, timeout=30.0)
                    lock()
                    hold.release()
                    fal.wait_for(lambda: behind(scene, before), timeout=30.0)

                yield reached
        hold.release()
        fal.clear_faults()


def _answer_sent(scene: Scene, before: int) -> bool:
    """fal has answered, and the kernel waits to write the id down."""
    return scene.fal.last("submit").complete and bool(scene.fal.accepted)


def _filed(scene: Scene, before: int) -> bool:
    return scene.takes() > before


POINTS: Mapping[str, Point] = {
    "submission sent, not read": Point("submit", accepted=False, answered=False),
    "submission accepted, not answered": Point("submit", "after_body", answered=False),
    "answer half sent": Point("submit", "mid_body", answered=False),
    "answer received, id not written down": Point(
        "submit", "after_body", behind=_answer_sent, answered=False
    ),
    "id known": Point("stream"),
    "streaming": Point("stream", "after_head", frame=2),
    "last lines asked for": Point("status"),
    "result asked for": Point("result"),
    "result half received": Point("result", "mid_body"),
    "result fetched": Point("download"),
    "file half received": Point("download", "mid_body"),
    "file written, ledger not": Point("download", "mid_body", behind=_filed),
    "at random": Point(None, answered=False),
}
"""By the name that the counts use."""
