"""The public keys that webhooks are signed with, as the REST host publishes them (FAL-PROTOCOL §8)."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kling_nb.errors import UnreachableError
from kling_nb.fal.hosts import LOOPBACK

PATH = "/.well-known/jwks.json"

KEPT_SECONDS = 24 * 3600.0
"""How long fal allows its keys to be kept."""

PAUSE_SECONDS = 60.0
"""The least between two fetches, so that forged webhooks cannot make a receiver ask without end."""

_FETCH_SECONDS = 10.0
_FILE = "webhook-keys.json"


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where keys are published, and where they may be kept.

    Attributes:
        rest: REST host, `https://…`.
        folder: Kept here too, for a receiver that starts anew while the host does not answer.
    """

    rest: str
    folder: Path | None = None

    @property
    def url(self) -> str:
        """Address of the key set."""
        return self.rest.rstrip("/") + PATH

    @property
    def loopback(self) -> bool:
        """Whether they are the keys of an engine on this machine, which makes a new one at each start."""
        return urlsplit(self.rest).hostname in LOOPBACK


@dataclass(frozen=True, slots=True)
class _Fetched:
    keys: tuple[bytes, ...]
    at: float


class KeyRing:
    """Keys of one source, kept for a day at most. Any thread may ask.

    Args:
        source: Where they come from.
        clock: Gives unix seconds.
    """

    def __init__(self, source: KeySource, *, clock: Callable[[], float] = time.time) -> None:
        self.source = source
        self._clock = clock
        self._held: _Fetched | None = None
        self._lock = threading.Lock()

    def keys(self) -> tuple[bytes, ...]:
        """The keys, from memory, disk or the host, whichever has them first.

        Raises:
            UnreachableError: None are kept, and the host does not give them.
        """
        with self._lock:
            if not self._fresh(self._held):
                kept = self._read()
                self._held = kept if self._fresh(kept) else self._fetch()
            assert self._held is not None
            return self._held.keys

    def renewed(self) -> tuple[bytes, ...]:
        """The keys as they are published now; what is held already where they were just fetched.

        Raises:
            UnreachableError: The host does not give them.
        """
        with self._lock:
            age = self._clock() - self._held.at if self._held else KEPT_SECONDS
            if self._held is None or self.source.loopback or not 0 <= age < PAUSE_SECONDS:
                self._held = self._fetch()
            return self._held.keys

    def _fresh(self, held: _Fetched | None) -> bool:
        return held is not None and 0 <= self._clock() - held.at < KEPT_SECONDS

    def _fetch(self) -> _Fetched:
        found = _Fetched(fetch(self.source), self._clock())
        self._write(found)
        return found

    def _file(self) -> Path | None:
        return None if self.source.loopback or self.source.folder is None else self.source.folder / _FILE

    def _read(self) -> _Fetched | None:
        path = self._file()
        if path is None:
            return None
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["url"] != self.source.url:
                return None
            return _Fetched(tuple(bytes.fromhex(key) for key in data["keys"]), float(data["fetched_at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, found: _Fetched) -> None:
        path = self._file()
        if path is None:
            return
        data = {"url": self.source.url, "fetched_at": found.at, "keys": [key.hex() for key in found.keys]}
        with contextlib.suppress(OSError):  # the keys in memory are enough
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{threading.get_ident()}.part")
            part.write_text(json.dumps(data), encoding="utf-8")
            part.replace(path)


def fetch(source: KeySource) -> tuple[bytes, ...]:
    """Ask the host for its keys. Blocks.

    Raises:
        UnreachableError: It does not answer, or not with a key set.
    """
    from kling_nb.fal.libraries import httpx  # noqa: PLC0415 -- only where keys are not kept

    try:
        with httpx.Client(timeout=_FETCH_SECONDS, trust_env=not source.loopback) as client:
            answer = client.get(source.url)
        answer.raise_for_status()
        keys = parse(answer.json())
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as fault:
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise UnreachableError(
            f"The keys of webhooks cannot be had from {source.url}: {reason}",
            remedy="Answer the webhook with 503, so that it is delivered again.",
        ) from fault
    return keys


def parse(document: Any) -> tuple[bytes, ...]:
    """The ED25519 keys of a key set, 32 bytes each; keys of other kinds are passed over.

    Raises:
        ValueError: It is no key set, or holds no such key.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    found = [_key(entry) for entry in entries] if isinstance(entries, list) else []
    keys = tuple(key for key in found if key is not None)
    if not keys:
        raise ValueError("the answer holds no ED25519 key")
    return keys


def _key(entry: Any) -> bytes | None:
    text = entry.get("x") if isinstance(entry, Mapping) else None
    if not isinstance(text, str) or entry.get("crv", "Ed25519") != "Ed25519":
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == 32 else None
