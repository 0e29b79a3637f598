"""The public key of webhooks over HTTP, where fal publishes its own (FAL-PROTOCOL §8)."""

from __future__ import annotations

from kling_nb.local.handler import JsonHandler


class KeySet(JsonHandler):
    """`GET /.well-known/jwks.json`; needs no key."""

    def get(self) -> None:
        """The key set; empty where this engine cannot sign."""
        signer = self.engine.webhooks.signer
        self.reply({"keys": [signer.jwk] if signer else []})
