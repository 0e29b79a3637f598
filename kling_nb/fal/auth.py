"""API keys: find, check and store them. No message shows a key."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kling_nb.errors import KlingError, UsageError

KEY_VARIABLES = frozenset({"FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"})
"""Environment variables that hold a key."""

Credentials = str | Callable[[], str]
"""A key as the user sets it: `"<id>:<secret>"`, or a function that returns it."""


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A fal API key.

    Attributes:
        value: `<id>:<secret>`. Only `header` and `fingerprint` read it.
        source: Where the key was found, e.g. "FAL_KEY". It is safe to show.
    """

    value: str
    source: str

    @property
    def header(self) -> str:
        """The value of the `Authorization` header (FAL-PROTOCOL §1.2)."""
        return f"Key {self.value}"

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that distinguish keys in the ledger without revealing them."""
        return hashlib.sha256(self.value.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Key(source={self.source!r}, value='***')"


def find_key(
    explicit: Credentials | None, environ: Mapping[str, str], *, look_in_stores: bool = True
) -> Key | None:
    """Return the key to use, or None.

    The sources are tried in this order:

    1. Code: `configure(credentials=…)`, `Session(credentials=…)`.
    2. `FAL_KEY`.
    3. `FAL_KEY_ID` with `FAL_KEY_SECRET`.
    4. The secret `FAL_KEY` of a Colab notebook.
    5. The system's key ring, where `kling-nb key set` stores it.

    Args:
        explicit: The key set in code.
        environ: The environment variables.
        look_in_stores: Use sources 4 and 5 too. They may take time or ask the user.

    Raises:
        UsageError: The value found cannot be a key.
    """
    try:
        return _search(explicit, environ, look_in_stores)
    except UsageError as error:
        explicit = None  # A traceback may show the variables of its frames, so no frame may hold the key.
        raise error.with_traceback(None) from None


def _search(explicit: Credentials | None, environ: Mapping[str, str], look_in_stores: bool) -> Key | None:
    if explicit is not None:
        value = explicit() if callable(explicit) else explicit
        return Key(check_key(value, "credentials"), "credentials set in code")
    if environ.get("FAL_KEY", "").strip():
        return Key(check_key(environ["FAL_KEY"], "FAL_KEY"), "environment variable FAL_KEY")
    key_id, secret = environ.get("FAL_KEY_ID", "").strip(), environ.get("FAL_KEY_SECRET", "").strip()
    if key_id and secret:
        value = check_key(f"{key_id}:{secret}", "FAL_KEY_ID and FAL_KEY_SECRET")
        return Key(value, "environment variables FAL_KEY_ID and FAL_KEY_SECRET")
    stored = stored_key() if look_in_stores else None
    return Key(check_key(stored[0], f"the {stored[1]}"), stored[1]) if stored else None


def check_key(value: object, source: str) -> str:
    """Return a key without surrounding spaces, if it can be sent in a header.

    Raises:
        UsageError: It cannot. The message names `source` and does not repeat the value.
    """
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"The key from {source} is empty.", remedy="A fal key looks like <id>:<secret>.")
    text = value.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            f"The key from {source} contains a space, a line break or another invalid character.",
            remedy="Copy it again from https://fal.ai/dashboard/keys. It looks like <id>:<secret>.",
        )
    return text


# -- Key stores: Colab's secrets and the system's key ring.
#
# Both may take time or ask the user. So each is read once per process, and only if no other source has a key.
# `forget` makes the next search read them again.


SERVICE = "kling_nb"
"""The service name of the key in the key ring."""

USER = "fal"
COLAB_NAME = "FAL_KEY"
"""The name of the Colab secret. fal's own client reads the same one (FAL-PROTOCOL §1.2)."""

COLAB = f"Colab secret {COLAB_NAME}"
KEYRING = "key ring of the system"

_found_in_store: dict[str, str | None] = {}
_lock = threading.Lock()


def forget() -> None:
    """Read the key stores again at the next search."""
    with _lock:
        _found_in_store.clear()


def stored_key() -> tuple[str, str] | None:
    """Return a stored key and the name of its store, or None. Colab's secrets come first."""
    with _lock:
        for source, read in ((COLAB, _from_colab), (KEYRING, _from_keyring)):
            if source not in _found_in_store:
                _found_in_store[source] = read()
            value = _found_in_store[source]
            if value:
                return value, source
    return None


def _from_colab() -> str | None:
    """Return the secret of a Colab notebook. Outside Colab, import and read nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if not type(shell).__module__.startswith("google.colab"):
        return None
    try:
        userdata = importlib.import_module("google.colab.userdata")
        return str(userdata.get(COLAB_NAME) or "") or None
    except Exception:  # noqa: BLE001 -- no secret, no access or no answer: all mean that there is no key
        return None


def _from_keyring() -> str | None:
    """Return the key that `kling-nb key set` stored, or None."""
    if importlib.util.find_spec("keyring") is None:
        return None
    try:
        return _keyring().get_password(SERVICE, USER) or None
    except Exception:  # noqa: BLE001 -- locked, or no key ring on this machine: both mean that there is no key
        return None


def keep(value: str) -> str:
    """Store a key in the system's key ring, replacing an earlier one. Return the name of the key ring.

    Raises:
        UsageError: The extra is not installed.
        KlingError: The key ring refuses.
    """
    check_installed()
    ring = _keyring()
    try:
        ring.set_password(SERVICE, USER, value)
    except Exception as fault:  # noqa: BLE001 -- each backend raises errors of its own classes
        raise _keyring_error("store", fault) from None  # The traceback of the cause holds the key.
    forget()
    return str(ring.get_keyring().name)


def drop() -> bool:
    """Remove the key from the system's key ring. Return False if it held none.

    Raises:
        UsageError: The extra is not installed.
        KlingError: The key ring refuses.
    """
    check_installed()
    ring = _keyring()
    try:
        if ring.get_password(SERVICE, USER) is None:
            return False
        ring.delete_password(SERVICE, USER)
    except Exception as fault:  # noqa: BLE001 -- as above
        raise _keyring_error("remove", fault) from None
    forget()
    return True


def check_installed() -> None:
    """Raise unless the package for the key ring is installed.

    Raises:
        UsageError: It is missing. The remedy names the extra to install.
    """
    if importlib.util.find_spec("keyring") is None:
        raise UsageError(
            "The package keyring is not installed.",
            remedy="Run pip install 'kling_nb[keyring]', or set FAL_KEY in the environment.",
        )


def _keyring() -> Any:
    return importlib.import_module("keyring")


def _keyring_error(what: str, fault: Exception) -> KlingError:
    return KlingError(
        f"The system's key ring did not {what} the key ({type(fault).__name__}).",
        remedy="Unlock it, or set FAL_KEY in the environment. `keyring diagnose` shows details.",
    )
