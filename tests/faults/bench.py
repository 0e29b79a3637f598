"""A scripted fal and sessions on one ledger, on which trials are made one after the other."""

import asyncio
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scripted import ScriptedFal

from kling_nb.fal.patience import Patience
from kling_nb.ledger import Ledger
from kling_nb.session import Session

HASTE = 0.12  # seconds; long enough for a loopback that answers, short enough for one that does not


class Clock:
    """Waits between two tries, without making anybody wait.

    Attributes:
        waits: how many there were.
        longest: seconds of the longest that was asked for.
        stop_at: the wait of this number lasts until it is set to None.
    """

    def __init__(self) -> None:
        self.waits = 0
        self.longest = 0.0
        self.stop_at: int | None = None

    async def sleep(self, seconds: float) -> None:
        self.waits += 1
        self.longest = max(self.longest, seconds)
        await asyncio.sleep(0.001)  # others get their turn
        while self.stop_at is not None and self.waits >= self.stop_at:  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.005)


class Bench:
    """Use it in a `with` block.

    Attributes:
        fal: the server.
        ledger: the ledger of all sessions, as another process would open it.
        clock: counts the waits between tries.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fal = ScriptedFal()
        self.clock = Clock()
        self.trials = 0
        self._sessions: dict[str, Session] = {}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fal.__enter__()
        self.ledger = Ledger(self.folder / "home" / "ledger.sqlite3")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            session.close()
        self.ledger.close()
        self.fal.__exit__(kind, error, traceback)
        shutil.rmtree(self.folder, ignore_errors=True)

    def session(self, hasty: str = "") -> Session:
        """A session; `hasty` names the wait that ends soon: "submit", "stream", "upload" or "answer"."""
        if hasty not in self._sessions:
            patience = Patience(
                submit=HASTE if hasty == "submit" else 10.0,
                silence=HASTE if hasty == "stream" else 10.0,
                news=HASTE if hasty == "stream" else 10.0,
                answer=HASTE if hasty == "answer" else 10.0,
                whole=HASTE if hasty in {"submit", "upload", "answer"} else 10.0,
                upload=HASTE if hasty == "upload" else 10.0,
                sleep=self.clock.sleep,
            )
            self._sessions[hasty] = Session(patience=patience, **self.settings)
        return self._sessions[hasty]

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the sessions."""
        fal = self.fal
        return {
            "backend": "fal",
            "credentials": fal.key,
            "queue_url": fal.url,
            "rest_url": fal.url,
            "api_url": fal.url,
            "home": self.folder / "home",
            "media": self.folder / "media",
        }

    def accepted(self, prompt: str) -> int:
        """How many submissions with this prompt fal has taken, each of which it would charge."""
        return sum(one.input.get("prompt") == prompt for one in self.fal.accepted)
