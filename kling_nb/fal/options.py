"""Options of a submission: how fal's queue treats a request (FAL-PROTOCOL §3.1, §3.2)."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kling_nb.errors import UsageError

PRIORITIES = ("normal", "low")
DECISIONS = ("hide", "forbid", "allow")
MIN_START_TIMEOUT = 0.1
MAX_TAGS, MAX_TAG_BYTES = 10, 1024
_TAG_KEY = re.compile(r"[a-z0-9._-]{1,64}")
_TAG_VALUE = re.compile(r"[\x20-\x2b\x2d-\x7e]{1,256}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_RESERVED_HEADERS = frozenset(
    {"authorization", "content-type", "content-length", "host", "transfer-encoding"}
)
"""Headers that users cannot set: they carry the key, the body and the host."""


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """Options of one submission. They are not part of the request, so its fingerprint ignores them.

    Each option is also an argument of `submit` and `generate`. The constructor checks all values.

    Attributes:
        priority: "low" lets other requests go first. "normal" is fal's default.
        start_timeout: Seconds, above 0.1, within which the work must start. After that, fal drops the request
            at no cost. None sets no limit. It does not limit how long the work takes.
        hint: fal sends requests with the same hint to the same runner if possible.
        no_retry: fal does not retry after a failed runner.
        tags: Up to 10 pairs for filters in fal's billing. Keys use `a-z 0-9 . _ -`, values printable ASCII
            without commas. The limit is 1,024 bytes in all.
        store_io: True if fal keeps input and output for its dashboard, None for the account's setting. With
            False, fal keeps the result for minutes only after the request has ended (FAL-PROTOCOL §16.4).
        lifecycle: How long fal keeps the output files, and who may fetch them: "1d" or seconds, as in
            `upload(expires_in=…)`, or `{"expires_in": "1d", "acl": "forbid"}`, or with rules
            `{"acl": {"default": "forbid", "rules": [{"user": "…", "decision": "allow"}]}}`.
        fallback: False keeps fal from sending a failed request to an equivalent endpoint.
        max_queue_length: fal refuses the request (429) if more requests than this wait for the endpoint.
        headers: Further headers. Those that carry the key, the body or the host cannot be set.

    Raises:
        UsageError: fal would refuse or silently drop a value.
    """

    priority: str | None = None
    start_timeout: float | None = None
    hint: str | None = None
    no_retry: bool = False
    tags: Mapping[str, str] | None = None
    store_io: bool | None = None
    lifecycle: Any = None
    fallback: bool = True
    max_queue_length: int | None = None
    headers: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))

    @classmethod
    def split(cls, arguments: Mapping[str, Any]) -> tuple[SubmitOptions, dict[str, Any]]:
        """Split the arguments of a call into options and parameters of the endpoint."""
        given = {name: value for name, value in arguments.items() if name in OPTIONS and value is not None}
        return cls(**given), {name: value for name, value in arguments.items() if name not in OPTIONS}

    def to_headers(self) -> dict[str, str]:
        """Return the headers of these options. The user's own headers replace them."""
        seconds = None if self.start_timeout is None else repr(self.start_timeout).removesuffix(".0")
        named = {
            "X-Fal-Queue-Priority": self.priority,
            "X-Fal-Request-Start-Timeout": seconds,
            "X-Fal-Request-Timeout": seconds,  # The old name, which is the only one that fal's clients send.
            "X-Fal-Runner-Hint": self.hint,
            "X-Fal-No-Retry": "1" if self.no_retry else None,
            "X-Fal-Tags": ",".join(f"{key}={value}" for key, value in (self.tags or {}).items()) or None,
            "X-Fal-Store-IO": None if self.store_io is None else str(int(self.store_io)),
            "X-Fal-Object-Lifecycle-Preference": json.dumps(self.lifecycle) if self.lifecycle else None,
            "X-App-Fal-Disable-Fallback": None if self.fallback else "1",
        }
        own = self.headers or {}
        lowered = {name.lower() for name in own}
        sent = {name: value for name, value in named.items() if value and name.lower() not in lowered}
        return {**sent, **own}

    @property
    def warning(self) -> str | None:
        """A warning if these options make the result private, so that it may not be downloadable."""
        acl = (self.lifecycle or {}).get("initial_acl", {}).get("default", "allow")
        if acl == "allow":
            return None
        return (
            f'The result will be private (acl "{acl}"). Only a key with the permission assets:read can'
            " download it: check yours at https://fal.ai/dashboard/keys."
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know about these options before the submission."""
        short = (
            "fal will keep the result for minutes only (store_io=False). Let the kernel run until it is here."
        )
        return tuple(filter(None, (self.warning, short if self.store_io is False else None)))

    def to_query(self) -> dict[str, str]:
        """Return the query parameters of these options."""
        return {} if self.max_queue_length is None else {"fal_max_queue_length": str(self.max_queue_length)}

    def to_json(self) -> dict[str, Any]:
        """Return the options that differ from their default, by name."""
        pairs = ((field.name, getattr(self, field.name), field.default) for field in dataclasses.fields(self))
        return {name: value for name, value, default in pairs if value != default}


def _option_error(name: str, value: Any, allowed: str) -> UsageError:
    return UsageError(f"{name} must be {allowed}, not {str(value)[:80]!r}.", parameter=name)


def _only(is_valid: Callable[[Any], bool], allowed: str) -> Callable[[str, Any], Any]:
    """Return the check of an option whose value stays as it is, a text without surrounding spaces."""

    def check(name: str, value: Any) -> Any:
        if not is_valid(value):
            raise _option_error(name, value, allowed)
        return value.strip() if isinstance(value, str) else value

    return check


def _start_timeout(name: str, value: Any) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not MIN_START_TIMEOUT < seconds < math.inf:
        raise _option_error(name, value, f"a number of seconds above {MIN_START_TIMEOUT}")
    return seconds


def _tags(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _option_error(name, value, 'pairs, e.g. {"project": "reel-7"}')
    if len(value) > MAX_TAGS:
        raise _option_error(name, f"{len(value)} pairs", f"at most {MAX_TAGS} pairs")
    for key, text in value.items():
        if not isinstance(key, str) or not _TAG_KEY.fullmatch(key) or key.startswith("fal."):
            allowed = 'at most 64 characters of a-z, 0-9, ".", "_" and "-", without "fal." at the start'
            raise _option_error("The name of a tag", key, allowed)
        if not isinstance(text, str) or not _TAG_VALUE.fullmatch(text):
            raise _option_error(f"The tag {key}", text, "1 to 256 printable ASCII characters without commas")
    length = len(",".join(f"{key}={text}" for key, text in value.items()))
    if length > MAX_TAG_BYTES:
        raise _option_error(name, f"{length:,} bytes", f"at most {MAX_TAG_BYTES:,} bytes in all")
    return dict(value)


def _lifecycle(name: str, value: Any) -> dict[str, Any]:
    """Return fal's form of it, with `expiration_duration_seconds` and `initial_acl`."""
    parts = value if isinstance(value, Mapping) else {"expires_in": value}
    if not parts or not set(parts) <= {"expires_in", "acl"}:
        raise _option_error(name, value, 'a time such as "1d", or {"expires_in": …, "acl": …}')
    wire: dict[str, Any] = {}
    if parts.get("expires_in") is not None:
        wire["expiration_duration_seconds"] = Lifecycle.parse(parts["expires_in"]).seconds
    if parts.get("acl") is not None:
        wire["initial_acl"] = _acl(parts["acl"])
    return wire


def _acl(value: Any) -> dict[str, Any]:
    parts = value if isinstance(value, Mapping) else {"default": value}
    rules = parts.get("rules", [])
    well_formed = (
        set(parts) <= {"default", "rules"}
        and parts.get("default") in DECISIONS
        and isinstance(rules, list | tuple)
        and all(
            isinstance(rule, Mapping)
            and set(rule) == {"user", "decision"}
            and isinstance(rule["user"], str)
            and rule["decision"] in DECISIONS
            for rule in rules
        )
    )
    if not well_formed:
        words = ", ".join(DECISIONS)
        raise _option_error(
            "acl", value, f'one of {words}, or {{"default": …, "rules": [{{"user": …, "decision": …}}]}}'
        )
    return {"default": parts["default"], "rules": [dict(rule) for rule in rules]}


def _headers(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _option_error(name, value, 'pairs, e.g. {"X-Name": "value"}')
    for header, text in value.items():
        if not isinstance(header, str) or not _HEADER_NAME.fullmatch(header):
            raise _option_error("The name of a header", header, "letters, digits and hyphens")
        if header.lower() in _RESERVED_HEADERS:
            raise UsageError(
                f"The header {header} cannot be set.",
                remedy="It carries the key, the body or the host. To set the key: credentials=….",
                parameter=name,
            )
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise UsageError(  # The message does not repeat the value, which may be a secret.
                f"The value of the header {header} must be a text of printable ASCII characters.",
                parameter=name,
            )
    return dict(value)


_switch = _only(lambda value: isinstance(value, bool), "True or False")

_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "priority": _only(lambda value: value in PRIORITIES, f"one of: {', '.join(PRIORITIES)}"),
    "start_timeout": _start_timeout,
    "hint": _only(
        lambda value: (
            isinstance(value, str) and value.strip() != "" and value.isascii() and value.isprintable()
        ),
        "a text of printable ASCII characters",
    ),
    "no_retry": _switch,
    "tags": _tags,
    "store_io": _switch,
    "lifecycle": _lifecycle,
    "fallback": _switch,
    "max_queue_length": _only(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
        "a whole number, 0 or more",
    ),
    "headers": _headers,
}
OPTIONS = tuple(_CHECKS)
"""Names of all options. An argument with one of these names never sets a parameter of the endpoint."""


_EXPIRY_SECONDS = {
    "immediate": 60,
    "1h": 3_600,
    "1d": 86_400,
    "7d": 7 * 86_400,
    "30d": 30 * 86_400,
    "1y": 365 * 86_400,
}


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """How long fal keeps an uploaded file (FAL-PROTOCOL §9.4).

    Attributes:
        seconds: Seconds after the upload, or None for the account's setting.
    """

    seconds: int | None = None

    @classmethod
    def parse(cls, expires_in: str | int | None) -> Lifecycle:
        """Return the lifecycle for a word of fal's clients or for a number of seconds.

        Args:
            expires_in: "immediate" (a minute), "1h", "1d", "7d", "30d", "1y" or whole seconds above 0.
                "never" and None use the account's setting, as in fal's own clients.

        Raises:
            UsageError: It is none of these.
        """
        if expires_in is None or expires_in == "never":
            return cls()
        if isinstance(expires_in, str) and expires_in in _EXPIRY_SECONDS:
            return cls(_EXPIRY_SECONDS[expires_in])
        if isinstance(expires_in, int) and not isinstance(expires_in, bool) and expires_in > 0:
            return cls(expires_in)
        allowed = f"one of never, {', '.join(_EXPIRY_SECONDS)}, or whole seconds above 0"
        raise UsageError(f"expires_in must be {allowed}, not {expires_in!r}.", parameter="expires_in")

    @property
    def headers(self) -> dict[str, str]:
        """The headers for the first step of an upload. fal's clients differ in the name, so both are sent."""
        if self.seconds is None:
            return {}
        wanted = json.dumps({"expiration_duration_seconds": self.seconds})
        return {"X-Fal-Object-Lifecycle": wanted, "X-Fal-Object-Lifecycle-Preference": wanted}
