"""Settings. One function resolves them at each call.

Order: argument > flag > `Session(…)` > `configure()` and `%kling use` > `%config KlingMagics` > environment >
default. None means that a place does not set the value.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from kling_nb import front_end
from kling_nb._lazy import platformdirs
from kling_nb.catalog import DEFAULT_ENDPOINT
from kling_nb.catalog.endpoint import number_of
from kling_nb.errors import MissingKey, UsageError
from kling_nb.fal.auth import Key, find_key, forget
from kling_nb.fal.hosts import API, QUEUE, REST, SCHEMA, Hosts, Proxy, Route

BACKENDS = ("auto", "fal", "local")

_WITH_VARIABLE = (
    "backend", "endpoint", "queue_url", "rest_url", "api_url", "schema_url", "proxy", "ca_bundle", "home",
    "media", "timeout", "local_speed", "inline_limit", "budget", "daily_budget", "max_cost", "frozen",
    "account", "reuse_elsewhere", "library", "library_optional",
)  # fmt: skip
ENVIRONMENT = {name: f"KLING_NB_{name.upper()}" for name in _WITH_VARIABLE}
"""The environment variable of each setting that has one."""

NAMES = (*ENVIRONMENT, "credentials", "dotenv", "prices")
"""The names of all settings. `dotenv` has no variable, which would hold for downloaded folders too."""

DOTENV, MEDIA, SCALE = ".env", "kling_media", "KLING_NB_LOCAL_SCALE"
_PATHS = {"home", "media", "ca_bundle"}


@dataclass(frozen=True)
class Settings:
    """The settings of one call.

    Attributes:
        backend: "fal" or "local". "auto" is already resolved.
        chosen: True if the user chose the backend, False if it follows from the presence of a key.
        endpoint: Default endpoint, as id or short name.
        hosts: fal's hosts, and the proxy and certificates for them (settings `proxy`, `ca_bundle`).
        key: The key, or None.
        account: Name of the account whose key is used, or None for the key without a name.
        dotenv: The `.env` file that the user allowed, or None.
        home: Folder of the ledger and caches.
        media: Folder of takes, by the name that the notebook gives it: it may be a symbolic link.
        timeout: Seconds that a wait may take, or None for no limit.
        local_speed: Speed of the local preview server. 1 is the speed of a demo, `inf` does not wait.
        inline_limit: Largest size in bytes of a local file that is sent inside the request, as a data URI.
            The default is 0: the submission costs money and is sent once, while an upload can be retried.
        budget: US dollars that this process may spend, or None for no limit.
        daily_budget: US dollars that all kernels may spend per day (local time), or None.
        max_cost: US dollars that one submission may cost, or None. `inf` removes every limit.
        frozen: True if nothing may be submitted. A request without a take fails.
        reuse_elsewhere: True if a take that was paid for in another folder is copied, and not bought again.
        library: URL of the studio's library, or None: takes that many machines share (`library/`).
        library_optional: True if a request is sent also if the library does not answer.
        prices: The user's own prices, in US dollars per second by endpoint id or short name.
    """

    backend: str
    chosen: bool
    endpoint: str
    hosts: Hosts
    key: Key | None
    account: str | None
    dotenv: Path | None
    home: Path
    media: Path
    timeout: float | None
    local_speed: float
    inline_limit: int
    budget: float | None
    daily_budget: float | None
    max_cost: float | None
    frozen: bool
    reuse_elsewhere: bool
    library: str | None
    library_optional: bool
    prices: Mapping[str, float]

    @cached_property
    def ledger_folder(self) -> Path:
        """The media folder as ledger rows name it: without symbolic links."""
        return self.media.resolve()

    @property
    def index(self) -> Path:
        """Folder of the indexes of media folders. It may be deleted at any time."""
        return self.home / "index"

    def need_key(self) -> None:
        """Raise `MissingKey` if the backend is fal and there is no key."""
        if self.backend == "fal" and self.key is None:
            raise MissingKey(dotenv_note(self))


class Unshown(dict[str, Any]):
    """Values by name. The repr hides them from tracebacks that show variables, since one may be a key."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


def check_names(values: Mapping[str, Any]) -> None:
    """Raise `UsageError` unless all names are settings."""
    for name in values:
        if name not in NAMES:
            raise UsageError(
                f"There is no setting named {name!r}.",
                remedy=f"Available: {', '.join(sorted(NAMES))}.",
            )


def resolve(*layers: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Resolve all settings from layers (the first one wins), the environment and the defaults.

    Raises:
        UsageError: A value is not valid.
    """
    env = Unshown(os.environ if environ is None else environ)
    for layer in layers:
        check_names(layer)
    _check_scale(env.get(SCALE, "").strip())

    def pick(name: str, default: Any) -> Any:
        return _pick(name, default, layers, env)

    backend = str(pick("backend", "auto"))
    if backend not in BACKENDS:
        raise _setting_error("backend", backend, f"one of {', '.join(BACKENDS)}")
    keys = _layer_of_key(layers)  # No variable here holds the key itself: a traceback may show it.
    named = keys.get("account") if keys else env.get(ENVIRONMENT["account"], "").strip() or None
    account = None if named is None else str(named)
    dotenv = _dotenv_file(pick("dotenv", None))
    key = find_key(
        keys.get("credentials"), env, account=account, dotenv=dotenv, look_in_stores=backend != "local"
    )
    return Settings(
        backend=backend if backend != "auto" else "fal" if key else "local",
        chosen=backend != "auto",
        endpoint=str(pick("endpoint", DEFAULT_ENDPOINT)),
        hosts=Hosts(
            queue=str(pick("queue_url", QUEUE)),
            rest=str(pick("rest_url", REST)),
            api=str(pick("api_url", API)),
            schema=str(pick("schema_url", SCHEMA)),
            route=_route(pick("proxy", None), pick("ca_bundle", None)),
        ),
        key=key,
        account=account,
        dotenv=dotenv,
        home=_home(pick("home", None)),
        media=_absolute(pick("media", MEDIA)),
        timeout=_seconds("timeout", pick("timeout", None)),
        local_speed=_seconds("local_speed", pick("local_speed", 1.0)) or 1.0,
        inline_limit=_bytes("inline_limit", pick("inline_limit", 0)),
        budget=_usd("budget", pick("budget", None)),
        daily_budget=_usd("daily_budget", pick("daily_budget", None)),
        max_cost=_usd("max_cost", pick("max_cost", None), none_lifts=True),
        frozen=_switch("frozen", pick("frozen", False)),
        reuse_elsewhere=_switch("reuse_elsewhere", pick("reuse_elsewhere", True)),
        library=_library_url(pick("library", None)),
        library_optional=_switch("library_optional", pick("library_optional", False)),
        prices=_parse_prices(pick("prices", {})),
    )


def _pick(name: str, default: Any, layers: tuple[Mapping[str, Any], ...], env: Mapping[str, str]) -> Any:
    """Return the value of a setting in the first layer that has it, else in the environment."""
    for layer in layers:
        if layer.get(name) is not None:
            return layer[name]
    return env.get(ENVIRONMENT.get(name, ""), "").strip() or default


def _layer_of_key(layers: tuple[Mapping[str, Any], ...]) -> Mapping[str, Any]:
    """Return the first layer that sets the key or the account, or an empty one."""
    for layer in layers:
        kinds = [name for name in ("credentials", "account") if layer.get(name) is not None]
        if len(kinds) == 2:
            raise UsageError(
                "credentials and account cannot be set together.", remedy="Give only one of them."
            )
        if kinds:
            return layer
    return {}


def _dotenv_file(value: Any) -> Path | None:
    if isinstance(value, Path):
        return value
    return _base_folder() / DOTENV if value is not None and _switch("dotenv", value) else None


def backend_text(settings: Settings) -> str:
    """Return where jobs go, and why, as text for the user."""
    where = "fal" if settings.backend == "fal" else "local preview server (free previews)"
    return where if settings.chosen else f"{where}, because {'a' if settings.key else 'no'} key was found"


def dotenv_note(settings: Settings) -> str:
    """Return a line about a `.env` file that is not read, or an empty text."""
    if settings.key is not None or settings.dotenv is not None:
        return ""
    if not os.path.isfile(_base_folder() / DOTENV):  # noqa: PTH113 -- Path.is_file may raise
        return ""
    return "A .env file is in this folder. It is not read: %kling key .env (dotenv=True) uses its FAL_KEY."


def reloaded_module() -> str | None:
    """Return a module of the package that was loaded again in this process, or None.

    `%autoreload` and `importlib.reload` load a changed module again. Its state is lost: settings, and with
    them limits and the chosen backend. What was loaded first is noted where a reload does not reach it.
    """
    noted = "loaded modules of kling_nb"
    first = vars(sys.modules.setdefault(noted, ModuleType(noted)))
    for name in _own_modules():
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if first.setdefault(name, spec) is not spec:
            return name
    return None


_listed: tuple[tuple[int, str], list[str]] = (0, ""), []


def _own_modules() -> list[str]:
    """Return the names of the package's loaded modules. They are listed again when a module was added."""
    global _listed  # noqa: PLW0603 -- an assignment is atomic
    names = list(sys.modules)  # other threads import meanwhile
    state = len(names), names[-1]  # a new module is the last one
    if _listed[0] != state:
        _listed = state, [name for name in names if name == "kling_nb" or name.startswith("kling_nb.")]
    return _listed[1]


_configured = Unshown()
reloaded_module()  # notes the modules that are loaded, so that a reload of this one is found


def current(*layers: Mapping[str, Any]) -> Settings:
    """Resolve the current settings from `layers`, `configure()`, `%config` and the environment."""
    return resolve(*layers, *_layers())


def current_home() -> Path:
    """Return the current folder of the ledger and caches. It takes a hundredth of the time of `current`."""
    return _home(_pick("home", None, _layers(), os.environ))


def current_endpoint() -> str:
    """Return the current default endpoint, as id or short name, as fast as `current_home`."""
    return str(_pick("endpoint", DEFAULT_ENDPOINT, _layers(), os.environ))


def media_of_notebook(folder: Path) -> Path:
    """Return the media folder of a notebook in `folder`, as its kernel finds it by the environment."""
    return _absolute(_pick("media", MEDIA, (), os.environ), folder)


def _layers() -> tuple[Mapping[str, Any], ...]:
    return (_configured, Unshown(front_end.config()))


def configure(settings: Mapping[str, Any]) -> None:
    """Set values for this process. None unsets a value. If one value is not valid, none is changed.

    Raises:
        UsageError: A value is not valid.
    """
    global _configured  # noqa: PLW0603 -- one configuration per process
    merged = Unshown(
        (name, value) for name, value in {**_configured, **from_code(settings)}.items() if value is not None
    )
    forget()  # A key may have been stored or removed since the key stores were read.
    resolve(merged)
    _configured = merged  # One assignment, so that other threads never see half of the new values.


def _default_home() -> Path:
    """Return the user's data folder, or raise if there is none, as in a container with a user id of its own.

    A temporary folder would lose the ledger, and with it jobs that were paid for.
    """
    try:
        folder = Path(platformdirs.user_data_dir("kling_nb", appauthor=False))
    except RuntimeError:  # platformdirs 4.9; earlier versions return the `~` as it is
        folder = Path("~")
    if folder.is_absolute():
        return folder
    raise UsageError(
        "This user has no home folder, so there is no place for the ledger.",
        remedy="Set KLING_NB_HOME to a permanent folder.",
    )


def _base_folder() -> Path:
    try:
        return front_end.base_folder()
    except FileNotFoundError:
        raise UsageError(
            "The current folder does not exist any more.", remedy="Change to another folder."
        ) from None


def _home(value: Any) -> Path:
    return _absolute(value or _default_home()).resolve()


def _absolute(value: Any, folder: Path | None = None) -> Path:
    """Return an absolute path. A symbolic link keeps its name, so that cards can name it too.

    A relative path counts from `folder`, by default the notebook's folder.
    """
    path = _path(value)
    path = path if path.is_absolute() else (folder or _base_folder().resolve()) / path
    return path.resolve() if ".." in path.parts else path


def _path(value: Any) -> Path:
    """Return a path with the home folder in place of `~`."""
    try:
        return Path(value).expanduser()
    except (TypeError, RuntimeError):  # no path, or the home folder of a user who does not exist
        raise UsageError(f"{value!r} cannot be used as a path.") from None


def from_code(values: Mapping[str, Any]) -> Unshown:
    """Return settings that code sets here, with the current folder before relative paths.

    `dotenv=True` becomes the file that it means now: the user allows the `.env` of this folder, not that of
    a folder to which the process changes later.
    """
    fixed = {
        name: _path(value).absolute() if name in _PATHS and value else value for name, value in values.items()
    }
    if fixed.get("dotenv") is not None:
        fixed["dotenv"] = _dotenv_file(fixed["dotenv"]) or False
    return Unshown(fixed)


def _route(proxy: Any, ca_bundle: Any) -> Route:
    url = None if proxy is None else str(proxy).strip()
    if url not in {None, "none"}:
        Proxy(url, "The setting proxy")  # it raises if the URL cannot be used
    return Route(url, None if ca_bundle is None else str(_absolute(ca_bundle).resolve()))


def _library_url(value: Any) -> str | None:
    """Return the URL of a library, or the absolute path of a folder; None for the word "none"."""
    text = "none" if value is None else str(value).strip()
    if text.lower() == "none":
        return None
    return text if "://" in text else str(_absolute(text))


def _setting_error(name: str, value: Any, allowed: str) -> UsageError:
    return UsageError(f"{name} must be {allowed}, not {value!r}.")


def _switch(name: str, value: Any) -> bool:
    word = str(value).strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise _setting_error(name, value, "1 or 0 (true or false)")


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    number = number_of(value)
    if number is None or not number > 0:
        raise _setting_error(name, value, "a number above 0")
    return number


def _check_scale(value: str) -> None:
    """Refuse a size that the preview server, which reads this variable, would replace by its own."""
    if value and not 0.2 <= (number_of(value) or 0.0) <= 1:
        raise _setting_error(SCALE, value, "a number from 0.2 to 1")


def _bytes(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if number < 0:
        raise _setting_error(name, value, "a whole number of bytes, 0 or more")
    return number


def _usd(name: str, value: Any, *, none_lifts: bool = False) -> float | None:
    """Return US dollars. With `none_lifts`, the word "none" removes the limit."""
    if value is None:
        return None
    if none_lifts and str(value).strip().lower() in {"none", "inf"}:
        return math.inf
    number = number_of(str(value).strip().removeprefix("$"))
    if number is None or not 0 <= number < math.inf:
        raise _setting_error(name, value, "an amount in US dollars" + (' or "none"' if none_lifts else ""))
    return number


def _parse_prices(value: Any) -> Mapping[str, float]:
    if not isinstance(value, Mapping):
        raise _setting_error("prices", value, 'US dollars per second by endpoint, e.g. {"v1-pro": 0.1}')
    return {str(name): _usd(f"prices[{name!r}]", usd) or 0.0 for name, usd in value.items()}
