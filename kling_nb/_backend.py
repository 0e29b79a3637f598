"""A backend: one queue to send jobs to, with all that speaks to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kling_nb.fal.auth import Key
from kling_nb.fal.follow import Follower
from kling_nb.fal.hosts import Hosts
from kling_nb.fal.http import Http
from kling_nb.fal.patience import Patience, Sleep
from kling_nb.fal.queue import QueueClient
from kling_nb.fal.storage import Storage


@dataclass(frozen=True, slots=True)
class Backend:
    """fal, or the embedded engine that speaks as fal does.

    Attributes:
        name: "fal" or "local".
        hosts: Its addresses.
        client: Its queue.
        follower: Follows requests of that queue.
        storage: Its uploads.
        http: Its connections, for what has no part of its own.
        sleep: Waits between two tries.
        key_fingerprint: Of the key that it is asked with.
    """

    name: str
    hosts: Hosts
    client: QueueClient
    follower: Follower
    storage: Storage
    http: Http
    sleep: Sleep
    key_fingerprint: str | None


def open_backend(
    name: str,
    hosts: Hosts,
    key: Key | None,
    *,
    gone: Callable[[], bool] = lambda: False,
    patience: Patience | None = None,
) -> Backend:
    """Make the parts of a backend. To be called on the engine thread, whose loop they belong to.

    Args:
        name: "fal" or "local".
        hosts: Its addresses.
        key: Sent to those addresses only.
        gone: Whether the queue is known to have ended for good.
        patience: How long to wait for it.
    """
    http = Http(hosts, lambda: key, patience=patience)
    client = QueueClient(http)
    follower = Follower(client, gone=gone, sleep=http.sleep)
    fingerprint = key.fingerprint if key else None
    return Backend(name, hosts, client, follower, Storage(http), http, http.sleep, fingerprint)
