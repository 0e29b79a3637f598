"""API keys: find, check and store them. No message shows a key."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import re
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kling_nb._lazy import dotenv as dotenv_package
from kling_nb.errors import KlingError, UsageError


def is_key_variable(name: str) -> bool:
    """Return True if an environment variable of this name holds a key: `FAL_KEY` and all that start so."""
    return name == "FAL_KEY" or name.startswith("FAL_KEY_")


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
    explicit: Credentials | None,
    environ: Mapping[str, str],
    *,
    account: str | None = None,
    dotenv: Path | None = None,
    look_in_stores: bool = True,
) -> Key | None:
    """Return the key to use, or None.

    The sources are tried in this order:

    1. Code: `configure(credentials=…)`, `Session(credentials=…)`.
    2. `FAL_KEY`.
    3. `FAL_KEY_ID` with `FAL_KEY_SECRET`.
    4. The same names in the `.env` file that the user has allowed.
    5. The secret `FAL_KEY` of a Colab notebook.
    6. The system's key ring, where `kling-nb key set` stores it.

    Args:
        explicit: The key set in code.
        environ: The environment variables.
        account: Name of an account. Only `FAL_KEY_<NAME>` of sources 2 and 4 is used then.
        dotenv: The `.env` file, or None.
        look_in_stores: Use sources 5 and 6 too, which may take time or ask the user, and miss an account.

    Raises:
        UsageError: The value found cannot be a key, or the account has none.
    """
    try:
        return _search(explicit, environ, account, dotenv, look_in_stores)
    except UsageError as error:
        explicit = None  # A traceback may show the variables of its frames, so no frame may hold the key.
        raise error.with_traceback(None) from None


def _search(
    explicit: Credentials | None,
    environ: Mapping[str, str],
    account: str | None,
    dotenv: Path | None,
    look_in_stores: bool,
) -> Key | None:
    if explicit is not None:
        value = explicit() if callable(explicit) else explicit
        return Key(check_key(value, "credentials"), "credentials set in code")
    places = {"environment variable": environ}
    if dotenv is not None:
        places[f"file {dotenv}:"] = read_dotenv(dotenv)
    for place, variables in places.items():
        key = _from_variables(variables, place) if account is None else _of_account(variables, place, account)
        if key is not None:
            return key
    if not look_in_stores:
        return None
    if account is not None:
        raise _account_error(account, {name for variables in places.values() for name in variables})
    stored = stored_key()
    return Key(check_key(stored[0], f"the {stored[1]}"), stored[1]) if stored else None


def _from_variables(variables: Mapping[str, str], place: str) -> Key | None:
    if variables.get("FAL_KEY", "").strip():
        return Key(check_key(variables["FAL_KEY"], "FAL_KEY"), f"{place} FAL_KEY")
    key_id, secret = (_bare(variables.get(name, "")) for name in ("FAL_KEY_ID", "FAL_KEY_SECRET"))
    for name, value in (("FAL_KEY_ID", key_id), ("FAL_KEY_SECRET", secret)):
        if ":" in value:
            raise UsageError(
                f"{name} holds a whole key (<id>:<secret>).",
                remedy="Put it into FAL_KEY, and unset FAL_KEY_ID and FAL_KEY_SECRET.",
            )
    if not key_id or not secret:
        return None
    names = "FAL_KEY_ID and FAL_KEY_SECRET"
    places = place.replace("variable", "variables")
    return Key(check_key(f"{key_id}:{secret}", names), f"{places} {names}")


def _of_account(variables: Mapping[str, str], place: str, account: str) -> Key | None:
    name = f"FAL_KEY_{re.sub('[^A-Z0-9]', '_', account.upper())}"
    if name in {"FAL_KEY_ID", "FAL_KEY_SECRET", "FAL_KEY_"}:
        raise UsageError(
            f"An account cannot be called {account!r}.",
            remedy=f"{name} has another meaning. Choose another name.",
        )
    value = variables.get(name, "")
    return Key(check_key(value, name), f"{place} {name} (account {account})") if value.strip() else None


def _account_error(account: str, names: Collection[str]) -> UsageError:
    known = sorted({name[8:].lower() for name in names if is_key_variable(name)} - {"", "id", "secret"})
    return UsageError(
        f"There is no key for the account {account!r}: its variable FAL_KEY_<NAME> is not set.",
        remedy=f"Accounts with a key: {', '.join(known) or 'none'}. account=None uses FAL_KEY.",
    )


LARGEST_DOTENV = 2**16


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the keys in a `.env` file. Other names are ignored, and no variable in a value is replaced.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        data = path.read_bytes()[: LARGEST_DOTENV + 1] if path.is_file() else b""
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(
            f"{path} cannot be read ({type(fault).__name__}).", remedy="Save it as text in UTF-8."
        ) from None
    if len(data) > LARGEST_DOTENV:
        raise UsageError(
            f"{path} has more than {LARGEST_DOTENV:,} bytes.", remedy="Put the key into a smaller file."
        )
    values = dotenv_package.dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value and is_key_variable(name)}


_QUOTES = "\"'`“”‘’„"
_ASSIGNMENT = re.compile(r"(export\s|setx?\s|\$env:|%(set_)?env\s|\w*KEY\w*\s*=)", re.IGNORECASE)


def _bare(value: str) -> str:
    """Return a key without what people copy with it: spaces, quotes, a byte order mark, `Key `."""
    text = value.strip(f"\ufeff{_QUOTES} \t\r\n")
    return re.sub(r"^key\s+", "", text, flags=re.IGNORECASE).strip(_QUOTES)


def check_key(value: object, source: str) -> str:
    """Return a key without surrounding spaces and quotes and without `Key `, if it can be sent in a header.

    Raises:
        UsageError: It cannot. The message names `source` and does not repeat the value.
    """
    form = "A fal key looks like <id>:<secret>."
    text = _bare(value) if isinstance(value, str) else ""
    if not text:
        raise UsageError(f"The key from {source} is empty.", remedy=form)
    if _ASSIGNMENT.match(text):
        raise UsageError(
            f"The key from {source} is a whole assignment.",
            remedy=f"Give only what follows the = sign. {form}",
        )
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            f"The key from {source} contains a space, a line break or another invalid character.",
            remedy=f"Copy it again from https://fal.ai/dashboard/keys. {form}",
        )
    if not all(text.partition(":")):
        raise UsageError(
            f"The key from {source} is only a half: it has no colon between id and secret.",
            remedy=f"Copy it from https://fal.ai/dashboard/keys, or set both FAL_KEY_ID and _SECRET.\n{form}",
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
        return importlib.import_module("keyring").get_password(SERVICE, USER) or None
    except Exception:  # noqa: BLE001 -- locked, or no key ring on this machine: both mean that there is no key
        return None


def keep(value: str) -> str:
    """Store a key in the system's key ring, replacing an earlier one. Return the name of the key ring.

    Raises:
        KlingError: The extra is not installed, or the key ring refuses.
    """
    with _key_ring("store") as ring:
        ring.set_password(SERVICE, USER, value)
    return str(ring.get_keyring().name)


def drop() -> bool:
    """Remove the key from the system's key ring. Return False if it held none. It raises as `keep`."""
    with _key_ring("remove") as ring:
        had_key = ring.get_password(SERVICE, USER) is not None
        if had_key:
            ring.delete_password(SERVICE, USER)
    return had_key


def check_installed() -> None:
    """Raise `UsageError` unless the package for the key ring is installed."""
    if importlib.util.find_spec("keyring") is None:
        raise UsageError(
            "The package keyring is not installed.",
            remedy="Run pip install 'kling_nb[keyring]', or set FAL_KEY in the environment.",
        )


@contextmanager
def _key_ring(verb: str) -> Iterator[Any]:
    """Give the key ring for a change, after which the stores are read again."""
    check_installed()
    try:
        yield importlib.import_module("keyring")
    except Exception as fault:  # noqa: BLE001 -- each backend raises errors of its own classes
        raise KlingError(  # The traceback of the cause holds the key.
            f"The system's key ring did not {verb} the key ({type(fault).__name__}).",
            remedy="Unlock it, or set FAL_KEY in the environment. `keyring diagnose` shows details.",
        ) from None
    forget()
