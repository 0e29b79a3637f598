"""`Sharing`: one job and the studio's library, which many machines share (`library/`).

Before a submission to fal, the job holds a marker in the library, so that no other machine submits the same
request. When the job is READY, its take is stored in the library: in the background, after the local file.

The marker tells other machines that this one is about to submit, so that fal is paid once:

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

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from kling_nb.errors import NOTHING_SENT, LedgerError, LibraryError, MediaError, SubmissionUncertain
from kling_nb.events import Event, JobState, Logged, Ready, State, Submitted
from kling_nb.job.connections import Backend, Connections
from kling_nb.job.plan import REUSABLE, WORDS, Outcome
from kling_nb.job.record import JobRecord
from kling_nb.ledger import Intent
from kling_nb.library.library import Shared
from kling_nb.library.store import Store
from kling_nb.settings import Settings
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

    `is_over` returns True if this machine knows that the job of an id costs nothing and gives no take. Its
    marker is taken over at once, even if the library did not answer when it was to be released.

    Attributes:
        is_held: True if this machine holds it.
        request_id: fal's id of the request, once known. The next `beat` writes it.

    Raises:
        LibraryError: By every method that writes or reads.
    """

    def __init__(
        self,
        store: Store,
        fingerprint: str,
        take: int,
        job_id: str,
        account: str | None,
        *,
        is_over: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.is_held = False
        self.request_id: str | None = None
        self._store = store
        self._is_over = is_over
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
        taken = json_object({**self._mine, "taken": True})
        for _ in range(_TRIES):
            if self._store.create(self._key("open"), json_object(self._mine)):
                self.is_held, self._sent = True, {}
                return None
            opened, sent = self._store.read(self._key("open"), self._key("sent"))
            if sent is None and opened is not None:
                if self._is_mine(opened):  # this job, before its process was killed
                    self.is_held, self._sent = True, {}
                    return None
                if not self._is_over(str(opened.get("job"))) and self._is_fresh("open"):
                    return _holder(opened, is_fresh=True)
                if self._store.create(self._key("sent"), taken):
                    self._generation += 1
            elif sent is not None and sent.get("taken"):
                self._generation += 1
            elif sent is not None:
                if self._is_mine(sent):  # the ledger says that it was not sent
                    self.is_held, self._sent = True, dict(sent)
                    return None
                if self._is_over(str(sent.get("job"))):
                    self._store.write(self._key("sent"), taken)
                    continue
                return _holder(sent, is_fresh=self._is_fresh("sent"))
        raise LibraryError(
            f"{self._key('open')} in the library {self._store.name} cannot be read or changes all the time.",
            remedy="Run the cell again. If it stays so, delete that object.",
        )

    def _is_mine(self, content: Mapping[str, Any] | None) -> bool:
        """Return True if an object is of this job, and does not end its claim."""
        return content is not None and content.get("job") == self._mine["job"] and not content.get("taken")

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
                self.is_held = self._is_mine(content)
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
                key = self._key("sent")
                if not self._store.create(key, closed) and self._is_mine(self._store.read(key)[0]):
                    self._store.write(key, closed)
                self.is_held = False

    def _find_own(self) -> None:
        """Look for the marker of this job, which an earlier process made."""
        for self._generation in count():
            opened, sent = self._store.read(self._key("open"), self._key("sent"))
            if opened is None:
                return
            if self._is_mine(opened if sent is None else sent):
                self.is_held, self._sent = True, sent or {}
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


log = logging.getLogger(__name__)

PUSH_WAITS = (1.0, 5.0)
"""Seconds before each further try to store a take in the library."""

LONGEST_WAIT = 10.0
"""Seconds between two looks at another machine's submission."""


class Sharing:
    """A job and the library. Background thread.

    Attributes:
        is_elsewhere: True if another machine has sent the request, and it is not known whether fal has it.
    """

    def __init__(self, record: JobRecord, connections: Connections, settings: Settings) -> None:
        self.is_elsewhere = False
        self._record = record
        self._job = record.job
        self._connections = connections
        self._library = connections.library(settings)
        self._media = connections.media(settings.media)
        self._optional = settings.library_optional
        self._marker: Marker | None = None
        self._news = asyncio.Event()
        self._job.subscribe(self._follow)

    # -- before the submission

    async def claim(self, backend: Backend, intent: Intent) -> Literal["submit", "made", "sent"]:
        """Wait until no other machine is submitting the request.

        Returns:
            "submit": this machine holds the marker and may submit. "made": the job is READY with the take of
            another machine. "sent": another machine of this account has sent the request and disappeared; the
            row is as if this one had sent it.

        Raises:
            LibraryError: The library does not answer. Nothing was sent.
            SubmissionUncertain: A machine of another account has sent the request and disappeared.
        """
        if backend.name == "local" or intent.new:  # a preview is free, and `new` always buys
            return "submit"
        marker = self._new_marker(intent.take or 1)
        try:
            for attempt in count(1):
                holder = await asyncio.to_thread(marker.claim)
                shared = await asyncio.to_thread(
                    self._library.find, intent.fingerprint, intent.take, REUSABLE[intent.backend]
                )
                if shared is not None:
                    await self._use(shared, marker)
                    return "made"
                if holder is None:
                    self._marker = marker
                    self._connections.spawn(self._beat(marker))
                    return "submit"
                if not holder.is_fresh:
                    await self._adopt(holder, backend)
                    return "sent"
                if attempt == 1:
                    self._log(f"{holder.host} makes this request. Its result is used here, free.")
                await self._connections.sleep(min(float(attempt), LONGEST_WAIT))
        except LibraryError as fault:
            self._go_on_or_raise(fault)
        return "submit"

    def _new_marker(self, take: int) -> Marker:
        entry = self._record.entry
        return Marker(
            self._library.store,
            entry.fingerprint,
            take,
            entry.id,
            entry.key_fingerprint,
            is_over=lambda job_id: self._is_over(job_id, unknown=False),
        )

    def _go_on_or_raise(self, fault: LibraryError) -> None:
        if not self._optional:
            raise LibraryError(f"{fault.message.rstrip('.')}. {NOTHING_SENT}", remedy=fault.remedy) from fault
        self._log(f"Without the library, another machine may pay for the same take. {fault.message}")

    def _log(self, text: str) -> None:
        self._job._apply(Logged(f"kling_nb: {text}"))

    async def _use(self, shared: Shared, marker: Marker) -> None:
        """End the job with the take of another machine. The row of this one is deleted: it sent nothing."""
        take = await asyncio.to_thread(self._library.fetch, shared, self._media)
        await asyncio.to_thread(self._record.ledger.withdraw, self._job.id)
        if marker.is_held:
            with suppress(LibraryError):
                await asyncio.to_thread(marker.release)
        self._job.outcome = Outcome.LIBRARY
        self._log(WORDS[Outcome.LIBRARY].sentence)
        self._job._apply(Submitted(take.sidecar.request_id or "", resumed=True))
        await asyncio.to_thread(self._job._set_take, take)
        self._job._apply(Ready(take.sidecar.billable_units))

    async def _adopt(self, holder: Holder, backend: Backend) -> None:
        """Make the row one that was sent by the machine that has disappeared."""
        self.is_elsewhere = True
        sent = time.strftime("%Y-%m-%d %H:%M", time.localtime(holder.sent_at))
        if holder.account != backend.key_fingerprint:
            known = f" (request {holder.request_id})" if holder.request_id else ""
            raise SubmissionUncertain(
                f"{holder.host} sent this request on {sent} with another account{known}, and is not at work"
                " any more: nothing was sent from here.",
                remedy="Run kling-nb resume there to get its take into the library; only --new"
                " (API: new=True) sends it from here, at a second charge.",
            )
        self._log(
            f"{holder.host} sent this request on {sent}, and is not at work any more. fal is asked for it."
        )
        ledger, entry = self._record.ledger, self._record.entry
        await asyncio.to_thread(ledger.mark_sending, entry.id, holder.urls)
        await self._record.note(
            state=State.UNCERTAIN if holder.request_id is None else State.IN_QUEUE,
            sent_at=holder.sent_at or entry.created_at,
            request_id=holder.request_id,
        )
        row = await asyncio.to_thread(ledger.get, entry.id)
        self._record.entry = row or entry

    # -- the submission

    async def mark_sent(self, urls: dict[str, str]) -> bool:
        """Write right before the POST that it comes. False: another machine has taken over, and submits.

        Raises:
            LibraryError: The library does not answer. The row is as if nothing was sent.
        """
        if self._marker is None:
            return True
        try:
            if await asyncio.to_thread(self._marker.mark_sent, urls):
                return True
        except LibraryError as fault:
            if not self._optional:
                await asyncio.to_thread(self._record.ledger.mark_unsent, self._job.id)
            self._go_on_or_raise(fault)
            return True
        await asyncio.to_thread(self._record.ledger.mark_unsent, self._job.id)
        return False

    def note_request(self, request_id: str) -> None:
        """Write fal's id of the request soon, for other machines of this account."""
        if self._marker is not None:
            self._marker.request_id = request_id
            self._news.set()

    async def _beat(self, marker: Marker) -> None:
        """Show other machines that this one is at work, until the job ends."""
        while not self._job.done:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), BEAT_SECONDS)
            self._news.clear()
            if not self._job.done:
                with suppress(LibraryError):
                    await asyncio.to_thread(marker.beat)

    # -- the end

    def _follow(self, _: Event, state: JobState) -> None:
        """Start the last steps, before any caller knows that the job has ended."""
        if state.state.finished:
            self._news.set()
            self._connections.push(self._end(state.state))

    async def _end(self, state: State) -> None:
        """Store the take. Release the marker, unless others must know that the request was sent."""
        if self._job.outcome is Outcome.LIBRARY:
            return
        entry = self._record.entry
        if state is State.READY:
            may_release = await self._push()
        else:
            may_release = await asyncio.to_thread(self._is_over, entry.id, unknown=True)
        if may_release and entry.backend == "fal":
            with suppress(LibraryError):  # it is stale soon
                await asyncio.to_thread((self._marker or self._new_marker(entry.take or 1)).release)

    def _is_over(self, job_id: str, *, unknown: bool) -> bool:
        """Return True if the row shows that the request costs nothing and gives no take.

        Return `unknown` if the ledger has no such row.
        """
        with suppress(LedgerError):
            entry = self._record.ledger.get(job_id)
            if entry is None:
                return unknown
            return entry.state in {State.FAILED, State.CANCELLED} and not entry.is_result_gone
        return False

    async def _push(self) -> bool:
        """Store the take. A failure is a warning, because the take itself is stored."""
        take = self._job._take
        for seconds in (*PUSH_WAITS, None):
            try:
                if take is not None:
                    await asyncio.to_thread(self._library.push, take)
                return True
            except (LibraryError, MediaError) as fault:
                if seconds is None:
                    text = "%s is not in the library yet: %s Later: kling-nb library push"
                    log.warning(text, take and take.path.name, fault.message)
                    return False
            await self._connections.sleep(seconds)
        return False
