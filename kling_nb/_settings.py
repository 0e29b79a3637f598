"""Settings, resolved in one function at call time.

Order: argument > flag > `Session(…)` > `configure()` and `%kling use` > `%config KlingMagics`
> environment > default. A value of None means "not set here".
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kling_nb import _front_end
from kling_nb.catalog import DEFAULT_ENDPOINT
from kling_nb.errors import UsageError
from kling_nb.fal.auth import Key, find_key
from kling_nb.fal.hosts import API, QUEUE, REST, REST_VARIABLE, SCHEMA, Hosts
from kling_nb.fal.key_stores import forget

BACKENDS = ("auto", "fal", "local")

ENVIRONMENT = {
    "backend": "KLING_NB_BACKEND",
    "endpoint": "KLING_NB_ENDPOINT",
    "queue_url": "KLING_NB_QUEUE_URL",
    "rest_url": REST_VARIABLE,
    "api_url": "KLING_NB_API_URL",
    "schema_url": "KLING_NB_SCHEMA_URL",
    "home": "KLING_NB_HOME",
    "media": "KLING_NB_MEDIA",
    "timeout": "KLING_NB_TIMEOUT",
    "local_speed": "KLING_NB_LOCAL_SPEED",
    "inline_limit": "KLING_NB_INLINE_LIMIT",
    "budget": "KLING_NB_BUDGET",
    "daily_budget": "KLING_NB_DAILY_BUDGET",
    "max_cost": "KLING_NB_MAX_COST",
    "frozen": "KLING_NB_FROZEN",
}
NAMES = (*ENVIRONMENT, "credentials", "prices")
"""Every setting there is."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for one call.

    Attributes:
        backend: "fal" or "local"; "auto" is settled already.
        chosen: Whether the backend was asked for, rather than following from the absence of a key.
        endpoint: Id or short name used where a call names none.
        hosts: fal's hosts.
        key: The key, or None.
        home: Folder of the ledger and caches.
        media: Folder of takes.
        timeout: Seconds a wait may take, or None for no limit.
        local_speed: Pace of the embedded engine; 1 is that of a demo, `inf` does not wait.
        inline_limit: Size in bytes up to which a local file goes along as a data URI. By default none
            does: the one request that costs money stays small and quick, and only an upload may be
            tried again.
        budget: US dollars that this process may spend, or None for no limit.
        daily_budget: US dollars that all kernels may spend a day (local time), or None.
        max_cost: US dollars that one submission may cost, or None; `inf` lifts every limit.
        frozen: Whether nothing may be submitted: what has no take fails.
        prices: Prices the user knows better: US dollars a second by endpoint id or short name.
    """

    backend: str
    chosen: bool
    endpoint: str
    hosts: Hosts
    key: Key | None
    home: Path
    media: Path
    timeout: float | None
    local_speed: float
    inline_limit: int
    budget: float | None
    daily_budget: float | None
    max_cost: float | None
    frozen: bool
    prices: Mapping[str, float]


class Unshown(dict[str, Any]):
    """Values by name, which a traceback that shows variables must not show: one of them may be a key."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


def check_names(values: Mapping[str, Any]) -> None:
    """Refuse a setting that does not exist.

    Raises:
        UsageError: With the names there are.
    """
    for name in values:
        if name not in NAMES:
            raise UsageError(
                f"There is no setting named {name!r}.",
                remedy=f"The settings are: {', '.join(sorted(NAMES))}.",
            )


def resolve(*layers: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that hold, from the layers given highest first.

    Raises:
        UsageError: A value that makes no sense; the message names where it was set.
    """
    env = Unshown(os.environ if environ is None else environ)
    for layer in layers:
        check_names(layer)

    def pick(name: str, default: Any) -> Any:
        for layer in layers:
            if layer.get(name) is not None:
                return layer[name]
        value = env.get(ENVIRONMENT.get(name, ""), "").strip()
        return value or default

    backend = _one_of("backend", str(pick("backend", "auto")), BACKENDS)
    key = find_key(pick("credentials", None), env, look_in_stores=backend != "local")
    return Settings(
        backend=backend if backend != "auto" else "fal" if key else "local",
        chosen=backend != "auto",
        endpoint=str(pick("endpoint", DEFAULT_ENDPOINT)),
        hosts=Hosts(
            queue=str(pick("queue_url", QUEUE)),
            rest=str(pick("rest_url", REST)),
            api=str(pick("api_url", API)),
            schema=str(pick("schema_url", SCHEMA)),
        ),
        key=key,
        home=_folder(pick("home", None), _default_home),
        media=_folder(pick("media", None), lambda: Path("kling_media")),
        timeout=_seconds("timeout", pick("timeout", None)),
        local_speed=_seconds("local_speed", pick("local_speed", 1.0)) or 1.0,
        inline_limit=_bytes("inline_limit", pick("inline_limit", 0)),
        budget=_usd("budget", pick("budget", None)),
        daily_budget=_usd("daily_budget", pick("daily_budget", None)),
        max_cost=_usd("max_cost", pick("max_cost", None), none_lifts=True),
        frozen=_switch("frozen", pick("frozen", False)),
        prices=_prices(pick("prices", {})),
    )


_configured = Unshown()


def current(*layers: Mapping[str, Any]) -> Settings:
    """The settings that hold now: `layers`, then `configure()`, then `%config`, then the rest."""
    return resolve(*layers, _configured, Unshown(_front_end.config()))


def configure(settings: Mapping[str, Any]) -> None:
    """Set values for the rest of this process; None unsets one. Nothing changes if one is wrong."""
    global _configured  # noqa: PLW0603 -- one configuration a process
    settings = Unshown(settings)
    merged = Unshown(
        (name, value) for name, value in {**_configured, **settings}.items() if value is not None
    )
    forget()  # a key may have been stored, or removed, since they were asked
    resolve(merged)
    _configured = merged  # at once: another thread must not find half of them


def with_key(settings: Settings, value: str) -> Settings:
    """The same settings with the key of an embedded engine."""
    return replace(settings, key=Key(value, "embedded engine"))


def _default_home() -> Path:
    import platformdirs  # noqa: PLC0415 -- only where no folder was set

    return Path(platformdirs.user_data_dir("kling_nb", appauthor=False))


def _folder(value: Any, default: Callable[[], Path]) -> Path:
    return Path(value).expanduser().resolve() if value is not None else default().resolve()


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value in allowed:
        return value
    raise UsageError(f"{name} is {value!r}.", remedy=f"It must be one of: {', '.join(allowed)}.")


def _switch(name: str, value: Any) -> bool:
    word = str(value).strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise UsageError(f"{name} is {value!r}.", remedy="It must be 1 or 0 (true or false).")


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not number > 0:
        raise UsageError(f"{name} is {value!r}.", remedy="It must be a number above 0.")
    return number


def _bytes(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if number < 0:
        raise UsageError(f"{name} is {value!r}.", remedy="It must be a whole number of bytes, from 0.")
    return number


def _usd(name: str, value: Any, *, none_lifts: bool = False) -> float | None:
    """US dollars; the word "none" lifts a limit."""
    if value is None:
        return None
    if none_lifts and str(value).strip().lower() in {"none", "inf"}:
        return math.inf
    try:
        number = float(str(value).strip().removeprefix("$"))
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        words = ' or "none"' if none_lifts else ""
        raise UsageError(f"{name} is {value!r}.", remedy=f"It must be an amount in US dollars{words}.")
    return number


def _prices(value: Any) -> Mapping[str, float]:
    if not isinstance(value, Mapping):
        raise UsageError(
            f"prices is {value!r}.", remedy='Write prices={"v1-pro": 0.1}, in US dollars a second.'
        )
    return {str(name): _usd(f"prices[{name!r}]", usd) or 0.0 for name, usd in value.items()}
