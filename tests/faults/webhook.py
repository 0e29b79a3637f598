"""Webhooks that arrive with a fault: late, forged, cut, changed on the way."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kling_nb import errors
from kling_nb.fal.webhooks import verify

NOW = 1_790_000_000
FAL = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SOMEBODY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
EVENT = {"request_id": "r-1", "gateway_request_id": "g-1", "status": "OK", "payload": {"video": {}}}
BODY = json.dumps(EVENT).encode()

Delivery = tuple[Mapping[str, str], bytes]


def _sign(body: bytes = BODY, *, at: int = NOW, key: Ed25519PrivateKey = FAL) -> dict[str, str]:
    message = "\n".join(["r-1", "user-1", str(at), hashlib.sha256(body).hexdigest()])
    return {
        "X-Fal-Webhook-Request-Id": "r-1",
        "X-Fal-Webhook-User-Id": "user-1",
        "X-Fal-Webhook-Timestamp": str(at),
        "X-Fal-Webhook-Signature": key.sign(message.encode()).hex(),
    }


def _but(**changes: Any) -> Callable[[], Delivery]:
    headers = {name.replace("_", "-"): value for name, value in changes.items()}
    return lambda: ({**_sign(), **headers}, BODY)


FORGERIES: Mapping[str, Callable[[], Delivery]] = {
    "as fal sends it": lambda: (_sign(), BODY),
    "the same again": lambda: (_sign(), BODY),
    "signed by somebody else": lambda: (_sign(key=SOMEBODY), BODY),
    "body changed": lambda: (_sign(), BODY.replace(b"r-1", b"r-2")),
    "body cut short": lambda: (_sign(), BODY[:-9]),
    "empty body": lambda: (_sign(), b""),
    "request id changed": _but(X_Fal_Webhook_Request_Id="r-2"),
    "signature missing": _but(X_Fal_Webhook_Signature=""),
    "signature that is no hex": _but(X_Fal_Webhook_Signature="z" * 128),
    "an hour late": lambda: (_sign(at=NOW - 3600), BODY),
    "an hour early": lambda: (_sign(at=NOW + 3600), BODY),
    "time that is no number": _but(X_Fal_Webhook_Timestamp="now"),
    "signed, but no JSON": lambda: (_sign(b"{"), b"{"),
    "signed, but no object": lambda: (_sign(b"[]"), b"[]"),
    "signed, but not UTF-8": lambda: (_sign(b"\xff\xfe"), b"\xff\xfe"),
}


def judged(delivery: Callable[[], Delivery]) -> str:
    """What a receiver gets, in the words of the table."""
    headers, body = delivery()
    try:
        event = verify(headers, body, now=NOW, keys=[FAL.public_key().public_bytes_raw()])
    except errors.WebhookRejected as rejected:
        return f"rejected {rejected.check}"
    return "accepted" if (event.request_id, event.ok) == ("r-1", True) else f"misread {event}"
