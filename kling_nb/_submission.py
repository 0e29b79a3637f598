"""How a job comes to be fal's: its request is sent once, or the one that was sent is found again."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any
from urllib.parse import urlsplit

from kling_nb import errors
from kling_nb._backend import Backend
from kling_nb._lookup import look_up, unanswered
from kling_nb._record import Record
from kling_nb._uploads import Tally, Uploads, together
from kling_nb.events import Logged, Queued, State, Submitted, Uploading
from kling_nb.fal import queue
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.options import SubmitOptions
from kling_nb.ledger import Entry, Intent, at_work

log = logging.getLogger(__name__)

OTHER_KERNEL_SECONDS = 150.0
LEDGER_LOOK_SECONDS = 0.25


class Submission:
    """The submission of one job. Engine thread.

    Args:
        record: The job and its row.
        fresh: Whether the row is new, so that this process, and no other, submits.
        intent: By which a row that its owner left unsent is sent now; without it it is not: who only takes up
            what there is must not buy.
        uploads: Gives the addresses of local files.
        inline_limit: Size in bytes up to which a file goes along as a data URI.
        webhook_url: Where fal is to deliver the result too, where this process submits.
        options: How fal's queue is to treat the submission, where this process submits.

    Attributes:
        fresh: Whether this process is to submit, and fal has not answered yet.
        other_key: Whether it was submitted with another key than the one set now.
        addresses: Where fal finds each local file.
    """

    def __init__(
        self,
        record: Record,
        *,
        fresh: bool,
        intent: Intent | None,
        uploads: Uploads,
        inline_limit: int,
        webhook_url: str | None = None,
        options: SubmitOptions | None = None,
    ) -> None:
        self.fresh = fresh
        self.other_key = False
        self.addresses: dict[str, str] = {}
        self._record = record
        self._job = record.job
        self._intent = intent
        self._uploads = uploads
        self._inline_limit = inline_limit
        self._webhook_url = webhook_url
        self._options = options

    async def made(self, backend: Backend) -> RequestRef | None:
        """The request as fal knows it; None where it was cancelled before.

        Raises:
            SubmissionUncertain: It was sent, and no answer tells, nor what fal lists.
            KlingError: It could not be sent, or fal refuses it.
        """
        return await (self._submit(backend) if self.fresh else self._rejoin(backend))

    def begun(self) -> AbstractContextManager[None]:
        """Inside the block no other kernel takes the row for one that was left alone."""
        return at_work(self._job.id) if self.fresh else nullcontext()

    async def forget_addresses(self) -> None:
        """Upload the files anew the next time: fal could not fetch them."""
        for url in self.addresses.values():
            await self._uploads.forget(url)

    async def _submit(self, backend: Backend) -> RequestRef | None:
        """Upload files, send once, commit what came back; None where it was cancelled before."""
        with at_work(self._job.id):
            body = self._job.request.body(await self._upload(backend))
            if self._job.cancel_wanted:
                await self._record.cancelled()
                return None
            if await asyncio.to_thread(self._record.ledger.sending, self._job.id, self._kept_addresses()):
                return await self._accepted(await self._send(backend, body))
        self.fresh, self._intent = False, None  # somebody else has taken it over
        return await self._rejoin(backend)

    def _kept_addresses(self) -> dict[str, str]:
        """What tells this request's files from others'; a data URI tells by its content."""
        return {name: url for name, url in self.addresses.items() if not url.startswith("data:")}

    async def _accepted(self, submission: queue.Submission) -> RequestRef:
        ref = submission.ref
        self.fresh = False  # fal has it
        if await self._anothers(ref.request_id):
            raise unanswered(
                self._record.entry, f"The answer names a request that is another job's: {ref.request_id}."
            )
        await self._record.note(state=State.IN_QUEUE, request_id=ref.request_id, **_addresses(ref))
        self._job.apply(Submitted(ref.request_id))
        self._job.apply(Queued(submission.queue_position))
        return ref

    async def _anothers(self, request_id: str) -> bool:
        """Whether fal gave an id that it had given before: its result would not be this one's."""
        with suppress(errors.LedgerError):
            return await asyncio.to_thread(self._record.ledger.knows, request_id, but=self._job.id)
        return False

    async def _send(self, backend: Backend, body: dict[str, Any]) -> queue.Submission:
        try:
            return await backend.client.submit(
                self._job.request.endpoint.id,
                body,
                options=self._options,
                webhook_url=self._webhook_url,
            )
        except errors.KlingError:
            raise  # it says what became of the request
        except Exception as fault:
            log.exception("Job %s", self._job.id)
            raise unanswered(self._record.entry) from fault

    async def _upload(self, backend: Backend) -> dict[str, str]:
        """Where fal finds each local file. A cancel ends it at once: nothing is submitted yet."""
        files = self._job.request.files
        if not files:
            return {}
        tally = Tally(
            lambda sent, total: self._job.apply(Uploading(sent, total)),
            lambda line: self._job.apply(Logged(f"kling_nb: {line}")),
        )

        async def cancel() -> str:
            await self._record.cancelled()
            return "nothing was submitted yet"

        self._job.set_canceller(cancel)
        try:
            self.addresses = await together(
                {
                    parameter: self._uploads.address(
                        backend.storage,
                        backend.key_fingerprint,
                        file,
                        inline_limit=self._inline_limit,
                        on_progress=tally.of(parameter, file.name),
                    )
                    for parameter, file in files.items()
                }
            )
        finally:
            self._job.set_canceller(None)
        return self.addresses

    async def _rejoin(self, backend: Backend) -> RequestRef | None:
        """Come back to a request that was submitted earlier, or is being submitted by another kernel."""
        entry = await self._settled()
        if entry.never_sent and await self._take_over():
            return await self._submit(backend)
        if entry.request_id is None and entry.sent_at is not None and not entry.state.closed:
            entry = await look_up(backend, self._record.ledger, entry, self._job.request.endpoint)
        self._record.entry = entry
        if entry.request_id is None:
            raise await self._not_sent(entry)
        if entry.status_url and not backend.hosts.may_see_key(entry.status_url):
            raise _elsewhere(entry)
        self.other_key = entry.backend == "fal" and entry.key_fingerprint != backend.key_fingerprint
        self._job.apply(Submitted(entry.request_id, resumed=True))
        ref = backend.hosts.ref_from_reply(
            entry.endpoint,
            entry.request_id,
            status_url=entry.status_url,
            response_url=entry.response_url,
            cancel_url=entry.cancel_url,
        )
        if not entry.status_url:  # found by its id alone: at other hosts it must not be asked for
            await self._record.note(**_addresses(ref))
        return ref

    async def _settled(self) -> Entry:
        """The row once it has a request id, or nobody is at it any more."""
        entry = self._record.entry
        deadline = time.monotonic() + OTHER_KERNEL_SECONDS
        while entry.request_id is None and entry.state is State.SUBMITTING and not entry.abandoned:
            if entry.sent_at is not None and time.monotonic() > deadline:
                break
            await asyncio.sleep(LEDGER_LOOK_SECONDS)
            found = await asyncio.to_thread(self._record.ledger.get, entry.id)
            if found is None:
                raise _withdrawn(entry)
            entry = found
        return entry

    async def _take_over(self) -> bool:
        """Whether this process sends what another one did not come to send."""
        if self._intent is None or not await asyncio.to_thread(
            self._record.ledger.take_over, self._job.id, self._intent
        ):
            return False
        self.fresh = True
        return True

    async def _not_sent(self, entry: Entry) -> errors.KlingError:
        """It ended before fal had it. Its row is closed, so that it is not resumed for ever."""
        await asyncio.to_thread(self._record.ledger.drop_unsent, entry.id)
        return _withdrawn(entry)


def _addresses(ref: RequestRef) -> dict[str, str]:
    """Columns of the ledger."""
    return {"status_url": ref.status_url, "response_url": ref.response_url, "cancel_url": ref.cancel_url}


def _withdrawn(entry: Entry) -> errors.KlingError:
    return errors.KlingError(
        f"Job {entry.id} ended before fal had taken it: nothing was paid.",
        remedy="Run the cell again to submit it.",
    )


def _elsewhere(entry: Entry) -> errors.KlingError:
    """A request that the hosts set now know nothing of: their 404 would not be about it."""
    if entry.backend == "local":
        return errors.RequestNotFound(
            f"Job {entry.id} ended with its embedded engine. It cost nothing.",
            remedy="Run the cell again.",
            request_id=entry.request_id,
            status_code=404,
        )
    host = urlsplit(entry.status_url or "").hostname
    return errors.UnreachableError(
        f"Job {entry.id} was submitted to {host}, which is not among the hosts set now.",
        remedy="Set the queue_url it was submitted with, then run the cell again.",
        request_id=entry.request_id,
    )
