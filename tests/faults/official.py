"""The official client on the same faults: `fal_client` as published, only its waits are shorter."""

import threading
import time
from dataclasses import dataclass

import fal_client.client
import httpx
from fal_client.client import FalClientError, SyncClient
from scripted import ScriptedFal

from .fault import Fault
from .trial import LASTING, SCRIPTS

EXCHANGES = ("submit", "status", "result")
"""What both clients ask; it streams no status by itself and fetches no file."""

MODEL = "fal-ai/kling-video/v1/pro/text-to-video"
DEADLINE = 3.0
"""Seconds. The longest chain of waits takes less than one, unless a wait never ends."""

SILENCE = 0.05  # seconds; 120 as published


@dataclass(frozen=True)
class OfficialTrial:
    """What came of one.

    Attributes:
        accepted: submissions that fal took; each beyond the first is paid again.
        delivered: it gave the result.
        leaked: it sent the key to another host.
        hung: it waited longer than `DEADLINE`, until the server let it go.
    """

    accepted: int
    delivered: bool
    leaked: bool
    hung: bool


def attempt(fal: ScriptedFal, exchange: str, fault: Fault, *, lasting: bool) -> OfficialTrial:
    """One job by `subscribe`'s way: submit, ask for the status until it is COMPLETED, get the result."""
    fal_client.client.QUEUE_URL_FORMAT = f"{fal.url}/"
    fal_client.client.BASE_DELAY = 0.001
    client = SyncClient(key=fal.key, default_timeout=SILENCE if fault.stalls else 10.0)
    accepted, strays = len(fal.accepted), len(fal.stray_keys)
    prompt = f"official {exchange} {time.monotonic_ns()}"
    fal.script = SCRIPTS["plain"]
    armed = fault.arm(fal, exchange, LASTING if lasting else 1)
    shown: list[bool] = []
    work = threading.Thread(target=lambda: shown.append(_delivered(client, prompt)))
    work.start()
    work.join(DEADLINE)
    hung = work.is_alive()
    fal.clear_faults()
    armed.release()
    work.join()
    for held in vars(client).values():
        if isinstance(held, httpx.Client):
            held.close()  # it leaves that to the collector
    leaked = len(fal.stray_keys) > strays
    return OfficialTrial(len(fal.accepted) - accepted, shown == [True] and not hung, leaked, hung)


def _delivered(client: SyncClient, prompt: str) -> bool:
    try:
        handle = client.submit(MODEL, {"prompt": prompt})
        for _ in handle.iter_events(interval=0.001):
            pass
        return bool(handle.get().get("video", {}).get("url"))
    except (FalClientError, httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        return False
