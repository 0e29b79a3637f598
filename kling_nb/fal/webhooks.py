"""Webhooks: which address may be given as one, and what one that arrives says (FAL-PROTOCOL §8).

A receiver calls `verify` before it believes anything. It works without the rest of the
package: in a web server as well as in a notebook.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from kling_nb import errors
from kling_nb.errors import WebhookRejected
from kling_nb.fal.hosts import REST, REST_VARIABLE, Hosts
from kling_nb.fal.jwks import KeyRing, KeySource
from kling_nb.fal.refusals import from_error_text, from_response

REQUEST_ID = "x-fal-webhook-request-id"
USER_ID = "x-fal-webhook-user-id"
TIMESTAMP = "x-fal-webhook-timestamp"
SIGNATURE = "x-fal-webhook-signature"

WINDOW_SECONDS = 300
"""How far a webhook's time may be from now, either way."""


@runtime_checkable
class Headers(Protocol):
    """Headers of a request: a dict, `http.server`'s message, tornado's or Starlette's headers."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Names and values."""


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A webhook that fal sent.

    It is delivered at least once: the same `request_id` may come again, also after the
    receiver has answered with 200. To act on it once is up to the receiver.

    Attributes:
        request_id: fal's id of the request, as the submission returned it.
        gateway_request_id: Id of the attempt that gave the result; another one where fal tried again.
        ok: Whether the request succeeded.
        payload: What the result URL gives (`{"video": {"url": …}}`), on failure usually the
            error's body; None where fal sent none.
        error: What went wrong, as waiting for the job would have raised it; None where `ok`.
        payload_error: Why there is no payload although `ok`: fetch the result by its id then.
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
    keys: KeyRing | Iterable[bytes] | None = None,
) -> WebhookEvent:
    """What a webhook says, once it is proven that fal sent it within the last five minutes.

    Nothing secret is compared, so nothing can leak by timing. The first call asks the REST host
    for its keys, which takes a moment: in an event loop use `await asyncio.to_thread(verify, …)`.

    Args:
        headers: Of the request, as any web framework has them, or as pairs; the case of their names
            does not matter.
        body: The raw bytes, as they came: parsed and written anew they have another signature.
        now: Unix seconds; the clock's when left out.
        keys: Whose signature counts: raw ED25519 public keys, or a `KeyRing`. When left out, the keys
            that the configured REST host publishes, kept for a day at most and asked for
            again where none of them fits.

    Raises:
        WebhookRejected: It is not proven; `check` says what failed. Answer with 401.
        UnreachableError: The keys cannot be had now. Answer with 503, and fal delivers it again.
        KlingError: The package cryptography is missing.
    """
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError(f"body is {type(body).__name__}: give the raw bytes of the request")
    raw = bytes(body)
    signed = _signed_headers(headers)
    _check_time(signed[TIMESTAMP], time.time() if now is None else now)
    digest = hashlib.sha256(raw).hexdigest()
    message = "\n".join((signed[REQUEST_ID], signed[USER_ID], signed[TIMESTAMP], digest)).encode()
    _check_signature(_signature(signed[SIGNATURE]), message, keys)
    return _event(raw, signed[REQUEST_ID])


def set_key_source(source: Callable[[], KeySource]) -> None:
    """Where keys come from by default; the settings set it."""
    global _source  # noqa: PLW0603 -- one configuration a process
    _source = source


def _environment_source() -> KeySource:
    """For a receiver that uses nothing else of the package."""
    return KeySource(Hosts(rest=os.environ.get(REST_VARIABLE, "").strip() or REST).rest)


_source: Callable[[], KeySource] = _environment_source
_rings: dict[KeySource, KeyRing] = {}
_guard = threading.Lock()


def default_keys() -> KeyRing:
    """The keys of the configured REST host, kept for this process."""
    source = _source()
    with _guard:
        return _rings.setdefault(source, KeyRing(source))


# -- the checks, in their order -------------------------------------------------


def _signed_headers(headers: Headers | Iterable[tuple[str, str]]) -> dict[str, str]:
    """The four headers of a signature, each there once."""
    found: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Headers) else headers:
        known = str(name).lower()
        if known in {REQUEST_ID, USER_ID, TIMESTAMP, SIGNATURE}:
            if known in found:
                raise WebhookRejected("headers", f"The webhook has the header {known} twice.")
            if not str(value).isprintable():  # a line break would move the fields of what is signed
                raise WebhookRejected("headers", f"The webhook's header {known} is no plain text.")
            found[known] = str(value).strip()
    for known in (REQUEST_ID, USER_ID, TIMESTAMP, SIGNATURE):
        if not found.get(known):
            raise WebhookRejected("headers", f"The webhook lacks the header {known}.")
    return found


def _check_time(text: str, now: float) -> None:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise WebhookRejected("timestamp", f"The webhook's time is {text[:40]!r}: it must be unix seconds.")
    away = int(text) - now
    if abs(away) > WINDOW_SECONDS:
        told = f"{abs(away):,.0f} s {'ahead' if away > 0 else 'ago'}"
        raise WebhookRejected(
            "timestamp", f"The webhook was signed {told}: at most {WINDOW_SECONDS} s are allowed."
        )


def _signature(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{128}", text):
        raise WebhookRejected("signature", "The webhook's signature is not 64 bytes in hex.")
    return bytes.fromhex(text)


def _check_signature(signature: bytes, message: bytes, keys: KeyRing | Iterable[bytes] | None) -> None:
    ring = default_keys() if keys is None else keys
    if not isinstance(ring, KeyRing):
        good = _fits(signature, message, ring)
    else:
        held = ring.keys()
        good = _fits(signature, message, held)
        if not good:
            renewed = ring.renewed()
            good = renewed != held and _fits(signature, message, renewed)
    if not good:
        raise WebhookRejected("signature", "The webhook's signature fits none of fal's keys.")


def _fits(signature: bytes, message: bytes, keys: Iterable[bytes]) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 -- an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ImportError as fault:
        raise errors.KlingError(
            "Verifying webhooks needs the package cryptography, which is not installed.",
            remedy="pip install 'kling_nb[webhooks]'",
        ) from fault
    for key in keys:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False


# -- what it says -----------------------------------------------------------------


def _event(raw: bytes, signed_id: str) -> WebhookEvent:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as fault:
        raise WebhookRejected("body", "The webhook's body is not JSON, although it is signed.") from fault
    if not isinstance(data, dict) or data.get("status") not in {"OK", "ERROR"}:
        raise WebhookRejected("body", "The webhook's body says neither OK nor ERROR, although it is signed.")
    request_id = _text(data.get("request_id")) or signed_id
    ok = data["status"] == "OK"
    return WebhookEvent(
        request_id=request_id,
        gateway_request_id=_text(data.get("gateway_request_id")),
        ok=ok,
        payload=data.get("payload"),
        error=None if ok else _error(data, request_id),
        payload_error=_text(data.get("payload_error")),
    )


def _error(data: Mapping[str, Any], request_id: str) -> errors.ResponseError:
    """The error of the result's body where the code or a `detail` list came along, else of the text."""
    text = _text(data.get("error")) or "it gave no reason"
    payload = data["payload"] if isinstance(data.get("payload"), dict) else {}
    code = re.fullmatch(r"Invalid status code: ([0-9]{3})", text)
    if code is None and not isinstance(payload.get("detail"), list):
        kind = _text(data.get("error_type")) or _text(payload.get("error_type"))
        return from_error_text(text, kind, request_id=request_id)
    body = json.dumps(payload).encode() if payload else b""
    return from_response(int(code[1]) if code else 0, {}, body, request_id=request_id)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
