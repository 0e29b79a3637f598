"""Delivers results to the addresses that were given as `fal_webhook` (FAL-PROTOCOL §8).

Not known of fal, and chosen here: a cancelled request is delivered too, as an ERROR; every
answer but 2xx and 3xx is worth another try.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tornado.httpclient import AsyncHTTPClient

from kling_nb.local.input_media import is_loopback
from kling_nb.local.job import Answer, Job, failure
from kling_nb.local.webhook_signer import WebhookSigner, make_signer

FIRST_SECONDS = 15.0
"""How long the first try may take."""

LATER_SECONDS = 120.0
"""How long each of the others may take."""

PAUSES = tuple(7.0 * 2**n for n in range(10))
"""Seconds before each of the ten further tries at speed 1: two hours in all."""

_GRACE = 1.0
"""Seconds that a try under way is given when the server ends."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Why a try failed; `final` where fal makes no other, as after a redirect."""

    reason: str
    final: bool = False


class Webhooks:
    """Follows jobs that have a webhook. Belongs to the server's loop.

    Args:
        speed: Divides the pauses between tries, and not the time that a receiver is given.
    """

    def __init__(self, *, speed: float) -> None:
        self._pauses = tuple(pause / speed for pause in PAUSES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._trying: set[asyncio.Task[None]] = set()

    @cached_property
    def signer(self) -> WebhookSigner | None:
        """Made when first needed, and then for the life of the server."""
        return make_signer()

    def follow(self, job: Job) -> None:
        """Deliver the job's result when it is over, if it asked for that."""
        if job.webhook is None:
            return
        obstacle = self._obstacle(job.webhook)
        if obstacle:
            job.log(f"Webhook will not be delivered: {obstacle}", level="WARN")
            return
        task = asyncio.create_task(self._deliver(job, job.webhook))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Let tries that are under way end, for a moment, and give up the rest."""
        await asyncio.sleep(0)  # one whose job has just ended gets under way
        if self._trying:
            await asyncio.wait(set(self._trying), timeout=_GRACE)
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _obstacle(self, url: str) -> str | None:
        if not is_loopback(url):
            return "the local engine delivers to this machine only"
        if self.signer is None:
            return "it cannot be signed without the package cryptography, pip install 'kling_nb[webhooks]'"
        return None

    async def _deliver(self, job: Job, url: str) -> None:
        while job.answer is None:
            await job.changed.wait()
        body = json.dumps(event(job, job.answer), ensure_ascii=False).encode()
        limit = FIRST_SECONDS
        for pause in (0.0, *self._pauses):
            await asyncio.sleep(pause)
            missed = await self._try(job.id, url, body, limit)
            if missed is None:
                return
            job.log(f"Webhook not delivered: {missed.reason}", level="WARN")
            if missed.final:
                return
            limit = LATER_SECONDS
        job.log("Webhook given up", level="ERROR")

    async def _try(self, request_id: str, url: str, body: bytes, limit: float) -> Missed | None:
        """None where the receiver took it."""
        assert self.signer is not None
        task = asyncio.current_task()
        assert task is not None
        headers = {
            "Content-Type": "application/json",
            **self.signer.headers(request_id, body, time.time()),  # anew each time: they age
        }
        self._trying.add(task)
        try:
            return await _post(url, body, headers, limit)
        finally:
            self._trying.discard(task)


async def _post(url: str, body: bytes, headers: dict[str, str], limit: float) -> Missed | None:
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
    except Exception as fault:  # noqa: BLE001 -- whatever a receiver does, the next one is due
        return Missed(str(fault)[:200] or type(fault).__name__)
    finally:
        client.close()
    if 200 <= reply.code < 300:
        return None
    return Missed(f"{reply.code} {reply.reason}"[:200], final=300 <= reply.code < 400)


def event(job: Job, answer: Answer) -> dict[str, Any]:
    """What is delivered. On a 404 there is no payload, as seen of fal."""
    ids = {"request_id": job.id, "gateway_request_id": job.id}
    if answer.code == 200:
        return {**ids, "status": "OK", "payload": answer.body}
    payload = None if answer.code == 404 else answer.body
    return {**ids, "status": "ERROR", "error": failure(answer)["error"], "payload": payload}
