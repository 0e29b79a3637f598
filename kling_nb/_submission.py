"""How a job comes to be fal's: its request is sent once, or the one that was sent is found again."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from urllib.parse import urlsplit

from kling_nb import errors
from kling_nb._backend import Backend
from kling_nb._record import Record
from kling_nb._uploads import Tally, Uploads, together
from kling_nb.events import Logged, Queued, State, Submitted, Uploading
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.options import SubmitOptions
from kling_nb.ledger import Entry

log = logging.getLogger(__name__)

OTHER_KERNEL_SECONDS = 150.0
LEDGER_LOOK_SECONDS = 0.25


class Submission:
    """The submission of one job. Engine thread.

    Args:
        record: The job and its row.
        fresh: Whether the row is new, so that this process, and no other, submits.
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
        self._uploads = uploads
        self._inline_limit = inline_limit
        self._webhook_url = webhook_url
        self._options = options

    async def made(self, backend: Backend) -> RequestRef | None:
        """The request as fal knows it; None where it was cancelled before.

        Raises:
            SubmissionUncertain: It was sent, and no answer tells.
            KlingError: It could not be sent, or fal refuses it.
        """
        return await (self._submit(backend) if self.fresh else self._rejoin(backend))

    async def forget_addresses(self) -> None:
        """Upload the files anew the next time: fal could not fetch them."""
        for url in self.addresses.values():
            await self._uploads.forget(url)

    async def _submit(self, backend: Backend) -> RequestRef | None:
        """Upload files, send once, commit what came back; None where it was cancelled before."""
        body = self._job.request.body(await self._upload(backend))
        if self._job.cancel_wanted:
            await self._record.cancelled()
            return None
        if self._record.entry.sent_at is None and not await asyncio.to_thread(
            self._record.ledger.sending, self._job.id
        ):
            self.fresh = False
            return await self._rejoin(backend)
        ref, position = await self._send(backend, body)
        self.fresh = False  # fal has it
        await self._record.note(
            state=State.IN_QUEUE,
            request_id=ref.request_id,
            status_url=ref.status_url,
            response_url=ref.response_url,
            cancel_url=ref.cancel_url,
        )
        self._job.apply(Submitted(ref.request_id))
        self._job.apply(Queued(position))
        return ref

    async def _send(self, backend: Backend, body: dict[str, Any]) -> tuple[RequestRef, int | None]:
        try:
            submission = await backend.client.submit(
                self._job.request.endpoint.id,
                body,
                options=self._options,
                webhook_url=self._webhook_url,
            )
        except errors.KlingError:
            raise  # it says what became of the request
        except Exception as fault:
            log.exception("Job %s", self._job.id)
            raise _unanswered(self._record.entry) from fault
        return submission.ref, submission.queue_position

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

    async def _rejoin(self, backend: Backend) -> RequestRef:
        """Come back to a request that was submitted earlier, or is being submitted by another kernel."""
        self._record.entry = entry = await self._answered()
        assert entry.request_id is not None
        if entry.status_url and not backend.hosts.may_see_key(entry.status_url):
            raise _elsewhere(entry)
        self.other_key = entry.backend == "fal" and entry.key_fingerprint != backend.key_fingerprint
        self._job.apply(Submitted(entry.request_id, resumed=True))
        return backend.hosts.ref_from_reply(
            entry.endpoint,
            entry.request_id,
            status_url=entry.status_url,
            response_url=entry.response_url,
            cancel_url=entry.cancel_url,
        )

    async def _answered(self) -> Entry:
        """The row once it has a request id."""
        entry: Entry | None = self._record.entry
        deadline = time.monotonic() + OTHER_KERNEL_SECONDS
        while entry is not None and entry.request_id is None:
            sent = entry.sent_at is not None
            if entry.state in {State.FAILED, State.CANCELLED} or (entry.abandoned and not sent):
                break
            if entry.state is State.UNCERTAIN or entry.abandoned or (sent and time.monotonic() > deadline):
                raise _unanswered(entry)
            await asyncio.sleep(LEDGER_LOOK_SECONDS)
            entry = await asyncio.to_thread(self._record.ledger.get, self._record.entry.id)
        if entry is None or entry.request_id is None:
            raise errors.KlingError(
                f"Job {self._record.entry.id} ended in another kernel before fal had taken it.",
                remedy="Run the cell again to submit it.",
            )
        return entry


def _unanswered(entry: Entry) -> errors.SubmissionUncertain:
    return errors.SubmissionUncertain(
        f"Job {entry.id} was sent earlier and never answered: fal may have accepted it.",
        remedy=(
            "It was not sent again, so it is not paid twice. See https://fal.ai/dashboard/requests;\n"
            "if it is not there, run the cell with --new (API: new=True)."
        ),
        request_id=entry.request_id,
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
