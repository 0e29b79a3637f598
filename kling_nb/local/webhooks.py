"""Deliver results to the URLs in `fal_webhook` (FAL-PROTOCOL §8).

Two rules of fal are not known and were chosen here: a cancelled request is delivered as an ERROR, and a
delivery is tried again after every reply except 2xx and 3xx.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tornado.httpclient import AsyncHTTPClient

from kling_nb.local.job import Answer, Job, failure
from kling_nb.local.order import is_loopback

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


FIRST_SECONDS, LATER_SECONDS = 15.0, 120.0
"""Timeouts of the first try, and of each later one."""

PAUSES = tuple(7.0 * 2**n for n in range(10))
"""Seconds before each of the ten further tries at speed 1: two hours in all."""

_GRACE = 1.0
"""Seconds that the server waits at its end for tries that are running."""


@dataclass(frozen=True, slots=True)
class FailedTry:
    """Why a try failed. `final` if no other try follows, as after a redirect."""

    reason: str
    final: bool = False


class Webhooks:
    """Delivers the results of jobs that have a webhook. Only the server's loop may use it.

    Args:
        speed: Divides the pauses between tries, but not the timeouts.
    """

    def __init__(self, *, speed: float) -> None:
        self._pauses = tuple(pause / speed for pause in PAUSES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._trying: set[asyncio.Task[None]] = set()

    @cached_property
    def signer(self) -> WebhookSigner | None:
        """The signer with a new key, made at first use; None if the package cryptography is missing."""
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 -- an extra
                Ed25519PrivateKey,
            )
        except ImportError:
            return None
        return WebhookSigner(Ed25519PrivateKey.generate())

    def follow(self, job: Job) -> None:
        """Deliver the job's result after its end, if it has a webhook."""
        if job.webhook is None:
            return
        reason = self._obstacle(job.webhook)
        if reason:
            job.log(f"Webhook will not be delivered: {reason}", level="WARN")
            return
        task = asyncio.create_task(self._deliver(job, job.webhook))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait a moment for tries that are running, and cancel the others."""
        await asyncio.sleep(0)  # The delivery of a job that has just ended starts here.
        if self._trying:
            await asyncio.wait(set(self._trying), timeout=_GRACE)
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _obstacle(self, url: str) -> str | None:
        """Return why a webhook cannot be delivered, or None."""
        if not is_loopback(url):
            return "the local preview server delivers to this machine only"
        if self.signer is None:
            return "the package cryptography is missing: pip install 'kling_nb[webhooks]'"
        return None

    async def _deliver(self, job: Job, url: str) -> None:
        while job.answer is None:
            await job.changed.wait()
        body = json.dumps(event(job, job.answer), ensure_ascii=False).encode()
        limit = FIRST_SECONDS
        for pause in (0.0, *self._pauses):
            await asyncio.sleep(pause)
            failed = await self._try(job.id, url, body, limit)
            if failed is None:
                return
            job.log(f"Webhook not delivered: {failed.reason}", level="WARN")
            if failed.final:
                return
            limit = LATER_SECONDS
        job.log("Webhook given up", level="ERROR")

    async def _try(self, request_id: str, url: str, body: bytes, limit: float) -> FailedTry | None:
        """Try to deliver once. Return None if the receiver accepted it."""
        assert self.signer is not None
        task = asyncio.current_task()
        assert task is not None
        headers = {
            "Content-Type": "application/json",
            **self.signer.headers(request_id, body, time.time()),  # Each try needs a new timestamp.
        }
        self._trying.add(task)
        try:
            return await _post(url, body, headers, limit)
        finally:
            self._trying.discard(task)


async def _post(url: str, body: bytes, headers: dict[str, str], limit: float) -> FailedTry | None:
    client = AsyncHTTPClient(force_instance=True)
    try:
        reply = await client.fetch(
            url,
            method="POST",
            body=body,
            headers=headers,
            follow_redirects=False,
            connect_timeout=limit,
            request_timeout=limit,
            raise_error=False,
        )
    except Exception as fault:  # noqa: BLE001 -- no reply of a receiver may stop the next try
        return FailedTry(str(fault)[:200] or type(fault).__name__)
    finally:
        client.close()
    if 200 <= reply.code < 300:
        return None
    return FailedTry(f"{reply.code} {reply.reason}"[:200], final=300 <= reply.code < 400)


def event(job: Job, answer: Answer) -> dict[str, Any]:
    """Return the body of a webhook. After a 404 it has no payload, as observed at fal."""
    ids = {"request_id": job.id, "gateway_request_id": job.id}
    if answer.code == 200:
        return {**ids, "status": "OK", "payload": answer.body}
    payload = None if answer.code == 404 else answer.body
    return {**ids, "status": "ERROR", "error": failure(answer)["error"], "payload": payload}


# -- signatures, as fal makes them (FAL-PROTOCOL §8) -----------------------------------

USER_ID = "local"


class WebhookSigner:
    """Signs with an ED25519 key of this process, which is never stored."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def jwk(self) -> dict[str, str]:
        """The public key, as an entry of a key set."""
        x = base64.urlsafe_b64encode(self._key.public_key().public_bytes_raw()).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "x": x}

    def headers(self, request_id: str, body: bytes, now: float) -> dict[str, str]:
        """Return the four headers for a body that is sent at the unix time `now`."""
        stamp = str(int(now))
        message = "\n".join((request_id, USER_ID, stamp, hashlib.sha256(body).hexdigest()))
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": USER_ID,
            "X-Fal-Webhook-Timestamp": stamp,
            "X-Fal-Webhook-Signature": self._key.sign(message.encode()).hex(),
        }
