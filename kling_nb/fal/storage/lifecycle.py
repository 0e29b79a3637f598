"""How long an upload is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass

from kling_nb.errors import UsageError

_WORDS = {
    "immediate": 60,
    "1h": 3_600,
    "1d": 86_400,
    "7d": 7 * 86_400,
    "30d": 30 * 86_400,
    "1y": 365 * 86_400,
}


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """How long an upload is kept (FAL-PROTOCOL §9.4).

    Attributes:
        seconds: From the upload on; None leaves it to the account's setting.
    """

    seconds: int | None = None

    @classmethod
    def parse(cls, expires_in: str | int | None) -> Lifecycle:
        """The lifecycle of a word of fal's clients, or of seconds.

        Args:
            expires_in: "immediate" (a minute), "1h", "1d", "7d", "30d", "1y", whole seconds above
                0, or "never" or None, which leave it to the account as fal's own clients do.

        Raises:
            UsageError: It is none of these.
        """
        if expires_in is None or expires_in == "never":
            return cls()
        if isinstance(expires_in, str) and expires_in in _WORDS:
            return cls(_WORDS[expires_in])
        if isinstance(expires_in, int) and not isinstance(expires_in, bool) and expires_in > 0:
            return cls(expires_in)
        raise UsageError(
            f"expires_in is {expires_in!r}.",
            remedy=f"It must be one of: never, {', '.join(_WORDS)}, or whole seconds above 0.",
            parameter="expires_in",
        )

    @property
    def headers(self) -> dict[str, str]:
        """What says so in the first step of an upload."""
        if self.seconds is None:
            return {}
        return {"X-Fal-Object-Lifecycle": json.dumps({"expiration_duration_seconds": self.seconds})}
