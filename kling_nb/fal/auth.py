"""Keys: where they come from, in which order, and how little of them is ever shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kling_nb.errors import UsageError
from kling_nb.fal.key_stores import stored_key

KEY_VARIABLES = frozenset({"FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"})
"""Variables of the environment that hold a key."""

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


def find_key(
    explicit: Credentials | None, environ: Mapping[str, str], *, look_in_stores: bool = True
) -> Key | None:
    """The key to use, or None. Only this function knows where it is looked for, and in which order.

    1. Set in code: `configure(credentials=…)`, `Session(credentials=…)`.
    2. `FAL_KEY`.
    3. `FAL_KEY_ID` with `FAL_KEY_SECRET`.
    4. The secret `FAL_KEY` of a Colab notebook.
    5. The system's key ring, where `kling-nb key set` put it.

    Args:
        explicit: What is set in code.
        environ: The environment.
        look_in_stores: Whether 4 and 5 count; they may take time, or ask the user.

    Raises:
        UsageError: What was found cannot be a key.
    """
    try:
        return _found(explicit, environ, look_in_stores)
    except UsageError as error:
        explicit = None  # a traceback may show the variables of its frames: here, nor below, is the key
        raise error.with_traceback(None) from None


def _found(explicit: Credentials | None, environ: Mapping[str, str], look_in_stores: bool) -> Key | None:
    if explicit is not None:
        value = explicit() if callable(explicit) else explicit
        return Key(checked(value, "credentials"), "credentials set in code")
    if environ.get("FAL_KEY", "").strip():
        return Key(checked(environ["FAL_KEY"], "FAL_KEY"), "environment variable FAL_KEY")
    key_id, secret = environ.get("FAL_KEY_ID", "").strip(), environ.get("FAL_KEY_SECRET", "").strip()
    if key_id and secret:
        value = checked(f"{key_id}:{secret}", "FAL_KEY_ID and FAL_KEY_SECRET")
        return Key(value, "environment variables FAL_KEY_ID and FAL_KEY_SECRET")
    stored = stored_key() if look_in_stores else None
    return Key(checked(stored[0], f"the {stored[1]}"), stored[1]) if stored else None


def checked(value: object, source: str) -> str:
    """A key that can stand in a header, without space around it.

    Raises:
        UsageError: It cannot; the message names `source` and does not repeat the value.
    """
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"The key from {source} is empty.", remedy="A fal key looks like <id>:<secret>.")
    text = value.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            f"The key from {source} holds a space, line break or other character no key has.",
            remedy="Copy it again from https://fal.ai/dashboard/keys: it looks like <id>:<secret>.",
        )
    return text
