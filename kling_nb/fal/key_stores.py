"""Stores that keep a key outside of the environment: Colab's secrets, and the system's key ring.

Both may take time, or ask the user, so each is asked once a process and only where nothing else has
a key. `forget` makes the next look-up ask again.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from typing import Any

from kling_nb.errors import KlingError, UsageError

SERVICE = "kling_nb"
"""Under which the key ring keeps the key."""

USER = "fal"
COLAB_NAME = "FAL_KEY"
"""Name of the secret, the one fal's own client asks for (FAL-PROTOCOL §1.2)."""

COLAB = f"Colab secret {COLAB_NAME}"
KEYRING = "key ring of the system"

_found: dict[str, str | None] = {}
_lock = threading.Lock()


def forget() -> None:
    """Ask the stores again the next time."""
    with _lock:
        _found.clear()


def stored_key() -> tuple[str, str] | None:
    """A key and the name of the store that has it, or None. Colab's secrets come first."""
    with _lock:
        for source, read in ((COLAB, _from_colab), (KEYRING, _from_keyring)):
            if source not in _found:
                _found[source] = read()
            value = _found[source]
            if value:
                return value, source
    return None


def _from_colab() -> str | None:
    """The secret of a Colab notebook. Outside of a Colab kernel nothing is imported or asked."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if not type(shell).__module__.startswith("google.colab"):
        return None
    try:
        userdata = importlib.import_module("google.colab.userdata")
        return str(userdata.get(COLAB_NAME) or "") or None
    except Exception:  # noqa: BLE001 -- no such secret, no access given, no answer: there is no key then
        return None


def _from_keyring() -> str | None:
    """What `kling-nb key set` stored. Without the extra this is one look for a package that is not there."""
    if importlib.util.find_spec("keyring") is None:
        return None
    try:
        return _keyring().get_password(SERVICE, USER) or None
    except Exception:  # noqa: BLE001 -- locked, or no key ring on this machine: there is no key then
        return None


def keep(value: str) -> str:
    """Store a key in the system's key ring, in the place of the one before; gives the store's name.

    Raises:
        UsageError: The extra is not installed.
        KlingError: The key ring refuses.
    """
    check_installed()
    ring = _keyring()
    try:
        ring.set_password(SERVICE, USER, value)
    except Exception as fault:  # noqa: BLE001 -- a backend of any system, with errors of its own
        raise _refused("store", fault) from None  # its traceback holds the key
    forget()
    return str(ring.get_keyring().name)


def drop() -> bool:
    """Remove the key from the system's key ring; False where there was none.

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
        raise _refused("remove", fault) from None
    forget()
    return True


def check_installed() -> None:
    """Refuse where there is no package for the key ring.

    Raises:
        UsageError: With how to get it.
    """
    if importlib.util.find_spec("keyring") is None:
        raise UsageError(
            "The key ring needs the package keyring, which is not installed.",
            remedy="pip install 'kling_nb[keyring]'; or set FAL_KEY in the environment.",
        )


def _keyring() -> Any:
    return importlib.import_module("keyring")


def _refused(what: str, fault: Exception) -> KlingError:
    return KlingError(
        f"The system's key ring did not {what} the key ({type(fault).__name__}).",
        remedy="Unlock it, or set FAL_KEY in the environment instead. `keyring diagnose` says more.",
    )
