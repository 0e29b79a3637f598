"""Signatures of webhooks, as fal makes them (FAL-PROTOCOL §8), with a key of this process's own."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

USER_ID = "local"


class WebhookSigner:
    """Signs with an ED25519 key that is never stored."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def jwk(self) -> dict[str, str]:
        """The public half, as an entry of a key set."""
        x = base64.urlsafe_b64encode(self._key.public_key().public_bytes_raw()).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "x": x}

    def headers(self, request_id: str, body: bytes, now: float) -> dict[str, str]:
        """The four headers for a body that is sent at `now`, in unix seconds."""
        stamp = str(int(now))
        message = "\n".join((request_id, USER_ID, stamp, hashlib.sha256(body).hexdigest()))
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": USER_ID,
            "X-Fal-Webhook-Timestamp": stamp,
            "X-Fal-Webhook-Signature": self._key.sign(message.encode()).hex(),
        }


def make_signer() -> WebhookSigner | None:
    """A signer with a new key, or None where the package cryptography is missing."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 -- an extra
            Ed25519PrivateKey,
        )
    except ImportError:
        return None
    return WebhookSigner(Ed25519PrivateKey.generate())
