"""Submit once: send the request of a job to fal, or find the request that was sent earlier.

This is the only code that sends the POST of a job; jobs and `Session.client` both use it. A request is never
sent twice. If its answer is missing or unclear, the row becomes UNCERTAIN, and `look_up` searches fal's own
list of requests for it. If fal refuses it because the account runs its maximum of requests, the row is put
back to "not sent", and the job waits for its turn.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kling_nb import errors
from kling_nb.catalog import Endpoint
from kling_nb.events import Held, Logged, Queued, State, Submitted, Uploading
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.options import SubmitOptions
from kling_nb.fal.patience import TURN
from kling_nb.fal.platform import EarlierRequest, earlier_requests, name_deprecation
from kling_nb.fal.queue import UNCERTAIN_REMEDY, AcceptedRequest
from kling_nb.job.connections import Backend
from kling_nb.job.inputs import Tally, Uploads, gather_by_name
from kling_nb.job.plan import check_not_reloaded
from kling_nb.job.record import JobRecord, failure_columns
from kling_nb.ledger import Entry, Intent, Ledger, at_work
from kling_nb.ledger.schema import SUBMIT_LEASE_SECONDS
from kling_nb.request.local_file import LocalFile
from kling_nb.request.media_input import DataUriError, for_upload, parse_data_uri
from kling_nb.request.request import VideoRequest, canonical_json, is_recorded_file

if TYPE_CHECKING:
    from kling_nb.job.sharing import Sharing

log = logging.getLogger(__name__)

OTHER_KERNEL_SECONDS = 150.0
LEDGER_LOOK_SECONDS = 0.25


class JobSubmission:
    """The submission of one job. Background thread.

    Args:
        intent: How to send a row that its owner left unsent. Without it, such a row is not sent, because a
            caller who only resumes jobs must not buy one.
        inline_limit: Size in bytes up to which a file is sent as a data URI.
        patient: True to wait while the account runs its maximum of requests. With `max_queue_length`, the
            submission never waits.
        sharing: The studio's library, if one is set.

    Attributes:
        fresh: True if this process, and no other, submits, and fal has not answered yet.
        other_key: True if the request was submitted with another key than the one set now.
        urls: The URL of each local file, by parameter.
    """

    def __init__(
        self,
        record: JobRecord,
        *,
        fresh: bool,
        intent: Intent | None,
        uploads: Uploads,
        inline_limit: int = 0,
        webhook_url: str | None = None,
        options: SubmitOptions | None = None,
        patient: bool = True,
        sharing: Sharing | None = None,
    ) -> None:
        self.fresh = fresh
        self.other_key = False
        self.urls: dict[str, str] = {}
        self._has_turn = False
        self._record = record
        self._job = record.job
        self._intent = intent
        self._uploads = uploads
        self._inline_limit = inline_limit
        self._webhook_url = webhook_url
        self._options = options
        self._sharing = sharing
        self._patient = patient and (options is None or options.max_queue_length is None)

    async def send_or_find(
        self, connect: Callable[[], Awaitable[Backend]]
    ) -> tuple[Backend, RequestRef | None]:
        """Send the request once, or find the one that was sent earlier. The outcome is written to the row.

        Returns:
            The backend, and the request as fal knows it; None if the job was cancelled before it was sent.

        Raises:
            SubmissionUncertain: The request was sent, and neither an answer nor fal's list shows whether
                fal has it.
            KlingError: The request could not be sent, or fal refused it.
        """
        # Inside this block, no other thread treats the row as one that was left unsent.
        with at_work(self._job.id) if self.fresh else nullcontext():
            try:
                backend = await connect()
                return backend, await (self._submit(backend) if self.fresh else self._find(backend))
            except errors.SubmissionUncertain as fault:
                columns: dict[str, Any] = {"state": State.UNCERTAIN, "error": str(fault)}
                if self._sharing is not None and self._sharing.is_elsewhere:
                    columns = failure_columns(fault, accepted=False)  # this machine sent nothing
                await self._record.note(**columns)
                raise
            except errors.KlingError as fault:
                await self._close_unsent(fault)
                raise
            except Exception as fault:
                failed = unexpected_error(self._job.id, fault)
                await self._close_unsent(failed)
                raise failed from fault

    async def _close_unsent(self, fault: errors.KlingError) -> None:
        """Close the row of a submission that failed, unless fal has the request."""
        if self.fresh:
            # The message is that of any request, and several jobs may have it, as that of a shared upload.
            if isinstance(fault, errors.UnreachableError) and errors.NOTHING_SENT not in fault.message:
                fault.message = f"{fault.message.rstrip('.')}. {errors.NOTHING_SENT}"
            await self._record.note(**failure_columns(fault, accepted=False))

    async def forget_uploads(self) -> None:
        """Forget the URLs that fal could not fetch, so that the next submission uploads the files again."""
        for url in self.urls.values():
            await self._uploads.forget(url)

    async def _submit(self, backend: Backend) -> RequestRef | None:
        """Upload the files, send the request once, and commit the answer; None if cancelled before.

        A request that fal refused because the account runs its maximum is sent again later. Each try is a
        new step in the ledger.
        """
        line = backend.client.line(self._job.request.endpoint.id)
        with at_work(self._job.id):
            if self._sharing is not None and self._intent is not None:
                async with self._before_submission():
                    found = await self._sharing.claim(backend, self._intent)
                if found == "made":
                    return None
                if found == "sent":
                    self.fresh, self._intent = False, None
                    return await self._find(backend)
            async with AsyncExitStack() as turn:
                if self._patient and line.locked():
                    await self._wait_for_turn(backend, line, turn)
                for attempt in count(1):
                    check_not_reloaded(backend.name)
                    body = self._job.request.body(await self._upload(backend))
                    if self._job.cancellation.is_requested:
                        await self._record.cancel()
                        return None
                    ledger = self._record.ledger
                    if not await asyncio.to_thread(ledger.mark_sending, self._job.id, self._lasting_urls()):
                        break
                    if self._sharing is not None and not await self._sharing.mark_sent(self._lasting_urls()):
                        return await self._submit(backend)
                    try:
                        with self._job._sending() if self._job.state.held else nullcontext():
                            return await self._commit(await self._send(backend, body))
                    except errors.TooManyRunning as fault:
                        if not self._patient:
                            raise
                        # Mark the row as not sent before the wait. If this process is killed, a run sends it.
                        if not await asyncio.to_thread(ledger.mark_unsent, self._job.id):
                            break
                        # Wait even after `Retry-After: 0`, because the account is still at its limit.
                        seconds = max(TURN.first, TURN.delay(attempt, fault.retry_after))
                        await self._wait_for_turn(backend, line, turn, seconds)
        self.fresh, self._intent = False, None  # another process submits this row
        return await self._find(backend)

    async def _wait_for_turn(
        self, backend: Backend, line: asyncio.Lock, turn: AsyncExitStack, seconds: float = 0.0
    ) -> None:
        """Wait until this request may be sent. A cancel ends the job at once.

        The request that holds `line`, the lock of the endpoint, waits `seconds` before its next try. The
        others wait behind it, and then try at once. `turn` releases the line.
        """
        job = self._job
        if job.cancellation.is_requested:
            return
        if not job.state.held:
            text = "fal runs the maximum of requests of this account. This one is sent as soon as it may be."
            job._apply(Logged(f"kling_nb: {text}", None, "WARN"))
            job._apply(Held())
        async with self._before_submission():
            if not self._has_turn:
                behind = line.locked()
                await turn.enter_async_context(line)
                self._has_turn = True
                seconds = 0.0 if behind else seconds
            await backend.http.sleep(seconds)

    @asynccontextmanager
    async def _before_submission(self) -> AsyncIterator[None]:
        """Keep other processes from taking over the row during the block. A cancel ends the job at once."""
        renewing = asyncio.create_task(self._renew())
        try:
            with self._job.cancellation.before_submission(self._record.cancel):
                yield
        finally:
            renewing.cancel()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(SUBMIT_LEASE_SECONDS / 3)
            with suppress(errors.LedgerError):
                await asyncio.to_thread(self._record.ledger.renew, self._job.id)

    def _lasting_urls(self) -> dict[str, str]:
        """Return the URLs that fal's list will show for the files. A data URI contains the file itself."""
        return {name: url for name, url in self.urls.items() if not url.startswith("data:")}

    async def _send(self, backend: Backend, body: dict[str, Any]) -> AcceptedRequest:
        try:
            return await backend.client.submit(
                self._job.request.endpoint.id,
                body,
                options=self._options,
                webhook_url=self._webhook_url,
            )
        except errors.KlingError as fault:
            if isinstance(fault, errors.EndpointNotFound) and backend.name == "fal":
                await name_deprecation(backend.http, self._job.request.endpoint.id, fault)
            raise  # the error already names the outcome of the request
        except Exception as fault:
            log.exception("Job %s: the submission failed unexpectedly.", self._job.id)
            raise uncertain_error(self._record.entry) from fault

    async def _commit(self, accepted: AcceptedRequest) -> RequestRef:
        """Write the id and the URLs of the request to the ledger, before anything else happens."""
        ref = accepted.ref
        self.fresh = False  # fal has accepted the request
        if await self._is_of_another_job(ref.request_id):
            raise uncertain_error(
                self._record.entry, f"its answer has the request id of another job, {ref.request_id}"
            )
        await self._record.note(state=State.IN_QUEUE, request_id=ref.request_id, **_urls(ref))
        if self._sharing is not None:
            self._sharing.note_request(ref.request_id)
        self._job._apply(Submitted(ref.request_id))
        self._job._apply(Queued(accepted.queue_position))
        return ref

    async def _is_of_another_job(self, request_id: str) -> bool:
        """Return True if another job already has this request id. Its result would be shown for this job."""
        if self._job.backend == "local":  # made by the server of this process, which repeats none
            return False
        with suppress(errors.LedgerError):
            return await asyncio.to_thread(self._record.ledger.knows, request_id, but=self._job.id)
        return False

    async def _upload(self, backend: Backend) -> dict[str, str]:
        """Upload the local files and return their URLs. A cancel ends the uploads at once."""
        files = {**_refused_audio(self._job.request.input), **self._job.request.files}
        if not files:
            return {}

        def log_line(line: str) -> None:
            self._job._apply(Logged(f"kling_nb: {line}"))

        tally = Tally(lambda sent, total: self._job._apply(Uploading(sent, total)), log_line)
        async with self._before_submission():
            self.urls = await gather_by_name(
                {
                    parameter: self._uploads.url(
                        backend.storage,
                        backend.key_fingerprint,
                        file,
                        inline_limit=self._inline_limit,
                        on_progress=tally.of(parameter, file.name),
                        on_line=log_line,
                    )
                    for parameter, file in files.items()
                }
            )
        return self.urls

    async def _find(self, backend: Backend) -> RequestRef | None:
        """Find a request that was submitted earlier, or that another kernel is submitting."""
        entry = await self._wait_for_other_kernel()
        if entry.is_unsent and await self._take_over():
            return await self._submit(backend)
        if entry.request_id is None and entry.sent_at is not None and not entry.state.closed:
            entry = await look_up(backend, self._record.ledger, entry, self._job.request.endpoint)
        self._record.entry = entry
        if entry.request_id is None:
            await asyncio.to_thread(self._record.ledger.drop_unsent, entry.id)  # so that it is not resumed
            raise _not_sent_error(entry)
        if entry.status_url and not backend.http.hosts.may_see_key(entry.status_url):
            raise _unknown_host_error(entry)
        self.other_key = entry.backend == "fal" and entry.key_fingerprint != backend.key_fingerprint
        self._job._apply(Submitted(entry.request_id, resumed=True))
        ref = backend.http.hosts.ref_from_reply(entry.endpoint, entry.request_id, entry.urls)
        if not entry.status_url:  # later calls must ask the same hosts for this id
            await self._record.note(**_urls(ref))
        return ref

    async def _wait_for_other_kernel(self) -> Entry:
        """Return the row as soon as it has a request id, or no process is submitting it any more."""
        entry = self._record.entry
        deadline = time.monotonic() + OTHER_KERNEL_SECONDS
        while entry.request_id is None and entry.state is State.SUBMITTING and not entry.is_abandoned:
            if entry.sent_at is not None and time.monotonic() > deadline:
                break
            await asyncio.sleep(LEDGER_LOOK_SECONDS)
            found = await asyncio.to_thread(self._record.ledger.get, entry.id)
            if found is None:
                raise _not_sent_error(entry)
            if found.sent_at != entry.sent_at:  # a new try, after fal refused the last one
                deadline = time.monotonic() + OTHER_KERNEL_SECONDS
            entry = found
        return entry

    async def _take_over(self) -> bool:
        """Return True if this process may send the request that another one left unsent."""
        if self._intent is None or not await asyncio.to_thread(
            self._record.ledger.take_over, self._job.id, self._intent
        ):
            return False
        self.fresh = True
        return True


def unexpected_error(job_id: str, fault: Exception) -> errors.KlingError:
    """Log an exception that is not a `KlingError`, and return a `KlingError` for it."""
    log.error("Job %s failed unexpectedly.", job_id, exc_info=fault)
    return errors.KlingError(f"Unexpected error: {type(fault).__name__}: {fault}")


_REFUSED_AUDIO = re.compile(r"data:audio/(?!mpeg\b|x-wav\b)", re.IGNORECASE)
"""Data URIs that fal's decoder refuses ("Unsupported data URL", FAL-PROTOCOL §16.6)."""


def _refused_audio(given: Mapping[str, Any]) -> dict[str, LocalFile]:
    """Return, by parameter, the audio that must be uploaded because fal refuses its data URI."""
    found: dict[str, LocalFile] = {}
    for path, value in _flatten(given).items():
        if isinstance(value, str) and _REFUSED_AUDIO.match(value):
            with suppress(errors.InputError):  # the text is not a data URI, but e.g. a prompt
                file = for_upload(value)
                found |= {path: file} if isinstance(file, LocalFile) else {}
    return found


def _urls(ref: RequestRef) -> dict[str, str]:
    """Return the ledger columns with the URLs of a request."""
    return {"status_url": ref.status_url, "response_url": ref.response_url, "cancel_url": ref.cancel_url}


def _not_sent_error(entry: Entry) -> errors.KlingError:
    return errors.KlingError(
        f"Job {entry.id} ended before it was sent to fal. Not charged.",
        remedy="Run the cell again to submit it.",
    )


def _unknown_host_error(entry: Entry) -> errors.KlingError:
    """Return the error of a request at a host that is not set now. The hosts set now cannot know it."""
    if entry.backend == "local":
        return errors.RequestNotFound(
            f"Job {entry.id} ended with its local preview server. Not charged.",
            remedy="Run the cell again.",
            request_id=entry.request_id,
            status_code=404,
        )
    host = urlsplit(entry.status_url or "").hostname
    return errors.UnreachableError(
        f"Job {entry.id} was submitted to {host}, which is not among the hosts set now.",
        remedy="Set queue_url to the host of the submission, then run the cell again.",
        request_id=entry.request_id,
    )


# -- Look-up of an unanswered submission in fal's list of requests.
#
# A listed request is the one that was sent if its time and input match, no other ledger row has it, and it is
# the only such request. Otherwise the row stays unchanged, and the error names what the list shows.


BEFORE, AFTER = 600.0, 900.0
"""Seconds around the time of sending. This machine's clock may be wrong, and an answer takes time."""

LIST_LAG = 7_200.0
"""Seconds in which a request may be missing in the list. fal may list it only after its end (§12.4)."""

NEARLY = 2
"""A listed request that differs in at most this many values is named as nearly the same."""


async def look_up(backend: Backend, ledger: Ledger, entry: Entry, endpoint: Endpoint) -> Entry:
    """Return the row with its request id, if fal lists exactly one matching request.

    A match counts even if the key is not that of the submission, because it may be a new key of the same
    account. With such a key, an empty list proves nothing.

    Raises:
        SubmissionUncertain: fal lists none or several, or the list cannot be fetched.
    """
    other_key = entry.backend == "fal" and entry.key_fingerprint != backend.key_fingerprint
    sent = entry.sent_at or entry.created_at
    try:
        listed = await earlier_requests(backend.http, entry.endpoint, start=sent - BEFORE, end=sent + AFTER)
    except errors.KlingError as fault:
        if other_key:
            raise _other_key_error(entry) from fault
        seen = f"fal's list of requests could not be read: {fault.message}"
        raise uncertain_error(entry, seen) from fault
    differing = await asyncio.to_thread(_differences_by_id, entry, endpoint, listed)
    same = [request_id for request_id, paths in differing.items() if not paths]
    found, free = await asyncio.to_thread(ledger.match, entry.id, same)
    if found.request_id is not None:
        return found
    if len(free) == 1:
        raise uncertain_error(
            entry,
            "fal lists one such request, but another kernel is sending the same now",
            f"Run the cell again in a minute; {_SECOND}",
        )
    if not free and (adopted := await asyncio.to_thread(_adopted_ids, ledger, same)):
        which = "it is" if len(adopted) == 1 else "it is one of"
        raise uncertain_error(
            entry,
            f"most likely {which} {', '.join(adopted[:3])}, which get_job opened before",
            f"Get it with kling_nb.get_job(ID), free; {_SECOND}",
        )
    if other_key and not free:
        raise _other_key_error(entry)
    near = await asyncio.to_thread(_near, ledger, differing)
    raise _no_match_error(entry, free, near, listed)


def _near(ledger: Ledger, differing: Mapping[str, Sequence[str]]) -> list[str]:
    """Describe up to three listed requests that have no row and differ in few values."""
    few = sorted((paths, found) for found, paths in differing.items() if 0 < len(paths) <= NEARLY)
    unknown = [(paths, found) for paths, found in few[:20] if ledger.get(found) is None]
    return [f"{found} (another {' and '.join(paths)})" for paths, found in unknown[:3]]


def _adopted_ids(ledger: Ledger, request_ids: Sequence[str]) -> list[str]:
    """Return the ids that a user added with `get_job`. Each may be the answer to any submission."""
    rows = {request_id: ledger.get(request_id) for request_id in request_ids}
    return [request_id for request_id, row in rows.items() if row is not None and row.sent_at is None]


def _differences_by_id(
    entry: Entry, endpoint: Endpoint, listed: Sequence[EarlierRequest]
) -> dict[str, list[str]]:
    """Return what differs from the row's input, by request id. Requests without an input are left out."""
    return {
        request.request_id: differences(entry, endpoint, request.input)
        for request in listed
        if request.input is not None
    }


def differences(entry: Entry, endpoint: Endpoint, given: Mapping[str, Any]) -> list[str]:
    """Return the paths at which `given`, as fal lists it, differs from the input of the row.

    A missing value counts as the schema's default, on both sides. Listed values that neither the schema nor
    the row has are ignored, because fal may store more than was sent. A local file equals its URL, or a data
    URI of the same bytes.
    """
    urls = json.loads(entry.addresses) if entry.addresses else {}
    known = _drop_unknown(endpoint.input_schema, given, entry.input)
    ours, theirs = (_flatten(VideoRequest(endpoint, part, {}).resolved) for part in (entry.input, known))
    return [
        path
        for path in (*ours, *(path for path in theirs if path not in ours))
        if path not in ours or path not in theirs or not _same_value(ours[path], theirs[path], urls.get(path))
    ]


def _drop_unknown(schema: Mapping[str, Any], theirs: Any, ours: Any) -> Any:
    """Return a listed input without the members that neither the schema nor the row's input has."""
    if isinstance(theirs, list):
        items = ours if isinstance(ours, list) else []
        parts = schema.get("items", {})
        return [
            _drop_unknown(parts, part, items[place] if place < len(items) else None)
            for place, part in enumerate(theirs)
        ]
    if not isinstance(theirs, Mapping) or not schema.get("properties"):
        return theirs
    known, own = schema["properties"], ours if isinstance(ours, Mapping) else {}
    return {
        name: _drop_unknown(known.get(name, {}), part, own.get(name))
        for name, part in theirs.items()
        if name in known or name in own
    }


def _flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Return all single values by their path, e.g. `elements.0.frontal_image_url`, without nulls."""
    if isinstance(value, Mapping) and not is_recorded_file(value):
        parts = [(str(name), part) for name, part in value.items()]
    elif isinstance(value, list):
        parts = [(str(number), part) for number, part in enumerate(value)]
    else:
        return {} if value is None else {path: value}
    found: dict[str, Any] = {}
    for name, part in parts:
        found |= _flatten(part, f"{path}.{name}" if path else name)
    return found


def _same_value(ours: Any, theirs: Any, url: str | None) -> bool:
    if isinstance(ours, Mapping):  # a local file
        return bool(theirs == url or _hash_of_data_uri(theirs) == ours["sha256"])
    return theirs == url if url else canonical_json(ours) == canonical_json(theirs)


def _hash_of_data_uri(value: Any) -> str | None:
    """Return the SHA-256 of the bytes in a data URI, or None for anything else."""
    try:
        return hashlib.sha256(parse_data_uri(str(value)).data).hexdigest()
    except DataUriError:
        return None


# -- Errors of submissions without an answer.


def uncertain_error(entry: Entry, seen: str = "", remedy: str = "") -> errors.SubmissionUncertain:
    """Return the error of a row that was sent and has no request id: what happened, and what to do.

    Args:
        entry: The row.
        seen: What is known of it, as the end of a sentence.
        remedy: What to do, in one sentence.
    """
    sent = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.sent_at or entry.created_at))
    return errors.SubmissionUncertain(
        f"Job {entry.id} was sent on {sent} without an answer: {seen or 'fal may have accepted it'}.",
        remedy=remedy or UNCERTAIN_REMEDY,
    )


_SECOND = "only --new (API: new=True) sends it again, at a second charge."


def _other_key_error(entry: Entry) -> errors.SubmissionUncertain:
    """Return the error of a row that may be of another account, whose requests this key does not list."""
    return uncertain_error(
        entry,
        "fal may have accepted it for another key, and does not list it for the key that is set now",
        f"Set that key and run the cell again to look for it at fal; {_SECOND}",
    )


def _no_match_error(
    entry: Entry, free: Sequence[str], near: Sequence[str], listed: Sequence[EarlierRequest]
) -> errors.SubmissionUncertain:
    """Return the error if fal lists no matching request, or several."""
    if free:
        ids = ", ".join(free[:3]) + (", …" if free[3:] else "")
        return uncertain_error(
            entry,
            f"fal lists {len(free)} requests that match, {ids}",
            f"Get one with kling_nb.get_job(ID, endpoint={entry.endpoint!r}), free; {_SECOND}",
        )
    unseen = sum(request.input is None for request in listed)
    if unseen:
        return uncertain_error(
            entry, f"fal may have accepted it, but lists its {unseen} requests of that time without inputs"
        )
    nearly = f" (nearly the same: {', '.join(near)})" if near else ""
    if time.time() - (entry.sent_at or entry.created_at) < LIST_LAG:
        return uncertain_error(
            entry,
            f"fal may have accepted it, but lists no such request yet{nearly}",
            f"Run the cell again from time to time, for two hours, to look for it; {_SECOND}",
        )
    return uncertain_error(
        entry,
        f"most likely fal did not accept it, because it lists no such request{nearly}",
        "To send it: --new (API: new=True), at a second charge if fal has it after all.",
    )
