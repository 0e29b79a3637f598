"""Keys: where they come from, and how little of them is ever shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kling_nb.errors import UsageError

Credentials = str | Callable[[], str]
"""A key as the user sets it: `"<id>:<secret>"`, or a function that returns one when it is needed."""


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A fal API key.

    Attributes:
        value: `<id>:<secret>`. Only `header` should read it.
        source: Where it came from, e.g. "FAL_KEY"; safe to show.
    """

    value: str
    source: str

    @property
    def header(self) -> str:
        """Value of the `Authorization` header (FAL-PROTOCOL §1.2)."""
        return f"Key {self.value}"

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell keys apart in the ledger and say nothing of the key."""
        return hashlib.sha256(self.value.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Key(source={self.source!r}, value='***')"


def find_key(explicit: Credentials | None, environ: Mapping[str, str]) -> Key | None:
    """The key to use: set in code, else `FAL_KEY`, else `FAL_KEY_ID` with `FAL_KEY_SECRET`, else None.

    Raises:
        UsageError: What was found cannot be a key.
    """
    if explicit is not None:
        value = explicit() if callable(explicit) else explicit
        return Key(_checked(value, "credentials"), "credentials set in code")
    if environ.get("FAL_KEY", "").strip():
        return Key(_checked(environ["FAL_KEY"], "FAL_KEY"), "environment variable FAL_KEY")
    key_id, secret = environ.get("FAL_KEY_ID", "").strip(), environ.get("FAL_KEY_SECRET", "").strip()
    if key_id and secret:
        value = _checked(f"{key_id}:{secret}", "FAL_KEY_ID and FAL_KEY_SECRET")
        return Key(value, "environment variables FAL_KEY_ID and FAL_KEY_SECRET")
    return None


def _checked(value: object, source: str) -> str:
    """A key that can stand in a header; says what is wrong without repeating it."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"The key from {source} is empty.", remedy="A fal key looks like <id>:<secret>.")
    text = value.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            f"The key from {source} holds a space, line break or other character no key has.",
            remedy="Copy it again from https://fal.ai/dashboard/keys: it looks like <id>:<secret>.",
        )
    return text
