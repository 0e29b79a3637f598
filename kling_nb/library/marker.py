"""`Marker`: what tells other machines that this one is about to submit a request, so that fal is paid once.

    intents/<fingerprint>/<take>.<generation>.open    a machine wants to submit the request
    intents/<fingerprint>/<take>.<generation>.sent    decides whether it may

Both are created by a conditional write, so each has one author. A machine that created `open` holds the
marker. Right before the POST it creates `sent`, and submits only if it did. Another machine may take over a
marker that was not sent and whose holder has disappeared: it creates `sent` in its place, with `taken`, and
goes on with the next generation. So only one of the two submits, however slow the other one is. A holder that
is done writes `taken` into its own `sent`.

A holder writes its newest object again from time to time. The store's clock decides how old that is: the
clocks of the machines do not count. Objects are only deleted by `Library.gc`, long after. If a holder deleted
its own, a slow machine could mistake the next `open` of that name for the one that it saw before.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from kling_nb.errors import LibraryError
from kling_nb.library.store import Store
from kling_nb.video.decisions import json_object

FRESH_SECONDS = 120.0
"""A marker that was not written for so long, by the store's clock, has lost its holder."""

BEAT_SECONDS = 30.0
"""How often a holder writes its marker."""

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Holder:
    """Another machine that holds the marker of a request.

    Attributes:
        host: Its name.
        account: Fingerprint of its key of fal.
        is_fresh: True if it is at work.
        sent_at: Unix seconds of its submission, by its own clock; None if it was not sent.
        urls: The URL of each local file, by parameter.
        request_id: fal's id, if fal has answered.
    """

    host: str
    account: str | None
    is_fresh: bool
    sent_at: float | None
    urls: Mapping[str, str]
    request_id: str | None


class Marker:
    """The marker of one request. Any thread, one at a time except for `beat`.

    Args:
        store: The library.
        fingerprint: Fingerprint of the request.
        take: Number of the take.
        job_id: Id of the job on this machine.
        account: Fingerprint of the key.

    Attributes:
        is_held: True if this machine holds it.
        request_id: fal's id of the request, once known. The next `beat` writes it.

    Raises:
        LibraryError: By every method that writes or reads.
    """

    def __init__(self, store: Store, fingerprint: str, take: int, job_id: str, account: str | None) -> None:
        self.is_held = False
        self.request_id: str | None = None
        self._store = store
        self._place = f"intents/{fingerprint}/{take}"
        self._mine: dict[str, Any] = {"job": job_id, "host": socket.gethostname(), "account": account}
        self._sent: dict[str, Any] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def _key(self, name: str) -> str:
        return f"{self._place}.{self._generation}.{name}"

    def claim(self) -> Holder | None:
        """Hold the marker, and return None; or return the machine that holds it."""
        self._generation = 0
        for _ in range(_TRIES):
            if self._store.create(self._key("open"), json_object(self._mine)):
                self.is_held, self._sent = True, {}
                return None
            opened, sent = self._store.read(self._key("open"), self._key("sent"))
            if sent is None and opened is not None:
                if opened.get("job") == self._mine["job"]:  # this job, before its process was killed
                    self.is_held, self._sent = True, {}
                    return None
                if self._is_fresh("open"):
                    return _holder(opened, is_fresh=True)
                taken = {**self._mine, "taken": True}
                if self._store.create(self._key("sent"), json_object(taken)):
                    self._generation += 1
            elif sent is not None and sent.get("taken"):
                self._generation += 1
            elif sent is not None:
                if sent.get("job") == self._mine["job"]:  # the ledger says that it was not sent
                    self.is_held, self._sent = True, dict(sent)
                    return None
                return _holder(sent, is_fresh=self._is_fresh("sent"))
        raise LibraryError(
            f"{self._key('open')} in the library {self._store.name} cannot be read or changes all the time.",
            remedy="Run the cell again. If it stays so, delete that object.",
        )

    def _is_fresh(self, name: str) -> bool:
        found = self._store.info(self._key(name))
        # If it was deleted meanwhile, the next look finds another state.
        return found is None or self._store.now() - found.modified < FRESH_SECONDS

    def mark_sent(self, urls: Mapping[str, str]) -> bool:
        """Write that the POST comes next. Return False if another machine has taken over: it submits."""
        content = {**self._mine, "sent_at": time.time(), "urls": dict(urls)}
        with self._lock:  # until the object is there, `beat` must not write it
            if not self._store.create(self._key("sent"), json_object(content)):
                content = self._store.read(self._key("sent"))[0] or {}
                self.is_held = content.get("job") == self._mine["job"] and not content.get("taken")
            self._sent = content
        return self.is_held

    def beat(self) -> None:
        """Write the marker again, because its holder is at work."""
        with self._lock:
            if self.is_held:
                content = {**self._sent, "request_id": self.request_id} if self._sent else self._mine
                self._store.write(self._key("sent" if self._sent else "open"), json_object(content))

    def release(self) -> None:
        """Let other machines submit, if this job holds the marker: it is ready, or fal refused it."""
        with self._lock:
            if not self.is_held:
                self._find_own()
            if self.is_held:
                closed = json_object({**self._mine, "taken": True})
                if not self._store.create(self._key("sent"), closed):
                    sent = self._store.read(self._key("sent"))[0] or {}
                    if sent.get("job") == self._mine["job"] and not sent.get("taken"):
                        self._store.write(self._key("sent"), closed)
                self.is_held = False

    def _find_own(self) -> None:
        """Look for the marker of this job, which an earlier process made."""
        for self._generation in count():
            opened, sent = self._store.read(self._key("open"), self._key("sent"))
            if opened is None:
                return
            if sent is not None and sent.get("job") == self._mine["job"] and not sent.get("taken"):
                self.is_held, self._sent = True, sent
                return
            if sent is None and opened.get("job") == self._mine["job"]:
                self.is_held, self._sent = True, {}
                return


def _holder(found: Mapping[str, Any], *, is_fresh: bool) -> Holder:
    """Return the holder that an object names. Anyone who can write to the library may have written it."""
    sent_at, urls = found.get("sent_at"), found.get("urls")
    return Holder(
        host=str(found.get("host"))[:100],
        account=found.get("account") if isinstance(found.get("account"), str) else None,
        is_fresh=is_fresh,
        sent_at=float(sent_at) if isinstance(sent_at, int | float) else None,
        urls={str(name): str(url) for name, url in urls.items()} if isinstance(urls, dict) else {},
        request_id=found.get("request_id") if isinstance(found.get("request_id"), str) else None,
    )
