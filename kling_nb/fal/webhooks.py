"""Verify webhooks, and check the URLs to which fal delivers them (FAL-PROTOCOL §8).

A receiver must call `verify` before it uses a webhook. It works without the rest of the package, in a web
server as in a notebook.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import ipaddress
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from kling_nb import errors
from kling_nb._files import write_file
from kling_nb._lazy import httpx, lazy
from kling_nb.errors import UnreachableError, UsageError, WebhookRejected
from kling_nb.fal.hosts import LOOPBACK, REST, Hosts, Route
from kling_nb.fal.replies import from_error_text, from_response, text_or_none

if TYPE_CHECKING:
    from kling_nb.fal import http
else:
    http = lazy("kling_nb.fal.http")  # boundary 1 of `_lazy`: most sessions check no webhook

REQUEST_ID = "x-fal-webhook-request-id"
USER_ID = "x-fal-webhook-user-id"
TIMESTAMP = "x-fal-webhook-timestamp"
SIGNATURE = "x-fal-webhook-signature"

WINDOW_SECONDS = 300
"""The most seconds by which a webhook's time may differ from now."""


@runtime_checkable
class Headers(Protocol):
    """Headers of a request, e.g. a dict, `http.server`'s message, tornado's or Starlette's headers."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return names and values."""


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A webhook that fal sent.

    fal delivers it at least once. The same `request_id` may come again, even after an answer with 200. The
    receiver must handle repeats.

    Attributes:
        request_id: fal's id of the request, as the submission returned it.
        gateway_request_id: Id of the attempt that made the result. After a retry it is another one.
        ok: True if the request succeeded.
        payload: The result (`{"video": {"url": …}}`), on failure usually the body of the error, or None.
        error: The error that waiting for the job would raise, or None if `ok`.
        payload_error: The reason why there is no payload although `ok`. Fetch the result by its id then.
    """

    request_id: str
    gateway_request_id: str | None
    ok: bool
    payload: Any
    error: errors.ResponseError | None
    payload_error: str | None


def verify(
    headers: Headers | Iterable[tuple[str, str]],
    body: bytes,
    *,
    now: float | None = None,
    keys: WebhookKeys | Iterable[bytes] | None = None,
) -> WebhookEvent:
    """Return the content of a webhook, if its signature proves that fal sent it in the last five minutes.

    The first call fetches fal's public keys and blocks. In an event loop, use
    `await asyncio.to_thread(verify, …)`.

    Args:
        headers: The request's headers, as any web framework returns them, or as pairs. The case of the names
            does not matter.
        body: The raw bytes of the request. Parsed and serialized JSON has another signature.
        now: Unix seconds. The default is the current time.
        keys: Raw ED25519 public keys, or `WebhookKeys`. The default is the keys of the configured REST host.
            They are kept for a day at most, and fetched again if none of them matches.

    Raises:
        WebhookRejected: It is not proven. `check` names the check that failed. Answer with 401.
        UnreachableError: The keys cannot be fetched now. Answer with 503, so that fal delivers it again.
        KlingError: The package cryptography is not installed.
    """
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError(f"body must be the raw bytes of the request, not {type(body).__name__}")
    raw = bytes(body)
    signed = _signature_headers(headers)
    _check_time(signed[TIMESTAMP], time.time() if now is None else now)
    digest = hashlib.sha256(raw).hexdigest()
    message = "\n".join((signed[REQUEST_ID], signed[USER_ID], signed[TIMESTAMP], digest)).encode()
    _check_signature(signed[SIGNATURE], message, keys)
    return _event(raw, signed[REQUEST_ID])


def set_key_source(source: Callable[[], KeySource]) -> None:
    """Set a function that returns the default key source. The session calls this."""
    global _source  # noqa: PLW0603 -- one configuration per process
    _source = source


def _environment_source() -> KeySource:
    """Return the key source for a receiver that uses nothing else of the package."""
    return KeySource(Hosts(rest=os.environ.get("KLING_NB_REST_URL", "").strip() or REST).rest)


_source: Callable[[], KeySource] = _environment_source
_keys_by_source: dict[KeySource, WebhookKeys] = {}
_guard = threading.Lock()


def default_keys() -> WebhookKeys:
    """Return the keys of the configured REST host, which this process keeps."""
    source = _source()
    with _guard:
        return _keys_by_source.setdefault(source, WebhookKeys(source))


# -- Checks, in their order


def _signature_headers(headers: Headers | Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the four headers of a signature. Each must occur exactly once."""
    found: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Headers) else headers:
        known = str(name).lower()
        if known in {REQUEST_ID, USER_ID, TIMESTAMP, SIGNATURE}:
            if known in found:
                raise WebhookRejected("headers", f"The webhook has the header {known} twice.")
            if not str(value).isprintable():  # A line break would shift the fields of the signed message.
                raise WebhookRejected("headers", f"The webhook's header {known} is not plain text.")
            found[known] = str(value).strip()
    for known in (REQUEST_ID, USER_ID, TIMESTAMP, SIGNATURE):
        if not found.get(known):
            raise WebhookRejected("headers", f"The webhook lacks the header {known}.")
    return found


def _check_time(text: str, now: float) -> None:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise WebhookRejected("timestamp", f"The webhook's time must be unix seconds, not {text[:40]!r}.")
    away = int(text) - now
    if abs(away) > WINDOW_SECONDS:
        distance = f"{abs(away):,.0f} s {'in the future' if away > 0 else 'ago'}"
        raise WebhookRejected(
            "timestamp", f"The webhook was signed {distance}. At most {WINDOW_SECONDS} s are allowed."
        )


def _check_signature(text: str, message: bytes, keys: WebhookKeys | Iterable[bytes] | None) -> None:
    if not re.fullmatch(r"[0-9a-fA-F]{128}", text):
        raise WebhookRejected("signature", "The webhook's signature is not 64 bytes in hex.")
    signature, known = bytes.fromhex(text), default_keys() if keys is None else keys
    if not isinstance(known, WebhookKeys):
        good = _matches_any(signature, message, known)
    else:
        kept = known.keys()
        good = _matches_any(signature, message, kept)
        if not good:
            current = known.refresh()
            good = current != kept and _matches_any(signature, message, current)
    if not good:
        raise WebhookRejected("signature", "The webhook's signature matches none of fal's keys.")


def _matches_any(signature: bytes, message: bytes, keys: Iterable[bytes]) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 -- an optional dependency
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ImportError as fault:
        raise errors.KlingError(
            "The package cryptography is not installed. It is needed to verify webhooks.",
            remedy="Run pip install 'kling_nb[webhooks]'.",
        ) from fault
    for key in keys:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False


# -- Content


def _event(raw: bytes, signed_id: str) -> WebhookEvent:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as fault:
        raise WebhookRejected("body", "The signed body of the webhook is not JSON.") from fault
    if not isinstance(data, dict) or data.get("status") not in {"OK", "ERROR"}:
        raise WebhookRejected("body", "The signed body of the webhook has no status OK or ERROR.")
    request_id = text_or_none(data.get("request_id")) or signed_id
    ok = data["status"] == "OK"
    return WebhookEvent(
        request_id=request_id,
        gateway_request_id=text_or_none(data.get("gateway_request_id")),
        ok=ok,
        payload=data.get("payload"),
        error=None if ok else _error(data, request_id),
        payload_error=text_or_none(data.get("payload_error")),
    )


def _error(data: Mapping[str, Any], request_id: str) -> errors.ResponseError:
    """Return the error from the payload if it has a status code or a `detail` list, else from the text."""
    text = text_or_none(data.get("error")) or "fal gave no reason"
    payload = data["payload"] if isinstance(data.get("payload"), dict) else {}
    code = re.fullmatch(r"Invalid status code: ([0-9]{3})", text)
    if code is None and not isinstance(payload.get("detail"), list):
        kind = text_or_none(data.get("error_type")) or text_or_none(payload.get("error_type"))
        return from_error_text(text, kind, request_id=request_id)
    body = json.dumps(payload).encode() if payload else b""
    return from_response(int(code[1]) if code else 0, {}, body, request_id=request_id)


# -- fal's public keys


PATH = "/.well-known/jwks.json"

KEPT_SECONDS = 24 * 3600.0
"""How long fal allows receivers to keep its keys."""

PAUSE_SECONDS = 60.0
"""The shortest time between two fetches, so that forged webhooks do not cause endless fetches."""

_FETCH_SECONDS = 10.0
_FILE = "webhook-keys.json"


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where fal's keys are published, and where they may be stored.

    Attributes:
        rest: Base URL of the REST host.
        folder: Folder in which the keys are stored too, for a receiver that restarts while the host is down.
        route: The proxy and the certificates.
    """

    rest: str
    folder: Path | None = None
    route: Route = field(default_factory=Route)

    @property
    def url(self) -> str:
        """The URL of the key set."""
        return self.rest.rstrip("/") + PATH

    @property
    def loopback(self) -> bool:
        """True for the keys of the local preview server, which makes new ones at each start."""
        return urlsplit(self.rest).hostname in LOOPBACK


@dataclass(frozen=True, slots=True)
class _Fetched:
    keys: tuple[bytes, ...]
    at: float


class WebhookKeys:
    """The public keys of one source, kept for a day at most. Any thread may use them."""

    def __init__(self, source: KeySource, *, clock: Callable[[], float] = time.time) -> None:
        self.source = source
        self._clock = clock
        self._file = None if source.loopback or source.folder is None else source.folder / _FILE
        self._kept: _Fetched | None = None
        self._lock = threading.Lock()

    def keys(self) -> tuple[bytes, ...]:
        """Return the keys from memory, from disk or from the host, in this order.

        Raises:
            UnreachableError: No keys are stored, and the host does not send them.
        """
        with self._lock:
            if not self._is_fresh(self._kept):
                stored = self._read()
                self._kept = stored if self._is_fresh(stored) else self._fetch()
            assert self._kept is not None
            return self._kept.keys

    def refresh(self) -> tuple[bytes, ...]:
        """Fetch the keys again, unless they were fetched just now, and return them.

        Raises:
            UnreachableError: The host does not send them.
        """
        with self._lock:
            fresh = self._is_fresh(self._kept, PAUSE_SECONDS)
            if self._kept is None or self.source.loopback or not fresh:
                self._kept = self._fetch()
            return self._kept.keys

    def _is_fresh(self, keys: _Fetched | None, seconds: float = KEPT_SECONDS) -> bool:
        return keys is not None and 0 <= self._clock() - keys.at < seconds

    def _fetch(self) -> _Fetched:
        fetched = _Fetched(fetch(self.source), self._clock())
        self._write(fetched)
        return fetched

    def _read(self) -> _Fetched | None:
        if self._file is None:
            return None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            data = json.loads(self._file.read_text(encoding="utf-8"))
            if data["url"] == self.source.url:
                return _Fetched(tuple(map(bytes.fromhex, data["keys"])), float(data["fetched_at"]))
        return None

    def _write(self, fetched: _Fetched) -> None:
        if self._file is None:
            return
        data = {"url": self.source.url, "fetched_at": fetched.at, "keys": [key.hex() for key in fetched.keys]}
        with contextlib.suppress(OSError):  # The keys in memory are enough.
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._file, json.dumps(data).encode(), overwrite=True)


def fetch(source: KeySource) -> tuple[bytes, ...]:
    """Fetch the keys from the host. Blocks.

    Raises:
        UnreachableError: No answer, or an answer that is not a key set.
    """
    try:
        options = http.connection_options(source.url, source.route)
        with httpx.Client(timeout=_FETCH_SECONDS, trust_env=False, **options) as client:
            answer = client.get(source.url)
        answer.raise_for_status()
        return parse(answer.json())
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as fault:
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise UnreachableError(
            f"fal's webhook keys cannot be fetched from {source.url}: {reason}",
            remedy="Answer the webhook with 503, so that fal delivers it again.",
        ) from fault


def parse(document: Any) -> tuple[bytes, ...]:
    """Return the ED25519 keys of a key set, 32 bytes each. Skip keys of other types.

    Raises:
        ValueError: It is not a key set, or has no such key.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    keys = tuple(filter(None, map(_key, entries))) if isinstance(entries, list) else ()
    if not keys:
        raise ValueError("the answer has no ED25519 key")
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


# -- URLs for webhooks


_PRIVATE_DOMAINS = ("localhost", "local", "internal", "home.arpa", "lan", "intranet", "localdomain")
"""Top-level domains that exist only inside a private network."""


def check_webhook(url: str, *, local: bool) -> None:
    """Raise `UsageError` unless fal can deliver webhooks to a URL.

    Only the text of the host name is checked. It is not resolved, because fal may resolve it differently. If
    the queue is on this machine (`local`), any http(s) URL is allowed.
    """
    reason = _reason(url, local=local)
    if reason:
        raise UsageError(
            f"The webhook URL {str(url)[:120]!r} cannot be used: {reason}.",
            parameter="webhook_url",
            remedy="Give an http(s) URL that fal can reach, or leave it out.",
        )


def _reason(url: object, *, local: bool) -> str | None:
    """Return why fal cannot use a URL, or None."""
    if not isinstance(url, str) or not url.isprintable() or " " in url or "\\" in url:
        return "it is not a URL"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is not a URL"
    if parts.scheme not in {"http", "https"}:
        return "a webhook needs an http or https URL"
    if not host or "%" in parts.netloc:
        return "it has no host"
    if local:
        return None
    if ip := _parse_ip(host):
        return _private_reason(ip)
    name = host.rstrip(".").lower()
    if "." not in name or name.rpartition(".")[2] in _PRIVATE_DOMAINS or name.endswith(".home.arpa"):
        return f"{host} exists only on this machine or its network, and fal cannot reach it"
    return None


def _parse_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an IP address, also in forms like `127.1` or `0x7f000001`, which web clients accept."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    with contextlib.suppress(OSError, ValueError):
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    return None


def _private_reason(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip
    for kind, applies in (
        ("loopback", ip.is_loopback),
        ("link-local", ip.is_link_local),
        ("unspecified", ip.is_unspecified),
        ("multicast", ip.is_multicast),
        ("private", not ip.is_global),
    ):
        if applies:
            return f"{ip} is a {kind} IP address, and fal cannot reach it"
    return None
