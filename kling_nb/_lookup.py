"""What became of a submission that was never answered: fal's own list of requests is asked.

A request is taken for the one that was sent if it was sent at that time, has the same input, and is in no
other row of the ledger; and only if it is the only one. Else the row stays as it is, and the error says
what was seen and what to do.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from kling_nb import errors
from kling_nb._backend import Backend
from kling_nb.catalog import Endpoint
from kling_nb.fal.earlier import EarlierRequest, earlier_requests
from kling_nb.ledger import Entry, Ledger
from kling_nb.request import VideoRequest, canonical_json

BEFORE, AFTER = 600.0, 900.0
"""Seconds around the time of sending: this machine's clock may be wrong, and an answer takes its time."""

LIST_LAG = 180.0
"""Seconds in which a request may be missing in the list; nothing is documented (FAL-PROTOCOL §12.4)."""


async def look_up(backend: Backend, ledger: Ledger, entry: Entry, endpoint: Endpoint) -> Entry:
    """The row with its request id, where fal lists exactly one request that it can be.

    Raises:
        SubmissionUncertain: None, several, or the list cannot be had.
    """
    if entry.backend == "fal" and entry.key_fingerprint != backend.key_fingerprint:
        raise _other_key(entry)
    sent = entry.sent_at or entry.created_at
    try:
        listed = await earlier_requests(backend.http, entry.endpoint, start=sent - BEFORE, end=sent + AFTER)
    except errors.KlingError as fault:
        raise _not_looked_up(entry, fault) from fault
    same = await asyncio.to_thread(_same, entry, endpoint, listed)
    found, free = await asyncio.to_thread(ledger.match, entry.id, same)
    if found.request_id is not None:
        return found
    if len(free) == 1:
        raise _sent_again(entry)
    if not free and (adopted := await asyncio.to_thread(_adopted, ledger, same)):
        raise _taken_up(entry, adopted)
    raise _not_told(entry, free, listed)


def _adopted(ledger: Ledger, request_ids: Sequence[str]) -> list[str]:
    """Those that somebody took up by their id, and that may be the answer to any submission."""
    rows = {request_id: ledger.get(request_id) for request_id in request_ids}
    return [request_id for request_id, row in rows.items() if row is not None and row.sent_at is None]


def _same(entry: Entry, endpoint: Endpoint, listed: Sequence[EarlierRequest]) -> list[str]:
    """Ids of the requests with the row's input."""
    return [
        request.request_id
        for request in listed
        if request.input is not None and same_input(entry, endpoint, request.input)
    ]


def same_input(entry: Entry, endpoint: Endpoint, given: Mapping[str, Any]) -> bool:
    """Whether `given`, as fal keeps it, is what the row says was sent.

    Defaults of the schema count as given, on both sides. A local file is the address that it was sent
    under, or a data URI of the same bytes.
    """
    addresses = json.loads(entry.addresses) if entry.addresses else {}
    ours, theirs = _flat(_full(endpoint, entry.input)), _flat(_full(endpoint, given))
    return ours.keys() == theirs.keys() and all(
        _same_value(value, theirs[path], addresses.get(path)) for path, value in ours.items()
    )


def _full(endpoint: Endpoint, values: Mapping[str, Any]) -> Mapping[str, Any]:
    return VideoRequest(endpoint, values, {}).resolved


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Single values by their path, as in `elements.0.frontal_image_url`; nulls are left out."""
    if isinstance(value, Mapping) and set(value) != {"sha256", "name"}:
        parts = [(str(name), part) for name, part in value.items()]
    elif isinstance(value, list):
        parts = [(str(number), part) for number, part in enumerate(value)]
    else:
        return {} if value is None else {path: value}
    found: dict[str, Any] = {}
    for name, part in parts:
        found |= _flat(part, f"{path}.{name}" if path else name)
    return found


def _same_value(ours: Any, theirs: Any, address: str | None) -> bool:
    if isinstance(ours, Mapping):  # a local file
        return bool(theirs == address or _hash_inline(theirs) == ours["sha256"])
    return canonical_json(ours) == canonical_json(theirs)


def _hash_inline(value: Any) -> str | None:
    """SHA-256 of the bytes in a data URI; None for anything else."""
    head, comma, payload = str(value).partition(",")
    if not comma or not head.startswith("data:"):
        return None
    raw = unquote_to_bytes(payload)
    try:
        raw = base64.b64decode(raw, validate=True) if head.endswith(";base64") else raw
    except binascii.Error:
        return None
    return hashlib.sha256(raw).hexdigest()


# -- what is said ---------------------------------------------------------------------


def unanswered(entry: Entry, seen: str = "", remedy: str = "") -> errors.SubmissionUncertain:
    """The error of a row that has no request id.

    Args:
        entry: The row.
        seen: What fal's list says.
        remedy: What to do about it.
    """
    sent = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.sent_at or entry.created_at))
    return errors.SubmissionUncertain(
        f"Job {entry.id} was sent on {sent} and never answered: fal may have accepted it. {seen}".rstrip(),
        remedy=remedy
        or (
            "It was not sent again, so it is not paid twice. %kling resume looks for it at fal;\n"
            "https://fal.ai/dashboard/requests shows it too. If it is not there: --new (API: new=True)."
        ),
    )


def _not_looked_up(entry: Entry, fault: errors.KlingError) -> errors.SubmissionUncertain:
    return unanswered(entry, f"It could not be looked for: {fault.message}")


def _other_key(entry: Entry) -> errors.SubmissionUncertain:
    """Another account's list has nothing to say of it."""
    return unanswered(
        entry,
        "It was sent with another key than the one set now.",
        "Set that key and run the cell again: then it is looked for at fal. It was not sent again.",
    )


def _sent_again(entry: Entry) -> errors.SubmissionUncertain:
    return unanswered(
        entry,
        "fal lists one such request, but another kernel is sending the same now.",
        "Run the cell again in a minute: then it shows which is which.",
    )


def _taken_up(entry: Entry, adopted: Sequence[str]) -> errors.SubmissionUncertain:
    return unanswered(
        entry,
        f"fal lists {', '.join(adopted[:3])}, which was taken up by its id, and is most likely this one.",
        "kling_nb.get_job(ID) has it. Nothing was sent again; for another one: --new (API: new=True).",
    )


def _not_told(
    entry: Entry, free: Sequence[str], listed: Sequence[EarlierRequest]
) -> errors.SubmissionUncertain:
    if free:
        ids = ", ".join(free[:3]) + (", …" if free[3:] else "")
        return unanswered(
            entry,
            f"fal lists {len(free)} requests that it can be: {ids}.",
            f"Get one: kling_nb.get_job(ID, endpoint={entry.endpoint!r})\n"
            "It was not sent again. For another one: --new (API: new=True).",
        )
    unseen = sum(request.input is None for request in listed)
    if unseen:
        return unanswered(
            entry, f"fal lists {unseen} of that time without their inputs, so which it is cannot be told."
        )
    if time.time() - (entry.sent_at or entry.created_at) < LIST_LAG:
        return unanswered(
            entry,
            "fal lists no such request yet.",
            "Wait some minutes and run the cell again: the list may be late. It was not sent again;\n"
            "to send it all the same: --new (API: new=True).",
        )
    return unanswered(
        entry,
        "fal lists no such request.",
        "So it was most likely not accepted. It was not sent again: --new does that (API: new=True).\n"
        "The list may be late: %kling resume looks once more.",
    )
